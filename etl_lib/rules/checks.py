"""The checks that a row must pass, each under the name of the expectation that Great Expectations judges."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.config.entity import EntityField
from etl_lib.config.mapping import ColumnRule, Feed
from etl_lib.config.project import Fill
from etl_lib.rules.damage import damage_pattern, damaged
from etl_lib.rules.mixed import Rival
from etl_lib.rules.parse import FIRST_YEAR, LAST_YEAR, Parsed, formats_of, parse, shape_of
from etl_lib.rules.prepare import PreparedRows, Problem, fields_present
from etl_lib.rules.text import all_false, any_of

ID_LENGTH = 255
_READ = ("integer", "decimal", "date", "timestamp")  # types whose texts are read as something else

__all__ = ["Check", "Problem", "checks_for", "problems_of"]


@dataclass(frozen=True)
class Check:
    """One expectation on a field; `expectation` and `kwargs` are Great Expectations' own.

    `expectation` None: the rule looks beyond the file, where Great Expectations has no name for it.
    `rival`: the other format of a mixed column, whose doubtful cells the check rejects.
    """

    field: str
    code: str
    expectation: str | None
    kwargs: Mapping[str, Any]
    rival: Rival | None = None


def checks_for(
    fill: Fill, columns: Collection[str], mixed: Sequence[Rival] = ()
) -> tuple[Check, ...]:
    """Every check of a fill whose file has these columns, the most telling of a field first.

    `mixed`: the other formats that are known to stand in the file's columns.
    """
    checks: list[Check] = []
    present = fields_present(fill, columns)
    for name in present:
        rule = fill.rules.columns.get(name)
        rivals = [one for one in mixed if one.field == name]
        checks += _field_checks(name, fill.entity.fields[name], rule, fill.feed, rivals)
    for first, second in fill.entity.ordered:
        if {first, second} <= set(present):
            kwargs = {"column_A": second, "column_B": first, "or_equal": True,
                      "ignore_row_if": "either_value_is_missing"}  # fmt: skip
            name = "expect_column_pair_values_a_to_be_greater_than_b"
            checks.append(Check(second, "VALUE_ORDER", name, kwargs))
    for column, said in fill.feed.columns.items():
        if said.values and column in columns:
            kwargs = {"column": column, "value_set": list(said.values)}
            name = "expect_column_values_to_be_in_set"
            checks.append(Check(column, "VALUE_NOT_ALLOWED", name, kwargs))
        if said.filled and column in columns:
            name = "expect_column_values_to_not_be_null"
            checks.append(Check(column, "VALUE_MISSING", name, {"column": column}))
    return tuple(checks)


def _field_checks(
    name: str, of: EntityField, rule: ColumnRule | None, feed: Feed, mixed: Sequence[Rival]
) -> Iterator[Check]:
    kwargs: dict[str, Any]
    column = {"column": name}
    damage = {**column, "regex": damage_pattern(of, rule, feed)}
    yield Check(name, "VALUE_SPREADSHEET_DAMAGE", "expect_column_values_to_not_match_regex", damage)
    if of.type == "enum" or (rule and rule.map):
        allowed = list(of.values) or sorted({str(v) for v in (rule.map.values() if rule else ())})
        kwargs = {**column, "value_set": allowed}
        yield Check(name, "VALUE_NOT_ALLOWED", "expect_column_values_to_be_in_set", kwargs)
    if rule and rule.lookup:
        yield Check(name, "LOOKUP_NOT_FOUND", None, column)
    yield from _form_checks(name, of, rule, feed)
    for one in mixed:
        doubtful = {**column, "regex": one.shape}
        yield Check(name, one.code, "expect_column_values_to_not_match_regex", doubtful, one)
    if of.type in ("id", "text") and not of.array:
        longest = ID_LENGTH if of.type == "id" else of.max_length
        kwargs = {**column, "max_value": longest}
        yield Check(name, "VALUE_TOO_LONG", "expect_column_value_lengths_to_be_between", kwargs)
    if rule and rule.width:
        kwargs = {**column, "value": rule.width}
        yield Check(name, "VALUE_PATTERN", "expect_column_value_lengths_to_equal", kwargs)
    if rule and rule.pattern:
        kwargs = {**column, "regex": f"^(?:{rule.pattern})$"}
        yield Check(name, "VALUE_PATTERN", "expect_column_values_to_match_regex", kwargs)
    if of.required:
        yield Check(name, "VALUE_MISSING", "expect_column_values_to_not_be_null", column)


def _form_checks(
    name: str, of: EntityField, rule: ColumnRule | None, feed: Feed
) -> Iterator[Check]:
    """The text has the form of the field's type, and the value lies in its range."""
    kwargs: dict[str, Any]
    column = {"column": name}
    if of.type in ("integer", "decimal"):
        regex = r"^[+-]?[0-9]+$" if of.type == "integer" else r"^[+-]?[0-9]*[.,]?[0-9]*$"
        kwargs = {**column, "regex": regex}
        yield Check(name, "VALUE_NOT_A_NUMBER", "expect_column_values_to_match_regex", kwargs)
        most = 10 ** (of.precision - of.scale) - 1 if of.type == "decimal" else 10**18
        low = -most if of.minimum is None else of.minimum
        kwargs = {**column, "min_value": low, "max_value": of.maximum or most}
        yield Check(name, "VALUE_OUT_OF_RANGE", "expect_column_values_to_be_between", kwargs)
    elif of.type == "boolean":
        true = (rule and rule.true_tokens) or feed.values.true_tokens
        false = (rule and rule.false_tokens) or feed.values.false_tokens
        kwargs = {**column, "value_set": [*true, *false]}
        yield Check(name, "VALUE_NOT_YES_OR_NO", "expect_column_values_to_be_in_set", kwargs)
    elif of.type in ("date", "timestamp"):
        formats = formats_of(of, rule, feed)
        code = "VALUE_NOT_A_DATE" if of.type == "date" else "VALUE_NOT_A_TIMESTAMP"
        if len(formats) == 1:
            kwargs = {**column, "strftime_format": formats[0]}
            yield Check(name, code, "expect_column_values_to_match_strftime_format", kwargs)
        else:  # Great Expectations knows one format a column: its regular expression takes several
            kwargs = {**column, "regex": "|".join(f"^{shape_of(one, {})}$" for one in formats)}
            yield Check(name, code, "expect_column_values_to_match_regex", kwargs)
        kwargs = {**column, "min_value": str(FIRST_YEAR), "max_value": str(LAST_YEAR)}
        yield Check(name, "VALUE_OUT_OF_RANGE", "expect_column_values_to_be_between", kwargs)


def problems_of(
    prepared: PreparedRows, checks: Sequence[Check], fill: Fill
) -> list[tuple[Check, pa.BooleanArray]]:
    """For each check the rows that fail it; a cell fails only the first check that it fails.

    Rows that a filter leaves out fail nothing; rows marked deleted need no more than their key.
    """
    judged = pc.and_(prepared.kept, pc.invert(prepared.deleted))
    length = len(prepared.lines)
    seen: dict[str, pa.BooleanArray] = {}
    result = []
    typed: dict[str, Parsed] = {}
    for check in checks:
        bad = _bad(prepared, check, fill, typed)
        scope = judged
        if _is_key_missing(check, fill):
            # a key made of other fields is missing with one of them, which says so itself
            derived = fill.entity.key not in fill.rules.columns
            scope = pc.and_(prepared.kept, prepared.deleted) if derived else prepared.kept
        before = seen.get(check.field, all_false(length))
        bad = pc.and_(pc.and_(pc.fill_null(bad, False), scope), pc.invert(before))
        seen[check.field] = any_of(before, bad)
        result.append((check, bad))
    return result


def _is_key_missing(check: Check, fill: Fill) -> bool:
    return check.field == fill.entity.key and check.code == "VALUE_MISSING"


def _bad(
    prepared: PreparedRows, check: Check, fill: Fill,
    typed: dict[str, Parsed],
) -> pa.BooleanArray:  # fmt: skip
    if check.rival:
        return check.rival.doubtful_rows(prepared)
    known = [p.bad for p in prepared.problems if (p.field, p.code) == (check.field, check.code)]
    if check.code in ("VALUE_NOT_ALLOWED", "LOOKUP_NOT_FOUND"):
        return any_of(*known) if known else all_false(len(prepared.lines))
    if check.code == "VALUE_MISSING" and known:
        return any_of(*known)
    values = prepared.values[check.field]
    rule = fill.rules.columns.get(check.field)
    if check.code == "VALUE_MISSING":
        return pc.invert(values.is_valid())
    if check.code == "VALUE_TOO_LONG":
        return pc.greater(pc.utf8_length(values), check.kwargs["max_value"])
    if check.code == "VALUE_PATTERN" and "value" in check.kwargs:
        lengths = (pc.utf8_length(cells) for cells in prepared.cells[check.field])
        return any_of(*(pc.not_equal(length, check.kwargs["value"]) for length in lengths))
    if check.code == "VALUE_PATTERN":
        return pc.invert(pc.match_substring_regex(values, check.kwargs["regex"]))
    if check.code == "VALUE_SPREADSHEET_DAMAGE":
        return _damaged(prepared, check, fill, typed)
    if check.code == "VALUE_ORDER":
        first = _typed(prepared, check.kwargs["column_B"], fill, typed)[0]
        second = _typed(prepared, check.kwargs["column_A"], fill, typed)[0]
        return pc.greater(first, second)
    _, shapeless, outside = _typed(prepared, check.field, fill, typed, rule)
    return outside if check.code == "VALUE_OUT_OF_RANGE" else shapeless


def _damaged(
    prepared: PreparedRows, check: Check, fill: Fill, typed: dict[str, Parsed]
) -> pa.BooleanArray:
    """Cells that a spreadsheet changed; one that the field's declared format reads is none."""
    name, cells = check.field, prepared.cells.get(check.field, ())
    if not cells:
        return all_false(len(prepared.lines))
    rule = fill.rules.columns.get(name)
    if fill.entity.fields[name].type not in _READ:
        return damaged(cells, fill.entity.fields[name], rule, fill.feed)
    values = prepared.values[name]
    known = pc.and_(values.is_valid(), pc.invert(_typed(prepared, name, fill, typed, rule)[1]))
    if not (rule and rule.concat) and values is not cells[0]:
        # what a step made of a damaged cell is no reading of it
        known = pc.and_(known, pc.fill_null(pc.equal(values, cells[0]), False))
    unread = pc.invert(known)
    wanting = tuple(pc.if_else(unread, part, pa.scalar(None, part.type)) for part in cells)
    if all(part.null_count == len(part) for part in wanting):  # nothing to look at: most columns
        return all_false(len(values))
    return damaged(wanting, fill.entity.fields[name], rule, fill.feed)


def _typed(
    prepared: PreparedRows, name: str, fill: Fill,
    typed: dict[str, Parsed],
    rule: ColumnRule | None = None,
) -> Parsed:  # fmt: skip
    if name not in typed:
        rule = rule or fill.rules.columns.get(name)
        typed[name] = parse(prepared.values[name], fill.entity.fields[name], rule, fill.feed)
    return typed[name]
