"""What the values of each column look like, to tell a row from something that only has as many fields."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_DIGITS, _LETTERS, _BLANKS = re.compile(r"[0-9]+"), re.compile(r"[^\W\d_]+"), re.compile(r"\s+")
MOST_SHAPES = 4  # a column of more different shapes is free text
MOST_VALUES = 8  # a column of so few values in many rows is a list of codes
LEAST_ROWS = 8
NEARLY_ALL = 0.95


def shape_of(cell: str) -> str:
    """A value with each run of digits as 9 and of letters as a: `2018-01-28` is `9-9-9`."""
    return _BLANKS.sub(" ", _LETTERS.sub("a", _DIGITS.sub("9", cell.strip())))


@dataclass(frozen=True)
class Shapes:
    """By column the shapes that its values have; None for a column of free text.

    `codes`: by column its values where they are few; an empty cell agrees where the rows had one.
    """

    shapes: tuple[frozenset[str] | None, ...]
    codes: tuple[frozenset[str] | None, ...]

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]]) -> Shapes:
        """Learn from rows of equal width."""
        if len(rows) < LEAST_ROWS:
            return cls((), ())
        columns = list(zip(*rows, strict=True))
        return cls(tuple(map(_shapes, columns)), tuple(map(_codes, columns)))

    @property
    def known(self) -> bool:
        """Whether any column tells a row from other text."""
        return any(one is not None for one in (*self.shapes, *self.codes))

    def agreeing(self, cells: Sequence[str]) -> tuple[int, int]:
        """How many of the telling columns a row agrees with, and how many they are."""
        if not self.known:
            return 0, 0
        verdicts = [
            _agrees(cell, shapes, codes)
            for cell, shapes, codes in zip(cells, self.shapes, self.codes, strict=True)
            if shapes is not None or codes is not None
        ]
        return sum(verdicts), len(verdicts)

    def agrees(self, cells: Sequence[str]) -> bool:
        """Whether a row of the right width looks like the others in every telling column."""
        agreeing, telling = self.agreeing(cells)
        return telling > 0 and agreeing == telling


def _shapes(cells: Sequence[str]) -> frozenset[str] | None:
    found = _frequent([shape_of(cell) for cell in cells])
    filled = found - {""}
    if not filled or len(filled) > MOST_SHAPES:
        return None
    return found if all("9" in shape for shape in filled) else None


def _codes(cells: Sequence[str]) -> frozenset[str] | None:
    found = _frequent([cell.strip() for cell in cells])
    few = len(found) <= MOST_VALUES and len(cells) >= 4 * len(found)
    return found if few and found - {""} else None


def _frequent(values: Sequence[str]) -> frozenset[str]:
    """The values that stand more than once, when they are nearly all there are."""
    counts = Counter(values)
    often = {value: count for value, count in counts.items() if count > 1}
    return frozenset(often) if sum(often.values()) >= NEARLY_ALL * len(values) else frozenset()


def _agrees(cell: str, shapes: frozenset[str] | None, codes: frozenset[str] | None) -> bool:
    if codes is not None and cell.strip() in codes:
        return True
    return shapes is not None and shape_of(cell) in shapes
