"""Finds rows that are as the loaded delivery had them, and puts them beside those that go through.

Where extract has not read the lines that the last load had too, it has found them; else they are found
here, by the hash of their cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.arrow_file import BATCH_ROWS, batches, read_table
from etl_lib.errors import RowsMoved
from etl_lib.manifest import ROW_FILTERED, ReadTable
from etl_lib.rules.repeats import digests, halves
from etl_lib.rules.snapshots import (
    NONE,
    Numbers,
    SnapshotRows,
    as_hashes,
    known_places,
    places_of,
)
from etl_lib.rules.unchanged import joined_cells
from etl_lib.storage import Storage
from etl_lib.transform.memory import give_back


@dataclass
class RowsBefore:
    """A fill's rows beside those of the loaded delivery, of which `snapshot` is None when there is nothing.

    `lines` and `places` hold one number for each row of the fill's tables, in their order: `places` is
    where the row stands in the snapshot, or NONE for a row that must go through. `read`: of the rows that
    extract has read, which of all they are; None when it has read them all. `filtered`: how many of those
    that it has not read are left out by a filter. All are empty when there is no snapshot.
    """

    columns: tuple[str, ...]
    snapshot: SnapshotRows | None = None
    lines: Numbers = field(default_factory=lambda: np.zeros(0, np.int32))
    places: Numbers = field(default_factory=lambda: np.zeros(0, np.int32))
    read: Numbers | None = None
    filtered: int = 0

    def take_known(self, workspace: Storage, table: ReadTable, entity: str) -> None:
        """Rows that extract has not read stay; all those that it has read go through."""
        assert table.known
        self.filtered = table.known.of(entity).rows_filtered
        with workspace.reading(table.rows_key) as stream:
            read = read_table(stream, columns=["_line"])["_line"].to_numpy().astype(np.int32)
        self.lines = np.zeros(table.rows_accepted, np.int32)
        self.places = np.full(table.rows_accepted, NONE, np.int32)
        at = 0
        for lines, places in known_places(workspace, table.known, entity):
            rows = np.arange(at, at + len(lines)) + np.searchsorted(read, lines)
            self.lines[rows], self.places[rows] = lines, places
            at += len(lines)
        self.read = np.flatnonzero(self.places == NONE).astype(np.int32)
        self.lines[self.read] = read
        give_back()

    def look(
        self, workspace: Storage, tables: Sequence[ReadTable], rejected: dict[str, pa.Int64Array]
    ) -> None:
        """Hash every row, and find those that are in the snapshot; nothing to do when there is none.

        A row that validate has rejected (`rejected`: lines by file) goes through, and so do rows
        that are there twice.
        """
        if self.snapshot is None:
            return
        rows = sum(table.rows_accepted for table in tables)
        self.lines, out = np.zeros(rows, np.int32), np.zeros(rows, np.bool_)
        hashes = bytearray()
        at = 0
        for table in tables:
            bad = rejected.get(table.shown)
            with workspace.reading(table.rows_key) as stream:
                for batch in batches(stream, ("_line", *self.columns)):
                    begin, at = at, at + batch.num_rows
                    hashes += digests(joined_cells(batch, self.columns))
                    self.lines[begin:at] = batch["_line"].to_numpy()
                    if bad is not None:
                        mask = pc.is_in(batch["_line"], value_set=bad)
                        out[begin:at] = mask.to_numpy(zero_copy_only=False)
        give_back()
        self.places = places_of(halves(hashes), self.snapshot)
        self.places[out] = NONE
        del hashes
        give_back()

    @property
    def base_key(self) -> str:
        """See manifest.TransformedFill."""
        return self.snapshot.about.key if self.snapshot else ""

    @property
    def unchanged(self) -> int:
        """How many rows need not go through."""
        return int((self.places != NONE).sum()) - self.filtered

    def forget(self) -> None:
        """Nobody asks for the rows any more."""
        self.lines = self.places = np.zeros(0, np.int32)
        give_back()

    def hashed(self, rows: pa.RecordBatch) -> pa.Array:
        """The hash of each row that goes through, for the next load."""
        return as_hashes(digests(joined_cells(rows, self.columns)))

    def changed(self, begin: int, end: int) -> pa.BooleanArray:
        """Of the rows that were read, which of those from `begin` to `end` must go through."""
        rows = slice(begin, end) if self.read is None else self.read[begin:end]
        return pa.array(self.places[rows] == NONE)

    def make_way(self, key: str, path: Path) -> int:
        """Let rows go through whose key a row in the file, which goes through, has as well; how many.

        Raises RowsMoved for one that was not read.
        """
        if self.snapshot is None or not self.unchanged:
            return 0
        keys = read_table(path, columns=[key])[key].combine_chunks()
        again = np.concatenate(
            [
                pc.and_not(pc.is_in(batch[key], value_set=keys), batch[ROW_FILTERED])
                .to_numpy(zero_copy_only=False)
                for batch in self.snapshot.batches([key, ROW_FILTERED])
            ]
        )  # fmt: skip
        if not again.any():
            return 0
        give_way = np.flatnonzero((self.places != NONE) & again[self.places])
        if len(give_way) and self.read is not None:
            raise RowsMoved
        self.places[give_way] = NONE
        return len(give_way)

    def rows(self) -> Iterator[tuple[pa.Table, Numbers]]:
        """The unchanged rows as the snapshot has them, in the order of the files, with the place of each there."""
        if self.snapshot is None:
            return
        if not self._is_in_order():
            # the file is sorted in another way than before: rows are fetched from all over
            whole = read_table(self.snapshot.path).combine_chunks()
            for begin in range(0, len(self.places), BATCH_ROWS):
                numbers = self._unchanged_within(begin, begin + BATCH_ROWS)
                yield whole.take(pa.array(self.places[numbers])), numbers
            return
        at = begin = 0
        for batch in self.snapshot.batches():
            until = self._first_beyond(begin + batch.num_rows, at)
            numbers = self._unchanged_within(at, until)
            stayed = batch.take(
                pa.array(self.places[numbers] - begin)
            )  # of a table it takes longer
            yield pa.Table.from_batches([stayed]), numbers
            at, begin = until, begin + batch.num_rows

    def _is_in_order(self) -> bool:
        places = self.places[self.places != NONE]
        return bool((places[1:] > places[:-1]).all())

    def _unchanged_within(self, begin: int, end: int) -> Numbers:
        return (begin + np.flatnonzero(self.places[begin:end] != NONE)).astype(np.int32)

    def _first_beyond(self, place: int, begin: int) -> int:
        """The first row from `begin` that stands there in the snapshot or after it; all are in order."""
        for at in range(begin, len(self.places), BATCH_ROWS):
            beyond = np.flatnonzero(self.places[at : at + BATCH_ROWS] >= place)
            if len(beyond):
                return at + int(beyond[0])
        return len(self.places)

    def numbers(
        self, tables: Sequence[ReadTable], files: pa.StringArray, lines: pa.Int64Array
    ) -> Numbers:
        """Which rows of the fill's tables stand on these lines of these files; with no snapshot, the lines."""
        if not len(self.lines):
            return np.asarray(lines, np.int32)
        found = np.zeros(len(lines), np.int32)
        begin = 0
        for table in tables:
            end = begin + table.rows_accepted
            here = pc.equal(files, table.shown).to_numpy(zero_copy_only=False)
            wanted = lines.to_numpy()[here].astype(np.int32)
            found[here] = begin + np.searchsorted(self.lines[begin:end], wanted)
            begin = end
        return found


def in_order(
    one: Iterator[tuple[pa.Table, Numbers]], other: Iterator[tuple[pa.Table, Numbers]]
) -> Iterator[tuple[pa.Table, Numbers]]:
    """Two streams of rows with their numbers, each ascending, as one: the next load finds rows where they stood."""
    rest = next(other, None)
    for rows, numbers in one:
        parts, places = [rows], [numbers]
        while rest and len(numbers):
            cut = int(np.searchsorted(rest[1], numbers[-1]))
            parts.append(rest[0].slice(0, cut))
            places.append(rest[1][:cut])
            if cut < len(rest[1]):
                rest = (rest[0].slice(cut), rest[1][cut:])
                break
            rest = next(other, None)
        if len(parts) > 1:
            together = np.concatenate(places)
            order = np.argsort(together, kind="stable")  # the fastest where most are in order
            yield pa.concat_tables(parts).take(pa.array(order)), together[order]
        else:
            yield rows, numbers
    while rest:
        yield rest
        rest = next(other, None)
