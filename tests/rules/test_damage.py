"""What a spreadsheet did to a cell is told from what the school wrote, by the type of its field."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.rules.test_rules import Cells, Made, fill_of, made, one

__all__ = ["fill_of", "made"]
DAMAGE = "VALUE_SPREADSHEET_DAMAGE"


@pytest.mark.parametrize(
    "cell",
    [
        "20-Oct", "Oct-20", "1-Mar", "oct-2020", "7-ENE", "1.23457E+11", "1,23457E+11", "-1.5E+20",
        "#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "########", "#¡REF!",
        "Err:502", "8:05 AM", "05:00.0", "2026-10-20 00:00:00",
    ],
)  # fmt: skip
def test_an_id_and_a_code_are_damaged(made: Made, cell: str) -> None:
    assert made("person", "person_id", "Id", {"Id": [cell], "A": ["x"]}) == [DAMAGE]
    assert one(made, "display_number", "A", cell) == DAMAGE
    assert one(made, "section_code", "A", cell, "section", fill=NAMED) == DAMAGE


NAMED = {"columns": {"section_id": "Id", "name": "Id", "section_code": "A"}}


@pytest.mark.parametrize(
    "cell",
    ["10-20", "ENG-101", "October", "20-Octo", "1E11", "E+11", "#12", "###", "Err", "10:20",
     "101:10:30", "2026-10-20", "SEP-20-A", "Mar"],
)  # fmt: skip
def test_an_id_that_only_looks_odd_is_kept(made: Made, cell: str) -> None:
    assert made("person", "person_id", "Id", {"Id": [cell], "A": ["x"]}) == [cell]
    assert one(made, "display_number", "A", cell) == cell


@pytest.mark.parametrize("cell", ["20-Oct", "Oct-20", "1.5E+11", "8:05 AM", "12:30"])
def test_words_are_never_taken_for_damaged_codes(made: Made, cell: str) -> None:
    assert one(made, "given_name", "A", cell) == cell
    assert one(made, "given_name", "A", "#REF!") == DAMAGE
    assert one(made, "given_name", "A", "Err:502") == DAMAGE


@pytest.mark.parametrize(
    ("formats", "cell", "value"),
    [
        (["%Y-%m-%d"], "43831", DAMAGE),
        (["%Y-%m-%d"], "43831.5", DAMAGE),
        (["%Y-%m-%d"], "43831,25", DAMAGE),
        (["%Y-%m-%d"], "20000", DAMAGE),
        (["%Y-%m-%d"], "60000", DAMAGE),
        (["%Y-%m-%d"], "60001", "VALUE_NOT_A_DATE"),
        (["%Y-%m-%d"], "19999", "VALUE_NOT_A_DATE"),
        (["%Y-%m-%d"], "4383", "VALUE_NOT_A_DATE"),
        (["%Y-%m-%d"], "24-Nov", DAMAGE),
        (["%Y-%m-%d"], "Nov-26", DAMAGE),
        (["%Y-%m-%d"], "00:00.0", DAMAGE),
        (["%Y-%m-%d"], "0:00", DAMAGE),
        (["%Y-%m-%d"], "########", DAMAGE),
        (["%y%j"], "26328", date(2026, 11, 24)),  # the declared format reads it: no serial number
        (["%m%d%Y"], "01012026", date(2026, 1, 1)),
        (["%m%d%Y"], "1012026", DAMAGE),  # strptime would make the first of October of it
        (["%d%m%y"], "10226", DAMAGE),
        (["%Y%m%d"], "2026111", "VALUE_NOT_A_DATE"),
        (["%Y%m%d"], "20261124", date(2026, 11, 24)),
        (["%d%b%Y"], "4Nov2026", date(2026, 11, 4)),
    ],
)
def test_a_date_is_damaged(made: Made, formats: list[str], cell: str, value: object) -> None:
    assert one(made, "birth_date", {"from": "A", "date_formats": formats}, cell) == value


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("20-Oct", DAMAGE),
        ("1.2E+05", DAMAGE),
        ("12:30", DAMAGE),
        ("0:00:00", DAMAGE),
        ("#DIV/0!", DAMAGE),
        ("43831", Decimal(43831)),
        ("half", "VALUE_NOT_A_NUMBER"),
    ],
)
def test_a_number_is_damaged(made: Made, cell: str, value: object) -> None:
    assert one(made, "score", "A", cell, "result") == value


def test_an_error_sign_is_damage_in_every_type_and_no_value_when_the_school_says_so(
    made: Made,
) -> None:
    assert one(made, "status", {"from": "A", "on_unmapped": "null"}, "#N/A") == DAMAGE
    assert one(made, "is_confidential", "A", "#N/A") == DAMAGE
    assert one(made, "given_name", {"from": "A", "null_tokens": ["#n/a"]}, "#N/A") is None


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"from": "A", "map": {"Oct-20": "fall"}}, "fall"),
        ({"from": "A", "pattern": "[A-Z][a-z]{2}-[0-9]{2}"}, "Oct-20"),
        ({"from": "A", "split": {"separator": "-", "index": 1}}, DAMAGE),
        ({"from": "A", "extract": "([0-9]+)"}, DAMAGE),
        ({"from": "A", "sensitive": "hash"}, DAMAGE),
        ({"concat": ["A", "A"]}, DAMAGE),
        ({"coalesce": ["Gap", "A"]}, DAMAGE),
    ],
)
def test_what_the_mapping_names_is_no_damage_and_no_step_hides_it(
    made: Made, rule: Any, value: str
) -> None:
    cells: Cells = {"A": ["Oct-20"], "Gap": [""]}
    assert made("person", "display_number", rule, cells) == [value]


def test_an_error_sign_is_damage_whatever_the_pattern_takes(made: Made) -> None:
    assert one(made, "display_number", {"from": "A", "pattern": ".*"}, "#REF!") == DAMAGE


def test_zeros_that_are_lost_from_a_value_of_known_width_are_damage(made: Made) -> None:
    rule = {"from": "A", "width": 6}
    cells: Cells = {"A": ["000123", "123", "12345", "1234567", "A123", "ABC123", "", " 000123 "]}
    assert made("person", "display_number", rule, cells) == [
        "000123", DAMAGE, DAMAGE, "VALUE_PATTERN", "VALUE_PATTERN", "ABC123", None, "000123",
    ]  # fmt: skip


def test_the_width_is_that_of_the_file_before_any_step(made: Made) -> None:
    rule = {"from": "A", "width": 4, "extract": "^0*([0-9]+)$"}
    assert made("person", "display_number", rule, {"A": ["0012", "12"]}) == ["12", DAMAGE]


def test_a_spreadsheets_trace_in_a_part_of_an_id_is_damage(made: Made) -> None:
    rule = {"concat": ["A", "B"], "separator": "-"}
    cells: Cells = {
        "A": ["MAT", "MAT", "MAT"],
        "B": ["101", "20-Oct", "8:05 AM"],
        "Id": ["1", "2", "3"],
    }
    assert made("person", "master_id", rule, cells) == ["MAT-101", DAMAGE, "MAT-8:05 AM"]
