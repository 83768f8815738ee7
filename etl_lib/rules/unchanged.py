"""When rows that have not changed since the loaded delivery need no second look: the one place that says so.

A row of a fill is left out of casting, COPY and MERGE when it was loaded by the client's last load and
nothing that decides what becomes of it is another: not its own cells, not what `basis_of` holds. What
would take more than that to know is not compared at all (`is_compared`): the whole delivery then goes
through, as with change detection switched off. Where a row stands on one line and hangs on nothing else
(`is_known_by_line`), a line that the last load had too need not even be read, if that holds of all that the
feed fills.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.config.project import Fill, ResolvedMapping
from etl_lib.manifest import Extracted
from etl_lib.rules.lookups import Lookups
from etl_lib.run import Run

# what these say becomes of a row is part of its outcome
_CODE = ("extract/reader", "validate", "rules", "transform", "load")


@dataclass(frozen=True)
class Headers:
    """The mapping of a delivery, and of each of its tables the feed and the columns."""

    resolved: ResolvedMapping
    tables: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, extracted: Extracted) -> Headers:
        """Those of a delivery that has been read."""
        tables = ((t.feed, t.columns) for t in extracted.tables if not t.entities)
        return cls(extracted.resolved, tuple(tables))

    def columns_of(self, feed: str) -> list[tuple[str, ...]]:
        """Of each table of the feed."""
        return [columns for of, columns in self.tables if of == feed]


def is_compared(run: Run, headers: Headers, fill: Fill) -> bool:
    """Whether the fill's rows are compared with those of the loaded delivery, and remembered.

    Not when the mapping says otherwise; for deliveries out of the archive, comparisons with the target
    and days on which only additions are written; for files that hold changes anyway, or that have
    different columns; for a fill with a hook, which may look at other rows; for columns that several
    feeds write, whose word hangs on all of them; for a required reference that is not loaded before.
    """
    resolved = headers.resolved
    mapping = resolved.mapping
    return (
        mapping.change_detection == "rows"
        and run.kind == "load"
        and not run.wishes.from_archive
        and mapping.additions_only_on(mapping.local_date(run.started_at)) is None
        and fill.feed.content == "full"
        and fill.rules.hook is None
        and len({frozenset(columns) for columns in headers.columns_of(fill.feed_name)}) == 1
        and bool(compared_columns(headers, fill))
        and not _shares_columns(resolved, fill)
        and all(_is_loaded_before(resolved, fill, one) for one in _required_entities(fill))
    )


def is_known_by_line(run: Run, headers: Headers, fill: Fill) -> bool:
    """Whether a line of the feed's file says all about the fill's row: the same line is then the same row.

    Not when the feed comes in several tables; when its rows take something out of another feed, or another
    one out of them.
    """
    mapping = headers.resolved.mapping
    asked = {
        rule.lookup.feed
        for feed in mapping.feeds.values()
        for rules in feed.entities.values()
        for rule in rules.columns.values()
        if rule.lookup
    }
    return (
        is_compared(run, headers, fill)
        and len(headers.columns_of(fill.feed_name)) == 1
        and fill.feed.renames is None
        and fill.feed_name not in asked
        and not any(rule.lookup for rule in fill.rules.columns.values())
    )


def _shares_columns(resolved: ResolvedMapping, fill: Fill) -> bool:
    ours = fill.rules.columns.keys() | ({"extra"} if fill.rules.extra else set())
    others = (
        one.rules.columns.keys() | ({"extra"} if one.rules.extra else set())
        for one in resolved.fills()
        if one.entity == fill.entity and one.feed_name != fill.feed_name
    )
    return any(ours & theirs - {fill.entity.key} for theirs in others)


def _required_entities(fill: Fill) -> Iterator[str]:
    return (r.entity for r in fill.entity.references.values() if r.on_unknown == "reject")


def _is_loaded_before(resolved: ResolvedMapping, fill: Fill, entity: str) -> bool:
    """An entity that the client does not feed is never required."""
    names = list(resolved.entities)
    return entity not in names or names.index(entity) < names.index(fill.entity.entity)


def compared_columns(headers: Headers, fill: Fill) -> tuple[str, ...]:
    """The source columns that decide what becomes of the fill's rows, of those that its files have."""
    there = {name for columns in headers.columns_of(fill.feed_name) for name in columns}
    return tuple(sorted(there & set(fill.rules.source_columns)))


def carried_fields(resolved: ResolvedMapping, fill: Fill) -> tuple[str, ...]:
    """Fields of unchanged rows that are needed all the same: of the scope within which absence deletes,
    of references that are counted."""
    counted = (
        name
        for name, reference in fill.entity.references.items()
        if reference.on_unknown == "keep" and reference.entity in resolved.entities
    )
    wanted = {*fill.rules.scope_fields, *counted} - {fill.entity.key}
    return tuple(name for name in fill.entity.fields if name in wanted)


def basis_of(headers: Headers, fill: Fill, lookups: Lookups) -> str:
    """sha256 over all but its cells that decides what becomes of a row: the row contract, our code, which
    columns the files have, which feeds have come, what is looked up in them."""
    digest = hashlib.sha256()
    filling = {one.feed_name for one in headers.resolved.fills()}
    fed = sorted(filling & {feed for feed, _ in headers.tables})
    columns = sorted({name for of in headers.columns_of(fill.feed_name) for name in of})
    for text in (headers.resolved.row_contract, _code(), repr(fed), repr(columns)):
        digest.update(text.encode())
    for name, rule in sorted(fill.rules.columns.items()):
        if rule.lookup:
            keys, values = lookups.tables[rule.lookup]
            pairs = zip(keys.to_pylist(), values.to_pylist(), strict=True)
            digest.update(repr((name, sorted(pairs, key=repr))).encode())
    return digest.hexdigest()


@cache
def _code() -> str:
    """A digest of the code that casts and merges rows, and of the library that does it."""
    digest = hashlib.sha256(pa.__version__.encode())
    home = Path(__file__).parents[1]
    for path in sorted(path for name in _CODE for path in (home / name).glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def joined_cells(rows: pa.RecordBatch, columns: tuple[str, ...]) -> pa.BinaryArray:
    """Each row's cells as one text: NUL parts them, which no cell can hold."""
    cells = [rows.column(rows.schema.get_field_index(name)) for name in columns]
    if len(cells) == 1:
        return cells[0].cast(pa.binary())
    return pc.binary_join_element_wise(*cells, "\0").cast(pa.binary())
