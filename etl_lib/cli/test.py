"""`etl test`: every client's sample gives the rows, rejects and counts that are kept beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from etl_lib.config.project import Project
from etl_lib.errors import FixTheSetup
from etl_lib.storage import scratch_folder

if TYPE_CHECKING:
    from etl_lib.onboarding.golden import Verdict

Databases = Callable[[str], str]  # name of a database to its URL
_MOST_SHOWN = 60


def test(
    clients: Annotated[list[str] | None, typer.Argument(help="Clients.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every client.")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="Keep what comes out as what is expected.")] = False,
) -> None:  # fmt: skip
    """Load the clients' samples into a database of their own, and show what differs from what is kept.

    A client's sample lies in `include/samples/CLIENT/night_1` (and `night_2`, …), what it must give in
    `expected` beside them. The example files of its guide must be loaded without a rejected row.
    Exit code 0: nothing differs, 1: something does, 2: a sample or an example was not loaded.
    """
    project = Project.load()
    chosen = project.client_ids() if every else tuple(clients or ())
    if not chosen:
        raise typer.BadParameter("Name clients, or --all.")
    console = Console()
    code = 0
    for verdict in verdicts(project, chosen):
        if verdict.error:
            console.print(f"[red]{verdict.client_id}[/red]", highlight=False)
            console.print(verdict.error, highlight=False, markup=False, soft_wrap=True)
            code = 2
        elif accept:
            from etl_lib.onboarding.golden import accept as keep

            show(console, verdict)
            changed = keep(project, verdict.client_id, verdict.played)
            console.print(f"{verdict.client_id}: {len(changed)} files written or removed.")
        elif verdict.differences:
            show(console, verdict)
            code = max(code, 1)
        else:
            console.print(f"{verdict.client_id}: as expected.")
    if code == 1:
        words = (
            "Look at each: is it meant? Then `etl test CLIENT --accept`; else mend what changed it."
        )
        console.print(words, markup=False)
    raise typer.Exit(code)


def verdicts(project: Project, clients: Sequence[str]) -> Iterator[Verdict]:
    """How each client's sample fares, in the order given; several processes work on them."""
    with scratch_folder() as scratch, _server(scratch / "postgres") as databases:
        jobs = [
            (
                project, client_id, databases(f"sample_{number}"), databases(f"example_{number}"),
                scratch / f"home_{number}",
            )
            for number, client_id in enumerate(clients)
        ]  # fmt: skip
        workers = min(len(jobs), os.cpu_count() or 1)
        if workers == 1:
            yield from map(_judged, jobs)
            return
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            yield from pool.map(_judged, jobs)


def _judged(job: tuple[Project, str, str, str, Path]) -> Verdict:
    from etl_lib.onboarding.golden import judge

    return judge(*job)


@contextmanager
def _server(folder: Path) -> Iterator[Databases]:
    """A PostgreSQL of this command's own; gives what makes an empty database in it."""
    try:
        from local_stack.postgres import PostgresServer
    except ImportError:
        text = "`etl test` starts a PostgreSQL of its own, and the development requirements are not installed."
        raise FixTheSetup.of("CONNECTION_MISSING", text, hint="Run it in a checkout.") from None
    server = PostgresServer(folder)
    server.start()
    try:
        yield server.ensure_database
    finally:
        server.stop()


def show(console: Console, verdict: Verdict) -> None:
    """What differs, as a table: file, key, column, before, after. Samples are fictitious: values are shown."""
    if not verdict.differences:
        return
    table = Table(
        "file", "key", "column", "before", "after", title=verdict.client_id, title_justify="left"
    )
    for one in verdict.differences[:_MOST_SHOWN]:
        table.add_row(*map(_plain, (one.file, one.key, one.column, one.before, one.after)))
    console.print(table)
    if (more := len(verdict.differences) - _MOST_SHOWN) > 0:
        console.print(f"And {more:,} more.")


def _plain(text: str) -> str:
    """Text in which no bracket is an instruction to the console."""
    from rich.markup import escape

    return escape(text)
