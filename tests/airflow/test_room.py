"""What a mapping asks for its tasks: pool and rank in the DAG, cpu and memory in Kubernetes' own pods."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.airflow.conftest import RunningAirflow

HEAVY = {"extract", "transform", "load"}
# a DAG as Airflow keeps it in its database, and of each task the pod that the executor would make
PODS = """
import json, runpy, sys
from airflow.sdk import DAG
found = runpy.run_path(sys.argv[1])["lakeside"]
imported = "kubernetes" in sys.modules
from airflow.serialization.serialized_objects import DagSerialization
kept = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(found))))
tasks = {t.task_id: {"pool": t.pool, "rank": t.priority_weight, "rule": str(t.weight_rule),
                     "config": bool(t.executor_config)} for t in found.tasks}
pods = {}
if len(sys.argv) > 2:
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from kubernetes.client import ApiClient
    for task in kept.tasks:
        template = PodGenerator.deserialize_model_file(sys.argv[2])
        pod = PodGenerator.construct_pod(
            dag_id="lakeside", task_id=task.task_id, pod_id="lakeside-" + task.task_id, try_number=1,
            kube_image="registry.test/etl:7", date=None, args=["python", "-m", "it"], run_id="night",
            pod_override_object=PodGenerator.from_obj(task.executor_config), base_worker_pod=template,
            namespace="etl", scheduler_job_id="1")
        written = ApiClient().sanitize_for_serialization(pod)
        assert PodGenerator.deserialize_model_dict(json.loads(json.dumps(written))) == pod
        pods[task.task_id] = written
print(json.dumps({"imported": imported, "tasks": tasks, "pods": pods}))
"""


@pytest.fixture
def project(tmp_path: Path, repo: Path) -> Path:
    """One school that asks for room."""
    shutil.copytree(repo / "dags", tmp_path / "dags")
    ignored = shutil.ignore_patterns("samples", "mappings")
    shutil.copytree(repo / "include", tmp_path / "include", ignore=ignored)
    (tmp_path / "include" / "mappings").mkdir()
    text = (repo / "include" / "mappings" / "lakeside.yaml").read_text()
    mapping = tmp_path / "include" / "mappings" / "lakeside.yaml"
    mapping.write_text(
        text + "pool: large\npriority: 7\nresources: {cpu: 500m, memory: 3Gi}\n", encoding="utf-8"
    )
    return tmp_path


def parsed(project: Path, executor: str, *more: str, task_of: str = "") -> dict[str, Any]:
    """The school's DAG in a process of its own, under an executor."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PODS, str(project / "dags" / "integrations.py"), *more],
        stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "AIRFLOW_HOME": str(project / "airflow"), "ETL_ENVIRONMENT": "development",
             "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__EXECUTOR": executor,
             **({"_AIRFLOW_PARSING_CONTEXT_DAG_ID": task_of} if task_of else {})},
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("executor", ["LocalExecutor", "CeleryExecutor"])
def test_heavy_tasks_share_the_pool_and_all_have_the_schools_rank(
    project: Path, executor: str
) -> None:
    found = parsed(project, executor)
    tasks = found["tasks"]
    assert {name for name, one in tasks.items() if one["pool"] == "large"} == HEAVY
    assert {one["rank"] for one in tasks.values()} == {7}
    assert not any(one["config"] for one in tasks.values()) and not found["imported"]


def test_under_kubernetes_a_heavy_task_gets_a_pod_of_the_schools_resources(
    project: Path, repo: Path
) -> None:
    template = repo / "deploy" / "kubernetes" / "pod_template.yaml"
    found = parsed(project, "KubernetesExecutor", str(template))
    assert {name for name, one in found["tasks"].items() if one["config"]} == HEAVY
    pods = {task: pod["spec"] for task, pod in found["pods"].items()}
    given = {task: spec["containers"][0]["resources"] for task, spec in pods.items()}
    usual = yaml.safe_load(template.read_text())["spec"]["containers"][0]["resources"]
    asked = {"requests": {"cpu": "500m", "memory": "3Gi"}, "limits": {"memory": "3Gi"}}
    assert asked != usual
    assert given == {
        task: asked if task in HEAVY else usual
        for task in ("extract", "validate", "transform", "load", "report")
    }
    for spec in pods.values():  # what the template says else is still there
        (container,) = spec["containers"]
        assert container["name"] == "base" and container["image"] == "registry.test/etl:7"
        assert container["args"] == ["python", "-m", "it"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert spec["securityContext"]["runAsNonRoot"] is True
        mounts = {one["name"] for one in container["volumeMounts"]}
        assert {"home", "bundles", "scratch"} <= mounts == {one["name"] for one in spec["volumes"]}


def test_a_tasks_own_process_is_in_its_pod_already(project: Path) -> None:
    found = parsed(project, "KubernetesExecutor", task_of="lakeside")
    assert not found["imported"] and not any(one["config"] for one in found["tasks"].values())


def test_the_pod_template_says_nothing_that_kubernetes_does_not_know(repo: Path) -> None:
    """Kubernetes' client drops an unknown key without a word; what it writes must be what it read."""
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from kubernetes.client import ApiClient

    path = repo / "deploy" / "kubernetes" / "pod_template.yaml"
    pod = PodGenerator.deserialize_model_file(str(path))
    assert ApiClient().sanitize_for_serialization(pod) == yaml.safe_load(path.read_text())


@pytest.mark.xdist_group("airflow")
def test_the_environments_pools_are_in_airflow_and_stay_as_written(
    airflow: RunningAirflow,
) -> None:
    assert airflow.api.get("/pools/large")["slots"] == 1
    body = {"pool": "large", "slots": 3, "include_deferred": False}
    changed = airflow.api.client().patch("/api/v2/pools/large", json=body)
    changed.raise_for_status()
    assert airflow.api.get("/pools/large")["slots"] == 3
    airflow.wait_until(lambda: airflow.api.get("/pools/large")["slots"] == 1, 30)
