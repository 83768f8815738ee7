"""`etl run`: the four stages in this process, against any PostgreSQL 18 and a folder of files."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as ProgressBar

from etl_lib.cli.outcome import exit_code, tell
from etl_lib.cli.person import who
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.database import database_url
from etl_lib.errors import FixTheSetup
from etl_lib.pipeline import run_all
from etl_lib.run import Progress, Run, Wishes, folder_name, unwatched
from etl_lib.storage import Storage

HOME_VARIABLE = "ETL_HOME"
OVERWRITE_NEWER = "Load although a newer delivery is loaded."


def run(
    client: Annotated[str, typer.Argument(help="The client; the name of its mapping file.")],
    files: Annotated[Path, typer.Option(help="Folder with the delivery's files.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
    approve: Annotated[bool, typer.Option("--approve", help="Load although a limit is exceeded.")] = False,
    overwrite_newer: Annotated[bool, typer.Option("--overwrite-newer", help=OVERWRITE_NEWER)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:  # fmt: skip
    """Load one delivery of one client: extract, validate, transform, load, with true counts."""
    if not files.is_dir():
        raise FixTheSetup.of("SOURCE_UNAVAILABLE", f"There is no folder `{files}`.")
    project = Project.load()
    project.resolve(client)  # a mistake in the mapping is said before anything is recorded
    console = Console(stderr=as_json)
    with ProgressBar(
        SpinnerColumn(), TextColumn("{task.fields[stage]:<9}"), TextColumn("{task.description}"),
        BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("", stage="", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task, stage=progress.stage, description=progress.what,
                completed=progress.rows, total=progress.rows_total,
            )  # fmt: skip

        wishes = Wishes(
            dry_run=dry_run, approve=approve, by=who(), wait=False, overwrite_newer=overwrite_newer
        )
        this_run = local_run(client, wishes, show)
        from etl_lib.extract import LocalSource, keys_of_environment

        outcome, plan = run_all(
            this_run, project, lambda: at_rest(project.resolve(client)), LocalSource(files),
            keys_of_environment,
        )  # fmt: skip
    tell(this_run, outcome, plan, as_json)
    raise typer.Exit(exit_code(outcome.status))


def at_rest(resolved: ResolvedMapping) -> ResolvedMapping:
    """The mapping for files that lie in a folder: they are not still being uploaded."""
    delivery = resolved.mapping.delivery.model_copy(update={"stable_s": 0})
    mapping = resolved.mapping.model_copy(update={"delivery": delivery})
    return resolved.model_copy(update={"mapping": mapping})


def local_home() -> Storage:
    """Where runs without Airflow keep their files: ETL_HOME, default `.local/etl`."""
    return Storage.local(Path(os.environ.get(HOME_VARIABLE) or ".local/etl"))


def local_run(
    client_id: str, wishes: Wishes, progress: Callable[[Progress], None] = unwatched
) -> Run:
    """A run without Airflow: archive, staging and outbox lie under ETL_HOME (default `.local/etl`)."""
    home = local_home()
    now = datetime.now(UTC)
    run_id = f"cli__{now:%Y-%m-%dT%H:%M:%S.%f}"
    return Run(
        client_id=client_id,
        dag_id=client_id,
        run_id=run_id,
        started_at=now,
        database_url=database_url(),
        archive=home.at("archive", client_id),
        workspace=home.at("staging", client_id, folder_name(run_id)),
        outbox=home.at("outbox", client_id),
        wishes=wishes,
        progress=progress,
    )
