"""Reads one table of a delivery into Parquet, or says everything that is wrong with the file."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.lib import StringBuilder  # pa.array would import pandas, a third of the pass

from etl_lib.config.mapping import FileFormat
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import AskTheSchool
from etl_lib.extract.reader.columns import Expected
from etl_lib.extract.reader.dialect import Dialect
from etl_lib.extract.reader.encoding import is_utf8_instead, open_text
from etl_lib.extract.reader.header import find_table
from etl_lib.extract.reader.rows import RowReader
from etl_lib.manifest import Member, ReadTable
from etl_lib.storage import Storage

# Read once, whole, by our own stages: a dictionary and statistics cost a third of the pass for nothing.
_CHEAP = {"use_dictionary": False, "write_statistics": False}
REJECT_SCHEMA = pa.schema(
    [("file", pa.string()), ("line", pa.int64()), ("key", pa.string()), ("column", pa.string()), ("code", pa.string())]
)  # fmt: skip


@dataclass(frozen=True)
class OpenedTable:
    """A file that is a table: how it is written, which of its columns are wanted, its rows to be read.

    `wanted`: place in the file to the mapping's name. `unknown`: headers that nobody asked for.
    """

    encoding: str
    dialect: Dialect
    wanted: dict[int, str]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    reader: RowReader

    def refuse_second_table(self, shown: str) -> None:
        """Raise AskTheSchool (FILE_SEVERAL_TABLES) when another table was found; once all is read."""
        if self.reader.second_table_line:
            where = f"{shown}, line {self.reader.second_table_line}"
            raise AskTheSchool.of("FILE_SEVERAL_TABLES", "Another table begins here.", where)


def open_table(
    path: Path, form: FileFormat, expected: Expected, shown: str, scratch: Path,
    extra_columns: str = "ignore",
) -> OpenedTable:  # fmt: skip
    """Find out how the file is written and where its table begins; `scratch` is a path for a UTF-8 copy.

    Raises AskTheSchool with every fault of the file: no table, no header, columns missing or repeated.
    """
    if is_utf8_instead(path, form.encoding):
        said = f"Agreed is the encoding {form.encoding}, the file has UTF-8."
        raise AskTheSchool.of("FILE_ENCODING", said, shown)
    text = open_text(path, form.encoding, scratch)
    dialect = find_table(text, form, expected, shown)
    if faults := expected.faults(
        dialect.header, f"{shown}, line {dialect.header_line}", extra_columns
    ):
        raise AskTheSchool(faults)
    columns = expected.match(dialect.header)
    wanted = {place: column for place, column in enumerate(columns) if column is not None}
    footer = re.compile(form.footer.encode(), re.MULTILINE) if form.footer else None
    unknown = [
        cell.strip() for cell, column in zip(dialect.header, columns, strict=True) if column is None
    ]
    return OpenedTable(
        encoding=text.encoding,
        dialect=dialect,
        wanted=wanted,
        unknown=tuple(name for name in unknown if name),
        notes=(*text.notes, *dialect.notes, *expected.notes(dialect.header)),
        reader=RowReader(text.path, dialect, wanted, footer),
    )


def read_table(
    path: Path, member: Member, number: int, resolved: ResolvedMapping, workspace: Storage,
    folder: Path, progress: Callable[[int], None],
) -> ReadTable:  # fmt: skip
    """One pass over a table's bytes at `path`: accepted rows and rejected lines to the workspace.

    Raises AskTheSchool with every fault of the file: no table, no header, columns missing or
    repeated, empty. `folder` is for scratch files.
    """
    feed = resolved.mapping.feeds[member.feed]
    expected = Expected.of(feed, resolved)
    opened = open_table(
        path, feed.format, expected, member.shown, folder / f"{number}.utf8", feed.extra_columns
    )
    reader, wanted = opened.reader, opened.wanted
    rows_key, rejects_key = f"extract/rows-{number}.parquet", f"extract/rejects-{number}.parquet"
    accepted = write_rows(reader, member, wanted, folder / f"{number}.parquet", progress)
    _refuse_emptiness(reader, feed.allow_empty, opened.dialect, member.shown)
    assert reader.rows_read == accepted + reader.rows_rejected, (
        f"{member.shown}: rows do not add up"
    )
    opened.refuse_second_table(member.shown)
    workspace.put_file(folder / f"{number}.parquet", rows_key)
    _write_rejects(reader, member.shown, folder / f"{number}.rejects")
    workspace.put_file(folder / f"{number}.rejects", rejects_key)
    return ReadTable(
        feed=member.feed,
        shown=member.shown,
        rows_key=rows_key,
        rejects_key=rejects_key,
        rows_read=reader.rows_read,
        rows_accepted=accepted,
        rows_rejected=reader.rows_rejected,
        columns=(*wanted.values(), *(f"{{{part}}}" for part in member.parts)),
        unknown_columns=opened.unknown,
        notes=(*opened.notes, *reader.notes()),
    )


def write_rows(
    reader: RowReader, member: Member, wanted: dict[int, str], path: Path,
    progress: Callable[[int], None],
) -> int:  # fmt: skip
    """Stream the accepted rows to a Parquet file as manifest.ReadTable says; gives how many they are."""
    parts = {f"{{{name}}}": value for name, value in member.parts.items()}
    names = [*wanted.values(), *parts]
    schema = pa.schema([("_line", pa.int64()), *((name, pa.string()) for name in names)])
    accepted = 0
    with pq.ParquetWriter(path, schema, compression="lz4", **_CHEAP) as writer:
        for table in reader.batches():
            for name, value in parts.items():
                column = pa.repeat(pa.scalar(value), table.num_rows)
                table = table.append_column(name, column)
            writer.write_table(table)
            accepted += table.num_rows
            progress(accepted)
    return accepted


def _refuse_emptiness(reader: RowReader, allowed: bool, dialect: Dialect, shown: str) -> None:
    if reader.rows_read or allowed:
        return
    where = f"{shown}, line {dialect.header_line}"
    raise AskTheSchool.of("FILE_HEADER_ONLY", "The file has a header and no row.", where)


def _write_rejects(reader: RowReader, shown: str, path: Path) -> None:
    lines = array("q", (line for line, _ in reader.rejected))
    codes = StringBuilder()
    codes.append_values([code for _, code in reader.rejected])
    count = len(lines)
    files, nothing = StringBuilder(), pa.nulls(count, pa.string())
    files.append_values([shown] * count)
    numbers = pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(lines)])
    columns = [files.finish(), numbers, nothing, nothing, codes.finish()]
    pq.write_table(pa.table(columns, schema=REJECT_SCHEMA), path)
