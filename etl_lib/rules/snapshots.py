"""The snapshot of a fill's rows as the last load has left them: what is in it, and how rows are found in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.arrow_file import batches, count_rows, read_schema
from etl_lib.config.project import Fill
from etl_lib.manifest import (
    FACTS,
    LINE_HASH,
    ROW_FILTERED,
    ROW_HASH,
    ROW_THROUGH,
    KnownRows,
    Snapshot,
)
from etl_lib.rules.repeats import halves
from etl_lib.storage import Storage, sha256_of

HASH = pa.binary(16)
NONE = -1
FORM = b"form"  # in the file's metadata: how the lines of LINE_HASH were written
_AROUND = 1024  # rows that have come or gone in one part of the snapshot
Numbers = npt.NDArray[np.int32]  # of rows, lines, places: half the memory of Arrow's


@dataclass(frozen=True)
class SnapshotRows:
    """A snapshot on this machine's disk, and what is known `about` it."""

    path: Path
    about: Snapshot

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in their order."""
        yield from batches(self.path, columns)

    def hashes(self, column: str) -> Iterator[npt.NDArray[np.uint64]]:
        """Those of the rows in their order, ROW_HASH or LINE_HASH, each as two numbers; zeros for none."""
        for batch in self.batches([column]):
            found = batch[column]
            if found.null_count:
                found = pc.fill_null(found, pa.scalar(bytes(16), HASH))
            yield halves(_bytes_of(found))

    @property
    def rows(self) -> int:
        """How many there are."""
        return count_rows(self.path)

    @property
    def form(self) -> bytes:
        """How the lines of LINE_HASH were written; empty when nothing is known of lines."""
        return bytes((read_schema(self.path).metadata or {}).get(FORM, b""))


def last_of(snapshots: Sequence[Snapshot], fill: Fill, basis: str) -> Snapshot | None:
    """The fill's snapshot among those of the last load, when it says something under this basis."""
    wanted = (fill.feed_name, fill.entity.entity, basis)
    return next((s for s in snapshots if (s.feed, s.entity, s.basis) == wanted), None)


def read_snapshot(
    archive: Storage, snapshot: Snapshot | None, path: Path, schema: pa.Schema | None = None
) -> SnapshotRows | None:
    """The rows of a snapshot, kept at `path`; None when there is none, or it is not what was written.

    `schema`: that which it must have.
    """
    if snapshot is None:
        return None
    try:
        archive.get_file(snapshot.key, path)
    except FileNotFoundError:  # a later load has taken its place meanwhile
        return None
    if sha256_of(path) != snapshot.sha256:
        return None
    if schema is not None and not read_schema(path).equals(schema):
        return None
    return SnapshotRows(path, snapshot)


def known_places(
    workspace: Storage, known: KnownRows, entity: str
) -> Iterator[tuple[Numbers, Numbers]]:
    """The lines of rows that were not read, ascending, and where each stands in the entity's snapshot; in parts."""
    with workspace.reading(known.key) as stream:
        for batch in batches(stream, ["_line", entity]):
            yield batch["_line"].to_numpy(), batch[entity].to_numpy()


def value_hash(name: str) -> str:
    """The snapshot's column for a field of `unique_warn`: the short hash of its value in small letters."""
    return f"_{name}_hash"


def snapshot_schema(
    canonical: pa.Schema, key: str, carried: Sequence[str], warned: Sequence[str]
) -> pa.Schema:
    """See manifest.Snapshot; `warned`: fields of which the hash is enough."""
    fields = [canonical.field(n) for n in (key, "_deleted", *carried) if n in canonical.names]
    fields += [pa.field(value_hash(n), pa.uint64()) for n in warned if n in canonical.names]
    ours = [
        pa.field(ROW_HASH, HASH), pa.field(LINE_HASH, HASH), pa.field(FACTS, pa.binary()),
        pa.field(ROW_THROUGH, pa.bool_()), pa.field(ROW_FILTERED, pa.bool_()),
    ]  # fmt: skip
    return pa.schema([*ours, *fields])


def as_hashes(hashes: bytes | bytearray) -> pa.Array:
    """Hashes of 16 bytes each, one after another, as a column."""
    return pa.Array.from_buffers(HASH, len(hashes) // 16, [None, pa.py_buffer(hashes)])


def _bytes_of(hashes: pa.Array) -> memoryview:
    begin = hashes.offset * 16
    return memoryview(hashes.buffers()[1])[begin : begin + len(hashes) * 16]


def places_of(
    ours: npt.NDArray[np.uint64], snapshot: SnapshotRows, column: str = ROW_HASH
) -> Numbers:
    """Where each of our hashes stands in the snapshot, or NONE; also for those of which two are the same.

    Most rows stand where they stood, but for as many places as rows have come or gone above them; so each
    part of the snapshot is looked for around the place where the one before was found, and what is left
    at the end everywhere.
    """
    places = np.full(len(ours), NONE, np.int32)
    left, left_at = [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.int64)]
    begin = shift = 0
    for theirs in snapshot.hashes(column):
        at = np.arange(begin, begin + len(theirs))
        straight = at + shift
        stayed = (straight >= 0) & (straight < len(ours))
        stayed[stayed] = (ours[straight[stayed]] == theirs[stayed]).all(axis=1)
        places[straight[stayed]] = at[stayed]
        around = np.arange(max(straight[0] - _AROUND, 0), min(straight[-1] + _AROUND, len(ours)))
        unseen, unseen_at = theirs[~stayed], at[~stayed]
        moved = around[places[around] == NONE]
        which = _among(ours[moved], unseen)
        moved, which = moved[which != NONE], which[which != NONE]
        places[moved] = unseen_at[which]
        if len(moved) and (not stayed.any() or moved[-1] > straight[stayed][-1]):
            shift = int(moved[-1] - places[moved[-1]])
        left.append(np.delete(unseen, which, axis=0))
        left_at.append(np.delete(unseen_at, which))
        begin += len(theirs)
    others, others_at = np.concatenate(left), np.concatenate(left_at)
    moved = np.flatnonzero(places == NONE)
    which = _among(ours[moved], others)
    places[moved[which != NONE]] = others_at[which[which != NONE]]
    _without_repeated(places)
    return places


def _without_repeated(places: Numbers) -> None:
    found = places[places != NONE]
    if (found[1:] > found[:-1]).all():  # as most often: no need to sort
        return
    found.sort()
    often = found[1:][found[1:] == found[:-1]]
    if len(often):
        places[np.isin(places, often)] = NONE


def _among(ours: npt.NDArray[np.uint64], theirs: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Where each of our hashes stands among theirs, or -1: looked up by one half, compared by the other."""
    if not len(ours) or not len(theirs):
        return np.full(len(ours), NONE, np.int64)
    found = pc.index_in(pa.array(ours[:, 0]), value_set=pa.array(theirs[:, 0]))
    at: npt.NDArray[np.int64] = pc.fill_null(found, NONE).to_numpy().astype(np.int64)
    at[theirs[at, 1] != ours[:, 1]] = NONE
    return at
