"""What a stage is given besides its input: who runs, where files lie, which database, which wishes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from etl_lib.storage import Storage

Kind = Literal["load", "undo", "reconcile"]


@dataclass(frozen=True)
class Wishes:
    """What the person who started the run asked for."""

    dry_run: bool = False
    undo: str = ""  # the run, by number or id, whose changes this run puts back
    approve: bool = False
    by: str = ""  # who started the run, where that is known
    wait: bool = True  # a hold is waited for, by Airflow; `etl run` ends with it


@dataclass(frozen=True)
class Progress:
    """How far a stage is; shown live. `rows` so far, of `rows_total` when that is known."""

    stage: str
    what: str
    rows: int
    rows_total: int | None = None


def _silent(_: Progress) -> None:
    """Nobody looks."""


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
    progress: Callable[[Progress], None] = field(default=_silent, compare=False)


def folder_name(run_id: str) -> str:
    """A run id as a folder name; Airflow's hold `:` and `+`, which S3 tools dislike."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", run_id)
