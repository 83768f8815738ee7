"""The reading pass of one table: whole blocks through Arrow's parser, doubtful ones line by line.

A block goes the fast way only when every newline in it ends a record and every quotation mark stands
where the dialect allows one; then a line is a row and the result cannot be wrong. Any other block is
read by a strict parser that rejects exactly the row it cannot be certain of.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from etl_lib.extract.dialect import Dialect

BLOCK_BYTES = 8 * 1024 * 1024
LONGEST_FIELD_BYTES = 1024 * 1024
_MOST_LINES_OF_A_RECORD = 200
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTROL_BYTES = bytes(b for b in range(0x20) if b not in (0x09, 0x0A, 0x0D)) + b"\x7f"
_REPLACEMENT = "\ufffd".encode()
_NO_CONVERSION = {
    "null_values": [],
    "strings_can_be_null": False,
    "quoted_strings_can_be_null": False,
}


@dataclass
class RowReader:
    """Reads the rows of a UTF-8 file: batches of (`_line`, wanted columns), rejected lines apart.

    `wanted` maps a column's place in the file to the mapping's name.
    """

    path: Path
    dialect: Dialect
    wanted: dict[int, str]
    footer: re.Pattern[bytes] | None = None
    rejected: list[tuple[int, str]] = field(default_factory=list)
    rows_read: int = 0
    repeated_headers: int = 0
    in_second_table: bool = False

    def notes(self) -> list[str]:
        """What is worth telling of the rows that were read."""
        if not self.repeated_headers:
            return []
        what = "left out" if self.dialect.page_headers else "found, and what follows is rejected"
        return [f"{self.repeated_headers} repeated headers {what}"]

    def batches(self) -> Iterator[pa.Table]:
        """Tables of `_line` int64 and string columns, in the order of the file."""
        line = self.dialect.first_row_line
        with self.path.open("rb") as stream:
            for _ in range(line - 1):
                stream.readline()
            rest = b""
            ended = False
            while not ended:
                chunk = stream.read(BLOCK_BYTES)
                block = rest + chunk
                if not chunk:
                    ended = True
                elif (cut := block.rfind(b"\n") + 1) and len(block) - cut < LONGEST_FIELD_BYTES * 4:
                    block, rest = block[:cut], block[cut:]
                else:
                    rest = block
                    continue
                if self.footer and (found := self.footer.search(block)):
                    block, ended = block[: found.start()], True
                if ended:
                    rest = b""
                if not block:
                    continue
                table, used, lines = self._read(block, line, is_last=ended)
                rest, line = block[used:] + rest, line + lines
                if table is not None and table.num_rows:
                    yield table

    def _read(self, block: bytes, line: int, is_last: bool) -> tuple[pa.Table | None, int, int]:
        """A block's rows, how many of its bytes were used, and how many lines those are."""
        if (table := self._fast(block, line)) is not None:
            return table, len(block), block.count(b"\n")
        return self._strict(block, line, is_last)

    # --- the fast way --------------------------------------------------------------------------------

    def _fast(self, block: bytes, line: int) -> pa.Table | None:
        """The block through Arrow's parser, or None when a line might not be a row."""
        if self.dialect.blank_after_delimiter:
            if self.dialect.quote and self.dialect.quote.encode() in block:
                return None
            sign = self.dialect.delimiter.encode()
            block = block.replace(sign + b" ", sign)
        if not self._every_line_is_a_row(block):
            return None
        names = [f"c{place}" for place in range(len(self.dialect.header))]
        kept = [names[place] for place in self.wanted]
        doubtful: list[bool] = []

        def refuse(_: object) -> str:
            doubtful.append(True)
            return "skip"

        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(block),
                read_options=pyarrow.csv.ReadOptions(
                    column_names=names, use_threads=False, block_size=len(block) + 1
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self.dialect.delimiter,
                    quote_char=self.dialect.quote or False,
                    double_quote=True,
                    newlines_in_values=False,
                    invalid_row_handler=refuse,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=kept,
                    **_NO_CONVERSION,
                ),
            )
        except pa.ArrowInvalid:
            return None
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        if doubtful or table.num_rows != lines:
            return None
        self.rows_read += lines
        numbers = pa.array(np.arange(line, line + lines, dtype=np.int64))
        table = table.rename_columns(list(self.wanted.values())).add_column(0, "_line", numbers)
        return self._of_this_table(table)

    def _every_line_is_a_row(self, block: bytes) -> bool:
        if self.dialect.backslash and b"\\" in block:
            return False
        if self.dialect.quote == "'" and b'""' in block:
            return False
        if block.count(b"\r") != block.count(b"\r\n") or _REPLACEMENT in block:
            return False
        if len(block) != len(block.translate(None, _CONTROL_BYTES)):
            return False
        if block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block:
            return False
        if not block.isascii():
            try:
                block.decode("utf-8")
            except UnicodeDecodeError:
                return False
        return self._quotes_are_plain(block)

    def _quotes_are_plain(self, block: bytes) -> bool:
        """Every quotation mark opens or closes a field or is doubled, and no newline is inside any."""
        if not self.dialect.quote or self.dialect.quote.encode() not in block:
            return True
        signs = np.frombuffer(block, dtype=np.uint8)
        quote = ord(self.dialect.quote)
        places = np.flatnonzero(signs == quote)
        if len(places) % 2:
            return False
        newlines = np.flatnonzero(signs == 10)
        if (np.searchsorted(places, newlines) % 2).any():
            return False
        padded = np.concatenate(([np.uint8(10)], signs, [np.uint8(10)]))
        before, after = padded[places[0::2]], padded[places[1::2] + 2]
        delimiter = ord(self.dialect.delimiter)
        opens = np.isin(before, (delimiter, 10, quote))
        closes = np.isin(after, (delimiter, 10, 13, quote))
        return bool(opens.all() and closes.all())

    def _of_this_table(self, table: pa.Table) -> pa.Table:
        """The rows that belong to the table: none that repeats the header, none of a second table."""
        if self.in_second_table:
            return self._rejected_as_second(table)
        heads = self._heads(table)
        if heads is None:
            return table
        places = np.flatnonzero(heads)
        if self.dialect.page_headers:
            self.repeated_headers += len(places)
            self.rows_read -= len(places)
            return table.filter(pa.array(~heads))
        self.in_second_table = True
        self.repeated_headers += 1
        self.rows_read -= 1
        self._rejected_as_second(table.slice(places[0] + 1))
        return table.slice(0, places[0])

    def _heads(self, table: pa.Table) -> np.ndarray | None:
        """Which rows repeat the header; None when there is none."""
        if not self.dialect.header_line:
            return None
        same = None
        for place, name in self.wanted.items():
            equal = pc.equal(table[name], self.dialect.header[place].strip())
            same = equal if same is None else pc.and_(same, equal)
            if not pc.any(same).as_py():
                return None
        return None if same is None else same.to_numpy()

    def _rejected_as_second(self, table: pa.Table) -> pa.Table:
        self.rejected += [(line, "ROW_SECOND_TABLE") for line in table["_line"].to_pylist()]
        return table.slice(0, 0)

    # --- the strict way --------------------------------------------------------------------------------

    def _strict(self, block: bytes, line: int, is_last: bool) -> tuple[pa.Table | None, int, int]:
        """Line by line; a record that may go on in the next block is left for it."""
        lines = block.split(b"\n")
        tail = lines.pop()
        if tail:  # the file's last line without an end, or a block cut at a footer
            lines.append(tail)
        numbers: list[int] = []
        cells: list[list[str]] = []
        at = used = 0
        while at < len(lines):
            row, code, length = self._record(lines, at)
            if row is None and code == "" and not is_last:
                break  # an open quotation mark at the block's end: more may follow
            if code == "":
                code = "ROW_QUOTE"
            if row is not None:
                self._keep(row, line + at, numbers, cells)
            elif code != "BLANK":
                self.rows_read += 1
                self.rejected.append((line + at, code))
            used += sum(len(one) + 1 for one in lines[at : at + length])
            at += length
        names = list(self.wanted.values())
        columns = list(zip(*cells, strict=True)) or [()] * len(names)
        arrays = [pa.array(column, pa.string()) for column in columns]
        table = pa.table([pa.array(numbers, pa.int64()), *arrays], names=["_line", *names])
        return self._of_this_table(table), min(used, len(block)), at

    def _keep(self, row: list[str], line: int, numbers: list[int], cells: list[list[str]]) -> None:
        self.rows_read += 1
        numbers.append(line)
        cells.append([row[place] for place in self.wanted])

    def _record(self, lines: list[bytes], at: int) -> tuple[list[str] | None, str, int]:
        """The record that starts at a line: its cells, or None and a code; and its length in lines.

        Code "": a quotation mark is still open where the lines end. A rejected record is one line
        long, so that what follows is read by itself.
        """
        first = lines[at].rstrip(b"\r")
        if not first.strip(b" \t"):
            return None, "BLANK", 1
        text, code = self._text(first)
        if text is None:
            return None, code, 1
        length = 1
        while True:
            row, state = self._cells(text)
            if state != "open":
                break
            if at + length >= len(lines):
                return None, "", 1
            following = lines[at + length].rstrip(b"\r")
            if length >= _MOST_LINES_OF_A_RECORD or self._is_a_row(following):
                return None, "ROW_QUOTE", 1
            more, code = self._text(following)
            if more is None:
                return None, "ROW_QUOTE", 1
            text, length = f"{text}\n{more}", length + 1
        if row is None:
            return None, "ROW_QUOTE", 1
        if self._odd_escape(text):
            return None, "ROW_ESCAPE", 1
        if len(row) != len(self.dialect.header):
            return None, "ROW_FIELD_COUNT", 1
        if max(map(len, row)) > LONGEST_FIELD_BYTES:
            return None, "ROW_FIELD_TOO_LONG", 1
        return row, "", length

    def _text(self, line: bytes) -> tuple[str | None, str]:
        """A line as text, or None and why it is none."""
        if _CONTROL.search(line) or b"\r" in line:
            return None, "ROW_CONTROL_CHARACTER"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return None, "ROW_ENCODING"
        return (None, "ROW_REPLACEMENT_CHARACTER") if "\ufffd" in text else (text, "")

    def _is_a_row(self, line: bytes) -> bool:
        """Whether a line inside an open quotation mark reads as a whole row by itself."""
        text, _ = self._text(line)
        if text is None or (self.dialect.quote and self.dialect.quote in text):
            return False
        return text.count(self.dialect.delimiter) == len(self.dialect.header) - 1 > 0

    def _cells(self, text: str) -> tuple[list[str] | None, str]:
        """The record's cells; or None and "open" (a quotation mark is not closed) or "broken"."""
        quote = self.dialect.quote
        if not quote or quote not in text:
            if "\n" in text:
                return None, "broken"
            return self._unescaped(self._split(text)), "whole"
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self.dialect.delimiter, quotechar=quote, strict=True,
            doublequote=not self.dialect.backslash,
            skipinitialspace=self.dialect.blank_after_delimiter,
            escapechar="\\" if self.dialect.backslash else None,
        )  # fmt: skip
        try:
            rows = list(reader)
        except csv.Error as error:
            return None, "open" if "unexpected end" in str(error) else "broken"
        if len(rows) != 1 or not self._quotes_at_edges(text, quote):
            return None, "broken"
        return rows[0], "whole"

    def _odd_escape(self, text: str) -> bool:
        """Whether an escape stands where none is needed, so that it may as well be a letter."""
        quote = self.dialect.quote or ""
        if self.dialect.backslash:
            return re.search(rf"\\(?![\\{re.escape(quote)}])", text.replace("\\\\", "")) is not None
        return quote == "'" and '""' in text

    def _split(self, text: str) -> list[str]:
        cells = text.split(self.dialect.delimiter)
        if self.dialect.blank_after_delimiter:
            return [cells[0], *(cell.removeprefix(" ") for cell in cells[1:])]
        return cells

    def _unescaped(self, cells: list[str]) -> list[str]:
        if not self.dialect.backslash:
            return cells
        return [re.sub(r"\\(.)", r"\1", cell) for cell in cells]

    def _quotes_at_edges(self, text: str, quote: str) -> bool:
        """No quotation mark inside a value that is not quoted: nobody can say what it means there."""
        if self.dialect.backslash:
            return True
        blank = " ?" if self.dialect.blank_after_delimiter else ""
        outside = re.sub(
            f"(^|{re.escape(self.dialect.delimiter)}){blank}{quote}(?:[^{quote}]|{quote}{quote})*{quote}",
            r"\1", text,
        )  # fmt: skip
        return quote not in outside
