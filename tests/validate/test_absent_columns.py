"""A column that a file does not have is told from one without values, up to the rows for the load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.validate.conftest import Judged

Judge = Callable[..., Judged]


@pytest.mark.parametrize(
    ("rule", "files", "filled", "defaulted"),
    [
        ("A", {"a.csv": {"A": ["", "x"]}}, True, {}),
        ("A", {"a.csv": {"B": ["", "x"]}}, False, {}),
        ({"from": "A", "default": "y"}, {"a.csv": {"A": ["", "x"]}}, True, {}),
        ({"from": "A", "default": "y"}, {"a.csv": {"B": ["x"]}}, True, {"given_name": ("a.csv",)}),
        ({"from": "A", "default": "y"}, {"a.csv": {"A": ["x"]}, "b.csv": {"B": ["x"]}}, True,
         {"given_name": ("b.csv",)}),
        ({"constant": "y"}, {"a.csv": {"B": ["x"]}}, True, {}),
        ({"coalesce": ["A", "B"]}, {"a.csv": {"B": ["x"]}}, True, {}),
        ({"concat": ["A", "B"]}, {"a.csv": {"B": ["x"]}}, False, {}),
    ],
)  # fmt: skip
def test_a_field_is_filled_by_a_column_or_a_default(
    judged: Judge, rule: Any, files: Any, filled: bool, defaulted: dict[str, Any]
) -> None:
    pass_through = {"columns": {"B": {"required": False}}}
    made = judged("person", "given_name", rule, files, **pass_through).transformed
    assert ("given_name" in made.columns) == filled
    # nothing is mapped to the status: the entity's own default fills new rows
    assert {k: v for k, v in made.defaulted.items() if k != "status"} == defaulted
    assert made.defaulted["status"] == tuple(files)
