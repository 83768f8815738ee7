"""`etl impact`: what a change to include/ or etl_hooks/ does to every client, before it is merged."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from etl_lib.cli.samples import in_processes, own_server
from etl_lib.config.project import Project
from etl_lib.storage import scratch_folder

if TYPE_CHECKING:
    from etl_lib.onboarding.impact import Impact, Side

_AGAINST = "Compare with this commit; without it, where the checkout left main."
_FORM = "A table, a comment for a merge request, or everything as JSON."


class Form(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def impact(
    against: Annotated[str | None, typer.Option(metavar="COMMIT", help=_AGAINST)] = None,
    form: Annotated[Form, typer.Option("--format", help=_FORM)] = Form.TABLE,
    rows: Annotated[int, typer.Option(min=0, help="Differing values shown of each client.")] = 20,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 when a client's result changes.")] = False,
) -> None:  # fmt: skip
    """Show which clients' samples give something else after a change to include/ or etl_hooks/, and what.

    The folders as they lie here, edits that are not committed included, against those of the commit. Both load
    the samples that lie here, with the code that is installed: what a change to the code does, `etl test` says.
    Exit code 0, or with --exit-code 1 for any change; 2: a client is broken by it.
    """
    from etl_lib.onboarding.impact import (
        State,
        as_json,
        earlier,
        markdown,
        side_of,
        summary,
    )

    project = Project.load()
    console = Console()
    found = []
    with scratch_folder() as scratch:
        then = earlier(project, against, scratch / "then")
        for one in impacts(then.side, side_of(project), scratch):
            found.append(one)
            if form is Form.TABLE:
                _show(console, one, rows)
    if form is Form.TABLE:
        console.print(summary(found, then), highlight=False, markup=False, soft_wrap=True)
    else:
        typer.echo(as_json(found, then) if form is Form.JSON else markdown(found, then, rows))
    if any(one.state is State.BROKEN for one in found):
        raise typer.Exit(2)
    raise typer.Exit(1 if exit_code and any(one.changes for one in found) else 0)


def impacts(before: Side, after: Side, scratch: Path) -> Iterator[Impact]:
    """What the change does to each client, by name; only samples of clients that it touches are loaded."""
    from etl_lib.onboarding.impact import Impact, Job, impact_of, play_side, scope

    known = scope(before, after)
    touched = {name: what for name, what in known.items() if not isinstance(what, Impact)}
    if not touched:
        yield from (what for what in known.values() if isinstance(what, Impact))
        return
    with own_server(scratch / "postgres", "etl impact") as databases:
        jobs = [
            Job(
                side, client_id, nights, databases(f"{name}_{number}"), scratch / f"{name}_{number}"
            )
            for number, (client_id, nights) in enumerate(touched.items())
            for name, side in (("before", before), ("after", after))
        ]
        played = in_processes(play_side, jobs)
        for client_id, what in known.items():
            if isinstance(what, Impact):
                yield what
            else:
                yield impact_of(client_id, next(played), next(played))


def _show(console: Console, impact: Impact, rows: int) -> None:
    """Counts first, then the values. Samples are fictitious: values are shown."""
    from etl_lib.onboarding.impact import what_changes

    if not impact.changes:
        return
    console.print(impact.client_id, style="bold", highlight=False, markup=False)
    for words in what_changes(impact):
        console.print(f"  {words}", highlight=False, markup=False, soft_wrap=True)
    if impact.words:
        console.print(impact.words, highlight=False, markup=False, soft_wrap=True)
    if shown := impact.telling[:rows]:
        table = Table("where", "key", "column", "before", "after")
        for line in shown:
            cells = (line.where, line.key, line.column, line.before, line.after)
            table.add_row(*map(escape, cells))
        console.print(table)
    if rows and (more := len(impact.telling) - len(shown)) > 0:
        console.print(f"And {more:,} more; --rows shows them.", highlight=False)
