"""Remembers which keys a delivery held and on which lines, so that one record can be traced later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_lib.config.project import Fill
from etl_lib.manifest import keys_key
from etl_lib.run import Run
from etl_lib.storage import scratch_folder

_NAME = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema([("feed", _NAME), ("entity", _NAME), ("key", pa.string()), ("file", _NAME),
                     ("line", pa.int64()), ("outcome", _NAME)])  # fmt: skip

# Kept for long and seldom read: a dictionary for what repeats, and of line numbers their distances.
_SMALL = {
    "use_dictionary": ["feed", "entity", "file", "outcome"],
    "column_encoding": {"line": "DELTA_BINARY_PACKED"},
    "write_statistics": False,
}


@dataclass(frozen=True)
class KeysOfDelivery:
    """Takes keys in as the rows stream by; see manifest.keys_key for what is kept."""

    writer: pq.ParquetWriter

    def add(
        self, fill: Fill, keys: pa.StringArray, shown: str, lines: pa.Int64Array, outcome: str
    ) -> None:
        """Rows of one file with one outcome."""
        self._write(fill, keys, _same(shown, len(keys)), lines, _same(outcome, len(keys)))

    def add_canonical(self, fill: Fill, rows: pa.RecordBatch) -> None:
        """Canonical rows of a fill: sent, or saying of themselves that they are deleted."""
        outcome = pc.if_else(rows["_deleted"], "deleted", "sent").dictionary_encode()
        files = rows["_file"].dictionary_encode()
        self._write(fill, rows[fill.entity.key], files, rows["_line"], outcome)

    def add_filtered(self, fill: Fill, rows: pa.RecordBatch) -> None:
        """Rows that a filter leaves out."""
        files, outcome = rows["_file"].dictionary_encode(), _same("filtered", rows.num_rows)
        self._write(fill, rows[fill.entity.key], files, rows["_line"], outcome)

    def _write(
        self, fill: Fill, keys: pa.StringArray, files: pa.Array, lines: pa.Int64Array, outcome: pa.Array
    ) -> None:  # fmt: skip
        rows = len(keys)
        if not rows:
            return
        columns = [
            _same(fill.feed_name, rows),
            _same(fill.entity.entity, rows),
            keys,
            files,
            lines,
            outcome,
        ]
        self.writer.write_table(pa.table(columns, schema=_SCHEMA))


def _same(text: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), [text])


@contextmanager
def kept_keys(run: Run) -> Iterator[KeysOfDelivery]:
    """Puts the keys into the archive at the end of the block; a repetition replaces them."""
    with scratch_folder() as scratch:
        path = scratch / "keys.parquet"
        with pq.ParquetWriter(path, _SCHEMA, compression="zstd", **_SMALL) as writer:
            yield KeysOfDelivery(writer)
        run.archive.put_file(path, keys_key(run.run_id))
