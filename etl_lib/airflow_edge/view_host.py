"""What Airflow's api-server gives the view: who looks and what he may, starting a run, what is paused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import get_user
from cachetools import TTLCache, cached
from fastapi import Depends

from etl_lib.airflow_edge.awaiting import resume_decided
from etl_lib.airflow_edge.connections import archive_of
from etl_lib.config.project import Project
from etl_lib.database import database_url
from etl_lib.errors import NotNow
from etl_lib.view.api import Host, Visitor

# What somebody may read is asked of Airflow's database again after so long: 50 viewers ask 3 times
# in 10 seconds. Whoever loses a right keeps sight of figures for as long; acts are always asked.
_RIGHTS_S = 15
_PAUSED_S = 5
_WHO = Depends(get_user)


def airflow_host(project: Project) -> Host:
    """The view's host inside Airflow's api-server."""
    return Host(
        visitor=_visitor,
        database_url=database_url,
        check_now=_check_now,
        paused=_paused,
        archives=lambda client_id: [archive_of(project, client_id)],
        resume=lambda: resume_decided(database_url()),
    )


def _visitor(user: Any = _WHO) -> Visitor:
    def may_act(client_id: str) -> bool:
        return bool(
            get_auth_manager().is_authorized_dag(
                method="POST", access_entity=DagAccessEntity.RUN,
                details=DagDetails(id=client_id), user=user,
            )
        )  # fmt: skip

    return Visitor(user.get_name(), _readable(user), may_act)


@cached(TTLCache(maxsize=1024, ttl=_RIGHTS_S), key=lambda user: user.get_id())
def _readable(user: Any) -> frozenset[str]:
    return frozenset(get_auth_manager().get_authorized_dag_ids(user=user, method="GET"))


@cached(TTLCache(maxsize=1, ttl=_PAUSED_S))
def _paused() -> frozenset[str]:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        return frozenset(session.scalars(select(DagModel.dag_id).where(DagModel.is_paused)))


def _check_now(client_id: str, user_name: str) -> str:
    """Start a run by hand; raises NotNow (CANNOT_CHECK_NOW) when it could not begin."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        dag = session.get(DagModel, client_id)
        if dag is None or dag.is_stale:
            raise _cannot("Airflow does not know the integration yet.")
        if dag.is_paused:
            raise _cannot("The integration is paused in Airflow.")
        at_work = select(DagRun.run_id).where(
            DagRun.dag_id == client_id, DagRun.state.in_(("queued", "running"))
        )
        if session.scalars(at_work).first():
            raise _cannot("A run is at work already.")
        run_id = f"manual__{datetime.now(UTC).isoformat()}"
        trigger_dag(
            client_id, run_id=run_id, triggered_by=DagRunTriggeredByType.UI,
            triggering_user_name=user_name, session=session,
        )  # fmt: skip
    return run_id


def _cannot(text: str) -> NotNow:
    return NotNow.of("CANNOT_CHECK_NOW", text)
