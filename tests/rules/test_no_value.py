"""Which cells are no value: blanks and null tokens, by column, in every part a value is made of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from etl_lib.config.project import Project
from etl_lib.rules import Lookups, checks_for, prepare, problems_of
from tests.rules.test_rules import INCLUDE, Cells, Made, fill_of, made, one

__all__ = ["fill_of", "made"]
TOKENS = {"values": {"null_tokens": ["-", "N/A", " none "]}}


@pytest.mark.parametrize(
    "cell", ["", "   ", "\t", "\u00a0", "\ufeff", "-", " - ", "n/a", "N/a", "NONE"]
)
def test_a_blank_and_a_token_in_any_case_are_no_value(made: Made, cell: str) -> None:
    assert one(made, "given_name", "A", cell, **TOKENS) is None


@pytest.mark.parametrize("cell", ["--", "n/a.", "N / A", "none yet", "0", "null"])
def test_what_only_holds_a_token_is_a_value(made: Made, cell: str) -> None:
    assert one(made, "given_name", "A", cell, **TOKENS) == cell


@pytest.mark.parametrize(
    ("tokens", "values"),
    [(["x"], ["-", None, None]), ([], ["-", "x", None]), ("-", [None, "x", None])],
)
def test_a_columns_own_tokens_take_the_place_of_the_feeds(
    made: Made, tokens: Any, values: list[str | None]
) -> None:
    rule = {"from": "A", "null_tokens": tokens}
    feed = {"values": {"null_tokens": ["-", "x"]}}
    assert made("person", "given_name", rule, {"A": ["-", "X", ""]}, **feed) == [
        value and value.replace("x", "X") for value in values
    ]


def test_a_token_in_a_required_or_a_typed_field_is_no_value_either(made: Made) -> None:
    assert made("person", "person_id", "Id", {"Id": ["-", "7"]}, **TOKENS) == ["VALUE_MISSING", "7"]
    assert one(made, "birth_date", "A", "N/A", **TOKENS) is None
    assert one(made, "score", "A", "-", "result", **TOKENS) is None
    assert one(made, "attempt", "A", "none", "result", **TOKENS) is None


def test_a_token_is_no_value_in_the_parts_of_one_too(made: Made) -> None:
    cells: Cells = {"A": ["Ana", "-", "Eva"], "B": ["Ruiz", "Li", "n/a"]}
    joined = {"concat": ["A", "B"], "separator": " "}
    assert made("person", "full_name", joined, dict(cells), **TOKENS) == ["Ana Ruiz", None, None]
    first = {"coalesce": ["A", "B"]}
    assert made("person", "full_name", first, dict(cells), **TOKENS) == ["Ana", "Li", "Eva"]


@pytest.mark.parametrize(
    ("on_unknown", "of_unknown"), [("reject", "LOOKUP_NOT_FOUND"), ("null", None)]
)
def test_a_looked_up_value(tmp_path: Path, on_unknown: str, of_unknown: str | None) -> None:
    include = tmp_path / "include"
    shutil.copytree(INCLUDE, include, ignore=shutil.ignore_patterns("samples", "mappings"))
    (include / "mappings").mkdir()
    lookup = {
        "feed": "courses",
        "key": "No",
        "by": "Course",
        "column": "School",
        "on_unknown": on_unknown,
    }
    data = {"client": "C", "sis": "S", "owner": "O", "feeds": {
        "courses": {"file": "c.csv", "values": {"null_tokens": ["TBD"]},
                    "entities": {"course": {"columns": {"course_id": "No", "title": "T",
                                                        "organization_id": "School"}}}},
        "sections": {"file": "s.csv", "values": {"null_tokens": ["-"]},
                     "entities": {"section": {"columns": {"section_id": "Id", "name": "Id",
                                                          "organization_id": {"lookup": lookup}}}}}}}  # fmt: skip
    (include / "mappings" / "school.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    resolved = Project(include, "development").resolve("school")

    def tables_of(feed: str, columns: list[str]) -> Iterator[pa.Table]:
        yield pa.table({"No": ["1", " 2 ", "3"], "School": ["North", "tbd", ""]}).select(columns)

    lookups = Lookups.build(resolved, tables_of)
    fill = next(f for f in resolved.fills() if f.feed_name == "sections")
    by = ["1", "2", "3", " 1", "-", "", "9"]
    table = pa.table({"_line": pa.array(range(7), pa.int64()), "Id": list("abcdefg"), "Course": by})
    prepared = prepare(table, fill, lookups)
    values: list[str | None] = prepared.values["organization_id"].to_pylist()
    for check, bad in problems_of(prepared, checks_for(fill, set(table.column_names)), fill):
        values = [check.code if b else v for v, b in zip(values, bad.to_pylist(), strict=True)]
    assert values == ["North", None, None, "North", None, None, of_unknown]
