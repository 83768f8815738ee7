"""A small client of Airflow's REST API: what the demo and the tests need of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from local_stack.processes import StackError

_PAGE = 100  # more Airflow does not give at once


class NotYetError(Exception):
    """What was asked for is not there yet."""


@dataclass
class AirflowApi:
    """Logged in as one user of Airflow's own login page; raises httpx.HTTPStatusError when refused."""

    url: str
    user: str
    password: str
    _client: httpx.Client | None = field(default=None, repr=False)

    def client(self) -> httpx.Client:
        """An HTTP client that carries the user's token."""
        if self._client is None:
            with httpx.Client(base_url=self.url, timeout=60) as login:
                answer = login.post(
                    "/auth/token", json={"username": self.user, "password": self.password}
                )
                answer.raise_for_status()
            token = answer.json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            self._client = httpx.Client(base_url=self.url, timeout=60, headers=headers)
        return self._client

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The JSON answer of a GET below /api/v2."""
        answer = self.client().get(f"/api/v2{path}", params=query)
        answer.raise_for_status()
        return dict(answer.json())

    def dag_ids(self) -> set[str]:
        """Every DAG that the user may read, page by page."""
        found: set[str] = set()
        while True:
            answer = self.get("/dags", limit=_PAGE, offset=len(found), order_by="dag_id")
            found |= {dag["dag_id"] for dag in answer["dags"]}
            if len(found) >= answer["total_entries"] or not answer["dags"]:
                return found

    def wait_for_dags(self, dag_ids: set[str], limit_s: float = 90) -> None:
        """Wait until Airflow knows all these DAGs; raises StackError naming those it does not."""

        @retry(stop=stop_after_delay(limit_s), wait=wait_fixed(0.5),
               retry=retry_if_exception_type(NotYetError), reraise=True)  # fmt: skip
        def known() -> None:
            if missing := dag_ids - self.dag_ids():
                raise NotYetError(", ".join(sorted(missing)))

        try:
            known()
        except NotYetError as error:
            raise StackError(
                f"Airflow does not show these DAGs: {error}. {self.import_errors()}"
            ) from None

    def unpause(self, dag_id: str) -> None:
        """Let the DAG's runs start."""
        self.client().patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).raise_for_status()

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run by hand; gives its id."""
        body = {"logical_date": datetime.now(UTC).isoformat(), "conf": conf or {}}
        answer = self.client().post(f"/api/v2/dags/{dag_id}/dagRuns", json=body)
        answer.raise_for_status()
        return str(answer.json()["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Each task's state in a run."""
        return {task["task_id"]: task["state"] for task in self._tasks(dag_id, run_id)}

    def task_tries(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Airflow's id of each task's present try."""
        return {task["task_id"]: task["id"] for task in self._tasks(dag_id, run_id)}

    def _tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return list(self.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def clear(self, dag_id: str, run_id: str, task_ids: list[str]) -> None:
        """Let tasks of a run run again, as a person does in the user interface."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": task_ids, "only_failed": False}
        self.client().post(
            f"/api/v2/dags/{dag_id}/clearTaskInstances", json=body
        ).raise_for_status()

    def import_errors(self) -> dict[str, str]:
        """Airflow's import errors by file."""
        answer = self.get("/importErrors")
        return {one["filename"]: one["stack_trace"] for one in answer["import_errors"]}
