"""Reads the tables of a delivery, but for the lines that the last load had too; and reads them whole, when asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etl_lib.config.project import Fill, ResolvedMapping
from etl_lib.errors import AskTheSchool, Fault
from etl_lib.extract.archive import fetch
from etl_lib.extract.archived import Archived
from etl_lib.extract.contents import Contents
from etl_lib.extract.match import matches_of
from etl_lib.extract.names import is_encrypted
from etl_lib.extract.pgp import PgpKeys
from etl_lib.extract.reader.table import OpenedTable, open_member, read_table
from etl_lib.extract.scratch import scratch
from etl_lib.manifest import Extracted, Member, ReadTable, Snapshot
from etl_lib.rules.lookups import Lookups
from etl_lib.rules.snapshots import SnapshotRows, last_of, read_snapshot
from etl_lib.rules.unchanged import Headers, basis_of, is_known_by_line
from etl_lib.run import Progress, Run


def read_all(
    run: Run, members: Sequence[Member], paths: dict[str, Path], resolved: ResolvedMapping,
    folder: Path, snapshots: Sequence[Snapshot] = (),
) -> tuple[ReadTable, ...]:  # fmt: skip
    """Every table read, from `paths` by `Member.shown`; raises AskTheSchool with all faults of all files.

    `snapshots`: of the last load. `folder` is for scratch files.
    """
    faults: list[Fault] = []
    opened: dict[int, OpenedTable] = {}
    for number, member in enumerate(members):
        try:
            room = folder / f"{number}.utf8"
            opened[number] = open_member(paths[member.shown], member, resolved, room)
        except AskTheSchool as error:
            faults += error.faults
    columns = ((members[n].feed, one.columns(members[n].parts)) for n, one in opened.items())
    headers = Headers(resolved, tuple(columns))
    tables: list[ReadTable] = []
    for number, one in opened.items():
        by_line = _by_line(run, headers, members[number], one, snapshots, folder)
        try:
            tables.append(_read(run, number, members[number], by_line, resolved, folder))
        except AskTheSchool as error:
            faults += error.faults
    if faults:
        raise AskTheSchool(faults)
    return tuple(tables)


def read_whole(run: Run, extracted: Extracted) -> Extracted:
    """The delivery with every row read: tables of which lines were left out once more, out of the archive.

    Raises FixTheSetup (ARCHIVE_LOST) when the bytes are gone.
    """
    resolved, delivery = extracted.resolved, extracted.delivery
    again = {
        number: (member, table)
        for number, (member, table) in enumerate(
            zip(delivery.members, extracted.tables, strict=False)
        )
        if table.known
    }
    source = Archived(delivery, resolved, run.archive)
    names = {member.file for member, _ in again.values()}
    files = [file for file in source.list().files if file.name in names]
    tables = list(extracted.tables)
    with scratch() as rooms:
        contents = Contents(
            fetch(source, files, run.archive, rooms), resolved.mapping, rooms, _no_keys
        )
        if faults := contents.find_tables(tuple(matches_of(resolved.mapping, files))):
            raise AskTheSchool(faults)
        for number, (member, table) in again.items():
            room = rooms.folder / f"{number}.utf8"
            opened = open_member(contents.paths[member.shown], member, resolved, room)
            by_line = _ByLine(opened.by_line({}), table.line_form)
            tables[number] = _read(run, number, member, by_line, resolved, rooms.folder)
    return extracted.model_copy(update={"tables": tuple(tables)})


def _no_keys() -> PgpKeys:
    raise LookupError("lines of an encrypted file are never left out")


def _read(
    run: Run, number: int, member: Member, by_line: _ByLine, resolved: ResolvedMapping, folder: Path
) -> ReadTable:
    def progress(rows: int) -> None:
        run.progress(Progress("extract", member.shown, rows))

    return read_table(
        by_line.opened, member, number, resolved, run.workspace, folder, progress,
        by_line.form,
    )  # fmt: skip


@dataclass(frozen=True)
class _ByLine:
    """A table to be read; `form`: how its lines are written, where a line says all about its rows."""

    opened: OpenedTable
    form: str = ""


def _by_line(
    run: Run, headers: Headers, member: Member, opened: OpenedTable, snapshots: Sequence[Snapshot],
    folder: Path,
) -> _ByLine:  # fmt: skip
    """The table without the lines that the last load had."""
    fills = [one for one in headers.resolved.fills() if one.feed_name == member.feed]
    if (
        not fills
        or opened.dialect.page_headers
        or fills[0].feed.format.footer
        or is_encrypted(member.file)  # to read it whole later, nobody has the key any more
        or not all(is_known_by_line(run, headers, fill) for fill in fills)
    ):
        return _ByLine(opened)
    form = _form_of(opened, member, fills)
    before: dict[str, SnapshotRows] = {}
    for fill in fills:
        entity = fill.entity.entity
        last = last_of(snapshots, fill, basis_of(headers, fill, Lookups(run.client_id, {})))
        rows = read_snapshot(run.archive, last, folder / f"{entity}.snapshot")
        if rows is None or rows.form != form.encode():
            return _ByLine(opened.by_line({}), form)
        before[entity] = rows
    return _ByLine(opened.by_line(before), form)


def _form_of(opened: OpenedTable, member: Member, fills: Sequence[Fill]) -> str:
    """How the lines are written: the same line written in another way is another row."""
    one = opened.dialect
    used = {column for fill in fills for column in fill.rules.source_columns}
    parts = {name: value for name, value in member.parts.items() if f"{{{name}}}" in used}
    said = (
        opened.encoding, one.delimiter, one.quote, one.backslash, one.blank_after_delimiter, one.widths,
        one.header, one.header_line > 0, sorted(opened.wanted.items()), sorted(parts.items()),
    )  # fmt: skip
    return hashlib.sha256(repr(said).encode()).hexdigest()
