"""The Pollock benchmark (VLDB 2023) on a local checkout: this reader and its peers, told and not told.

Run as `python -m benchmarks.pollock --checkout DIR`; nothing of the checkout is kept but the figures.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks.results import Figure, Table, keep
from benchmarks.scoring import ERROR, Rows, Score, read_loaded, score, simple, weighted
from benchmarks.throwaway import SCRIPTS, environment
from etl_lib.config.mapping import FileFormat
from etl_lib.errors import AskTheSchool
from etl_lib.extract.reader.columns import Expected, folded

OURS = "this reader"
PEERS = {
    "told": (
        "duckdb", "duckdb, strict", "pandas", "pandas, told the dialect", "CleverCSV", "CleverCSV, told the dialect",
        "polars", "Python csv",
    ),
    "untold": ("duckdb", "duckdb, strict", "pandas", "CleverCSV", "polars", "Python csv"),
}  # fmt: skip
_MOST_LOST, _WEIGHTED = 23_700, {"told": 9.90, "untold": 9.0}
_HEADS = (
    "System", "Simple", "Weighted", "Files with wrong rows", "Wrong rows", "Wrong cell by cell",
    "Rows lost per million", "Of these told by line", "Files refused", "CPU s",
)  # fmt: skip
_HOW = (
    "{files} broken files of Pollock (VLDB 2023), a score of 0 to 10 each; its scoring, written anew, gives "
    "the figures published for the results that its repository holds. A system's error scores 0, as "
    "there, but for {nothing}, which has nothing in it to load: whoever refuses that counts as having "
    "loaded nothing (worth {worth:.3f} of the weighted score). A wrong row is a loaded row that is not in the "
    "clean file: as Pollock compares, with the cells run together, and cell by cell, which also sees values "
    "in the wrong column. A lost row is one of the clean file that was not loaded; those of refused files count."
)
_TITLES = {
    "told": "Told the columns",
    "untold": "Told nothing",
}
_NOTES = {
    "told": "This reader knows each file's columns, and whether it has a header, as a mapping says them; nothing of "
    "delimiter, quotation mark, escape, line end or encoding, unless its line says so. Each peer is called as "
    "Pollock's own script for it calls it (DuckDB with all parameters of the file and all forgiveness, pandas with "
    "all but the delimiter, CleverCSV with the encoding alone), and once more as it suits the question: DuckDB "
    "strict and with its table of rejects, the others with all parameters.",
    "untold": "Each system knows the file alone. DuckDB finds out everything, with the forgiving settings of Pollock's "
    "script, and once more strict, with all columns as text and its table of rejects; pandas with `sep=None`, "
    "leaving out the lines that it cannot read, and saying which; CleverCSV and Python csv with their sniffers; "
    "polars leaving out errors.",
}


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
    lines: list[int] = field(
        default_factory=list
    )  # of each loaded row, header first where there is one
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

    @property
    def wrong_files(self) -> int:
        """Files taken with at least one wrong row, whichever way it is compared."""
        return sum(1 for one in self.scores.values() if one.wrong or one.misplaced)

    @property
    def wrong(self) -> int:
        """Wrong rows as Pollock compares."""
        return sum(len(one.wrong) for one in self.scores.values())

    @property
    def misplaced(self) -> int:
        """Wrong rows cell by cell."""
        return sum(len(one.misplaced) for one in self.scores.values())

    @property
    def lost(self) -> int:
        """Rows of the clean files that were not loaded."""
        return sum(len(one.lost) for one in self.scores.values())

    @property
    def lost_per_million(self) -> float:
        """The same, of a million."""
        return 1e6 * self.lost / sum(one.rows for one in self.scores.values())

    @property
    def refused(self) -> int:
        """Files that were not loaded."""
        return sum(1 for one in self.scores.values() if not one.success)

    def told_by_line(self, files: Sequence[Polluted]) -> int:
        """Lost rows of which the system said the line in the polluted file."""
        return sum(
            one.line_of(row) in self.reads[one.name].rejected
            for one in files for row in self.scores[one.name].lost
        )  # fmt: skip


def main(
    checkout: Annotated[Path, typer.Option(envvar="POLLOCK", help="A checkout of Pollock.")],
    ours_only: Annotated[bool, typer.Option(help="Without the peers; nothing is kept.")] = False,
    told: Annotated[bool, typer.Option(help="The run that knows the columns.")] = True,
    untold: Annotated[bool, typer.Option(help="The run that knows the file alone.")] = True,
    listing: Annotated[
        bool, typer.Option("--list", help="Each file with wrong or lost rows, and why.")
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
    modes = [mode for mode, wanted in (("told", told), ("untold", untold)) if wanted]
    with environment(SCRIPTS / "requirements.txt", venv) as python, TemporaryDirectory() as scratch:
        bench = _Bench(checkout, files, weights, python, Path(scratch))
        if published:
            bench.check_published()
            return
        results = {mode: bench.run(mode, ours_only) for mode in modes}
    for mode, found in results.items():
        typer.echo(_table(mode, found, files, weights).markdown)
        if listing:
            _list(files, found[0])
    if not ours_only and not only and len(modes) == 2:
        _keep(files, weights, results)


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
    with TemporaryDirectory() as scratch:
        try:
            if mode == "untold":
                form, expected, guessed = _guessed(path, Path(scratch))
            else:
                form, expected = _declared(columns, given, mode == "fully told")
            read = _accepted(path, form, expected, Path(scratch), rows)
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


def _declared(
    columns: list[str], given: dict[str, Any], fully: bool
) -> tuple[FileFormat, Expected]:
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
    from etl_lib.extract.reader.guess import guess

    found = guess(path, path.name, scratch / "sample")
    form = found.form.model_dump(exclude_defaults=True)
    return found.form, found.expected, f"{form} {list(found.expected.names.values())}"


def _accepted(path: Path, form: FileFormat, expected: Expected, scratch: Path, rows: Rows) -> Read:
    """The accepted rows to `rows`, under the header when the file has one. Raises AskTheSchool."""
    from etl_lib.extract.reader.table import open_table

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


@dataclass(frozen=True)
class _Bench:
    """The benchmark's files with all that scoring them takes."""

    checkout: Path
    files: Sequence[Polluted]
    weights: Mapping[str, float]
    python: Path
    work: Path

    def run(self, mode: str, ours_only: bool) -> list[Result]:
        """This reader first, then itself told more, then the peers."""
        ours = [
            (mode, OURS),
            *([("fully told", f"{OURS}, told the dialect")] if mode == "told" else []),
        ]
        results = []
        for how, system in ours:
            folder = self.work / how / OURS
            results.append(self.scored(system, folder, _ours(self.files, how, folder)))
        for system in () if ours_only else PEERS[mode]:
            folder = self.work / mode / system
            command: list[str | Path] = [
                self.python,
                SCRIPTS / "load.py",
                system,
                mode,
                self.checkout,
                folder,
            ]
            subprocess.run(command, check=True)
            said = json.loads((folder / "read.json").read_text())
            reads = {
                name: Read(one["cpu_s"], dict.fromkeys(one["reported"], "")) for name, one in said.items()
            }  # fmt: skip
            results.append(self.scored(system, folder, reads))
        return results

    def scored(
        self, system: str, folder: Path, reads: dict[str, Read], refusal_of_nothing: bool = True
    ) -> Result:
        """The scores of what a system wrote to a folder."""
        loaded = {one.name: read_loaded(folder / f"{one.name}_converted.csv") for one in self.files}
        for name, read in reads.items():
            if read.lines and read.lines[0] != 0:
                loaded[name] = replace(loaded[name], headless=True)
        tables = [rows for one in self.files for rows in (one.clean, loaded[one.name].rows)]
        normal = self._normal(cell for rows in tables for row in rows for cell in row)
        scores = {
            one.name: score(
                one.clean, loaded[one.name], normal.__getitem__, one.header, refusal_of_nothing
            )
            for one in self.files
        }
        return Result(system, scores, reads, sum(read.cpu_s for read in reads.values()))

    def _normal(self, cells: Iterable[str]) -> dict[str, str]:
        """Each distinct cell's normalised form, by Pollock's own function in its own environment."""
        distinct = sorted(set(cells))
        done = subprocess.run(
            [self.python, SCRIPTS / "normalise.py", self.checkout],
            input=json.dumps(distinct), capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = dict(zip(distinct, json.loads(done.stdout), strict=True))
        odd = sum(1 for form in found.values() if form is None)
        if odd:
            typer.echo(f"{odd} cells that Pollock cannot normalise are taken as they are")
        return {cell: cell if form is None else form for cell, form in found.items()}

    def check_published(self) -> None:
        """The scores that we find for the results in the checkout, beside the published ones."""
        results = self.checkout / "results"
        with (results / "aggregate_results_polluted_files.csv").open() as stream:
            known = list(csv.DictReader(stream))
        for row in known:
            folder = results / row["sut"] / "polluted_files" / "loading"
            if not all((folder / f"{one.name}_converted.csv").exists() for one in self.files):
                continue
            scores = self.scored(row["sut"], folder, {}, refusal_of_nothing=False).scores
            typer.echo(
                f"{row['sut']:14} simple {simple(scores):.4f}, published {float(row['pollock_simple']):.4f}; "
                f"weighted {weighted(scores, self.weights):.4f}, "
                f"published {float(row['pollock_weighted']):.4f}"
            )


# --- what is printed -------------------------------------------------------------------------------


def _table(
    mode: str, results: Sequence[Result], files: Sequence[Polluted], weights: Mapping[str, float]
) -> Table:
    rows = [
        (
            one.system, f"{simple(one.scores):.3f}", f"{weighted(one.scores, weights):.3f}",
            f"{one.wrong_files:,}", f"{one.wrong:,}", f"{one.misplaced:,}", f"{one.lost_per_million:,.0f}",
            f"{one.told_by_line(files):,} of {one.lost:,}", f"{one.refused:,}", f"{one.cpu_s:.0f}",
        )
        for one in results
    ]  # fmt: skip
    return Table(_TITLES[mode], _HEADS, rows, _NOTES[mode])


def _keep(
    files: Sequence[Polluted], weights: Mapping[str, float], results: Mapping[str, Sequence[Result]]
) -> None:
    nothing = [one.name for one in files if not one.clean]
    share = sum(weights[name] for name in nothing) / sum(weights[one.name] for one in files)
    told, untold = results["told"][0], results["untold"][0]
    peers = results["untold"][1:]
    fewest = min(peers, key=lambda one: (one.misplaced, one.wrong))
    silent = told.lost - told.told_by_line(files)
    figures = [
        Figure("Told the columns: files taken with a wrong row", f"{told.wrong_files}", "0", told.wrong_files == 0),
        Figure(
            "Told the columns: wrong rows, as Pollock compares and cell by cell",
            f"{told.wrong} and {told.misplaced}", "0 and 0", not told.wrong and not told.misplaced,
        ),
        _at_least("Told the columns", told, weights, _WEIGHTED["told"]),
        Figure(
            "Told the columns: rows lost per million, the bad ones included", f"{told.lost_per_million:,.0f}",
            f"under {_MOST_LOST:,}", told.lost_per_million < _MOST_LOST,
        ),
        Figure("Told the columns: lost rows not told by line", f"{silent:,}", "0", silent == 0),
        _at_least("Told nothing", untold, weights, _WEIGHTED["untold"]),
        Figure(
            "Told nothing: wrong rows cell by cell",
            f"{untold.misplaced:,}; fewest of a peer {fewest.misplaced:,} ({fewest.system})",
            "fewer than any peer", untold.misplaced < fewest.misplaced,
        ),
    ]  # fmt: skip
    how = _HOW.format(files=f"{len(files):,}", nothing=", ".join(nothing), worth=10 * share)
    tables = [_table(mode, found, files, weights) for mode, found in results.items()]
    keep("pollock", "Pollock: broken files", how, figures, tables)


def _at_least(what: str, result: Result, weights: Mapping[str, float], target: float) -> Figure:
    found = weighted(result.scores, weights)
    return Figure(f"{what}: weighted score", f"{found:.3f}", f"above {target:.2f}", found > target)


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
