"""What an environment file says: which connections, buckets and clients, and what it overrides."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from etl_lib.config.entity import Model, Name
from etl_lib.config.room import PoolName, Slots

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


class Provisioning(Model):
    """Where the schools' SFTP users are made."""

    kind: Literal["transfer_family", "local"] = Field(
        description="AWS Transfer Family before S3, or a folder of key files that rclone's server reads."
    )
    region: str | None = Field(None, description="transfer_family: the AWS region.")
    server: str | None = Field(
        None,
        description="transfer_family: the server's id, or its tag `Name`, as Terraform sets it.",
    )
    role: str | None = Field(
        None, description="transfer_family: name of the IAM role that the server takes for a user."
    )
    kms_key: str | None = Field(
        None, description="transfer_family: alias or id of the KMS key that encrypts the bucket."
    )
    keys: str | None = Field(
        None,
        description="local: the folder of `<client_id>.pub`, from the folder above `include/`.",
    )

    @model_validator(mode="after")
    def has_what_its_kind_needs(self) -> Self:
        """Each kind has keys of its own, all of them and none of the other's."""
        own = {"transfer_family": ("region", "server", "role", "kms_key"), "local": ("keys",)}
        for kind, names in own.items():
            given = [name for name in names if getattr(self, name) is not None]
            if kind == self.kind and len(given) < len(names):
                missing = ", ".join(f"`{name}`" for name in names if name not in given)
                raise ValueError(f"`kind: {kind}` needs {missing}")
            if kind != self.kind and given:
                raise ValueError(f"`{given[0]}` belongs to `kind: {kind}`")
        return self


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
    provisioning: Provisioning | None = Field(
        None, description="Where `etl provision` makes the schools' SFTP users."
    )
    clients: Literal["all"] | tuple[str, ...] = "all"
    pools: dict[PoolName, Slots] = Field(
        default_factory=dict,
        description="Airflow pools that mappings may name under `pool`, with the number of tasks that may "
        "be at work in each at once; made in Airflow, and kept at this number, by the DAG bundle.",
    )
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
