"""A school's whole stay beside a running Airflow: access, doctor, a loaded delivery over SFTP, and its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_stack.objects import key_pair
from local_stack.sftp_client import upload
from local_stack.stack import SftpAccess
from tests.airflow.conftest import GOOD, RunningAirflow

# shares one running stack: stays in one of the parallel processes; four commands that import Airflow
pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.timeout(600)]
LEAVING = "leaving_school"


def etl(airflow: RunningAirflow, *words: str) -> Any:
    """What the command prints as JSON, with its exit code."""
    assert airflow.stack.airflow is not None
    done = subprocess.run(
        [sys.executable, "-m", "etl_lib.cli", *words, "--json"],
        env={**airflow.stack.airflow.environ(), "ETL_HOME": str(airflow.project / "home")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return {**json.loads(done.stdout or "{}"), "code": done.returncode}


def wrong(answer: Any) -> dict[str, str]:
    return {f["check"]: f["code"] for f in answer["findings"] if f["outcome"] == "wrong"}


def objects_of(airflow: RunningAirflow, client_id: str) -> list[Path]:
    folder = airflow.stack.objects.folder
    return [path for path in folder.rglob("*") if path.is_file() and client_id in path.parts]


def test_a_school_comes_sends_and_leaves(airflow: RunningAirflow, tmp_path: Path) -> None:
    mapping = airflow.project / "include" / "mappings" / f"{LEAVING}.yaml"
    mapping.write_text((mapping.parent / f"{GOOD}.yaml").read_text())
    airflow.api.wait_for_dags({LEAVING})
    answer = etl(airflow, "doctor", LEAVING)
    assert wrong(answer) == {"SFTP access": "ACCESS_NOT_RIGHT", "Airflow": "DAG_NOT_SEEN"}
    assert "paused" in answer["findings"][-1]["said"]

    key_pair(tmp_path / "school")
    etl(airflow, "provision", LEAVING, "--key", str(tmp_path / "school.pub"), "--yes")
    airflow.api.unpause(LEAVING)
    answer = etl(airflow, "doctor", LEAVING)
    assert (answer["code"], wrong(answer)) == (0, {})

    sftp = airflow.stack.sftp
    access = SftpAccess(sftp.port, LEAVING, tmp_path / "school", sftp.host_key)
    upload(access, airflow.samples / GOOD / "night_1", "inbox")
    state, _ = airflow.run(LEAVING, 240)
    assert state == "success"
    assert airflow.query("SELECT count(*) FROM core.person WHERE client_id = %s", LEAVING) > [(0,)]
    others = airflow.query("SELECT client_id, count(*) FROM core.person GROUP BY 1 ORDER BY 1")
    others_objects = len(objects_of(airflow, GOOD))

    done = etl(airflow, "retire", LEAVING, "--erase", "--yes")
    assert done["code"] == 0
    assert done["rows"]["core.person"] > 0 and len(done["objects"]) >= 2
    assert objects_of(airflow, LEAVING) == []
    left = airflow.query("SELECT client_id, count(*) FROM core.person GROUP BY 1 ORDER BY 1")
    assert left == [row for row in others if row[0] != LEAVING]
    assert len(objects_of(airflow, GOOD)) == others_objects
    kinds = airflow.query("SELECT kind FROM etl.act WHERE client_id = %s", LEAVING)
    assert kinds == [("retire",)]
    airflow.wait_until(lambda: LEAVING not in airflow.api.dag_ids())
    assert airflow.query("SELECT count(*) FROM etl.run WHERE client_id = %s", LEAVING) == [(0,)]
