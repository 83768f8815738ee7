"""`etl check` and `etl schema`: the mappings' linter and the JSON Schemas; no database, no Airflow."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from etl_lib.config.project import Project, faults_of_all
from etl_lib.config.schema import json_schemas


def check(
    clients: Annotated[list[str] | None, typer.Argument(help="Clients; all when none is named.")] = None,
) -> None:  # fmt: skip
    """Find every mistake in the mappings: file, line, key, what is wrong, the nearest valid name."""
    found = 0
    checked = 0
    for client_id, faults in faults_of_all(Project.load(), clients or ()):
        checked += 1
        for fault in faults:
            found += 1
            typer.echo(f"{fault}" if fault.where else f"{client_id}: {fault}")
    if found:
        typer.echo(f"{found} mistake{'s' if found > 1 else ''} in {checked} mappings.", err=True)
        raise typer.Exit(2)
    typer.echo(f"{checked} mapping{'s' if checked != 1 else ''} checked, no mistake found.")


def schema() -> None:
    """Write the JSON Schemas with which editors complete and check the YAML files."""
    folder = Project.load().include / "schemas"
    folder.mkdir(exist_ok=True)
    for name, content in json_schemas().items():
        path = folder / f"{name}.schema.json"
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        typer.echo(f"{path} written.")
