"""Pollock's measures (VLDB 2023) of a loaded table against the clean one, and the rows that are wrong or lost.

Per file a score of 0 to 10: success, and precision, recall and F1 of header, records and cells. Records
are compared as Pollock does, with the normalised cells of a row run together; a row whose values moved
to another column passes there, so the rows that are not right cell by cell are counted as well.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Rows = list[list[str]]
Normal = Callable[[str], str]
ERROR = "Application Error"  # first line of what a system wrote that could not load the file
_NOTHING = (0.0,) * 9


@dataclass(frozen=True)
class Loaded:
    """What a system made of a file: its rows, or that it gave up.

    Pollock takes the first row for the header; `headless`: the system says that it is a row like the others.
    """

    rows: Rows
    success: bool
    headless: bool = False


@dataclass(frozen=True)
class Score:
    """One file: `measures` are header, record and cell precision, recall and F1 in this order.

    `wrong` and `misplaced` hold the rows that are not in the clean file, compared as Pollock does and
    cell by cell; `lost` the clean file's rows (their numbers, from 0) that were not loaded.
    """

    success: float
    measures: tuple[float, ...]
    wrong: tuple[int, ...] = ()
    misplaced: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()
    rows: int = 0

    @property
    def total(self) -> float:
        """0 to 10."""
        return self.success + sum(self.measures)


def read_loaded(path: Path) -> Loaded:
    """A system's converted file, as Pollock reads it."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    first = text.splitlines()[:1]
    if first == [ERROR]:
        return Loaded([], success=False)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Loaded(list(csv.reader(io.StringIO(text, newline=""))), success=True)


def score(
    clean: Rows, loaded: Loaded, normal: Normal, header: bool = True, refusal_of_nothing: bool = False
) -> Score:  # fmt: skip
    """One file's score. `header`: the file has one. `normal` gives a cell's normalised form.

    `refusal_of_nothing`: to refuse a file whose clean form is empty counts as loading it; Pollock itself
    gives 0 for each error.
    """
    if not clean:
        right = loaded.success or refusal_of_nothing
        wrong = tuple(range(1, len(loaded.rows)))  # the first is a header
        return Score(float(right), (1.0,) * 9 if right else _NOTHING, wrong, wrong)
    skip = 1 if header else 0
    clean_rows = [_run_together(row, normal) for row in clean[skip:]]
    if not loaded.success:
        return Score(0.0, _NOTHING, lost=tuple(range(len(clean_rows))), rows=len(clean_rows))
    loaded_rows = [_run_together(row, normal) for row in loaded.rows]
    measures = (
        *_agreement([normal(c) for c in clean[0]], [normal(c) for c in (loaded.rows or [[]])[0]]),
        *_agreement(clean_rows if skip else clean_rows[1:], loaded_rows[1:]),
        *_agreement(_cells(clean), _cells(loaded.rows)),
    )
    # A file without header may have been loaded under a made-up one: then that is no wrong row.
    as_row = loaded.headless or (not header and bool(set(loaded_rows[:1]) & set(clean_rows)))
    at = 0 if as_row else 1
    right_cells = [_trimmed(row, normal) for row in clean[skip:]]
    loaded_cells = [_trimmed(row, normal) for row in loaded.rows[at:]]
    return Score(
        1.0, measures,
        wrong=tuple(n + at for n in _surplus(loaded_rows[at:], clean_rows)),
        misplaced=tuple(n + at for n in _surplus(loaded_cells, right_cells)),
        lost=_surplus(clean_rows, loaded_rows[at:]),
        rows=len(clean_rows),
    )  # fmt: skip


def simple(scores: Mapping[str, Score]) -> float:
    """The mean of the files' scores."""
    return sum(one.total for one in scores.values()) / len(scores)


def weighted(scores: Mapping[str, Score], weights: Mapping[str, float]) -> float:
    """The mean by how often each kind of pollution was found in real files."""
    given = {name: weights.get(name, -1.0) for name in scores}
    return sum(scores[name].total * weight for name, weight in given.items()) / sum(given.values())


def _run_together(row: Sequence[str], normal: Normal) -> str:
    return "".join(normal(cell) for cell in row)


def _trimmed(row: Sequence[str], normal: Normal) -> tuple[str, ...]:
    """The row's cells without empty ones at its end, which no value depends on."""
    cells = [normal(cell) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return tuple(cells)


def _cells(rows: Rows) -> list[str]:
    return [cell for row in rows for cell in row]


def _agreement(right: Sequence[str], found: Sequence[str]) -> tuple[float, float, float]:
    """Pollock's three measures of two multisets (it calls the share of the clean one precision)."""
    if not right:
        return 1.0, 1.0, 1.0
    common = (Counter(right) & Counter(found)).total()
    if not common:
        return 0.0, 0.0, 0.0
    precision, recall = common / len(right), common / len(found)
    return precision, recall, 2 * precision * recall / (precision + recall)


def _surplus(rows: Sequence[object], others: Iterable[object]) -> tuple[int, ...]:
    """The numbers of the rows that the others do not hold, each as often as it is missing there."""
    left = Counter(others)
    found = []
    for number, row in enumerate(rows):
        if left[row] > 0:
            left[row] -= 1
        else:
            found.append(number)
    return tuple(found)
