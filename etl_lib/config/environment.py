"""What an environment file says: which connections, buckets and clients, and what it overrides."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from etl_lib.config.entity import Model, Name

ENVIRONMENT_VARIABLE = "ETL_ENVIRONMENT"
DEFAULT_ENVIRONMENT = "development"


class Place(Model):
    """A bucket behind an Airflow connection."""

    conn_id: str
    bucket: str


class SftpAddress(Model):
    """The SFTP server to which schools upload, as their guides name it."""

    host: str
    port: int = Field(22, ge=1, le=65535)
    fingerprint: str | None = Field(
        None,
        pattern=r"^SHA256:[A-Za-z0-9+/]{43}$",
        description="Of the server's Ed25519 key; none: the guide says that we tell it by telephone.",
    )


class Environment(Model):
    """One of development, staging, production (or a name of your own)."""

    environment: Name
    database_conn_id: str = "etl_database"
    storage: Place = Field(description="Archive, staging and snapshots.")
    client_folders: Place = Field(description="clients/<client_id>/inbox and outbox.")
    sftp: SftpAddress | None = Field(
        None, description="Where schools upload; ETL_SFTP_HOST, _PORT and _FINGERPRINT win over it."
    )
    support: str | None = Field(None, description="Mail address to which schools write.")
    clients: Literal["all"] | tuple[str, ...] = "all"
    history_days: int = Field(
        90, ge=1, description="How long runs can be undone; before-images go by whole months."
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="The last layer over every mapping of this environment."
    )


def sftp_address(environment: Environment, variables: Mapping[str, str]) -> SftpAddress | None:
    """The SFTP server of the environment; what `variables` (os.environ, say) name counts more.

    Raises pydantic's ValidationError for a variable that cannot be one.
    """
    known = environment.sftp.model_dump() if environment.sftp else {}
    given = {name: variables.get(f"ETL_SFTP_{name.upper()}") for name in SftpAddress.model_fields}
    found = {**known, **{name: value for name, value in given.items() if value}}
    return SftpAddress.model_validate(found) if found.get("host") else None


def environment_name() -> str:
    """The environment of this process, from ETL_ENVIRONMENT."""
    return os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ENVIRONMENT
