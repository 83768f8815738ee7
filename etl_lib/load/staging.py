"""Brings a fill's canonical rows into a temporary table of the load's own transaction."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from psycopg import sql

from etl_lib.arrow_file import batches, read_table
from etl_lib.config.project import Fill
from etl_lib.database import Connection
from etl_lib.load.tables import sql_type
from etl_lib.manifest import TransformedFill
from etl_lib.storage import Storage

_EXTRAS = {"extra": "jsonb", "_deleted": "boolean", "_file": "text", "_line": "bigint"}


@dataclass(frozen=True)
class Staged:
    """A fill's rows in the temporary table `name`; `columns` are the entity's fields in it.

    The table also holds extra, _deleted, _file and _line, and _cleared if any field can be cleared.
    `kept_name` is a second temporary table of keys (column `key`) that were rejected, or left out since
    they have not changed, and therefore count as present. `scope_name`: one of the values that
    unchanged rows have in the fields of `scope`, when absence deletes within one.
    """

    fill: Fill
    transformed: TransformedFill
    name: sql.Identifier
    kept_name: sql.Identifier
    scope_name: sql.Identifier
    columns: tuple[str, ...]

    @property
    def scope(self) -> tuple[str, ...]:
        """The fields within whose values absence deletes; none: everywhere."""
        return self.fill.rules.scope_fields

    @property
    def key(self) -> sql.Identifier:
        """The key column, quoted."""
        return sql.Identifier(self.fill.entity.key)


def stage(
    connection: Connection, number: int, fill: Fill, transformed: TransformedFill,
    rejects_keys: Sequence[str], workspace: Storage, progress: Callable[[int], None],
) -> Staged:  # fmt: skip
    """Copy the fill's rows to a temporary table that vanishes with the transaction.

    `rejects_keys` name the files of rows that earlier stages rejected: they were sent all the same.

    Temporary tables write no WAL and leave nothing behind when the process is killed. `progress`
    is called with the number of rows copied so far.
    """
    staged = Staged(
        fill,
        transformed,
        sql.Identifier(f"staged_{number}"),
        sql.Identifier(f"staged_{number}_kept"),
        sql.Identifier(f"staged_{number}_scope"),
        tuple(name for name in transformed.columns if name in fill.entity.fields),
    )
    types = {name: sql_type(fill.entity.fields[name]) for name in staged.columns} | _EXTRAS
    if transformed.clears:
        types["_cleared"] = "text[]"
    definitions = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in types.items()
    )
    for name, columns in ((staged.name, definitions), (staged.kept_name, sql.SQL("key text"))):
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(name, columns)
        )
    _copy_rows(connection, staged, tuple(types), workspace, progress)
    _copy_rejected_keys(connection, staged, rejects_keys, workspace)
    # what the statements join by: with all columns it takes twice as long
    joined = [name for name in staged.columns if fill.entity.fields[name].type == "id"]
    columns = sql.SQL(", ").join(map(sql.Identifier, (*joined, "_deleted")))
    connection.execute(sql.SQL("ANALYZE {} ({})").format(staged.name, columns))
    return staged


def _copy_rows(
    connection: Connection, staged: Staged, columns: tuple[str, ...], workspace: Storage,
    progress: Callable[[int], None],
) -> None:  # fmt: skip
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        staged.name, sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    rows = 0
    with (
        workspace.reading(staged.transformed.rows_key) as stream,
        connection.cursor().copy(statement) as copy,
    ):
        for batch in batches(stream, columns):
            buffer = io.BytesIO()
            pyarrow.csv.write_csv(_as_csv_columns(batch, columns), buffer, options)
            copy.write(buffer.getbuffer())
            rows += batch.num_rows
            progress(rows)


def _as_csv_columns(batch: pa.RecordBatch, columns: tuple[str, ...]) -> pa.Table:
    arrays = []
    for name in columns:
        column = batch.column(batch.schema.get_field_index(name))
        if pa.types.is_list(column.type):
            column = _array_literals(column)
        arrays.append(column)
    return pa.table(arrays, names=list(columns))


def _array_literals(lists: pa.ListArray) -> pa.StringArray:
    """Lists of text as PostgreSQL's array literals, `{"a","b"}`; null stays null.

    Source: https://www.postgresql.org/docs/18/arrays.html#ARRAYS-IO
    """
    values = pc.replace_substring(pc.replace_substring(lists.flatten(), "\\", "\\\\"), '"', '\\"')
    quoted = pc.binary_join_element_wise('"', values, '"', "")
    # flatten() leaves null lists out, so lengths and not raw offsets rebuild the lists
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays(
        [pa.array([0], pa.int64()), pc.cumulative_sum(lengths.cast(pa.int64()))]
    )
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets.cast(pa.int32()), quoted), ",")
    literals = pc.binary_join_element_wise("{", joined, "}", "")
    return pc.if_else(lists.is_valid(), literals, pa.scalar(None, pa.string()))


def _copy_rejected_keys(
    connection: Connection, staged: Staged, rejects_keys: Sequence[str], workspace: Storage
) -> None:
    """Keys of rejected rows: such a row was sent, so its absence must not delete anything."""
    if not staged.fill.deletes_absent:
        return
    statement = sql.SQL("COPY {} FROM STDIN").format(staged.kept_name)
    with connection.cursor().copy(statement) as copy:
        for rejects_key in rejects_keys:
            with workspace.reading(rejects_key) as stream:
                keys = read_table(stream, columns=["key"])["key"]
            for value in pc.unique(keys).drop_null().to_pylist():
                copy.write_row((value,))
