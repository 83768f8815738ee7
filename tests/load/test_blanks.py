"""A blank clears or keeps what is stored, as its rule says; an absent column does neither."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from etl_lib.load import load
from etl_lib.run import Wishes
from tests.load.conftest import MAPPING, School
from tests.load.test_load import TWO_FEEDS, do, query

KEEPING = (
    MAPPING.replace("given_name: given", "given_name: {from: given, blank: keep}")
    .replace("grade_levels: grades", "grade_levels: {from: grades, blank: keep}")
    .replace("balance: balance", "balance: {from: balance, blank: keep}")
)
STORED = {"person_id": "a", "given_name": "Ana", "family_name": "Ruiz", "grade_levels": ["9", "10"],
          "balance": Decimal("1.50")}  # fmt: skip
BLANK = {
    "person_id": "a",
    "given_name": None,
    "family_name": None,
    "grade_levels": None,
    "balance": None,
}
COLUMNS = (
    "SELECT given_name, family_name, grade_levels, balance FROM core.person ORDER BY person_id"
)


def people(school: School, *rows: dict[str, Any], **options: Any) -> tuple[int, int, int]:
    """Load people; inserted, updated, unchanged."""
    count = do(school, {"people": rows}, **options)["person"]
    return count.inserted, count.updated, count.unchanged


def changed(school: School) -> list[tuple[Any, ...]]:
    return query(school, "SELECT action, columns FROM etl.history ORDER BY run_seq")


@pytest.fixture
def keeping(new_school: Callable[..., School]) -> School:
    """A school whose blanks keep, but for the family name."""
    return new_school("keeping", KEEPING)


def test_a_blank_clears_what_is_stored_unless_the_rule_says_keep(school: School) -> None:
    people(school, STORED)
    assert people(school, BLANK) == (0, 1, 0)
    assert query(school, COLUMNS) == [(None, None, None, None)]


def test_a_blank_that_keeps_leaves_the_stored_value(keeping: School) -> None:
    people(keeping, STORED)
    assert people(keeping, BLANK) == (0, 1, 0)
    assert query(keeping, COLUMNS) == [("Ana", None, ["9", "10"], Decimal("1.50"))]
    assert changed(keeping) == [("update", ["family_name"])]


def test_a_row_that_only_has_blanks_that_keep_is_unchanged(keeping: School) -> None:
    people(keeping, STORED)
    before = query(keeping, "SELECT xmin::text FROM core.person")
    assert people(keeping, {**BLANK, "family_name": "Ruiz"}) == (0, 0, 1)
    assert query(keeping, "SELECT xmin::text FROM core.person") == before
    assert changed(keeping) == []


def test_a_value_still_replaces_and_a_new_row_starts_without_one(keeping: School) -> None:
    people(keeping, STORED)
    new = {**BLANK, "person_id": "b"}
    assert people(keeping, {**STORED, "given_name": "Eva"}, new) == (1, 1, 0)
    assert query(keeping, COLUMNS) == [
        ("Eva", "Ruiz", ["9", "10"], Decimal("1.50")), (None, None, None, None)
    ]  # fmt: skip
    assert changed(keeping) == [("update", ["given_name"])]


def test_a_dry_run_shows_no_change_for_a_blank_that_keeps(keeping: School) -> None:
    people(keeping, STORED)
    sent = {"people": [{**BLANK, "family_name": "Ruiz"}]}
    plan = load(*keeping.prepare(sent, wishes=Wishes(dry_run=True)))
    assert [(c.updated, c.unchanged) for c in plan.loaded.counts] == [(0, 1)]
    assert plan.samples == []


def test_a_restored_row_keeps_what_its_blanks_leave(new_school: Callable[..., School]) -> None:
    text = KEEPING.replace("      person:\n", "      person:\n        delete_absent: true\n", 1)
    school = new_school("restoring", text)
    other = {**STORED, "person_id": "b"}
    people(school, STORED, other)
    people(school, other)
    assert query(school, "SELECT count(*) FROM core.current_person") == [(1,)]
    assert people(school, BLANK, other) == (0, 1, 1)
    assert query(school, COLUMNS)[0] == ("Ana", None, ["9", "10"], Decimal("1.50"))


def test_a_feed_that_completes_keeps_too(new_school: Callable[..., School]) -> None:
    text = TWO_FEEDS.replace("balance: balance", "balance: {from: balance, blank: keep}")
    school = new_school("completing", text)
    night = {
        "people": [{"person_id": "a"}],
        "profiles": [{"person_id": "a", "balance": Decimal(2)}],
    }
    do(school, night)
    counts = load(*school.prepare({**night, "profiles": [{"person_id": "a", "balance": None}]}))
    assert sum(count.updated for count in counts.loaded.counts) == 0
    assert query(school, "SELECT balance FROM core.person") == [(Decimal(2),)]


def test_an_absent_column_leaves_what_is_stored(school: School) -> None:
    people(school, STORED)
    assert people(school, {"person_id": "a", "family_name": "Ruiz"}) == (0, 0, 1)
    assert people(school, {"person_id": "a", "family_name": "Rey"}) == (0, 1, 0)
    assert query(school, COLUMNS) == [("Ana", "Rey", ["9", "10"], Decimal("1.50"))]


def test_a_default_for_an_absent_column_fills_new_rows_and_leaves_what_is_stored(
    school: School,
) -> None:
    people(school, STORED)
    sent = [{**STORED, "given_name": "Unknown"}, {"person_id": "b", "given_name": "Unknown"}]
    assert people(school, *sent, defaulted=["given_name"]) == (1, 0, 1)
    assert [row[0] for row in query(school, COLUMNS)] == ["Ana", "Unknown"]
    assert people(school, *sent) == (0, 1, 1), "with the column there, its value counts"
