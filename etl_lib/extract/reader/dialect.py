"""How a file separates, quotes and escapes its values."""

from __future__ import annotations

from dataclasses import dataclass

DELIMITERS = (",", ";", "\t", "|", " ")
QUOTES = ('"', "'")
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}


@dataclass(frozen=True)
class Dialect:
    """How to read one file.

    `header`: the cells of the header, or the columns' names where the file has none; `header_line`
    counts from 1, 0: no header. The first row begins at the byte `rows_begin_at` of the UTF-8 text,
    in the line `first_row_line`. `widths`: of a file whose columns have a fixed width, in characters;
    then `delimiter` and `quote` say nothing. `confidence`: 0 to 1; `runner_up`: the next likely way.
    """

    delimiter: str
    quote: str | None = '"'
    backslash: bool = False
    blank_after_delimiter: bool = False
    header: tuple[str, ...] = ()
    header_line: int = 0
    first_row_line: int = 1
    rows_begin_at: int = 0
    page_headers: bool = False
    widths: tuple[int, ...] = ()
    confidence: float = 1.0
    runner_up: str = ""
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """In words."""
        if self.widths:
            return "columns of fixed width"
        quote = f"quoted with {self.quote}" if self.quote else "never quoted"
        blank = " and a blank" if self.blank_after_delimiter else ""
        escape = ", escaped with a backslash" if self.backslash else ""
        return f"{named(self.delimiter)}{blank}, {quote}{escape}"


def named(delimiter: str) -> str:
    """A delimiter in words."""
    return _NAMES.get(delimiter, delimiter)
