"""The beginning of a file, read in each way it may be written: which one fits, and how well."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from etl_lib.extract.reader.dialect import QUOTES, Dialect
from etl_lib.extract.reader.records import Record, State

_MOST_LINES_OF_A_RECORD = 20  # within a sample
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Line:
    """A line of a sample: where it begins in the text, its number from 1, its words, the next's begin."""

    begins_at: int
    number: int
    text: str
    ends_at: int


def lines_of(sample: bytes, begins_at: int, is_cut: bool) -> list[Line]:
    """The lines of a text's beginning, ended by LF, CRLF or CR; one that is cut is left out."""
    found = []
    at = 0
    for number, end in enumerate(_LINE_END.finditer(sample), 1):
        text = sample[at : end.start()].decode("utf-8", errors="replace")
        found.append(Line(begins_at + at, number, text, begins_at + end.end()))
        at = end.end()
    if at < len(sample) and (not is_cut or not found):
        text = sample[at:].decode("utf-8", errors="replace")
        found.append(Line(begins_at + at, len(found) + 1, text, begins_at + len(sample)))
    return found


@dataclass(frozen=True)
class Sampled:
    """A sample read strictly in one way: its records of the usual width, and their share of all."""

    dialect: Dialect
    width: int
    share: float
    rows: tuple[tuple[str, ...], ...]
    first_lines: tuple[int, ...]  # the number of each row's first line
    lengths: tuple[int, ...]  # and how many lines it has
    quoted: int  # lines that hold a value in quotation marks


def read_sample(lines: Sequence[Line], dialect: Dialect, width: int | None = None) -> Sampled:
    """Read lines strictly; `width`: how many values a row has, None: as many as most rows have."""
    found: list[tuple[int, int, list[str]]] = []
    broken = at = 0
    while at < len(lines):
        if not lines[at].text.strip(f" \t{dialect.delimiter}"):
            at += 1
            continue
        record, length = Record(dialect), 1
        state = record.feed(lines[at].text)
        while state is State.OPEN and at + length < len(lines) and length < _MOST_LINES_OF_A_RECORD:
            state = record.feed("\n" + lines[at + length].text)
            length += 1
        if state is State.WHOLE:
            found.append((lines[at].number, length, record.cells))
        elif state is not State.OPEN or at + length < len(lines):
            broken += 1
            length = 1
        at += length
    widths = Counter(len(cells) for _, _, cells in found)
    usual = width or max(widths, key=lambda w: (widths[w], w), default=0)
    if found and not width and len(named_part(found[0][2])) == usual:
        found[0] = (*found[0][:2], found[0][2][:usual])
    good = [one for one in found if len(one[2]) == usual]
    every = len(found) + broken
    mark = f"{dialect.delimiter}{dialect.quote}"
    quoted = 0
    if dialect.quote:
        quoted = sum(mark in one.text or one.text.startswith(dialect.quote) for one in lines)
    return Sampled(
        dialect, usual, len(good) / every if every else 0.0,
        tuple(tuple(cells) for _, _, cells in good),
        tuple(number for number, _, _ in good), tuple(length for _, length, _ in good), quoted,
    )  # fmt: skip


def named_part(cells: Sequence[str]) -> tuple[str, ...]:
    """What may be a header, without the empty names at its end: spreadsheets write them, and no values below."""
    return tuple(cells[: max((at for at, cell in enumerate(cells, 1) if cell.strip()), default=0)])


def styles(
    dialect: Dialect, quote: str | None, escape: str | None, lines: Sequence[Line]
) -> Iterator[Dialect]:
    """The ways of quoting that may be: what was declared, else each of which a sample shows a sign.

    `quote`: the mark, `none`, or None for: to be found out; `escape`: doubled, backslash or None.
    """
    text = "\n".join(line.text for line in lines)
    quotes = (None if quote == "none" else quote,) if quote else QUOTES
    for mark in quotes:
        with_mark = replace(dialect, quote=mark, backslash=escape == "backslash")
        if blank_after(lines, with_mark):
            with_mark = replace(with_mark, blank_after_delimiter=True)
        yield with_mark
        if escape is None and mark and f"\\{mark}" in text:
            yield replace(with_mark, backslash=True)


def likelier(one: Sampled, other: Sampled) -> bool:
    """Whether a sample speaks clearly for reading it as `one`, where `other` is the more usual way.

    Another escape need only fit better; another quotation mark must be there, as exports write it.
    """
    if one.dialect.quote == other.dialect.quote:
        return one.share > other.share
    if not _quotes_a_column(one) or one.share < other.share:
        return False
    return one.share > other.share or not other.quoted


def _quotes_a_column(found: Sampled) -> bool:
    """Whether some column is always quoted in this way, as an export does it and no text does."""
    return found.quoted >= max(2, len(found.rows) // 2)


def blank_after(lines: Sequence[Line], dialect: Dialect) -> bool:
    """Whether a blank follows every delimiter, so that it belongs to the delimiter.

    Only where no delimiter stands without one: in the header, and in the rows outside of quotes.
    """
    if dialect.delimiter == " ":
        return False
    texts = [line.text for line in lines[:60]]
    if dialect.quote:
        mark = re.escape(dialect.quote)
        inside = re.compile(f"{mark}[^{mark}]*{mark}")
        texts = [inside.sub("", text) for text in texts]
    joined = "\n".join(texts)
    signs = joined.count(dialect.delimiter)
    return signs > 0 and joined.count(f"{dialect.delimiter} ") == signs
