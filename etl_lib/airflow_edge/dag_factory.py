"""Client -> DAG: shape, order and schedule of an integration; nothing is read here but the YAML."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, Param

from etl_lib.airflow_edge.roles import access_control
from etl_lib.airflow_edge.tasks import (
    ExtractOperator,
    LoadOperator,
    ReportOperator,
    TransformOperator,
    ValidateOperator,
)
from etl_lib.config.mapping import Mapping
from etl_lib.config.project import Project
from etl_lib.errors import FixTheMapping

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


def integration(project: Project, client_id: str) -> DAG:
    """The client's integration: extract >> validate >> transform >> load, and report after all.

    A client whose mapping has a mistake gets the same DAG without a schedule, so that its history
    stays; its first task fails with the linter's words before any file is touched.
    """
    try:
        mapping = project.resolve(client_id).mapping
    except FixTheMapping as error:
        return _dag(project, client_id, **_broken(client_id, error))
    return _dag(project, client_id, **_described(project, mapping))


# Airflow 3.3.2 takes False as None: a new client would run for a tick that lies before its existence
_NEVER_BACK = timedelta(0)


def _described(project: Project, mapping: Mapping) -> dict[str, Any]:
    schedule = (
        CronTriggerTimetable(
            mapping.schedule,
            timezone=mapping.timezone,
            run_immediately=_NEVER_BACK,
        )
        if mapping.schedule
        else None
    )
    feeds = "\n".join(
        f"| {name} | `{', '.join(feed.file)}` | {'required' if feed.required else 'optional'} | "
        f"{feed.content} | {', '.join(feed.entities)} |"
        for name, feed in mapping.feeds.items()
    )
    when = f"`{mapping.schedule}` in {mapping.timezone}" if mapping.schedule else "by hand"
    doc = f"""**{mapping.client}** sends files out of {mapping.sis}. Responsible: {mapping.owner}.

Runs {when}; mapping `include/mappings/{mapping.client_id}.yaml`, environment {project.environment_name}.

| feed | file | | content | fills |
| --- | --- | --- | --- | --- |
{feeds}
"""
    return {
        "schedule": schedule,
        "dag_display_name": mapping.client,
        "description": f"{mapping.client} ({mapping.sis})",
        "tags": [mapping.sis, mapping.owner, project.environment_name],
        "start_date": mapping.start_date
        and datetime.combine(mapping.start_date, datetime.min.time(), mapping.zone),
        "doc_md": doc,
        "retries": mapping.retries,
        "owner": mapping.owner,
        "access_control": access_control(mapping),
    }


def _broken(client_id: str, error: FixTheMapping) -> dict[str, Any]:
    return {
        "schedule": None,
        "dag_display_name": f"{client_id} (mapping broken)",
        "description": "The mapping has a mistake; nothing can be loaded until it is corrected.",
        "tags": ["mapping broken"],
        "doc_md": f"**The mapping has a mistake.**\n\n```\n{error}\n```\n",
        "retries": 0,
        "owner": "data engineer",
    }


def _dag(project: Project, client_id: str, *, retries: int, owner: str, **described: Any) -> DAG:
    default_args = {
        "owner": owner,
        "retries": retries,
        "retry_delay": timedelta(seconds=15),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
        "execution_timeout": STAGE_LIMIT,
    }
    with DAG(
        dag_id=client_id,
        catchup=False,
        max_active_runs=MAX_ACTIVE_RUNS,
        params=PARAMS,
        default_args=default_args,
        **described,
    ) as dag:
        given = {"client_id": client_id, "include": str(project.include)}
        extract = ExtractOperator(task_id="extract", **given)
        validate = ValidateOperator(task_id="validate", **given)
        transform = TransformOperator(task_id="transform", **given)
        load = LoadOperator(task_id="load", **given)
        report = ReportOperator(task_id="report", **given).as_teardown()
        extract >> validate >> transform >> load >> report
    return dag
