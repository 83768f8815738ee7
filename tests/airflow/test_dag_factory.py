"""Mapping files in, DAGs out: their number, shape and words, and what a broken mapping does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from etl_lib.config.project import Project

REPORT = """
import json, runpy, sys
from airflow.sdk import DAG
found = runpy.run_path(sys.argv[1])
heavy = ("pandas", "pyarrow", "great_expectations", "boto3", "paramiko", "psycopg", "kubernetes")
dags = {k: v for k, v in found.items() if isinstance(v, DAG)}
listed = lambda given: given if isinstance(given, list) else []
print(json.dumps({
    "heavy": [m for m in heavy if m in sys.modules],
    "dags": {
        k: {
            "tasks": [t.task_id for t in d.topological_sort()],
            "retries": d.tasks[0].retries,
            "schedule": str(d.timetable.expression) + str(d.timetable.timezone) if d.schedule else None,
            "access": repr(d.access_control), "start": str(d.start_date),
            "params": sorted(d.params), "asked": [sorted(t.params) for t in d.tasks],
            "clients": listed(getattr(getattr(d.tasks[-1], "expand_input", None), "value", {}).get("client_id")),
            "at_once": d.tasks[-1].max_active_tis_per_dag,
            "name": d.dag_display_name, "tags": sorted(d.tags), "doc": d.doc_md,
            "active": d.max_active_runs,
            "teardown": d.tasks[-1].is_teardown,
        } for k, d in dags.items()
    },
}))
"""


@pytest.fixture
def project(tmp_path: Path, repo: Path) -> Path:
    """A copy of the parts of the project that make DAGs."""
    shutil.copytree(repo / "dags", tmp_path / "dags")
    shutil.copytree(
        repo / "include", tmp_path / "include", ignore=shutil.ignore_patterns("samples")
    )
    return tmp_path


def parse(project: Path, name: str = "integrations") -> dict[str, dict]:
    """A DAG file as Airflow's DAG processor reads it, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REPORT, str(project / "dags" / f"{name}.py")],
        stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "AIRFLOW_HOME": str(project / "airflow"), "ETL_ENVIRONMENT": "development",
             "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_every_mapping_is_one_dag_of_four_stages_and_a_report(project: Path) -> None:
    found = parse(project)
    assert set(found["dags"]) == set(Project(project / "include", "development").client_ids())
    for dag in found["dags"].values():
        assert dag["tasks"] == ["extract", "validate", "transform", "load", "report"]
        assert dag["teardown"] and dag["retries"] >= 1 and dag["active"] > 1
        assert {"approve", "undo"} <= set(dag["params"])
        assert dag["asked"] == [
            [],
            [],
            [],
            ["comment"],
            [],
        ]  # what the form of an answer asks, and no more


@pytest.mark.parametrize("name", ["integrations", "reconcile", "test_drops"])
def test_parsing_imports_nothing_heavy(project: Path, name: str) -> None:
    assert parse(project, name)["heavy"] == []


def test_the_weekly_upkeep_is_one_more_dag_that_compares_every_client_a_few_at_a_time(
    project: Path,
) -> None:
    [(name, dag)] = parse(project, "reconcile")["dags"].items()
    clients = Project(project / "include", "development").client_ids()
    assert name == "dag" and sorted(dag["tasks"]) == ["expire_history", "reconcile"]
    assert dag["clients"] == list(clients)
    assert dag["active"] == 1 and 0 < dag["at_once"] < len(clients)


def test_tests_are_looked_for_in_one_task_and_answered_in_one_for_each_client_that_has_any(
    project: Path,
) -> None:
    [(name, dag)] = parse(project, "test_drops")["dags"].items()
    assert name == "dag" and dag["tasks"] == ["look", "answer"]
    assert dag["clients"] == []  # the look says whose
    assert (dag["active"], dag["schedule"][:11], dag["retries"]) == (1, "*/5 * * * *", 0)


def test_a_broken_mapping_keeps_its_dag_and_leaves_the_others_alone(project: Path) -> None:
    whole = set(parse(project)["dags"])
    broken = sorted(whole)[0]
    path = project / "include" / "mappings" / f"{broken}.yaml"
    path.write_text(path.read_text() + "\nscedule: 1\n")
    found = parse(project)
    assert set(found["dags"]) == whole
    dag = found["dags"][broken]
    assert dag["tasks"] == ["extract", "validate", "transform", "load", "report"]
    assert "Did you mean `schedule`?" in dag["doc"]
    assert dag["tags"] == ["mapping broken"] and dag["retries"] == 0


def test_the_schedule_is_in_the_clients_own_zone(project: Path) -> None:
    project_config = Project(project / "include", "development")
    dags = parse(project)["dags"]
    for client_id in project_config.client_ids():
        mapping = project_config.resolve(client_id).mapping
        assert dags[client_id]["name"] == mapping.client
        assert f"in {mapping.timezone}" in dags[client_id]["doc"]


def test_a_snapshot_makes_the_dags_that_its_mappings_make(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(project / "airflow"))
    from etl_lib.airflow_edge.described import describe, keep_described

    broken = project / "include" / "mappings" / "broken_school.yaml"
    broken.write_text("client: Broken\nsis: x\nowner: Ana\nfeeds: {}\nscedule: 1\n")
    read = parse(project)
    config = Project(project / "include", "development")
    keep_described(project, "development", {c: describe(config, c) for c in config.client_ids()})
    for path in (project / "include" / "templates").glob("*.yaml"):
        path.unlink()  # what a snapshot knows is not read again
    assert parse(project) == read
    keep_described(project, "production", {})  # of another environment: nothing of it counts
    assert parse(project) != read
