"""The real servers: S3 and SFTP over one folder, each school with its own key and root, host keys checked."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import paramiko
import pytest

from etl_lib.airflow_edge.connections import source_of
from etl_lib.config.project import Project
from etl_lib.errors import EtlError, FixTheSetup, TryAgain
from etl_lib.extract import S3Source, Source
from etl_lib.storage import Storage
from local_stack.objects import CLIENTS_BUCKET, STORAGE_BUCKET
from local_stack.sftp_client import logged_in, upload
from local_stack.stack import Stack
from local_stack.waiting import wait_until

REPO = Path(__file__).parents[2]
OWN_SERVER = "westbrook"  # fetched from its own SFTP server; lakeside uploads to ours


@pytest.fixture(scope="module")
def stack(make_home: Callable[[str], Path]) -> Iterator[Stack]:
    """PostgreSQL, S3 and SFTP, without Airflow."""
    home = make_home("servers")
    with Stack(
        home, REPO, ("lakeside", "metro"), (OWN_SERVER,), airflow=False, on_step=lambda _: None
    ) as stack:
        yield stack


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.csv").write_bytes(b"Id\n1\n")
    (folder / "b.csv.part").write_bytes(b"Id\n")
    return folder


@pytest.fixture
def connections(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Airflow's connections, as the stack gives them to Airflow."""
    for name, value in stack.environ().items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def own_server() -> Source:
    project = Project(REPO / "include", "development")
    return source_of(project.resolve(OWN_SERVER), project.environment.client_folders.bucket)


def names_of(source: Source) -> list[str]:
    return [file.name for file in source.list().files]


def test_what_a_school_uploads_over_sftp_is_listed_in_s3(
    stack: Stack, files: Path, connections: pytest.MonkeyPatch
) -> None:
    upload(stack.client_access("lakeside"), files, "inbox")
    project = Project(REPO / "include", "development")
    source = source_of(project.resolve("lakeside"), project.environment.client_folders.bucket)

    wait_until(lambda: names_of(source) == ["a.csv"], 10)
    target = io.BytesIO()
    source.download("a.csv", target)
    assert target.getvalue() == b"Id\n1\n"


def test_in_s3_odd_names_and_folders_are_told_and_not_touched(
    stack: Stack, connections: pytest.MonkeyPatch
) -> None:
    project = Project(REPO / "include", "development")
    inbox = source_of(project.resolve("metro"), project.environment.client_folders.bucket)
    assert isinstance(inbox, S3Source)
    source = replace(inbox, prefix="clients/odd/inbox")
    for name in ("people.csv", "people\u202evsc.csv", "a\\b.csv", "archive/old.csv", ".hidden.csv"):
        source.client.put_object(Bucket=CLIENTS_BUCKET, Key=f"clients/odd/inbox/{name}", Body=b"x")
    listing = source.list()
    assert [file.name for file in listing.files] == ["people.csv"]
    assert [one.name for one in listing.refused] == ["a\\b.csv", "archive", "people\u202evsc.csv"]
    assert [one.is_folder for one in listing.refused] == [False, True, False]


def test_a_school_sees_its_own_folder_only_and_needs_its_own_key(stack: Stack, files: Path) -> None:
    upload(stack.client_access("lakeside"), files, "inbox")
    with logged_in(stack.client_access("metro")) as sftp:
        assert sorted(sftp.listdir(".")) == ["inbox", "outbox"]
        assert sftp.listdir("inbox") == ["test"]
        assert sorted(sftp.listdir("../../..")) == ["inbox", "outbox"]
        for path in (
            "../lakeside/inbox/a.csv",
            "/../lakeside/inbox/a.csv",
            "/lakeside/inbox/a.csv",
        ):
            with pytest.raises(OSError):
                sftp.open(path).read()
    mine = stack.client_access("lakeside")
    with pytest.raises(paramiko.AuthenticationException), logged_in(replace(mine, user="metro")):
        pass


def test_files_are_fetched_from_a_schools_own_server(
    stack: Stack, files: Path, connections: pytest.MonkeyPatch
) -> None:
    upload(stack.school_access(OWN_SERVER), files, "outgoing")
    source = own_server()
    assert names_of(source) == ["a.csv"]
    target = io.BytesIO()
    source.download("a.csv", target)
    assert target.getvalue() == b"Id\n1\n"


def changed(stack: Stack, **extra: object) -> str:
    connection = json.loads(stack.environ()[f"AIRFLOW_CONN_SFTP_{OWN_SERVER.upper()}"])
    connection["extra"] |= extra
    connection["extra"] = {k: v for k, v in connection["extra"].items() if v is not None}
    return json.dumps(connection)


def test_another_host_key_is_refused(stack: Stack, connections: pytest.MonkeyPatch) -> None:
    other = stack.client_access("lakeside").host_key
    connections.setenv(f"AIRFLOW_CONN_SFTP_{OWN_SERVER.upper()}", changed(stack, host_key=other))
    with pytest.raises(EtlError) as caught:
        own_server().list()
    assert "another host key" in str(caught.value)


@pytest.mark.parametrize("extra", [{"host_key": None}, {"no_host_key_check": "true"}])
def test_a_connection_that_would_trust_any_server_is_refused(
    stack: Stack, connections: pytest.MonkeyPatch, extra: dict[str, object]
) -> None:
    connections.setenv(f"AIRFLOW_CONN_SFTP_{OWN_SERVER.upper()}", changed(stack, **extra))
    with pytest.raises(EtlError) as caught:
        own_server().list()
    assert caught.value.faults[0].code == "CONNECTION_UNSAFE"


def test_a_connection_that_does_not_exist_is_named(connections: pytest.MonkeyPatch) -> None:
    connections.delenv(f"AIRFLOW_CONN_SFTP_{OWN_SERVER.upper()}")
    connections.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite://")
    with pytest.raises(FixTheSetup) as caught:
        own_server()
    assert caught.value.faults[0].code == "CONNECTION_MISSING"
    assert f"sftp_{OWN_SERVER}" in str(caught.value)


def bucket(stack: Stack, name: str, **other: str) -> Storage:
    keys = {"access_key": stack.objects.access_key, "secret_key": stack.objects.secret_key,
            "endpoint_url": stack.objects.endpoint_url, **other}  # fmt: skip
    return Storage.s3(name, **keys)


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_storage_writes_reads_lists_and_removes(
    kind: str, stack: Stack, tmp_path: Path, connections: pytest.MonkeyPatch
) -> None:
    whole = Storage.local(tmp_path / "s") if kind == "local" else bucket(stack, STORAGE_BUCKET)
    storage = whole.at("staging", f"of_{kind}")
    assert storage.keys() == []
    for key in ("a/1.txt", "a/2.txt", "b.txt"):
        storage.write_bytes(key, key.encode())
    storage.write_bytes("b.txt", b"replaced")
    assert storage.keys() == ["a/1.txt", "a/2.txt", "b.txt"]
    assert storage.exists("b.txt") and not storage.exists("c.txt")
    assert storage.read_bytes("b.txt") == b"replaced"
    storage.get_file("a/1.txt", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"a/1.txt"
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("c.txt")
    with pytest.raises(ValueError):
        storage.at("..", "archive")
    storage.delete_all()
    assert storage.keys() == []


def test_a_bucket_that_is_away_is_for_trying_again(
    stack: Stack, connections: pytest.MonkeyPatch
) -> None:
    away = bucket(stack, STORAGE_BUCKET, endpoint_url="http://127.0.0.1:1")
    client = boto3.client(
        "s3", endpoint_url="http://127.0.0.1:1", region_name="us-east-1", aws_access_key_id="x",
        aws_secret_access_key="y",
    )  # fmt: skip
    client.meta.config.retries = {"total_max_attempts": 1}
    with pytest.raises(TryAgain) as caught:
        replace(away, client=client).write_bytes("a", b"x")
    assert caught.value.faults[0].code == "STORAGE_UNAVAILABLE"
    with pytest.raises(TryAgain):
        S3Source(client, CLIENTS_BUCKET, "clients/x/inbox").list()


def test_a_wrong_secret_is_refused_by_the_bucket(
    stack: Stack, connections: pytest.MonkeyPatch
) -> None:
    client = boto3.client(
        "s3", endpoint_url=stack.objects.endpoint_url, region_name="us-east-1",
        aws_access_key_id=stack.objects.access_key, aws_secret_access_key="wrong",
    )  # fmt: skip
    with pytest.raises(FixTheSetup) as caught:
        S3Source(client, CLIENTS_BUCKET, "clients/lakeside/inbox").list()
    assert "refuses us" in str(caught.value)


def test_those_who_wait_look_through_one_client(
    stack: Stack, connections: pytest.MonkeyPatch
) -> None:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from etl_lib.airflow_edge.waiting import DeliveryTrigger

    made = []
    real = S3Hook.get_conn

    def counted(hook: S3Hook) -> object:
        made.append(hook.aws_conn_id)
        return real(hook)

    connections.setattr(S3Hook, "get_conn", counted)
    project = Project(REPO / "include", "development")
    for client_id in ("lakeside", "metro", "lakeside"):
        resolved = project.resolve(client_id)
        until = "2099-01-01T00:00:00+00:00"
        trigger = DeliveryTrigger(resolved.model_dump_json(by_alias=True), CLIENTS_BUCKET, until)
        sighting = trigger._look(resolved, None)
        assert sighting is not None and not sighting.whole
    assert made == ["etl_clients"]
