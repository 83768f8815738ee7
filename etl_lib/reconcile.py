"""Compares a client's target with its last loaded delivery; change detection cannot see edits made there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from etl_lib.config.project import ResolvedMapping
from etl_lib.database import connected
from etl_lib.errors import Fault, NotNow
from etl_lib.extract import Archived, PgpKeys, extract, recall
from etl_lib.load.compare import Comparison, Difference, compare
from etl_lib.metrics.archived import delivery_shown
from etl_lib.metrics.ledger import Ledger
from etl_lib.metrics.status import RunStatus
from etl_lib.metrics.undone import forget_changes, write_differences
from etl_lib.metrics.words import sentence
from etl_lib.pipeline import recorded
from etl_lib.report import Outcome
from etl_lib.run import Run
from etl_lib.storage import Storage
from etl_lib.transform import transform
from etl_lib.validate import validate

STAGE = "reconcile"


def reconcile(
    run: Run, environment: str, archives: Sequence[Storage],
    keys_of: Callable[[ResolvedMapping], PgpKeys],
) -> Outcome:  # fmt: skip
    """Read the delivery that the target should show again, out of `archives`, and say what differs.

    Nothing of the data changes. Recorded as the run `run`: `nothing_new` when nothing differs, else
    `failed` with a message for each entity and kind, and the client's next run loads the delivery
    again. Raises NotNow when no delivery is loaded, FixTheSetup when the archive has lost it, and
    what the stages raise; from then on the run is recorded as failed.
    """
    ledger = Ledger(run.database_url)
    shown = delivery_shown(run.database_url, run.client_id)
    if shown is None:
        raise NotNow.of("RECONCILE_NOTHING", f"No delivery of {run.client_id} is loaded.")
    archived = recall(archives, shown, None)
    ledger.begin_run(run, environment)
    try:
        with recorded(run, STAGE) as watched:
            comparison = _compared(watched, archived, keys_of)
            faults = [f for one in comparison.differences for f in _told(one)]
    except Exception:
        faults = list(ledger.stopped_by(run))
        ledger.end_run(run, RunStatus.FAILED, sentence(RunStatus.FAILED, (), faults))
        raise
    finally:
        run.workspace.delete_all()
    status = RunStatus.FAILED if faults else RunStatus.NOTHING_NEW
    if faults:
        ledger.say(run, STAGE, faults)
        with connected(run.database_url) as connection:
            columns = {one.entity: one.columns for one in comparison.differences}
            write_differences(connection, run, columns)
            forget_changes(connection, run.client_id)
    words = _sentence(archived, comparison)
    ledger.end_run(run, status, words)
    return Outcome(status, words, (), ())


def _compared(
    run: Run, archived: Archived, keys_of: Callable[[ResolvedMapping], PgpKeys]
) -> Comparison:
    # the stages also archive keys and results of a run: here they go with the workspace
    within = replace(run, archive=run.workspace.at("archive"))
    resolved = archived.under(archived.mapping)
    extracted = extract(within, resolved, archived, None, lambda: keys_of(resolved))
    validated = validate(within, extracted, {})
    return compare(within, extracted, validated, transform(within, extracted, validated))


def _told(found: Difference) -> Iterator[Fault]:
    """A message for each kind of difference."""
    if found.edited:
        columns = ", ".join(f"{name} in {rows:,}" for name, rows in found.columns.items())
        text = f"{_rows(found.edited)} of {found.entity} hold other values than the delivery: {columns}."
        yield Fault("RECONCILE_EDITED", text + _examples(found, "edited"), found.entity)
    if found.lost:
        text = (
            f"{_rows(found.lost)} of {found.entity} are in the delivery and not in the target: "
            f"{found.missing:,} missing, {found.deleted:,} marked as deleted."
        )
        yield Fault("RECONCILE_LOST", text + _examples(found, "lost"), found.entity)
    if found.extra:
        text = f"{_rows(found.extra)} of {found.entity} are in the target and not in the delivery."
        yield Fault("RECONCILE_EXTRA", text + _examples(found, "extra"), found.entity)


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _examples(found: Difference, kind: str) -> str:
    return f" Keys (masked): {', '.join(found.samples[kind])}."


def _sentence(archived: Archived, comparison: Comparison) -> str:
    of = f"the delivery of {archived.delivery.delivered_on:%d %B %Y}"
    there = {member.feed for member in archived.delivery.members}
    absent = [name for name in archived.mapping.mapping.feeds if name not in there]
    beside = f" Not in that delivery, so not compared: {', '.join(absent)}." if absent else ""
    if not comparison.differences:
        return f"The target is as {of} says: {_rows(comparison.rows_read)} compared.{beside}"
    edited = sum(one.edited for one in comparison.differences)
    lost = sum(one.lost for one in comparison.differences)
    extra = sum(one.extra for one in comparison.differences)
    return (
        f"The target differs from {of}: {edited:,} edited, {lost:,} lost, {extra:,} extra. "
        f"The next run loads the delivery again.{beside}"
    )
