"""Makes, changes and ends a client's SFTP access, where the environment's file says that users live."""

from __future__ import annotations

import os
from pathlib import Path

from etl_lib.config.environment import Provisioning
from etl_lib.config.project import Project
from etl_lib.errors import FixTheSetup
from etl_lib.onboarding.provision.keys import PublicKey, public_keys, stored_keys
from etl_lib.onboarding.provision.local import KeyFolder
from etl_lib.onboarding.provision.plan import Address, Plan, Step, Target, Verb, Wish

KEYS_VARIABLE = "ETL_SFTP_KEYS"
ADDRESS_VARIABLE = "ETL_SFTP_ADDRESS"
HOST_KEY_VARIABLE = "ETL_SFTP_HOST_KEY"

__all__ = [
    "ADDRESS_VARIABLE", "HOST_KEY_VARIABLE", "KEYS_VARIABLE", "Address", "Plan", "PublicKey", "Step",
    "Target", "Verb", "Wish", "address_of", "public_keys", "settings_of", "target_of",
]  # fmt: skip


def settings_of(project: Project) -> Provisioning:
    """Where users live: the environment's `provisioning`, unless this machine says otherwise.

    ETL_SFTP_KEYS names the folder of key files of an rclone server and wins. Raises FixTheSetup
    (PROVISION_UNAVAILABLE) when neither says anything.
    """
    given = project.environment.provisioning
    if folder := os.environ.get(KEYS_VARIABLE):
        host, port = (given.host, given.port) if given and given.kind == "local" else (None, 22)
        return Provisioning(kind="local", keys=folder, host=host, port=port)
    if given is None:
        where = f"include/environments/{project.environment_name}.yaml"
        text = "The environment does not say where SFTP users are made: it has no `provisioning`."
        raise FixTheSetup.of("PROVISION_UNAVAILABLE", text, where)
    return given


def address_of(project: Project, client_id: str) -> Address:
    """How the client reaches its folder, as far as environment and variables say it.

    ETL_SFTP_ADDRESS is `host:port`, ETL_SFTP_HOST_KEY the server's public key or its fingerprint.
    """
    given = settings_of(project)
    host, port, host_key = given.host or "", given.port, given.host_key or ""
    if address := os.environ.get(ADDRESS_VARIABLE):
        host, _, number = address.rpartition(":")
        port = int(number) if number.isdigit() else port
    if key := os.environ.get(HOST_KEY_VARIABLE):
        found, _ = stored_keys([key])
        host_key = found[0].fingerprint if found else key
    return Address(host, port, client_id, host_key)


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
