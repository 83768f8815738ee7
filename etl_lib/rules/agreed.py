"""The expectations that a mapping adds by their Great Expectations names, as masks over prepared rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.config.mapping import Expectation
from etl_lib.config.project import Fill
from etl_lib.rules.parse import parse
from etl_lib.rules.prepare import PreparedRows

# Those that look at the file as a whole; all others look at each row.
WHOLE_FILE = (
    "expect_column_max_to_be_between",
    "expect_column_min_to_be_between",
    "expect_compound_columns_to_be_unique",
    "expect_column_values_to_be_unique",
    "expect_table_columns_to_match_set",
    "expect_table_row_count_to_be_between",
)


def unexpected_rows(wish: Expectation, prepared: PreparedRows, fill: Fill) -> pa.BooleanArray:
    """Rows that a row-level expectation does not expect; empty values are only so for not_be_null."""
    values = prepared.values.get(wish.kwargs.get("column", ""))
    if values is None:
        return pa.repeat(pa.scalar(False), len(prepared.lines))
    return pc.fill_null(_mask(wish, values, fill), False)


def _mask(wish: Expectation, values: pa.StringArray, fill: Fill) -> pa.BooleanArray:
    kwargs = wish.kwargs
    match wish.expectation:
        case "expect_column_values_to_not_be_null":
            return pc.invert(values.is_valid())
        case "expect_column_values_to_be_in_set":
            return pc.and_(values.is_valid(), pc.invert(_in_set(values, kwargs)))
        case "expect_column_values_to_not_be_in_set":
            return pc.and_(values.is_valid(), _in_set(values, kwargs))
        case "expect_column_values_to_match_regex":
            return pc.invert(pc.match_substring_regex(values, kwargs["regex"]))
        case "expect_column_values_to_not_match_regex":
            return pc.match_substring_regex(values, kwargs["regex"])
        case "expect_column_value_lengths_to_be_between":
            return _outside(pc.utf8_length(values), kwargs)
        case "expect_column_values_to_match_strftime_format":
            return _parsed(kwargs["column"], values, fill)[1]
        case _:
            return _outside(_parsed(kwargs["column"], values, fill)[0], kwargs)


def _in_set(values: pa.StringArray, kwargs: dict[str, Any]) -> pa.BooleanArray:
    return pc.is_in(values, value_set=pa.array([str(v) for v in kwargs["value_set"]], pa.string()))


def _parsed(
    column: str, values: pa.StringArray, fill: Fill
) -> tuple[pa.Array, pa.BooleanArray, pa.BooleanArray]:
    return parse(values, fill.entity.fields[column], fill.rules.columns.get(column), fill.feed)


def _outside(typed: pa.Array, kwargs: dict[str, Any]) -> pa.BooleanArray:
    """Values below min_value or above max_value."""
    result = pa.repeat(pa.scalar(False), len(typed))
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is not None:
        result = pc.or_(result, pc.less(typed, _limit(low, typed.type)))
    if high is not None:
        result = pc.or_(result, pc.greater(typed, _limit(high, typed.type)))
    return result


def _limit(value: Any, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(str(value)).cast(kind)
