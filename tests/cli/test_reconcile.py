"""`etl reconcile`: edits, losses and extras in the target are named, and the next run repairs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import REPO, Answer, Delivery, Etl

SAMPLES = REPO / "include" / "samples"
_STATE = "SELECT row_contract <> '' FROM etl.client_state"
_LAST = "SELECT kind, status, ended_at IS NOT NULL FROM etl.run ORDER BY run_seq DESC LIMIT 1"


@pytest.fixture
def reconcile(etl: Etl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Answer]:
    """`etl reconcile lakeside --json`, without an Airflow beside."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    return lambda: etl("reconcile", "lakeside", "--json")


def change(delivery: Delivery, *statements: str) -> None:
    """Somebody writes to the tables by hand."""
    with psycopg.connect(delivery.database_url) as connection:
        for statement in statements:
            assert connection.execute(statement.encode()).rowcount > 0, statement


def everything(delivery: Delivery) -> list[tuple[Any, ...]]:
    tables = ("person", "section", "enrollment", "result")
    query = "SELECT t.* FROM core.{} t ORDER BY 1, 2"
    return [row for name in tables for row in delivery.query(query.format(name))]


def test_a_target_as_it_was_loaded_differs_in_nothing(
    lakeside: Delivery, etl: Etl, reconcile: Callable[[], Answer], tmp_path: Path
) -> None:
    assert etl("run", "lakeside", "--files", str(SAMPLES / "lakeside" / "night_1")).code == 0
    assert etl("run", "lakeside", "--files", str(SAMPLES / "lakeside" / "night_2")).code == 0
    before = everything(lakeside)
    answer = reconcile()
    assert (answer.code, answer.json["status"]) == (0, "nothing_new"), answer
    assert answer.json["sentence"].startswith("The target is as the delivery of ")
    assert everything(lakeside) == before
    assert lakeside.query(_LAST) == [("reconcile", "nothing_new", True)]
    assert lakeside.query(_STATE) == [(True,)]
    staging = tmp_path / "home" / "staging" / "lakeside"
    assert [path for path in staging.rglob("*") if path.is_file()] == []
    again = etl("run", "lakeside", "--files", str(SAMPLES / "lakeside" / "night_2"), "--json")
    assert again.json["status"] == "nothing_new"
    assert etl("undo", "2").code == 0  # the target is then as the delivery before says
    assert reconcile().json["status"] == "nothing_new"


def test_what_was_edited_lost_and_added_is_named_masked_and_repaired_by_the_next_run(
    lakeside: Delivery, etl: Etl, reconcile: Callable[[], Answer]
) -> None:
    load = ("run", "lakeside", "--files", str(SAMPLES / "lakeside" / "night_2"), "--json")
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    assert etl(*load).code == 0
    values = "SELECT person_id, family_name, status, email FROM core.current_person ORDER BY 1"
    people, enrolled = (
        lakeside.query(values),
        "SELECT enrollment_id FROM core.current_enrollment ORDER BY 1",
    )
    enrollments = lakeside.query(enrolled)
    [(victim,)] = lakeside.query("SELECT min(enrollment_id) FROM core.current_enrollment")
    change(
        lakeside,
        "UPDATE core.person SET family_name = 'Edited' WHERE person_id IN ('lks-s03', 'lks-s04')",
        "UPDATE core.person SET email = NULL WHERE person_id = 'lks-s04'",
        "UPDATE core.person SET deleted_at = now() WHERE person_id = 'lks-s06'",
        f"DELETE FROM core.enrollment WHERE enrollment_id = '{victim}'",
        "UPDATE core.enrollment SET deleted_at = NULL, feeds = '{enrollments}' WHERE enrollment_id = 'lks-e07-c7'",
    )
    edited = everything(lakeside)
    answer = reconcile()
    assert (answer.code, answer.json["status"]) == (1, "failed"), answer
    told = {(m["code"], m["place"]): m["text"] for m in answer.json["messages"]}
    assert told.keys() == {
        ("RECONCILE_EDITED", "person"), ("RECONCILE_LOST", "person"),
        ("RECONCILE_LOST", "enrollment"), ("RECONCILE_EXTRA", "enrollment"),
    }  # fmt: skip
    assert told["RECONCILE_EDITED", "person"].startswith(
        "2 rows of person hold other values than the delivery: family_name in 2, email in 1."
    )
    assert "0 missing, 1 marked as deleted" in told["RECONCILE_LOST", "person"]
    assert "1 missing, 0 marked as deleted" in told["RECONCILE_LOST", "enrollment"]
    assert "2 edited, 2 lost, 1 extra. The next run loads" in answer.json["sentence"]
    texts = " ".join(told.values())
    assert "lk***" in texts and "lks-" not in texts
    assert everything(lakeside) == edited
    assert lakeside.query('SELECT entity, "column", rows FROM etl.run_column JOIN etl.run USING (run_seq) '
                          "WHERE kind = 'reconcile' ORDER BY rows DESC") == [
        ("person", "family_name", 2), ("person", "email", 1)
    ]  # fmt: skip
    assert lakeside.query(_STATE) == [(False,)]

    repaired = etl(*load)
    assert (repaired.code, repaired.json["status"]) == (0, "succeeded"), repaired
    assert (lakeside.query(values), lakeside.query(enrolled)) == (people, enrollments)
    assert reconcile().code == 0
    assert etl(*load).json["status"] == "nothing_new"


def test_every_sample_school_reads_back_as_it_was_loaded(
    etl: Etl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    for school in ("ashford", "maple_street"):  # one dirty, one in an archive with a manifest
        assert etl("run", school, "--files", str(SAMPLES / school / "night_1")).code == 0
        answer = etl("reconcile", school, "--json")
        assert (answer.code, answer.json["status"]) == (0, "nothing_new"), answer


def test_nothing_loaded_and_an_archive_that_is_gone_are_said_in_words(
    lakeside: Delivery, etl: Etl, reconcile: Callable[[], Answer], tmp_path: Path
) -> None:
    never = reconcile()
    assert (never.code, "RECONCILE_NOTHING" in never.err) == (2, True)
    assert lakeside.query("SELECT count(*) FROM etl.run") == [(0,)]
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    archive = tmp_path / "home" / "archive" / "lakeside"
    [first, *_] = sorted((archive / "files").iterdir())
    first.unlink()
    lost = reconcile()
    assert (lost.code, "ARCHIVE_LOST" in lost.err) == (2, True)
    assert lakeside.query(_LAST) == [("reconcile", "failed", True)]


def test_expire_says_what_it_dropped(etl: Etl, database_url: str) -> None:
    assert etl("migrate").code == 0
    assert etl("expire").out == "nothing older\n"
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE TABLE etl.history_2020_02 PARTITION OF etl.history "
            "FOR VALUES FROM ('2020-02-01 00:00:00+00') TO ('2020-03-01 00:00:00+00')"
        )
    assert etl("expire").out == "2020-02\n"
