"""Lines that the last load had too: found by their hash, they need not be read again.

A line here ends at a line feed, whatever else the reader takes for an end; a hash is that of its bytes
without it. That a line was one plain row when it was read, so that it is the same row again wherever it
stands, is said by its hash being in the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_lib.extract.reader.block import Lines, Mask, joined, look_over, split
from etl_lib.extract.reader.dialect import Dialect
from etl_lib.manifest import LINE_HASH
from etl_lib.rules.repeats import halves, hashes_of
from etl_lib.rules.snapshots import HASH, NONE, Numbers, SnapshotRows, places_of

_CHUNK_BYTES = 128 * 1024  # stays in the processor's cache: 4 MiB at a time take 1.6 times as long


@dataclass
class KnownLines:
    """The lines of a file from the first row on: their hashes, and where each stands in the snapshots.

    `snapshots`: of every entity that the feed fills, by its name; none when nothing is known. `places`: for each
    of them, in their order, one number a line. A line is known when it is in all of them. As the reader goes
    on, `found` gathers the lines that were not read: their numbers in the file, and their places.
    """

    hashes: bytes
    snapshots: Mapping[str, SnapshotRows] = field(default_factory=dict)
    places: Numbers = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    found: list[tuple[Numbers, Numbers]] = field(default_factory=list)
    _passed: int = 0  # lines of the blocks before
    _ends: int = 0  # line feeds of the block at hand

    @classmethod
    def of(
        cls, path: Path, begin: int, end: int, snapshots: Mapping[str, SnapshotRows]
    ) -> KnownLines:
        """Of the bytes from `begin` to `end`; of little use, and so left, when most lines are new."""
        hashes = b"".join(_digests(path, begin, end))
        if not snapshots:
            return cls(hashes)
        ours = halves(hashes)
        places = np.stack([places_of(ours, one, LINE_HASH) for one in snapshots.values()])
        few = 2 * np.count_nonzero(_in_all(places)) < len(ours)
        return cls(hashes) if few else cls(hashes, snapshots, places)

    @property
    def rows(self) -> int:
        """How many lines were found in the blocks so far."""
        return sum(len(lines) for lines, _ in self.found)

    def look_over(self, block: bytes, dialect: Dialect, is_last: bool) -> tuple[Lines, Mask]:
        """See block.look_over: what is known is not looked at; and which lines those are."""
        if not self.snapshots or not _is_whole(block, is_last):
            self._ends = block.count(b"\n")
            lines = look_over(block, dialect)
            return lines, np.zeros(len(lines), np.bool_)
        lines = split(block)
        self._ends = len(lines) - (not block.endswith(b"\n"))
        known = _in_all(self.places[:, self._passed : self._passed + len(lines)])
        seen = look_over(joined(block, lines, ~known), dialect)
        if len(seen) != len(lines) - np.count_nonzero(known):  # lines that end in another way too
            lines = look_over(block, dialect)
            return lines, np.zeros(len(lines), np.bool_)
        lines.doubtful[~known], lines.empty[~known] = seen.doubtful, seen.empty
        known[1:] &= ~lines.empty[:-1]  # another table may begin behind an empty line
        return lines, known

    def keep(self, rows: npt.NDArray[np.int64], line: int) -> int:
        """Lines of the block that are not read, how many; `line`: the number of its first."""
        places = self.places.take(self._passed + rows, axis=1)
        self.found.append(((rows + line).astype(np.int32), places))
        return len(rows)

    def hashes_at(
        self, block: bytes, lines: int, rows: npt.NDArray[np.int64], plain: Mask, is_last: bool
    ) -> pa.Array:
        """The hashes of those of the block's `lines` on which `rows` stand.

        Null for a row that is not `plain`, and for all where a line may end otherwise than here.
        """
        if self._ends + (not block.endswith(b"\n")) != lines or not _is_whole(block, is_last):
            return pa.nulls(len(rows), HASH)
        hashes = np.frombuffer(self.hashes, np.uint8).reshape(-1, 16)[self._passed + rows]
        there = np.packbits(plain[rows], bitorder="little")
        buffers = [pa.py_buffer(there), pa.py_buffer(hashes)]
        return pa.Array.from_buffers(HASH, len(rows), buffers)

    def passed(self, block: bytes, used: int) -> None:
        """So many bytes of the block that was looked over last are done with."""
        self._passed += self._ends if used == len(block) else block.count(b"\n", 0, used)


def _in_all(places: Numbers) -> Mask:
    """Which lines stand in every snapshot."""
    found: Mask = (places != NONE).all(axis=0)
    return found


def _is_whole(block: bytes, is_last: bool) -> bool:
    """Whether its last line is not cut, as one is that no block has room for."""
    return is_last or block.endswith(b"\n")


def _digests(path: Path, begin: int, end: int) -> Iterator[bytes]:
    """The hashes of lines, some at a time."""
    rest, left = b"", end - begin
    with path.open("rb") as stream:
        stream.seek(begin)
        while chunk := stream.read(min(_CHUNK_BYTES, left)):
            left -= len(chunk)
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield hashes_of(lines)
    if rest:
        yield hashes_of([rest])
