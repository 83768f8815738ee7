"""Finds values that several rows have, among millions: 16 bytes a row or 8, whatever the values' size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

Mask = npt.NDArray[np.bool_]
Digest = Callable[[bytes], bytes]
_PARTS = 32


def digests(
    values: pa.BinaryArray | pa.StringArray, digest: Digest = xxhash.xxh3_128_digest
) -> bytes:
    """The xxh3 hash of each value, one after another: an algorithm whose result never changes.

    Values whose hashes are the same count as the same value, here and wherever rows are compared. Null has
    the hash of no bytes.
    """
    texts = pc.fill_null(values.cast(pa.binary()), b"").to_pylist()
    return b"".join(map(digest, texts))


def short_hashes(values: pa.StringArray) -> pa.UInt64Array:
    """The 8 bytes of each value's short hash, as a number; null for null."""
    there = values.is_valid().to_numpy(zero_copy_only=False)
    hashes = np.zeros(len(values), np.uint64)
    hashes[there] = np.frombuffer(digests(values.drop_null(), xxhash.xxh3_64_digest), np.uint64)
    return pa.array(hashes, mask=~there)


def halves(hashes: bytes | bytearray | memoryview) -> npt.NDArray[np.uint64]:
    """Hashes of 16 bytes each as rows of two numbers, without a copy."""
    return np.frombuffer(hashes, np.uint64).reshape(-1, 2)


class Repeats:
    """Takes a column in, batch by batch.

    `short`: 8 bytes a row, enough for a warning: that among 5,000,000 different values two have the same
    hash happens once in a million times (n² / 2^65).
    """

    def __init__(self, *, short: bool = False) -> None:
        self._hashes = bytearray()
        self._digest = xxhash.xxh3_64_digest if short else xxhash.xxh3_128_digest
        self._width = 8 if short else 16

    def __len__(self) -> int:
        """How many values have been added."""
        return len(self._hashes) // self._width

    def add(self, values: pa.Array | pa.ChunkedArray) -> None:
        """More values, texts; of nulls that should not meet each other the caller leaves all out."""
        chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
        for chunk in chunks:
            self._hashes += digests(chunk, self._digest)

    def add_hashes(self, hashes: pa.UInt64Array | pa.ChunkedArray) -> None:
        """More values, of which `short_hashes` are known."""
        self._hashes += hashes.drop_null().to_numpy().tobytes()

    def mask(self) -> Mask:
        """Of all values in their order, which stand more than once."""
        found = np.zeros(len(self), np.bool_)
        hashes = np.frombuffer(self._hashes, np.uint64).reshape(-1, self._width // 8)
        parts = np.frombuffer(self._hashes, np.uint8)[:: self._width] % _PARTS
        for part in range(_PARTS):  # the same value is in the same part; each is sorted by itself
            rows = np.flatnonzero(parts == part)
            firsts = hashes[rows, 0]
            ordered = np.sort(firsts)
            again = ordered[1:][ordered[1:] == ordered[:-1]]
            if not len(again):
                continue
            rows = rows[np.isin(firsts, again)]
            rows = rows[np.lexsort(hashes[rows].T)]
            same = (hashes[rows[1:]] == hashes[rows[:-1]]).all(axis=1)
            found[rows[1:][same]] = found[rows[:-1][same]] = True
        return found

    def count(self) -> int:
        """How many of the values stand more than once."""
        return int(self.mask().sum())
