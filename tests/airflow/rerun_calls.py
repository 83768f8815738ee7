"""Run by test_many.py beside a running Airflow: failed runs, and what `etl many` says and does about them.

One process for all calls: each would import Airflow anew.
"""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import Any

import typer
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select

from etl_lib.cli.main import app


def etl(*words: str) -> dict[str, Any]:
    """The JSON that `etl many` prints, with its exit code."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = typer.main.get_command(app)(["many", *words, "--json"], standalone_mode=False)
    return {"code": code or 0, **json.loads(printed.getvalue())}


def make_failed_run(client_id: str, run_id: str) -> None:
    """A run of the client that Airflow has ended as failed."""
    with create_session(scoped=False) as session:
        dag = DBDagBag().get_latest_version_of_dag(client_id, session=session)
        assert dag is not None
        dag.create_dagrun(
            run_id=run_id, run_after=datetime.now(UTC), run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST, state=DagRunState.FAILED, session=session,
        )  # fmt: skip


def runs(client_id: str) -> dict[str, list[Any]]:
    """The client's runs: state, how often cleared."""
    with create_session(scoped=False) as session:
        found = session.scalars(select(DagRun).where(DagRun.dag_id == client_id))
        return {run.run_id: [run.state, run.clear_number] for run in found}


if __name__ == "__main__":
    late, stopped, unknown = sys.argv[1:]
    make_failed_run(late, "manual__late")
    make_failed_run(stopped, "manual__stopped")
    both = ("rerun", "--client", late, "--client", stopped, "--client", unknown, "--since", "1h")
    seen = etl(*both)
    only_late = etl("rerun", "--code", "NOT_RECEIVED", "--client", late, "--client", stopped)
    before = {client_id: runs(client_id) for client_id in (late, stopped)}
    done = etl("apply", seen["token"])
    again = etl("apply", only_late["token"])
    after = {client_id: runs(client_id) for client_id in (late, stopped)}
    answers = {"seen": seen, "only_late": only_late, "done": done, "again": again}
    print(json.dumps({**answers, "before": before, "after": after}))
