"""Reads bytes as a file of a school whose mapping expects three columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from etl_lib.arrow_file import read_table as read_rows
from etl_lib.config.mapping import FileFormat
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.extract.reader.columns import Expected, folded
from etl_lib.extract.reader.table import OpenedTable, open_member, open_table, read_table
from etl_lib.manifest import Member, ReadTable
from etl_lib.storage import Storage

if TYPE_CHECKING:
    from tests.extract.schools import School

INCLUDE = Path(__file__).parents[2] / "include"
COLUMNS = {"person_id": "Id", "given_name": ["Name", "First Name"], "family_name": "Last"}


@dataclass(frozen=True)
class ReadFile:
    """What came out: rows as (line, cells of Id, Name, Last), rejected lines with their code."""

    rows: list[tuple[object, ...]]
    rejected: list[tuple[int, str]]
    table: ReadTable


def resolved_school(folder: Path, **feed: object) -> ResolvedMapping:
    """A mapping of one feed `people` with `COLUMNS`; `feed` are more keys of the feed."""
    include = folder / "include"
    (include / "mappings").mkdir(parents=True, exist_ok=True)
    for name in ("entities", "templates", "environments", "base.yaml"):
        if not (include / name).exists():
            (include / name).symlink_to(INCLUDE / name)
    person = {"columns": {**COLUMNS, "status": {"constant": "active"}}}
    data = {"client": "C", "sis": "S", "owner": "O",
            "feeds": {"people": {"file": "people.csv", "entities": {"person": person}, **feed}}}  # fmt: skip
    (include / "mappings" / "school.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    return Project(include, "development").resolve("school")


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., ReadFile]:
    """`read(bytes, **keys of the feed)`; raises AskTheSchool as extract does."""

    def do(data: bytes, **feed: object) -> ReadFile:
        path = tmp_path / "people.csv"
        path.write_bytes(data)
        workspace = Storage.local(tmp_path / "workspace")
        member = Member(feed="people", sha256="0", file="people.csv")
        resolved = resolved_school(tmp_path, **feed)
        opened = open_member(path, member, resolved, tmp_path / "utf8")
        table = read_table(opened, member, 0, resolved, workspace, tmp_path, lambda _: None)
        with workspace.reading(table.rows_key) as stream:
            found = read_rows(stream).to_pylist()
        with workspace.reading(table.rejects_key) as stream:
            rejects = read_rows(stream).to_pylist()
        names = ("_line", "Id", "Name", "Last")
        rows = [tuple(row.get(name, row.get("First Name")) for name in names) for row in found]
        return ReadFile(rows, [(r["line"], r["code"]) for r in rejects], table)

    return do


@dataclass(frozen=True)
class Scanned:
    """What the reader makes of bytes: rows as (line, cells), rejected lines with their code."""

    rows: list[tuple[object, ...]]
    rejected: list[tuple[int, str]]
    opened: OpenedTable


def scan_file(
    path: Path, columns: Sequence[str] = ("Id", "Name", "Last"), **form: object
) -> Scanned:
    """Read a file whose mapping expects `columns`; `form` are keys of its format."""
    expected = Expected({folded(name): name for name in columns}, tuple((c,) for c in columns))
    opened = open_table(
        path, FileFormat.model_validate(form), expected, path.name, path.with_suffix(".utf8")
    )
    rows = [
        row
        for table in opened.reader.batches()
        for row in zip(*table.to_pydict().values(), strict=True)
    ]
    assert opened.reader.rows_read == len(rows) + len(opened.reader.rejected)
    return Scanned(rows, opened.reader.rejected, opened)


@pytest.fixture
def scan(tmp_path: Path) -> Callable[..., Scanned]:
    """`scan(bytes, columns, **keys of the format)`; raises AskTheSchool as extract does."""

    def do(data: bytes, columns: Sequence[str] = ("Id", "Name", "Last"), **form: object) -> Scanned:
        path = tmp_path / "scanned.csv"
        path.write_bytes(data)
        return scan_file(path, columns, **form)

    return do


@pytest.fixture
def school(tmp_path: Path) -> School:
    """A school with an empty inbox."""
    from tests.extract.schools import School

    (tmp_path / "inbox").mkdir()
    return School(tmp_path)
