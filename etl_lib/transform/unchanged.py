"""Finds rows that are as the loaded delivery had them, by the hash of their cells; remembers them for the next."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_lib.manifest import ROW_HASH, ROW_THROUGH, ReadTable, Snapshot
from etl_lib.parquet import BATCH_ROWS, batches
from etl_lib.rules.repeats import digests, halves
from etl_lib.rules.unchanged import joined_cells
from etl_lib.storage import Storage
from etl_lib.transform.memory import give_back

_HASH = pa.binary(16)
_NONE = -1
_AROUND = 1024  # rows that have come or gone in one part of the snapshot
Numbers = npt.NDArray[np.int32]  # of rows, lines, places: half the memory of Arrow's


@dataclass(frozen=True)
class SnapshotRows:
    """A snapshot on this machine's disk."""

    path: Path

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in their order."""
        yield from batches(self.path, columns)

    def hashes(self) -> Iterator[npt.NDArray[np.uint64]]:
        """Those of the rows in their order, each as two numbers."""
        for batch in self.batches([ROW_HASH]):
            yield halves(_bytes_of(batch[ROW_HASH]))


@dataclass
class RowsBefore:
    """A fill's rows beside those of the loaded delivery, of which `snapshot` is None when there is nothing.

    `lines` and `places` hold one number for each row of the fill's tables, in their order: `places` is
    where the row stands in the snapshot, or -1 for a row that must go through. Both are empty when there
    is no snapshot.
    """

    columns: tuple[str, ...]
    snapshot: SnapshotRows | None = None
    base_key: str = ""
    lines: Numbers = field(default_factory=lambda: np.zeros(0, np.int32))
    places: Numbers = field(default_factory=lambda: np.zeros(0, np.int32))

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
        self.places = _places(halves(hashes), self.snapshot)
        self.places[out] = _NONE
        found = np.sort(self.places[self.places != _NONE])
        often = found[1:][found[1:] == found[:-1]]
        self.places[np.isin(self.places, often)] = _NONE
        del hashes
        give_back()

    @property
    def unchanged(self) -> int:
        """How many rows need not go through."""
        return int((self.places != _NONE).sum())

    def forget(self) -> None:
        """Nobody asks for the rows any more."""
        self.lines = self.places = np.zeros(0, np.int32)
        give_back()

    def hashed(self, rows: pa.RecordBatch) -> pa.Array:
        """The hash of each row that goes through, for the next load."""
        return _as_arrow(digests(joined_cells(rows, self.columns)))

    def changed(self, begin: int, end: int) -> pa.BooleanArray:
        """Which of the rows from `begin` to `end` must go through."""
        return pa.array(self.places[begin:end] == _NONE)

    def make_way(self, key: str, path: Path) -> int:
        """Let rows go through whose key a row in the Parquet file, which goes through, has as well; how many."""
        if self.snapshot is None or not self.unchanged:
            return 0
        keys = pq.read_table(path, columns=[key])[key].combine_chunks()
        again = np.concatenate(
            [
                pc.is_in(batch[key], value_set=keys).to_numpy(zero_copy_only=False)
                for batch in self.snapshot.batches([key])
            ]
        )
        at = np.flatnonzero(self.places != _NONE)
        give_way = at[again[self.places[at]]]
        self.places[give_way] = _NONE
        return len(give_way)

    def rows(self) -> Iterator[tuple[pa.Table, Numbers]]:
        """The unchanged rows as the snapshot has them, in the order of the files, with the place of each there."""
        if self.snapshot is None:
            return
        if not self._is_in_order():
            # the file is sorted in another way than before: rows are fetched from all over
            whole = pq.read_table(self.snapshot.path).combine_chunks()
            for begin in range(0, len(self.places), BATCH_ROWS):
                numbers = self._unchanged_within(begin, begin + BATCH_ROWS)
                yield whole.take(pa.array(self.places[numbers])), numbers
            return
        at = begin = 0
        for batch in self.snapshot.batches():
            until = self._first_beyond(begin + batch.num_rows, at)
            numbers = self._unchanged_within(at, until)
            yield (
                pa.Table.from_batches([batch]).take(pa.array(self.places[numbers] - begin)),
                numbers,
            )
            at, begin = until, begin + batch.num_rows

    def _is_in_order(self) -> bool:
        places = self.places[self.places != _NONE]
        return bool((places[1:] > places[:-1]).all())

    def _unchanged_within(self, begin: int, end: int) -> Numbers:
        return (begin + np.flatnonzero(self.places[begin:end] != _NONE)).astype(np.int32)

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
        """Which rows of the fill's tables stand on these lines of these files."""
        found = np.zeros(len(lines), np.int32)
        begin = 0
        for table in tables if len(self.lines) else ():
            end = begin + table.rows_accepted
            here = pc.equal(files, table.shown).to_numpy(zero_copy_only=False)
            wanted = lines.to_numpy()[here].astype(np.int32)
            found[here] = begin + np.searchsorted(self.lines[begin:end], wanted)
            begin = end
        return found


def in_order(
    one: Iterator[tuple[pa.Table, Numbers]], other: Iterator[tuple[pa.Table, Numbers]]
) -> Iterator[pa.Table]:
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
        yield pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(places))))
    while rest:
        yield rest[0]
        rest = next(other, None)


def read_snapshot(
    archive: Storage, snapshot: Snapshot | None, schema: pa.Schema, path: Path
) -> SnapshotRows | None:
    """The rows of a snapshot, kept at `path`; None when there is none, or it is not what was written."""
    if snapshot is None:
        return None
    try:
        archive.get_file(snapshot.key, path)
    except FileNotFoundError:  # a later load has taken its place meanwhile
        return None
    if sha256_of(path) != snapshot.sha256 or not pq.read_schema(path).equals(schema):
        return None
    return SnapshotRows(path)


def sha256_of(path: Path) -> str:
    """The hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def snapshot_schema(canonical: pa.Schema, key: str, carried: Sequence[str]) -> pa.Schema:
    """See manifest.Snapshot."""
    fields = [canonical.field(n) for n in (key, "_deleted", *carried) if n in canonical.names]
    return pa.schema([pa.field(ROW_HASH, _HASH), pa.field(ROW_THROUGH, pa.bool_()), *fields])


def _as_arrow(hashes: bytes | bytearray) -> pa.Array:
    return pa.Array.from_buffers(_HASH, len(hashes) // 16, [None, pa.py_buffer(hashes)])


def _bytes_of(hashes: pa.Array) -> memoryview:
    begin = hashes.offset * 16
    return memoryview(hashes.buffers()[1])[begin : begin + len(hashes) * 16]


def _places(ours: npt.NDArray[np.uint64], snapshot: SnapshotRows) -> Numbers:
    """Where each of our hashes stands in the snapshot, or -1; of two that are the same one may be -1.

    Most rows stand where they stood, but for as many places as rows have come or gone above them; so each
    part of the snapshot is looked for around the place where the one before was found, and what is left
    at the end everywhere.
    """
    places = np.full(len(ours), _NONE, np.int32)
    left, left_at = [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.int64)]
    begin = shift = 0
    for theirs in snapshot.hashes():
        at = np.arange(begin, begin + len(theirs))
        straight = at + shift
        stayed = (straight >= 0) & (straight < len(ours))
        stayed[stayed] = (ours[straight[stayed]] == theirs[stayed]).all(axis=1)
        places[straight[stayed]] = at[stayed]
        around = np.arange(max(straight[0] - _AROUND, 0), min(straight[-1] + _AROUND, len(ours)))
        unseen, unseen_at = theirs[~stayed], at[~stayed]
        moved = around[places[around] == _NONE]
        which = _among(ours[moved], unseen)
        moved, which = moved[which != _NONE], which[which != _NONE]
        places[moved] = unseen_at[which]
        if len(moved) and (not stayed.any() or moved[-1] > straight[stayed][-1]):
            shift = int(moved[-1] - places[moved[-1]])
        left.append(np.delete(unseen, which, axis=0))
        left_at.append(np.delete(unseen_at, which))
        begin += len(theirs)
    others, others_at = np.concatenate(left), np.concatenate(left_at)
    moved = np.flatnonzero(places == _NONE)
    which = _among(ours[moved], others)
    places[moved[which != _NONE]] = others_at[which[which != _NONE]]
    return places


def _among(ours: npt.NDArray[np.uint64], theirs: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Where each of our hashes stands among theirs, or -1: looked up by one half, compared by the other."""
    if not len(ours) or not len(theirs):
        return np.full(len(ours), _NONE, np.int64)
    found = pc.index_in(pa.array(ours[:, 0]), value_set=pa.array(theirs[:, 0]))
    at: npt.NDArray[np.int64] = pc.fill_null(found, _NONE).to_numpy().astype(np.int64)
    at[theirs[at, 1] != ours[:, 1]] = _NONE
    return at
