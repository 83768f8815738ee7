"""`etl test`: every client's sample gives the rows, rejects and counts that are kept beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from etl_lib.cli.samples import in_processes, own_server
from etl_lib.config.project import Project
from etl_lib.storage import scratch_folder

if TYPE_CHECKING:
    from etl_lib.onboarding.golden import Verdict

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
    with scratch_folder() as scratch, own_server(scratch / "postgres", "etl test") as databases:
        jobs = [
            (
                project, client_id, databases(f"sample_{number}"), databases(f"example_{number}"),
                scratch / f"home_{number}",
            )
            for number, client_id in enumerate(clients)
        ]  # fmt: skip
        yield from in_processes(_judged, jobs)


def _judged(job: tuple[Project, str, str, str, Path]) -> Verdict:
    from etl_lib.onboarding.golden import judge

    return judge(*job)


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
