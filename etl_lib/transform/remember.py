"""Keeps what later runs and people ask about a fill's rows, in one pass over all of them, changed or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.arrow_file import batches, read_schema, written
from etl_lib.config.project import Fill
from etl_lib.manifest import LINE_HASH, ROW_FILTERED, ROW_THROUGH, ReadTable
from etl_lib.rules.repeats import repeated, short_hashes
from etl_lib.rules.snapshots import FORM, HASH, Numbers, value_hash
from etl_lib.storage import Storage
from etl_lib.transform.keys import KeysOfDelivery
from etl_lib.transform.unchanged import RowsBefore, in_order


def filtered_schema(key: str) -> pa.Schema:
    """Of rows that a filter leaves out: the entity's key, where they stand, and their lines' hashes."""
    columns = [(key, pa.string()), ("_file", pa.string()), ("_line", pa.int64()), (LINE_HASH, HASH)]
    return pa.schema(columns)


@dataclass
class ToRemember:
    """Rows stream by; their keys go to `keys`, and into the next snapshot what its schema `wanted` names.

    `before` is None for a fill that is not compared: it has no snapshot. `form`: how the lines are written
    by which rows may be known next time; empty for none.
    """

    workspace: Storage
    fill: Fill
    tables: Sequence[ReadTable]
    keys: KeysOfDelivery
    before: RowsBefore | None
    wanted: pa.Schema
    form: str
    _shared: dict[str, list[npt.NDArray[np.uint64]]] = field(
        default_factory=dict
    )  # hashes of values

    def write(self, canonical: Path, filtered: Path, snapshot: Path) -> dict[str, int]:
        """Keep the keys of all rows, and write the snapshot of a fill that is compared.

        `canonical`: the rows that go through; `filtered`: see `filtered_schema`. Gives by field of
        `unique_warn` how many rows have a value that another has too, in any case; fields without such rows
        are left out.
        """
        there = set(read_schema(canonical).names)
        warned = self.fill.entity.unique_warn
        self._shared = {name: [] for name in warned if name in there}
        schema = self.wanted.with_metadata({FORM: self.form.encode()} if self.form else {})
        with written(snapshot, schema) as writer:
            read = in_order(self._gone_through(canonical), self._filtered(filtered))
            for rows, _ in in_order(self._stayed(), read):
                writer.write_table(rows)
        if self.before:
            self.before.forget()
        counts = {name: repeated(hashes) for name, hashes in self._shared.items()}
        return {name: rows for name, rows in counts.items() if rows}

    def _stayed(self) -> Iterator[tuple[pa.Table, Numbers]]:
        """The unchanged rows as the snapshot has them, with their numbers."""
        if self.before is None:
            return
        ends = np.cumsum([table.rows_accepted for table in self.tables])
        with ExitStack() as opened:
            hashes = None
            if self.form and self.before.read is None:  # known by their cells: on other lines now
                stream = opened.enter_context(self.workspace.reading(self.tables[0].rows_key))
                hashes = _InOrder(batches(stream, [LINE_HASH]))
            for rows, numbers in self.before.rows():
                until = np.searchsorted(numbers, ends)
                for table, begin, end in zip(self.tables, [0, *until], until, strict=False):
                    self._keep_keys(table, rows.slice(begin, end - begin), numbers[begin:end])
                self._add_values(rows)
                if hashes:
                    place = rows.column_names.index(LINE_HASH)
                    rows = rows.set_column(place, LINE_HASH, hashes.take(numbers))
                yield self._marked(rows, {ROW_THROUGH: False}), numbers

    def _keep_keys(self, table: ReadTable, rows: pa.Table, numbers: Numbers) -> None:
        """The keys of unchanged rows of one table."""
        assert self.before is not None
        lines = pa.array(self.before.lines[numbers], pa.int64())
        said = rows["_deleted"].combine_chunks()  # null: of a row that a filter leaves out
        outcomes = {"deleted": said, "sent": pc.invert(said), "filtered": pc.is_null(said)}
        for outcome, which in outcomes.items():
            keys = rows[self.fill.entity.key].filter(which)
            self.keys.add(self.fill, keys, table.shown, lines.filter(which), outcome)

    def _gone_through(self, canonical: Path) -> Iterator[tuple[pa.Table, Numbers]]:
        """The rows that go through as the snapshot has them, if there is to be one, with their numbers."""
        columns = {self.fill.entity.key, "_file", "_line", "_deleted", *self._shared}
        if self.before:
            columns |= {*self.wanted.names} & {*read_schema(canonical).names}
        for batch in batches(canonical, sorted(columns)):
            self.keys.add_canonical(self.fill, batch)
            rows = self._with_value_hashes(batch)
            self._add_values(rows)
            if self.before:
                numbers = self.before.numbers(self.tables, batch["_file"], batch["_line"])
                yield self._marked(rows, {ROW_THROUGH: True, ROW_FILTERED: False}), numbers

    def _filtered(self, filtered: Path) -> Iterator[tuple[pa.Table, Numbers]]:
        """The rows that a filter leaves out, if their lines may be known next time, with their numbers."""
        for batch in batches(filtered):
            self.keys.add_filtered(self.fill, batch)
            if self.before and self.form:
                numbers = self.before.numbers(self.tables, batch["_file"], batch["_line"])
                rows = pa.Table.from_batches([batch])
                yield self._marked(rows, {ROW_THROUGH: True, ROW_FILTERED: True}), numbers

    def _with_value_hashes(self, batch: pa.RecordBatch) -> pa.Table:
        """Those of values of rows that are not deleted."""
        rows = pa.Table.from_batches([batch])
        for name in self._shared:
            values = pc.if_else(batch["_deleted"], pa.scalar(None, pa.string()), batch[name])
            rows = rows.append_column(value_hash(name), short_hashes(pc.utf8_lower(values)))
        return rows

    def _marked(self, rows: pa.Table, marks: Mapping[str, bool]) -> pa.Table:
        """As the snapshot has them; null where the rows have no such column."""
        there = {name: pa.repeat(pa.scalar(mark), rows.num_rows) for name, mark in marks.items()}
        there = {**{name: rows[name] for name in rows.column_names}, **there}
        columns = [
            there[one.name].cast(one.type) if one.name in there else pa.nulls(rows.num_rows, one.type)
            for one in self.wanted
        ]  # fmt: skip
        return pa.table(columns, schema=self.wanted)

    def _add_values(self, rows: pa.Table) -> None:
        for name, hashes in self._shared.items():
            hashes.append(rows[value_hash(name)].drop_null().to_numpy())


@dataclass
class _InOrder:
    """A column of hashes that streams by, of which some rows are asked for, in their order."""

    source: Iterator[pa.RecordBatch]
    _batch: pa.Array = field(default_factory=lambda: pa.nulls(0, HASH))
    _begin: int = 0

    def take(self, numbers: Numbers) -> pa.ChunkedArray:
        """The hashes of these rows."""
        found = []
        while len(numbers):
            cut = int(np.searchsorted(numbers, self._begin + len(self._batch)))
            found.append(self._batch.take(pa.array(numbers[:cut] - self._begin)))
            numbers = numbers[cut:]
            if len(numbers):
                self._begin += len(self._batch)
                self._batch = next(self.source)[LINE_HASH]
        return pa.chunked_array(found, HASH)
