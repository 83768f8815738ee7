"""The report of a run: its final status and sentence, the guarded rejected rows, the school's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import Fault
from etl_lib.manifest import Counts, Extracted, Loaded, Transformed, Validated, manifest_key
from etl_lib.messages import Owner
from etl_lib.metrics.holds import HoldStatus, hold_of_run
from etl_lib.metrics.ledger import Ledger
from etl_lib.metrics.status import GREEN, RunStatus
from etl_lib.metrics.words import dry_run_sentence, sentence
from etl_lib.report.letter import Post, Told, tell
from etl_lib.report.outbox import delivery_name, write_reports
from etl_lib.report.rejects import collect
from etl_lib.run import Run

# What a message's code makes of a run; any other error makes it failed.
STATUS_OF_CODE = {
    "UNDONE_DELIVERY": RunStatus.AWAITING_APPROVAL,
    "NOT_RECEIVED": RunStatus.NOT_RECEIVED,
    "NOTHING_SINCE": RunStatus.NOT_RECEIVED,
    "NOT_EXPECTED": RunStatus.NOT_EXPECTED,
    "NOTHING_ARCHIVED": RunStatus.NOT_RECEIVED,
    "HOLD_LIMIT": RunStatus.AWAITING_APPROVAL,
    "LATE_CHANGES": RunStatus.AWAITING_APPROVAL,
    "FILE_PERHAPS_CUT": RunStatus.AWAITING_APPROVAL,
    "HOLD_REFUSED": RunStatus.REFUSED,
    "HOLD_LAPSED": RunStatus.REFUSED,
    "HOLD_ENDED": RunStatus.REFUSED,
    "SUPERSEDED": RunStatus.SUPERSEDED,
    "BLACKOUT": RunStatus.SUPERSEDED,
    "FROZEN": RunStatus.SUPERSEDED,
    "NOTHING_NEW": RunStatus.NOTHING_NEW,
}

_DRY_RUN = "Dry run, nothing was changed."
_TEST = "This was a test: nothing was loaded."


@dataclass(frozen=True)
class Outcome:
    """What became of the run, in figures and words."""

    status: RunStatus
    sentence: str
    counts: tuple[Counts, ...]
    outbox_files: tuple[str, ...]


@dataclass(frozen=True)
class Reply:
    """How the school is answered besides. `post`: its contacts are told by mail as well.

    `name`: of the report, else that of the delivery; `remarks`: what is said in it beside the faults.
    """

    post: Post | None = None
    name: str = ""
    remarks: tuple[Fault, ...] = ()


_PLAIN = Reply()


def status_of(faults: Sequence[Fault]) -> RunStatus:
    """The status that these faults make of a run."""
    return STATUS_OF_CODE.get(faults[0].code, RunStatus.FAILED) if faults else RunStatus.FAILED


def report(
    run: Run, faults: Sequence[Fault], extracted: Extracted | None, validated: Validated | None,
    transformed: Transformed | None, planned: Loaded | None = None,
    resolved: ResolvedMapping | None = None, reply: Reply = _PLAIN,
) -> Outcome:  # fmt: skip
    """Record the run's end and answer the school; may be repeated.

    `faults` are the messages of the stage that stopped the run (none: it was loaded), the manifests
    those of the stages that ended well. `planned` is what a dry run would have done; `resolved` the
    mapping that the run began with, as long as it is known. A run that waits for approval in Airflow
    has not ended. The stage files are removed once the run is green; a failed run keeps them for the
    retry.
    """
    ledger = Ledger(run.database_url)
    loaded = planned or ledger.loaded(run)
    status = RunStatus(loaded.status) if loaded else status_of(faults)
    counts = loaded.counts if loaded else ()
    words = (loaded.said if loaded else "") or sentence(status, counts, faults)
    if run.wishes.dry_run:
        opening = _TEST if run.kind == "test" else _DRY_RUN
        words = dry_run_sentence(loaded, faults, opening)
    elif loaded and extracted and (pause := _additions_only(run, extracted)):
        words += f" Only new and returning rows were written, {pause}."
    if loaded and extracted:
        words = " ".join([words, *(n.text for n in extracted.notes if n.code == "DELIVERY_LATE")])
    rejects = collect(run.workspace, extracted, validated, transformed)
    if extracted is not None or loaded is None:  # else reported before: its stage files are gone
        ledger.record_rejects(run, rejects)
    files: tuple[str, ...] = ()
    known = extracted.resolved if extracted else resolved
    rows = [row for rows in rejects.values() for row in rows]
    remarks = reply.remarks
    if run.kind == "test" and extracted:
        remarks = (*remarks, *extracted.notes)
    if known and _answers(run, status, faults, extracted):
        name = reply.name or _name_of(run, known, extracted)
        what, read_as = ("test", _read_as(extracted)) if run.kind == "test" else ("delivery", ())
        files = write_reports(
            run.outbox,
            known.mapping.client,
            name,
            words,
            rows,
            counts,
            (*faults, *remarks),
            what,
            read_as,
        )
    if status == RunStatus.AWAITING_APPROVAL and _waits(run):
        ledger.wait_for_approval(run, words)
    else:
        ledger.end_run(run, status, words)
    if known and files and reply.post:
        would_wait = bool(planned and planned.holds)
        told = Told(status, files, faults, extracted, rows, would_wait, remarks)
        tell(run, known.mapping, told, reply.post)
    if status in GREEN or status == RunStatus.NOT_EXPECTED:
        # the manifest first: a report that is killed here and repeated must not read half of the rest
        run.workspace.delete(manifest_key("extract"))
        run.workspace.delete_all()
    return Outcome(status, words, counts, files)


def _answers(
    run: Run, status: RunStatus, faults: Sequence[Fault], extracted: Extracted | None
) -> bool:
    """Whether the school finds a report: of what was read, and of what only it can mend."""
    if run.kind == "test":
        return True
    # a freeze is our own affair: no word to the school
    quiet = status == RunStatus.NOTHING_NEW or any(fault.code == "FROZEN" for fault in faults)
    if run.wishes.dry_run or quiet:
        return False
    return extracted is not None or any(f.message.owner is Owner.SCHOOL for f in faults)


def _read_as(extracted: Extracted | None) -> tuple[str, ...]:
    """How each file of a test was read; empty when none could be."""
    return tuple(
        f"{one.shown} was read as the file of `{one.feed}`: {one.rows_read:,} rows. {' '.join(one.notes)}".strip()
        for one in (extracted.tables if extracted else ())
    )


def _name_of(run: Run, resolved: ResolvedMapping, extracted: Extracted | None) -> str:
    """How the reports are called; of files that could not be read as a delivery, by the run's day."""
    if extracted:
        return delivery_name(extracted.delivery)
    return f"{resolved.mapping.local_date(run.started_at):%Y-%m-%d}_not_loaded"


def _waits(run: Run) -> bool:
    """Whether a task of Airflow's waits for the answer; a late delivery of changes ends its run."""
    hold = hold_of_run(run.database_url, run) if run.wishes.wait else None
    return hold is not None and hold.status == HoldStatus.OPEN


def _additions_only(run: Run, extracted: Extracted) -> str:
    mapping = extracted.resolved.mapping
    pause = mapping.additions_only_on(mapping.local_date(run.started_at))
    return pause.words if pause else ""
