"""Reads the doubtful lines of a block, record by record: certain ones are rows, the others are rejected."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from etl_lib.extract.reader.block import LONGEST_FIELD_BYTES, Lines, Mask
from etl_lib.extract.reader.dialect import Dialect
from etl_lib.extract.reader.encoding import SAMPLE_BYTES
from etl_lib.extract.reader.records import Record, State
from etl_lib.extract.reader.sample import lines_of, read_sample
from etl_lib.extract.reader.shapes import LEAST_ROWS, Shapes

MOST_LINES_OF_A_RECORD = 200
Reject = tuple[int, str]  # place of the line among the block's, code
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass
class Judged:
    """What became of a block's doubtful lines.

    `rows`: place of its first line and the cells of each certain record; `taken`: every line that
    belongs to a record read or rejected here; `stop`: the line in which the block ends too early,
    because its record may go on in the next block.
    """

    taken: Mask
    stop: int
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


@dataclass
class StrictReader:
    """Reads what Arrow's parser must not see; `path` and `dialect` are those of the whole file."""

    path: Path
    dialect: Dialect
    has_long_records: bool = False  # a certain value with a line end in it has been seen

    def judge(self, block: bytes, lines: Lines, is_last: bool) -> Judged:
        """Judge every doubtful line that is not part of a record before it."""
        judged = Judged(np.zeros(len(lines), dtype=np.bool_), len(lines))
        free = 0
        for at in map(int, np.flatnonzero(lines.doubtful)):
            if at < free:
                continue
            taken = _Reading(self, block, lines, is_last, judged).record(at)
            if not taken:
                judged.stop = at
                break
            free = at + taken
            judged.taken[at:free] = True
        return judged

    def looks_like_a_row(self, text: str) -> bool:
        """Whether a line of the right width may be trusted to be a row, and not prose of a long value.

        In a file without long values it can be nothing else.
        """
        shapes, some_are_long = self._sampled
        if not (self.has_long_records or some_are_long):
            return True
        return shapes.agrees(text.split(self.dialect.delimiter))

    @property
    def shapes(self) -> Shapes:
        """What the values at the file's beginning look like."""
        return self._sampled[0]

    @cached_property
    def _sampled(self) -> tuple[Shapes, bool]:
        with self.path.open("rb") as stream:
            stream.seek(self.dialect.rows_begin_at)
            sample = stream.read(SAMPLE_BYTES)
        lines = lines_of(sample, 0, is_cut=len(sample) == SAMPLE_BYTES)
        for at, line in enumerate(lines):
            if at >= LEAST_ROWS and not line.text.strip(f" {self.dialect.delimiter}"):
                lines = lines[:at]  # what follows may be another table
                break
        found = read_sample(lines, self.dialect, len(self.dialect.header))
        return Shapes.of(found.rows), any(length > 1 for length in found.lengths)


@dataclass
class _Reading:
    """One block being judged."""

    reader: StrictReader
    block: bytes
    lines: Lines
    is_last: bool
    judged: Judged

    @property
    def width(self) -> int:
        return len(self.reader.dialect.header)

    def record(self, at: int) -> int:
        """Judge the record that begins in a line: how many lines it takes, 0 to wait for the next block."""
        if self.reader.dialect.widths:
            return self.reject(at, self.text(at)[1] or "ROW_FIELD_TOO_LONG")
        pieces = self.pieces(at)
        if pieces > 1 and (rows := self.rows_of_pieces(at, pieces)):
            self.judged.rows += rows
            return pieces
        text, code = self.text(at)
        if text is None:
            return self.reject(at, code, pieces)
        record = Record(self.reader.dialect)
        state = record.feed(text)
        if state is State.OPEN:
            return self.long_record(at, record)
        if pieces > 1:
            return self.reject(at, "ROW_CONTROL_CHARACTER", pieces)
        return self.short_record(at, record, state)

    def short_record(self, at: int, record: Record, state: State) -> int:
        """A record of one line."""
        if state is State.BROKEN:
            return self.reject(at, "ROW_QUOTE")
        if state is State.ODD_ESCAPE:
            return self.reject(at, "ROW_ESCAPE")
        return self.whole(at, record, 1)

    def whole(self, at: int, record: Record, length: int) -> int:
        """A record that nothing is wrong with but perhaps its width."""
        if len(record.cells) != self.width:
            return self.reject(at, "ROW_FIELD_COUNT", length)
        if max(map(len, record.cells)) > LONGEST_FIELD_BYTES:
            return self.reject(at, "ROW_FIELD_TOO_LONG", length)
        self.judged.rows.append((at, record.cells))
        self.reader.has_long_records |= length > 1
        return length

    def long_record(self, at: int, record: Record) -> int:
        """A record whose first line leaves a quotation mark open: a long value, or a mark too many."""
        length = 1
        while length < MOST_LINES_OF_A_RECORD:
            if at + length >= len(self.lines):
                if not self.is_last:
                    return 0
                break
            text, _ = self.text(at + length)
            if text is None:
                break
            state = record.feed(self.end_of(at + length - 1) + text)
            length += 1
            if state is State.OPEN:
                continue
            if state is not State.WHOLE or len(record.cells) != self.width:
                break
            if self.may_be_rows(at, length):
                self.judged.rejects += [(at + n, "ROW_QUOTE") for n in range(length)]
                return length
            return self.whole(at, record, length)
        self.reject(at, "ROW_QUOTE")
        return 1 + self.behind_open(at + 1)

    def may_be_rows(self, at: int, length: int) -> bool:
        """Whether the lines of a long record may as well be rows, of which two have a mark too many."""
        alike = [self.is_row_like(at + n) for n in range(length)]
        return any(alike[1:-1]) or all(alike)

    def is_row_like(self, at: int) -> bool:
        """Whether a line holds as many delimiters as a row."""
        signs = self.line(at).count(self.reader.dialect.delimiter.encode())
        return signs == self.width - 1 > 0

    def behind_open(self, at: int) -> int:
        """Lines behind a mark that is never closed well: rows, or the rest of a long value?

        Up to the next quotation mark a line counts as a row only when it has the width of one and
        may be trusted. Gives how many lines were rejected; what follows goes its usual way.
        """
        quote = (self.reader.dialect.quote or "").encode()
        taken = 0
        while at + taken < len(self.lines) and taken < MOST_LINES_OF_A_RECORD:
            place = at + taken
            if quote in self.line(place):
                break
            text, _ = self.text(place)
            if self.is_row_like(place) and text and self.reader.looks_like_a_row(text):
                break
            if not self.lines.empty[place]:
                self.judged.rejects.append((place, "ROW_QUOTE"))
            taken += 1
        return taken

    # --- lines that end with a bare carriage return --------------------------------------------------

    def pieces(self, at: int) -> int:
        """How many lines are tied together by bare carriage returns from this one on."""
        count = 1
        while at + count < len(self.lines) and self.end_of(at + count - 1) == "\r":
            count += 1
        return count

    def rows_of_pieces(self, at: int, pieces: int) -> Sequence[tuple[int, list[str]]]:
        """A row a piece when bare carriage returns can only be ends of rows, else nothing.

        Each piece has the width of a row, so together they are too wide to be one.
        """
        found = []
        for place in range(at, at + pieces):
            text, _ = self.text(place)
            record = Record(self.reader.dialect)
            if text is None or record.feed(text) is not State.WHOLE:
                return []
            if len(record.cells) != self.width or self.width < 2:
                return []
            found.append((place, record.cells))
        return found

    # --- lines ---------------------------------------------------------------------------------------

    def reject(self, at: int, code: str, length: int = 1) -> int:
        """One rejected row; gives its length."""
        self.judged.rejects.append((at, code))
        return length

    def line(self, at: int) -> bytes:
        """A line without its end."""
        return self.block[self.lines.starts[at] : self.lines.ends[at]]

    def end_of(self, at: int) -> str:
        """What ends a line."""
        stop = self.lines.starts[at + 1] if at + 1 < len(self.lines) else len(self.block)
        return self.block[self.lines.ends[at] : stop].decode("ascii")

    def text(self, at: int) -> tuple[str | None, str]:
        """A line as text, or None and why it is none."""
        line = self.line(at)
        if _CONTROL.search(line):
            return None, "ROW_CONTROL_CHARACTER"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return None, "ROW_ENCODING"
        return (None, "ROW_REPLACEMENT_CHARACTER") if "\ufffd" in text else (text, "")
