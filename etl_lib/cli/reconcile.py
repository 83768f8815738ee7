"""`etl reconcile`: compares the target with the last loaded delivery. `etl expire`: drops old history."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from etl_lib.cli.archives import known_archives
from etl_lib.cli.outcome import tell
from etl_lib.cli.run import local_run
from etl_lib.config.project import Project
from etl_lib.database import database_url
from etl_lib.errors import EtlError
from etl_lib.load.tables import migrate_if_needed
from etl_lib.metrics.schema import expire_history
from etl_lib.metrics.status import GREEN
from etl_lib.run import Wishes


def reconcile(
    client: Annotated[str, typer.Argument(help="The client; the name of its mapping file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Say what in the target is not as the last loaded delivery says; exit code 1 when something differs."""
    from etl_lib.extract import keys_of_environment
    from etl_lib.metrics.board import run_report
    from etl_lib.reconcile import reconcile as compare

    project, url = Project.load(), database_url()
    migrate_if_needed(url, project.entities)
    archives, unreachable = known_archives(project, client)
    run = local_run(client, Wishes())
    run = replace(run, run_id=run.run_id.replace("cli__", "reconcile__cli__"), kind="reconcile")
    try:
        outcome = compare(run, project.environment_name, archives, lambda _: keys_of_environment())
    except EtlError as error:
        if unreachable and error.faults[0].code == "ARCHIVE_LOST":
            typer.echo(unreachable, err=True)
        raise
    report = run_report(url, client, run.run_id)
    messages = report["messages"] if report else []
    tell(run, outcome, None, as_json, messages)
    raise typer.Exit(0 if outcome.status in GREEN else 1)


def expire() -> None:
    """Drop the months of before-images that are older than the environment's history_days."""
    days = Project.load().environment.history_days
    for month in expire_history(database_url(), days) or ["nothing older"]:
        typer.echo(month)
