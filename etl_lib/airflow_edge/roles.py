"""Airflow roles of the people who may see or work on some clients only, under the FAB auth manager.

A mapping names them under `viewers` and `operators`; the DAG's access_control gives each role its own
clients. Airflow refuses a whole file of DAGs when a role in it does not exist, so roles are made before
the DAGs are parsed: by the bundle, at every look, and by `etl roles`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from etl_lib.config.project import Project
from etl_lib.errors import FixTheMapping

if TYPE_CHECKING:
    from etl_lib.config.mapping import Mapping

# What every page of Airflow's user interface asks for, and nothing that shows another client: the
# permission on a DAG comes from its access_control alone.
# Source: FabAirflowSecurityManagerOverride.VIEWER_PERMISSIONS, without the DAGs and the machinery.
_READS = (
    "Website", "DAG Runs", "Task Instances", "Task Logs", "XComs", "Plugins", "DAG Versions",
    "DAG Warnings", "DAG Dependencies", "DAG Code", "HITL Detail", "My Profile", "My Password",
)  # fmt: skip
_EDITS = (
    "My Profile",
    "My Password",
    "HITL Detail",
)  # whom to answer: the DAG's access_control says
_MENUS = ("DAGs", "DAG Runs", "Browse", "Docs", "Documentation")
BASE = (
    *(("can_read", name) for name in _READS),
    *(("can_edit", name) for name in _EDITS),
    *(("menu_access", name) for name in _MENUS),
)
_VIEWER = {"DAGs": {"can_read"}, "DAG Runs": {"can_read"}}
_OPERATOR = {"DAGs": {"can_read", "can_edit"}, "DAG Runs": {"can_read", "can_create"}}


def access_control(mapping: Mapping) -> dict[str, dict[str, set[str]]]:
    """Who may do what with the client's DAG, as Airflow wants it; empty: administrators only."""
    return dict.fromkeys(mapping.viewers, _VIEWER) | dict.fromkeys(mapping.operators, _OPERATOR)


def roles_of(project: Project) -> frozenset[str]:
    """Every role that a mapping names; a mapping with a mistake names none."""
    found: set[str] = set()
    for client_id in project.client_ids():
        try:
            mapping = project.resolve(client_id).mapping
        except FixTheMapping:
            continue
        found |= {*mapping.viewers, *mapping.operators}
    return frozenset(found)


def ensure_roles(roles: Iterable[str]) -> tuple[str, ...]:
    """Make the roles that do not exist, with BASE; gives their names. Needs Airflow's own database.

    Nothing happens under another auth manager than FAB, which alone knows roles.
    """
    from airflow.configuration import conf

    wanted = sorted(set(roles))
    if not wanted or "FabAuthManager" not in conf.get("core", "auth_manager"):
        return ()
    from airflow.providers.fab.auth_manager.models import Role
    from airflow.providers.fab.www.security_appless import ApplessAirflowSecurityManager
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        there = set(session.scalars(select(Role.name).where(Role.name.in_(wanted))))
        missing = [role for role in wanted if role not in there]
        if missing:
            manager = ApplessAirflowSecurityManager(session=session)
            manager.bulk_sync_roles([{"role": role, "perms": list(BASE)} for role in missing])
    return tuple(missing)
