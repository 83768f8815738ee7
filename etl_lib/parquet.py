"""Writes and reads Parquet files some rows at a time, in memory that does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 64 * 1024


def written(path: Path, schema: pa.Schema, repeating: Sequence[str] = ()) -> pq.ParquetWriter:
    """A writer of rows that are read once, whole, by another stage.

    `repeating`: columns of few values, written as a dictionary. For all columns it would cost half of the
    writing, as statistics do, which nobody asks for.
    """
    dictionary = list(repeating) or False
    return pq.ParquetWriter(
        path, schema, compression="lz4", use_dictionary=dictionary, write_statistics=False
    )


def batches(
    source: Path | pa.NativeFile, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows in their order, up to BATCH_ROWS at a time; of `columns`, or of all.

    Arrow keeps what it has read ahead until it has given the last batch that it was asked for, so a whole
    file would end up in memory: it is asked for a few row groups, again and again.
    """
    file = pq.ParquetFile(source)
    for groups in _groups(file.metadata):
        yield from file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns)


def _groups(about: pq.FileMetaData) -> Iterator[list[int]]:
    """Row groups that follow one another, of BATCH_ROWS or more together."""
    found: list[int] = []
    together = 0
    for number in range(about.num_row_groups):
        found.append(number)
        together += about.row_group(number).num_rows
        if together >= BATCH_ROWS:
            yield found
            found, together = [], 0
    if found:
        yield found
