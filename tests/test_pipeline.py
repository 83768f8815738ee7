"""The stages in their order: what the report says of a run whose waiting task was ended in Airflow."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from etl_lib.errors import NeedsApproval
from etl_lib.load import load
from etl_lib.metrics.holds import hold_of_run
from etl_lib.metrics.in_step import AirflowRun, bring_in_step
from etl_lib.pipeline import do_report, end_hold, recorded
from etl_lib.report.question import body, headline
from etl_lib.run import Run
from tests.load.conftest import School
from tests.load.test_load import many


@pytest.fixture
def waiting(tmp_path: Path, database_url: str) -> Run:
    """A run that waits for a person, as the load task leaves it."""
    school = School(tmp_path, database_url)
    load(*school.prepare(many(300)))
    night = many(300)
    given = school.prepare({**night, "enrollments": night["enrollments"][40:]})
    run = given[0]
    with pytest.raises(NeedsApproval), recorded(run, "load"):
        load(*given)
    do_report(run)
    assert one(run, "SELECT status, ended_at FROM etl.run WHERE run_id = %s") == (
        "awaiting_approval", None
    )  # fmt: skip
    return run


def one(run: Run, text: str) -> tuple[object, ...]:
    with psycopg.connect(run.database_url) as connection:
        row = connection.execute(text.encode(), (run.run_id,)).fetchone()
    assert row is not None
    return tuple(row)


_HOLD = "SELECT h.status FROM etl.hold h JOIN etl.run r USING (run_seq) WHERE r.run_id = %s"


def test_a_waiting_task_that_was_ended_leaves_no_open_hold_and_no_green_run(waiting: Run) -> None:
    for _ in range(2):  # a report may be repeated
        end_hold(waiting)
        outcome = do_report(waiting)
        assert outcome.status == "refused"
        assert "ended in Airflow" in outcome.sentence
    assert one(waiting, _HOLD) == ("ended",)


def test_a_run_that_was_ended_whole_leaves_no_open_hold(waiting: Run) -> None:
    ended = AirflowRun(waiting.dag_id, waiting.run_id, waiting.started_at, waiting.started_at)
    assert bring_in_step(waiting.database_url, "test", [ended])
    assert one(waiting, _HOLD) == ("ended",)
    assert one(waiting, "SELECT status FROM etl.run WHERE run_id = %s") == ("failed",)


def test_the_question_says_why_how_much_and_until_when_without_a_value(
    tmp_path: Path, database_url: str
) -> None:
    school = School(tmp_path, database_url)
    load(*school.prepare(many(300)))
    night = many(300)
    run, extracted, *rest = school.prepare({**night, "enrollments": night["enrollments"][40:]})
    with pytest.raises(NeedsApproval):
        load(run, extracted, *rest)
    hold = hold_of_run(database_url, run)
    assert hold is not None
    assert headline("Test School", hold) == (
        "Test School: Would delete 40 of 300 rows of enrollment (13.3%); "
        "up to 10% pass without approval. Load it?"
    )
    text = body(extracted, hold)
    assert "| enrollments | enrollment | 260 | 0 | 0 | 260 | 40 | 0 |" in text
    assert "`***`: delete" in text and f"{hold.lapses_at:%d %B %Y}" in text
    assert not [key for key in ("e7", "p7", "Doe") if f"`{key}`" in text]


def test_a_late_delivery_of_changes_has_ended_its_run_when_it_waits_for_approval(
    tmp_path: Path, database_url: str
) -> None:
    school = School(tmp_path, database_url)
    run, *_ = school.prepare(many(3))
    with pytest.raises(NeedsApproval), recorded(run, "extract"):
        raise NeedsApproval.of("LATE_CHANGES", "It came after a newer one.")
    assert do_report(run).status == "awaiting_approval"
    ended = "SELECT ended_at IS NOT NULL FROM etl.run WHERE run_id = %s"
    assert one(run, ended) == (True,)
