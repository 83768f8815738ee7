"""Stages a CSV file as a file of columns with one peer: `stage.py SYSTEM CSV FILE KIND`; all columns are text.

KIND `broken`: with the settings that leave out what the system finds wrong, without which it would give
up; `long`: values have line ends in them, which some must be told.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Stage = Callable[[str, str, str], None]


def _pyarrow(source: str, target: str, kind: str) -> None:
    import pyarrow.parquet as pq

    reader = _pyarrow_opened(source, kind)
    with pq.ParquetWriter(target, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def _pyarrow_light(source: str, target: str, kind: str) -> None:
    """With the product's writer, and its settings."""
    import pyarrow as pa

    reader = _pyarrow_opened(source, kind)
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.OSFile(target, "wb") as out, pa.ipc.new_file(out, reader.schema, options=options) as to:
        for batch in reader:
            to.write_batch(batch)


def _pyarrow_opened(source: str, kind: str) -> Any:
    import pyarrow as pa
    import pyarrow.csv

    broken = kind == "broken"
    with open(source, "rb") as stream:  # noqa: PTH123 (nothing but what it takes)
        names = stream.readline().decode().strip().split(",")
    return pyarrow.csv.open_csv(
        source,
        parse_options=pyarrow.csv.ParseOptions(
            invalid_row_handler=(lambda _: "skip") if broken else None,
            newlines_in_values=kind == "long",
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), check_utf8=not broken
        ),
    )


def _pandas(source: str, target: str, kind: str) -> None:
    import pandas as pd

    forgiving: dict[str, Any] = (
        {"on_bad_lines": "skip", "encoding_errors": "replace"} if kind == "broken" else {}
    )
    frame: pd.DataFrame = pd.read_csv(source, dtype=str, keep_default_na=False, **forgiving)
    frame.to_parquet(target, index=False)


def _polars(source: str, target: str, kind: str) -> None:
    import polars as pl

    forgiving: dict[str, Any] = {
        "ignore_errors": True,
        "truncate_ragged_lines": True,
        "encoding": "utf8-lossy",
    }
    pl.scan_csv(source, infer_schema=False, **(forgiving if kind == "broken" else {})).sink_parquet(
        target
    )


def _duckdb(source: str, target: str, kind: str) -> None:
    import duckdb

    forgiving = ", ignore_errors = true" if kind == "broken" else ""
    duckdb.execute(
        f"COPY (FROM read_csv('{source}', header = true, delim = ',', all_varchar = true{forgiving})) "
        f"TO '{target}' (FORMAT parquet)"
    )


_STAGES: dict[str, Stage] = {
    "pyarrow": _pyarrow,
    "pyarrow, written as here": _pyarrow_light,
    "pandas": _pandas,
    "polars": _polars,
    "duckdb": _duckdb,
}

if __name__ == "__main__":
    _STAGES[sys.argv[1]](sys.argv[2], sys.argv[3], sys.argv[4])
