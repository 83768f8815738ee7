"""`etl doctor`: all right, and then each part broken in turn; every finding says what, who and what next."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl_lib.messages import CATALOGUE
from local_stack.objects import CLIENTS_BUCKET, fingerprint, key_pair
from local_stack.processes import Process, answers, free_port
from local_stack.sftp_client import logged_in
from local_stack.stack import SftpAccess
from tests.cli.conftest import REPO, Etl
from tests.mail import mail_server
from tests.onboarding.served import Served, serving

CHECKS = (
    "connections", "database", "tables", "archive bucket", "schools' bucket", "mail", "mapping",
    "contacts", "inbox", "outbox", "SFTP access", "host key", "encryption", "schedule", "sample", "Airflow",
)  # fmt: skip


@pytest.fixture(scope="module")
def served(make_home: Callable[[str], Path]) -> Iterator[Served]:
    with serving(make_home("doctor")) as servers:
        yield servers


@pytest.fixture
def healthy(
    etl: Etl, served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Etl]:
    """Everything as it should be for lakeside."""
    served.set(monkeypatch)
    assert etl("migrate").code == 0
    key_pair(tmp_path / "school")
    made = etl("provision", "lakeside", "--key", str(tmp_path / "school.pub"), "--yes")
    assert made.code == 0, made
    access = SftpAccess(served.sftp.port, "lakeside", tmp_path / "school", served.sftp.host_key)
    with logged_in(access) as sftp:
        assert sorted(sftp.listdir(".")) == ["inbox", "outbox"]
    yield etl
    (served.sftp.key_folder / "lakeside.pub").unlink(missing_ok=True)


@pytest.fixture
def no_sample(monkeypatch: pytest.MonkeyPatch, include: Path) -> Path:
    """A copy of the configuration without samples, to be broken; a trial of the sample takes seconds."""
    return include


def found(answer: Any) -> dict[str, tuple[str, str | None]]:
    return {f["check"]: (f["outcome"], f["code"]) for f in answer.json["findings"]}


def wrong(answer: Any) -> dict[str, str]:
    """What is wrong, by check; each with its remedy and who does it."""
    assert answer.code == 1, answer
    for one in answer.json["findings"]:
        if one["outcome"] == "wrong":
            known = CATALOGUE[one["code"]]
            assert one["who"] == known.owner and known.remedy in one["remedy"] and one["said"]
    return {check: str(code) for check, (how, code) in found(answer).items() if how == "wrong"}


def test_all_is_right_and_nothing_is_left_behind(
    healthy: Etl, served: Served, database_url: str
) -> None:
    before = served.all_keys()
    answer = healthy("doctor", "lakeside", "--json")
    assert answer.code == 0, answer.out
    assert tuple(found(answer)) == CHECKS
    left_out = {check for check, (how, _) in found(answer).items() if how == "left out"}
    assert left_out == {"mail", "encryption", "Airflow"}
    said = {f["check"]: f["said"] for f in answer.json["findings"]}
    assert "user lakeside with a key" in said["SFTP access"]
    assert f"port {served.sftp.port} shows SHA256:" in said["host key"]
    assert "America/Chicago" in said["schedule"]
    assert served.all_keys() == before
    with psycopg.connect(database_url) as connection:
        for table in ("etl.run", "etl.delivery", "etl.dry_run", "core.person", "etl.rejected_row"):
            count = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            assert count == (0,), table
    table = healthy("doctor", "lakeside")
    assert table.code == 0
    assert "Nothing is wrong." in table.out and "sample" in table.out


def test_the_mail_server_is_asked_and_an_absent_one_is_wrong(
    healthy: Etl, no_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server() as mail:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", mail.connection)
        answer = healthy("doctor", "lakeside", "--json")
        assert found(answer)["mail"] == ("ok", None)
        assert found(answer)["contacts"] == ("ok", None)
    assert wrong(healthy("doctor", "lakeside", "--json")) == {"mail": "MAIL_NOT_SENT"}


def test_a_terminal_without_airflow_is_looked_at_as_far_as_it_goes(
    etl: Etl, no_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "ETL_SFTP"))]:
        monkeypatch.delenv(name)
    first = etl("doctor", "lakeside", "--json")
    assert wrong(first) == {
        "tables": "TABLES_NOT_MIGRATED",
        "SFTP access": "PROVISION_UNAVAILABLE",
    }
    assert etl("migrate").code == 0
    answer = found(etl("doctor", "lakeside", "--json"))
    assert answer["database"] == ("ok", None) and answer["tables"] == ("ok", None)
    for check in ("connections", "archive bucket", "inbox", "outbox", "Airflow"):
        assert answer[check] == ("left out", None)


def break_database(served: Served, monkeypatch: pytest.MonkeyPatch, include: Path) -> None:
    monkeypatch.setenv("ETL_DATABASE_URL", "postgresql://etl@127.0.0.1:9/etl")


def break_bucket_key(served: Served, monkeypatch: pytest.MonkeyPatch, include: Path) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ETL_STORAGE", served.connection(password="wrong" * 8))


def break_connection(served: Served, monkeypatch: pytest.MonkeyPatch, include: Path) -> None:
    path = include / "environments" / "development.yaml"
    path.write_text(path.read_text().replace("conn_id: etl_clients", "conn_id: no_clients"))
    monkeypatch.setenv("AIRFLOW_HOME", str(include.parent / "airflow"))


def break_bucket(served: Served, monkeypatch: pytest.MonkeyPatch, include: Path) -> None:
    path = include / "environments" / "development.yaml"
    path.write_text(path.read_text().replace("bucket: etl-development", "bucket: no-such-bucket"))


def break_mapping(served: Served, monkeypatch: pytest.MonkeyPatch, include: Path) -> None:
    path = include / "mappings" / "lakeside.yaml"
    path.write_text(path.read_text() + "\nscheduel: x\n")


def break_access(served: Served, monkeypatch: pytest.MonkeyPatch, include: Path) -> None:
    (served.sftp.key_folder / "lakeside.pub").unlink()


def break_access_a_little(served: Served, monkeypatch: pytest.MonkeyPatch, include: Path) -> None:
    (served.sftp.key_folder / "lakeside.pub").chmod(0o666)


def break_host_key(served: Served, monkeypatch: pytest.MonkeyPatch, include: Path) -> None:
    another = key_pair(include.parent / "another")
    monkeypatch.setenv("ETL_SFTP_FINGERPRINT", fingerprint(another))


def break_server(served: Served, monkeypatch: pytest.MonkeyPatch, include: Path) -> None:
    monkeypatch.setenv("ETL_SFTP_PORT", str(free_port()))


def break_zone(served: Served, monkeypatch: pytest.MonkeyPatch, include: Path) -> None:
    path = include / "mappings" / "lakeside.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("timezone:")]
    path.write_text("\n".join(lines))


BROKEN: dict[Callable[..., None], dict[str, str]] = {
    break_database: {"database": "DATABASE_UNAVAILABLE"},
    break_bucket_key: {"archive bucket": "STORAGE_UNAVAILABLE"},
    break_connection: {
        "connections": "CONNECTION_MISSING",
        "schools' bucket": "CONNECTION_MISSING",
        "inbox": "CONNECTION_MISSING",
        "outbox": "CONNECTION_MISSING",
    },
    break_bucket: {"archive bucket": "STORAGE_UNAVAILABLE"},
    break_mapping: {"mapping": "MAPPING_INVALID"},
    break_access: {"SFTP access": "ACCESS_NOT_RIGHT"},
    break_access_a_little: {"SFTP access": "ACCESS_NOT_RIGHT"},
    break_host_key: {"host key": "HOST_KEY_DIFFERS"},
    break_server: {"host key": "PROVISION_UNAVAILABLE"},
    break_zone: {"schedule": "SCHEDULE_DOUBTFUL"},
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.__name__)
def test_one_broken_part_is_found_and_nothing_else(
    healthy: Etl, served: Served, no_sample: Path, monkeypatch: pytest.MonkeyPatch, broken: Any
) -> None:
    broken(served, monkeypatch, no_sample)
    expected = BROKEN[broken]
    if broken is break_connection:  # Airflow is configured then, and has no database
        expected = {**expected, "Airflow": "AIRFLOW_UNAVAILABLE"}
    assert wrong(healthy("doctor", "lakeside", "--json")) == expected


def test_a_bucket_that_lists_itself_to_anybody(
    healthy: Etl, served: Served, no_sample: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = free_port()
    rclone = Path(sys.executable).parent / "rclone"
    command = [str(rclone), "serve", "s3",
               str(served.objects.folder), "--addr", f"127.0.0.1:{port}"]  # fmt: skip
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RCLONE_CONFIG": str(tmp_path / "none"),
    }
    open_server = Process.start("an open S3 server", command, tmp_path / "open.log", environ)
    try:
        open_server.wait_until(answers(port), 20)
        connection = served.connection().replace(
            served.objects.endpoint_url, f"http://127.0.0.1:{port}"
        )
        monkeypatch.setenv("AIRFLOW_CONN_ETL_CLIENTS", connection)
        answer = healthy("doctor", "lakeside", "--json")
        assert wrong(answer) == {"schools' bucket": "BUCKET_OPEN"}
    finally:
        open_server.stop()


def test_an_outbox_that_cannot_be_written(healthy: Etl, served: Served, no_sample: Path) -> None:
    outbox = served.sftp.roots / "lakeside" / "outbox"
    outbox.rmdir()
    outbox.write_bytes(b"a file where a folder must be")
    try:
        assert wrong(healthy("doctor", "lakeside", "--json")) == {"outbox": "OUTBOX_NOT_WRITABLE"}
    finally:
        outbox.unlink()


def test_a_sample_that_does_not_pass_any_more(
    healthy: Etl, include: Path, database_url: str
) -> None:
    folder = include / "samples" / "lakeside"
    shutil.copytree(REPO / "include" / "samples" / "lakeside", folder)
    (folder / "night_1" / "users.csv").write_text("sourcedId\n")
    answer = healthy("doctor", "lakeside", "--json")
    assert wrong(answer) == {"sample": "SAMPLE_FAILS"}
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM etl.run").fetchone() == (0,)


def test_a_school_s_own_server_whose_host_key_nobody_checks(
    healthy: Etl, no_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "sftp", "host": "127.0.0.1", "port": 9, "login": "x"}
    monkeypatch.setenv("AIRFLOW_CONN_SFTP_WESTBROOK", json.dumps(connection))
    assert wrong(healthy("doctor", "westbrook", "--json")) == {
        "inbox": "CONNECTION_UNSAFE",
        "SFTP access": "ACCESS_NOT_RIGHT",
        "host key": "CONNECTION_UNSAFE",
    }


def test_without_a_client_it_looks_at_what_all_share(
    healthy: Etl, no_sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = healthy("doctor", "--json")
    assert answer.code == 0, answer.out
    assert "9 without mistake" in answer.json["findings"][-2]["said"]
    break_mapping(None, monkeypatch, no_sample)  # type: ignore[arg-type]
    (no_sample / "mappings" / "Wrong Name.yaml").write_text("client: x\n")
    assert wrong(healthy("doctor", "--json")) == {
        "mapping lakeside": "MAPPING_INVALID",
        "mapping Wrong Name.yaml": "MAPPING_INVALID",
    }
    said = healthy("doctor")
    assert said.code == 1
    assert "include/mappings/lakeside.yaml:" in said.out
    assert "Next step (data engineer): Correct the mapping at the named line" in said.out
    bad = healthy("doctor", "../lakeside")
    assert (bad.code, "MAPPING_NOT_FOUND" in bad.err) == (2, True)


def test_the_schools_bucket_is_the_one_that_is_served() -> None:
    """The development environment names what the local stack serves."""
    text = (REPO / "include" / "environments" / "development.yaml").read_text()
    assert CLIENTS_BUCKET in text
