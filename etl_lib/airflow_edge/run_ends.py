"""Tells the record how Airflow's runs end, from the scheduler: a killed task can no longer speak itself.

A thread of its own does it, so that an ETL database that does not answer never holds the scheduler up.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from etl_lib.config.project import Project
from etl_lib.metrics.in_step import (
    AirflowRun,
    RunKey,
    bring_in_step,
    lost_runs_of_the_cli,
    open_runs,
)

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

log = logging.getLogger(__name__)
_LOOK_BACK = timedelta(days=2)  # what a scheduler that starts looks through
_OVERLAP = timedelta(minutes=5)
_PAUSE_MAX_S = 60
_DECISIONS_S = 5  # what was decided by CLI, or lapsed, reaches the waiting task after so long


class InStep:
    """Brings the record in step whenever it is woken; what fails is tried again until it works."""

    def __init__(self) -> None:
        self._why: dict[RunKey, str] = {}
        self._woken = threading.Event()
        self._since = datetime.now(UTC) - _LOOK_BACK
        self._thread: threading.Thread | None = None

    def wake(self, run: RunKey | None = None, why: str = "") -> None:
        """Something has happened: `run` began or ended, for Airflow's reason `why`."""
        if run and why:
            self._why[run] = why
        self._woken.set()
        if self._thread is None or not self._thread.is_alive():  # a fork has no threads
            self._thread = threading.Thread(target=self._work, name="etl-in-step", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        from tenacity import Retrying, before_sleep_log, wait_exponential

        again = Retrying(
            wait=wait_exponential(max=_PAUSE_MAX_S), before_sleep=before_sleep_log(log, logging.WARNING)
        )  # fmt: skip
        while True:
            woken = self._woken.wait(_DECISIONS_S)
            self._woken.clear()
            again(self.once if woken else self.resume)

    def resume(self) -> None:
        """Tell tasks that wait for a person what has been decided elsewhere."""
        from etl_lib.airflow_edge.awaiting import resume_decided
        from etl_lib.database import database_url

        resume_decided(database_url())

    def once(self) -> None:
        """Look at what Airflow knows since the last time, and record it."""
        from etl_lib.database import database_url

        url, project = database_url(), Project.load()
        begun = datetime.now(UTC)
        runs = _of_airflow(project.client_ids(), self._since - _OVERLAP, open_runs(url), self._why)
        runs += lost_runs_of_the_cli(url)
        for dag_id, run_id in bring_in_step(url, project.environment_name, runs):
            log.warning("The run %s of %s had not told its end; it is recorded.", run_id, dag_id)
            self._why.pop((dag_id, run_id), None)
        self._since = begun
        self.resume()


def _of_airflow(
    dag_ids: Iterable[str], since: datetime, still_open: list[RunKey], why: dict[RunKey, str]
) -> list[AirflowRun]:
    """Our runs that are at work or ended after `since`, and all that the record shows as open."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import or_, select, tuple_

    wanted = select(DagRun.dag_id, DagRun.run_id, DagRun.start_date, DagRun.end_date, DagRun.state).where(
        or_(
            DagRun.dag_id.in_(list(dag_ids))
            & ((DagRun.state == "running") | (DagRun.end_date >= since)),
            tuple_(DagRun.dag_id, DagRun.run_id).in_(still_open),
        ),
        DagRun.start_date.is_not(None),
    )  # fmt: skip
    with create_session(scoped=False) as session:  # the scheduler's own session is left alone
        found = session.execute(wanted).all()
    return [
        AirflowRun(
            dag_id, run_id, started_at, ended_at if state in ("success", "failed") else None,
            why.get((dag_id, run_id), ""),
        )
        for dag_id, run_id, started_at, ended_at, state in found
    ]  # fmt: skip


_in_step = InStep()


@hookimpl
def on_starting(component: Any) -> None:
    """The scheduler starts: what ended while it was down is made good."""
    if getattr(component, "job_type", "") == "SchedulerJob":
        _in_step.wake()


@hookimpl
def on_dag_run_running(dag_run: DagRun, msg: str) -> None:
    """A run begins: it is shown before its first task has started."""
    _in_step.wake((dag_run.dag_id, dag_run.run_id))


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """A run has ended; its report has said so, or could not."""
    _in_step.wake((dag_run.dag_id, dag_run.run_id), msg)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """A run has failed; `msg` is Airflow's word for why."""
    _in_step.wake((dag_run.dag_id, dag_run.run_id), msg)
