"""Every integration of this environment: one DAG for each mapping in include/mappings/."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import get_parsing_context

from etl_lib.airflow_edge.dag_factory import integration
from etl_lib.airflow_edge.described import parsing_begins
from etl_lib.config.project import Project

project = Project.load(Path(__file__).parents[1] / "include")
wanted = get_parsing_context().dag_id  # a task's process builds its own DAG only
if wanted is None:
    parsing_begins(project)

for client_id in project.client_ids():
    if wanted in (None, client_id):
        globals()[client_id] = integration(project, client_id)
