"""All checks of the doctor, in the order in which a delivery needs what they look at."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from etl_lib.airflow_edge import post
from etl_lib.airflow_edge.seen import is_configured, seen_dags
from etl_lib.config.environment import Place
from etl_lib.config.project import Project, ResolvedMapping, faults_of_all
from etl_lib.database import connected
from etl_lib.errors import EtlError, Fault, FixTheSetup
from etl_lib.load.tables import is_migrated
from etl_lib.onboarding.doctor.finding import Finding, Outcome, looked, wrongs
from etl_lib.onboarding.doctor.reach import Reach
from etl_lib.onboarding.doctor.sample import SampleTrial, try_sample
from etl_lib.onboarding.provision import (
    Address,
    Plan,
    PublicKey,
    Verb,
    Wish,
    settings_of,
    target_of,
)

if TYPE_CHECKING:
    from etl_lib.storage import Storage

_NO_CONNECTIONS = "no Airflow here; `etl run` keeps its files in ETL_HOME"
_CONNECT_S = 10.0
# without a wish paramiko asks for an ed25519 key first
_OTHER_KINDS = (
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)


def examine(
    project: Project, client_id: str | None, trial: SampleTrial = try_sample
) -> Iterator[Finding]:
    """What every check finds, one after the other: of the environment, then of the client when one is named.

    Raises nothing: what fails is what is found. Changes nothing but a file in the outbox and one in the
    archive's bucket, which go at once. `trial` tries the client's sample.
    """
    reach = Reach(project)
    found: list[Finding] = []

    def go(name: str, check: Any) -> Iterator[Finding]:
        new = looked(name, check)
        found.extend(new)
        yield from new

    environment = project.environment
    yield from go("connections", partial(_connections, reach))
    yield from go("database", partial(_database, reach))
    yield from go("tables", partial(_tables, reach, found))
    yield from go("archive bucket", partial(_bucket, reach, "archive bucket", environment.storage))
    yield from go(
        "schools' bucket", partial(_bucket, reach, "schools' bucket", environment.client_folders)
    )
    yield from go("mail", partial(_mail, reach))
    if client_id is None:
        yield from go("SFTP users", partial(_users, project))
        yield from go("mappings", partial(_mappings, project))
        yield from go("Airflow", partial(_dags, project.client_ids()))
        return
    resolved: list[ResolvedMapping] = []

    def mapping() -> Iterator[Finding]:
        resolved.append(project.resolve(client_id))
        here = client_id in project.client_ids()
        words = "without mistake" if here else "without mistake, but not for this environment"
        yield Finding.ok("mapping", f"{project.shown(project.mapping_path(client_id))} is {words}.")

    yield from go("mapping", mapping)
    yield from go("contacts", partial(_contacts, resolved))
    yield from go("inbox", partial(_inbox, reach, client_id, resolved))
    yield from go("outbox", partial(_outbox, reach, client_id))
    access: list[Plan] = []
    yield from go("SFTP access", partial(_access, project, client_id, access))
    yield from go("host key", partial(_host_key, project, resolved, access))
    yield from go("encryption", partial(_encryption, reach, resolved))
    yield from go("schedule", partial(_schedule, project, resolved))
    yield from go("sample", partial(_sample, reach, client_id, resolved, found, trial))
    yield from go("Airflow", partial(_dags, (client_id,)))


# --- the environment ------------------------------------------------------------------------------------


def _connections(reach: Reach) -> Iterator[Finding]:
    environment = reach.project.environment
    wanted = [environment.database_conn_id, environment.storage.conn_id]
    wanted.append(environment.client_folders.conn_id)
    if not any(reach.has(conn_id) for conn_id in wanted):
        yield Finding.left_out("connections", f"{_NO_CONNECTIONS}.")
        return
    faults: list[Fault] = []
    looks: tuple[Callable[[], object], ...] = (
        reach.url,
        partial(reach.bucket, environment.storage),
        partial(reach.bucket, environment.client_folders),
    )
    for look in looks:
        try:
            look()
        except EtlError as error:
            faults += error.faults
    yield from wrongs("connections", faults)
    if not faults:
        yield Finding.ok("connections", f"{', '.join(dict.fromkeys(wanted))} are there.")


def _database(reach: Reach) -> Iterator[Finding]:
    with connected(reach.url()) as connection:
        version = connection.info.server_version
        name = connection.info.dbname
    yield Finding.ok(
        "database", f"`{name}` answers, PostgreSQL {version // 10000}.{version % 10000}."
    )


def _tables(reach: Reach, found: list[Finding]) -> Iterator[Finding]:
    if _is_wrong(found, "database"):
        yield Finding.left_out("tables", "the database does not answer.")
    elif is_migrated(reach.url(), reach.project.entities):
        yield Finding.ok("tables", "as the entity files say.")
    else:
        text = "The tables were not made from the entity files as they are now."
        yield Finding.wrong("tables", Fault("TABLES_NOT_MIGRATED", text))


def _bucket(reach: Reach, name: str, place: Place) -> Iterator[Finding]:
    if not reach.has(place.conn_id):
        yield Finding.left_out(name, f"{_NO_CONNECTIONS}.")
        return
    storage = reach.bucket(place)
    _must_answer(storage, "")
    said = f"{place.bucket} answers"
    if place == reach.project.environment.storage:
        _try_to_write(storage, "doctor", "STORAGE_UNAVAILABLE")
        said += ", can be written"
    open_ways = _open_ways(storage)
    if open_ways:
        text = f"The bucket {place.bucket} {open_ways}."
        yield Finding.wrong(name, Fault("BUCKET_OPEN", text))
    else:
        yield Finding.ok(name, f"{said} and is closed to people without a login.")


def _open_ways(storage: Storage) -> str:
    """How people without a login could get in; empty when they cannot."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ClientError

    client, name = storage.client, storage.root.partition("/")[0]
    endpoint = client.meta.endpoint_url
    config = Config(
        signature_version=UNSIGNED, s3={"addressing_style": "path"}, connect_timeout=_CONNECT_S,
        retries={"total_max_attempts": 2},
    )  # fmt: skip
    stranger = boto3.client(
        "s3", endpoint_url=endpoint, region_name=client.meta.region_name, config=config
    )
    try:
        stranger.list_objects_v2(Bucket=name, MaxKeys=1)
        return "lists its files to anybody"
    except ClientError:
        pass
    if "amazonaws.com" not in endpoint:  # other servers have no such switch
        return ""
    try:
        block = client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "AccessDenied":
            return ""  # our key may read and write, and nothing else
        block = {}
    missing = [switch for switch, on in block.items() if not on]
    if missing or not block:
        return f"may be opened to the public ({', '.join(missing) or 'no access block'})"
    return ""


def _must_answer(storage: Storage, prefix: str) -> None:
    """Raise FixTheSetup when the bucket cannot be listed, with the reason."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, folder = storage.root.partition("/")
    where = "/".join(part for part in (folder, prefix) if part)
    try:
        storage.client.list_objects_v2(
            Bucket=bucket, Prefix=f"{where}/" if where else "", MaxKeys=1
        )
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise FixTheSetup.of(
            "STORAGE_UNAVAILABLE", f"The bucket {bucket} refuses us: {code}."
        ) from None
    except BotoCoreError as error:
        text = f"The bucket {bucket} does not answer ({type(error).__name__})."
        raise FixTheSetup.of("STORAGE_UNAVAILABLE", text) from None


def _try_to_write(storage: Storage, folder: str, code: str) -> None:
    """Write a small object and remove it; raise FixTheSetup with the code when that fails."""
    key = (
        f"{folder}/.etl_doctor_{secrets.token_hex(6)}"
        if folder
        else f".etl_doctor_{secrets.token_hex(6)}"
    )
    try:
        storage.write_bytes(key, b"a test of etl doctor; it is removed at once\n")
        storage.delete(key)
    except EtlError as error:
        why = error.faults[0].text
        raise FixTheSetup.of(code, f"Nothing can be written to {storage.root}: {why}") from None


def _mail(reach: Reach) -> Iterator[Finding]:
    """Without the connection nothing is wrong: the schools look into their outbox."""
    if not reach.has(post.CONN_ID) or not post.is_there():
        text = f"there is no connection {post.CONN_ID}: schools are told of reports by nobody."
        yield Finding.left_out("mail", text)
        return
    with post.connected() as (_, sender):
        yield Finding.ok("mail", f"the mail server answers; schools are written to as {sender}.")


def _users(project: Project) -> Iterator[Finding]:
    yield Finding.ok("SFTP users", f"{target_of(project, '').check()}.")


def _mappings(project: Project) -> Iterator[Finding]:
    clean = 0
    for client_id, faults in faults_of_all(project):
        yield from wrongs(f"mapping {client_id}", faults)
        clean += not faults
    yield Finding.ok("mappings", f"{clean:,} without mistake.")


# --- one client --------------------------------------------------------------------------------------------


def _contacts(resolved: list[ResolvedMapping]) -> Iterator[Finding]:
    if not resolved:
        yield Finding.left_out("contacts", "the mapping has mistakes.")
        return
    if contacts := resolved[0].mapping.contacts:
        yield Finding.ok("contacts", f"{', '.join(contacts)} are told of reports.")
    else:
        yield Finding.left_out("contacts", "the mapping names none: nobody is told of reports.")


def _inbox(reach: Reach, client_id: str, resolved: list[ResolvedMapping]) -> Iterator[Finding]:
    place = reach.project.environment.client_folders
    if not resolved:
        yield Finding.left_out("inbox", "the mapping has mistakes.")
        return
    source = resolved[0].mapping.source
    if not reach.has(source.conn_id) and source.type != "local":
        yield Finding.left_out("inbox", f"{_NO_CONNECTIONS}.")
        return
    if source.type == "s3" and source.bucket is None:
        _must_answer(reach.bucket(place), f"clients/{client_id}/inbox")
    from etl_lib.airflow_edge.connections import source_of

    files = len(
        source_of(resolved[0], reach.project.environment.client_folders.bucket).list().files
    )
    yield Finding.ok(
        "inbox", f"{source.path.format(client_id=client_id)} can be read, {files:,} files."
    )


def _outbox(reach: Reach, client_id: str) -> Iterator[Finding]:
    place = reach.project.environment.client_folders
    if not reach.has(place.conn_id):
        yield Finding.left_out("outbox", f"{_NO_CONNECTIONS}.")
        return
    _try_to_write(reach.bucket(place).at("clients", client_id, "outbox"), "", "OUTBOX_NOT_WRITABLE")
    yield Finding.ok("outbox", f"clients/{client_id}/outbox can be written.")


def _access(project: Project, client_id: str, access: list[Plan]) -> Iterator[Finding]:
    try:
        plan = target_of(project, client_id).plan(Wish(client_id))
    except FixTheSetup as error:
        if [fault.code for fault in error.faults] != ["PROVISION_REFUSED"]:
            raise
        text = f"The client has no key, so it cannot log in ({settings_of(project).kind})."
        hint = f"`etl provision {client_id} --key school.pub`."
        yield Finding.wrong("SFTP access", Fault("ACCESS_NOT_RIGHT", text, hint=hint))
        return
    access.append(plan)
    if plan.changes:
        what = ", ".join(f"{step.what} ({step.verb})" for step in plan.changes)
        text = f"On {plan.target}, this is not right: {what}."
        yield Finding.wrong("SFTP access", Fault("ACCESS_NOT_RIGHT", text))
        return
    keys = [step for step in plan.steps if step.what.startswith("key ")]
    weak = "; ".join(step.words for step in keys if step.words and step.verb is Verb.RIGHT)
    many = "a key" if len(keys) == 1 else f"{len(keys)} keys"
    said = f"user {client_id} with {many} on {plan.target}."
    yield Finding.ok("SFTP access", f"{said} {weak}".strip())


def _host_key(
    project: Project, resolved: list[ResolvedMapping], access: list[Plan]
) -> Iterator[Finding]:
    if resolved and resolved[0].mapping.source.type == "sftp":
        from etl_lib.airflow_edge.connections import source_of

        source_of(resolved[0], project.environment.client_folders.bucket).list()
        yield Finding.ok("host key", "the school's server shows the key of its connection.")
        return
    if not access:
        yield Finding.left_out("host key", "the access is not right yet.")
        return
    yield _host_key_of(access[0].address)


def _host_key_of(address: Address) -> Finding:
    if not address.host:
        return Finding.left_out("host key", "the environment does not say where schools connect.")
    shown = _shown_host_key(address)
    if not address.host_key:
        hint = "Hand it to the schools, and write it into the environment's `sftp: fingerprint`"
        return Finding.left_out(
            "host key", f"nobody has said which it must be. It is {shown}. {hint}."
        )
    # a server has keys of several kinds, and the one that was told may be of another kind
    if shown != address.host_key and address.host_key not in (
        _shown_host_key(address, kinds) for kinds in _OTHER_KINDS
    ):
        text = f"{address.host} shows {shown}; schools were told {address.host_key}."
        return Finding.wrong("host key", Fault("HOST_KEY_DIFFERS", text))
    return Finding.ok("host key", f"{address.host} port {address.port} shows {shown}.")


def _shown_host_key(address: Address, kinds: Sequence[str] = ()) -> str:
    """The fingerprint that the server shows now, of a key of these kinds when any are named; empty: it has none.

    Raises FixTheSetup when it does not answer.
    """
    import socket

    import paramiko

    try:
        with socket.create_connection((address.host, address.port), _CONNECT_S) as stream:
            transport = paramiko.Transport(stream)
            if kinds:
                transport.get_security_options().key_types = kinds
            try:
                transport.start_client(timeout=_CONNECT_S)
                key = transport.get_remote_server_key()
            finally:
                transport.close()
    except paramiko.ssh_exception.IncompatiblePeer:
        return ""
    except (OSError, EOFError, paramiko.SSHException) as error:
        text = f"The SFTP server {address.host} port {address.port} does not answer ({type(error).__name__})."
        raise FixTheSetup.of("PROVISION_UNAVAILABLE", text) from None
    return PublicKey(key.get_name(), base64.b64decode(key.get_base64())).fingerprint


def _encryption(reach: Reach, resolved: list[ResolvedMapping]) -> Iterator[Finding]:
    if not resolved or resolved[0].mapping.delivery.encryption != "required":
        yield Finding.left_out("encryption", "the mapping does not ask for it.")
        return
    conn_id = resolved[0].mapping.source.pgp_conn_id
    if reach.has(conn_id):
        from etl_lib.airflow_edge.connections import pgp_keys_of

        pgp_keys_of(resolved[0])
        yield Finding.ok("encryption", f"the connection {conn_id} holds our private key.")
        return
    from etl_lib.extract import keys_of_environment

    keys_of_environment()
    yield Finding.ok("encryption", "our private key is in ETL_PGP_PRIVATE_KEY.")


def _schedule(project: Project, resolved: list[ResolvedMapping]) -> Iterator[Finding]:
    if not resolved:
        yield Finding.left_out("schedule", "the mapping has mistakes.")
        return
    from croniter import croniter

    mapping = resolved[0].mapping
    if not mapping.enabled or mapping.schedule is None:
        yield Finding.ok("schedule", "none: runs begin by hand only.")
        return
    base = project.include / "base.yaml"
    layers = project.layers(mapping.client_id)
    if not any("timezone" in layer.data for layer in layers if layer.path != base):
        text = f"The time zone is {mapping.timezone}, and nobody has chosen it for this school."
        where = project.shown(project.mapping_path(mapping.client_id))
        hint = "Write `timezone:` into the mapping."
        yield Finding.wrong("schedule", Fault("SCHEDULE_DOUBTFUL", text, where, hint))
        return
    now = datetime.now(UTC).astimezone(mapping.zone)
    coming: datetime = croniter(mapping.schedule, now).get_next(datetime)
    by = mapping.delivery.expected_by
    until = f", files are expected by {by:%H:%M}" if by else ""
    yield Finding.ok("schedule", f"next run {coming:%Y-%m-%d %H:%M} {mapping.timezone}{until}.")


def _sample(
    reach: Reach, client_id: str, resolved: list[ResolvedMapping], found: list[Finding],
    trial: SampleTrial,
) -> Iterator[Finding]:  # fmt: skip
    needed = ("database", "tables")
    if not resolved or any(_is_wrong(found, name) for name in needed):
        yield Finding.left_out("sample", "mapping, database and tables must be right first.")
        return
    faults = trial(reach.project, client_id, reach.url())
    if faults is None:
        yield Finding.left_out("sample", f"there is none in include/samples/{client_id}.")
        return
    yield from wrongs("sample", list(faults))
    if not faults:
        yield Finding.ok("sample", "its first delivery passes all stages.")


def _dags(client_ids: tuple[str, ...]) -> Iterator[Finding]:
    if not is_configured():
        yield Finding.left_out("Airflow", "this machine does not know an Airflow.")
        return
    seen = seen_dags(client_ids)
    right = 0
    for client_id in client_ids:
        dag = seen.get(client_id)
        why = ""
        if dag is None or dag.is_stale:
            why = "has no DAG for it"
        elif dag.has_import_errors:
            why = "cannot read its DAG"
        elif dag.is_paused:
            why = "has its DAG, paused: no run begins"
        right += not why
        if why:
            text = f"Airflow {why}: {client_id}."
            yield Finding.wrong("Airflow", Fault("DAG_NOT_SEEN", text))
    if right:
        yield Finding.ok(
            "Airflow", f"{right:,} of {len(client_ids):,} integrations are there and on."
        )


def _is_wrong(found: list[Finding], name: str) -> bool:
    return any(one.name == name and one.outcome is Outcome.WRONG for one in found)
