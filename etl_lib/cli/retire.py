"""`etl retire`: ends a client; what goes and what stays is shown with its numbers first."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl_lib.airflow_edge.connections import bucket
from etl_lib.cli.person import who
from etl_lib.cli.provision import must_be_client_id
from etl_lib.cli.quiet import quiet
from etl_lib.cli.run import local_home
from etl_lib.config.project import Project
from etl_lib.database import database_url
from etl_lib.errors import EtlError, Fault, FixTheSetup

if TYPE_CHECKING:
    from etl_lib.onboarding.provision import Plan
    from etl_lib.onboarding.retire import Ending, Place

_WITHOUT = "There are no buckets: everything lies in ETL_HOME."


def retire(
    client: Annotated[str, typer.Argument(help="The client; the name of its mapping file.")],
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Its rows and files stay.")] = False,
    erase: Annotated[bool, typer.Option("--erase", help="Its rows and files go, for ever.")] = False,
    without_buckets: Annotated[bool, typer.Option("--without-buckets", help=_WITHOUT)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking for the name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:  # fmt: skip
    """End a client: access, integration and, with --erase, its data; exit code 1 when you say no."""
    from etl_lib.onboarding.retire import ending_of, fate_of

    must_be_client_id(client)
    project, url = Project.load(), database_url()
    fate = fate_of(project, client, keep_data, erase)
    with quiet():
        places = places_of(project, client, without_buckets)
        ending = ending_of(project, client, url, fate, _access(project, client), places)
    if not as_json:
        _show(Console(), project, ending)
    said = ""
    if ending.is_nothing:
        said = "There is nothing left to do."
    elif dry_run:
        said = "Nothing was changed."
    elif not yes and not _named(client):
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(1)
    else:
        with quiet():
            said = ending.apply(who())
    if as_json:
        typer.echo(json.dumps({**_as_dict(ending), "said": said}, indent=2))
        return
    typer.echo(said)
    if not ending.is_nothing and not dry_run:
        for line in _yours(ending):
            typer.echo(f"- {line}")


def places_of(project: Project, client: str, without_buckets: bool) -> list[Place]:
    """Every folder of objects that can be the client's: in both buckets, and at this machine's ETL_HOME.

    Raises FixTheSetup (RETIRE_IMPOSSIBLE) when a bucket's connection is not here, for what lies in it
    would be forgotten.
    """
    from etl_lib.onboarding.retire import Place

    home = local_home()
    places = [
        Place(f"{name}/{client} in ETL_HOME", home.at(name, client))
        for name in ("archive", "staging", "outbox")
    ]
    if without_buckets:
        return places
    environment, faults = project.environment, []
    for place, names in (
        (environment.storage, ("archive", "staging")), (environment.client_folders, ("clients",)),
    ):  # fmt: skip
        try:
            storage = bucket(place.conn_id, place.bucket)
        except EtlError as error:
            text = f"The bucket {place.bucket} cannot be reached from here: {error.faults[0].text}"
            hint = "Call the command where Airflow's connections are, or say `--without-buckets`."
            faults.append(Fault("RETIRE_IMPOSSIBLE", text, hint=hint))
            continue
        places += [Place(f"s3://{place.bucket}/{n}/{client}", storage.at(n, client)) for n in names]
    if faults:
        raise FixTheSetup(faults)
    return places


def _access(project: Project, client: str) -> Plan | None:
    from etl_lib.onboarding.provision import Wish, settings_of, target_of

    try:
        settings_of(project)
    except FixTheSetup:  # this environment makes no users
        return None
    return target_of(project, client).plan(Wish(client, revoke=True))


def _named(client: str) -> bool:
    if not sys.stdin.isatty():
        typer.echo("There is nobody to ask: give `--yes` to do it.", err=True)
        return False
    return str(typer.prompt(f"Type {client} to do this", default="", show_default=False)) == client


def _show(console: Console, project: Project, ending: Ending) -> None:
    console.print(f"[bold]{ending.client_id}[/bold] leaves: {_FATES[ending.fate]}", highlight=False)
    if ending.retired:
        at, by = ending.retired
        console.print(f"It was retired on {at:%d %B %Y} by {by}.", highlight=False)
    table = Table("what", "how much", "would be")
    table.columns[1].justify = "right"
    for step in ending.access.steps if ending.access else ():
        table.add_row(Text(step.what), "", Text(f"{step.verb} {step.words}".strip()))
    for path in (ending.mapping, ending.samples):
        if path:
            files = sum(1 for one in path.rglob("*") if one.is_file()) if path.is_dir() else 1
            table.add_row(
                Text(project.shown(path)), f"{files:,} files", "removed, for you to commit"
            )
    word = "erased" if ending.fate == "erase" else "kept"
    for (schema, name), count in ending.rows.items():
        if count:
            table.add_row(Text(f"{schema}.{name}"), f"{count:,} rows", word)
    for place, count in ending.places:
        if count:
            table.add_row(Text(place.name), f"{count:,} objects", word)
    console.print(table)
    numbers = f"{ending.row_count:,} rows and {ending.object_count:,} objects"
    console.print(f"[bold]{numbers} would be {word}.[/bold]", highlight=False)


_FATES = {"erase": "its data is erased, for ever", "keep": "its data is kept"}


def _yours(ending: Ending) -> list[str]:
    """What the command cannot do for a person."""
    client = ending.client_id
    lines = []
    if ending.mapping or ending.samples:
        lines.append(f"Commit the removal: git commit -am 'Retire {client}'")
    lines.append(f"Airflow keeps its record of the DAG: airflow dags delete {client}")
    lines.append(
        f"If there is one, remove the connection: airflow connections delete sftp_{client}"
    )
    if ending.fate == "erase":
        lines.append(
            "Backups of the database and the buckets still hold the data until they expire."
        )
    return lines


def _as_dict(ending: Ending) -> dict[str, Any]:
    from etl_lib.cli.provision import plan_as_dict

    return {
        "client_id": ending.client_id,
        "data": ending.fate,
        "access": plan_as_dict(ending.access) if ending.access else None,
        "mapping": ending.mapping is not None,
        "samples": ending.samples is not None,
        "rows": {f"{schema}.{name}": n for (schema, name), n in ending.rows.items() if n},
        "objects": {place.name: n for place, n in ending.places if n},
        "row_count": ending.row_count,
        "object_count": ending.object_count,
    }
