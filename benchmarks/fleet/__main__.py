"""`python -m benchmarks.fleet`: measure the fleet and write docs/benchmarks.md; options make it smaller."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.fleet import parsing, running
from benchmarks.results import keep


def main(
    mappings: Annotated[int, typer.Option(help="Mappings present.")] = 500,
    clients: Annotated[int, typer.Option(help="Of these so many send files.")] = 100,
    rounds: Annotated[int, typer.Option(help="Of each parse.")] = 5,
    large_rows: Annotated[int, typer.Option(help="Rows of a large school; 0: none.")] = 5_000_000,
) -> None:
    """Measure, and write docs/benchmarks.md."""
    folder = Path(tempfile.mkdtemp(prefix="etl-fleet-"))
    try:
        figures, tables = parsing.measured(folder / "parsing", mappings, rounds)
        more, nights = running.measured(folder / "running", mappings, clients, large_rows)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    how = (
        f"{mappings} mappings of four feeds. Parsing: median of {rounds} interleaved processes each. The rest in "
        f"a real Airflow with the LocalExecutor, PostgreSQL and the S3 server on the same machine, "
        f"{clients} clients of {running.ROWS:,} rows at work. CPU seconds include tasks that have ended."
    )
    keep("fleet", "The fleet", how, [*figures, *more], [*tables, *nights])


if __name__ == "__main__":
    typer.run(main)
