"""Lines that the last load had are left unread, and with them the table is what it is when all is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl_lib.arrow_file import read_table, write_table
from etl_lib.config.mapping import FileFormat
from etl_lib.errors import EtlError
from etl_lib.extract.reader.columns import Expected, folded
from etl_lib.extract.reader.table import OpenedTable, open_table
from etl_lib.manifest import LINE_HASH, Snapshot
from etl_lib.rules.snapshots import SnapshotRows

NAMES = ("Id", "Name", "Note")
HEADER = ",".join(NAMES)
ODD_LINES = (
    "", ",,", '7,"Ana', 'Bo",x', '8,"a ""b""",c', "9,too,many,cells", "9,few", "1,a\rb,c", "2,\x00,c", "Id,Name,Note",
    "Note,Id,Name", '5,"two', 'lines",x', "4,é,ü", "Total,2,",
)  # fmt: skip
LINES = st.lists(
    st.one_of(
        st.integers(0, 30).map(lambda n: f"{n},Name {n},note {n}"),
        st.integers(0, 30).map(lambda n: f'{n},"Name, {n}",note'),
        st.sampled_from(ODD_LINES),
    ),
    max_size=40,
    unique=True,
)
PLAIN = [f"{n},Name {n},note" for n in range(12)]
NOWHERE = Snapshot(feed="", entity="", key="", sha256="", basis="")
ENDS = st.sampled_from(["\n", "\r\n"])


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("etl_lib.extract.reader.rows.BLOCK_BYTES", 64)
        patch.setattr("etl_lib.extract.reader.known._CHUNK_BYTES", 50)
        yield


def opened(path: Path) -> OpenedTable:
    expected = Expected({folded(name): name for name in NAMES}, tuple((c,) for c in NAMES))
    form = FileFormat.model_validate({"delimiter": ",", "quote": '"'})
    return open_table(path, form, expected, path.name, path.with_suffix(".utf8"))


def told(table: OpenedTable, rows: list[dict[str, object]]) -> list[object]:
    """All that is said of a file that was read."""
    reader = table.reader
    rows = sorted(rows, key=lambda row: str(row["_line"]).zfill(9))
    cells = [{name: row[name] for name in ("_line", *NAMES)} for row in rows]
    found = [cells, reader.rejected, reader.rows_read, reader.notes(), reader.second_table_line]
    if reader.second_table_line:  # refused: what else is said of it is of no use
        found = [reader.second_table_line]
    return found


def read(table: OpenedTable) -> list[dict[str, object]]:
    return [row for batch in table.reader.batches() for row in batch.to_pylist()]


def snapshot_of(rows: list[dict[str, object]], path: Path) -> SnapshotRows:
    """The rows as a load would remember them, here with their cells."""
    schema = pa.schema([(name, pa.string()) for name in NAMES] + [(LINE_HASH, pa.binary(16))])
    write_table(path, pa.Table.from_pylist(rows, schema))
    return SnapshotRows(path, NOWHERE)


def with_known(table: OpenedTable, snapshot: SnapshotRows) -> tuple[list[dict[str, object]], int]:
    """The rows of a file, those that were not read out of the snapshot; and how many those are."""
    rows = read(table)
    assert table.reader.known
    before = read_table(snapshot.path).to_pylist()
    unread = [
        {"_line": int(line), **before[place]}
        for lines, places in table.reader.known.found
        if len(lines)
        for line, place in zip(lines, places[0], strict=True)
    ]
    return rows + unread, len(unread)


@settings(max_examples=300, deadline=None)
@given(night=LINES, edits=st.lists(st.tuples(st.integers(0, 40), LINES), max_size=3), end=ENDS,
       last_ends=st.booleans())  # fmt: skip
@example(night=PLAIN, edits=[(5, ["1,a\rb,c"])], end="\n", last_ends=True)
@example(night=PLAIN, edits=[(5, ['7,"Ana', "6,Name 6,note", 'Bo",x'])], end="\n", last_ends=True)
def test_a_file_read_without_its_known_lines_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, night: list[str],
    edits: list[tuple[int, list[str]]], end: str, last_ends: bool,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("known")
    first, second = folder / "first.csv", folder / "second.csv"
    next_night = list(night)
    for at, lines in edits:
        next_night[at : at + 1] = lines
    for path, lines in ((first, night), (second, next_night)):
        path.write_text(end.join([HEADER, *lines]) + end * last_ends, newline="")
    try:
        before, whole, part = opened(first), opened(second), opened(second)
    except EtlError:
        return
    snapshot = snapshot_of(read(before.by_line({})), folder / "snapshot")
    part = part.by_line({"one": snapshot})
    rows, _ = with_known(part, snapshot)
    assert told(part, rows) == told(whole, read(whole))


def test_only_new_lines_are_read(tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    lines = [f"{n},Name {n},note" for n in range(50)]
    first.write_text("\n".join([HEADER, *lines]) + "\n")
    lines[7:9] = ["7,Another,note", "new,Name,note"]
    lines.insert(20, '"x","Ana\nBo",note')
    second.write_text("\n".join([HEADER, *lines]) + "\n")
    snapshot = snapshot_of(read(opened(first).by_line({})), tmp_path / "snapshot")
    part = opened(second).by_line({"one": snapshot})
    rows, unread = with_known(part, snapshot)
    assert (len(rows), unread) == (51, 48)


def test_a_line_that_one_of_the_snapshots_does_not_have_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("\n".join([HEADER, *(f"{n},Name {n},note" for n in range(50))]) + "\n")
    rows = read(opened(path).by_line({}))
    one = snapshot_of([row for row in rows if row["Id"] != "7"], tmp_path / "one")
    other = snapshot_of([row for row in reversed(rows) if row["Id"] != "9"], tmp_path / "other")
    table = opened(path).by_line({"one": one, "other": other})
    assert [row["Id"] for row in read(table)] == ["7", "9"]
    assert table.reader.known
    found = table.reader.known.found
    for at, snapshot in enumerate((one, other)):
        ids = read_table(snapshot.path)["Id"].to_pylist()
        assert [ids[place] for _, places in found for place in places[at]] == [
            str(n) for n in range(50) if n not in (7, 9)
        ]


def test_a_file_of_mostly_new_lines_is_read_whole(tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("\n".join([HEADER, *(f"{n},Name,note" for n in range(50))]) + "\n")
    second.write_text("\n".join([HEADER, *(f"{n},Name,note" for n in range(30, 80))]) + "\n")
    snapshot = snapshot_of(read(opened(first).by_line({})), tmp_path / "snapshot")
    rows, unread = with_known(opened(second).by_line({"one": snapshot}), snapshot)
    assert (len(rows), unread) == (50, 0)


def test_a_known_line_behind_an_empty_one_may_begin_another_table(tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    lines = [f"{n},{n * 3},2010-01-{n + 10}" for n in range(20)]
    first.write_text("\n".join([HEADER, *lines, "Code,Title,Words"]) + "\n")
    second.write_text("\n".join([HEADER, *lines, "", "Code,Title,Words"]) + "\n")
    snapshot = snapshot_of(read(opened(first).by_line({})), tmp_path / "snapshot")
    whole, part = opened(second), opened(second).by_line({"one": snapshot})
    read(whole)
    _, unread = with_known(part, snapshot)
    assert unread == 20
    assert part.reader.second_table_line == whole.reader.second_table_line == 23
