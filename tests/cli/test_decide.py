"""`etl approve` and `etl refuse`, and what a mapping decides beforehand: announced days, blackout."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Delivery, Etl


@pytest.fixture
def shrunk(lakeside: Delivery, etl: Etl) -> Delivery:
    """A loaded school whose next delivery lost most of its enrollments."""
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    lines = lakeside.path("enrollments.csv").read_text().splitlines(True)
    lakeside.path("enrollments.csv").write_text("".join(lines[:20]))
    return lakeside


def current(lakeside: Delivery) -> int:
    return int(lakeside.query("SELECT count(*) FROM core.current_enrollment")[0][0])


def test_an_approval_lets_the_next_run_of_the_delivery_load_it(shrunk: Delivery, etl: Etl) -> None:
    before = current(shrunk)
    assert etl("run", "lakeside", "--files", str(shrunk.folder)).code == 1
    shown = etl("approve", "lakeside", "--dry-run")
    assert (shown.code, "Would delete" in shown.out) == (0, True)
    assert shrunk.query("SELECT status FROM etl.hold") == [("open",)]
    said = etl("approve", "lakeside", "--comment", "They closed a campus.")
    assert (said.code, "approved by" in said.out) == (0, True)
    assert etl("run", "lakeside", "--files", str(shrunk.folder)).code == 0
    assert current(shrunk) < before
    [(status, by, comment)] = shrunk.query("SELECT status, decided_by, comment FROM etl.hold")
    assert (status, comment) == ("approved", "They closed a campus.") and by
    kinds = shrunk.query("SELECT kind, text FROM etl.act")
    assert kinds == [("approve", "They closed a campus.")]


def test_a_refusal_by_run_id_is_the_last_word_about_the_run_and_the_delivery(
    shrunk: Delivery, etl: Etl
) -> None:
    before = current(shrunk)
    held = etl("run", "lakeside", "--files", str(shrunk.folder), "--json").json
    assert etl("refuse", held["run_id"]).code == 0
    found = shrunk.query(f"SELECT status, sentence FROM etl.run WHERE run_id = '{held['run_id']}'")
    assert found[0][0] == "refused" and "nothing was changed" in found[0][1]
    again = etl("run", "lakeside", "--files", str(shrunk.folder), "--json")
    assert (again.code, again.json["status"]) == (1, "refused")
    assert current(shrunk) == before


def test_a_run_id_that_several_clients_have_decides_about_none(shrunk: Delivery, etl: Etl) -> None:
    etl("run", "lakeside", "--files", str(shrunk.folder))
    scheduled = "scheduled__2026-11-26T02:00:00+00:00"
    with psycopg.connect(shrunk.database_url) as connection:
        connection.execute("UPDATE etl.run SET run_id = %s WHERE run_seq = 2", (scheduled,))
        connection.execute(
            "INSERT INTO etl.run (client_id, dag_id, run_id, environment, status) "
            "SELECT c, c, %s, 'development', 'failed' FROM unnest(ARRAY['ashford', 'metro']) c",
            (scheduled,),
        )
        connection.execute(  # that of metro waits as well
            "INSERT INTO etl.hold (client_id, run_seq, delivery_seq, delivery_id, reasons, plan, plan_digest, "
            "lapses_at) SELECT r.client_id, r.run_seq, 1, 'd', h.reasons, h.plan, 'x', h.lapses_at "
            "FROM etl.hold h, etl.run r WHERE r.client_id = 'metro'"
        )
    waiting = "SELECT client_id, status FROM etl.hold ORDER BY 1"
    for command in ("approve", "refuse"):
        answer = etl(command, scheduled)
        assert answer.code == 2
        said = f"`{scheduled}` may be run 3 of ashford or run 2 of lakeside or run 4 of metro."
        assert said in answer.err and "--client" in answer.err
    assert shrunk.query(waiting) == [("lakeside", "open"), ("metro", "open")]
    assert etl("approve", scheduled, "--client", "ashford").code == 2
    assert etl("approve", scheduled, "--client", "lakeside").code == 0
    assert etl("refuse", "4").code == 0
    assert shrunk.query(waiting) == [("lakeside", "approved"), ("metro", "refused")]


def test_a_run_that_is_called_like_a_client_decides_about_neither(
    shrunk: Delivery, etl: Etl
) -> None:
    etl("run", "lakeside", "--files", str(shrunk.folder))
    with psycopg.connect(shrunk.database_url) as connection:
        connection.execute(
            "INSERT INTO etl.run (client_id, dag_id, run_id, environment, status) "
            "VALUES ('metro', 'metro', 'lakeside', 'development', 'awaiting_approval')"
        )
    answer = etl("approve", "lakeside")
    assert (answer.code, "may be the client lakeside or run 3 of metro" in answer.err) == (2, True)
    assert shrunk.query("SELECT status FROM etl.hold") == [("open",)]
    assert etl("approve", "2").code == 0


def test_where_nothing_waits_there_is_nothing_to_decide(lakeside: Delivery, etl: Etl) -> None:
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    answer = etl("approve", "lakeside")
    assert answer.code == 2
    assert "Nothing of `lakeside` waits for approval." in answer.err


def test_a_dry_run_says_which_limit_it_would_exceed_and_asks_nobody(
    shrunk: Delivery, etl: Etl
) -> None:
    before = current(shrunk)
    answer = etl("run", "lakeside", "--files", str(shrunk.folder), "--dry-run", "--json")
    assert answer.code == 0
    sentence = answer.json["sentence"]
    assert sentence.startswith("Dry run, nothing was changed. Would load")
    assert "It would wait for approval: Would delete" in sentence
    assert shrunk.query("SELECT count(*) FROM etl.hold") == [(0,)]
    assert current(shrunk) == before
    assert len(list((shrunk.folder.parent / "home" / "outbox").rglob("*_summary.txt"))) == 1


def days(mapping: Path, key: str) -> str:
    """Add a pause around today to the mapping; gives its words."""
    today = datetime.now(UTC).date()
    first, last = today - timedelta(days=2), today + timedelta(days=2)
    mapping.write_text(
        mapping.read_text() + f"{key}: {{from: {first}, to: {last}, reason: Term rollover}}\n"
    )
    return f"to {last.day} {last:%B %Y}: Term rollover."


def test_in_a_blackout_nothing_is_loaded_with_its_reason_and_never_green(
    include: Path, lakeside: Delivery, etl: Etl
) -> None:
    words = days(include / "mappings" / "lakeside.yaml", "blackout")
    answer = etl("run", "lakeside", "--files", str(lakeside.folder), "--json")
    assert (answer.code, answer.json["status"]) == (1, "superseded")
    assert answer.json["sentence"].startswith("Left out. Nothing is loaded from")
    assert answer.json["sentence"].endswith(words)
    assert lakeside.rows() == 0
    looked = etl("run", "lakeside", "--files", str(lakeside.folder), "--dry-run", "--json")
    assert looked.code == 0 and "Would load" in looked.json["sentence"]


def test_additions_only_is_said_and_the_same_files_are_loaded_whole_afterwards(
    include: Path, shrunk: Delivery, etl: Etl
) -> None:
    mapping = include / "mappings" / "lakeside.yaml"
    text, before = mapping.read_text(), current(shrunk)
    words = days(mapping, "additions_only")
    answer = etl("run", "lakeside", "--files", str(shrunk.folder), "--json")
    assert (answer.code, current(shrunk)) == (0, before)
    assert "Only new and returning rows were written" in answer.json["sentence"]
    assert answer.json["sentence"].endswith(words)
    mapping.write_text(text)
    after = etl("run", "lakeside", "--files", str(shrunk.folder), "--approve", "--json")
    assert (after.code, after.json["status"]) == (0, "succeeded")
    assert current(shrunk) < before
