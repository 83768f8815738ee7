"""Finds what an export prints below its rows: totals, counts, the words that say it is complete."""

from __future__ import annotations

import re
from pathlib import Path

from etl_lib.extract.reader.dialect import Dialect

_TAIL_BYTES = 4096
_MOST_LINES = 4
_WORDS = re.compile(
    r"(grand |sub-?)?totals?\b|(sum|count|records?|rows?|number|no\.) of |(total|record|row)s?( count)?\s*[:=]"
    r"|\(?\d+ (rows?|records?)\b|end of (file|report|export|data)|(printed|generated|exported|created) "
    r"|page \d+|report |confidential|[-=*_#]{3,}$",
    re.IGNORECASE,
)


def footer_begins_at(path: Path, dialect: Dialect) -> int:
    """The byte at which a footer begins, or the file's length where there is none.

    A footer stands in the last lines, and its first value is one of the words that reports end with;
    the rest of such a line is nearly empty, so that no row is taken for one.
    """
    size = path.stat().st_size
    begin = max(size - _TAIL_BYTES, dialect.rows_begin_at)
    with path.open("rb") as stream:
        stream.seek(begin)
        tail = stream.read()
    lines = tail.splitlines(keepends=True)
    if begin > dialect.rows_begin_at:
        lines = lines[1:]  # cut in its middle
    at, found = size, size
    seen = 0
    for line in reversed(lines):
        at -= len(line)
        text = line.decode("utf-8", errors="replace").strip()
        if not text.strip(f"{dialect.delimiter} \t"):
            continue
        seen += 1
        if seen > _MOST_LINES:
            break
        if _is_footer(text, dialect):
            found = at
    return found


def _is_footer(text: str, dialect: Dialect) -> bool:
    cells = [cell.strip(" \"'") for cell in text.split(dialect.delimiter or "\0")]
    filled = [cell for cell in cells if cell]
    few = len(filled) <= max(2, len(dialect.header) // 3)
    return bool(filled) and few and _WORDS.match(filled[0]) is not None
