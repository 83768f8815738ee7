"""Settles rows of one key: identical ones collapse, of different ones the last line counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import xxhash

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Settled:
    """Masks over rows of keys that stand more than once, in their order: repeated (collapsed) and lost (rejected)."""

    repeated: Mask
    lost: Mask


def settle(keys: pa.ChunkedArray, hashes: npt.NDArray[np.uint64]) -> Settled:
    """Which rows give way to a later row of the same key.

    A row with the same key and hash as the key's last row is `repeated`; one with another hash is
    `lost`, but only once for each different content: its own repetitions are `repeated` too.
    """
    key_codes = pd.factorize(keys.to_pandas(types_mapper=pd.ArrowDtype))[0]
    frame = pd.DataFrame({"key": key_codes, "hash": hashes})
    gives_way = frame.duplicated("key", keep="last").to_numpy()
    same_content_follows = frame.duplicated(["key", "hash"], keep="last").to_numpy()
    return Settled(same_content_follows, gives_way & ~same_content_follows)


def row_hashes(table: pa.Table, columns: Sequence[str]) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each row's canonical values; xxh3, whose result never changes.

    Only rows of keys that stand more than once need one, so plain Python is fast enough.
    """
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    return np.array([xxhash.xxh3_64_intdigest(repr(row).encode()) for row in rows], dtype=np.uint64)
