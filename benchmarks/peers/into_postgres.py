"""Loads a file of people into PostgreSQL with one peer: `into_postgres.py SYSTEM URL CSV FOLDER`.

FOLDER is the system's own, and kept between the nights of a school. Each runs with the settings that
were the fastest of those it has; its rows end in the table `people` of the schema `peer`.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KEY = "person_id"
COLUMNS = (
    KEY, "status", "display_number", "username", "email", "given_name", "middle_name",
    "family_name", "is_confidential", "grade_level", "birth_date", "primary_organization_id",
)  # fmt: skip
TYPES = {"is_confidential": "boolean", "birth_date": "date"}
_BLOCK_BYTES = 8 << 20
_PORTION_ROWS = 1000  # of S3ToSqlOperator, and usual for to_sql


def typed_table() -> str:
    """The table that PostgreSQL's own users would make: typed, with its key."""
    columns = ", ".join(f"{name} {TYPES.get(name, 'text')}" for name in COLUMNS)
    return (
        "CREATE SCHEMA IF NOT EXISTS peer; "
        f"CREATE TABLE IF NOT EXISTS peer.people ({columns}, PRIMARY KEY ({KEY}))"
    )


# --- PostgreSQL's own ------------------------------------------------------------------------------


def copy_merge(url: str, source: Path, _: Path) -> None:
    """COPY into text, one MERGE that casts and leaves alone what is the same."""
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute(typed_table())
        texts = ", ".join(f"{name} text" for name in COLUMNS)
        connection.execute(f"CREATE UNLOGGED TABLE peer.staged ({texts})")
        copy = "COPY peer.staged FROM STDIN (FORMAT csv, HEADER)"
        with source.open("rb") as stream, connection.cursor().copy(copy) as sink:
            while block := stream.read(_BLOCK_BYTES):
                sink.write(block)
        connection.execute(_merge())
        connection.execute("DROP TABLE peer.staged")


def _merge() -> str:
    cast = ", ".join(f"{name}::{TYPES[name]}" if name in TYPES else name for name in COLUMNS)
    others = [name for name in COLUMNS if name != KEY]
    old, new = (", ".join(f"{side}.{name}" for name in others) for side in "ts")
    return f"""
        MERGE INTO peer.people t USING (SELECT {cast} FROM peer.staged) s ON t.{KEY} = s.{KEY}
        WHEN MATCHED AND ({old}) IS DISTINCT FROM ({new})
        THEN UPDATE SET {", ".join(f"{name} = s.{name}" for name in others)}
        WHEN NOT MATCHED THEN INSERT ({", ".join(COLUMNS)})
        VALUES ({", ".join(f"s.{name}" for name in COLUMNS)})"""  # noqa: S608 (constants only)


# --- dlt --------------------------------------------------------------------------------------------

_UPSERT = {"disposition": "merge", "strategy": "upsert"}


def dlt_first(url: str, source: Path, folder: Path) -> None:
    """A first load as fast as dlt can from what it reads: no key, nothing compared; Parquet through ADBC."""
    _dlt(url, folder, _batches(source), "append")


def dlt_night(url: str, source: Path, folder: Path) -> None:
    """By the key, as every night must."""
    _dlt(url, folder, _batches(source), _UPSERT)


def dlt_file_first(url: str, source: Path, folder: Path) -> None:
    """The file goes to COPY as it is; dlt does not look into it."""
    _dlt(url, folder, _handed_on(source), "append")


def dlt_file_night(url: str, source: Path, folder: Path) -> None:
    """The same, by the key."""
    _dlt(url, folder, _handed_on(source), _UPSERT)


def _dlt(url: str, folder: Path, rows: Iterator[Any], how: Any) -> None:
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
    import dlt

    kinds = {"boolean": "bool", "date": "date"}
    hints = {
        name: {"data_type": kinds.get(TYPES.get(name, ""), "text"), "nullable": name != KEY}
        for name in COLUMNS
    }
    people = dlt.resource(
        rows, name="people", primary_key=KEY, write_disposition=how, columns=hints
    )  # fmt: skip
    pipeline = dlt.pipeline(
        "people", destination=dlt.destinations.postgres(url), dataset_name="peer",
        pipelines_dir=str(folder),
    )  # fmt: skip
    pipeline.run(people, loader_file_format="parquet")


def _handed_on(source: Path) -> Iterator[Any]:
    import dlt

    yield dlt.mark.with_file_import(str(source), "csv", 0)


def _batches(source: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.csv

    types = dict.fromkeys(COLUMNS, pa.string())
    types |= {"is_confidential": pa.bool_(), "birth_date": pa.date32()}
    reader = pyarrow.csv.open_csv(
        source, read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True),
    )  # fmt: skip
    for batch in reader:
        yield pa.Table.from_batches([batch])


# --- row by row -------------------------------------------------------------------------------------


def insert_rows(url: str, source: Path, _: Path) -> None:
    """As Airflow's S3ToSqlOperator does with a file that it has fetched."""
    os.environ["AIRFLOW_CONN_PEER"] = url
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    hook = PostgresHook("peer")
    hook.run(typed_table())

    def rows() -> Iterator[list[str | None]]:
        with source.open(newline="", encoding="utf-8") as stream:
            lines = csv.reader(stream)
            next(lines)
            yield from ([value or None for value in line] for line in lines)

    hook.insert_rows(
        "peer.people", rows(), target_fields=list(COLUMNS), commit_every=_PORTION_ROWS
    )  # fmt: skip


def to_sql(url: str, source: Path, _: Path) -> None:
    """pandas.read_csv and to_sql, several rows to a statement."""
    import pandas as pd
    import sqlalchemy

    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(typed_table()))
    texts = {name: str for name in COLUMNS if name not in TYPES}
    people = pd.read_csv(source, dtype=texts, parse_dates=["birth_date"])
    people.to_sql(
        "people", engine, schema="peer", if_exists="append", index=False, method="multi",
        chunksize=_PORTION_ROWS,
    )  # fmt: skip


# --- programs of their own --------------------------------------------------------------------------


def sling_first(url: str, source: Path, folder: Path) -> None:
    """A first load: no key, nothing compared."""
    _sling(url, source, folder, "full-refresh")


def sling_night(url: str, source: Path, folder: Path) -> None:
    """By the key."""
    _sling(url, source, folder, "incremental", "--primary-key", KEY)


def _sling(url: str, source: Path, folder: Path, mode: str, *more: str) -> None:
    from importlib.util import find_spec

    package = find_spec("sling_linux_amd64")
    assert package and package.submodule_search_locations
    program = Path(next(iter(package.submodule_search_locations))) / "bin" / "sling-linux-amd64"
    program.chmod(0o755)
    subprocess.run(
        [
            str(program), "run", "--src-stream", source.absolute().as_uri(), "--tgt-conn", "PEER",
            "--tgt-object", "peer.people", "--mode", mode, *more,
        ],
        check=True,
        env=os.environ
        | {"PEER": f"{url}?sslmode=disable", "HOME": str(folder), "SLING_DISABLE_TELEMETRY": "true"},
    )  # fmt: skip


def singer(url: str, source: Path, folder: Path) -> None:
    """A tap for CSV files, piped into the target for PostgreSQL, which COPYs."""
    inbox = folder / "inbox"
    inbox.mkdir(parents=True)
    (inbox / source.name).symlink_to(source.absolute())
    given = {
        "tap": {
            "filesystem": "local", "path": str(inbox), "read_mode": "merge", "stream_name": "people",
            "stream_maps": {"people": {
                "__key_properties__": [KEY], "_sdc_line_number": None, "_sdc_path": None,
                "_sdc_modified_at": None,
            }},
        },
        "target": {
            "sqlalchemy_url": url.replace("postgresql:", "postgresql+psycopg:"),
            "default_target_schema": "peer", "use_copy": True, "add_record_metadata": False,
            "activate_version": False,
            "validate_records": False,
        },
    }  # fmt: skip
    for name, settings in given.items():
        (folder / f"{name}.json").write_text(json.dumps(settings))
    programs = Path(sys.executable).parent
    tap = subprocess.Popen(
        [str(programs / "tap-csv-folder"), "--config", str(folder / "tap.json")],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    target = os.environ.get("SINGER_TARGET") or str(programs / "target-postgres")
    subprocess.run([target, "--config", str(folder / "target.json")], stdin=tap.stdout, check=True)
    if tap.wait():
        raise SystemExit("the tap gives up")


_SYSTEMS: dict[str, Callable[[str, Path, Path], None]] = {
    "copy_merge": copy_merge,
    "dlt_first": dlt_first,
    "dlt_night": dlt_night,
    "dlt_file_first": dlt_file_first,
    "dlt_file_night": dlt_file_night,
    "sling_first": sling_first,
    "sling_night": sling_night,
    "singer": singer,
    "insert_rows": insert_rows,
    "to_sql": to_sql,
}

if __name__ == "__main__":
    _SYSTEMS[sys.argv[1]](sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
