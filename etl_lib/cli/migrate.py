"""`etl migrate`: makes the tables and views, and adds new optional columns."""

from __future__ import annotations

import typer

from etl_lib.config.project import Project
from etl_lib.database import database_url
from etl_lib.load.tables import migrate_if_needed


def migrate() -> None:
    """Bring the tables in line with the entity files; refuse what could lose data, with instructions."""
    changes = migrate_if_needed(database_url(), Project.load().entities)
    for change in changes or ["nothing to change"]:
        typer.echo(change)
