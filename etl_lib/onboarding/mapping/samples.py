"""A school's sample files as tables: archives opened, each file read by the reader of the pipeline."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.config.mapping import FileFormat
from etl_lib.errors import AskTheSchool, Fault, FixTheSetup
from etl_lib.extract import LocalSource
from etl_lib.extract import names as file_names
from etl_lib.extract.kinds import kind_of_file
from etl_lib.extract.packing import Packed
from etl_lib.extract.reader.columns import Expected, folded
from etl_lib.extract.reader.guess import guess
from etl_lib.extract.reader.table import OpenedTable, open_table
from etl_lib.extract.scratch import Scratch, scratch
from etl_lib.onboarding.mapping.content import Content

MOST_ROWS = 1_000_000  # of a larger sample its beginning says enough
PART = "_part"
_MANIFEST = "manifest.csv"
_HEADER_WITHIN, _LEAST_NAMES = 20, 3
_SEVERAL_WORDS = re.compile(
    r"\w[\W_]\w|[a-z][A-Z]"
)  # a single word (student, active) may be a value


@dataclass(frozen=True)
class Sample:
    """One table among the sample files.

    `shown` is its name for people, `name` its own without archive, folders and packing, `packed_in`
    the zip archive's name. `columns` hold the file's own header names, `cells` their texts; where
    several files are one sample, PART tells them apart.
    """

    shown: str
    name: str
    packed_in: str | None
    columns: dict[str, Content]
    rows: int
    rejected: int
    notes: tuple[str, ...]
    cells: pa.Table = field(repr=False, compare=False)

    @property
    def headers(self) -> tuple[str, ...]:
        """The header names in the file's order."""
        return tuple(self.columns)

    def distinct_share(self, columns: Sequence[str]) -> float:
        """How many different combinations the columns have, of all rows: 1 when each row has its own."""
        if not self.rows or not set(columns) <= self.columns.keys():
            return 0.0
        part = (
            [PART] if PART in self.cells.column_names else []
        )  # each file may have all its keys again
        groups = self.cells.group_by([*dict.fromkeys(columns), *part]).aggregate([])
        return float(groups.num_rows / self.rows)

    def follows(self, key: Sequence[str], column: str) -> float:
        """The share of keys for which `column` says one and the same thing in all their rows."""
        names = list(dict.fromkeys(key))
        if not self.rows or column in names:
            return 1.0
        pairs = self.cells.group_by([*names, column]).aggregate([])
        keys = pairs.group_by(names).aggregate([(column, "count")])
        same = pc.sum(pc.less_equal(keys[f"{column}_count"], 1)).as_py() or 0
        return float(same / keys.num_rows)


@dataclass(frozen=True)
class Samples:
    """Every table of a folder, and what could not be read and why."""

    tables: tuple[Sample, ...]
    unread: tuple[Fault, ...] = ()


def read_samples(folder: Path, known_headers: Sequence[str] = ()) -> Samples:
    """Read all sample files directly in `folder`, loose or in archives; nothing is kept.

    `known_headers`: names by which a header is found in a file that does not show its own clearly.
    Raises FixTheSetup when there is no such folder, AskTheSchool with all the reasons when none of
    its files is a table.
    """
    if not folder.is_dir():
        raise FixTheSetup.of("SOURCE_UNAVAILABLE", f"There is no folder `{folder}`.")
    tables: list[Sample] = []
    unread: list[Fault] = []
    with scratch() as rooms:
        for packed, member in _tables_in(folder, rooms, unread):
            shown = f"{packed.shown}/{member}" if member else packed.shown
            own = file_names.own_name(member or packed.name).removesuffix(".gz")
            if own.lower() == _MANIFEST:
                continue
            try:
                path = _unpacked(packed, member, rooms)
                sample = _read(
                    path, shown, own, packed.shown if member else None, known_headers, rooms
                )
                tables.append(sample)
            except AskTheSchool as error:
                unread += error.faults
    if not tables:
        none = Fault(
            "FILE_MISSING", "There is no file in the folder that could be read.", str(folder)
        )
        raise AskTheSchool(unread or [none])
    return Samples(tuple(tables), tuple(unread))


def _tables_in(
    folder: Path, rooms: Scratch, unread: list[Fault]
) -> Iterator[tuple[Packed, str | None]]:
    """Each file, or each member of a zip, that may be a table; what is not touched goes to `unread`."""
    source = LocalSource(folder)
    listing = source.list()
    for one in listing.refused:
        if not one.is_folder:
            unread.append(
                Fault(
                    "FILE_NAME_REFUSED",
                    f"It is not touched: {one.why}.",
                    file_names.shown(one.name),
                )
            )
    for file in listing.files:
        if file_names.is_encrypted(file.name):
            text = "It is encrypted; samples are read as they are."
            unread.append(Fault("FILE_ENCRYPTION", text, file.name))
            continue
        path = rooms.new("original")
        with path.open("wb") as target:
            source.download(file.name, target)
        packed = Packed(path, file.name, file.name)
        if not packed.is_zip:
            yield packed, None
            continue
        try:
            yield from ((packed, member) for member in packed.wanted("*"))
        except AskTheSchool as error:
            unread += error.faults


def _unpacked(packed: Packed, member: str | None, rooms: Scratch) -> Path:
    if member is not None or packed.is_gzip:
        path = rooms.new()
        packed.unpack(member, path)
        return path
    if what := kind_of_file(packed.path):
        raise AskTheSchool.of("FILE_NOT_A_TABLE", f"The file is {what}, not CSV.", packed.shown)
    return packed.path


def _read(
    path: Path, shown: str, name: str, packed_in: str | None, known: Sequence[str], rooms: Scratch
) -> Sample:
    opened = _opened(path, shown, known, rooms)
    batches: list[pa.Table] = []
    rows = 0
    for batch in opened.reader.batches():
        batches.append(batch)
        rows += batch.num_rows
        if rows >= MOST_ROWS:
            break
    columns = _nameable(list(opened.wanted.values()), opened.dialect.header)
    schema = pa.schema([("_line", pa.int64()), *((name, pa.string()) for name in columns)])
    cells = pa.concat_tables(
        [schema.empty_table(), *(batch.select(schema.names) for batch in batches)]
    )
    contents = {column: _content(cells[column]) for column in columns}
    notes = (*opened.notes, *opened.reader.notes())
    return Sample(
        shown,
        name,
        packed_in,
        contents,
        rows,
        opened.reader.rows_rejected,
        notes,
        cells.drop(["_line"]),
    )


def _nameable(names: list[str], header: Sequence[str]) -> list[str]:
    """The columns that a mapping can name: not those without a name, or with one that stands twice."""
    times = Counter(map(folded, header))
    return [name for name in names if times[folded(name)] == 1] or names


def _opened(path: Path, shown: str, known: Sequence[str], rooms: Scratch) -> OpenedTable:
    """The table under its own header names; raises AskTheSchool where no header can be found."""
    found = guess(path, shown, rooms.new())
    if found.form.header:
        return open_table(path, found.form, found.expected, shown, rooms.new())
    # cells of a header may be empty: then it is the row most of whose cells are names that are known
    form = found.form.model_copy(update={"skip_lines": 0})
    names = _named_row(open_table(path, form, found.expected, shown, rooms.new()), known)
    if not names:
        text = "No header could be found: which column is which must be said in the mapping."
        raise AskTheSchool.of("FILE_HEADER_NOT_FOUND", text, shown)
    expected = Expected({folded(name): name for name in names}, tuple((name,) for name in names))
    return open_table(path, FileFormat(), expected, shown, rooms.new())


def _named_row(opened: OpenedTable, known: Sequence[str]) -> list[str]:
    """The names of the first row, of those before the table, that is a header for all we know."""
    folds = {folded(name) for name in known}
    for batch in opened.reader.batches():
        for row in batch.slice(0, _HEADER_WITHIN).drop(["_line"]).to_pylist():
            cells = [cell.strip() for cell in row.values() if cell and cell.strip()]
            times = Counter(map(folded, cells))
            names = [cell for cell in cells if times[folded(cell)] == 1]
            known_names = [name for name in names if folded(name) in folds]
            telling = sum(bool(_SEVERAL_WORDS.search(name)) for name in known_names)
            if len(names) >= _LEAST_NAMES and (len(known_names) * 2 > len(names) or telling > 1):
                return names
        break
    return []


def _content(cells: pa.ChunkedArray) -> Content:
    counted = pc.value_counts(cells)
    return Content.of(
        zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    )
