"""Finds the table in a file: what stands before it, its header, and how the file is written."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from etl_lib.config.mapping import FileFormat
from etl_lib.errors import AskTheSchool
from etl_lib.extract.kinds import START_BYTES, kind_of
from etl_lib.extract.reader.columns import Expected
from etl_lib.extract.reader.dialect import DELIMITERS, QUOTES, Dialect, named
from etl_lib.extract.reader.encoding import SAMPLE_BYTES, Text
from etl_lib.extract.reader.records import Record, State
from etl_lib.extract.reader.sample import (
    Line,
    Sampled,
    likelier,
    lines_of,
    named_part,
    read_sample,
    styles,
)

HEADER_WITHIN_LINES = 60
STYLE_WITHIN_LINES = 1_000
HEADER_LINES = 3  # a header may be written over so many lines
_SURELY_OTHER, _SURELY_NOT = 0.9, 0.5  # shares of rows: another way fits, the agreed one does not


def find_table(text: Text, form: FileFormat, expected: Expected, shown: str) -> Dialect:
    """How to read the file, found out from what the mapping expects and a sample.

    Raises AskTheSchool: FILE_EMPTY, FILE_NOT_A_TABLE, FILE_FIXED_WIDTH, FILE_HEADER_NOT_FOUND, or
    FILE_DELIMITER and FILE_QUOTE when the file is clearly not written as was agreed.
    """
    start = text.sample()
    lines = readable_lines(start, text.begins_at, shown)
    if form.widths:
        return _of_fixed_width(lines, form, expected, shown)
    if not form.header:
        return _without_header(lines, form, expected, shown)
    found = sorted(_best_headers(lines, form, expected), key=_Header.rank)
    best = next(iter(found), None)
    if best is None or not _is_header(best, expected):
        raise _no_header(lines, expected, shown)
    _hold_to_delimiter(best.dialect.delimiter, form.delimiter_character, shown)
    below = [line for line in lines if line.begins_at >= best.last.ends_at]
    sample = [*lines[best.at : best.at + 1], *below]
    cells, chosen = best.cells, _style(best.dialect, form, sample, shown, len(best.cells))
    fewer = named_part(cells)
    if len(fewer) < len(cells):  # a spreadsheet's header may end with delimiters that its rows lack
        shorter = _style(best.dialect, form, sample, shown, len(fewer))
        if shorter.share >= chosen.share:
            cells, chosen = fewer, shorter
    other = next(iter(found[1:]), None)
    return replace(
        chosen.dialect,
        header=cells,
        header_line=best.first.number,
        first_row_line=best.last.number + 1,
        rows_begin_at=best.last.ends_at,
        page_headers=form.page_headers,
        confidence=_confidence(best, chosen, expected),
        runner_up=f"{named(other.dialect.delimiter)}: {other.matched} of the columns"
        if other
        else "",
        notes=tuple(_notes(best, chosen.dialect)),
    )


def readable_lines(sample: bytes, begins_at: int, shown: str) -> list[Line]:
    """The lines of a text's beginning. Raises AskTheSchool: FILE_EMPTY, FILE_NOT_A_TABLE."""
    if not sample.strip(b" \t\r\n\xef\xbb\xbf\x00"):
        raise AskTheSchool.of("FILE_EMPTY", "The file is empty.", shown)
    if what := kind_of(sample[:START_BYTES]):
        raise AskTheSchool.of("FILE_NOT_A_TABLE", f"The file is {what}, not CSV.", shown)
    return lines_of(sample, begins_at, is_cut=len(sample) >= SAMPLE_BYTES)


@dataclass(frozen=True)
class _Header:
    """What may be the header: how many expected columns it has, and where it stands."""

    matched: int
    dialect: Dialect
    at: int  # place of its first line among the sample's
    first: Line
    last: Line
    lines: int
    cells: tuple[str, ...]

    def rank(self) -> tuple[int, int]:
        """The less, the likelier: it has more of the columns, and stands further up."""
        return -self.matched, self.at


def _best_headers(
    lines: Sequence[Line], form: FileFormat, expected: Expected
) -> Collection[_Header]:
    """For each delimiter the record of the file's start that is the likeliest header, if there is any.

    Each record is looked at by itself and put together with the next ones; not one that has too few cells
    to be better than what was found before.
    """
    skipped = form.skip_lines or 0
    start = lines[skipped:HEADER_WITHIN_LINES]
    best: dict[str, _Header] = {}
    for dialect in _ways(form, start):
        records = list(_records(start, dialect))
        looked_at = records if form.skip_lines is None else records[:1]
        for number, (first, _, cells) in enumerate(looked_at):
            most, at = min(len(cells), len(expected.columns)), first.number - 1
            for joined in (1, *_joinable(records, number)):
                before = best.get(dialect.delimiter)
                if before and (-most, at) >= before.rank():
                    break
                one = _header(records[number : number + joined], dialect, expected)
                if before is None or one.rank() < before.rank():
                    best[dialect.delimiter] = one
    return best.values()


def _ways(form: FileFormat, lines: Sequence[Line]) -> Iterator[Dialect]:
    """Every way in which a header may be written, the agreed delimiter first."""
    declared = form.delimiter_character
    for delimiter in dict.fromkeys([*([declared] if declared else []), *DELIMITERS]):
        for quote in QUOTES if form.quote is None else (form.quote_character,):
            dialect = Dialect(delimiter, quote, form.escape == "backslash")
            yield dialect
            if delimiter != " " and any(f"{delimiter} " in line.text for line in lines):
                yield replace(dialect, blank_after_delimiter=True)


_Found = tuple[Line, Line, tuple[str, ...]]


def _joinable(records: Sequence[_Found], number: int) -> Iterator[int]:
    """How many records from `number` on may be one header: all have as many cells."""
    width = len(records[number][2])
    for more in range(1, HEADER_LINES):
        at = number + more
        if at == len(records) or len(records[at][2]) != width:
            return
        yield 1 + more


def _header(records: Sequence[_Found], dialect: Dialect, expected: Expected) -> _Header:
    """The records as one header."""
    (first, last, cells), count = records[0], len(records)
    if count > 1:
        last = records[-1][1]
        parts = zip(*(one[2] for one in records), strict=True)
        cells = tuple(" ".join(p.strip() for p in part if p.strip()) for part in parts)
    matched = _matched(cells, expected)
    return _Header(matched, dialect, first.number - 1, first, last, count, cells)


def _records(lines: Sequence[Line], dialect: Dialect) -> Iterator[_Found]:
    """First line, last line and cells of the records; what cannot be read strictly is no header."""
    at = 0
    while at < len(lines):
        record, length = Record(dialect), 1
        state = record.feed(lines[at].text)
        while state is State.OPEN and at + length < len(lines):
            state = record.feed("\n" + lines[at + length].text)
            length += 1
        if state is not State.WHOLE:
            length = 1
        elif lines[at].text.strip() and not _is_set_apart(record.cells, dialect):
            yield lines[at], lines[at + length - 1], tuple(record.cells)
        at += length


def _is_set_apart(cells: Sequence[str], dialect: Dialect) -> bool:
    """Whether several blanks stand between the names: they are set in columns of fixed width."""
    return dialect.delimiter == " " and "" in cells


def _matched(cells: tuple[str, ...], expected: Expected) -> int:
    return len({c for c in expected.match(cells) if c is not None})


def _is_header(found: _Header, expected: Expected) -> bool:
    """Half of the required columns, or of all that could be there, is a header and not a chance."""
    possible = len(expected.columns)
    needed = len(expected.required) or possible
    return found.matched * 2 >= min(needed, possible) and found.matched > 0


def _hold_to_delimiter(found: str, declared: str | None, shown: str) -> None:
    if declared and found != declared:
        said = f"Agreed are {named(declared)}, the file has {named(found)}."
        raise AskTheSchool.of("FILE_DELIMITER", said, shown)


def _style(
    dialect: Dialect, form: FileFormat, lines: Sequence[Line], shown: str, width: int
) -> Sampled:
    """The way of quoting: as agreed, else the one that reads the sample best."""
    best: Sampled | None = None
    lines = lines[:STYLE_WITHIN_LINES]
    for way in styles(dialect, form.quote, form.escape, lines):
        sampled = read_sample(lines, way, width)
        if best is None or likelier(sampled, best):
            best = sampled
    assert best is not None
    if form.quote and best.share < _SURELY_NOT:
        for way in styles(dialect, None, None, lines):
            other = read_sample(lines, way, width)
            if other.share > _SURELY_OTHER and way.quote != best.dialect.quote:
                said = f"Agreed is a file {best.dialect.said}; this one is {way.said}."
                raise AskTheSchool.of("FILE_QUOTE", said, shown)
    return best


def _confidence(best: _Header, chosen: Sampled, expected: Expected) -> float:
    """Share of the required columns found times the share of the sample's records that fit."""
    needed = max(len(expected.required), 1)
    found = set(expected.match(best.cells))
    there = sum(bool(set(group) & found) for group in expected.required) or best.matched
    return round(min(there / needed, 1.0) * (chosen.share or 1.0), 3)


def _notes(best: _Header, dialect: Dialect) -> Iterator[str]:
    if best.first.number > 1:
        yield f"{best.first.number - 1} lines before the header"
    if best.lines > 1:
        yield f"header over {best.lines} lines"
    if dialect.delimiter != ",":
        yield f"values separated by {named(dialect.delimiter)}"
    if dialect.blank_after_delimiter:
        yield "a blank after each delimiter"
    if dialect.quote == "'":
        yield "values quoted with '"
    if dialect.backslash:
        yield "quotation marks escaped with a backslash"


def _without_header(
    lines: Sequence[Line], form: FileFormat, expected: Expected, shown: str
) -> Dialect:
    """The mapping gives the columns in their order; the delimiter is the one that makes as many."""
    columns = expected.columns
    rows = lines[form.skip_lines or 0 :]
    declared = form.delimiter_character
    best: Sampled | None = None
    for delimiter in dict.fromkeys([*([declared] if declared else []), *DELIMITERS]):
        sampled = _style(Dialect(delimiter), form, rows, shown, len(columns))
        if best is None or sampled.share > best.share:
            best = sampled
    assert best is not None
    if declared and best.dialect.delimiter != declared and best.share > _SURELY_OTHER:
        _hold_to_delimiter(best.dialect.delimiter, declared, shown)
    first = rows[0] if rows else lines[-1]
    return replace(
        best.dialect,
        header=columns,
        header_line=0,
        first_row_line=first.number,
        rows_begin_at=first.begins_at,
        confidence=round(best.share, 3),
        notes=("no header",),
    )


def _of_fixed_width(
    lines: Sequence[Line], form: FileFormat, expected: Expected, shown: str
) -> Dialect:
    """Columns of the agreed widths; the header, where there is one, is cut in the same way."""
    if not form.header:
        columns = expected.columns
        first = lines[min(form.skip_lines or 0, len(lines) - 1)]
        return Dialect("", None, header=columns, first_row_line=first.number,
                       rows_begin_at=first.begins_at, widths=form.widths)  # fmt: skip
    best: tuple[int, Line, tuple[str, ...]] | None = None
    for line in lines[form.skip_lines or 0 : HEADER_WITHIN_LINES]:
        cells = cut(line.text, form.widths)
        matched = _matched(cells, expected)
        if best is None or matched > best[0]:
            best = (matched, line, cells)
    assert best is not None
    matched, line, cells = best
    header = _Header(matched, Dialect("", None), line.number - 1, line, line, 1, cells)
    if not _is_header(header, expected):
        raise _no_header(lines, expected, shown)
    return Dialect("", None, header=cells, header_line=line.number, first_row_line=line.number + 1,
                   rows_begin_at=line.ends_at, widths=form.widths,
                   notes=("columns of fixed width",))  # fmt: skip


def cut(text: str, widths: Sequence[int]) -> tuple[str, ...]:
    """A line cut into columns of `widths` characters, without the blanks that fill them."""
    cells, at = [], 0
    for width in widths:
        cells.append(text[at : at + width].strip(" "))
        at += width
    return tuple(cells)


def _no_header(lines: Sequence[Line], expected: Expected, shown: str) -> AskTheSchool:
    """Why no line is the header, in the words that help most."""
    wanted = ", ".join(f"`{group[0]}`" for group in expected.required[:6])
    texts = [line.text for line in lines[:HEADER_WITHIN_LINES] if line.text.strip()]
    if _looks_fixed(texts, expected):
        said = f"The columns {wanted} are set in fixed widths, without a delimiter between them."
        return AskTheSchool.of("FILE_FIXED_WIDTH", said, shown)
    if broken := _broken_header(lines, expected):
        said = "This looks like the header, but a quotation mark in it is missing or one too many."
        return AskTheSchool.of("FILE_HEADER_NOT_FOUND", said, f"{shown}, line {broken.number}")
    counts = {sum(text.count(d) for d in DELIMITERS[:-1]) for text in texts}
    printed = sum(": " in text for text in texts) * 4 >= len(texts)
    if printed or (len(counts) > 4 and len(texts) > 10):
        said = f"This looks like a printed report, not a table; expected were the columns {wanted}."
        return AskTheSchool.of("FILE_NOT_A_TABLE", said, shown)
    said = f"None of the first {HEADER_WITHIN_LINES} lines has the expected columns {wanted}."
    return AskTheSchool.of("FILE_HEADER_NOT_FOUND", said, shown)


def _broken_header(lines: Sequence[Line], expected: Expected) -> Line | None:
    """A line that is the header but for its quotation marks."""
    for line in lines[:HEADER_WITHIN_LINES]:
        for delimiter in DELIMITERS[:-1]:
            cells = tuple(cell.strip("\"' ") for cell in line.text.split(delimiter))
            matched = _matched(cells, expected)
            found = _Header(matched, Dialect(delimiter), line.number - 1, line, line, 1, cells)
            if len(cells) > 1 and _is_header(found, expected):
                return line
    return None


def _looks_fixed(texts: Sequence[str], expected: Expected) -> bool:
    """Whether a line holds the columns' names set apart by blanks only."""
    possible = len(expected.columns)
    for text in texts:
        cells = tuple(re.split(r" {2,}|\t+ *", text.strip()))
        if len(cells) > 1 and _matched(cells, expected) * 2 >= possible:
            return True
    return False
