"""What Airflow shows of a client and when it runs, read from its mapping; a snapshot keeps it for all clients.

Parsing then reads one file instead of merging, checking and linting five hundred mappings.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from pathlib import Path

from pydantic import Field

from etl_lib.airflow_edge.roles import access_control
from etl_lib.config.entity import Model
from etl_lib.config.mapping import Mapping
from etl_lib.config.project import Project
from etl_lib.errors import EtlError

FILE = "described.json"
_READ = "read"  # lies beside FILE as soon as Airflow has begun to parse the snapshot


class Described(Model):
    """A client's DAG in words and times; `mistake`: the linter's words when its mapping is broken.

    `access_control`: role to resource to permissions, as Airflow wants it; empty: administrators only.
    """

    name: str
    description: str
    tags: tuple[str, ...]
    doc: str
    owner: str
    retries: int
    schedule: str | None = None
    timezone: str = "UTC"
    start: datetime | None = None
    access_control: dict[str, dict[str, tuple[str, ...]]] = Field(default_factory=dict)
    mistake: str = ""


def described(project: Project, client_id: str) -> Described:
    """The client's description: out of the snapshot that holds the project, else of its mapping itself."""
    found = _kept(project.include.parent / FILE, project.environment_name).get(client_id)
    return Described.model_validate_json(found) if found else describe(project, client_id)


def describe(project: Project, client_id: str) -> Described:
    """The client's description of its mapping, broken or not."""
    try:
        return _in_order(project, project.resolve(client_id).mapping)
    except EtlError as error:
        return _broken(client_id, error)


def keep_described(folder: Path, environment: str, found: dict[str, Described]) -> None:
    """Put the descriptions of all clients into the snapshot at `folder`."""
    texts = {client_id: one.model_dump_json() for client_id, one in found.items()}
    (folder / FILE).write_text(json.dumps({"environment": environment, "clients": texts}))


def parsing_begins(project: Project) -> None:
    """Note in the snapshot that holds the project, if one does, that Airflow parses it from here on."""
    folder = project.include.parent
    if (folder / FILE).is_file():
        (folder / _READ).touch()


def parsing_has_begun(folder: Path) -> bool:
    """Whether Airflow has begun to parse the snapshot at `folder` since it was made or asked for again."""
    return (folder / _READ).exists()


def to_be_parsed(folder: Path) -> None:
    """Make Airflow parse the snapshot at `folder` (again): it takes up only files whose time is new."""
    (folder / _READ).unlink(missing_ok=True)
    for path in (folder / "dags").glob("*.py"):
        path.touch()


@cache
def _kept(path: Path, environment: str) -> dict[str, str]:
    """Descriptions as JSON by client; none where no snapshot, or one for another environment, lies."""
    if not path.is_file():
        return {}
    kept = json.loads(path.read_text())
    return dict(kept["clients"]) if kept["environment"] == environment else {}


def _in_order(project: Project, mapping: Mapping) -> Described:
    feeds = "\n".join(
        f"| {name} | `{', '.join(feed.file)}` | {'required' if feed.required else 'optional'} | "
        f"{feed.content} | {', '.join(feed.entities)} |"
        for name, feed in mapping.feeds.items()
    )
    when = f"`{mapping.schedule}` in {mapping.timezone}" if mapping.schedule else "by hand"
    doc = f"""**{mapping.client}** sends files out of {mapping.sis}. Responsible: {mapping.owner}.

Runs {when}; mapping `include/mappings/{mapping.client_id}.yaml`, environment {project.environment_name}.

| feed | file | | content | fills |
| --- | --- | --- | --- | --- |
{feeds}
"""
    return Described(
        name=mapping.client,
        description=f"{mapping.client} ({mapping.sis})",
        tags=(mapping.sis, mapping.owner, project.environment_name),
        doc=doc,
        owner=mapping.owner,
        retries=mapping.retries,
        schedule=mapping.schedule,
        timezone=mapping.timezone,
        start=mapping.start_date
        and datetime.combine(mapping.start_date, datetime.min.time(), mapping.zone),
        access_control={
            role: {name: tuple(sorted(rights)) for name, rights in resources.items()}
            for role, resources in access_control(mapping).items()
        },
    )


def _broken(client_id: str, error: EtlError) -> Described:
    return Described(
        name=f"{client_id} (mapping broken)",
        description="The mapping has a mistake; nothing can be loaded until it is corrected.",
        tags=("mapping broken",),
        doc=f"**The mapping has a mistake.**\n\n```\n{error}\n```\n",
        owner="data engineer",
        retries=0,
        mistake=str(error),
    )
