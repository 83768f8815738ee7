"""`etl undo`: puts back what one run changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from etl_lib.cli.outcome import tell
from etl_lib.cli.person import who
from etl_lib.cli.run import local_run
from etl_lib.config.project import Project
from etl_lib.database import connected, database_url
from etl_lib.errors import CannotUndo
from etl_lib.load.tables import migrate_if_needed
from etl_lib.metrics.acts import Act, record_act
from etl_lib.metrics.undone import find_run
from etl_lib.pipeline import undo_all
from etl_lib.run import Wishes


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
    this_run = replace(local_run(wanted.client_id, wishes), kind="undo")
    try:
        outcome, plan = undo_all(this_run, project)
    except CannotUndo as refused:
        typer.echo(str(refused), err=True)
        raise typer.Exit(1) from None
    if not dry_run:
        record_act(url, wanted.client_id, Act.UNDO, by, wanted.shown, run_id=wanted.run_id)
    tell(this_run, outcome, plan, as_json)
