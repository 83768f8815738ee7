"""Runs that cannot say themselves how they ended: killed, ended by a person, or with their last word lost."""

from __future__ import annotations

import psycopg
import pytest

from tests.airflow.conftest import KILLED, PATIENT, SILENT, RunningAirflow
from tests.airflow_tasks import scheduler_of, tasks_at_work

# shares one running stack: stays in one of the parallel processes
pytestmark = pytest.mark.xdist_group("airflow")


def recorded(airflow: RunningAirflow, client_id: str, run_id: str) -> tuple[str, bool, set[str]]:
    """The run's status, whether it has ended, and the codes of its messages."""
    rows = airflow.query(
        "SELECT r.status, r.ended_at IS NOT NULL, m.code FROM etl.run r LEFT JOIN etl.run_message m "
        "USING (run_seq) WHERE r.client_id = %s AND r.run_id = %s",
        client_id,
        run_id,
    )
    assert rows, "the run is not recorded"
    return str(rows[0][0]), bool(rows[0][1]), {str(row[2]) for row in rows if row[2]}


def test_a_run_whose_process_was_killed_is_failed_with_the_reason_and_loads_nothing(
    airflow: RunningAirflow,
) -> None:
    airflow.deliver("night_1", KILLED)
    with psycopg.connect(airflow.stack.etl_database_url) as lock:
        lock.execute(
            "SELECT pg_advisory_lock(hashtext('etl load'), hashtext(%s))", (KILLED,)
        )  # load waits here
        run_id = airflow.api.trigger(KILLED)
        airflow.api.unpause(KILLED)
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' "
            "AND datname = current_database()"
        )
        airflow.wait_until(lambda: airflow.query(waits) == [(1,)], 60)
        load = airflow.api.task_tries(KILLED, run_id)["load"]
        tasks_at_work(scheduler_of(airflow.stack))[load].process.kill()
        state, tasks = airflow.ended(KILLED, run_id)
    assert (state, tasks["load"]) == ("failed", "failed")
    airflow.wait_until(lambda: recorded(airflow, KILLED, run_id)[1], 5)
    status, _, codes = recorded(airflow, KILLED, run_id)
    assert (status, codes) == ("failed", {"STAGE_STOPPED"})
    assert airflow.query("SELECT count(*) FROM core.person WHERE client_id = %s", KILLED) == [(0,)]


def test_a_run_that_a_person_ended_in_airflow_is_failed_within_seconds(
    airflow: RunningAirflow,
) -> None:
    run_id = airflow.api.trigger(PATIENT)
    airflow.api.unpause(PATIENT)
    airflow.wait_until(lambda: shown(airflow, run_id) == "waiting", 60)
    answer = airflow.api.client().patch(
        f"/api/v2/dags/{PATIENT}/dagRuns/{run_id}", json={"state": "failed"}
    )
    answer.raise_for_status()
    airflow.wait_until(lambda: recorded(airflow, PATIENT, run_id)[1], 15)
    status, _, codes = recorded(airflow, PATIENT, run_id)
    assert (status, codes) == ("failed", {"STAGE_STOPPED"})


def shown(airflow: RunningAirflow, run_id: str) -> str:
    """The run's status in the record; empty before there is one."""
    rows = airflow.query("SELECT status FROM etl.run WHERE run_id = %s", run_id)
    return str(rows[0][0]) if rows else ""


def test_an_end_that_was_lost_is_made_good_at_the_next_event(airflow: RunningAirflow) -> None:
    _, tasks = airflow.run(SILENT)
    assert tasks["extract"] == "failed"
    [(run_id,)] = airflow.query(
        "SELECT run_id FROM etl.run WHERE client_id = %s ORDER BY started_at DESC LIMIT 1", SILENT
    )
    with psycopg.connect(airflow.stack.etl_database_url) as connection:
        connection.execute(
            "UPDATE etl.run SET status = 'running', ended_at = NULL, sentence = '' WHERE run_id = %s",
            (run_id,),
        )
    airflow.run(SILENT)  # any other run wakes the scheduler's listener
    airflow.wait_until(lambda: recorded(airflow, SILENT, str(run_id))[1], 5)
    assert recorded(airflow, SILENT, str(run_id))[0] == "failed"
