"""One record by the letter of its dialect: cells where nothing is in doubt, else what is wrong with it."""

from __future__ import annotations

import re
from enum import Enum

from etl_lib.extract.reader.dialect import Dialect


class State(Enum):
    """How a record stands after its lines so far."""

    WHOLE = "whole"
    OPEN = "a quotation mark is not closed yet"
    BROKEN = "a quotation mark stands where none may stand"
    ODD_ESCAPE = "an escape stands before a sign that needs none"


class Record:
    """A record that is read line by line; `cells` hold its values once it is WHOLE.

    A quotation mark may only open a value, close it, or be doubled (or escaped) inside it. Anything
    else is BROKEN: lenient parsers differ there, so nobody can say what was meant.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.cells: list[str] = []
        self._sign = dialect.delimiter
        self._quote = dialect.quote
        self._backslash = dialect.backslash
        self._blank = dialect.blank_after_delimiter
        self._parts: list[str] = []
        self._open = False

    def feed(self, text: str) -> State:
        """Take the record's first line; or, while OPEN, the end of the line before and the next line."""
        if self._quote == "'" and '""' in text:
            return State.ODD_ESCAPE  # a doubled mark of the other kind: an escape, or two letters
        if self._open:
            after = self._inside(text, 0)
            return after if isinstance(after, State) else self._fields(text, after)
        if (self._quote is None or self._quote not in text) and not (
            self._backslash and "\\" in text
        ):
            self.cells = text.split(self._sign)
            if self._blank:
                self.cells = [
                    self.cells[0],
                    *(cell.removeprefix(" ") for cell in self.cells[1:]),
                ]
            return State.WHOLE
        return self._fields(text, 0)

    def _fields(self, text: str, at: int) -> State:
        """The values from `at` on, where one begins."""
        while True:
            if self._blank and at and text.startswith(" ", at):
                at += 1
            if self._quote and text.startswith(self._quote, at):
                self._parts = []
                after = self._inside(text, at + 1)
                if isinstance(after, State):
                    return after
                at = after
                continue
            end = self._end_of_bare(text, at)
            value = text[at:end]
            if self._quote and self._quote in (
                value.replace("\\" + self._quote, "") if self._backslash else value
            ):
                return State.BROKEN
            if self._backslash and "\\" in value:
                plain = self._unescaped(value)
                if plain is None:
                    return State.ODD_ESCAPE
                value = plain
            self.cells.append(value)
            if end == len(text):
                return State.WHOLE
            at = end + 1

    def _end_of_bare(self, text: str, at: int) -> int:
        """Where a value without quotation marks ends."""
        end = text.find(self._sign, at)
        while self._backslash and end > at and _escaped(text, end, at):
            end = text.find(self._sign, end + 1)
        return len(text) if end < 0 else end

    def _inside(self, text: str, at: int) -> State | int:
        """The rest of a quoted value from `at` on; gives where the next one begins, if one does."""
        quote = self._quote or ""
        while True:
            end = text.find(quote, at)
            if self._backslash and (escape := text.find("\\", at, end if end >= 0 else None)) >= 0:
                following = text[escape + 1 : escape + 2]
                if not following or following not in ("\\", quote, self._sign):
                    return State.ODD_ESCAPE
                self._parts += [text[at:escape], following]
                at = escape + 2
                continue
            if end < 0:
                self._open = True
                self._parts.append(text[at:])
                return State.OPEN
            self._parts.append(text[at:end])
            if not self._backslash and text.startswith(quote, end + 1):
                self._parts.append(quote)
                at = end + 2
                continue
            break
        self._open = False
        value = "".join(self._parts)
        self.cells.append(value)
        if end + 1 == len(text):
            return State.WHOLE
        if not text.startswith(self._sign, end + 1):
            return State.BROKEN
        return end + 2

    def _unescaped(self, value: str) -> str | None:
        """A bare value without its escapes, or None when one of them escapes nothing."""
        signs = re.escape(self._sign + (self._quote or ""))
        if re.search(rf"\\(?![\\{signs}])", value.replace("\\\\", "")):
            return None
        return re.sub(r"\\(.)", r"\1", value)


def _escaped(text: str, at: int, begin: int) -> bool:
    """Whether an odd number of backslashes stands right before `at`."""
    slashes = len(text[begin:at]) - len(text[begin:at].rstrip("\\"))
    return slashes % 2 == 1
