"""Our counts of unexpected rows are those that Great Expectations finds by itself in the same column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import great_expectations as gx  # noqa: TID251 (the peer that we are held against)
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from etl_lib.config.project import Fill
from etl_lib.rules import Lookups, checks_for, prepare, problems_of
from tests.rules.test_rules import fill_of

__all__ = ["fill_of"]
IDS = ["1", "2", "2", "", "1.23457E+11", "#REF!", "7" * 300]
NAMES = ["Ana", "", "x" * 300, "#N/A", "Bo", "Cy", "Di"]
CODES = ["0123", "12", "", "abcd", "0000", "01234", "9999"]
STATUS = ["active", "inactive", "", "ACTIVE", "gone", "active", "active"]
RULES = {
    "given_name": "Name",
    "display_number": {"from": "Code", "pattern": "[0-9]{4}"},
    "status": {"from": "Status", "on_unmapped": "reject"},
}


def judged_by_gx(values: pd.Series, expectation: str, kwargs: dict[str, Any]) -> int:
    """Unexpected rows of one column, counted by Great Expectations' own pandas engine."""
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("p").add_dataframe_asset("a")
    batch = asset.add_batch_definition_whole_dataframe("b").get_batch(
        batch_parameters={"dataframe": values.to_frame(kwargs["column"])}
    )
    name = "".join(part.title() for part in expectation.split("_"))
    result = batch.validate(getattr(gx.expectations, name)(**kwargs), result_format="BASIC")
    return int(result.result["unexpected_count"])


@pytest.fixture
def found(fill_of: Callable[..., Fill]) -> list[tuple[str, str, dict[str, Any], int, pd.Series]]:
    """(code, expectation, its arguments, our count, the column) of every check."""
    fill = fill_of("person", dict(RULES))
    cells = {"Id": IDS, "Name": NAMES, "Code": CODES, "Status": STATUS}
    table = pa.table({"_line": pa.array(range(2, 9), pa.int64()),
                      **{name: pa.array(values, pa.string()) for name, values in cells.items()}})  # fmt: skip
    prepared = prepare(table, fill, Lookups("school", {}))
    rows = []
    for check, bad in problems_of(prepared, checks_for(fill, set(table.column_names)), fill):
        if check.expectation:
            column = prepared.values[check.field].to_pandas()
            rows.append(
                (
                    check.code,
                    check.expectation,
                    dict(check.kwargs),
                    pc.sum(bad).as_py() or 0,
                    column,
                )
            )
    return rows


@pytest.mark.parametrize(
    "code", ["VALUE_MISSING", "VALUE_SPREADSHEET_DAMAGE", "VALUE_PATTERN", "VALUE_TOO_LONG"]
)
def test_unexpected_rows_are_those_that_great_expectations_counts(
    found: list[tuple[str, str, dict[str, Any], int, pd.Series]], code: str
) -> None:
    of_code = [one for one in found if one[0] == code]
    assert sum(count for *_, count, _ in of_code) > 0, "the data must break the rule"
    for _, expectation, kwargs, count, column in of_code:
        # a value without a meaning has no text any more: we say why, Great Expectations sees a gap
        unmapped = sum(
            count
            for other, _, given, count, _ in found
            if other == "VALUE_NOT_ALLOWED" and given["column"] == kwargs["column"]
        )
        gaps = unmapped if code == "VALUE_MISSING" else 0
        assert count == judged_by_gx(column, expectation, kwargs) - gaps, kwargs["column"]
