"""Reads one table of a delivery into an Arrow file, or says everything that is wrong with the file."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from pyarrow.lib import StringBuilder  # pa.array would import pandas, a third of the pass

from etl_lib import arrow_file
from etl_lib.config.mapping import FileFormat
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import AskTheSchool
from etl_lib.extract.reader.columns import Expected
from etl_lib.extract.reader.dialect import Dialect
from etl_lib.extract.reader.encoding import is_utf8_instead, open_text
from etl_lib.extract.reader.header import find_table
from etl_lib.extract.reader.known import KnownLines
from etl_lib.extract.reader.rows import RowReader
from etl_lib.manifest import LINE_HASH, KnownFill, KnownRows, Member, ReadTable
from etl_lib.rules.facts import facts_at
from etl_lib.rules.snapshots import HASH, Numbers, SnapshotRows
from etl_lib.storage import Storage

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

    def columns(self, parts: dict[str, str]) -> tuple[str, ...]:
        """See manifest.ReadTable, of a file whose name has these parts."""
        return (*self.wanted.values(), *(f"{{{part}}}" for part in parts))

    def by_line(self, snapshots: Mapping[str, SnapshotRows]) -> OpenedTable:
        """The same, to be read without the lines that stand in all of the snapshots, if there are any."""
        reader = self.reader
        begin, end = reader.dialect.rows_begin_at, reader.ends_at
        known = KnownLines.of(reader.path, begin, end, snapshots)
        return replace(self, reader=replace(reader, known=known))

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


def open_member(
    path: Path, member: Member, resolved: ResolvedMapping, scratch: Path
) -> OpenedTable:
    """See open_table, for a feed of the mapping."""
    feed = resolved.mapping.feeds[member.feed]
    expected = Expected.of(feed, resolved)
    return open_table(path, feed.format, expected, member.shown, scratch, feed.extra_columns)


def read_table(
    opened: OpenedTable, member: Member, number: int, resolved: ResolvedMapping, workspace: Storage,
    folder: Path, progress: Callable[[int], None], form: str = "",
) -> ReadTable:  # fmt: skip
    """One pass over a table's bytes: accepted rows and rejected lines to the workspace.

    `form`: of a table that was opened `by_line`; see manifest.ReadTable.line_form. Raises AskTheSchool for a file
    without rows or with a second table. `folder` is for scratch files.
    """
    feed = resolved.mapping.feeds[member.feed]
    reader, wanted = opened.reader, opened.wanted
    rows_key, rejects_key = f"extract/rows-{number}.arrow", f"extract/rejects-{number}.arrow"
    accepted = write_rows(reader, member, wanted, folder / f"{number}.arrow", progress)
    known = None
    if reader.known and reader.known.snapshots:
        key = f"extract/known-{number}.arrow"
        workspace.put_file(_written(reader.known, folder / f"{number}.known"), key)
        fills = tuple(_known_fills(reader.known))
        known = KnownRows(key=key, rows=reader.known.rows, fills=fills)
        accepted += known.rows
    _refuse_emptiness(reader, feed.allow_empty, opened.dialect, member.shown)
    assert reader.rows_read == accepted + reader.rows_rejected, (
        f"{member.shown}: rows do not add up"
    )
    opened.refuse_second_table(member.shown)
    workspace.put_file(folder / f"{number}.arrow", rows_key)
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
        columns=opened.columns(member.parts),
        unknown_columns=opened.unknown,
        notes=(*opened.notes, *reader.notes()),
        known=known,
        line_form=form,
    )


def _known_fills(known: KnownLines) -> Iterator[KnownFill]:
    """What is remembered of the lines that were not read, by entity."""
    for at, (entity, rows) in enumerate(known.snapshots.items()):
        found = facts_at(rows, (places[at] for _, places in known.found))
        left_out = known.rows - found.rows
        yield KnownFill(
            entity=entity, snapshot=rows.about, rows_filtered=left_out, facts=found.facts
        )


def _written(known: KnownLines, path: Path) -> Path:
    """The lines that were not read as manifest.KnownRows says."""
    schema = pa.schema([(name, pa.int32()) for name in ("_line", *known.snapshots)])
    with arrow_file.written(path, schema) as writer:
        for lines, places in known.found:
            columns = [_int32(one) for one in (lines, *places)]
            writer.write_table(pa.table(columns, schema=schema))
    return path


def _int32(values: Numbers) -> pa.Int32Array:
    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(values)])


def write_rows(
    reader: RowReader, member: Member, wanted: dict[int, str], path: Path,
    progress: Callable[[int], None],
) -> int:  # fmt: skip
    """Stream the accepted rows, but for known ones, to an Arrow file as manifest.ReadTable says; how many."""
    parts = {f"{{{name}}}": value for name, value in member.parts.items()}
    names = [*wanted.values(), *parts]
    hashes = [(LINE_HASH, HASH)] if reader.known else []
    schema = pa.schema([("_line", pa.int64()), *((name, pa.string()) for name in names), *hashes])
    accepted = 0
    with arrow_file.written(path, schema) as writer:
        for table in reader.batches():
            for name, value in parts.items():
                column = pa.repeat(pa.scalar(value), table.num_rows)
                table = table.append_column(name, column)
            writer.write_table(table.select(schema.names))
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
    arrow_file.write_table(path, pa.table(columns, schema=REJECT_SCHEMA))
