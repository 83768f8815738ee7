"""`etl undo`: puts back what one run changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from etl_lib.cli.person import who
from etl_lib.cli.run import as_dict, local_run, show_outcome
from etl_lib.config.project import Project
from etl_lib.database import connected, database_url
from etl_lib.errors import CannotUndo
from etl_lib.load.tables import migrate_if_needed
from etl_lib.metrics.acts import Act, record_act
from etl_lib.metrics.undone import find_run
from etl_lib.pipeline import undo_all
from etl_lib.run import Progress, Wishes


def undo(
    run: Annotated[str, typer.Argument(help="Number or id of the run, as the view shows it.")],
    client: Annotated[str | None, typer.Option(help="Whose run, when several clients have one of this id.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be put back; change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:  # fmt: skip
    """Put back exactly what a run changed; exit code 1 when it names runs to undo first."""
    project, url = Project.load(), database_url()
    migrate_if_needed(url, project.entities)
    with connected(url) as connection:
        wanted = find_run(connection, run, client)
    by = who()
    wishes = Wishes(dry_run=dry_run, undo=str(wanted.run_seq), by=by)
    this_run = replace(local_run(wanted.client_id, wishes, _silent), kind="undo")
    try:
        outcome, plan = undo_all(this_run, project)
    except CannotUndo as refused:
        typer.echo(str(refused), err=True)
        raise typer.Exit(1) from None
    samples = plan.samples if dry_run else []
    if not dry_run:
        record_act(url, wanted.client_id, Act.UNDO, by, wanted.shown, run_id=wanted.run_id)
    if as_json:
        typer.echo(json.dumps(as_dict(this_run, outcome, samples), indent=2))
    else:
        show_outcome(Console(), outcome, samples)


def _silent(_: Progress) -> None:
    """An undo is over before anybody could look."""
