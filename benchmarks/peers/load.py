"""Loads Pollock's files with one peer: `load.py SYSTEM MODE CHECKOUT OUT`.

The rows go to OUT in Pollock's form; OUT/read.json has of each file the CPU seconds and the lines that
the system says it left out. Told: with the parameters as Pollock's own script for that system passes
them, or all of them where it has no script or passes few; untold: with the file alone, and settings
that forgive where there are any.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Given = dict[str, Any]
Load = Callable[[Path, Given, Path], "list[int] | None"]


def main() -> None:
    """Every file of the checkout through one system."""
    system, mode, checkout, out = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    out.mkdir(parents=True, exist_ok=True)
    load = _LOADS[system, mode]
    folder = checkout / "polluted_files"
    reads = {}
    for path in sorted((folder / "csv").glob("*.csv")):
        given = _given(folder / "parameters" / f"{path.name}_parameters.json")
        target = out / f"{path.name}_converted.csv"
        begun = time.process_time()
        reported = None
        try:
            reported = load(path, given, target)
        except Exception as error:  # noqa: BLE001 (whatever it is, the system has not loaded the file)
            target.write_text(f"Application Error\n{error}")
        spent_s = time.process_time() - begun
        reads[path.name] = {"cpu_s": spent_s, "reported": reported or []}
    (out / "read.json").write_text(json.dumps(reads))


def _given(path: Path) -> Given:
    """A file's parameters with the defaults that Pollock's scripts put in."""
    given: Given = json.loads(path.read_text())
    names = [name.strip() for name in given["column_names"]]
    made_up = [f"col_{n}" for n in range(max(1, int(given["n_columns"])))]
    return {
        "encoding": given["encoding"], "delimiter": given["delimiter"] or ",",
        "quote": given["quotechar"] or '"', "escape": given["escapechar"] or '"',
        "line_end": given["row_delimiter"], "header_lines": int(given["header_lines"]),
        "preamble": int(given["preamble_lines"]), "columns": names or made_up,
    }  # fmt: skip


def _write(rows: Iterable[Iterable[Any]], target: Path) -> None:
    with target.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)


# --- pandas ----------------------------------------------------------------------------------------


def _pandas_settings(given: Given) -> Given:
    """As in Pollock's script, which leaves the delimiter to pandas: with the C engine, a comma."""
    settings: Given = {"encoding": given["encoding"], "doublequote": True}
    if given["quote"] != '"':
        settings["quotechar"] = given["quote"][0]
    if given["escape"] != given["quote"]:
        settings |= {"escapechar": given["escape"][0], "doublequote": False}
    if given["line_end"] not in ("\r\n", ""):
        settings["lineterminator"] = given["line_end"][0]
    if given["preamble"]:
        settings["skiprows"] = given["preamble"]
    return settings


def _pandas_told(path: Path, given: Given, target: Path) -> list[int]:
    return _pandas(path, target, True, dtype=object, engine="c", **_pandas_settings(given))


def _pandas_dialect(path: Path, given: Given, target: Path) -> list[int]:
    settings = _pandas_settings(given) | {
        "sep": given["delimiter"][0],
        "skipinitialspace": len(given["delimiter"]) > 1,
        "header": None,
        "names": given["columns"],
        "index_col": False,
        "skiprows": given["preamble"] + given["header_lines"],
    }
    return _pandas(path, target, bool(given["header_lines"]), dtype=object, engine="c", **settings)


def _pandas_untold(path: Path, _: Given, target: Path) -> list[int]:
    return _pandas(path, target, True, dtype=object, sep=None, engine="python")


def _pandas(path: Path, target: Path, headed: bool, **settings: Any) -> list[int]:
    import pandas as pd

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        frame = pd.read_csv(path, on_bad_lines="warn", **settings)
    frame.to_csv(target, index=False, header=headed)
    return [int(n) for one in said for n in re.findall(r"Skipping line (\d+)", str(one.message))]


# --- duckdb ----------------------------------------------------------------------------------------

# As in Pollock's script; one thread, as its message advises for quotation marks that stay open, and with
# the table of rejects, without which nobody would know of a row left out.
_FORGIVING = {
    "strict_mode": False,
    "ignore_errors": True,
    "null_padding": True,
    "parallel": False,
    "store_rejects": True,
}


# What leaves out rows that are not as they should be, and tells their lines.
_STRICT = {"ignore_errors": True, "store_rejects": True}


def _duckdb_told(path: Path, given: Given, target: Path) -> list[int]:
    return _duckdb(path, target, **_duckdb_settings(given), **_FORGIVING)


def _duckdb_told_strict(path: Path, given: Given, target: Path) -> list[int]:
    return _duckdb(path, target, **_duckdb_settings(given), **_STRICT)


def _duckdb_settings(given: Given) -> dict[str, Any]:
    return {
        "delimiter": given["delimiter"], "quotechar": given["quote"], "escapechar": given["escape"],
        "skiprows": given["preamble"] + given["header_lines"], "header": False, "auto_detect": False,
        "columns": dict.fromkeys(given["columns"], "VARCHAR"),
    }  # fmt: skip


def _duckdb_untold(path: Path, _: Given, target: Path) -> list[int]:
    return _duckdb(path, target, **_FORGIVING)


def _duckdb_untold_strict(path: Path, _: Given, target: Path) -> list[int]:
    return _duckdb(path, target, all_varchar=True, **_STRICT)


def _duckdb(path: Path, target: Path, **settings: Any) -> list[int]:
    import duckdb

    with duckdb.connect() as connection:
        connection.read_csv(str(path), **settings).df().to_csv(target, index=False)
        if not settings.get("store_rejects"):
            return []
        return [
            row[0] for row in connection.sql("SELECT DISTINCT line FROM reject_errors").fetchall()
        ]


# --- CleverCSV -------------------------------------------------------------------------------------


def _clevercsv_told(path: Path, given: Given, target: Path) -> None:
    _clevercsv_sniffed(path, given["encoding"], target)


def _clevercsv_untold(path: Path, _: Given, target: Path) -> None:
    from clevercsv.encoding import get_encoding

    _clevercsv_sniffed(path, get_encoding(str(path)), target)


def _clevercsv_sniffed(path: Path, encoding: str, target: Path) -> None:
    import clevercsv

    with path.open(newline="", encoding=encoding) as stream:
        dialect = clevercsv.Sniffer().sniff(stream.read())
        stream.seek(0)
        _write(list(clevercsv.reader(stream, dialect)), target)


def _clevercsv_dialect(path: Path, given: Given, target: Path) -> None:
    import clevercsv
    from clevercsv.dialect import SimpleDialect

    escape = "" if given["escape"] == given["quote"] else given["escape"]
    dialect = SimpleDialect(given["delimiter"][0], given["quote"], escape)
    with path.open(newline="", encoding=given["encoding"]) as stream:
        _write(list(clevercsv.reader(stream, dialect))[given["preamble"] :], target)


# --- polars and Python's csv -------------------------------------------------------------------------


def _polars_told(path: Path, given: Given, target: Path) -> None:
    import polars as pl

    end = given["line_end"][-1:] or "\n"
    frame = pl.read_csv(
        path, separator=given["delimiter"][0], quote_char=given["quote"], eol_char=end,
        skip_rows=given["preamble"], has_header=bool(given["header_lines"]), infer_schema=False,
        ignore_errors=True, truncate_ragged_lines=True,
    )  # fmt: skip
    frame.write_csv(target, include_header=bool(given["header_lines"]))


def _polars_untold(path: Path, _: Given, target: Path) -> None:
    import polars as pl

    frame = pl.read_csv(path, infer_schema=False, ignore_errors=True, truncate_ragged_lines=True)
    frame.write_csv(target)


def _csv_told(path: Path, given: Given, target: Path) -> None:
    doubled = given["escape"] == given["quote"]
    with path.open(newline="", encoding=given["encoding"]) as stream:
        rows = list(
            csv.reader(
                stream, delimiter=given["delimiter"][0], quotechar=given["quote"], doublequote=doubled,
                escapechar=None if doubled else given["escape"],
                skipinitialspace=len(given["delimiter"]) > 1,
            )
        )  # fmt: skip
    _write(rows[given["preamble"] :], target)


def _csv_untold(path: Path, _: Given, target: Path) -> None:
    with path.open(newline="", encoding="utf-8") as stream:
        dialect = csv.Sniffer().sniff(stream.read())
        stream.seek(0)
        _write(list(csv.reader(stream, dialect)), target)


_LOADS: dict[tuple[str, str], Load] = {
    ("pandas", "told"): _pandas_told,
    ("pandas, told the dialect", "told"): _pandas_dialect,
    ("pandas", "untold"): _pandas_untold,
    ("duckdb", "told"): _duckdb_told,
    ("duckdb, strict", "told"): _duckdb_told_strict,
    ("duckdb", "untold"): _duckdb_untold,
    ("duckdb, strict", "untold"): _duckdb_untold_strict,
    ("CleverCSV", "told"): _clevercsv_told,
    ("CleverCSV, told the dialect", "told"): _clevercsv_dialect,
    ("CleverCSV", "untold"): _clevercsv_untold,
    ("polars", "told"): _polars_told,
    ("polars", "untold"): _polars_untold,
    ("Python csv", "told"): _csv_told,
    ("Python csv", "untold"): _csv_untold,
}

if __name__ == "__main__":
    main()
