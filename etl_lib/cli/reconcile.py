"""`etl reconcile`: compares the target with the last loaded delivery. `etl expire`: drops old history."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from etl_lib.airflow_edge.connections import archive_of
from etl_lib.cli.run import as_dict, local_home, local_run, show_outcome
from etl_lib.config.project import Project
from etl_lib.database import database_url
from etl_lib.errors import EtlError, FixTheSetup
from etl_lib.load.tables import migrate_if_needed
from etl_lib.metrics.schema import expire_history
from etl_lib.metrics.status import GREEN
from etl_lib.run import Progress, Wishes


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
    archives, unreachable = [local_home().at("archive", client)], ""
    try:
        archives.append(archive_of(project, client))
    except FixTheSetup as error:
        unreachable = f"The archive of Airflow's runs cannot be reached: {error}"
    run = local_run(client, Wishes(), _silent)
    run = replace(run, run_id=run.run_id.replace("cli__", "reconcile__cli__"), kind="reconcile")
    try:
        outcome = compare(run, project.environment_name, archives, lambda _: keys_of_environment())
    except EtlError as error:
        if unreachable and error.faults[0].code == "ARCHIVE_LOST":
            typer.echo(unreachable, err=True)
        raise
    report = run_report(url, client, run.run_id)
    messages = report["messages"] if report else []
    if as_json:
        told = [{"code": m["code"], "text": m["text"], "place": m["place"]} for m in messages]
        typer.echo(json.dumps({**as_dict(run, outcome, []), "messages": told}, indent=2))
    else:
        console = Console()
        for message in messages:
            console.print(f"{message['text']}", highlight=False)
        show_outcome(console, outcome, [])
    raise typer.Exit(0 if outcome.status in GREEN else 1)


def expire() -> None:
    """Drop the months of before-images that are older than the environment's history_days."""
    days = Project.load().environment.history_days
    for month in expire_history(database_url(), days) or ["nothing older"]:
        typer.echo(month)


def _silent(_: Progress) -> None:
    """Nobody looks."""
