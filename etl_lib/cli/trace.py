"""`etl trace`: what became of one record, by client and key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from etl_lib.cli.archives import known_archives
from etl_lib.cli.person import who
from etl_lib.config.project import Project
from etl_lib.database import database_url
from etl_lib.manifest import masked
from etl_lib.metrics.acts import Act, record_act
from etl_lib.metrics.status import in_words
from etl_lib.trace import Trace, TracedRun
from etl_lib.trace import trace as follow


def trace(
    client: Annotated[str, typer.Argument(help="The client; the name of its mapping file.")],
    key: Annotated[str, typer.Argument(help="The record's key, as the school writes it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say in which deliveries a record came and what became of it; exit code 1 when it is not there."""
    project = Project.load()
    entities = list(project.resolve(client).entities.values())
    url = database_url()
    archives, unreachable = known_archives(project, client)
    found = follow(url, archives, client, key, entities)
    record_act(url, client, Act.TRACE, who(), f"key {masked(key)}")
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _print(Console(), found)
    if unreachable and not all(run.looked for run in found.runs):
        typer.echo(unreachable, err=True)
    raise typer.Exit(0 if any(one.state == "present" for one in found.standing) else 1)


def _print(console: Console, found: Trace) -> None:
    console.print(f"[bold]{found.sentence}[/bold]", highlight=False)
    for run in found.runs:
        of = f", delivery of {run.delivered_on}" if run.delivered_on else ""
        console.print(
            f"{run.started_at:%Y-%m-%d %H:%M} {in_words(run.status)}{of}", highlight=False
        )
        for line in told(run):
            console.print(f"    {line}", highlight=False)


def told(run: TracedRun) -> Iterator[str]:
    """What the run did with the record, a line for each entity and row."""
    for fate in run.fates:
        where = f", {fate.file} line {fate.line}" if fate.file else ""
        what = " ".join(word for word in (fate.outcome.replace("_", " "), fate.code) if word)
        which = f" ({', '.join(fate.columns)})" if fate.columns else ""
        absent = ", no longer in the files" if fate.by_absence else ""
        yield f"{(fate.entity or fate.feed).replace('_', ' ')}: {what}{which}{where}{absent}"
    if not run.fates:
        yield "not in the files" if run.looked else "its files cannot be looked into"
    if run.unreadable:
        yield f"{run.unreadable:,} rejected rows have no key that can be read"
