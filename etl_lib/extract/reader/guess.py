"""Finds out how a file is written when nobody has said anything about it: for a first look, never for a load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from etl_lib.config.mapping import FileFormat
from etl_lib.errors import AskTheSchool
from etl_lib.extract.reader.columns import Expected, folded
from etl_lib.extract.reader.dialect import DELIMITERS, Dialect
from etl_lib.extract.reader.encoding import open_text
from etl_lib.extract.reader.header import HEADER_LINES, HEADER_WITHIN_LINES, readable_lines
from etl_lib.extract.reader.sample import Line, Sampled, likelier, read_sample, styles
from etl_lib.extract.reader.shapes import Shapes, shape_of


@dataclass(frozen=True)
class Guess:
    """The likeliest reading: its format and columns, how sure it is (0 to 1), and the next likely one."""

    form: FileFormat
    expected: Expected
    confidence: float
    runner_up: str


def guess(path: Path, shown: str, scratch: Path) -> Guess:
    """How the file is written. Raises AskTheSchool (FILE_EMPTY, FILE_NOT_A_TABLE) for no text at all."""
    text = open_text(path, None, scratch)
    lines = readable_lines(text.sample(), text.begins_at, shown)
    readings = sorted(_best_styles(lines), key=lambda one: -_score(one))
    best, others = readings[0], readings[1:]
    if not best.rows:
        raise AskTheSchool.of("FILE_NOT_A_TABLE", "No line of the file reads as a row.", shown)
    skipped, header = _header_of(best)
    names = _unique(header or [f"column_{n + 1}" for n in range(best.width)])
    mark = best.dialect.quote
    form = FileFormat(
        delimiter="tab" if best.dialect.delimiter == "\t" else best.dialect.delimiter,
        quote=mark if mark in ('"', "'") else "none",
        escape="backslash" if best.dialect.backslash else "doubled",
        header=bool(header),
        skip_lines=skipped,
    )
    expected = Expected({folded(name): name for name in names}, tuple((name,) for name in names))
    score, next_score = _score(best), _score(others[0])
    sure = score / (score + next_score) if score else 0.0
    return Guess(
        form, expected, round(sure, 3), f"{others[0].dialect.said}, {others[0].width} columns"
    )


def _best_styles(lines: Sequence[Line]) -> Iterator[Sampled]:
    """For each delimiter its best way of quoting."""
    for delimiter in DELIMITERS:
        best: Sampled | None = None
        for way in styles(Dialect(delimiter), None, None, lines):
            sampled = read_sample(lines, way)
            if best is None or likelier(sampled, best):
                best = sampled
        assert best is not None
        yield best


def _score(found: Sampled) -> float:
    """Regular and wide is likely; one column is hardly a table; values of known shapes speak for it."""
    if found.width <= 1:
        return 0.05 * found.share
    cells = [cell for row in found.rows[:200] for cell in row]
    plain = sum(len(shape_of(cell)) <= 12 for cell in cells) / max(len(cells), 1)
    return found.share * (1 - 1 / (found.width + 1)) * (0.5 + 0.5 * plain)


def _header_of(found: Sampled) -> tuple[int, list[str]]:
    """How many lines to skip, and the header's cells; no cells where the file has no header.

    A header is the first row in which every cell is a name; it may go on over the next rows as long
    as they look like no row of values in any telling column.
    """
    rows = found.rows[:HEADER_WITHIN_LINES]
    shapes = Shapes.of(found.rows[HEADER_LINES:])
    for at, row in enumerate(rows):
        if not _are_names(row):
            continue
        agreeing, telling = shapes.agreeing(row)
        if telling and agreeing * 2 > telling:
            break
        cells = list(row)
        for more in rows[at + 1 : at + HEADER_LINES]:
            agreeing, telling = shapes.agreeing(more)
            if not telling or agreeing or not _are_names(more):
                break
            cells = [f"{above} {below}".strip() for above, below in zip(cells, more, strict=True)]
        return found.first_lines[at] - 1, cells
    first = found.first_lines[0] if found.first_lines else 1
    return first - 1, []


def _are_names(cells: Sequence[str]) -> bool:
    """Nearly all are there, differ, and are no numbers."""
    names = [cell.strip() for cell in cells]
    filled = [name for name in names if name]
    return (
        len(filled) * 10 >= len(names) * 9
        and len(set(filled)) == len(filled) > 0
        and not any(name[0].isdigit() or name[0] in "$€-+" for name in filled)
    )


def _unique(names: Sequence[str]) -> list[str]:
    """The names, none of which folds to another's."""
    found: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        clean = name.strip() or f"column_{number}"
        key = folded(clean)
        if not key or key in found:
            clean = f"{clean}_{number}"
        found[folded(clean)] = clean
    return list(found.values())
