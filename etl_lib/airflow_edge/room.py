"""Where a client's heavy tasks run and what they get there: their pool, and under Kubernetes their pod."""

from __future__ import annotations

from functools import cache
from typing import Any

from airflow.configuration import conf
from airflow.sdk import get_parsing_context

from etl_lib.config.room import Resources

CONTAINER = "base"  # the one that runs the task, by Airflow's rule


def of_heavy_tasks(pool: str | None, resources: Resources) -> dict[str, Any]:
    """Arguments of the operators whose work grows with the school's rows: extract, transform and load.

    validate judges facts that are there already and report tells what happened: a second or two whatever
    the size, so they wait for no slot of the pool and get the pod of the template.
    """
    found: dict[str, Any] = {"pool": pool} if pool else {}
    if (resources.cpu or resources.memory) and makes_pods():
        found["executor_config"] = {"pod_override": pod_override(resources)}
    return found


def makes_pods() -> bool:
    """Whether this process parses for an executor that makes pods; only then is Kubernetes' client imported.

    A task's own process, which builds its one DAG, is in its pod already: it saves the 0.3 CPU s.
    """
    on_kubernetes = "KubernetesExecutor" in conf.get("core", "executor", fallback="")
    return on_kubernetes and get_parsing_context().dag_id is None


@cache
def pod_override(resources: Resources) -> Any:
    """A `V1Pod` that says of the task's container what its mapping says, and nothing else.

    cpu is asked for without a limit: idle cores of the node are not withheld, and nothing breaks when a
    neighbour wants them. memory is asked for and limited alike: the pod that outgrows it is ended, not
    its neighbour. One object for all that ask for the same.
    """
    from kubernetes.client import models as k8s

    asked = {"cpu": resources.cpu, "memory": resources.memory}
    requests = {name: amount for name, amount in asked.items() if amount}
    limits = {"memory": resources.memory} if resources.memory else None
    given = k8s.V1ResourceRequirements(requests=requests, limits=limits)
    container = k8s.V1Container(name=CONTAINER, resources=given)
    return k8s.V1Pod(spec=k8s.V1PodSpec(containers=[container]))
