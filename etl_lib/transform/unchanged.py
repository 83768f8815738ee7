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
import xxhash

from etl_lib.manifest import ROW_HASH, ReadTable, Snapshot
from etl_lib.rules.unchanged import joined_cells
from etl_lib.storage import Storage, scratch_folder
from etl_lib.transform.memory import give_back

BATCH_ROWS = 64 * 1024
_HASH = pa.binary(16)
_NONE = -1


@dataclass
class RowsBefore:
    """A fill's rows beside those of the loaded delivery, of which `snapshot` is None when there is nothing.

    `hashes`, `lines` and `places` hold one value for each row of the fill's tables, in their order:
    `places` is where the row stands in the snapshot, or -1 for a row that must go through.
    """

    columns: tuple[str, ...]
    snapshot: pa.Table | None = None
    base_key: str = ""
    hashes: pa.Array = field(default_factory=lambda: pa.array([], _HASH))
    lines: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    places: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def look(
        self, workspace: Storage, tables: Sequence[ReadTable], rejected: dict[str, pa.Int64Array]
    ) -> None:
        """Hash every row, and find those that are in the snapshot; nothing to do when there is none.

        A row that validate has rejected (`rejected`: lines by file) goes through, and so do rows
        that are there twice.
        """
        if self.snapshot is None:
            return
        digests: list[bytes] = []
        lines: list[npt.NDArray[np.int64]] = []
        out: list[npt.NDArray[np.bool_]] = []
        for table in tables:
            bad = rejected.get(table.shown)
            for batch in _batches(workspace, table, ("_line", *self.columns)):
                digests.append(_digests(joined_cells(batch, self.columns)))
                lines.append(batch["_line"].to_numpy())
                if bad is None:
                    out.append(np.zeros(batch.num_rows, np.bool_))
                else:
                    mask = pc.is_in(batch["_line"], value_set=bad)
                    out.append(mask.to_numpy(zero_copy_only=False))
        give_back()
        self.hashes = _hashes(b"".join(digests))
        digests.clear()
        self.lines = np.concatenate([self.lines, *lines])
        self.places = np.full(len(self.lines), _NONE, np.int64)
        if len(self.lines):
            self.places = _places(self.hashes, self.snapshot[ROW_HASH].combine_chunks())
            self.places[np.concatenate(out)] = _NONE
            found = self.places[self.places != _NONE]
            often = np.bincount(found, minlength=1) > 1
            self.places[(self.places != _NONE) & often[self.places]] = _NONE
        give_back()

    @property
    def unchanged(self) -> int:
        """How many rows need not go through."""
        return int((self.places != _NONE).sum())

    def hashed(self, rows: pa.RecordBatch) -> pa.Array:
        """The hash of each row, where there is no snapshot and nobody has looked."""
        return _hashes(_digests(joined_cells(rows, self.columns)))

    def changed(self, begin: int, end: int) -> pa.BooleanArray:
        """Which of the rows from `begin` to `end` must go through."""
        return pa.array(self.places[begin:end] == _NONE)

    def make_way(self, key: str, keys: pa.ChunkedArray) -> int:
        """Let rows go through whose key one of `keys`, of rows that go through, has as well; how many."""
        if self.snapshot is None or not self.unchanged:
            return 0
        at = np.flatnonzero(self.places != _NONE)
        ours = self.snapshot[key].take(pa.array(self.places[at]))
        again = pc.is_in(ours, value_set=keys.combine_chunks()).to_numpy()
        self.places[at[again]] = _NONE
        return int(again.sum())

    def take_rows(self) -> pa.Table | None:
        """The unchanged rows as the snapshot has them, in the order of the files; the snapshot itself goes."""
        if self.snapshot is None:
            return None
        rows = self.snapshot.take(pa.array(self.places[self.places != _NONE]))
        self.snapshot = None
        give_back()
        return rows

    def lines_of(self, begin: int, end: int) -> pa.Int64Array:
        """The lines of the unchanged ones among the rows from `begin` to `end`."""
        return pa.array(self.lines[begin:end][self.places[begin:end] != _NONE])


def read_snapshot(
    archive: Storage, snapshot: Snapshot | None, schema: pa.Schema
) -> pa.Table | None:
    """The rows of a snapshot; None when there is none, or it is not what was written."""
    if snapshot is None:
        return None
    with scratch_folder() as scratch:
        try:
            archive.get_file(snapshot.key, scratch / "snapshot")
        except FileNotFoundError:  # a later load has taken its place meanwhile
            return None
        if sha256_of(scratch / "snapshot") != snapshot.sha256:
            return None
        table = pq.read_table(scratch / "snapshot", memory_map=False)
    return table if table.schema.equals(schema) else None


def sha256_of(path: Path) -> str:
    """The hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def snapshot_schema(canonical: pa.Schema, key: str, carried: Sequence[str]) -> pa.Schema:
    """See manifest.Snapshot."""
    fields = [canonical.field(n) for n in (key, "_deleted", *carried) if n in canonical.names]
    return pa.schema([pa.field(ROW_HASH, _HASH), *fields])


def _batches(
    workspace: Storage, table: ReadTable, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    with workspace.reading(table.rows_key) as stream:
        yield from pq.ParquetFile(stream).iter_batches(BATCH_ROWS, columns=list(columns))


def _digests(texts: pa.BinaryArray) -> bytes:
    """The xxh3 hash of each text, 16 bytes each: an algorithm whose result never changes."""
    return b"".join(map(xxhash.xxh3_128_digest, texts.to_pylist()))


def _hashes(digests: bytes) -> pa.Array:
    return pa.Array.from_buffers(_HASH, len(digests) // 16, [None, pa.py_buffer(digests)])


def _places(hashes: pa.Array, known: pa.Array) -> npt.NDArray[np.int64]:
    """Where each hash stands among the known ones, or -1; of two that are the same one may be -1.

    Most rows stand where they stood; what has moved is looked up by one half and compared by the other.
    """
    ours, theirs = _halves(hashes), _halves(known)
    shared = min(len(ours), len(theirs))
    stayed = (ours[:shared] == theirs[:shared]).all(axis=1)
    places = np.full(len(ours), _NONE, np.int64)
    places[:shared][stayed] = np.flatnonzero(stayed)
    moved = np.flatnonzero(places == _NONE)
    left = np.concatenate([np.flatnonzero(~stayed), np.arange(shared, len(theirs))])
    if len(moved) and len(left):
        found = pc.index_in(pa.array(ours[moved, 0]), value_set=pa.array(theirs[left, 0]))
        at = pc.fill_null(found, _NONE).to_numpy()
        same = (at != _NONE) & (theirs[left[at], 1] == ours[moved, 1])
        places[moved[same]] = left[at[same]]
    return places


def _halves(hashes: pa.Array) -> npt.NDArray[np.uint64]:
    """Both halves of each hash."""
    data = np.frombuffer(hashes.buffers()[1], np.uint64) if len(hashes) else np.zeros(0, np.uint64)
    return data.reshape(-1, 2)[hashes.offset : hashes.offset + len(hashes)]
