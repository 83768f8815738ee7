"""The four stages and the report in their order, each recorded; called by Airflow's tasks and the CLI."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from etl_lib.config.entity import Entity
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.errors import EtlError, Fault, FixTheSetup
from etl_lib.manifest import Extracted, Loaded, Transformed, Validated
from etl_lib.metrics.ledger import Ledger
from etl_lib.metrics.status import RunStatus
from etl_lib.report import Outcome, report, status_of
from etl_lib.run import Progress, Run

if TYPE_CHECKING:
    from etl_lib.extract import Source
    from etl_lib.load import Plan

# Each stage imports its libraries when it runs: a run with nothing new never pays for pandas or GX.
STAGES = ("extract", "validate", "transform", "load")
_FROZEN = "mapping.json"
_PROGRESS_S = 1.0  # a stage writes its progress at most once in so many seconds
M = TypeVar("M", Extracted, Validated, Transformed)


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
    if run.workspace.exists(_FROZEN):
        return ResolvedMapping.model_validate_json(run.workspace.read_bytes(_FROZEN))
    resolved = resolve()
    run.workspace.write_bytes(_FROZEN, resolved.model_dump_json(by_alias=True).encode())
    return resolved


def do_extract(
    run: Run, resolve: Callable[[], ResolvedMapping], source_of: Callable[[ResolvedMapping], Source]
) -> Extracted:
    """Find, archive and read the delivery; what a run has once extracted stays its delivery."""
    from etl_lib.extract import extract

    with recorded(run, "extract") as watched:
        if known := _remembered(run, Extracted, "extract"):
            return known
        ledger = Ledger(run.database_url)
        resolved = frozen_mapping(run, resolve)
        extracted = extract(watched, resolved, source_of(resolved), ledger)
        ledger.describe(extracted.delivery)
        if fault := nothing_new(extracted):
            ledger.say(run, "extract", [fault])
        return _kept(run, "extract", extracted)


def nothing_new(extracted: Extracted) -> Fault | None:
    """The message that there is nothing to load, or None when there is."""
    if extracted.nothing_new_since is None:
        return None
    text = f"The files are identical to the delivery of {extracted.nothing_new_since:%d %B %Y}."
    return Fault("NOTHING_NEW", text)


def do_validate(run: Run) -> Validated:
    """Judge the delivery that extract has read."""
    from etl_lib.validate import validate

    with recorded(run, "validate") as watched:
        extracted = _recalled(run, Extracted, "extract")
        rows_of_last = Ledger(run.database_url).rows_of_last(run.client_id)
        return _kept(run, "validate", validate(watched, extracted, rows_of_last))


def do_transform(run: Run) -> Transformed:
    """Make canonical rows of what validate has accepted."""
    from etl_lib.transform import transform

    with recorded(run, "transform") as watched:
        extracted = _recalled(run, Extracted, "extract")
        validated = _recalled(run, Validated, "validate")
        transformed = transform(watched, extracted, validated)
        Ledger(run.database_url).say(run, "transform", shared_values(transformed))
        return _kept(run, "transform", transformed)


def shared_values(transformed: Transformed) -> list[Fault]:
    """Warnings about values that several records have and each should have for itself."""
    return [
        Fault("VALUE_SHARED", f"{rows:,} rows of {fill.entity} share their `{name}` with another.", fill.feed)
        for fill in transformed.fills
        for name, rows in fill.shared_values.items()
    ]  # fmt: skip


def do_load(run: Run) -> Plan:
    """Change the tables, or only plan to when the run is a dry one."""
    from etl_lib.load import load

    with recorded(run, "load") as watched:
        extracted = _recalled(run, Extracted, "extract")
        validated = _recalled(run, Validated, "validate")
        transformed = _recalled(run, Transformed, "transform")
        return load(watched, extracted, validated, transformed)


def do_report(run: Run, planned: Loaded | None = None) -> Outcome:
    """Say what became of the run, from what its stages have recorded; `planned`: of a dry run."""
    return report(
        run,
        Ledger(run.database_url).stopped_by(run),
        _remembered(run, Extracted, "extract"),
        _remembered(run, Validated, "validate"),
        _remembered(run, Transformed, "transform"),
        planned,
    )


def run_all(
    run: Run, project: Project, resolve: Callable[[], ResolvedMapping], source: Source
) -> tuple[Outcome, Plan | None]:
    """The whole run in this process; gives its outcome and, when it came to a plan, the plan.

    An EtlError of a stage is in the outcome; raised is only what happens before the run is recorded.
    """
    begin(run, project.environment_name, project.entities)
    plan: Plan | None = None
    try:
        extracted = do_extract(run, resolve, lambda _: source)
        if not extracted.nothing_new_since:
            do_validate(run)
            do_transform(run)
            plan = do_load(run)
    except EtlError:
        plan = None
    except Exception:
        do_report(run)
        raise
    return do_report(run, plan.loaded if plan and run.wishes.dry_run else None), plan


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


def _kept(run: Run, stage: str, manifest: M) -> M:
    """Put a stage's manifest where the next stage, and a repetition, finds it."""
    run.workspace.write_bytes(_key(stage), manifest.model_dump_json(by_alias=True).encode())
    return manifest


def _remembered(run: Run, model: type[M], stage: str) -> M | None:
    """The manifest that a stage has left, or None when it has not run to its end."""
    if not run.workspace.exists(_key(stage)):
        return None
    return model.model_validate_json(run.workspace.read_bytes(_key(stage)))


def _recalled(run: Run, model: type[M], stage: str) -> M:
    """The manifest of an earlier stage; raises FixTheSetup (STAGE_LOST) when it is gone."""
    if (manifest := _remembered(run, model, stage)) is None:
        raise FixTheSetup.of("STAGE_LOST", f"The result of {stage} is no longer there.")
    return manifest


def _key(stage: str) -> str:
    return f"{stage}/manifest.json"
