"""The weekly upkeep over all clients: each compared with its last delivery, old history dropped."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import get_parsing_context

from etl_lib.airflow_edge.upkeep import DAG_ID, upkeep
from etl_lib.config.project import Project

if get_parsing_context().dag_id in (None, DAG_ID):  # a task's process builds its own DAG only
    dag = upkeep(Project.load(Path(__file__).parents[1] / "include"))
