"""Source columns to canonical columns of text: filters, origins, and the steps of each rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.config.entity import EntityField
from etl_lib.config.mapping import ColumnRule, Feed
from etl_lib.config.project import Fill
from etl_lib.rules.lookups import Lookups
from etl_lib.rules.text import (
    all_false,
    all_true,
    any_of,
    column,
    is_one_of,
    none_of,
    nulls,
    over_distinct,
    trimmed,
)

_UNMAPPED = "\0unmapped"  # cannot be a cell: the reader rejects NUL


@dataclass(frozen=True)
class Problem:
    """Rows that broke something: `bad` marks them, as many as rows were given in."""

    field: str
    code: str
    bad: pa.BooleanArray


@dataclass(frozen=True)
class PreparedRows:
    """The rows of one fill as canonical text; every array is as long as the rows given in.

    `values`: text by field, null = no value; only fields that the file can fill. `key`: text of the
    entity's key, null where it cannot be made. `kept`: rows that where / where_not let through.
    `deleted`: rows that say of themselves that they are deleted. `extra`: JSON text or null.
    `cells`: by field the texts of the file that the value was made of, after trim and null tokens.
    `cleared`: by field of `fields_cleared` the rows that take the stored value away.
    """

    lines: pa.Int64Array
    kept: pa.BooleanArray
    deleted: pa.BooleanArray
    values: dict[str, pa.StringArray]
    cells: dict[str, tuple[pa.StringArray, ...]]
    key: pa.StringArray
    extra: pa.StringArray | None
    problems: tuple[Problem, ...]
    cleared: dict[str, pa.BooleanArray]


def fields_present(fill: Fill, columns: Collection[str]) -> tuple[str, ...]:
    """Canonical fields that a file with these columns fills; an absent column is not a blank."""
    present = [name for name, rule in fill.rules.columns.items() if _origin_there(rule, columns)]
    if fill.entity.key not in present and set(fill.entity.natural_key) & set(present):
        present.append(fill.entity.key)
    defaults = [
        name
        for name, field in fill.entity.fields.items()
        if fill.rules.insert
        and field.required
        and field.default is not None
        and name not in present
    ]
    return tuple(name for name in fill.entity.fields if name in (*present, *defaults))


def fills_rows(fill: Fill, columns: Collection[str]) -> bool:
    """Whether a file with these columns can fill the entity: its key and all that it requires.

    Where it cannot, since a column was said to be optional, it says nothing about the entity.
    """
    entity = fill.entity
    needed = {n for n, field in entity.fields.items() if field.required and fill.rules.insert}
    if entity.key not in fill.rules.columns:
        needed |= {name for name in entity.natural_key if entity.fields[name].required}
    return ({entity.key} | needed) <= set(fields_present(fill, columns))


def fields_defaulted(fill: Fill, columns: Collection[str]) -> tuple[str, ...]:
    """Fields of `fields_present` that such a file has no column for: each row gets the default."""
    rules = fill.rules.columns
    return tuple(
        name
        for name in fields_present(fill, columns)
        if name != fill.entity.key
        and (name not in rules or not _column_there(rules[name], columns))
    )


def fields_cleared(fill: Fill, columns: Collection[str]) -> tuple[str, ...]:
    """Fields whose stored value a clear token takes away although a blank keeps it."""
    tokens, rules = fill.feed.values.clear_tokens, fill.rules.columns
    keeping = (n for n in fields_present(fill, columns) if n in rules and rules[n].blank == "keep")
    return tuple(name for name in keeping if tokens and rules[name].from_)


def _origin_there(rule: ColumnRule, columns: Collection[str]) -> bool:
    return rule.default is not None or _column_there(rule, columns)


def _column_there(rule: ColumnRule, columns: Collection[str]) -> bool:
    if rule.constant is not None:
        return True
    if rule.from_ or rule.coalesce:
        return any(name in columns for name in (*rule.from_, *rule.coalesce))
    if rule.lookup:
        return rule.lookup.by in columns
    return all(name in columns for name in rule.concat)


def prepare(rows: pa.Table, fill: Fill, lookups: Lookups) -> PreparedRows:
    """Canonical text of a feed's rows (`_line` and string columns; see manifest.ReadTable)."""
    columns = set(rows.column_names)
    length = rows.num_rows
    values: dict[str, pa.StringArray] = {}
    cells: dict[str, tuple[pa.StringArray, ...]] = {}
    problems: list[Problem] = []
    for name in fields_present(fill, columns):
        rule = fill.rules.columns.get(name)
        field = fill.entity.fields[name]
        if rule is None:
            if field.default is not None:
                values[name] = pa.repeat(pa.scalar(_text(field.default)), length)
            continue
        values[name], cells[name], found = _apply(rows, rule, field, fill.feed, lookups, name)
        problems += found
    for name, said in fill.feed.columns.items():
        if said.values and name in columns:
            other = pc.invert(is_one_of(column(rows, name), said.values))
            problems.append(Problem(name, "VALUE_NOT_ALLOWED", other))
        if said.filled and name in columns:
            problems.append(Problem(name, "VALUE_MISSING", is_one_of(column(rows, name), ("",))))
    key = _key(fill, values, length)
    if fill.entity.key not in values:
        values[fill.entity.key] = key
    return PreparedRows(
        lines=rows["_line"].combine_chunks()
        if isinstance(rows["_line"], pa.ChunkedArray)
        else rows["_line"],
        kept=_kept(rows, fill, columns),
        deleted=_deleted(rows, fill, columns),
        values={name: values[name] for name in fill.entity.fields if name in values},
        cells=cells,
        key=key,
        extra=_extra(rows, fill, columns),
        problems=tuple(problems),
        cleared={name: _cleared(rows, fill, name) for name in fields_cleared(fill, columns)},
    )


_AN_ID = EntityField(type="id", description="An id of a record, whatever its entity.")


def ids_of(rows: pa.Table, rule: ColumnRule, feed: Feed, client_id: str) -> pa.StringArray:
    """Ids as the rule of a field makes them, for a feed that fills none; null where it makes none."""
    values, _, _ = _apply(rows, rule, _AN_ID, feed, Lookups(client_id, {}), "")
    return values


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kept(rows: pa.Table, fill: Fill, columns: Collection[str]) -> pa.BooleanArray:
    if not fills_rows(fill, columns):
        return all_false(rows.num_rows)
    kept = _meets(rows, fill.rules.where)
    for name, tokens in fill.rules.where_not.items():
        if name in columns:
            kept = pc.and_(kept, pc.invert(is_one_of(column(rows, name), tokens)))
    return kept


def _meets(rows: pa.Table, condition: Mapping[str, Collection[str]]) -> pa.BooleanArray:
    """Rows in which each column has one of its values; a column that is not there asks nothing."""
    met = all_true(rows.num_rows)
    for name, tokens in condition.items():
        if name in rows.column_names:
            met = pc.and_(met, is_one_of(column(rows, name), tokens))
    return met


def _cleared(rows: pa.Table, fill: Fill, name: str) -> pa.BooleanArray:
    source = next(one for one in fill.rules.columns[name].from_ if one in rows.column_names)
    return is_one_of(column(rows, source), fill.feed.values.clear_tokens)


def _deleted(rows: pa.Table, fill: Fill, columns: Collection[str]) -> pa.BooleanArray:
    masks = [
        is_one_of(column(rows, name), tokens)
        for name, tokens in fill.rules.deleted_when.items()
        if name in columns
    ]
    return any_of(*masks) if masks else all_false(rows.num_rows)


def _apply(
    rows: pa.Table, rule: ColumnRule, field: EntityField, feed: Feed, lookups: Lookups, name: str
) -> tuple[pa.StringArray, tuple[pa.StringArray, ...], list[Problem]]:
    """Value, cells and problems after a rule's steps, in the order that ColumnRule's docstring gives."""
    problems: list[Problem] = []
    tokens = feed.values.null_tokens if rule.null_tokens is None else rule.null_tokens
    tokens = (*tokens, *feed.values.clear_tokens)
    parts, values = _origin(rows, rule, lookups, name, tokens, problems)
    if rule.when:
        met = _meets(rows, rule.when)
        parts = tuple(pc.if_else(met, part, pa.scalar(None, pa.string())) for part in parts)
        values = pc.if_else(met, values, pa.scalar(None, pa.string()))
        problems = [Problem(p.field, p.code, pc.and_(p.bad, met)) for p in problems]
    if rule.trim:
        values = trimmed(values)
    values = none_of(values, tokens)
    cells = parts if rule.concat else (values,) if parts else ()
    if rule.split:
        values = over_distinct(values, lambda texts: _split(texts, rule), pa.string())
    if rule.extract:
        values = over_distinct(values, lambda texts: _extracted(texts, rule), pa.string())
    if rule.split or rule.extract:
        values = none_of(trimmed(values), ())
    if rule.case:
        kernels = {"upper": pc.utf8_upper, "lower": pc.utf8_lower, "title": pc.utf8_title}
        values = kernels[rule.case](values)
    if rule.pad:
        values = pc.utf8_lpad(values, width=rule.pad, padding="0")
    if rule.map or field.type == "enum":
        values, unmapped = _mapped(values, rule, field)
        problems.append(Problem(name, "VALUE_NOT_ALLOWED", unmapped))
    if rule.sensitive != "keep":
        values = _protected(values, rule, lookups.client_id)
    default = rule.default if rule.default is not None else field.default
    if default is not None:
        bad = any_of(*(p.bad for p in problems)) if problems else all_false(len(values))
        wanting = pc.and_(pc.invert(values.is_valid()), pc.invert(bad))
        values = pc.if_else(wanting, pa.scalar(_text(default)), values)
    return values, cells, problems


def _origin(
    rows: pa.Table, rule: ColumnRule, lookups: Lookups, name: str, tokens: Collection[str],
    problems: list[Problem],
) -> tuple[tuple[pa.StringArray, ...], pa.StringArray]:  # fmt: skip
    """The columns that a value is made of (none for what is in no file), and the value."""
    there = set(rows.column_names)
    if rule.constant is not None:
        return (), pa.repeat(pa.scalar(rule.constant), rows.num_rows)
    if rule.lookup and rule.lookup.by in there:
        by = none_of(trimmed(column(rows, rule.lookup.by)), tokens)
        values, missing = lookups.take(rule.lookup, by)
        if rule.lookup.on_unknown == "reject":
            problems.append(Problem(name, "LOOKUP_NOT_FOUND", missing))
        return (values,), values
    if rule.concat and all(part in there for part in rule.concat):
        parts = tuple(none_of(trimmed(column(rows, part)), tokens) for part in rule.concat)
        return parts, pc.binary_join_element_wise(*parts, rule.separator)
    found = [part for part in (*rule.from_, *rule.coalesce) if part in there]
    if not found:
        return (), nulls(rows.num_rows)
    if rule.from_:
        return (column(rows, found[0]),), column(rows, found[0])
    parts = tuple(none_of(trimmed(column(rows, part)), tokens) for part in found)
    return parts, pc.coalesce(*parts)


def _split(texts: list[str], rule: ColumnRule) -> list[object]:
    assert rule.split is not None
    parts = [text.split(rule.split.separator) for text in texts]
    index = rule.split.index
    return [p[index] if -len(p) <= index < len(p) else None for p in parts]


def _extracted(texts: list[str], rule: ColumnRule) -> list[object]:
    import re

    pattern = re.compile(rule.extract or "")
    return [match[1] if (match := pattern.search(text)) else None for text in texts]


def _mapped(
    values: pa.StringArray, rule: ColumnRule, field: EntityField
) -> tuple[pa.StringArray, pa.BooleanArray]:
    """Values through the rule's map, else to the enum's own spelling; and the rows of unknown ones."""
    known: dict[str, str | None] = {value.casefold(): value for value in field.values}
    known |= {key.casefold(): value for key, value in rule.map.items()}
    otherwise = {"reject": _UNMAPPED, "null": None, "default": None}

    def look_up(texts: list[str]) -> list[object]:
        return [known.get(text.casefold(), otherwise.get(rule.on_unmapped, text)) for text in texts]

    mapped = over_distinct(values, look_up, pa.string())
    unmapped = pc.fill_null(pc.equal(mapped, _UNMAPPED), False)
    return pc.if_else(unmapped, pa.scalar(None, pa.string()), mapped), unmapped


def _protected(values: pa.StringArray, rule: ColumnRule, client_id: str) -> pa.StringArray:
    """Sensitive text as the rule wants it: hashed with the client as salt, masked, or dropped."""
    if rule.sensitive == "drop":
        return nulls(len(values))
    if rule.sensitive == "mask":
        return over_distinct(values, lambda texts: [f"{t[:1]}***" for t in texts], pa.string())
    salt = f"{client_id}\0".encode()

    def hashed(texts: list[str]) -> list[object]:
        return [hashlib.sha256(salt + text.encode()).hexdigest() for text in texts]

    return over_distinct(values, hashed, pa.string())


def _key(fill: Fill, values: dict[str, pa.StringArray], length: int) -> pa.StringArray:
    """The key's own text, else the natural key's fields joined by `|` (a `|` inside is doubled)."""
    if fill.entity.key in values:
        return values[fill.entity.key]
    parts = []
    for name in fill.entity.natural_key:
        part = values.get(name, nulls(length))
        if not fill.entity.fields[name].required:
            part = pc.fill_null(part, "")
        parts.append(pc.replace_substring(part, "|", "||"))
    return pc.binary_join_element_wise(*parts, "|") if parts else nulls(length)


def _extra(rows: pa.Table, fill: Fill, columns: Collection[str]) -> pa.StringArray | None:
    names = [name for name in fill.rules.extra if name in columns]
    if not names:
        return None
    cells = zip(*(none_of(trimmed(column(rows, n)), ()).to_pylist() for n in names), strict=True)
    texts = []
    for row in cells:
        filled = {n: value for n, value in zip(names, row, strict=True) if value is not None}
        texts.append(json.dumps(filled, ensure_ascii=False) if filled else None)
    return pa.array(texts, pa.string())
