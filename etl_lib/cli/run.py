"""`etl run`: the four stages in this process, against any PostgreSQL 18 and a folder of files."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

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
from rich.table import Table

from etl_lib.cli.person import who
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.database import database_url
from etl_lib.errors import FixTheSetup
from etl_lib.metrics.status import GREEN, RunStatus
from etl_lib.pipeline import run_all
from etl_lib.report import Outcome
from etl_lib.run import Progress, Run, Wishes, folder_name
from etl_lib.storage import Storage

HOME_VARIABLE = "ETL_HOME"
OVERWRITE_NEWER = "Load although a newer delivery is loaded."
COUNT_COLUMNS = (
    "read", "inserted", "updated", "unchanged", "deleted_by_row", "rejected", "duplicates",
    "filtered", "deleted_by_absence", "restored", "unresolved",
)  # fmt: skip


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
    samples = plan.samples if plan and dry_run else []
    if as_json:
        typer.echo(json.dumps(as_dict(this_run, outcome, samples), indent=2))
    else:
        show_outcome(console, outcome, samples)
    raise typer.Exit(exit_code(outcome.status))


def at_rest(resolved: ResolvedMapping) -> ResolvedMapping:
    """The mapping for files that lie in a folder: they are not still being uploaded."""
    delivery = resolved.mapping.delivery.model_copy(update={"stable_s": 0})
    mapping = resolved.mapping.model_copy(update={"delivery": delivery})
    return resolved.model_copy(update={"mapping": mapping})


def local_home() -> Storage:
    """Where runs without Airflow keep their files: ETL_HOME, default `.local/etl`."""
    return Storage.local(Path(os.environ.get(HOME_VARIABLE) or ".local/etl"))


def local_run(client_id: str, wishes: Wishes, progress: Any) -> Run:
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


_SAYS_NO = (RunStatus.AWAITING_APPROVAL, RunStatus.REFUSED, RunStatus.SUPERSEDED)


def exit_code(status: RunStatus) -> int:
    """0 for a green run, 1 for one that waits for a person, 2 for bad input or set-up."""
    if status in GREEN:
        return 0
    return 1 if status in _SAYS_NO else 2


def as_dict(run: Run, outcome: Outcome, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The outcome as JSON says it; counts as integers."""
    return {
        "client_id": run.client_id,
        "run_id": run.run_id,
        "dry_run": run.wishes.dry_run,
        "status": outcome.status,
        "sentence": outcome.sentence,
        "counts": [count.model_dump() for count in outcome.counts],
        "outbox_files": list(outcome.outbox_files),
        "samples": samples,
    }


def show_outcome(console: Console, outcome: Outcome, samples: list[dict[str, Any]]) -> None:
    """The outcome as a person reads it: counts, changed rows of a dry run, status and sentence."""
    if outcome.counts:
        table = Table("feed", "entity", *(name.replace("_", " ") for name in COUNT_COLUMNS))
        for column in table.columns[2:]:
            column.justify = "right"
        for count in outcome.counts:
            numbers = [f"{getattr(count, name):,}" for name in COUNT_COLUMNS]
            table.add_row(count.feed, count.entity, *numbers)
        console.print(table)
    if samples:
        table = Table("entity", "would", "key (masked)", "columns")
        for sample in samples:
            columns = ", ".join(sample["columns"])
            table.add_row(sample["entity"], sample["action"], sample["key"], columns)
        console.print(table)
    console.print(f"[bold]{outcome.status}[/bold]: {outcome.sentence}", highlight=False)
    for name in outcome.outbox_files:
        console.print(f"written for the school: {name}", highlight=False)
