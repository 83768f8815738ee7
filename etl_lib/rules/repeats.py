"""Finds values that several rows have, among millions: 16 bytes a row, whatever the values' size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

Mask = npt.NDArray[np.bool_]
_PARTS = 32


def digests(values: pa.BinaryArray | pa.StringArray) -> bytes:
    """The xxh3 hash of each value, 16 bytes each, one after another: an algorithm whose result never changes.

    Values whose hashes are the same count as the same value, here and wherever rows are compared. Null has
    the hash of no bytes.
    """
    texts = pc.fill_null(values.cast(pa.binary()), b"").to_pylist()
    return b"".join(map(xxhash.xxh3_128_digest, texts))


def halves(hashes: bytes | bytearray | memoryview) -> npt.NDArray[np.uint64]:
    """Hashes of 16 bytes each as rows of two numbers, without a copy."""
    return np.frombuffer(hashes, np.uint64).reshape(-1, 2)


class Repeats:
    """Takes a column in, batch by batch."""

    def __init__(self) -> None:
        self._hashes = bytearray()

    def __len__(self) -> int:
        """How many values have been added."""
        return len(self._hashes) // 16

    def add(self, values: pa.Array | pa.ChunkedArray) -> None:
        """More values, texts; of nulls that should not meet each other the caller leaves all out."""
        chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
        for chunk in chunks:
            self._hashes += digests(chunk)

    def mask(self) -> Mask:
        """Of all values in their order, which stand more than once."""
        found = np.zeros(len(self), np.bool_)
        both = halves(self._hashes)
        parts = np.frombuffer(self._hashes, np.uint8)[::16] % _PARTS
        for part in range(_PARTS):  # the same value is in the same part; each is sorted by itself
            rows = np.flatnonzero(parts == part)
            firsts = both[rows, 0]
            ordered = np.sort(firsts)
            again = ordered[1:][ordered[1:] == ordered[:-1]]
            if not len(again):
                continue
            rows = rows[np.isin(firsts, again)]
            rows = rows[np.lexsort((both[rows, 1], both[rows, 0]))]
            same = (both[rows[1:]] == both[rows[:-1]]).all(axis=1)
            found[rows[1:][same]] = found[rows[:-1][same]] = True
        return found

    def count(self) -> int:
        """How many of the values stand more than once."""
        return int(self.mask().sum())
