"""Finds values that several rows have, among millions: 16 bytes a row, whatever the values' size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

Mask = npt.NDArray[np.bool_]
_PARTS = 32
# Texts that stay in the processor's cache: of 65,536 at once a hash takes three times as long.
_AT_ONCE = 2048


def hashes_of(texts: Iterable[bytes]) -> bytes:
    """The xxh3 hash of each text, 16 bytes each, one after another: an algorithm whose result never changes.

    Texts whose hashes are the same count as the same text, here and wherever rows are compared.
    """
    return b"".join(map(xxhash.xxh3_128_digest, texts))


def digests(values: pa.BinaryArray | pa.StringArray) -> bytes:
    """See hashes_of, of each value; null has the hash of no bytes."""
    return b"".join(map(hashes_of, _texts(values)))


def _texts(values: pa.BinaryArray | pa.StringArray) -> Iterator[list[bytes]]:
    """The values, some at a time; null as no bytes."""
    plain = pc.fill_null(values.cast(pa.binary()), b"")
    for begin in range(0, len(plain), _AT_ONCE):
        yield plain.slice(begin, _AT_ONCE).to_pylist()


def short_hashes(values: pa.StringArray) -> pa.UInt64Array:
    """8 bytes of a hash of each value, as a number, enough for a warning; null for null.

    That among 5,000,000 different values two have the same happens once in a million times (n² / 2^65).
    """
    found = chain.from_iterable(map(xxhash.xxh3_64_intdigest, some) for some in _texts(values))
    hashes = np.fromiter(found, np.uint64, len(values))
    return pa.array(hashes, mask=values.is_null().to_numpy(zero_copy_only=False))


def repeated(hashes: list[npt.NDArray[np.uint64]]) -> int:
    """How many of all the short hashes stand more than once."""
    ordered = np.sort(np.concatenate([np.zeros(0, np.uint64), *hashes]))
    same = ordered[1:] == ordered[:-1]
    return (
        int(np.count_nonzero(np.append(same, False) | np.insert(same, 0, False)))
        if len(same)
        else 0
    )


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
            rows = rows[np.lexsort(both[rows].T)]
            same = (both[rows[1:]] == both[rows[:-1]]).all(axis=1)
            found[rows[1:][same]] = found[rows[:-1][same]] = True
        return found

    def count(self) -> int:
        """How many of the values stand more than once."""
        return int(self.mask().sum())
