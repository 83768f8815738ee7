"""Airflow's connections as what the stages work with: a database, a bucket, a school's files, our keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.errors import FixTheSetup

if TYPE_CHECKING:
    from etl_lib.extract import PgpKeys, Source
    from etl_lib.storage import Storage


def conninfo(conn_id: str) -> str:
    """The connection string of an Airflow connection to PostgreSQL."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from psycopg.conninfo import make_conninfo

    connection = _existing(lambda: PostgresHook(postgres_conn_id=conn_id).get_connection(conn_id))
    return make_conninfo(
        host=connection.host,
        port=connection.port,
        user=connection.login,
        password=connection.password,
        dbname=connection.schema,
    )


def bucket(conn_id: str, name: str) -> Storage:
    """A bucket behind an Airflow connection of type aws, as our Storage."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from etl_lib.storage import Storage

    hook = S3Hook(aws_conn_id=conn_id)
    _existing(lambda: hook.get_connection(conn_id))  # the provider goes on without one
    settings = hook.conn_config
    keys = hook.get_credentials()
    return Storage.s3(
        name,
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.token,
        endpoint_url=settings.get_service_endpoint_url("s3"),
        region=hook.region_name,
        config=hook.config,
    )


def archive_of(project: Project, client_id: str) -> Storage:
    """The archive of the client's deliveries, as the runs of Airflow fill it."""
    place = project.environment.storage
    return bucket(place.conn_id, place.bucket).at("archive", client_id)


def lasting_client(conn_id: str) -> Any:
    """boto3's client of an Airflow connection of type aws that renews its own credentials.

    To make one takes 0.17 CPU s and 12 MB: for who keeps it for hours.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return _existing(S3Hook(aws_conn_id=conn_id).get_conn)


def source_of(
    resolved: ResolvedMapping, bucket_name: str, client_of: Callable[[str], Any] | None = None
) -> Source:
    """The place of the client's files, through the hook of its connection.

    `bucket_name`: the environment's for client folders, where the mapping names none. `client_of`: gives
    the S3 client of a connection, in place of one for the length of a task.
    """
    from etl_lib.extract import LocalSource, S3Source, SftpSource

    place = resolved.mapping.source
    path = place.path.format(client_id=resolved.client_id)
    if place.type == "local":
        return LocalSource(Path(path))
    if place.type == "s3":
        name = place.bucket or bucket_name
        client = client_of(place.conn_id) if client_of else bucket(place.conn_id, name).client
        return S3Source(client, name, path)
    from airflow.providers.sftp.hooks.sftp import SFTPHook

    _check_host_key(place.conn_id)
    return SftpSource(lambda: SFTPHook(ssh_conn_id=place.conn_id).get_managed_conn(), path)


def pgp_keys_of(resolved: ResolvedMapping) -> PgpKeys:
    """Our private keys for the client's encrypted files: `private_key` in the connection's extra.

    Raises FixTheSetup when the connection does not exist or holds none.
    """
    from airflow.sdk import Connection

    from etl_lib.extract import PgpKeys

    conn_id = resolved.mapping.source.pgp_conn_id
    connection = _existing(lambda: Connection.get(conn_id))
    try:
        private_key = connection.extra_dejson.get("private_key")
    except ValueError:
        private_key = None
    return PgpKeys.of(f"The connection `{conn_id}`", private_key, connection.password)


def _check_host_key(conn_id: str) -> None:
    """Raise FixTheSetup for a connection that would trust any server."""
    from airflow.providers.sftp.hooks.sftp import SFTPHook

    try:
        hook = _existing(lambda: SFTPHook(ssh_conn_id=conn_id))
        checked = hook.host_key is not None and not hook.no_host_key_check
    except ValueError:  # the provider's own word for a key that is not to be checked
        checked = False
    if not checked:
        text = f"The connection `{conn_id}` does not check the server's host key."
        hint = "Put `host_key` in its extra, and take `no_host_key_check` out."
        raise FixTheSetup.of("CONNECTION_UNSAFE", text, hint=hint)


def _existing(get: Callable[[], Any]) -> Any:
    """What `get` gives; a connection that does not exist is said in words."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return get()
    except AirflowNotFoundException as error:
        raise FixTheSetup.of("CONNECTION_MISSING", f"{error}.".replace("..", ".")) from None
