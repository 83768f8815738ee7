"""`etl test-drop`: answers now what a school has put into `inbox/test/`, also when it was answered before."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from etl_lib.cli.outcome import exit_code, tell
from etl_lib.cli.person import who
from etl_lib.cli.provision import must_be_client_id
from etl_lib.cli.quiet import quiet
from etl_lib.config.project import Project
from etl_lib.database import DATABASE_VARIABLE


def test_drop(
    client: Annotated[str, typer.Argument(help="The client; the name of its mapping file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Read the client's test files and put the report into its outbox/test; nothing is loaded, no mail is sent.

    The DAG `test-drops` does it by itself every five minutes, and then writes to the contacts.
    """
    from etl_lib.airflow_edge.test_drops import answer_of, drop_of

    must_be_client_id(client)
    project = Project.load()
    project.resolve(client)  # a mistake in the mapping is said before anything is looked for
    with quiet():
        drop = drop_of(project, client)
        if drop:
            url = os.environ.get(DATABASE_VARIABLE, "")
            answered = answer_of(project, drop, None, who(), url)
    if drop is None:
        typer.echo(f"Nothing lies in clients/{client}/inbox/test.", err=True)
        raise typer.Exit(1)
    tell(answered.run, answered.outcome, answered.plan, as_json)
    raise typer.Exit(exit_code(answered.outcome.status))
