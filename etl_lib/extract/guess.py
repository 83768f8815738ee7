"""Finds out how a file is written when nobody has said anything about it: for a first look, never for a load."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from etl_lib.config.mapping import FileFormat
from etl_lib.errors import AskTheSchool
from etl_lib.extract.columns import Expected, folded
from etl_lib.extract.dialect import SAMPLE_BYTES, encoding_of, transcode

_DELIMITERS = (",", ";", "\t", "|", " ")
_QUOTES = ('"', "'")
_ALLOWED = {"\t": "tab"}


@dataclass(frozen=True)
class Guess:
    """The likeliest reading: its format and columns, how sure it is (0 to 1), and the next likely one."""

    form: FileFormat
    expected: Expected
    confidence: float
    runner_up: str


@dataclass(frozen=True)
class _Reading:
    """A sample read in one way: the usual width of its records and the share that has it."""

    delimiter: str
    quote: str
    width: int
    share: float
    first: tuple[str, ...]

    @property
    def score(self) -> float:
        """Regular and wide is likely; one column is hardly a table."""
        return self.share * (1 - 1 / (self.width + 1)) if self.width > 1 else 0.05 * self.share

    @property
    def said(self) -> str:
        """In words."""
        return f"{self.delimiter!r} with {self.quote}, {self.width} columns"


def guess(path: Path, shown: str, scratch: Path) -> Guess:
    """How the file is written. Raises AskTheSchool (FILE_EMPTY) for a file without text."""
    encoding, bom_bytes, _ = encoding_of(path, None)
    path = transcode(path, encoding, bom_bytes, scratch)
    with path.open("rb") as stream:
        sample = stream.read(SAMPLE_BYTES)
    text = sample.decode("utf-8", errors="replace")
    if not text.strip():
        raise AskTheSchool.of("FILE_EMPTY", "The file is empty.", shown)
    lines = text.splitlines()
    if len(sample) == SAMPLE_BYTES and len(lines) > 1:
        lines.pop()  # cut in its middle
    readings = sorted(
        (_read(lines, delimiter, quote) for delimiter in _DELIMITERS for quote in _QUOTES),
        key=lambda one: -one.score,
    )
    best = readings[0]
    others = [one for one in readings[1:] if one.delimiter != best.delimiter]
    header = _is_header(best.first)
    names = _unique(best.first if header else [f"column_{n + 1}" for n in range(best.width)])
    form = FileFormat(
        delimiter=_ALLOWED.get(best.delimiter, best.delimiter), quote=best.quote, header=header
    )
    expected = Expected({folded(name): name for name in names}, tuple((name,) for name in names))
    sure = best.score / (best.score + others[0].score) if best.score else 0.0
    return Guess(form, expected, round(sure, 3), others[0].said)


def _read(lines: list[str], delimiter: str, quote: str) -> _Reading:
    widths: Counter[int] = Counter()
    firsts: dict[int, tuple[str, ...]] = {}
    try:
        for cells in csv.reader(lines, delimiter=delimiter, quotechar=quote):
            if any(cell.strip() for cell in cells):
                widths[len(cells)] += 1
                firsts.setdefault(len(cells), tuple(cells))
    except csv.Error:
        pass  # a field over the limit: judged by what could be read
    if not widths:
        return _Reading(delimiter, quote, 1, 0.0, ("",))
    width, count = max(widths.items(), key=lambda one: (one[1], one[0]))
    return _Reading(delimiter, quote, width, count / sum(widths.values()), firsts[width])


def _is_header(cells: tuple[str, ...]) -> bool:
    """Names are there, differ, and are no numbers."""
    names = [cell.strip() for cell in cells]
    return all(names) and len(set(names)) == len(names) and not any(n[0].isdigit() for n in names)


def _unique(names: tuple[str, ...] | list[str]) -> list[str]:
    """The names, none of which folds to another's."""
    found: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        clean = name.strip() or f"column_{number}"
        found[folded(clean) if folded(clean) not in found else f"{clean}_{number}"] = clean
    return list(found.values())
