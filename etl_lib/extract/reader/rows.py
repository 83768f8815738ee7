"""The reading pass of one table: plain lines through Arrow's parser, doubtful ones by the strict reader.

A line goes the fast way only when nothing can make it anything but a row (see block.look_over); then
the result cannot be wrong. Every other line is read by itself, and what cannot be read with certainty
is rejected with its number. So a broken row costs its own lines, and time only for those.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from etl_lib.extract.reader.block import (
    LONGEST_FIELD_BYTES,
    Lines,
    joined,
    lines_that_begin_with,
    look_over,
)
from etl_lib.extract.reader.columns import folded
from etl_lib.extract.reader.dialect import Dialect
from etl_lib.extract.reader.footer import footer_begins_at
from etl_lib.extract.reader.known import KnownLines
from etl_lib.extract.reader.letters import composed_cells
from etl_lib.extract.reader.records import Record
from etl_lib.extract.reader.strict import Reject, StrictReader
from etl_lib.manifest import LINE_HASH

BLOCK_BYTES = 4 * 1024 * 1024
Places = npt.NDArray[np.int64]


_LONGEST_LINE_BYTES = 4 * LONGEST_FIELD_BYTES


@dataclass(frozen=True)
class _Rows:
    """Rows of a block: the place of each one's first line among the block's lines, and their cells."""

    places: Places
    cells: pa.Table

    def only(self, keep: npt.NDArray[np.bool_]) -> _Rows:
        return self if keep.all() else _Rows(self.places[keep], self.cells.filter(_mask(keep)))


@dataclass
class RowReader:
    """Reads the rows of a UTF-8 file: batches of (`_line`, wanted columns), rejected lines apart.

    `wanted` maps a column's place in the file to the mapping's name. `footer`: from the first line
    that it matches on there are no rows. `known`: lines that are rows and need not be read; the batches
    then have LINE_HASH as well. When `batches` has ended, `rows_read` = rows given + `rows_rejected` +
    `known.rows`, and `second_table_line` is the line in which another table begins, 0 for none.
    """

    path: Path
    dialect: Dialect
    wanted: Mapping[int, str]
    footer: re.Pattern[bytes] | None = None
    known: KnownLines | None = None
    rows_read: int = 0
    repeated_headers: int = 0
    empty_lines: int = 0
    second_table_line: int = 0
    _lines: array[int] = field(default_factory=lambda: array("q"))
    _codes: list[str] = field(default_factory=list)

    @property
    def rejected(self) -> list[tuple[int, str]]:
        """Line and code of every rejected row, in the order of the file."""
        return list(zip(self._lines, self._codes, strict=True))

    @property
    def rows_rejected(self) -> int:
        """How many rows were rejected."""
        return len(self._lines)

    @cached_property
    def ends_at(self) -> int:
        """The byte behind the last row, as far as the file's end tells."""
        return footer_begins_at(self.path, self.dialect)

    def notes(self) -> list[str]:
        """What is worth telling of the rows that were read."""
        found = []
        if self.repeated_headers:
            found.append(f"{self.repeated_headers} repeated headers left out")
        if self.second_table_line:
            found.append(f"another table begins in line {self.second_table_line}")
        if self.empty_lines:
            found.append(f"{self.empty_lines} lines without any value left out")
        return found

    def batches(self) -> Iterator[pa.Table]:
        """Tables of `_line` int64 and string columns, in the order of the file; see the class on LINE_HASH."""
        line = self.dialect.first_row_line
        left = self.ends_at - self.dialect.rows_begin_at
        rest = b""
        with self.path.open("rb") as stream:
            stream.seek(self.dialect.rows_begin_at)
            ended = False
            while not ended:
                chunk = stream.read(min(BLOCK_BYTES, left))
                # with its last line whole, a block need not be copied again to be put together
                chunk += stream.readline(min(_LONGEST_LINE_BYTES, left - len(chunk)))
                left -= len(chunk)
                block, ended = rest + chunk, not chunk
                if not ended:
                    cut = block.rfind(b"\n") + 1
                    if not cut and len(block) < _LONGEST_LINE_BYTES:
                        rest = block
                        continue
                    block, rest = block[: cut or len(block)], block[cut or len(block) :]
                else:
                    rest = b""
                if self.footer and (found := self.footer.search(block)):
                    block, rest, ended = block[: found.start()], b"", True
                if block:
                    table, used, lines = self._read(block, line, is_last=ended)
                    rest, line = block[used:] + rest, line + lines
                    if table.num_rows:
                        yield table
            if not self.footer:
                self._reject_footer(stream.read(), line)

    def _reject_footer(self, tail: bytes, line: int) -> None:
        """The lines below the rows; nobody has agreed that they may be left out."""
        lines = look_over(tail, self.dialect)
        found = np.flatnonzero(~lines.empty)
        self.rows_read += len(found)
        self._lines.extend(line + int(at) for at in found)
        self._codes.extend(["ROW_FOOTER"] * len(found))

    def _read(self, block: bytes, line: int, is_last: bool) -> tuple[pa.Table, int, int]:
        """A block's rows, how many of its bytes were used, and how many lines those are."""
        lines, known = self._looked_over(block, is_last)
        stop, plain = len(lines), np.zeros(len(lines), np.bool_)
        if self.second_table_line:
            rows, rejects = self._no_rows, self._all_of_another_table(lines)
        else:
            judged = self._strict.judge(block, lines, is_last)
            stop = judged.stop
            plain = ~(lines.doubtful | lines.empty | judged.taken)
            plain[stop:] = False
            rows, wrong = self._plain(block, lines, plain & ~known)
            rows = self._with(rows, judged.rows)
            rejects = sorted([*judged.rejects, *wrong])
        self.rows_read += len(rows.places) + len(rejects)
        if not self.second_table_line:
            rows, rejects = self._of_this_table(rows, rejects, block, lines, line)
        self.empty_lines += int(np.count_nonzero(lines.empty[:stop]))
        self._lines.extend(line + at for at, _ in rejects)
        self._codes.extend(code for _, code in rejects)
        table = composed_cells(rows.cells.add_column(0, "_line", _int64(rows.places + line)))
        used = len(block) if stop == len(lines) else int(lines.starts[stop])
        if self.known:
            self.rows_read += self.known.keep(np.flatnonzero(known & plain), line)
            hashes = self.known.hashes_at(block, len(lines), rows.places, plain, is_last)
            table = table.append_column(LINE_HASH, hashes)
            self.known.passed(block, used)
        return table, used, stop

    def _looked_over(self, block: bytes, is_last: bool) -> tuple[Lines, npt.NDArray[np.bool_]]:
        """The block's lines, and which of them are known."""
        if self.known:
            return self.known.look_over(block, self.dialect, is_last)
        lines = look_over(block, self.dialect)
        return lines, np.zeros(len(lines), np.bool_)

    @cached_property
    def _strict(self) -> StrictReader:
        return StrictReader(self.path, self.dialect)

    @cached_property
    def _no_rows(self) -> _Rows:
        columns = [pa.nulls(0, pa.string()) for _ in self.wanted]
        return _Rows(np.empty(0, dtype=np.int64), pa.table(columns, list(self.wanted.values())))

    # --- rows of plain lines and of doubtful ones ----------------------------------------------------

    def _plain(
        self, block: bytes, lines: Lines, plain: npt.NDArray[np.bool_]
    ) -> tuple[_Rows, list[Reject]]:
        """The plain lines through Arrow; those of another number of values are rejected."""
        places = np.flatnonzero(plain)
        if not len(places):
            return self._no_rows, []
        if self.dialect.widths:
            return self._cut(block, lines, places)
        data = block if len(places) == len(lines) else joined(block, lines, plain)
        if self.dialect.blank_after_delimiter:
            sign = self.dialect.delimiter.encode()
            data = data.replace(sign + b" ", sign)
        table, refused = _parsed(data, self.dialect, list(self.wanted))
        rejects = [(int(places[at]), "ROW_FIELD_COUNT") for at in refused]
        places = np.delete(places, refused) if refused else places
        assert table.num_rows == len(places), "a plain line is one row"
        return _Rows(places, table.rename_columns(list(self.wanted.values()))), rejects

    def _cut(self, block: bytes, lines: Lines, places: Places) -> tuple[_Rows, list[Reject]]:
        """Lines of columns of fixed width; a longer one is none, nor is one that ends too early."""
        spans = zip(lines.starts[places], lines.ends[places], strict=True)
        texts = pa.array([block[start:end].decode() for start, end in spans], pa.string())
        widths = self.dialect.widths
        begins = [sum(widths[:n]) for n in range(len(widths) + 1)]
        lengths = pc.utf8_length(pc.utf8_rtrim(texts, characters=" ")).to_numpy()
        bad = lengths > begins[-1]
        texts = texts.filter(_mask(~bad))
        columns = [
            pc.utf8_trim(pc.utf8_slice_codeunits(texts, begins[at], begins[at + 1]), characters=" ")
            for at in self.wanted
        ]
        rejects = [(int(at), "ROW_WIDTH") for at in places[bad]]
        return _Rows(places[~bad], pa.table(columns, list(self.wanted.values()))), rejects

    def _with(self, rows: _Rows, certain: Sequence[tuple[int, list[str]]]) -> _Rows:
        """The rows together with those of the strict reader, in the order of the file."""
        if not certain:
            return rows
        cells = [[row[at] for at in self.wanted] for _, row in certain]
        columns = [pa.array(column, pa.string()) for column in zip(*cells, strict=True)]
        table = pa.concat_tables([rows.cells, pa.table(columns, rows.cells.column_names)])
        places = np.concatenate((rows.places, [at for at, _ in certain]))
        order = np.argsort(places, kind="stable")
        return _Rows(places[order], table.take(_int64(order)))

    # --- where the table ends ------------------------------------------------------------------------

    def _of_this_table(
        self, rows: _Rows, rejects: list[Reject], block: bytes, lines: Lines, line: int
    ) -> tuple[_Rows, list[Reject]]:
        """Without repeated headers, and without what stands below the header of another table."""
        heads = self._heads(rows, block, lines)
        other = self._other_headers(rows, block, lines)
        if self.dialect.page_headers:
            self.repeated_headers += len(heads)
            self.rows_read -= len(heads)
            rows, heads, begins = rows.only(~np.isin(rows.places, heads)), other, other
        else:
            heads = [*heads, *other]
            odd = self._odd_headers(rejects, block, lines)
            heads = [*heads, *odd]
            begins = [*heads, *self._strangers(rows, block, lines)]
        if not begins:
            return rows, rejects
        first = min(begins)
        self.second_table_line = line + first
        below = [int(at) for at in rows.places[rows.places >= first]]
        below += [at for at, _ in rejects if at >= first]
        if first in heads:  # a header is no row
            below.remove(first)
            self.rows_read -= 1
        kept = [one for one in rejects if one[0] < first]
        kept += [(at, "ROW_SECOND_TABLE") for at in sorted(below)]
        return rows.only(rows.places < first), kept

    def _all_of_another_table(self, lines: Lines) -> list[Reject]:
        return [(int(at), "ROW_SECOND_TABLE") for at in np.flatnonzero(~lines.empty)]

    def _heads(self, rows: _Rows, block: bytes, lines: Lines) -> list[int]:
        """Rows that repeat the header word for word."""
        if not self.dialect.header_line or not self._may_hold_heads(block, lines):
            return []
        same: pa.ChunkedArray | None = None
        for at, name in self.wanted.items():
            column, cell = rows.cells[name], self.dialect.header[at]
            equal = pc.or_(pc.equal(column, cell), pc.equal(column, cell.strip()))
            same = equal if same is None else pc.and_(same, equal)
            if not pc.any(same).as_py():
                return []
        return [] if same is None else rows.places[same.to_numpy()].tolist()

    def _may_hold_heads(self, block: bytes, lines: Lines) -> bool:
        """Whether a line begins as the header does: a cheap look before the one that is sure."""
        first = self.dialect.header[0].encode()
        quote = (self.dialect.quote or "").encode()
        return any(
            len(lines_that_begin_with(block, lines, words)) for words in {first, quote + first}
        )

    def _other_headers(self, rows: _Rows, block: bytes, lines: Lines) -> list[int]:
        """Rows that hold the header's names in another order or case: a second export begins.

        Such a line is as long as the header, with quotation marks or without.
        """
        header, dialect = self.dialect.header, self.dialect
        if not dialect.header_line or dialect.widths or len(header) < 2:
            return []
        blanks = len(header) - 1 if dialect.blank_after_delimiter else 0
        bare = sum(len(cell.encode()) for cell in header) + len(header) - 1 + blanks
        sizes = lines.ends - lines.starts
        alike = np.flatnonzero((sizes == bare) | (sizes == bare + 2 * len(header)))
        names = sorted(map(folded, header))
        firsts = {cell.encode().lower() for cell in header}
        sign, quote = dialect.delimiter.encode(), (dialect.quote or "").encode()
        found = []
        for at in alike.tolist():
            line = block[lines.starts[at] : lines.ends[at]]
            if line[: line.find(sign)].strip(quote).lower() not in firsts or at not in rows.places:
                continue
            record = Record(dialect)
            record.feed(line.decode("utf-8", errors="replace"))
            if sorted(map(folded, record.cells)) == names and record.cells != list(header):
                found.append(at)
        return found

    def _odd_headers(self, rejects: Sequence[Reject], block: bytes, lines: Lines) -> list[int]:
        """Rejected lines that hold most names of the header: that of a table of another width."""
        if not self.dialect.header_line or self.dialect.widths:
            return []
        names = {folded(cell) for cell in self.dialect.header} - {""}
        found = []
        for at, code in rejects:
            if code == "ROW_FIELD_COUNT":
                text = block[lines.starts[at] : lines.ends[at]].decode("utf-8", errors="replace")
                cells = {folded(cell) for cell in text.split(self.dialect.delimiter)}
                if len(cells & names) * 2 > max(len(names), 2):
                    found.append(at)
        return found

    def _strangers(self, rows: _Rows, block: bytes, lines: Lines) -> list[int]:
        """Rows behind an empty line that look like no other row: the header of another table."""
        found = []
        for at in map(int, np.flatnonzero(lines.empty[:-1] & ~lines.empty[1:]) + 1):
            if lines.doubtful[at] or at not in rows.places:
                continue
            text = block[lines.starts[at] : lines.ends[at]].decode()
            record = Record(self.dialect)
            record.feed(text)
            agreeing, telling = self._strict.shapes.agreeing(record.cells)
            if telling > 1 and not agreeing:
                found.append(at)
        return found


def _parsed(data: bytes, dialect: Dialect, wanted: Sequence[int]) -> tuple[pa.Table, list[int]]:
    """Plain lines as a table of the wanted columns; and which lines have another number of values."""
    names = [f"c{at}" for at in range(len(dialect.header))]
    refused: list[int] = []

    def refuse(row: pyarrow.csv.InvalidRow) -> str:
        refused.append(row.number - 1)
        return "skip"

    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        read_options=pyarrow.csv.ReadOptions(
            column_names=names, use_threads=False, block_size=len(data) + 1
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            double_quote=True,
            newlines_in_values=False,
            ignore_empty_lines=False,
            invalid_row_handler=refuse,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=[names[at] for at in wanted],
            null_values=[],
            strings_can_be_null=False,
            check_utf8=False,  # look_over has
        ),
    )
    return table, refused


def _int64(values: Places) -> pa.Int64Array:
    """Without a copy, and without the import of pandas that pa.array begins with."""
    values = np.ascontiguousarray(values, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def _mask(values: npt.NDArray[np.bool_]) -> pa.BooleanArray:
    packed = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(packed)])
