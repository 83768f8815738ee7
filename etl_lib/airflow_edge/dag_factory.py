"""Client -> DAG: shape, order and schedule of an integration; nothing is read here but the YAML."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, CronTriggerTimetable, Param
from airflow.sdk.definitions.param import ParamsDict

from etl_lib.airflow_edge.described import described
from etl_lib.airflow_edge.room import of_heavy_tasks
from etl_lib.airflow_edge.tasks import (
    ExtractOperator,
    LoadOperator,
    ReportOperator,
    TransformOperator,
    ValidateOperator,
)
from etl_lib.config.project import Project

# A run that waits for its files or for approval is active: the next night must still find room.
MAX_ACTIVE_RUNS = 3
# A stage that hangs is ended; waiting for files does not count, it is done by the triggerer.
STAGE_LIMIT = timedelta(hours=6)


def _switch(title: str, description: str) -> Param:
    """A box of the trigger form that is ticked or not."""
    return Param(False, type="boolean", title=title, description=description)


def _run(title: str, what: str) -> Param:
    """A field of the trigger form for a run of the school."""
    description = f"Number or id of a run of this school: {what}"
    return Param(None, type=["null", "string"], title=title, description=description)


PARAMS = {
    "approve": _switch("Approve", "Load although a limit is exceeded: you have asked the school."),
    "dry_run": _switch("Dry run", "Do everything but the change: the tab Result shows what would happen."),
    "undo": _run("Undo a run", "what it changed is put back, nothing is loaded."),
    "replay": _run("Replay a run", "its delivery is taken out of the archive again."),
    "only_rejects": _switch(
        "Replay: rejected rows only", "Of that run only the rows that it has rejected."
    ),
    "mapping_of_then": _switch(
        "Replay: mapping of then",
        "Under the mapping with which that run had read them, not that of today.",
    ),
    "overwrite_newer": _switch(
        "Overwrite newer",
        "An older delivery takes the place of a newer one that is loaded. For replay and backfill.",
    ),
}  # fmt: skip


# Validated here once: Airflow validates the parameters of a DAG against JSON Schema, and copies them for
# each of its tasks, which was half of what parsing 500 mappings costs
_PARAMS = ParamsDict(PARAMS)
_PARAMS.validate()
# Airflow 3.3.2 takes False as None: a new client would run for a tick that lies before its existence
_NEVER_BACK = timedelta(0)


def integration(project: Project, client_id: str) -> DAG:
    """The client's integration: extract >> validate >> transform >> load, and report after all.

    A client whose mapping has a mistake gets the same DAG without a schedule, so that its history
    stays; its first task fails with the linter's words before any file is touched.
    """
    what = described(project, client_id)
    default_args = {
        "owner": what.owner,
        "retries": what.retries,
        "retry_delay": timedelta(seconds=15),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
        "execution_timeout": STAGE_LIMIT,
        "priority_weight": what.priority,
        # Airflow's own rule adds up the tasks that follow, which would count 5 for every 1
        "weight_rule": "absolute",
    }
    with DAG(
        dag_id=client_id,
        dag_display_name=what.name,
        description=what.description,
        tags=list(what.tags),
        doc_md=what.doc,
        schedule=what.schedule
        and CronTriggerTimetable(
            what.schedule, timezone=what.timezone, run_immediately=_NEVER_BACK
        ),
        start_date=what.start and what.start.astimezone(ZoneInfo(what.timezone)),
        access_control={
            role: {name: set(rights) for name, rights in resources.items()}
            for role, resources in what.access_control.items()
        },
        catchup=False,
        max_active_runs=MAX_ACTIVE_RUNS,
        default_args=default_args,
    ) as dag:
        given = {"client_id": client_id, "include": str(project.include)}
        heavy = {**given, **of_heavy_tasks(what.pool, what.resources)}
        extract = ExtractOperator(task_id="extract", **heavy)
        validate = ValidateOperator(task_id="validate", **given)
        transform = TransformOperator(task_id="transform", **heavy)
        load = LoadOperator(task_id="load", **heavy)
        report = ReportOperator(task_id="report", **given).as_teardown()
        extract >> validate >> transform >> load >> report
    object.__setattr__(
        dag, "params", _PARAMS
    )  # as the DAG itself sets them, without validating again
    return dag
