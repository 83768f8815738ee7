"""What the cells of one column say about its formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from etl_lib.config.project import Fill
from etl_lib.rules import Lookups, checks_for, is_mixed, prepare, problems_of, rivals_of
from tests.rules.test_rules import fill_of
from tests.validate.test_judgement import judged_by_gx

__all__ = ["fill_of"]
FillOf = Callable[..., Fill]


def instants(fill_of: FillOf, *formats: str) -> Fill:
    """A fill whose `username` is a timestamp."""
    fill = fill_of("person", {"username": {"from": "A", "timestamp_formats": list(formats)}})
    fields = dict(fill.entity.fields)
    fields["username"] = fields["username"].model_copy(update={"type": "timestamp", "code": False})
    return replace(fill, entity=fill.entity.model_copy(update={"fields": fields}))


@pytest.mark.parametrize(
    ("cell", "odd", "proof", "doubtful"),
    [
        ("2026-11-24 2:00 PM", True, False, False),
        ("2026-11-24 02:00PM", True, False, False),
        ("2026-11-24 02:00", False, False, True),
        ("2026-11-24 12:30", False, False, True),
        ("2026-11-24 14:00", False, True, False),
        ("2026-11-24 00:15", False, True, False),
        ("2026-11-24", False, False, False),
        ("2026-11-24 14:00 PM", False, False, False),
    ],
)
def test_hours_of_twelve_beside_hours_of_24(
    fill_of: FillOf, cell: str, odd: bool, proof: bool, doubtful: bool
) -> None:
    _, rival = rivals_of("username", instants(fill_of, "%Y-%m-%d %H:%M"))
    assert (rival.odd(cell), rival.proof(cell), rival.doubtful(cell)) == (odd, proof, doubtful)


def test_formats_that_are_both_agreed_upon_are_no_rivals(fill_of: FillOf) -> None:
    formats = ("%Y-%m-%d %H:%M", "%Y-%m-%d %I:%M %p")
    fill = instants(fill_of, *formats)
    cells = {
        "Id": ["1", "2", "3"],
        "A": ["2026-11-24 02:00", "2026-11-24 02:00 PM", "2026-11-24 03:00 PM"],
    }
    table = pa.table({"_line": pa.array([2, 3, 4], pa.int64()), **cells})
    prepared = prepare(table, fill, Lookups("school", {}))
    failed = problems_of(prepared, checks_for(fill, set(table.column_names)), fill)
    unread = next(bad for check, bad in failed if check.code == "VALUE_NOT_A_TIMESTAMP")
    assert [rival.odd_count(prepared, unread) for rival in rivals_of("username", fill)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("rule", "kinds"),
    [
        ({"from": "A", "date_formats": ["%d/%m/%Y", "%Y-%m-%d", "%d-%b-%Y"]}, 2),
        ({"from": "A", "date_formats": ["%d-%b-%Y", "%Y"]}, 0),
        ({"constant": "2026-01-01"}, 0),
    ],
)
def test_only_days_and_months_in_digits_have_a_rival(
    fill_of: FillOf, rule: Any, kinds: int
) -> None:
    assert len(rivals_of("birth_date", fill_of("person", {"birth_date": rule}))) == kinds


def test_a_two_digit_year_is_never_taken_for_a_four_digit_one(fill_of: FillOf) -> None:
    rule = {"from": "A", "date_formats": ["%m/%d/%Y", "%m/%d/%y"]}
    fill = fill_of("person", {"birth_date": rule})
    (long, short) = rivals_of("birth_date", fill)
    assert (long.odd("25/12/2026"), long.odd("25/12/26")) == (True, False)
    assert (short.odd("25/12/2026"), short.odd("25/12/26")) == (False, True)


def test_two_odd_rows_are_mixed_and_one_only_with_few_proofs(fill_of: FillOf) -> None:
    (rival,) = rivals_of("birth_date", fill_of("person", {"birth_date": "A"}))
    assert [is_mixed(rival, odd, proofs) for odd, proofs in ((0, 0), (1, 19), (1, 20), (2, 9_999))] == [
        False, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "cells", "counts"),
    [
        ("score", ["85%", "0.85", "85", "0", "", "1.234", "0.234", "12.5"], [5, 0]),
        ("scored_on", ["2026-01-02", "2026-12-11", "2026-12-25", "2026-25-12", "", "26"], [2]),
    ],
)
def test_great_expectations_counts_the_doubtful_cells_as_we_do(
    fill_of: FillOf, field: str, cells: list[str], counts: list[int]
) -> None:
    fill = fill_of("result", {field: "A"})
    ids = [f"i{n}" for n in range(len(cells))]
    table = pa.table({"_line": pa.array(range(len(cells)), pa.int64()), "Id": ids, "A": cells})
    prepared = prepare(table, fill, Lookups("school", {}))
    checks = checks_for(fill, set(table.column_names), rivals_of(field, fill))
    found = [(c, pc.sum(bad).as_py()) for c, bad in problems_of(prepared, checks, fill) if c.rival]
    column = prepared.values[field].to_pandas()
    if field == "score":  # a number that is doubtful twice is said once
        column = column.replace("1.234", "1.2")
    assert [count for _, count in found] == counts
    for check, count in found:
        assert judged_by_gx(column, str(check.expectation), dict(check.kwargs)) == count
