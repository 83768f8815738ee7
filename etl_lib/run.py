"""What a stage is given besides its input: who runs, where files lie, which database, which wishes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from etl_lib.storage import Storage

Kind = Literal["load", "undo", "reconcile", "test"]  # test: of a school's own, see school_test


@dataclass(frozen=True)
class Wishes:
    """What the person who started the run asked for."""

    dry_run: bool = False
    undo: str = ""  # the run, by number or id, whose changes this run puts back
    approve: bool = False
    by: str = ""  # who started the run, where that is known
    wait: bool = True  # a hold is waited for, by Airflow; `etl run` ends with it
    replay: str = ""  # the run, by number or id, whose delivery is run again
    only_rejects: bool = False  # of that run only the rows that it has rejected
    mapping_of_then: bool = False  # under the mapping with which that run had read them
    backfill: datetime | None = None  # the instant whose day's delivery is run again
    overwrite_newer: bool = False  # an older full delivery may take the place of a newer one

    @property
    def from_archive(self) -> bool:
        """Whether the delivery comes out of the archive instead of the inbox."""
        return bool(self.replay or self.backfill)


@dataclass(frozen=True)
class Progress:
    """How far a stage is; shown live. `rows` so far, of `rows_total` when that is known."""

    stage: str
    what: str
    rows: int
    rows_total: int | None = None


def unwatched(_: Progress) -> None:
    """Progress of a run at which nobody looks: the record knows how far it is."""


@dataclass(frozen=True)
class Run:
    """One run of one client.

    `archive` keeps original files and deliveries for ever, `workspace` the stage files of this run,
    `outbox` is the client's own folder for reports.
    """

    client_id: str
    dag_id: str
    run_id: str
    started_at: datetime
    database_url: str = field(repr=False)  # holds a password
    archive: Storage
    workspace: Storage
    outbox: Storage
    wishes: Wishes = Wishes()
    kind: Kind = "load"
    progress: Callable[[Progress], None] = field(default=unwatched, compare=False)

    def may_overwrite(self, loaded_at: datetime) -> bool:
        """Whether a delivery that is newer and was loaded then may give way.

        Not one that was loaded since the run began: who asked for it did not know of that one.
        """
        return self.wishes.overwrite_newer and loaded_at <= self.started_at


def folder_name(run_id: str) -> str:
    """A run id as a folder name; Airflow's hold `:` and `+`, which S3 tools dislike."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", run_id)
