"""Registers the view in Airflow: an entry in the side bar, a tab on each integration, one on each run."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

_PREFIX = "/integrations"
_BUNDLE = f"{_PREFIX}/static/view.js"


def _app() -> Any:
    """The web app behind Airflow's login."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends

    from etl_lib.config.project import Project
    from etl_lib.database import database_url
    from etl_lib.view.api import create_app

    who = Depends(get_user)

    def readable(user: Any = who) -> set[str]:
        return set(get_auth_manager().get_authorized_dag_ids(user=user, method="GET"))

    return create_app(readable, database_url, Project.load())


def _is_api_server() -> bool:
    return "api-server" in sys.argv or "api_server" in " ".join(sys.argv)


class IntegrationsPlugin(AirflowPlugin):
    """Only the api-server loads the web framework; schedulers and tasks import nothing of it."""

    name = "integrations"
    fastapi_apps: ClassVar = (
        [{"app": _app(), "url_prefix": _PREFIX, "name": "integrations"}] if _is_api_server() else []
    )
    react_apps: ClassVar = [
        {"name": "Clients", "bundle_url": _BUNDLE, "destination": "nav", "url_route": "clients",
         "nav_top_level": True},
        {"name": "Integration", "bundle_url": _BUNDLE, "destination": "dag", "url_route": "integration"},
        {"name": "Result", "bundle_url": _BUNDLE, "destination": "dag_run", "url_route": "result"},
    ]  # fmt: skip
