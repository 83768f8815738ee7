"""The archives that may hold what a run has read: that of this machine, and that of Airflow's runs."""

from __future__ import annotations

from etl_lib.airflow_edge.connections import archive_of
from etl_lib.cli.run import local_home
from etl_lib.config.project import Project
from etl_lib.errors import FixTheSetup
from etl_lib.storage import Storage


def known_archives(project: Project, client_id: str) -> tuple[list[Storage], str]:
    """The client's archives, our own first; and why Airflow's is not among them, or nothing."""
    ours = local_home().at("archive", client_id)
    try:
        return [ours, archive_of(project, client_id)], ""
    except FixTheSetup as error:
        return [ours], f"The archive of Airflow's runs cannot be reached: {error}"
