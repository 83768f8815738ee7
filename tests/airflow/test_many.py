"""`etl many rerun` beside a running Airflow: cleared or begun anew, as shown and only as shown."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.airflow.conftest import GOOD, LATE, STOPPED, RunningAirflow

# shares one running stack: stays in one of the parallel processes
pytestmark = pytest.mark.xdist_group("airflow")


def record(airflow: RunningAirflow, client_id: str, run_id: str, status: str, code: str) -> None:
    """What the record says of a failed run."""
    airflow.edit(
        "WITH run AS (INSERT INTO etl.run (client_id, dag_id, run_id, environment, status, ended_at) "
        "VALUES (%s, %s, %s, 'development', %s, now()) RETURNING run_seq) "
        "INSERT INTO etl.run_message (run_seq, stage, code, text) SELECT run_seq, 'extract', %s, 'x' FROM run",
        client_id, client_id, run_id, status, code,
    )  # fmt: skip


def test_a_stopped_run_is_cleared_a_late_delivery_gets_a_new_run_and_what_is_at_work_is_left_alone(
    airflow: RunningAirflow,
) -> None:
    for client_id in (LATE, STOPPED):
        airflow.api.unpause(client_id)
    record(airflow, LATE, "manual__late", "not_received", "NOT_RECEIVED")
    record(airflow, STOPPED, "manual__stopped", "failed", "STAGE_STOPPED")
    record(airflow, GOOD, "manual__forgotten", "failed", "STAGE_STOPPED")
    assert airflow.stack.airflow is not None
    called = subprocess.run(
        [sys.executable, "-m", "tests.airflow.rerun_calls", LATE, STOPPED, GOOD],
        env=airflow.stack.airflow.environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    airflow.edit("DELETE FROM etl.run WHERE run_id = 'manual__forgotten'")
    assert called.returncode == 0, called.stderr
    told = json.loads(called.stdout.splitlines()[-1])

    assert [(i["client_id"], i["what"].split(":")[0]) for i in told["seen"]["items"]] == [
        (LATE, "new run"), (STOPPED, "clear"),
    ]  # fmt: skip
    left_out = {out["client_id"]: out["reason"] for out in told["seen"]["left_out"]}
    assert left_out == {GOOD: "Airflow does not know the run"}
    assert [i["client_id"] for i in told["only_late"]["items"]] == [LATE]
    assert told["before"] == {
        LATE: {"manual__late": ["failed", 0]}, STOPPED: {"manual__stopped": ["failed", 0]},
    }  # fmt: skip

    assert (told["done"]["code"], len(told["done"]["done"])) == (0, 2)
    [new] = told["after"][LATE].keys() - {"manual__late"}
    assert told["after"][LATE]["manual__late"] == ["failed", 0]
    assert told["after"][LATE][new][0] in ("queued", "running")
    state, cleared = told["after"][STOPPED]["manual__stopped"]
    assert state in ("queued", "running") and cleared == 1
    # shown before that, and not what it was: the client is at work
    assert told["again"]["code"] == 1 and told["again"]["done"] == []
    said = told["again"]["left_out"][0]["said"]
    assert said.startswith("changed since it was shown: ")
    assert (
        "is at work in Airflow" in said or "which is newer: running" in said
    )  # Airflow's word, or ours
    acts = airflow.query("SELECT client_id, text FROM etl.act WHERE kind = 'rerun' ORDER BY 1")
    assert acts == [(LATE, f"new run {new}"), (STOPPED, "cleared")]
