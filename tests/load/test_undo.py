"""A run's changes put back: exactly, in one transaction, only when nothing was built upon them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from etl_lib.errors import CannotUndo, FixTheSetup, NeedsApproval, TryAgain
from etl_lib.load import load
from etl_lib.load.undo import undo
from etl_lib.metrics.holds import Plan
from etl_lib.metrics.ledger import Ledger
from etl_lib.metrics.read import loads_of
from etl_lib.metrics.schema import ensure_history_partition, expire_history
from etl_lib.run import Wishes
from tests.load.conftest import School
from tests.load.test_load import ENROLLMENTS, NIGHT, PEOPLE, SECTIONS, do, query

_numbers = itertools.count(1)
ENTITIES = ("section", "person", "enrollment")


def take_back(school: School, run_id: str, *, as_run: str = "", dry_run: bool = False) -> Plan:
    """Undo a run, as a run of its own."""
    wishes = Wishes(undo=run_id, dry_run=dry_run)
    run = replace(school.run(as_run or f"undo_{next(_numbers)}", wishes), kind="undo")
    return undo(run, school.resolved.entities, "test")


def rows(school: School) -> dict[str, list[Any]]:
    """Every row of the client whole, deleted ones too; but for the readers' watermark."""
    return {
        entity: query(
            school,
            f"SELECT to_jsonb(t) - 'change_seq' FROM core.{entity} t "
            f"WHERE client_id = '{school.client_id}' ORDER BY {entity}_id",
        )
        for entity in ENTITIES
    }


def nights() -> tuple[dict[str, Any], dict[str, Any]]:
    """Two nights after NIGHT: one changes, adds, deletes and claims; the next works on other rows."""
    second = {
        "sections": SECTIONS,
        "people": [
            {**PEOPLE[0], "given_name": "Changed"},
            *PEOPLE[1:],
            {"person_id": "006", "given_name": "New"},
        ],
        "enrollments": [
            *ENROLLMENTS[1:],
            {**ENROLLMENTS[0], "enrollment_id": "E6", "person_id": "006"},
        ],
    }
    third = {**second, "people": [*second["people"][:2], {**PEOPLE[2], "given_name": "Third"},
                                  *second["people"][3:]]}  # fmt: skip
    return second, third


def test_a_run_is_put_back_to_the_last_column_and_its_new_rows_are_gone(school: School) -> None:
    do(school, NIGHT)
    before = rows(school)
    do(school, nights()[0], run_id="second")
    assert rows(school) != before
    plan = take_back(school, "second", as_run="back")
    assert rows(school) == before
    counts = {c.entity: c for c in plan.loaded.counts}
    person, enrollment = counts["person"], counts["enrollment"]
    assert (person.read, person.updated, person.deleted_by_row) == (2, 1, 1)
    assert (enrollment.read, enrollment.restored, enrollment.deleted_by_row) == (2, 1, 1)
    assert query(school, "SELECT read, updated, deleted FROM etl.run WHERE run_id = 'back'") == [
        (4, 2, 2)
    ]
    assert query(school, "SELECT entity, \"column\", rows FROM etl.run_column JOIN etl.run USING (run_seq) "
                 "WHERE run_id = 'back'") == [("person", "given_name", 1)]  # fmt: skip


def test_both_runs_say_what_happened_and_the_target_shows_the_delivery_before(
    school: School,
) -> None:
    do(school, NIGHT, delivery_seq=20261122_000001)
    do(school, nights()[0], run_id="second", delivery_seq=20261123_000001)
    Ledger(school.database_url).end_run(school.run("second", Wishes()), "succeeded", "Loaded it.")  # type: ignore[arg-type]
    take_back(school, "second", as_run="back")
    runs = "SELECT run_id, status, kind, sentence FROM etl.run ORDER BY run_seq"
    assert query(school, runs)[1:] == [
        ("second", "undone", "load", "Undone by run 3: what it had changed was put back."),
        ("back", "undone", "undo", "The run 2 was undone: 2 rows taken away, 2 put back. "
         "The target shows the delivery of 22 November 2026."),
    ]  # fmt: skip
    state = "SELECT delivery_seq, delivered_on, row_contract FROM etl.client_state"
    assert query(school, state) == [(20261122_000001, date(2026, 11, 22), "")]
    feeds = query(school, "SELECT feed, delivery_seq, rows_read FROM etl.feed_state ORDER BY feed")
    assert feeds == [("enrollments", 20261122_000001, 5), ("people", 20261122_000001, 5),
                     ("sections", 20261122_000001, 2)]  # fmt: skip
    take_back(school, "back")
    assert query(school, runs)[1:3] == [
        ("second", "succeeded", "load", "Loaded it."),
        ("back", "undone", "undo", "Undone by run 4: what it had changed was put back."),
    ]
    assert query(school, "SELECT status FROM etl.run WHERE run_seq = 4") == [("succeeded",)]
    assert query(school, "SELECT delivery_seq FROM etl.client_state") == [(20261123_000001,)]


def test_the_first_run_undone_leaves_the_client_empty_and_others_alone(
    new_school: Callable[..., School],
) -> None:
    first, second = new_school("first"), new_school("second")
    do(first, NIGHT, run_id="one")
    do(second, NIGHT, run_id="two")
    others = rows(second)
    take_back(first, "one")
    assert rows(first) == {entity: [] for entity in ENTITIES}
    assert query(first, "SELECT client_id FROM etl.client_state") == [("second",)]
    assert rows(second) == others
    with pytest.raises(FixTheSetup, match="There is no run `two` of first"):
        take_back(first, "two")


def test_rejected_rows_that_were_run_again_are_not_the_delivery_when_that_is_undone(
    school: School,
) -> None:
    do(school, {"people": PEOPLE}, run_id="whole", delivery_seq=20261122_000001)
    some = {"people": [{"person_id": "007", "given_name": "Right now"}]}
    do(school, some, run_id="some", delivery_seq=20261122_000001, wishes=Wishes(only_rejects=True))
    assert query(school, "SELECT rows_read FROM etl.feed_state") == [(len(PEOPLE),)]
    take_back(school, "whole")
    assert query(school, "SELECT person_id FROM core.current_person") == [("007",)]
    assert query(school, "SELECT count(*) FROM etl.client_state") == [(0,)]
    assert query(school, "SELECT count(*) FROM etl.feed_state") == [(0,)]
    assert loads_of(school.database_url, school.client_id) == 0


def test_undo_and_redo_as_often_as_one_likes(school: School) -> None:
    do(school, NIGHT)
    before = rows(school)
    do(school, nights()[0], run_id="second")
    after = rows(school)
    last = "second"
    for number in range(4):
        take_back(school, last, as_run=f"turn_{number}")
        last = f"turn_{number}"
        assert rows(school) == (before if number % 2 == 0 else after)
    take_back(school, last)
    take_back(school, "second", as_run="again") if rows(school) == after else None
    assert rows(school) == before


def test_later_runs_on_the_same_rows_are_named_newest_first_and_nothing_changes(
    school: School,
) -> None:
    do(school, NIGHT, run_id="first")
    second, third = nights()
    do(school, second, run_id="second")
    do(school, third, run_id="third")
    fourth = {**third, "people": [*third["people"][:2], {**PEOPLE[2], "given_name": "Fourth"},
                                  *third["people"][3:]]}  # fmt: skip
    do(school, fourth, run_id="fourth")
    before = rows(school)
    with pytest.raises(CannotUndo) as caught:
        take_back(school, "first")
    assert caught.value.faults[0].text == (
        "Later runs changed the same rows as run 1 (first); undo first, in this order: "
        "run 4 (fourth), run 3 (third), run 2 (second)."
    )
    with pytest.raises(CannotUndo, match=r"in this order: run 4 \(fourth\)\."):
        take_back(school, "third")
    assert rows(school) == before
    assert query(school, "SELECT count(*) FROM etl.run WHERE kind = 'undo'") == [(0,)]
    take_back(school, "second")  # the third and fourth changed other rows
    for run_id in ("fourth", "third", "first"):
        take_back(school, run_id)
    assert rows(school) == {entity: [] for entity in ENTITIES}


def test_a_row_that_later_rows_need_is_not_taken_from_under_them(school: School) -> None:
    do(school, {**NIGHT, "enrollments": ENROLLMENTS[:4]}, run_id="first")
    do(school, {"people": [*PEOPLE, {"person_id": "006", "given_name": "New"}]}, run_id="person")
    late = [*ENROLLMENTS, {**ENROLLMENTS[0], "enrollment_id": "E6", "person_id": "006"}]
    do(school, {"sections": SECTIONS, "people": PEOPLE, "enrollments": late}, run_id="enrolled")
    before = rows(school)
    with pytest.raises(CannotUndo) as caught:
        take_back(school, "person")
    assert caught.value.faults[0].text == (
        "Later runs refer to rows of run 2 (person); undo first, in this order: run 3 (enrolled)."
    )
    assert rows(school) == before
    take_back(school, "enrolled")
    take_back(school, "person")


def test_a_row_does_not_come_back_to_a_record_that_a_later_run_took_away(school: School) -> None:
    do(school, NIGHT)
    gone = [{**ENROLLMENTS[0], "_deleted": True}, *ENROLLMENTS[1:]]
    do(school, {"enrollments": gone}, run_id="enrollment goes")
    do(school, {"people": [{**PEOPLE[0], "_deleted": True}, *PEOPLE[1:]]}, run_id="person goes")
    with pytest.raises(CannotUndo, match=r"in this order: run 3 \(person goes\)\."):
        take_back(school, "enrollment goes")
    take_back(school, "person goes")
    take_back(school, "enrollment goes")
    assert query(school, "SELECT count(*) FROM core.current_enrollment") == [(5,)]


def test_optional_references_to_what_has_gone_are_counted_as_unresolved(school: School) -> None:
    do(school, {**NIGHT, "people": PEOPLE}, run_id="first")
    do(school, {"people": [{"person_id": "006", "given_name": "New"}]}, run_id="observer")
    seen = [{**ENROLLMENTS[0], "observed_person_id": "006"}, *ENROLLMENTS[1:]]
    do(school, {"enrollments": seen})
    plan = take_back(school, "observer")
    assert {c.entity: (c.read, c.unresolved) for c in plan.loaded.counts} == {
        "person": (1, 0), "enrollment": (0, 1),
    }  # fmt: skip


def test_a_dry_run_counts_shows_masked_keys_and_leaves_no_trace(school: School) -> None:
    do(school, NIGHT)
    do(school, nights()[0], run_id="second")
    before = rows(school)
    plan = take_back(school, "second", dry_run=True)
    assert sum(c.deleted_by_row for c in plan.loaded.counts) == 2
    assert {(s["entity"], s["action"], s["key"], tuple(s["columns"])) for s in plan.samples} == {
        ("person", "remove", "***", ()), ("person", "update", "***", ("given_name",)),
        ("enrollment", "remove", "***", ()), ("enrollment", "restore", "***", ()),
    }  # fmt: skip
    assert rows(school) == before
    assert query(school, "SELECT count(*) FROM etl.run") == [(2,)]


def test_the_same_undo_again_changes_nothing_and_another_one_is_refused(school: School) -> None:
    do(school, NIGHT, run_id="first")
    first = take_back(school, "first", as_run="back")
    do(school, NIGHT, wishes=Wishes(approve=True))
    again = take_back(school, "first", as_run="back")
    assert again.loaded.repeated and again.loaded.counts == first.loaded.counts
    assert query(school, "SELECT count(*) FROM core.person") == [(5,)]
    with pytest.raises(CannotUndo, match="was undone already, by run 2"):
        take_back(school, "first")


def test_a_run_that_changed_nothing_cannot_be_undone(school: School) -> None:
    school.prepare(NIGHT, run_id="failed")
    with pytest.raises(CannotUndo, match="UNDO_NOTHING"):
        take_back(school, "failed")
    with pytest.raises(FixTheSetup, match="RUN_NOT_FOUND"):
        take_back(school, "no such run")


def test_an_undone_delivery_waits_for_approval_when_it_comes_again(school: School) -> None:
    do(school, NIGHT, delivery_seq=20261122_000001)
    second = nights()[0]
    do(school, second, run_id="second", delivery_seq=20261123_000001)
    take_back(school, "second")
    before = rows(school)
    with pytest.raises(NeedsApproval) as caught:
        do(school, second, delivery_seq=20261123_000001)
    assert caught.value.faults[0].code == "UNDONE_DELIVERY"
    assert "loaded by run 2 and undone on" in str(caught.value)
    assert rows(school) == before
    do(school, second, delivery_seq=20261123_000001, wishes=Wishes(approve=True))
    holds = query(school, "SELECT status, decided_at IS NOT NULL FROM etl.hold ORDER BY hold_seq")
    assert holds == [("superseded", True), ("approved", True)]
    do(school, second, delivery_seq=20261123_000001)  # it stands now: nobody is asked


def test_readers_of_changes_learn_of_what_came_back_and_of_what_has_gone(school: School) -> None:
    do(school, NIGHT)
    do(school, nights()[0], run_id="second")
    [(seen,)] = query(school, "SELECT max(change_seq) FROM core.person")
    take_back(school, "second")
    changed = f"SELECT person_id FROM core.person WHERE change_seq > {seen}"
    assert query(school, changed) == [("001",)]
    gone = (
        f"SELECT entity, key FROM core.removed WHERE client_id = 'school' AND change_seq > {seen}"
    )
    assert sorted(query(school, gone)) == [("enrollment", "E6"), ("person", "006")]


def test_an_undo_waits_for_a_load_at_work_and_then_says_busy(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(school, NIGHT, run_id="first")
    monkeypatch.setattr("etl_lib.load.delivery._LOCK_WAIT_S", 0.2)
    with psycopg.connect(school.database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtext('etl load'), hashtext('school'))")
        with pytest.raises(TryAgain, match="LOAD_BUSY"):
            take_back(school, "first")
    assert len(rows(school)["person"]) == 5


def test_history_goes_by_whole_months_and_runs_without_it_cannot_be_undone(school: School) -> None:
    do(school, NIGHT, run_id="first")
    url = school.database_url
    with psycopg.connect(url) as connection:
        [(today,)] = connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchall()
        ensure_history_partition(connection, date(2026, 1, 31))
        connection.execute(
            "INSERT INTO etl.history (client_id, entity, key, run_seq, feed, action, changed_at) VALUES "
            "('school', 'person', '001', 1, 'people', 'update', '2026-01-31 23:59:59.9+00')"
        )
    assert expire_history(url, 90, date(2026, 5, 1)) == ()  # January ended 90 days before 2 May
    assert expire_history(url, 90, date(2026, 5, 2)) == ("2026-01",)
    assert query(school, "SELECT count(*) FROM etl.history") == [(0,)]
    assert expire_history(url, 1, today) == ("2026-02",)  # this month and the next stay
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE etl.load SET changed_at = '2026-01-31 23:59:59+00'")
    with pytest.raises(CannotUndo, match="UNDO_EXPIRED"):
        take_back(school, "first")
    assert len(rows(school)["person"]) == 5


def test_expiry_leaves_a_month_that_a_load_is_writing_for_the_next_time(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl_lib.metrics.schema._DROP_WAIT", "50ms")
    with psycopg.connect(school.database_url) as other:
        ensure_history_partition(other, date(2026, 1, 1))
        other.commit()
        other.execute("SELECT count(*) FROM etl.history")
        assert expire_history(school.database_url, 90, date(2026, 6, 1)) == ()
    assert "2026-01" in expire_history(school.database_url, 90, date(2026, 6, 1))


# --- generated sequences -------------------------------------------------------------------------------

_KEYS = st.integers(1, 5)
_PERSON = st.tuples(_KEYS, st.sampled_from("xyz"), st.booleans())
_ENROLLMENT = st.tuples(_KEYS, _KEYS, st.sampled_from(["active", "dropped"]), st.booleans())


def _delivery(people: list[Any], enrollments: list[Any]) -> dict[str, Any]:
    return {
        "sections": SECTIONS,
        "people": [
            {"person_id": str(key), "given_name": name, "_deleted": gone}
            for key, name, gone in people
        ],
        "enrollments": [
            {"enrollment_id": f"E{key}", "section_id": "S1", "person_id": str(person),
             "status": status, "_deleted": gone}
            for key, person, status, gone in enrollments
        ],
    }  # fmt: skip


_DELIVERY = st.builds(
    _delivery,
    st.lists(_PERSON, max_size=5, unique_by=lambda row: row[0]),
    st.lists(_ENROLLMENT, max_size=5, unique_by=lambda row: row[0]),
)
OPEN = """
client: Test School
sis: Test
owner: Ana
limits: {hold: {deleted_share: 1, updated_share: 1, rejected_share: 1}, fail: {rejected_share: 1}}
feeds:
  sections: {file: a.csv, entities: {section: {columns: {section_id: id, name: name, term_id: term}}}}
  people:
    file: b.csv
    entities: {person: {columns: {person_id: id, given_name: given}}}
  enrollments:
    file: c.csv
    entities:
      enrollment:
        scope_by: section_id.term_id
        columns: {enrollment_id: id, section_id: section, person_id: person, status: status}
"""


@pytest.fixture(scope="module")
def one_database(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A database for all examples: each is a client of its own."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE generated_undo")
    yield (
        postgres_url.replace("/postgres?", "/generated_undo?"),
        tmp_path_factory.mktemp("generated"),
    )
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE generated_undo WITH (FORCE)")


@contextmanager
def _school(one_database: tuple[str, Path]) -> Iterator[School]:
    url, folder = one_database
    client = f"school_{next(_numbers)}"
    home = folder / client
    home.mkdir()
    yield School(home, url, OPEN, client)


@settings(max_examples=10, deadline=None, derandomize=True, phases=[Phase.generate],
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(deliveries=st.lists(_DELIVERY, min_size=3, max_size=4))
def test_any_deliveries_undone_newest_first_leave_what_was_there_before_each(
    one_database: tuple[str, Path], deliveries: list[Any]
) -> None:
    with _school(one_database) as school:
        before = []
        for number, delivery in enumerate(deliveries):
            before.append(rows(school))
            load(*school.prepare(delivery, run_id=f"{school.client_id}_{number}"))
        after = rows(school)
        for number in reversed(range(len(deliveries))):
            take_back(
                school, f"{school.client_id}_{number}", as_run=f"{school.client_id}_u{number}"
            )
            assert rows(school) == before[number]
        for number in range(len(deliveries)):
            take_back(school, f"{school.client_id}_u{number}")
        assert rows(school) == after


@settings(max_examples=10, deadline=None, derandomize=True, phases=[Phase.generate],
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(deliveries=st.lists(_DELIVERY, min_size=3, max_size=4), data=st.data())
def test_a_refused_undo_works_once_the_named_runs_were_undone_in_the_named_order(
    one_database: tuple[str, Path], deliveries: list[Any], data: Any
) -> None:
    with _school(one_database) as school:
        names = [f"{school.client_id}_{number}" for number in range(len(deliveries))]
        for name, delivery in zip(names, deliveries, strict=True):
            load(*school.prepare(delivery, run_id=name))
        chosen = data.draw(st.sampled_from(names))
        before = rows(school)
        try:
            take_back(school, chosen)
            assert_whole(school)
            return
        except CannotUndo as refused:
            order = refused.faults[0].text.partition("in this order: ")[2].rstrip(".").split(", ")
        assert rows(school) == before
        for shown in order:
            take_back(school, shown.partition("(")[2].rstrip(")"))
        take_back(school, chosen)
        assert_whole(school)


def assert_whole(school: School) -> None:
    """No enrollment that is there points at a person who was taken away by an undo."""
    assert not query(
        school,
        f"SELECT enrollment_id FROM core.current_enrollment e WHERE client_id = '{school.client_id}' "
        "AND EXISTS (SELECT FROM core.removed r WHERE r.client_id = e.client_id "
        "            AND r.entity = 'person' AND r.key = e.person_id) "
        "AND NOT EXISTS (SELECT FROM core.person p WHERE p.client_id = e.client_id "
        "                AND p.person_id = e.person_id)",
    )
