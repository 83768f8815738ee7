"""Makes, changes and ends a client's SFTP access, where the environment's file says that users live."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from etl_lib.config.environment import Provisioning, sftp_address
from etl_lib.config.project import Project
from etl_lib.errors import FixTheSetup
from etl_lib.onboarding.provision.keys import PublicKey, public_keys
from etl_lib.onboarding.provision.local import KeyFolder
from etl_lib.onboarding.provision.plan import Address, Plan, Step, Target, Verb, Wish

KEYS_VARIABLE = "ETL_SFTP_KEYS"

__all__ = [
    "KEYS_VARIABLE", "Address", "Plan", "PublicKey", "Step", "Target", "Verb", "Wish", "address_of",
    "public_keys", "settings_of", "target_of",
]  # fmt: skip


def settings_of(project: Project) -> Provisioning:
    """Where users live: the environment's `provisioning`, unless this machine says otherwise.

    ETL_SFTP_KEYS names the folder of key files of an rclone server and wins. Raises FixTheSetup
    (PROVISION_UNAVAILABLE) when neither says anything.
    """
    given = project.environment.provisioning
    if folder := os.environ.get(KEYS_VARIABLE):
        return Provisioning(kind="local", keys=folder)
    if given is None:
        where = f"include/environments/{project.environment_name}.yaml"
        text = "The environment does not say where SFTP users are made: it has no `provisioning`."
        raise FixTheSetup.of("PROVISION_UNAVAILABLE", text, where)
    return given


def address_of(project: Project, client_id: str) -> Address:
    """How the client reaches its folder, as far as the environment's `sftp` and ETL_SFTP_… say it.

    Raises FixTheSetup (PROVISION_UNAVAILABLE) for a variable that cannot be one.
    """
    try:
        known = sftp_address(project.environment, os.environ)
    except ValidationError as error:
        names = ", ".join(f"ETL_SFTP_{str(one['loc'][0]).upper()}" for one in error.errors())
        text = f"The variable {names} is not what it must be."
        raise FixTheSetup.of("PROVISION_UNAVAILABLE", text) from None
    if known is None:
        return Address("", 22, client_id, "")
    return Address(known.host, known.port, client_id, known.fingerprint or "")


def target_of(project: Project, client_id: str) -> Target:
    """The place where the client's user is made; nothing is asked of it yet."""
    given, address = settings_of(project), address_of(project, client_id)
    if given.kind == "local":
        return KeyFolder(project.include.parent / Path(given.keys or ""), address)
    import boto3

    from etl_lib.onboarding.provision.transfer import TransferFamily

    names = {"server": given.server or "", "role": given.role or "", "kms_key": given.kms_key or ""}
    return TransferFamily(
        environment=project.environment_name,
        region=given.region or "",
        bucket=project.environment.client_folders.bucket,
        names=names,
        address=address,
        session=boto3.Session(region_name=given.region),
    )
