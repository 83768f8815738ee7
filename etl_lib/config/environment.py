"""What an environment file says: which connections, buckets and clients, and what it overrides."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import Field

from etl_lib.config.entity import Model, Name

ENVIRONMENT_VARIABLE = "ETL_ENVIRONMENT"
DEFAULT_ENVIRONMENT = "development"


class Place(Model):
    """A bucket behind an Airflow connection."""

    conn_id: str
    bucket: str


class Environment(Model):
    """One of development, staging, production (or a name of your own)."""

    environment: Name
    database_conn_id: str = "etl_database"
    storage: Place = Field(description="Archive, staging and snapshots.")
    client_folders: Place = Field(description="clients/<client_id>/inbox and outbox.")
    clients: Literal["all"] | tuple[str, ...] = "all"
    history_days: int = Field(
        90, ge=1, description="How long runs can be undone; before-images go by whole months."
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="The last layer over every mapping of this environment."
    )


def environment_name() -> str:
    """The environment of this process, from ETL_ENVIRONMENT."""
    return os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ENVIRONMENT
