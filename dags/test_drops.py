"""The answers to what schools put into their folder `inbox/test/`, every five minutes; nothing is loaded."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import get_parsing_context

from etl_lib.airflow_edge.test_drops import DAG_ID, drops_dag
from etl_lib.config.project import Project

if get_parsing_context().dag_id in (None, DAG_ID):  # a task's process builds its own DAG only
    dag = drops_dag(Project.load(Path(__file__).parents[1] / "include"))
