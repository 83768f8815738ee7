"""Registers the view in Airflow: an entry in the side bar, a tab on each integration, one on each run."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

_PREFIX = "/integrations"
_BUNDLE = f"{_PREFIX}/static/view.js"


def _app() -> Any:
    """The web app behind Airflow's login."""
    from etl_lib.airflow_edge.view_host import airflow_host
    from etl_lib.config.project import Project
    from etl_lib.view.api import create_app

    project = Project.load()
    return create_app(airflow_host(project), project)


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
        {"name": "Need", "bundle_url": _BUNDLE, "destination": "dashboard", "url_route": "need"},
    ]  # fmt: skip
