"""`etl provision` on the local stack: the school really logs in over SFTP afterwards, and not any more when revoked."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import psycopg
import pytest
import yaml

from local_stack.objects import SftpServer, fingerprint, key_pair
from local_stack.sftp_client import logged_in
from local_stack.stack import SftpAccess
from tests.cli.conftest import Etl
from tests.onboarding.provision.made_keys import line, new_key, private


@pytest.fixture
def server(
    make_home: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[SftpServer]:
    """rclone's SFTP server without any user."""
    home = make_home("provision")
    server = SftpServer("clients", home / "roots", (), home / "state", ("inbox", "outbox"))
    server.key_folder.mkdir(parents=True)
    server.start()
    monkeypatch.setenv("ETL_SFTP_KEYS", str(server.key_folder))
    monkeypatch.setenv("ETL_SFTP_HOST", "127.0.0.1")
    monkeypatch.setenv("ETL_SFTP_PORT", str(server.port))
    monkeypatch.setenv("ETL_SFTP_FINGERPRINT", fingerprint(server.host_key))
    yield server
    assert server.process
    server.process.stop()


@pytest.fixture
def school(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a key pair as a school does; gives the public file, beside which the private one lies."""

    def make(name: str) -> Path:
        key_pair(tmp_path / name)
        return tmp_path / f"{name}.pub"

    return make


def listed(server: SftpServer, user: str, public: Path) -> list[str]:
    access = SftpAccess(server.port, user, public.with_suffix(""), server.host_key)
    with logged_in(access) as sftp:
        sftp.putfo(io.BytesIO(b"Id\n1\n"), "inbox/a.csv")
        return sorted(sftp.listdir("."))


def restarted(server: SftpServer) -> None:
    """rclone remembers who has logged in."""
    assert server.process
    server.process.stop()
    server.start()


def test_a_school_gets_its_folder_changes_its_key_and_leaves(
    etl: Etl, server: SftpServer, school: Callable[[str], Path], database_url: str
) -> None:
    first, second = school("first"), school("second")
    shown = etl("provision", "lakeside", "--key", str(first), "--dry-run")
    assert (shown.code, list(server.key_folder.iterdir())) == (0, [])
    assert "user lakeside" in shown.out and "Nothing was changed." in shown.out
    with pytest.raises(paramiko.AuthenticationException):
        listed(server, "lakeside", first)

    made = etl("provision", "lakeside", "--key", str(first), "--yes")
    assert made.code == 0, made
    assert f"logs in as lakeside at 127.0.0.1, port {server.port}, host key SHA256:" in made.out
    assert listed(server, "lakeside", first) == ["inbox", "outbox"]
    assert (server.roots / "lakeside" / "inbox" / "a.csv").read_bytes() == b"Id\n1\n"
    for user, key in (("lakeside", second), ("metro", first)):
        with pytest.raises(paramiko.AuthenticationException):
            listed(server, user, key)

    again = etl("provision", "lakeside", "--key", str(first))
    assert (again.code, "There is nothing to change." in again.out) == (0, True)

    assert etl("provision", "lakeside", "--key", str(second), "--yes").code == 0
    assert listed(server, "lakeside", first) == listed(server, "lakeside", second)
    plan = etl("provision", "lakeside", "--json").json
    kinds = {step["what"]: step["verb"] for step in plan["steps"]}
    old = next(what for what in kinds if what.startswith("key ")).split()[-1]
    removed = etl("provision", "lakeside", "--remove-key", old.removeprefix("SHA256:"), "--yes")
    assert removed.code == 0, removed
    restarted(server)
    assert listed(server, "lakeside", second) == ["inbox", "outbox"]
    with pytest.raises(paramiko.AuthenticationException):
        listed(server, "lakeside", first)

    assert etl("provision", "lakeside", "--revoke", "--yes").code == 0
    restarted(server)
    with pytest.raises(paramiko.AuthenticationException):
        listed(server, "lakeside", second)
    assert (server.roots / "lakeside" / "inbox" / "a.csv").exists()
    with psycopg.connect(database_url) as connection:
        acts = connection.execute("SELECT kind, text FROM etl.act ORDER BY act_seq").fetchall()
    assert [kind for kind, _ in acts] == ["provision", "provision", "provision", "revoke"]
    assert "make: user lakeside; make: key ssh-ed25519 SHA256:" in acts[0][1]


def test_replacing_puts_one_key_in_the_place_of_all(
    etl: Etl, server: SftpServer, school: Callable[[str], Path]
) -> None:
    keys = [school(name) for name in ("one", "two", "three")]
    for key in keys[:2]:
        assert etl("provision", "metro", "--key", str(key), "--yes").code == 0
    path = server.key_folder / "metro.pub"
    assert len(path.read_text().splitlines()) == 2
    assert etl("provision", "metro", "--key", str(keys[2]), "--replace", "--yes").code == 0
    blob = keys[2].read_text().split()[1]
    assert path.read_text() == f"ssh-ed25519 {blob} metro\n"
    assert listed(server, "metro", keys[2]) == ["inbox", "outbox"]


def test_drift_of_a_key_file_is_named_and_put_right(
    etl: Etl, server: SftpServer, school: Callable[[str], Path]
) -> None:
    assert etl("provision", "metro", "--key", str(school("one")), "--yes").code == 0
    path = server.key_folder / "metro.pub"
    right = path.read_text()
    path.write_text(f"{right}rubbish\n")
    path.chmod(0o666)
    shown = etl("provision", "metro", "--json", "--dry-run").json
    wrong = [step["words"] for step in shown["steps"] if step["verb"] == "put right"]
    assert wrong == ["no public key on line 2: such lines go", "others may write it: no longer"]
    assert etl("provision", "metro", "--yes").code == 0
    assert (path.read_text(), path.stat().st_mode & 0o777) == (right, 0o644)
    assert etl("provision", "metro", "--json").json["changes"] == 0


def test_without_a_yes_nothing_happens(
    etl: Etl, server: SftpServer, school: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("provision", "metro", "--key", str(school("one")))
    nobody = etl(*words)
    assert (nobody.code, "--yes" in nobody.err) == (1, True)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert etl(*words).code == 1
    assert list(server.key_folder.iterdir()) == []
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert etl(*words).code == 0
    assert (server.key_folder / "metro.pub").exists()


def test_what_somebody_else_does_meanwhile_is_not_overwritten(
    etl: Etl, server: SftpServer, school: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = server.key_folder / "metro.pub"

    class Slow(Terminal):
        def readline(self, *size: Any) -> str:
            path.write_text(line(new_key()))
            return super().readline(*size)

    monkeypatch.setattr("sys.stdin", Slow("y\n"))
    answer = etl("provision", "metro", "--key", str(school("one")))
    assert (answer.code, "NOT_AS_SHOWN" in answer.err) == (2, True), answer
    assert school("one").read_text().split()[1] not in path.read_text()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_private_key_in_any_place_is_refused_and_never_shown_again(
    etl: Etl, server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = private(new_key(), "openssh")
    path = tmp_path / "school"
    path.write_text(secret)
    in_file = etl("provision", "metro", "--key", str(path), "--yes")
    monkeypatch.setattr("sys.stdin", io.StringIO(secret))
    piped = etl("provision", "metro", "--key", "-", "--yes")
    pasted = etl("provision", "metro", "--key", secret, "--yes")
    body = [text for text in secret.splitlines() if "-----" not in text]
    half = etl("provision", "metro", "--key", body[0], "--yes")
    for answer in (in_file, piped, pasted, half):
        assert answer.code == 2
        assert not [text for text in body if text[:10] in answer.out + answer.err]
    for answer in (in_file, piped):
        assert "KEY_PRIVATE" in answer.err and "make a new pair" in answer.err
    assert list(server.key_folder.iterdir()) == []


def test_the_key_of_a_windows_school_comes_through_standard_input(
    etl: Etl, server: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = line(new_key(), "ana@school").replace("\n", "\r\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert etl("provision", "metro", "--key", "-", "--yes").code == 0
    assert "ana" not in (server.key_folder / "metro.pub").read_text()


def test_what_cannot_be_done_is_said_before_anything_is_done(
    etl: Etl, server: SftpServer, school: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(school("one"))
    for words, code in (
        (("nobody_here", "--key", key), "MAPPING_NOT_FOUND"),
        (("../metro", "--key", key), "MAPPING_NOT_FOUND"),
        (("metro",), "PROVISION_REFUSED"),
        (("metro", "--revoke", "--key", key), "PROVISION_REFUSED"),
        (("metro", "--key", "no_such.pub"), "PROVISION_REFUSED"),
    ):
        answer = etl("provision", *words, "--yes")
        assert (answer.code, code in answer.err) == (2, True), answer
    monkeypatch.setenv("ETL_SFTP_PORT", "ssh")
    answer = etl("provision", "metro", "--key", key, "--yes")
    assert (answer.code, "ETL_SFTP_PORT is not what it must be" in answer.err) == (2, True)
    monkeypatch.delenv("ETL_SFTP_PORT")
    monkeypatch.setenv("ETL_SFTP_KEYS", str(server.key_folder / "none"))
    answer = etl("provision", "metro", "--key", key, "--yes")
    assert (answer.code, "PROVISION_UNAVAILABLE" in answer.err) == (2, True)
    assert list(server.key_folder.iterdir()) == []


def test_the_environment_s_file_says_where_users_live(
    etl: Etl, include: Path, school: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ETL_SFTP_KEYS", raising=False)
    path = include / "environments" / "development.yaml"
    folder = include.parent / ".local/state/keys/clients"
    folder.mkdir(parents=True)
    assert etl("provision", "metro", "--key", str(school("one")), "--yes").code == 0
    assert (folder / "metro.pub").exists()
    data = yaml.safe_load(path.read_text())
    for given, words in (
        (None, "has no `provisioning`"),
        ({"kind": "local"}, "needs `keys`"),
        ({"kind": "transfer_family", "region": "us-east-1"}, "needs `server`, `role`, `kms_key`"),
        ({"kind": "local", "keys": "x", "role": "y"}, "`role` belongs to `kind: transfer_family`"),
        ({"kind": "lokal", "keys": "x"}, "transfer_family"),
    ):
        changed = {key: value for key, value in data.items() if key != "provisioning"}
        path.write_text(yaml.safe_dump({**changed, **({"provisioning": given} if given else {})}))
        answer = etl("provision", "metro", "--yes")
        assert answer.code == 2
        assert words in answer.err, answer.err
        assert "development.yaml" in answer.err


def test_a_stack_that_starts_again_keeps_the_school_s_key(
    etl: Etl, server: SftpServer, school: Callable[[str], Path]
) -> None:
    key = school("one")
    assert etl("provision", "metro", "--key", str(key), "--yes").code == 0
    server.add_user("metro")  # as `make demo` does for every mapping
    ours = server.key_path("metro").with_suffix(".pub")
    shutil.copy(server.key_path("metro"), key.parent / "own")
    assert listed(server, "metro", key) == listed(server, "metro", key.parent / "own.pub")
    assert len(ours.read_text().splitlines()) == 2
