"""What the record says of runs whose own last word never came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from etl_lib.config.project import Project
from etl_lib.load.tables import migrate_if_needed
from etl_lib.metrics.in_step import AirflowRun, bring_in_step, lost_runs_of_the_cli, open_runs

REPO = Path(__file__).parents[2]
BEGAN = datetime(2026, 11, 20, 2, tzinfo=UTC)
ENDED = BEGAN + timedelta(minutes=5)


@pytest.fixture
def url(database_url: str) -> str:
    migrate_if_needed(database_url, Project(REPO / "include", "development").entities)
    return database_url


def query(url: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(text.encode()).fetchall()


def settle(url: str, *runs: AirflowRun) -> None:
    bring_in_step(url, "development", runs)


def test_a_run_is_shown_from_its_beginning_and_failed_when_no_task_ever_spoke(url: str) -> None:
    settle(url, AirflowRun("school", "r1", BEGAN))
    assert query(url, "SELECT status, ended_at FROM etl.run") == [("running", None)]
    assert open_runs(url) == [("school", "r1")]
    settle(url, AirflowRun("school", "r1", BEGAN, ENDED, "task_failure"))
    assert query(url, "SELECT status, ended_at FROM etl.run") == [("failed", ENDED)]
    assert query(url, "SELECT code FROM etl.run_message") == [("RUN_NEVER_BEGAN",)]
    [(words,)] = query(url, "SELECT sentence FROM etl.run")
    assert str(words).startswith("Failed; nothing was changed.")
    assert open_runs(url) == []


def test_a_run_that_timed_out_says_so_with_its_stage(url: str) -> None:
    settle(url, AirflowRun("school", "r1", BEGAN))
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO etl.run_stage (run_seq, stage, status) SELECT run_seq, 'transform', 'running' FROM etl.run"
        )
    settle(url, AirflowRun("school", "r1", BEGAN, ENDED, "timed_out"))
    assert query(url, "SELECT code, text FROM etl.run_message") == [
        ("RUN_TIMED_OUT", "It was in transform.")
    ]
    assert query(url, "SELECT status, ended_at FROM etl.run_stage") == [("failed", ENDED)]


def test_a_run_that_was_loaded_keeps_its_counts_and_misses_only_its_report(url: str) -> None:
    settle(url, AirflowRun("school", "r1", BEGAN))
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO etl.load (run_seq, client_id, delivery_seq, delivery_id, row_contract, change_seq, status) "
            "SELECT run_seq, 'school', 1, 'd', 'c', 1, 'succeeded' FROM etl.run"
        )
        connection.execute(
            "INSERT INTO etl.run_count SELECT run_seq, 'users', 'person', 12, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0 "
            "FROM etl.run"
        )
    settle(url, AirflowRun("school", "r1", BEGAN, ENDED))
    assert query(url, "SELECT status, sentence FROM etl.run") == [
        ("succeeded", "Loaded 12 records, 12 changed.")
    ]
    assert query(url, "SELECT code FROM etl.run_message") == [("REPORT_LOST",)]


def test_an_end_that_is_recorded_is_left_alone(url: str) -> None:
    settle(url, AirflowRun("school", "r1", BEGAN, ENDED))
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE etl.run SET status = 'not_received', sentence = 'said'")
    settle(url, AirflowRun("school", "r1", BEGAN, ENDED + timedelta(hours=1), "task_failure"))
    assert query(url, "SELECT status, sentence, ended_at FROM etl.run") == [
        ("not_received", "said", ENDED)
    ]
    assert query(url, "SELECT count(*) FROM etl.run_message") == [(1,)]


def test_a_run_at_the_terminal_is_given_up_after_half_a_day_only(url: str) -> None:
    now = datetime.now(UTC)
    with psycopg.connect(url) as connection:
        for name, hours in (("cli__old", 13), ("cli__young", 1)):
            connection.execute(
                "INSERT INTO etl.run (client_id, dag_id, run_id, environment, status, started_at) "
                "VALUES ('school', 'school', %s, 'development', 'running', %s)",
                (name, now - timedelta(hours=hours)),
            )
    assert open_runs(url) == []
    settle(url, *lost_runs_of_the_cli(url))
    assert query(url, "SELECT run_id, status FROM etl.run ORDER BY 1") == [
        ("cli__old", "failed"),
        ("cli__young", "running"),
    ]
