"""One cell of a school's file through one rule: the value that it becomes, or the code of its rejection."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from etl_lib.config.project import Fill, Project
from etl_lib.rules import Lookups, checks_for, parse, prepare, problems_of

INCLUDE = Path(__file__).parents[2] / "include"
KEYS = {"person": "person_id", "result": "result_id", "section": "section_id"}
Cells = dict[str, list[str | None]]
Made = Callable[..., list[Any]]


@pytest.fixture(scope="session")
def fill_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fill]:
    """A fill of the real model with the given column rules."""
    include = tmp_path_factory.mktemp("rules") / "include"
    ignored = shutil.ignore_patterns("samples", "mappings")
    shutil.copytree(INCLUDE, include, ignore=ignored)
    (include / "mappings").mkdir()

    def make(entity: str, columns: dict[str, Any], **feed: Any) -> Fill:
        fill = {"columns": {KEYS[entity]: "Id", **columns}, **feed.pop("fill", {})}
        if entity == "person":
            fill["columns"].setdefault("status", {"constant": "active"})
        if entity == "result":
            fill["columns"] |= {
                "line_item_id": "Id",
                "person_id": "Id",
                "status": {"constant": "graded"},
            }
        data = {"client": "C", "sis": "S", "owner": "O",
                "feeds": {"f": {"file": "f.csv", "entities": {entity: fill}, **feed}}}  # fmt: skip
        (include / "mappings" / "school.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
        return Project(include, "development").resolve("school").fills()[0]

    return make


@pytest.fixture
def made(fill_of: Callable[..., Fill]) -> Made:
    """`made(entity, field, rule, cells, **feed)`: each row's value, or its code when it is rejected."""

    def run(entity: str, field: str, rule: Any, cells: Cells, **feed: Any) -> list[Any]:
        length = len(next(iter(cells.values())))
        ids = cells.pop("Id", [f"id{n}" for n in range(length)])
        fill = fill_of(entity, {field: rule}, **feed)
        table = pa.table({
            "_line": pa.array(range(2, length + 2), pa.int64()),
            "Id": pa.array(ids, pa.string()),
            **{name: pa.array(column, pa.string()) for name, column in cells.items()},
        })  # fmt: skip
        prepared = prepare(table, fill, Lookups("school", {}))
        typed, *_ = parse(
            prepared.values[field],
            fill.entity.fields[field],
            fill.rules.columns.get(field),
            fill.feed,
        )
        values = typed.to_pylist()
        checks = checks_for(fill, set(table.column_names))
        for check, bad in reversed(list(problems_of(prepared, checks, fill))):
            for row, is_bad in enumerate(bad.to_pylist()):
                if is_bad:
                    values[row] = check.code
        kept = prepared.kept.to_pylist()
        return [value if kept[row] else "filtered" for row, value in enumerate(values)]

    return run


def one(
    made: Made, field: str, rule: Any, cell: str | None, entity: str = "person", **feed: Any
) -> Any:
    return made(entity, field, rule, {"A": [cell]}, **feed)[0]


@pytest.mark.parametrize(
    ("rule", "cell", "value"),
    [
        ("A", "  Ana ", "Ana"),
        ("A", "", None),
        ("A", "0017", "0017"),
        ({"from": "A", "trim": False}, " Ana ", " Ana "),
        ({"from": "A", "case": "upper"}, "éva", "ÉVA"),
        ({"from": "A", "case": "lower"}, "ÉVA", "éva"),
        ({"from": "A", "pad": 6}, "123", "000123"),
        ({"from": "A", "null_tokens": ["-", "n/a"]}, "n/a", None),
        ({"from": "A", "null_tokens": ["-"]}, "n/a", "n/a"),
        ({"from": "A", "split": {"separator": "-", "index": 1}}, "MAT-101", "101"),
        ({"from": "A", "split": {"separator": "-", "index": -1}}, "a-b-c", "c"),
        ({"from": "A", "split": {"separator": "-", "index": 3}}, "a-b", None),
        ({"from": "A", "extract": r"\((\w+)\)"}, "Algebra (ALG1)", "ALG1"),
        ({"from": "A", "extract": r"\((\w+)\)"}, "Algebra", None),
        ({"from": "A", "default": "none"}, "", "none"),
        ({"from": "A", "default": "none"}, "x", "x"),
        ({"from": "A", "map": {"F": "Fall"}}, "f", "Fall"),
        ({"from": "A", "map": {"F": "Fall"}}, "W", "VALUE_NOT_ALLOWED"),
        ({"from": "A", "map": {"F": "Fall"}, "on_unmapped": "null"}, "W", None),
        ({"from": "A", "map": {"F": "Fall"}, "on_unmapped": "default", "default": "Fall"}, "W", "Fall"),
        ({"from": "A", "sensitive": "mask"}, "Anabel", "A***"),
        ({"from": "A", "sensitive": "drop"}, "Anabel", None),
        ({"from": "A", "pattern": "[0-9]{4}"}, "0123", "0123"),
        ({"from": "A", "pattern": "[0-9]{4}"}, "01234", "VALUE_PATTERN"),
        ({"constant": "x"}, "anything", "x"),
        ("A", "#REF!", "VALUE_SPREADSHEET_DAMAGE"),
    ],
)  # fmt: skip
def test_text_becomes(made: Made, rule: Any, cell: str, value: str | None) -> None:
    assert one(made, "display_number", rule, cell) == value


def test_an_unmapped_value_is_kept_when_the_rule_says_so(made: Made) -> None:
    rule = {"from": "A", "map": {"F": "Fall"}, "on_unmapped": "keep"}
    assert made("person", "display_number", rule, {"A": ["W", "F"]}) == ["W", "Fall"]


def test_a_hash_is_the_same_for_the_same_value_of_a_client_and_never_the_value(made: Made) -> None:
    rule = {"from": "A", "sensitive": "hash"}
    first, second, other = made("person", "master_id", rule, {"A": ["S-1", "S-1", "S-2"]})
    assert first == second != other
    assert len(first) == 64


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("2026-11-24", date(2026, 11, 24)),
        ("2026-2-3", date(2026, 2, 3)),
        ("2026-02-30", "VALUE_NOT_A_DATE"),
        ("2026-11-24T08", "VALUE_NOT_A_DATE"),
        ("0000-01-01", "VALUE_NOT_A_DATE"),
        ("1582-01-01", "VALUE_OUT_OF_RANGE"),
        ("24/11/2026", date(2026, 11, 24)),
        ("4/1/2026", date(2026, 1, 4)),
        ("30/02/2026", "VALUE_NOT_A_DATE"),
        ("24/11/26", "VALUE_NOT_A_DATE"),
        ("11-24-2026", "VALUE_NOT_A_DATE"),
        ("46350", "VALUE_SPREADSHEET_DAMAGE"),
        ("24/11/0026", "VALUE_OUT_OF_RANGE"),
        ("", None),
    ],
)
def test_a_date_becomes(made: Made, cell: str, value: object) -> None:
    rule = {"from": "A", "date_formats": ["%Y-%m-%d", "%d/%m/%Y"]}
    assert one(made, "birth_date", rule, cell) == value
    beside = made("person", "birth_date", rule, {"A": ["2026-11-25", cell, "2024-02-29"]})
    assert beside == [date(2026, 11, 25), value, date(2024, 2, 29)]


def test_a_date_in_a_form_that_was_not_agreed_is_none(made: Made) -> None:
    rule = {"from": "A", "date_formats": ["%d/%m/%Y"]}
    assert one(made, "birth_date", rule, "2026-11-24") == "VALUE_NOT_A_DATE"


@pytest.mark.parametrize(
    ("cell", "sign", "value"),
    [
        ("12.5", "point", Decimal("12.500")),
        ("12,5", "comma", Decimal("12.500")),
        ("-0.125", "point", Decimal("-0.125")),
        (".5", "point", Decimal("0.500")),
        ("7.", "point", Decimal("7.000")),
        ("1.50000", "point", Decimal("1.500")),
        ("12,5", "point", "VALUE_NOT_A_NUMBER"),
        ("1,234.5", "point", "VALUE_NOT_A_NUMBER"),
        ("50%", "point", "VALUE_NOT_A_NUMBER"),
        ("1e3", "point", "VALUE_NOT_A_NUMBER"),
        ("1.2345", "point", "VALUE_OUT_OF_RANGE"),
        ("12345678", "point", "VALUE_OUT_OF_RANGE"),
        ("", "point", None),
    ],
)
def test_a_decimal_becomes(made: Made, cell: str, sign: str, value: object) -> None:
    assert one(made, "score", {"from": "A", "decimal": sign}, cell, "result") == value


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("3", 3),
        ("+3", 3),
        ("003", 3),
        ("3.0", "VALUE_NOT_A_NUMBER"),
        ("-1", "VALUE_OUT_OF_RANGE"),
        ("9" * 30, "VALUE_OUT_OF_RANGE"),
        ("three", "VALUE_NOT_A_NUMBER"),
    ],
)
def test_a_whole_number_becomes(made: Made, cell: str, value: object) -> None:
    assert one(made, "attempt", "A", cell, "result") == value


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("Y", True),
        ("true", True),
        ("N", False),
        ("0", False),
        ("maybe", "VALUE_NOT_YES_OR_NO"),
        ("", False),
    ],
)
def test_yes_and_no_become(made: Made, cell: str, value: object) -> None:
    assert one(made, "is_confidential", "A", cell) == value


def test_a_schools_own_words_for_yes_and_no_replace_ours(made: Made) -> None:
    rule = {"from": "A", "true_tokens": ["SI"], "false_tokens": ["NO"]}
    got = made("person", "is_confidential", rule, {"A": ["si", "no", "true"]})
    assert got == [True, False, "VALUE_NOT_YES_OR_NO"]


def test_an_id_that_a_spreadsheet_rounded_is_rejected(made: Made) -> None:
    cells: Cells = {"A": ["x", "x", "x"], "Id": ["1.23457E+11", "000123", "10-20"]}
    assert made("person", "person_id", "Id", cells) == [
        "VALUE_SPREADSHEET_DAMAGE",
        "000123",
        "10-20",
    ]


def test_a_missing_required_value_is_rejected(made: Made) -> None:
    cells: Cells = {"A": ["x", "x"], "Id": ["", "7"]}
    assert made("person", "person_id", "Id", cells) == ["VALUE_MISSING", "7"]


def test_parts_are_joined_and_the_first_that_is_there_is_taken(made: Made) -> None:
    cells: Cells = {"A": ["Ana", "Bo", ""], "B": ["Ruiz", "", "Li"]}
    joined = {"concat": ["A", "B"], "separator": " "}
    assert made("person", "full_name", joined, dict(cells)) == ["Ana Ruiz", None, None]
    first = {"coalesce": ["A", "B"]}
    assert made("person", "full_name", first, dict(cells)) == ["Ana", "Bo", "Li"]


def test_rows_are_filtered_by_any_case_of_the_values(made: Made) -> None:
    cells: Cells = {"A": ["x", "y", "z"], "Kind": ["Student", "STAFF", ""]}
    only = {"where": {"Kind": ["student"]}}
    assert made("person", "username", "A", dict(cells), fill=only) == ["x", "filtered", "filtered"]
    but = {"where_not": {"Kind": ["staff", ""]}}
    assert made("person", "username", "A", dict(cells), fill=but) == ["x", "filtered", "filtered"]


def test_an_instant_is_taken_with_its_zone(fill_of: Callable[..., Fill]) -> None:
    fill = fill_of(
        "person", {"username": "A"}, values={"timestamp_formats": ["%Y-%m-%dT%H:%M:%S%z"]}
    )
    field = fill.entity.fields["username"].model_copy(update={"type": "timestamp"})
    typed, bad, _ = parse(
        pa.array(["2026-11-24T08:00:00-0600", "2026-11-24"]), field, None, fill.feed
    )
    assert typed.to_pylist() == [datetime(2026, 11, 24, 14, tzinfo=UTC), None]
    assert bad.to_pylist() == [False, True]
