"""The load as its contract says it, against a real PostgreSQL 18."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from etl_lib.errors import AskTheSchool, FixTheMapping, NeedsApproval, Superseded, TryAgain
from etl_lib.load import delivery, load
from etl_lib.load.tables import migrate
from etl_lib.manifest import Counts
from etl_lib.run import Wishes
from tests.load.conftest import MAPPING, School, make_project

SECTIONS = [
    {"section_id": "S1", "name": "Algebra", "term_id": "T1"},
    {"section_id": "S2", "name": "Biology", "term_id": "T2"},
]
PEOPLE = [
    {"person_id": f"00{n}", "given_name": f"Given {n}", "family_name": "Doe"} for n in range(1, 6)
]
ENROLLMENTS = [
    {
        "enrollment_id": f"E{n}",
        "section_id": "S1" if n < 4 else "S2",
        "person_id": f"00{n}",
        "status": "active",
    }
    for n in range(1, 6)
]
NIGHT = {"sections": SECTIONS, "people": PEOPLE, "enrollments": ENROLLMENTS}


def do(school: School, feeds: dict[str, Any], **options: Any) -> dict[str, Counts]:
    """Load a delivery; counts by entity."""
    plan = load(*school.prepare(feeds, **options))
    return {count.entity: count for count in plan.loaded.counts}


def query(school: School, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(school.database_url) as connection:
        return connection.execute(statement).fetchall()


def test_first_load_inserts_every_row_with_its_provenance(school: School) -> None:
    counts = do(school, NIGHT)
    assert (counts["person"].read, counts["person"].inserted) == (5, 5)
    rows = query(
        school,
        "SELECT client_id, person_id, given_name, feeds, source_file, source_line, run_seq, first_run_seq "
        "FROM core.person ORDER BY 2 LIMIT 1",
    )
    assert rows == [("school", "001", "Given 1", ["people"], "people.csv", 2, 1, 1)]


def test_the_same_rows_again_write_nothing(school: School) -> None:
    do(school, NIGHT)
    before = query(school, "SELECT person_id, xmin::text FROM core.person ORDER BY 1")
    counts = do(school, NIGHT)
    assert [c.unchanged for c in counts.values()] == [2, 5, 5]
    assert query(school, "SELECT person_id, xmin::text FROM core.person ORDER BY 1") == before


def test_a_changed_row_is_updated_and_its_before_image_kept(school: School) -> None:
    do(school, NIGHT)
    people = [{**PEOPLE[0], "given_name": "Changed"}, *PEOPLE[1:]]
    counts = do(school, {**NIGHT, "people": people})
    assert (counts["person"].updated, counts["person"].unchanged) == (1, 4)
    assert query(school, "SELECT key, action, before->>'given_name' FROM etl.history") == [
        ("001", "update", "Given 1")
    ]


def test_null_and_empty_text_decimals_dates_and_arrays_arrive_as_they_were(school: School) -> None:
    person = {
        "person_id": "p",
        "given_name": "",
        "family_name": None,
        "grade_levels": ['a"b', "c,d", "e\\f", "{}"],
        "balance": Decimal("12345678.90"),
        "birth_date": date(2012, 2, 29),
        "is_confidential": True,
    }
    other = {"person_id": "q", "given_name": 'x,"y"\n z', "grade_levels": None}
    third = {"person_id": "r", "grade_levels": []}
    do(school, {"people": [person, other, third]})
    rows = query(
        school,
        "SELECT person_id, given_name, family_name, grade_levels, balance, birth_date, is_confidential "
        "FROM core.person ORDER BY 1",
    )
    assert rows == [
        (
            "p",
            "",
            None,
            ['a"b', "c,d", "e\\f", "{}"],
            Decimal("12345678.90"),
            date(2012, 2, 29),
            True,
        ),
        ("q", 'x,"y"\n z', None, None, None, None, None),
        ("r", None, None, [], None, None, None),
    ]


@pytest.mark.parametrize(
    ("sent", "deleted"),
    [
        pytest.param([e for e in ENROLLMENTS if e["enrollment_id"] != "E2"], ["E2"], id="one vanished"),
        pytest.param([e for e in ENROLLMENTS if e["section_id"] == "S1"], [], id="a whole term vanished"),
        pytest.param(ENROLLMENTS, [], id="all there"),
    ],
)  # fmt: skip
def test_absence_deletes_softly_within_the_terms_of_the_file(
    school: School, sent: list[Any], deleted: list[str]
) -> None:
    do(school, NIGHT)
    counts = do(school, {**NIGHT, "enrollments": sent})
    assert counts["enrollment"].deleted_by_absence == len(deleted)
    gone = query(school, "SELECT enrollment_id FROM core.enrollment WHERE deleted_at IS NOT NULL")
    assert [row[0] for row in gone] == deleted
    current = query(school, "SELECT count(*) FROM core.current_enrollment")
    assert current == [(5 - len(deleted),)]


def test_absence_never_deletes_people_or_sections(school: School) -> None:
    do(school, NIGHT)
    counts = do(
        school,
        {**NIGHT, "people": PEOPLE[:1], "sections": SECTIONS[:1], "enrollments": ENROLLMENTS[:1]},
    )
    assert counts["person"].deleted_by_absence == counts["section"].deleted_by_absence == 0
    assert query(school, "SELECT count(*) FROM core.current_person") == [(5,)]


def test_a_rejected_row_counts_as_present(school: School) -> None:
    do(school, NIGHT)
    bad = {
        "enrollments": [
            {
                "file": "enrollments.csv",
                "line": 3,
                "key": "E2",
                "column": "status",
                "code": "VALUE_NOT_ALLOWED",
            }
        ]
    }
    sent = [e for e in ENROLLMENTS if e["enrollment_id"] != "E2"]
    counts = do(school, {**NIGHT, "enrollments": sent}, rejected=bad)
    assert (counts["enrollment"].rejected, counts["enrollment"].deleted_by_absence) == (1, 0)


def test_a_file_with_an_unreadable_key_deletes_nothing(school: School) -> None:
    do(school, NIGHT)
    counts = do(school, {**NIGHT, "enrollments": ENROLLMENTS[:2]}, unreadable=["enrollments"])
    assert counts["enrollment"].deleted_by_absence == 0


def test_a_returning_row_is_restored(school: School) -> None:
    do(school, NIGHT)
    do(school, {**NIGHT, "enrollments": ENROLLMENTS[1:]})
    counts = do(school, NIGHT)
    assert (counts["enrollment"].restored, counts["enrollment"].updated) == (1, 1)
    assert query(school, "SELECT count(*) FROM core.current_enrollment") == [(5,)]


def test_a_row_marked_deleted_is_deleted_once(school: School) -> None:
    do(school, NIGHT)
    gone = [*ENROLLMENTS[1:], {**ENROLLMENTS[0], "_deleted": True}]
    assert do(school, {**NIGHT, "enrollments": gone})["enrollment"].deleted_by_row == 1
    again = do(school, {**NIGHT, "enrollments": gone})["enrollment"]
    assert (again.deleted_by_row, again.unchanged) == (0, 5)


def test_a_required_reference_to_nothing_rejects_and_an_optional_one_is_counted(
    school: School,
) -> None:
    sent = [
        {**ENROLLMENTS[0], "person_id": "nobody"},
        {**ENROLLMENTS[1], "observed_person_id": "nobody"},
        *ENROLLMENTS[2:],
    ]
    count = do(school, {**NIGHT, "enrollments": sent})["enrollment"]
    assert (count.rejected, count.unresolved, count.inserted) == (1, 1, 4)


def test_a_rejected_reference_does_not_delete_the_row_that_was_good_yesterday(
    school: School,
) -> None:
    do(school, NIGHT)
    sent = [{**ENROLLMENTS[0], "person_id": "nobody"}, *ENROLLMENTS[1:]]
    count = do(school, {**NIGHT, "enrollments": sent})["enrollment"]
    assert (count.rejected, count.deleted_by_absence, count.unchanged) == (1, 0, 4)


def test_a_repeated_run_returns_its_counts_and_changes_nothing(school: School) -> None:
    first = do(school, NIGHT, run_id="same")
    plan = load(*school.prepare({**NIGHT, "people": []}, run_id="same"))
    assert plan.loaded.repeated
    assert {c.entity: c for c in plan.loaded.counts} == first
    assert query(school, "SELECT count(*) FROM etl.load") == [(1,)]


def test_a_dry_run_counts_and_changes_nothing(school: School) -> None:
    do(school, NIGHT)
    people = [
        {**PEOPLE[0], "given_name": "Changed"},
        *PEOPLE[1:],
        {"person_id": "00777", "given_name": "New"},
    ]
    plan = load(*school.prepare({**NIGHT, "people": people}, wishes=Wishes(dry_run=True)))
    count = next(c for c in plan.loaded.counts if c.entity == "person")
    assert (count.inserted, count.updated) == (1, 1)
    assert {(s["action"], s["key"], tuple(s["columns"])) for s in plan.samples} == {
        ("insert", "00***", ()), ("update", "***", ("given_name",))
    }  # fmt: skip
    assert query(
        school, "SELECT count(*) FROM core.person WHERE given_name IN ('Changed', 'New')"
    ) == [(0,)]
    assert query(school, "SELECT count(*) FROM etl.load") == [(1,)]


def many(number: int) -> dict[str, Any]:
    people = [{"person_id": f"p{n}", "given_name": "a"} for n in range(number)]
    rows = [
        {"enrollment_id": f"e{n}", "section_id": "S1", "person_id": f"p{n}", "status": "active"}
        for n in range(number)
    ]
    return {"sections": SECTIONS, "people": people, "enrollments": rows}


@pytest.mark.parametrize(("vanished", "held"), [(30, False), (31, True)])
def test_deletes_over_the_limit_hold_the_delivery_and_at_the_limit_pass(
    school: School, vanished: int, held: bool
) -> None:
    night = many(300)
    do(school, night)
    fewer = {**night, "enrollments": night["enrollments"][vanished:]}
    if not held:
        assert do(school, fewer)["enrollment"].deleted_by_absence == vanished
        return
    with pytest.raises(
        NeedsApproval, match=r"Would delete 31 of 300 rows of enrollment \(10\.3%\)"
    ):
        do(school, fewer)
    assert query(school, "SELECT count(*) FROM core.current_enrollment") == [(300,)]
    assert query(school, "SELECT status, delivery_id FROM etl.hold") == [
        ("open", "delivery-20261123000002")
    ]
    assert do(school, fewer, wishes=Wishes(approve=True))["enrollment"].deleted_by_absence == 31


def test_too_many_rejected_rows_fail_and_load_nothing(school: School) -> None:
    sent = [{**e, "person_id": "nobody"} for e in ENROLLMENTS]
    with pytest.raises(AskTheSchool, match="5 of 5 rows of enrollments for enrollment are faulty"):
        do(school, {**NIGHT, "enrollments": sent})
    assert query(school, "SELECT count(*) FROM core.person") == [(0,)]


def test_an_older_full_delivery_is_superseded(school: School) -> None:
    do(school, NIGHT, delivery_seq=20261123_000009)
    with pytest.raises(Superseded):
        do(school, {**NIGHT, "people": []}, delivery_seq=20261122_000001)


def test_clients_never_touch_each_other(new_school: Callable[..., School]) -> None:
    first, second = new_school("first"), new_school("second")
    do(first, NIGHT)
    do(second, {**NIGHT, "people": PEOPLE[:2], "enrollments": ENROLLMENTS[:2]})
    do(second, {**NIGHT, "people": PEOPLE[:2], "enrollments": ENROLLMENTS[:1]})
    assert query(first, "SELECT client_id, count(*) FROM core.current_enrollment GROUP BY 1 ORDER BY 1") == [
        ("first", 5), ("second", 1)
    ]  # fmt: skip


def test_a_second_load_of_the_client_waits_and_then_says_busy(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl_lib.load.delivery._LOCK_WAIT_S", 0.2)
    with psycopg.connect(school.database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtext('etl load'), hashtext('school'))")
        with pytest.raises(TryAgain, match="LOAD_BUSY"):
            do(school, NIGHT)
    do(school, NIGHT)


TWO_FEEDS = (
    MAPPING.replace(
        "  enrollments:\n",
        """  staff:
    file: staff.csv
    entities:
      person: {columns: {person_id: id, given_name: given}}
  profiles:
    file: profiles.csv
    limits: {fail: {rejected_share: 1}}
    entities:
      person: {insert: false, columns: {person_id: id, balance: balance}}
  enrollments:
""",
    )
    .replace("balance: balance, birth", "birth")
    .replace("owner: Ana", "owner: Ana\nprecedence: {person: [people, staff]}")
)


def test_two_feeds_fill_one_entity_by_precedence_and_a_third_completes_it(
    new_school: Callable[..., School],
) -> None:
    school = new_school("two", TWO_FEEDS)
    night = {
        "people": [{"person_id": "a", "given_name": "From people"}],
        "staff": [
            {"person_id": "a", "given_name": "From staff"},
            {"person_id": "b", "given_name": "Staff only"},
        ],
        "profiles": [
            {"person_id": "a", "balance": Decimal("1.00")},
            {"person_id": "zz", "balance": None},
        ],
    }
    plan = load(*school.prepare(night, wishes=Wishes(approve=True)))
    rows = query(school, "SELECT person_id, given_name, balance, feeds FROM core.person ORDER BY 1")
    assert rows == [
        ("a", "From people", Decimal("1.00"), ["people", "staff"]),
        ("b", "Staff only", None, ["staff"]),
    ]
    completing = next(c for c in plan.loaded.counts if c.feed == "profiles")
    assert (completing.updated, completing.rejected) == (1, 1)
    again = load(*school.prepare(night, wishes=Wishes(approve=True)))
    assert sum(c.inserted + c.updated for c in again.loaded.counts) == 0


def test_an_added_optional_column_migrates_and_a_dangerous_change_is_refused(
    school: School, database_url: str
) -> None:
    do(school, NIGHT)
    path = school.folder / "include" / "entities" / "person.yaml"
    text = path.read_text()
    path.write_text(text + "  nickname: {type: text, description: Nick.}\n")
    entities = {**school.resolved.entities, **_entities(school)}
    with psycopg.connect(database_url) as connection:
        connection.execute("GRANT SELECT ON core.current_person TO pg_monitor")
        assert migrate(connection, entities) == ["column core.person.nickname added"]
        granted = "SELECT has_table_privilege('pg_monitor', 'core.current_person', 'SELECT')"
        assert connection.execute(granted).fetchone() == (True,)
        connection.commit()
    assert query(school, "SELECT nickname FROM core.current_person LIMIT 1") == [(None,)]
    other_type = text.replace(
        "balance: {type: decimal, precision: 10, scale: 2", "balance: {type: text"
    )
    path.write_text(other_type + "  age: {type: integer, required: true, description: x}\n")
    with psycopg.connect(database_url) as connection, pytest.raises(FixTheMapping) as caught:
        migrate(connection, _entities(school))
    texts = str(caught.value)
    assert "`balance` is numeric(10,2) in core.person, the entity file says text." in texts
    assert "has a column `nickname` that the entity file no longer has" in texts
    assert "`age` is new and required" in texts


def _entities(school: School) -> dict[str, Any]:
    from etl_lib.config.project import Project

    return Project(school.folder / "include", "test").entities


def test_make_project_is_in_order(tmp_path: Any) -> None:
    assert len(make_project(tmp_path, TWO_FEEDS).fills()) == 5


def test_a_school_that_the_statistics_do_not_know_is_not_compared_row_by_row(
    new_school: Callable[..., School], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 1_500
    people = [{**PEOPLE[0], "person_id": f"p{n}"} for n in range(rows)]
    enrollments = [
        {
            **ENROLLMENTS[0],
            "enrollment_id": f"e{n}",
            "person_id": f"p{n}",
            "section_id": f"S{n % 200}",
        }
        for n in range(rows)
    ]
    sections = [{**SECTIONS[0], "section_id": f"S{n}", "term_id": None} for n in range(200)]
    night = {"sections": sections, "people": people, "enrollments": enrollments}
    do(new_school("first"), night)
    newcomer = new_school("newcomer")
    with psycopg.connect(newcomer.database_url, autocommit=True) as connection:
        for entity in ("section", "person", "enrollment"):
            rest = connection.execute(
                "SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_schema = 'core' "
                "AND table_name = %s AND column_name <> 'client_id' AND is_generated = 'NEVER'",
                (entity,),
            ).fetchone()[0]
            connection.execute(
                f"INSERT INTO core.{entity} (client_id, {rest}) SELECT 'client' || n, {rest} "
                f"FROM core.{entity}, generate_series(1, 30) n".encode()
            )
        connection.execute("ANALYZE")
    compared: list[float] = []
    original = delivery.delete_absent

    def explained(connection: Any, *given: Any) -> int:
        execute = connection.execute

        def spied(query: Any, *values: Any) -> Any:
            if not isinstance(query, str) and b"WITH gone" in (words := query.as_bytes(connection)):
                with connection.transaction(force_rollback=True):
                    plan = execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + words).fetchone()[0][0]
                compared.append(pairs_in(plan["Plan"]))
            return execute(query, *values)

        with monkeypatch.context() as patch:
            patch.setattr(connection, "execute", spied)
            return original(connection, *given)

    monkeypatch.setattr(delivery, "delete_absent", explained)
    do(newcomer, night)
    assert compared and max(compared) < 20 * rows, "each row was compared with each"


def pairs_in(plan: dict[str, Any]) -> float:
    """Rows of a join that were put beside each other and did not belong together, in all of a plan."""
    own = plan.get("Rows Removed by Join Filter", 0) * plan["Actual Loops"]
    return float(own + sum(pairs_in(part) for part in plan.get("Plans", ())))
