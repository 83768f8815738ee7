"""The four stages and the report in their order, each recorded; called by Airflow's tasks and the CLI."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from etl_lib.config.entity import Entity
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.errors import EtlError, Fault, FixTheSetup, NotReceived, Paused, RowsMoved, TryAgain
from etl_lib.manifest import Extracted, Snapshot, Transformed, Validated, manifest_key
from etl_lib.metrics.archived import (
    KnownDelivery,
    delivery_of_day,
    delivery_of_run,
    rejected_lines,
    set_aside,
    take_up,
)
from etl_lib.metrics.freezes import must_not_be_frozen
from etl_lib.metrics.holds import (
    NOT_LOADED,
    HoldStatus,
    decide,
    hold_of_run,
    planned_by,
    record_dry_run,
    record_question,
    settle_identical,
)
from etl_lib.metrics.ledger import Ledger
from etl_lib.metrics.snapshots import last_snapshots
from etl_lib.metrics.status import RunStatus
from etl_lib.metrics.words import dry_run_sentence
from etl_lib.report import Outcome, Reply, report, status_of
from etl_lib.report.question import Question
from etl_lib.run import Progress, Run
from etl_lib.storage import Storage, disk_full

if TYPE_CHECKING:
    from etl_lib.config.school_days import Wait
    from etl_lib.extract import PgpKeys, Source
    from etl_lib.metrics.holds import Answer, Plan

# Each stage imports its libraries when it runs: a run with nothing new never pays for pandas or GX.
STAGES = ("extract", "validate", "transform", "load")
_FROZEN = "mapping.json"
_BEGUN = "begun"
_PROGRESS_S = 1.0  # a stage writes its progress at most once in so many seconds
_PLAIN = Reply()
M = TypeVar("M", Extracted, Validated, Transformed, ResolvedMapping)


def begin(run: Run, environment: str, entities: Mapping[str, Entity]) -> None:
    """Make what the run needs in the database, and record that it has begun; may be repeated."""
    from etl_lib.load.tables import migrate_if_needed

    migrate_if_needed(run.database_url, entities)
    Ledger(run.database_url).begin_run(run, environment)


def is_loaded(run: Run) -> bool:
    """Whether the run has been committed: a stage that is repeated then has nothing to do."""
    return Ledger(run.database_url).loaded(run) is not None


def frozen_mapping(run: Run, resolve: Callable[[], ResolvedMapping]) -> ResolvedMapping:
    """The mapping that the run began with: resolved at the first call, remembered from then on."""
    if known := _found(run, ResolvedMapping, _FROZEN):
        return known
    resolved = resolve()
    run.workspace.write_bytes(_FROZEN, resolved.model_dump_json(by_alias=True).encode())
    return resolved


def do_extract(
    run: Run, resolve: Callable[[], ResolvedMapping],
    source_of: Callable[[ResolvedMapping], Source], keys_of: Callable[[ResolvedMapping], PgpKeys],
    waited: Wait | None = None,
) -> Extracted:  # fmt: skip
    """Find, archive and read the delivery; what a run has once extracted stays its delivery.

    `waited`: how the run has waited for the school; without it a person has named the files, and
    nothing is late or missing.
    """
    from etl_lib.extract import extract
    from etl_lib.freshness import refuse_on_day_off, with_freshness

    with recorded(run, "extract") as watched:
        if known := _remembered(run, Extracted, "extract"):
            return known
        ledger = Ledger(run.database_url)
        resolved = frozen_mapping(run, resolve)
        refuse_if_paused(run, resolved)
        source = source_of(resolved)
        current = ledger.current(run.client_id)
        try:
            extracted = extract(
                watched, resolved, source, ledger, lambda: keys_of(resolved), _last_snapshots(run)
            )
        except NotReceived:
            refuse_on_day_off(resolved, source, current, waited)
            raise
        if run.kind != "test":  # which is no delivery
            ledger.describe(extracted.delivery)
        fault = nothing_new(extracted)
        if fault and not run.wishes.dry_run and extracted.resolved.mapping.all_full:
            settle_identical(run.database_url, run, extracted.delivery)
        if waited and current:
            extracted = with_freshness(extracted, current, waited)
        if said := [*([fault] if fault else ()), *extracted.notes]:
            ledger.say(run, "extract", said)
        return _kept(run, "extract", extracted)


def _last_snapshots(run: Run) -> list[Snapshot]:
    """With which a run's rows may be compared; a test of the school's is none of its deliveries."""
    return last_snapshots(run.database_url, run.client_id) if run.kind == "load" else []


def refuse_if_paused(run: Run, resolved: ResolvedMapping) -> None:
    """Raise Paused for a frozen client, and on a day on which the mapping lets nothing load.

    A dry run may always look.
    """
    if run.wishes.dry_run:
        return
    must_not_be_frozen(run.database_url, run.client_id)
    mapping = resolved.mapping
    pause = mapping.blackout_on(mapping.local_date(run.started_at))
    if pause:
        raise Paused.of("BLACKOUT", f"Nothing is loaded {pause.words}.")


def do_extract_again(
    run: Run, resolve: Callable[[], ResolvedMapping],
    keys_of: Callable[[ResolvedMapping], PgpKeys], archives: Sequence[Storage] = (),
) -> Extracted:  # fmt: skip
    """Read a delivery of the archive again, as the run's wishes say; `archives` are looked into as well.

    Raises what `extract` raises, NotReceived (NOTHING_ARCHIVED) for a day of which there is nothing,
    FixTheSetup for a run that cannot be run again or bytes that are lost.
    """
    from etl_lib.extract import extract, recall

    with recorded(run, "extract") as watched:
        if known := _remembered(run, Extracted, "extract"):
            return known
        wishes, ledger = run.wishes, Ledger(run.database_url)
        refuse_if_paused(run, resolve())
        found = _wanted_delivery(run, resolve)
        take_up(run.database_url, run.dag_id, run.run_id, found.delivery_seq)
        lines = rejected_lines(run.database_url, found) if wishes.only_rejects else None
        archived = recall([run.archive, *archives], found, lines)
        chosen = (lambda: archived.mapping) if wishes.mapping_of_then else resolve
        resolved = archived.under(frozen_mapping(run, chosen))
        extracted = extract(watched, resolved, archived, ledger, lambda: keys_of(resolved))
        rows = "the rejected rows of the delivery" if wishes.only_rejects else "the delivery"
        then = "of then" if wishes.mapping_of_then else "of today"
        text = (
            f"Run again: {rows} of {found.delivered_on:%d %B %Y}, known from run {found.run_seq}, "
            f"under the mapping {then}."
        )
        ledger.say(run, "extract", [Fault("FROM_ARCHIVE", text), *extracted.notes])
        return _kept(run, "extract", extracted)


def _wanted_delivery(run: Run, resolve: Callable[[], ResolvedMapping]) -> KnownDelivery:
    """The delivery that a replay names, or that of a backfill's day in the client's zone."""
    if run.wishes.replay or run.wishes.backfill is None:
        return delivery_of_run(run.database_url, run.wishes.replay, run.client_id)
    mapping = resolve().mapping
    day = mapping.local_date(run.wishes.backfill)
    return delivery_of_day(run.database_url, run.client_id, day, mapping.all_full)


def begin_anew(run: Run, entities: Mapping[str, Entity]) -> None:
    """A backfill runs a date again under the run id that it had: what is left of the earlier run gives way.

    May be repeated: what this beginning of the run has done stays.
    """
    from etl_lib.load.tables import migrate_if_needed

    migrate_if_needed(run.database_url, entities)
    begun = run.started_at.isoformat().encode()
    if run.workspace.find_bytes(_BEGUN) == begun:
        return
    set_aside(run.database_url, run.dag_id, run.run_id, run.started_at)
    if not is_loaded(run):
        run.workspace.delete_all()
        run.workspace.write_bytes(_BEGUN, begun)


def nothing_new(extracted: Extracted) -> Fault | None:
    """The message that there is nothing to load, or None when there is."""
    if extracted.nothing_new_since is None:
        return None
    text = f"The files are identical to the delivery of {extracted.nothing_new_since:%d %B %Y}."
    return Fault("NOTHING_NEW", text)


def do_validate(run: Run) -> Validated:
    """Judge the delivery that extract has read."""
    with recorded(run, "validate") as watched:
        try:
            return _judged(watched, _recalled(run, Extracted, "extract"))
        except RowsMoved:
            return _read_whole(watched)[1]


def _judged(run: Run, extracted: Extracted) -> Validated:
    from etl_lib.validate import validate

    rows_of_last = Ledger(run.database_url).rows_of_last(run.client_id)
    return _kept(run, "validate", validate(run, extracted, rows_of_last))


def _read_whole(run: Run) -> tuple[Extracted, Validated]:
    """The delivery as if no load had been before: every row of it read, and judged."""
    from etl_lib.extract import read_whole

    extracted = _recalled(run, Extracted, "extract")
    extracted = _kept(run, "extract", read_whole(run, extracted))
    return extracted, _judged(run, extracted)


def do_transform(run: Run) -> Transformed:
    """Make canonical rows of what validate has accepted."""
    from etl_lib.transform import transform

    with recorded(run, "transform") as watched:
        extracted = _recalled(run, Extracted, "extract")
        validated = _recalled(run, Validated, "validate")
        snapshots = _last_snapshots(run)
        try:
            transformed = transform(watched, extracted, validated, snapshots)
        except RowsMoved:
            transformed = transform(watched, *_read_whole(watched), snapshots)
        Ledger(run.database_url).say(run, "transform", shared_values(transformed))
        return _kept(run, "transform", transformed)


def shared_values(transformed: Transformed) -> list[Fault]:
    """Warnings about values that several records have and each should have for itself."""
    return [
        Fault("VALUE_SHARED", f"{rows:,} rows of {fill.entity} share their `{name}` with another.", fill.feed)
        for fill in transformed.fills
        for name, rows in fill.shared_values.items()
    ]  # fmt: skip


def do_load(run: Run, answer: Answer | None = None) -> Plan:
    """Change the tables, or only plan to when the run is a dry one; `answer`: what a person, or the
    clock, said about the run's hold. Raises Refused or Superseded instead of planning again."""
    from etl_lib.load import load, settle_answer

    with recorded(run, "load") as watched:
        if answer:
            settle_answer(run, answer)
        extracted = _recalled(run, Extracted, "extract")
        validated = _recalled(run, Validated, "validate")
        transformed = _recalled(run, Transformed, "transform")
        try:
            plan = load(watched, extracted, validated, transformed)
        except RowsMoved:
            from etl_lib.transform import transform

            if any(table.known for table in extracted.tables):
                extracted, validated = _read_whole(watched)
            whole = _kept(run, "transform", transform(watched, extracted, validated))
            plan = load(watched, extracted, validated, whole)
        if run.wishes.dry_run:
            record_dry_run(run.database_url, run, plan)
        return plan


def question(run: Run) -> Question:
    """What the run's open hold asks."""
    hold = hold_of_run(run.database_url, run)
    extracted = _recalled(run, Extracted, "extract")
    if hold is None:
        raise LookupError(f"the run {run.run_id} of {run.dag_id} asks nothing")
    asked = Question.of(extracted, hold)
    record_question(run.database_url, hold.hold_seq, asked.headline, asked.body)
    return asked


def end_hold(run: Run) -> None:
    """The run ends although its hold is open: its task was ended in Airflow. May be repeated."""
    hold = hold_of_run(run.database_url, run)
    if hold is None or hold.status != HoldStatus.OPEN:
        return
    decide(run.database_url, run.client_id, hold.hold_seq, HoldStatus.ENDED, "", "")
    ledger = Ledger(run.database_url)
    ledger.say(run, "load", [NOT_LOADED[HoldStatus.ENDED]])
    ledger.end_stage(run, "load", RunStatus.REFUSED)


def do_report(run: Run, reply: Reply = _PLAIN) -> Outcome:
    """Say what became of the run, from what its stages have recorded; to the school as `reply` says."""
    return report(
        run,
        Ledger(run.database_url).stopped_by(run),
        _remembered(run, Extracted, "extract"),
        _remembered(run, Validated, "validate"),
        _remembered(run, Transformed, "transform"),
        planned_by(run.database_url, run) if run.wishes.dry_run else None,
        _found(run, ResolvedMapping, _FROZEN),
        reply,
    )


def run_all(
    run: Run, project: Project, resolve: Callable[[], ResolvedMapping], source: Source | None,
    keys: Callable[[], PgpKeys], archives: Sequence[Storage] = (), reply: Reply = _PLAIN,
) -> tuple[Outcome, Plan | None]:  # fmt: skip
    """The whole run in this process; gives its outcome and, when it came to a plan, the plan.

    Without a source the delivery comes out of the archive, or one of `archives`. An EtlError of a stage
    is in the outcome; raised is only what happens before the run is recorded, and TryAgain of a school's
    test: its run stays open, for it is tried again.
    """
    begin(run, project.environment_name, project.entities)
    plan: Plan | None = None
    try:
        if source is None:
            extracted = do_extract_again(run, resolve, lambda _: keys(), archives)
        else:
            extracted = do_extract(run, resolve, lambda _: source, lambda _: keys())
        if not extracted.nothing_new_since:
            do_validate(run)
            do_transform(run)
            plan = do_load(run)
    except EtlError as error:
        if run.kind == "test" and isinstance(error, TryAgain):
            raise
        plan = None
    except Exception:
        do_report(run, reply)
        raise
    return do_report(run, reply), plan


@contextmanager
def recorded(run: Run, stage: str) -> Iterator[Run]:
    """Record a stage's beginning, progress, messages and end; gives the run that reports progress."""
    ledger = Ledger(run.database_url)
    ledger.begin_stage(run, stage)
    written_at = 0.0

    def progress(so_far: Progress) -> None:
        nonlocal written_at
        run.progress(so_far)
        if time.monotonic() - written_at >= _PROGRESS_S:
            written_at = time.monotonic()
            ledger.progress(run, so_far)

    try:
        yield replace(run, progress=progress)
    except EtlError as error:
        ledger.say(run, stage, error.faults)
        ledger.end_stage(run, stage, status_of(error.faults))
        raise
    except OSError as error:
        full = disk_full(error, "The disk of this worker")
        text = f"{type(error).__name__} in {stage}."
        ledger.say(run, stage, full.faults if full else [Fault("INTERNAL", text)])
        ledger.end_stage(run, stage, RunStatus.FAILED)
        raise (full or error) from error
    except Exception as error:
        # what nobody foresaw: recorded without its text, which may hold values; Airflow logs it
        ledger.say(run, stage, [Fault("INTERNAL", f"{type(error).__name__} in {stage}.")])
        ledger.end_stage(run, stage, RunStatus.FAILED)
        raise
    except BaseException:
        # a time limit of Airflow, Ctrl-C: said in the moment that is left
        fault = Fault("STAGE_STOPPED", f"{stage} was stopped before its end.")
        ledger.say(run, stage, [fault])
        ledger.end_stage(run, stage, RunStatus.FAILED)
        raise
    ledger.end_stage(run, stage, RunStatus.SUCCEEDED)


def do_undo(run: Run, project: Project) -> Plan:
    """Put back what another run of the client changed; stands in the place of all four stages."""
    from etl_lib.load.undo import undo

    with recorded(run, "load") as watched:
        plan = undo(watched, project.entities, project.environment_name)
        if run.wishes.dry_run:
            record_dry_run(run.database_url, run, plan)
        return plan


def undo_all(run: Run, project: Project) -> tuple[Outcome, Plan]:
    """A whole undo in this process; a refused one and a dry run leave no record.

    Raises what `load.undo` raises.
    """
    from etl_lib.load.tables import migrate_if_needed
    from etl_lib.load.undo import undo

    migrate_if_needed(run.database_url, project.entities)
    plan = undo(run, project.entities, project.environment_name)
    if not run.wishes.dry_run:
        return do_report(run), plan
    words = dry_run_sentence(plan.loaded, ())
    return Outcome(RunStatus(plan.loaded.status), words, plan.loaded.counts, ()), plan


def _kept(run: Run, stage: str, manifest: M) -> M:
    """Put a stage's manifest where the next stage, and a repetition, finds it."""
    run.workspace.write_bytes(manifest_key(stage), manifest.model_dump_json(by_alias=True).encode())
    return manifest


def _remembered(run: Run, model: type[M], stage: str) -> M | None:
    """The manifest that a stage has left, or None when it has not run to its end."""
    return _found(run, model, manifest_key(stage))


def _found(run: Run, model: type[M], key: str) -> M | None:
    data = run.workspace.find_bytes(key)
    return None if data is None else model.model_validate_json(data)


def _recalled(run: Run, model: type[M], stage: str) -> M:
    """The manifest of an earlier stage; raises FixTheSetup (STAGE_LOST) when it is gone."""
    if (manifest := _remembered(run, model, stage)) is None:
        raise FixTheSetup.of("STAGE_LOST", f"The result of {stage} is no longer there.")
    return manifest
