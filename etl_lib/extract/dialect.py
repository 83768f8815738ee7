"""How the text of a file is written: encoding, delimiter, and where its header stands."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etl_lib.config.mapping import FileFormat
from etl_lib.errors import AskTheSchool
from etl_lib.extract.columns import Expected

SAMPLE_BYTES = 256 * 1024
HEADER_WITHIN_LINES = 60
HEADER_LINES = 3  # a header may be written over so many lines
_DELIMITERS = (",", ";", "\t", "|")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Dialect:
    """How to read one file. `header_line` counts from 1; 0: the file has no header."""

    encoding: str
    bom_bytes: int
    delimiter: str
    quote: str | None
    backslash: bool
    header: tuple[str, ...]
    header_line: int
    first_row_line: int
    notes: tuple[str, ...]
    blank_after_delimiter: bool = False
    page_headers: bool = False


def encoding_of(path: Path, declared: str | None) -> tuple[str, int, list[str]]:
    """The file's encoding, the length of its BOM in bytes, and what is worth telling.

    A BOM is certain, what the mapping declares comes next, then UTF-8; cp1252 only where the sample
    cannot be UTF-8 and every byte of it is a letter there.
    """
    with path.open("rb") as stream:
        sample = stream.read(SAMPLE_BYTES)
    for bom, name in _BOMS:
        if sample.startswith(bom):
            return name, len(bom), [f"encoding {name} (byte order mark)"]
    if declared:
        return codecs.lookup(declared).name, 0, [f"encoding {declared} (as agreed)"]
    if sample[1:200:2].count(0) > len(sample[1:200:2]) // 2:
        return "utf-16-le", 0, ["encoding utf-16-le (every second byte is zero)"]
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(sample)
        return "utf-8", 0, []
    except UnicodeDecodeError:
        pass
    high = [byte for byte in sample if byte >= 0x80]
    if all(byte >= 0xC0 or byte in (0x8A, 0x8C, 0x8E, 0x91, 0x92, 0x93, 0x94, 0x96, 0x9A, 0xA0, 0xAA, 0xBA)
           for byte in high) and b"\xc3" not in sample:  # fmt: skip
        return "cp1252", 0, ["encoding cp1252 (not UTF-8, and all bytes are letters there)"]
    return "utf-8", 0, []


def find_dialect(path: Path, form: FileFormat, expected: Expected, shown: str) -> Dialect:
    """How to read the file, found out from what the mapping expects and a sample.

    `path` is UTF-8 text (see transcode). Raises AskTheSchool: FILE_EMPTY, FILE_NOT_A_TABLE,
    FILE_HEADER_NOT_FOUND, or FILE_DELIMITER when the agreed delimiter is not the one used.
    """
    with path.open("rb") as stream:
        text = stream.read(SAMPLE_BYTES).decode("utf-8", errors="replace")
    if not text.strip():
        raise AskTheSchool.of("FILE_EMPTY", "The file is empty.", shown)
    declared = form.delimiter_character
    quote = None if form.quote == "none" else form.quote
    backslash = form.escape == "backslash"
    if not form.header:
        columns = tuple(expected.names.values())
        lines = (form.skip_lines or 0) + 1
        delimiter = declared or _most_frequent(text)
        return Dialect("utf-8", 0, delimiter, quote, backslash, columns, 0, lines, ())
    best: _Header | None = None
    for delimiter in dict.fromkeys([*([declared] if declared else []), *_DELIMITERS]):
        for found in _headers(text, delimiter, quote, form.skip_lines or 0, expected):
            if best is None or found.matched > best.matched:
                best = found
            if form.skip_lines is not None:
                break
    if best is None or not _is_header(best.matched, best.cells, expected):
        raise _no_header(text, expected, shown)
    delimiter = best.delimiter
    if declared and delimiter != declared:
        names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
        said = f"Agreed are {names.get(declared, declared)}, the file has {names.get(delimiter, delimiter)}."
        raise AskTheSchool.of("FILE_DELIMITER", said, shown)
    notes = [] if best.line == 1 else [f"{best.line - 1} lines before the header"]
    if best.lines > 1:
        notes.append(f"header over {best.lines} lines")
    blank = _blank_after(text, best, quote)
    if blank:
        notes.append("a blank after each delimiter")
    return Dialect(
        "utf-8", 0, delimiter, quote, backslash, best.cells, best.line, best.last + 1, tuple(notes),
        blank_after_delimiter=blank, page_headers=form.page_headers,
    )  # fmt: skip


@dataclass(frozen=True)
class _Header:
    """What may be the header: how many expected columns it has, and where it stands."""

    matched: int
    delimiter: str
    line: int
    last: int
    lines: int
    cells: tuple[str, ...]


def _headers(
    text: str, delimiter: str, quote: str | None, skip_lines: int, expected: Expected
) -> Iterator[_Header]:
    """Every record of the file's start as a header, by itself and put together with the next ones."""
    records = [r for r in _records(text, delimiter, quote) if r[0] > skip_lines]
    for number, (line, last, cells) in enumerate(records):
        yield _Header(_matched(cells, expected), delimiter, line, last, 1, cells)
        for more in range(1, HEADER_LINES):
            below = records[number + 1 : number + 1 + more]
            if len(below) < more or any(len(one[2]) != len(cells) for one in below):
                break
            parts = zip(cells, *(one[2] for one in below), strict=True)
            joined = tuple(" ".join(p.strip() for p in part if p.strip()) for part in parts)
            last = below[-1][1]
            yield _Header(_matched(joined, expected), delimiter, line, last, 1 + more, joined)


def _matched(cells: tuple[str, ...], expected: Expected) -> int:
    return len({c for c in expected.match(cells) if c is not None})


def _blank_after(text: str, header: _Header, quote: str | None) -> bool:
    """Whether a blank follows every delimiter, so that it belongs to the delimiter.

    Only where no delimiter stands without one: in the header, and in the rows outside of quotes.
    """
    if header.delimiter == " ":
        return False
    lines = text.splitlines()[header.line - 1 : header.line - 1 + HEADER_WITHIN_LINES]
    if quote:
        inside = re.compile(f"{quote}[^{quote}]*{quote}")
        lines = [inside.sub("", line) for line in lines]
    joined = "\n".join(lines[:-1] or lines)
    signs = joined.count(header.delimiter)
    return signs > 0 and joined.count(f"{header.delimiter} ") == signs


def _records(
    text: str, delimiter: str, quote: str | None
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """First line, last line and cells of the records at the start of a file, read leniently."""
    lines = text.splitlines()[:HEADER_WITHIN_LINES]
    if quote is None:
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quotechar=quote)
    before = 0
    try:
        for cells in reader:
            if cells:
                yield before + 1, reader.line_num, tuple(cells)
            before = reader.line_num
    except csv.Error:
        return


def _is_header(matched: int, cells: tuple[str, ...], expected: Expected) -> bool:
    """Half of the required columns, or of all that could be there, is a header and not a chance."""
    needed = len(expected.required) or len(set(expected.names.values()))
    return matched * 2 >= min(needed, len(set(expected.names.values()))) and matched > 0


def _no_header(text: str, expected: Expected, shown: str) -> AskTheSchool:
    wanted = ", ".join(f"`{group[0]}`" for group in expected.required[:6])
    lines = [line for line in text.splitlines()[:HEADER_WITHIN_LINES] if line.strip()]
    widths = {sum(line.count(d) for d in _DELIMITERS) for line in lines}
    printed = sum(": " in line for line in lines) * 4 >= len(lines)
    if printed or (len(widths) > 4 and len(lines) > 10):
        said = f"This looks like a printed report, not a table; expected were the columns {wanted}."
        return AskTheSchool.of("FILE_NOT_A_TABLE", said, shown)
    said = f"None of the first {HEADER_WITHIN_LINES} lines has the expected columns {wanted}."
    return AskTheSchool.of("FILE_HEADER_NOT_FOUND", said, shown)


def _most_frequent(text: str) -> str:
    first = text.splitlines()[:20]
    return max(_DELIMITERS, key=lambda sign: sum(line.count(sign) for line in first))


def transcode(source: Path, encoding: str, bom_bytes: int, target: Path) -> Path:
    """The file as UTF-8 with line feeds where it has only carriage returns; `source` where it is that.

    Bytes that the encoding does not have become U+FFFD, and their rows are rejected later.
    """
    with source.open("rb") as stream:
        sample = stream.read(SAMPLE_BYTES)
    old_mac = b"\r" in sample and b"\n" not in sample
    if encoding == "utf-8" and not bom_bytes and not old_mac:
        return source
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    with source.open("rb") as stream, target.open("wb") as out:
        stream.seek(bom_bytes)
        while chunk := stream.read(1 << 22):
            if encoding == "utf-8":  # bytes that are no UTF-8 stay, so that their rows are named
                out.write(chunk.replace(b"\r", b"\n") if old_mac else chunk)
                continue
            text = decoder.decode(chunk)
            out.write((text.replace("\r", "\n") if old_mac else text).encode())
    return target
