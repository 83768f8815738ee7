"""`etl roles`: makes the Airflow roles that mappings name."""

from __future__ import annotations

import typer

from etl_lib.airflow_edge.roles import ensure_roles, roles_of
from etl_lib.config.project import Project


def roles() -> None:
    """Make the Airflow roles that mappings name under viewers and operators; may be repeated."""
    wanted = roles_of(Project.load())
    made = ensure_roles(wanted)
    for role in made:
        typer.echo(f"{role}: made")
    typer.echo(f"{len(wanted)} roles named by mappings, {len(made)} made now.")
