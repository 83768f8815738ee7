"""The weekly upkeep DAG: every client compared with its last delivery, and old before-images dropped."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from etl_lib.airflow_edge.connections import conninfo, pgp_keys_of
from etl_lib.airflow_edge.endings import airflow_outcome
from etl_lib.airflow_edge.runs import run_of
from etl_lib.airflow_edge.tasks import ClientOperator
from etl_lib.config.project import Project
from etl_lib.errors import NotNow

if TYPE_CHECKING:
    from airflow.sdk import Context

DAG_ID = "weekly-upkeep"  # a client id holds no hyphen
SCHEDULE = "17 9 * * 6"  # Saturday, when schools send little
AT_ONCE = 4  # clients compared at the same time: each reads its whole delivery again
_LIMIT = timedelta(hours=6)


class ReconcileOperator(ClientOperator):
    """Compares one client's target with its last loaded delivery; red when something differs."""

    def execute(self, context: Context) -> None:
        """Reconcile; skipped for a client of which nothing is loaded yet."""
        from etl_lib.metrics.status import GREEN
        from etl_lib.reconcile import reconcile

        environment = Project.load(Path(self.include)).environment_name
        with airflow_outcome():
            run = run_of(context, self.client_id, self.include)
            try:
                outcome = reconcile(run, environment, [run.archive], pgp_keys_of)
            except NotNow as error:
                raise AirflowSkipException(error.faults[0].text) from None
        if outcome.status not in GREEN:
            raise AirflowFailException(outcome.sentence)
        self.log.info("%s", outcome.sentence)


class ExpireHistoryOperator(BaseOperator):
    """Drops the months of before-images that are older than the environment's history_days."""

    def __init__(self, *, include: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.include = include

    def execute(self, context: Context) -> None:
        """Expire."""
        from etl_lib.metrics.schema import expire_history

        environment = Project.load(Path(self.include)).environment
        with airflow_outcome():
            months = expire_history(
                conninfo(environment.database_conn_id), environment.history_days
            )
        self.log.info("dropped: %s", ", ".join(months) or "nothing")


def upkeep(project: Project) -> DAG:
    """One mapped task over all clients of the environment, a few at a time; and the expiry of history."""
    include = str(project.include)
    with DAG(
        dag_id=DAG_ID,
        dag_display_name="Weekly upkeep",
        description="Compares every client's tables with its last delivery; drops expired history.",
        schedule=CronTriggerTimetable(SCHEDULE, timezone="UTC", run_immediately=timedelta(0)),
        catchup=False,
        max_active_runs=1,
        tags=["upkeep", project.environment_name],
        doc_md=__doc__,
        default_args={
            "owner": "on-call", "retries": 2, "retry_delay": timedelta(minutes=5),
            "execution_timeout": _LIMIT,
        },
    ) as dag:  # fmt: skip
        ExpireHistoryOperator(task_id="expire_history", include=include)
        ReconcileOperator.partial(
            task_id="reconcile", include=include, max_active_tis_per_dag=AT_ONCE,
            map_index_template="{{ task.client_id }}",
        ).expand(client_id=list(project.client_ids()))  # fmt: skip
    return dag
