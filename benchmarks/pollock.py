"""The Pollock benchmark (VLDB 2023) on a local checkout: this reader and its peers, told and not told.

Run as `python -m benchmarks.pollock --checkout DIR`; nothing of the checkout is kept but the figures.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.results import Figure, keep
from benchmarks.scoring import ERROR, Loaded, Rows, Score, read_loaded, score, simple, weighted
from benchmarks.throwaway import SCRIPTS, environment
from etl_lib.config.mapping import FileFormat
from etl_lib.errors import AskTheSchool
from etl_lib.extract.columns import Expected, folded

OURS = "this reader"
_MEASURING = ("price-parser==0.4.0", "python-dateutil==2.9.0.post0")
_BUDGET_LOST, _WEIGHTED_TOLD, _WEIGHTED_UNTOLD = 23_700, 9.90, 9.0


@dataclass(frozen=True)
class Polluted:
    """One file of the benchmark: where it lies, what a mapping says of it, its clean rows."""

    name: str
    path: Path
    parameters: dict[str, Any]
    clean: Rows

    @property
    def header(self) -> bool:
        """Whether the file has a header."""
        return bool(self.parameters["header_lines"])

    @property
    def columns(self) -> list[str]:
        """The names that Pollock gives its systems: the file's, or made-up ones where it has none."""
        names = [str(name).strip() for name in self.parameters["column_names"]]
        return names or [f"col_{n}" for n in range(max(1, int(self.parameters["n_columns"])))]

    def line_of(self, row: int) -> int:
        """The line of a clean row in the polluted file; no value of the benchmark spans lines."""
        before = int(self.parameters["preamble_lines"]) + int(self.parameters["header_lines"])
        return before + row + 1


@dataclass(frozen=True)
class Read:
    """What reading one file gave besides its rows."""

    cpu_s: float
    rejected: dict[int, str] = field(default_factory=dict)  # line to code
    lines: list[int] = field(default_factory=list)  # of each loaded row, header first where there is one
    refused: list[str] = field(default_factory=list)
    failure: str = ""  # an exception that is no refusal
    guessed: str = ""


@dataclass(frozen=True)
class Result:
    """A system's scores of all files and how it read them (empty for peers: they tell only the time)."""

    system: str
    scores: dict[str, Score]
    reads: dict[str, Read]
    cpu_s: float

    def wrong_files(self) -> int:
        """Files taken with at least one wrong row."""
        return sum(1 for one in self.scores.values() if one.wrong)

    def per_million(self) -> float:
        """Rows of the clean files that were not loaded."""
        rows = sum(one.rows for one in self.scores.values())
        return 1e6 * sum(len(one.lost) for one in self.scores.values()) / rows


def main(
    checkout: Annotated[Path, typer.Option(envvar="POLLOCK", help="A checkout of Pollock.")],
    ours_only: Annotated[bool, typer.Option(help="Without the peers; nothing is kept.")] = False,
    told: Annotated[bool, typer.Option(help="The run that knows the columns.")] = True,
    untold: Annotated[bool, typer.Option(help="The run that knows the file alone.")] = True,
    listing: Annotated[
        bool, typer.Option("--list", help="Each file with wrong or lost rows, and why.")
    ] = False,
    fully_told: Annotated[
        bool, typer.Option(help="Tell delimiter, quote, escape and encoding as well.")
    ] = False,
    published: Annotated[
        bool, typer.Option(help="Score what the checkout holds of other systems, and stop.")
    ] = False,
    only: Annotated[str, typer.Option(help="Files whose name holds this.")] = "",
    venv: Annotated[
        Path | None, typer.Option(help="Keep the peers' environment here, for a next time.")
    ] = None,
) -> None:
    """Score the systems, print the tables, and keep them unless only a part was run."""
    files = [one for one in _files(checkout) if only in one.name]
    weights = json.loads((checkout / "pollock_weights.json").read_text())
    with _workplace(_MEASURING, venv) as (python, work):
        if published:
            _check_published(checkout, files, weights, python)
            return
        modes = [*(["told"] if told else []), *(["untold"] if untold else [])]
        if fully_told:
            modes = ["fully_told"]
        for mode in modes:
            ours = _ours(files, mode, work / mode / "ours")
            result = _scored(OURS, files, work / mode / "ours", ours, checkout, python)
            _print(mode, [result], weights)
            if listing:
                _list(files, result)


@contextmanager
def _workplace(requirements: Sequence[str], venv: Path | None) -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as work, environment(requirements, venv) as python:
        yield python, Path(work)


def _files(checkout: Path) -> list[Polluted]:
    folder = checkout / "polluted_files"
    found = []
    for path in sorted((folder / "csv").glob("*.csv")):
        given = json.loads((folder / "parameters" / f"{path.name}_parameters.json").read_text())
        clean = read_loaded(folder / "clean" / path.name).rows
        found.append(Polluted(path.name, path, given, clean))
    return found


# --- this reader -----------------------------------------------------------------------------------


def _ours(files: Sequence[Polluted], mode: str, out: Path) -> dict[str, Read]:
    """Every file through the reader; its rows go to `out` in Pollock's form."""
    out.mkdir(parents=True)
    jobs = [(one.path, one.columns, one.parameters, mode, out) for one in files]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        reads = pool.map(_read, *zip(*jobs, strict=True), chunksize=16)
        return dict(zip((one.name for one in files), reads, strict=True))


def _read(path: Path, columns: list[str], given: dict[str, Any], mode: str, out: Path) -> Read:
    begun = time.process_time()
    rows: Rows = []
    guessed = ""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            if mode == "untold":
                form, expected, guessed = _guessed(path, Path(scratch))
            else:
                form, expected = _declared(columns, given, mode == "fully_told")
            read = _table(path, form, expected, Path(scratch), rows)
        except AskTheSchool as error:
            read = Read(0, refused=[fault.code for fault in error.faults])
        except Exception as error:  # noqa: BLE001 (a failure of the reader is a result here)
            read = Read(0, failure=f"{type(error).__name__}: {error}")
    with (out / f"{path.name}_converted.csv").open("w", encoding="utf-8", newline="") as target:
        if read.refused or read.failure:
            target.write(f"{ERROR}\n")
        else:
            csv.writer(target).writerows(rows)
    return Read(
        time.process_time() - begun, read.rejected, read.lines, read.refused, read.failure, guessed
    )


def _declared(columns: list[str], given: dict[str, Any], fully: bool) -> tuple[FileFormat, Expected]:
    """What a mapping says: the columns, and whether there is a header; `fully`: how it is written too."""
    said: dict[str, Any] = {"header": bool(given["header_lines"])}
    if fully:
        sign, quote = given["delimiter"].replace("\t", "tab"), given["quotechar"]
        said |= {"delimiter": sign} if sign in (",", ";", "tab", "|", " ") else {}
        said |= {"quote": quote or "none", "encoding": given["encoding"]}
        said |= {"escape": "backslash"} if given["escapechar"] == "\\" else {}
    names = {folded(name): name for name in columns}
    return FileFormat(**said), Expected(names, tuple((name,) for name in columns))


def _guessed(path: Path, scratch: Path) -> tuple[FileFormat, Expected, str]:
    from etl_lib.extract.guess import guess

    found = guess(path, path.name, scratch / "sample")
    form = found.form.model_dump(exclude_defaults=True)
    return found.form, found.expected, f"{form} {list(found.expected.names.values())}"


def _table(
    path: Path, form: FileFormat, expected: Expected, scratch: Path, rows: Rows
) -> Read:
    """The accepted rows to `rows`, under the header when the file has one. Raises AskTheSchool."""
    from etl_lib.extract.reading import open_table

    opened = open_table(path, form, expected, path.name, scratch / "utf8")
    names = list(opened.wanted.values())
    lines: list[int] = []
    if form.header:
        rows.append(names)
        lines.append(0)
    for table in opened.reader.batches():
        columns = [table[name].to_pylist() for name in names]
        rows += map(list, zip(*columns, strict=True))
        lines += table["_line"].to_pylist()
    accepted = len(rows) - form.header
    assert opened.reader.rows_read == accepted + len(opened.reader.rejected), "rows do not add up"
    return Read(0, rejected=dict(opened.reader.rejected), lines=lines)


# --- scores ----------------------------------------------------------------------------------------


def _scored(
    system: str, files: Sequence[Polluted], folder: Path, reads: dict[str, Read], checkout: Path,
    python: Path, refusal_of_nothing: bool = True,
) -> Result:  # fmt: skip
    """The scores of what a system wrote to a folder."""
    loaded = {one.name: read_loaded(folder / f"{one.name}_converted.csv") for one in files}
    loaded |= {
        name: replace(loaded[name], headless=read.lines[:1] != [0])
        for name, read in reads.items() if read.lines
    }  # fmt: skip
    normal = _normal(
        (cell for one in files for rows in (one.clean, loaded[one.name].rows) for row in rows for cell in row),
        checkout, python,
    )  # fmt: skip
    scores = {
        one.name: score(one.clean, loaded[one.name], normal.__getitem__, one.header, refusal_of_nothing)
        for one in files
    }  # fmt: skip
    return Result(system, scores, reads, sum(read.cpu_s for read in reads.values()))


def _normal(cells: Iterable[str], checkout: Path, python: Path) -> dict[str, str]:
    """Each distinct cell's normalised form, by Pollock's own function in its own environment."""
    distinct = sorted(set(cells))
    done = subprocess.run(
        [python, SCRIPTS / "normalise.py", checkout],
        input=json.dumps(distinct), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = dict(zip(distinct, json.loads(done.stdout), strict=True))
    odd = [cell for cell, form in found.items() if form is None]
    if odd:
        typer.echo(f"{len(odd)} cells that Pollock cannot normalise are taken as they are")
    return {cell: cell if form is None else form for cell, form in found.items()}


def _check_published(
    checkout: Path, files: Sequence[Polluted], weights: Mapping[str, float], python: Path
) -> None:
    """The scores that we find for the results in the checkout, beside the published ones."""
    with (checkout / "results" / "aggregate_results_polluted_files.csv").open() as stream:
        known = {row["sut"]: row for row in csv.DictReader(stream)}
    for system, row in known.items():
        folder = checkout / "results" / system / "polluted_files" / "loading"
        if not all((folder / f"{one.name}_converted.csv").exists() for one in files):
            continue
        scores = _scored(system, files, folder, {}, checkout, python, False).scores
        typer.echo(
            f"{system:14} simple {simple(scores):.4f} (published {float(row['pollock_simple']):.4f}), "
            f"weighted {weighted(scores, weights):.4f} (published {float(row['pollock_weighted']):.4f})"
        )


# --- what is printed -------------------------------------------------------------------------------


def _reported(files: Sequence[Polluted], result: Result) -> int:
    """Lost rows whose line in the polluted file is among the rejected ones."""
    found = 0
    for one in files:
        read = result.reads.get(one.name)
        lost = result.scores[one.name].lost
        found += sum(1 for row in lost if read and one.line_of(row) in read.rejected)
    return found


def _print(mode: str, results: Sequence[Result], weights: Mapping[str, float]) -> None:
    for result in results:
        scores = result.scores
        typer.echo(
            f"{mode}: {result.system}: simple {simple(scores):.3f}, weighted {weighted(scores, weights):.3f}, "
            f"{result.wrong_files()} files with {sum(len(s.wrong) for s in scores.values())} wrong rows "
            f"({sum(len(s.misplaced) for s in scores.values())} cell by cell), "
            f"{result.per_million():,.0f} rows lost per million, "
            f"{sum(1 for s in scores.values() if not s.success)} files refused, {result.cpu_s:.1f} s"
        )


def _list(files: Sequence[Polluted], result: Result) -> None:
    """One line a file that is not perfect, the worst first."""
    for one in sorted(files, key=lambda one: _badness(result.scores[one.name])):
        found, read = result.scores[one.name], result.reads[one.name]
        if not (found.wrong or found.misplaced or found.lost or found.total < 10):
            continue
        codes = Counter(read.rejected.values())
        silent = [one.line_of(row) for row in found.lost if one.line_of(row) not in read.rejected]
        parts = [
            f"{one.name}: {found.total:.2f}",
            f"refused {read.refused}" if read.refused else "",
            f"FAILED {read.failure}" if read.failure else "",
            f"{len(found.wrong)} wrong at lines {_at(found.wrong, read)}" if found.wrong else "",
            f"{len(found.misplaced)} misplaced at lines {_at(found.misplaced, read)}" if found.misplaced else "",
            f"{len(found.lost)} lost" if found.lost else "",
            f"of these silently lines {_few(silent)}" if silent and not read.refused else "",
            f"rejected {dict(codes)} lines {_few(list(read.rejected))}" if codes else "",
            f"guessed {read.guessed}" if read.guessed else "",
        ]  # fmt: skip
        typer.echo("; ".join(part for part in parts if part))


def _badness(found: Score) -> tuple[int, int, int, float]:
    return -len(found.misplaced), -len(found.wrong), -len(found.lost), found.total


def _at(rows: Sequence[int], read: Read) -> str:
    return _few([read.lines[row] for row in rows if row < len(read.lines)])


def _few(numbers: Sequence[int]) -> str:
    more = "..." if len(numbers) > 8 else ""
    return ",".join(map(str, numbers[:8])) + more


if __name__ == "__main__":
    typer.run(main)
