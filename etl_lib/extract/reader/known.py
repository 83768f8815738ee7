"""Lines that the last load had too: found by their hash, they need not be read again.

A line here ends at a line feed, whatever else the reader takes for an end; a hash is that of its bytes
without it. That a line was one plain row when it was read, so that it is the same row again wherever it
stands, is said by its hash being in the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from etl_lib.extract.reader.block import Lines, Mask, joined, look_over
from etl_lib.extract.reader.dialect import Dialect
from etl_lib.manifest import LINE_HASH
from etl_lib.rules.repeats import halves
from etl_lib.rules.snapshots import HASH, NONE, Numbers, SnapshotRows, places_of

_CHUNK_BYTES = 4 * 1024 * 1024
_LF, _CR = 10, 13


@dataclass
class KnownLines:
    """The lines of a file from the first row on: their hashes, and where each stands in the snapshot.

    `places` is empty when nothing is known. As the reader goes on, `found` gathers the lines that were not
    read: their numbers in the file, and their places.
    """

    hashes: bytes
    places: Numbers = field(default_factory=lambda: np.zeros(0, np.int32))
    found: list[tuple[Numbers, Numbers]] = field(default_factory=list)
    _passed: int = 0  # lines of the blocks before

    @classmethod
    def of(cls, path: Path, begin: int, end: int, snapshot: SnapshotRows | None) -> KnownLines:
        """Of the bytes from `begin` to `end`; of little use, and so left, when most lines are new."""
        hashes = b"".join(_digests(path, begin, end))
        if snapshot is None:
            return cls(hashes)
        places = places_of(halves(hashes), snapshot, LINE_HASH)
        few = 2 * np.count_nonzero(places != NONE) < len(places)
        return cls(hashes) if few else cls(hashes, places)

    @property
    def rows(self) -> int:
        """How many lines were found in the blocks so far."""
        return sum(len(lines) for lines, _ in self.found)

    def look_over(self, block: bytes, dialect: Dialect, is_last: bool) -> tuple[Lines, Mask]:
        """See block.look_over: what is known is not looked at; and which lines those are."""
        if not len(self.places) or not _is_whole(block, is_last):
            lines = look_over(block, dialect)
            return lines, np.zeros(len(lines), np.bool_)
        lines = _split(block)
        here = self.places[self._passed : self._passed + len(lines)]
        known = here != NONE
        seen = look_over(joined(block, lines, ~known), dialect)
        if len(seen) != len(lines) - np.count_nonzero(known):  # lines that end in another way too
            lines = look_over(block, dialect)
            return lines, np.zeros(len(lines), np.bool_)
        lines.doubtful[~known], lines.empty[~known] = seen.doubtful, seen.empty
        known[1:] &= ~lines.empty[:-1]  # another table may begin behind an empty line
        return lines, known

    def keep(self, rows: npt.NDArray[np.int64], line: int) -> int:
        """Lines of the block that are not read, how many; `line`: the number of its first."""
        self.found.append(((rows + line).astype(np.int32), self.places[self._passed + rows]))
        return len(rows)

    def hashes_of(
        self, block: bytes, lines: int, rows: npt.NDArray[np.int64], plain: Mask, is_last: bool
    ) -> pa.Array:
        """The hashes of those of the block's `lines` on which `rows` stand.

        Null for a row that is not `plain`, and for all where a line may end otherwise than here.
        """
        ends = block.count(b"\n") + (not block.endswith(b"\n"))
        if ends != lines or not _is_whole(block, is_last):
            return pa.nulls(len(rows), HASH)
        hashes = np.frombuffer(self.hashes, np.uint8).reshape(-1, 16)[self._passed + rows]
        there = np.packbits(plain[rows], bitorder="little")
        buffers = [pa.py_buffer(there), pa.py_buffer(hashes)]
        return pa.Array.from_buffers(HASH, len(rows), buffers)

    def passed(self, block: bytes, used: int) -> None:
        """So many bytes of the block are done with."""
        self._passed += block.count(b"\n", 0, used)


def _is_whole(block: bytes, is_last: bool) -> bool:
    """Whether its last line is not cut, as one is that no block has room for."""
    return is_last or block.endswith(b"\n")


def _digests(path: Path, begin: int, end: int) -> Iterator[bytes]:
    """The hashes of lines, some at a time: xxh3, as for all that is compared from night to night."""
    rest, left = b"", end - begin
    with path.open("rb") as stream:
        stream.seek(begin)
        while chunk := stream.read(min(_CHUNK_BYTES, left)):
            left -= len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            yield b"".join(map(xxhash.xxh3_128_digest, lines))
    if rest:
        yield xxhash.xxh3_128_digest(rest)


def _split(block: bytes) -> Lines:
    """The lines of a block that end with line feeds; nothing is doubtful or empty yet."""
    signs = np.frombuffer(block, np.uint8)
    stops = np.flatnonzero(signs == _LF)
    if not block.endswith(b"\n"):
        stops = np.append(stops, len(block))
    starts = np.concatenate(([0], stops[:-1] + 1))
    nothing = np.zeros(len(stops), np.bool_)
    return Lines(starts, _without_returns(signs, starts, stops), nothing, nothing.copy())


def _without_returns(
    signs: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The ends of lines, before the carriage return that may stand there."""
    returns = (stops > starts) & (signs[np.maximum(stops - 1, 0)] == _CR)
    ends: npt.NDArray[np.int64] = stops - returns
    return ends
