"""The guide is followed as a school would: its commands are run against a real SFTP server."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etl_lib.config.project import Project
from etl_lib.onboarding.golden import play_folders
from etl_lib.onboarding.guide.blocks import Code, Example, Guide
from etl_lib.onboarding.guide.committed import guide_of
from local_stack.objects import SftpServer, fingerprint, key_pair
from local_stack.sftp_client import logged_in
from local_stack.sftp_client import upload as upload_by_library
from local_stack.stack import SftpAccess
from tests.cli.conftest import REPO

CLIENT = "san_rafael"


@pytest.fixture
def server(make_home: Callable[[str], Path]) -> Iterator[SftpServer]:
    """The SFTP server of the local stack with the folder of one school, whose key is not there yet."""
    home = make_home("sftp")
    found = SftpServer("clients", home / "clients", (CLIENT,), home / "state", ("inbox", "outbox"))
    found.start()
    yield found
    assert found.process
    found.process.stop()


@pytest.fixture
def guide(server: SftpServer) -> Guide:
    """What the school has been sent."""
    variables = {
        "ETL_SFTP_HOST": "127.0.0.1",
        "ETL_SFTP_PORT": str(server.port),
        "ETL_SFTP_FINGERPRINT": fingerprint(server.host_key),
    }
    return guide_of(Project(REPO / "include", "development"), CLIENT, variables=variables)


class School:
    """A school's machine: its own home folder, OpenSSH where it is installed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.has_openssh = all(map(shutil.which, ("ssh-keygen", "ssh-keyscan", "sftp")))
        (home / ".ssh").mkdir(parents=True, mode=0o700)

    @property
    def known_hosts(self) -> Path:
        return self.home / ".ssh" / "known_hosts"

    def types(self, lines: str) -> str:
        """Type lines of the guide into a shell; the home folder is this school's, whoever runs the test."""
        lines = lines.replace("sftp ", f"sftp -F none -o UserKnownHostsFile={self.known_hosts} ")
        environ = {"HOME": str(self.home), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        done = subprocess.run(
            ["sh", "-c", lines], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


def commands(guide: Guide, word: str) -> str:
    """The one block of lines in the guide that holds the word."""
    [found] = [one.text for one in guide.blocks if isinstance(one, Code) and word in one.text]
    return found


def test_who_follows_the_guide_has_uploaded_files_that_load_without_a_rejected_row(
    guide: Guide, server: SftpServer, database_url: str, tmp_path: Path
) -> None:
    school = School(tmp_path / "school")
    export = school.home / "export"
    export.mkdir()
    for example in guide.blocks:
        if isinstance(example, Example):
            (export / example.name).write_bytes(example.content)

    if school.has_openssh:
        school.types(commands(guide, "ssh-keygen -t") + " -q -N ''")
        public = school.types(commands(guide, "school_upload.pub"))
    else:
        public = key_pair(school.home / ".ssh" / "school_upload")
    assert public.startswith("ssh-ed25519 ")
    server.key_path(CLIENT).with_suffix(".pub").write_text(public)  # we have got it by mail

    own_key = school.home / ".ssh" / "school_upload"
    access = SftpAccess(server.port, CLIENT, own_key, server.host_key)
    if school.has_openssh:
        shown = subprocess.run(
            ["ssh-keyscan", "-t", "ed25519", "-p", str(server.port), "127.0.0.1"], capture_output=True, text=True,
            check=True,
        ).stdout  # fmt: skip
        seen = fingerprint(shown.split(" ", 1)[1])
        assert f"`{seen}`" in str(guide.blocks), "the guide names another fingerprint"
        school.known_hosts.write_text(shown)  # the school has compared it, and typed yes
        school.types(commands(guide, "sftp -b"))
    else:
        upload_by_library(access, export, "inbox")

    inbox = server.roots / CLIENT / "inbox"
    assert sorted(p.name for p in inbox.iterdir()) == sorted(p.name for p in export.iterdir())
    project = Project(REPO / "include", "development")
    [night] = play_folders(project, CLIENT, [inbox], database_url, tmp_path / "ours").values()
    assert night.rejects == ()
    assert sum(one["inserted"] for one in night.counts.values()) > 20

    reports = tmp_path / "ours" / "etl" / "outbox" / CLIENT
    for report in reports.iterdir():
        shutil.copy(report, server.roots / CLIENT / "outbox" / report.name)
    with logged_in(access) as sftp:
        assert sorted(sftp.listdir(".")) == ["inbox", "outbox"]
        [name] = sftp.listdir("outbox")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d_[0-9a-f]{8}_summary\.txt", name)
        text = sftp.open(f"outbox/{name}").read().decode()
    assert text.startswith("Universidad San Rafael: delivery ") and "0 rejected" in text


def test_a_key_that_was_not_sent_is_refused_as_the_guide_says(
    guide: Guide, server: SftpServer, tmp_path: Path
) -> None:
    school = School(tmp_path / "school")
    key_pair(school.home / ".ssh" / "school_upload")
    if not school.has_openssh:
        from paramiko import AuthenticationException

        access = SftpAccess(
            server.port, CLIENT, school.home / ".ssh" / "school_upload", server.host_key
        )
        with pytest.raises(AuthenticationException), logged_in(access):
            pass
        return
    school.known_hosts.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    with pytest.raises(AssertionError, match="Permission denied"):
        school.types(
            f"cd {tmp_path}; "
            + commands(guide, "sftp -b").replace('cd "$HOME/export" || exit 1\n', "")
        )
    assert "`Permission denied (publickey)`" in str(guide.blocks)
