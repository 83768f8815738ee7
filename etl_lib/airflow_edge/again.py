"""Lets runs run again in Airflow: cleared, or as new runs. Needs Airflow's own database, so it works where
Airflow is configured."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from etl_lib.errors import FixTheSetup, NotNow

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

_ENDED = ("success", "failed")
_AT_WORK = ("queued", "running")


@dataclass(frozen=True)
class Standing:
    """How Airflow sees a run. `mark` changes with whatever happens to it.

    `obstacle` says why it cannot run again now, in words that stand alone; else it is empty.
    """

    mark: str
    is_backfill: bool
    conf: dict[str, Any] = field(default_factory=dict)
    obstacle: str = ""


def standings(runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], Standing]:
    """Each of these runs, by (dag_id, run_id), that Airflow knows.

    Raises FixTheSetup (AIRFLOW_UNAVAILABLE) when Airflow's database is not there.
    """
    if not runs:
        return {}
    with _session() as session:
        return {(run.dag_id, run.run_id): _standing(session, run) for run in _found(session, runs)}


def clear(dag_id: str, run_id: str, mark: str) -> None:
    """Let every task of the run run again, as the user interface does: same version, same parameters.

    Raises NotNow (NOT_AS_SHOWN) when the run is not as its `mark` says.
    """
    from airflow.models.dagbag import DBDagBag

    with _session() as session:
        run = _as_shown(session, dag_id, run_id, mark)
        dag = DBDagBag(load_op_links=False).get_dag_for_run(run, session=session)
        if dag is None:
            raise NotNow.of("NOT_AS_SHOWN", "Airflow has no DAG for the run any more.")
        dag.clear(run_id=run_id, session=session)


def start_instead(dag_id: str, run_id: str, mark: str, by: str) -> str:
    """Start a new run by hand in the place of an old one; gives its id.

    A replay is a replay again; otherwise the run takes what it finds, and asks over a limit whatever
    was ticked for the old one. Raises NotNow (NOT_AS_SHOWN) when the old run is not as its `mark` says.
    """
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.utils.types import DagRunTriggeredByType

    with _session() as session:
        old = _as_shown(session, dag_id, run_id, mark)
        new_id = f"manual__{datetime.now(UTC).isoformat()}"
        conf = {name: value for name, value in (old.conf or {}).items() if name != "approve"}
        trigger_dag(
            dag_id, run_id=new_id, conf=conf if conf.get("replay") else {},
            triggered_by=DagRunTriggeredByType.CLI, triggering_user_name=by, session=session,
        )  # fmt: skip
    return new_id


def _found(session: Session, runs: Collection[tuple[str, str]]) -> list[DagRun]:
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select, tuple_

    wanted = select(DagRun).where(tuple_(DagRun.dag_id, DagRun.run_id).in_(list(runs)))
    return list(session.scalars(wanted))


def _standing(session: Session, run: DagRun) -> Standing:
    return Standing(
        mark=f"{run.clear_number} {run.end_date}",
        is_backfill=run.run_type == "backfill",
        conf=dict(run.conf or {}),
        obstacle=_obstacle(session, run),
    )


def _obstacle(session: Session, run: DagRun) -> str:
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    dag = session.get(DagModel, run.dag_id)
    if dag is None or dag.is_stale:
        return "Airflow no longer has the integration"
    if dag.is_paused:
        return "the integration is paused in Airflow; a run would not begin"
    if run.state not in _ENDED:
        return "the run is at work in Airflow"
    at_work = select(DagRun.run_id).where(DagRun.dag_id == run.dag_id, DagRun.state.in_(_AT_WORK))
    other = session.scalars(at_work).first()
    return f"the run {other} is at work in Airflow" if other else ""


def _as_shown(session: Session, dag_id: str, run_id: str, mark: str) -> DagRun:
    """The run, locked; raises NotNow when something has happened to it since `mark`."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    run: DagRun | None = session.scalar(
        select(DagRun)
        .where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        .with_for_update(of=DagRun)
    )
    if run is None:
        raise NotNow.of("NOT_AS_SHOWN", "Airflow no longer knows the run.")
    now = _standing(session, run)
    if now.obstacle or now.mark != mark:
        why = now.obstacle or "the run was run again meanwhile"
        raise NotNow.of("NOT_AS_SHOWN", f"{why[:1].upper()}{why[1:]}.")
    return run


@contextmanager
def _session() -> Iterator[Session]:
    """A session of Airflow's database that commits at the end, or rolls back."""
    from airflow.utils.session import create_session
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_session(scoped=False) as session:
            yield session
    except SQLAlchemyError as error:
        text = f"Airflow's database cannot be used ({type(error).__name__})."
        raise FixTheSetup.of("AIRFLOW_UNAVAILABLE", text) from None
