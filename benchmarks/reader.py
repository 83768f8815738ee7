"""CPU and memory of the reader, from CSV to a file of columns, as ratios to its peers in one interleaved run.

Run as `python -m benchmarks.reader`; `--rows` makes it smaller, and then nothing is kept.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.people import BROKEN_SHARE, COLUMNS, people
from benchmarks.results import Figure, Table, keep
from benchmarks.throwaway import SCRIPTS, environment

OURS = "this reader"
PLAIN = ("pyarrow", "pyarrow, written as here")
PEERS = (*PLAIN, "duckdb", "polars", "pandas")
_CLEAN_RATIO, _BROKEN_RATIO, _MEMORY_MB = 1.6, 2.0, 400
_FILES = {
    "clean": "Clean",
    "broken": f"{100 * BROKEN_SHARE:.1f} % broken rows of eight kinds",
    "long": "1 % notes of two lines",
    "start": "Ten rows",
}
_HOW = (
    "A file of people ({rows:,} rows, {columns} columns, {size_mb:.0f} MB, always the same) from CSV to a file of "
    "columns, all values as text: Parquet by the peers, by this reader an Arrow file, as the product's stages hand "
    "them on. Each run is a process of its own, start and end included; user and system time of all its "
    "threads; median of {times} runs, one system after another within each of them. Plain pyarrow is "
    "`pyarrow.csv.open_csv`, whose batches go to a `ParquetWriter`, which the "
    "ratios are to, and once to an Arrow file as the product's (lz4). This reader checks every row, "
    "and numbers and explains those that it rejects. What a start costs shows in the file of ten rows. On the "
    "broken file the peers leave out or mend what they find wrong (pyarrow without its check of UTF-8), since "
    "they would give up else."
)


@dataclass(frozen=True)
class Spent:
    """What a process took."""

    cpu_s: float
    peak_mb: float


def main(
    rows: Annotated[int, typer.Option(help="Of the file that is timed; five times that for memory.")] = 1_000_000,
    times: Annotated[int, typer.Option(help="Runs of each system.")] = 5,
    venv: Annotated[
        Path | None, typer.Option(help="Keep the peers' environment here, for a next time.")
    ] = None,
) -> None:  # fmt: skip
    """Time them all, print the table, and keep the result of a run of full size."""
    with TemporaryDirectory() as name, environment(SCRIPTS / "requirements.txt", venv) as python:
        folder = Path(name)
        bench = _Bench(folder, python)
        files = {
            "clean": people(folder / "clean.csv", rows),
            "broken": people(folder / "broken.csv", rows, broken=True),
            "long": people(folder / "long.csv", rows, long_notes=True),
            "start": people(folder / "start.csv", 10),
        }
        size_mb = files["clean"].stat().st_size / 1e6
        found: dict[tuple[str, str], list[Spent]] = defaultdict(list)
        for _ in range(times):
            for kind, file in files.items():
                for system in (OURS, *PEERS):
                    if spent := bench.run(system, file, kind):
                        found[kind, system].append(spent)
        for file in files.values():
            file.unlink()
        large = people(folder / "large.csv", 5 * rows)
        peaks = {system: bench.run(system, large, "clean") for system in (OURS, *PEERS)}
    middle = {
        key: statistics.median(one.cpu_s for one in spent)
        for key, spent in found.items()
        if spent  # none of a system that gives up
    }
    table = _table(middle, found, peaks, rows)
    typer.echo(table.markdown)
    how = _HOW.format(rows=rows, columns=len(COLUMNS), size_mb=size_mb, times=times)
    figures = _figures(middle, found, peaks, rows)
    for figure in figures:
        typer.echo(f"{figure.what}: {figure.found} ({figure.target})")
    if rows == 1_000_000 and times >= 5:
        keep("reader", "The reader: speed and memory", how, figures, [table])


@dataclass(frozen=True)
class _Bench:
    folder: Path
    peers_python: Path

    def run(self, system: str, source: Path, kind: str) -> Spent | None:
        """One system on one file, in a process of its own; None when it gives up."""
        target = self.folder / "staged"
        if system == OURS:
            command = [
                sys.executable,
                "-m",
                "benchmarks.staged",
                str(source),
                str(target),
                *COLUMNS,
            ]
        else:  # pyarrow is the product's own build
            python = sys.executable if system in PLAIN else str(self.peers_python)
            command = [python, str(SCRIPTS / "stage.py"), system, str(source), str(target)]
            command += [kind]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout
        said = process.stdout.read().decode().strip()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            typer.echo(f"{source.stem} {system}: gives up", err=True)
            return None
        target.unlink()
        spent = Spent(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)
        typer.echo(
            f"{source.stem} {system}: {spent.cpu_s:.2f} s, {spent.peak_mb:.0f} MB {said}", err=True
        )
        return spent


def _plain(middle: Mapping[tuple[str, str], float], kind: str) -> float:
    """CPU of plain pyarrow, with its own settings."""
    return middle[kind, PLAIN[0]]


def _figures(
    middle: Mapping[tuple[str, str], float], found: Mapping[tuple[str, str], list[Spent]],
    peaks: Mapping[str, Spent | None], rows: int,
) -> list[Figure]:  # fmt: skip
    figures = []
    for kind, target in (("clean", _CLEAN_RATIO), ("broken", _BROKEN_RATIO)):
        ratio = middle[kind, OURS] / _plain(middle, kind)
        text = f"{_FILES[kind]}: CPU against plain pyarrow"
        figures.append(Figure(text, f"{ratio:.2f}x", f"at most {target}x", ratio <= target))
        work = middle[kind, OURS] - middle["start", OURS]
        plain = middle[kind, PLAIN[0]] - middle["start", PLAIN[0]]
        figures.append(Figure(f"{text}, without the start", f"{work / plain:.2f}x", "reported"))
        ratio = middle[kind, OURS] / middle[kind, PLAIN[1]]
        text = f"{text} that writes with the product's settings"
        figures.append(Figure(text, f"{ratio:.2f}x", "reported"))
    ratio = middle["long", OURS] / _plain(middle, "long")
    figures.append(
        Figure(f"{_FILES['long']}: CPU against plain pyarrow", f"{ratio:.2f}x", "reported")
    )
    small = max(one.peak_mb for kind in _FILES for one in found[kind, OURS])
    ours = peaks[OURS]
    assert ours, "the reader gave up"
    large = ours.peak_mb
    figures.append(
        Figure(
            f"Peak memory, {rows:,} and {5 * rows:,} rows", f"{small:.0f} and {large:.0f} MB",
            f"under {_MEMORY_MB} MB", max(small, large) < _MEMORY_MB,
        )
    )  # fmt: skip
    return figures


def _table(
    middle: Mapping[tuple[str, str], float], found: Mapping[tuple[str, str], list[Spent]],
    peaks: Mapping[str, Spent | None], rows: int,
) -> Table:  # fmt: skip
    titles = [f"{title}: CPU" for title in _FILES.values()]
    heads = ["System", *titles, f"Peak memory, {rows:,} rows", f"{5 * rows:,} rows"]
    lines = []
    for system in (OURS, *PEERS):
        cpu = [_cpu(middle, kind, system) for kind in _FILES]
        small = max((one.peak_mb for one in found["clean", system]), default=0.0)
        large = peaks[system]
        peak = [f"{small:.0f} MB", f"{large.peak_mb:.0f} MB" if large else "gives up"]
        lines.append((system, *cpu, *peak))
    return Table("CPU seconds, and the ratio to plain pyarrow", heads, lines)


def _cpu(middle: Mapping[tuple[str, str], float], kind: str, system: str) -> str:
    cpu_s = middle.get((kind, system))
    return f"{cpu_s:.2f} s, {cpu_s / _plain(middle, kind):.2f}x" if cpu_s else "gives up"


if __name__ == "__main__":
    typer.run(main)
