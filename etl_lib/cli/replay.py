"""`etl replay`: runs a delivery of the archive again, or only the rows that a run has rejected."""

from __future__ import annotations

from typing import Annotated

import typer

from etl_lib.airflow_edge.connections import archive_of
from etl_lib.cli.outcome import exit_code, tell
from etl_lib.cli.person import who
from etl_lib.cli.run import OVERWRITE_NEWER, at_rest, local_run
from etl_lib.config.project import Project
from etl_lib.database import database_url
from etl_lib.load.tables import migrate_if_needed
from etl_lib.metrics.archived import delivery_of_run
from etl_lib.pipeline import run_all
from etl_lib.run import Wishes

_OF_THEN = "Under the mapping with which the run had read them, not that of today."


def replay(
    run: Annotated[str, typer.Argument(help="Number or id of the run, as the view shows it.")],
    client: Annotated[str | None, typer.Option(help="Whose run, when several clients have one of this id.")] = None,
    rejects: Annotated[bool, typer.Option("--rejects", help="Only the rows that the run has rejected.")] = False,
    mapping_of_then: Annotated[bool, typer.Option("--mapping-of-then", help=_OF_THEN)] = False,
    overwrite_newer: Annotated[bool, typer.Option("--overwrite-newer", help=OVERWRITE_NEWER)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
    approve: Annotated[bool, typer.Option("--approve", help="Load although a limit is exceeded.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:  # fmt: skip
    """Run the delivery of a run again, out of the archive, as a new run; exit codes are those of `etl run`."""
    project, url = Project.load(), database_url()
    migrate_if_needed(url, project.entities)
    known = delivery_of_run(url, run, client)
    if not mapping_of_then:
        project.resolve(known.client_id)  # a mistake is said before anything is recorded
    wishes = Wishes(
        dry_run=dry_run, approve=approve, by=who(), wait=False, replay=str(known.run_seq),
        only_rejects=rejects, mapping_of_then=mapping_of_then, overwrite_newer=overwrite_newer,
    )  # fmt: skip
    of_cli = known.run_id.startswith("cli__")
    archives = [] if of_cli else [archive_of(project, known.client_id)]
    this_run = local_run(known.client_id, wishes)
    from etl_lib.extract import keys_of_environment

    outcome, plan = run_all(
        this_run, project, lambda: at_rest(project.resolve(known.client_id)), None,
        keys_of_environment, archives,
    )  # fmt: skip
    tell(this_run, outcome, plan, as_json)
    raise typer.Exit(exit_code(outcome.status))
