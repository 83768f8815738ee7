"""Two formats in one column are found over the whole file, and what both read is not trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.validate.conftest import Judged

Judge = Callable[..., Judged]
MIXED, NO_DATE, NO_NUMBER = "VALUE_MIXED_FORMATS", "VALUE_NOT_A_DATE", "VALUE_NOT_A_NUMBER"
US = ["%m/%d/%Y", "%Y-%m-%d"]
PROVEN = [f"{month:02}/{day}/2025" for month in (1, 2) for day in range(15, 25)]


def outcome(judged: Judge, entity: str, field: str, rule: Any, cells: Sequence[str]) -> list[Any]:
    """Each row's value or code, in order; the counts add up and Great Expectations agrees."""
    found = judged(entity, field, rule, {"a.csv": {"A": cells}})
    lines = [("a.csv", number + 2) for number in range(len(cells))]
    of_validate, of_transform = found.validated, found.transformed
    assert of_validate.rows_read == len(cells) == len(found.rejected) + len(found.kept)
    assert of_validate.rows_rejected == len(found.rejected)
    assert of_validate.rows_accepted == of_transform.rows_in == of_transform.rows_out
    assert sum(of_validate.rejected_by_code.values()) == len(found.rejected)
    told = sum(r["result"].get("unexpected_count", 0) for r in found.expectations)
    assert told == len(found.rejected)
    return [found.rejected.get(line) or found.kept[line] for line in lines]


def days(judged: Judge, *cells: str) -> list[Any]:
    return outcome(judged, "person", "birth_date", {"from": "A", "date_formats": US}, cells)


def numbers(judged: Judge, *cells: str, decimal: str = "point") -> list[Any]:
    return outcome(judged, "result", "score", {"from": "A", "decimal": decimal}, cells)


def test_in_a_column_of_both_orders_a_day_that_reads_in_both_is_rejected(judged: Judge) -> None:
    assert days(
        judged, "03/04/2025", "12/25/2025", "05/05/2025", "2025-03-04", "", "25/12/2025", "26/12/2025"
    ) == [MIXED, date(2025, 12, 25), date(2025, 5, 5), date(2025, 3, 4), None, NO_DATE, NO_DATE]  # fmt: skip


def test_the_first_rows_of_a_long_file_are_rejected_for_what_its_last_rows_show(
    judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl_lib.arrow_file.BATCH_ROWS", 2)
    assert days(judged, "03/04/2025", *PROVEN, "25/12/2025", "26/12/2025")[0] == MIXED


def test_a_single_slip_costs_its_neighbours_nothing(judged: Judge) -> None:
    assert days(judged, "03/04/2025", *PROVEN, "25/12/2025")[::21] == [date(2025, 3, 4), NO_DATE]


def test_a_single_odd_day_counts_when_too_little_speaks_against_it(judged: Judge) -> None:
    assert days(judged, "03/04/2025", *PROVEN[1:], "25/12/2025")[0] == MIXED


@pytest.mark.parametrize("slips", [("31/02/2025", "30/02/2025"), ("25-12-2025", "26-12-2025"),
                                   ("13/13/2025", "45/45/2025"), ("25/12/1025", "26/12/1025")])  # fmt: skip
def test_days_of_no_order_and_other_signs_are_no_evidence(
    judged: Judge, slips: tuple[str, str]
) -> None:
    assert days(judged, "03/04/2025", *slips) == [date(2025, 3, 4), NO_DATE, NO_DATE]


def test_the_other_way_round_and_years_in_front(judged: Judge) -> None:
    rule = {"from": "A", "date_formats": ["%Y-%d-%m"]}
    found = outcome(
        judged, "person", "birth_date", rule, ["2025-03-04", "2025-12-25", "2025-11-25"]
    )
    assert found == [MIXED, NO_DATE, NO_DATE]


def test_each_file_of_a_feed_speaks_for_itself(judged: Judge) -> None:
    files = {
        "a.csv": {"A": ["03/04/2025", "12/25/2025"]},
        "b.csv": {"A": ["03/04/2025", "25/12/2025", "26/12/2025"]},
    }
    found = judged("person", "birth_date", {"from": "A", "date_formats": US}, files)
    assert found.kept.keys() == {("a.csv", 2), ("a.csv", 3)}
    assert found.rejected == {("b.csv", 2): MIXED, ("b.csv", 3): NO_DATE, ("b.csv", 4): NO_DATE}


@pytest.mark.parametrize(
    ("cells", "becomes"),
    [
        (["85%", "0.85", "85", "0", "", "90 %"], [NO_NUMBER, MIXED, MIXED, Decimal(0), None, NO_NUMBER]),
        (["0.85", "85"], [Decimal("0.85"), Decimal(85)]),
        (["85%", "90%"], [NO_NUMBER, NO_NUMBER]),
        (["1.234", "1,5", "1.5", "0.234", "2,25"],
         [MIXED, NO_NUMBER, Decimal("1.5"), Decimal("0.234"), NO_NUMBER]),
        (["1.234", "1,234.5", "1,234", "2,345"], [Decimal("1.234"), NO_NUMBER, NO_NUMBER, NO_NUMBER]),
        (["1.234", "1.234,5", "7"], [MIXED, NO_NUMBER, Decimal(7)]),
        (["1.234", "1.235", "x", "n/a"], [Decimal("1.234"), Decimal("1.235"), NO_NUMBER, NO_NUMBER]),
    ],
    ids=["percent", "no percent", "only percent", "comma", "thousands", "both", "words"],
)  # fmt: skip
def test_numbers_in_two_formats(judged: Judge, cells: list[str], becomes: list[Any]) -> None:
    assert numbers(judged, *cells) == becomes


def test_points_in_a_column_of_commas(judged: Judge) -> None:
    cells = ("1,234", "2.5", "3.75", "1,5", "12")
    found = numbers(judged, *cells, decimal="comma")
    assert found == [MIXED, NO_NUMBER, NO_NUMBER, Decimal("1.5"), Decimal(12)]


def test_one_percent_sign_among_many_numbers_is_that_rows_fault(judged: Judge) -> None:
    found = numbers(judged, *(str(n) for n in range(1, 21)), "85%")
    assert found == [*(Decimal(n) for n in range(1, 21)), NO_NUMBER]


def test_ids_that_a_program_took_for_numbers(judged: Judge) -> None:
    def ids(*cells: str) -> list[Any]:
        files = {"a.csv": {"Id": cells}}
        found = judged("person", "given_name", {"constant": "x"}, files)
        return [found.rejected.get(("a.csv", n + 2)) for n in range(len(cells))]

    damage = "VALUE_SPREADSHEET_DAMAGE"
    assert ids("1234", "1235.0", "A.0", "1236.00", "x1.0") == [None, damage, None, None, None]


def test_ids_with_fractions_of_their_own_are_kept(judged: Judge) -> None:
    found = judged(
        "person", "given_name", {"constant": "x"}, {"a.csv": {"Id": ["1.0", "1.1", "2.0"]}}
    )
    assert found.rejected == {}


def test_ids_whose_ending_the_mapping_takes_off_are_kept(judged: Judge) -> None:
    rule = {"from": "N", "extract": r"^([0-9]+)\.0$"}
    found = judged("person", "person_id", rule, {"a.csv": {"N": ["1.0", "2.0"]}})
    assert list(found.kept.values()) == ["1", "2"]
