"""Tries a client's own sample on all stages, in a dry run under another name, and leaves nothing behind."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.database import connected
from etl_lib.errors import EtlError, Fault
from etl_lib.metrics.status import GREEN
from etl_lib.onboarding.retire import erase_rows
from etl_lib.run import Run, Wishes
from etl_lib.storage import Storage, scratch_folder

# (project, client, database) -> what is wrong; None: there is no sample
SampleTrial = Callable[[Project, str, str], Sequence[Fault] | None]


def sample_folder(project: Project, client_id: str) -> Path | None:
    """The folder with the first delivery of the client's sample, or None when it has none."""
    folder = project.include / "samples" / client_id
    nights = [one for one in folder.glob("night_*") if one.is_dir()]
    return min(nights, default=None)


def try_sample(project: Project, client_id: str, url: str) -> Sequence[Fault] | None:
    """What is wrong with the client's sample under its mapping of now; None when it has no sample.

    The dry run has a client of its own, so that no state, limit or lock of the real one plays a part;
    what it has recorded is erased at its end.
    """
    from etl_lib.extract import LocalSource, keys_of_environment
    from etl_lib.pipeline import run_all

    folder = sample_folder(project, client_id)
    if folder is None:
        return None
    alias = f"doctor_{secrets.token_hex(8)}"
    resolved = _under(alias, project.resolve(client_id))
    with scratch_folder() as scratch:
        home = Storage.local(scratch)
        run = Run(
            client_id=alias, dag_id=alias, run_id=f"cli__{alias}", started_at=datetime.now(UTC),
            database_url=url, archive=home.at("archive"), workspace=home.at("staging"),
            outbox=home.at("outbox"), wishes=Wishes(dry_run=True, wait=False),
        )  # fmt: skip
        try:
            outcome, _ = run_all(
                run, project, lambda: resolved, LocalSource(folder), keys_of_environment
            )
        except EtlError as error:
            return error.faults
        finally:
            with connected(url) as connection:
                erase_rows(connection, alias)
    if outcome.status in GREEN:
        return ()
    return (Fault("SAMPLE_FAILS", outcome.sentence, project.shown(folder)),)


def _under(alias: str, resolved: ResolvedMapping) -> ResolvedMapping:
    """The mapping under another client's name, for files that are not still being uploaded."""
    delivery = resolved.mapping.delivery.model_copy(update={"stable_s": 0})
    # on a day of a blackout a sample may be tried as well
    changes = {"client_id": alias, "delivery": delivery, "blackout": (), "additions_only": ()}
    return resolved.model_copy(update={"mapping": resolved.mapping.model_copy(update=changes)})
