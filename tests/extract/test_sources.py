"""What lies in a school's folder: files by name, links never followed, odd names told and not touched."""

from __future__ import annotations

import io
import os
import socket
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import paramiko
import pytest

from etl_lib.errors import AskTheSchool, NotReceived, TryAgain
from etl_lib.extract import Listing, LocalSource, RemoteFile, SftpSource
from tests.extract.schools import PEOPLE, School

BIDI = "people\u202evsc.csv"


class OpenDoor(paramiko.ServerInterface):
    """Lets everybody in: the door itself is tested elsewhere."""

    def check_auth_none(self, username: str) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class Folder(paramiko.SFTPServerInterface):
    """A folder as OpenSSH serves it: a listing tells of links themselves, opening one follows it."""

    root = Path()

    def list_folder(self, path: str) -> Any:
        found = []
        for name in os.listdir(os.fsencode(self.root)):  # noqa: PTH208 (bytes)
            status = os.lstat(os.fsencode(self.root) + b"/" + name)
            attributes = paramiko.SFTPAttributes.from_stat(status)
            attributes.filename = name  # as bytes: not every one is text
            found.append(attributes)
        return found

    def lstat(self, path: str) -> Any:
        return paramiko.SFTPAttributes.from_stat((self.root / Path(path).name).lstat())

    def stat(self, path: str) -> Any:
        return paramiko.SFTPAttributes.from_stat((self.root / Path(path).name).stat())

    def open(self, path: str, flags: int, attr: Any) -> Any:
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = (self.root / Path(path).name).open("rb")  # type: ignore[attr-defined]
        return handle


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SftpSource]:
    """An SFTP server of a school, over the folder `outgoing`."""
    (tmp_path / "outgoing").mkdir()
    ours, theirs = socket.socketpair()
    server = paramiko.Transport(theirs)
    server.add_server_key(paramiko.RSAKey.generate(2048))
    interface = type("Served", (Folder,), {"root": tmp_path / "outgoing"})
    server.set_subsystem_handler("sftp", paramiko.SFTPServer, interface)
    server.start_server(event=threading.Event(), server=OpenDoor())
    client = paramiko.Transport(ours)
    client.start_client()
    client.auth_none("school")

    @contextmanager
    def connect() -> Iterator[Any]:
        with paramiko.SFTPClient.from_transport(client) as session:  # type: ignore[union-attr]
            yield session

    yield SftpSource(connect, "/outgoing")
    client.close()
    server.close()


def test_over_sftp_odd_names_and_links_are_told_and_no_link_is_followed(
    sftp: SftpSource, tmp_path: Path
) -> None:
    folder = tmp_path / "outgoing"
    (folder / "people.csv").write_bytes(PEOPLE)
    (folder / BIDI).write_bytes(PEOPLE)
    (folder / "a\\b.csv").write_bytes(PEOPLE)
    (folder / ".hidden.csv").write_bytes(PEOPLE)
    (folder / "link.csv").symlink_to("/etc/passwd")
    (folder / "archive").mkdir()
    listing = sftp.list()
    assert [file.name for file in listing.files] == ["people.csv"]
    whys = {one.name: one.why for one in listing.refused}
    assert whys == {
        BIDI: "it holds signs that cannot be seen", "a\\b.csv": "it holds a slash or a backslash",
        "link.csv": "it is a link", "archive": "it is a folder",
    }  # fmt: skip
    target = io.BytesIO()
    sftp.download("people.csv", target)
    assert target.getvalue() == PEOPLE
    (folder / "people.csv").unlink()
    (folder / "people.csv").symlink_to("/etc/passwd")
    target = io.BytesIO()
    with pytest.raises(TryAgain):
        sftp.download("people.csv", target)
    assert target.getvalue() == b""


def test_over_sftp_a_name_that_is_no_text_is_said(sftp: SftpSource, tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path / "outgoing") + b"/latin\xe9.csv", os.O_CREAT))
    with pytest.raises(AskTheSchool) as caught:
        sftp.list()
    assert caught.value.faults[0].code == "FILE_NAME_REFUSED"


def told(school: School) -> str:
    """The note on names that are not touched."""
    [note] = school.extract().notes
    assert note.code == "FILE_NAME_REFUSED"
    assert note.text.isprintable()
    return note.text


def put_anything_odd(folder: Path, elsewhere: Path) -> None:
    (folder / BIDI).write_bytes(PEOPLE)
    (folder / "a\x1b[31mb.csv").write_bytes(PEOPLE)
    os.close(os.open(os.fsencode(folder) + b"/latin\xe9.csv", os.O_CREAT | os.O_WRONLY))
    (folder / "link.csv").symlink_to(elsewhere)
    os.mkfifo(folder / "pipe.csv")
    (folder / "archive").mkdir()


def test_odd_names_links_and_pipes_are_told_and_disturb_nobody(school: School) -> None:
    school.put("people.csv")
    put_anything_odd(school.home / "inbox", Path("/etc/passwd"))
    text = told(school)
    assert text.startswith("5 in the folder")
    for part in (
        "`people\\u{202e}vsc.csv`",
        "\\u{1b}",
        "\\u{dce9}",
        "`link.csv`: it is a link",
        "pipe.csv",
    ):
        assert part in text
    assert "archive" not in text
    assert school.archived() == {PEOPLE}


@pytest.mark.parametrize("make", ["link", "link to nothing", "folder", "pipe", "odd"])
def test_when_the_file_itself_is_not_touched_the_school_learns_why(
    school: School, make: str
) -> None:
    inbox = school.home / "inbox"
    (school.home / "people.csv").write_bytes(PEOPLE)
    if make == "link":
        (inbox / "people.csv").symlink_to(school.home / "people.csv")
    elif make == "link to nothing":
        (inbox / "people.csv").symlink_to("nowhere")
    elif make == "folder":
        (inbox / "people.csv").mkdir()
    elif make == "pipe":
        os.mkfifo(inbox / "people.csv")
    else:
        (inbox / "people.csv\u200b").write_bytes(PEOPLE)
    with pytest.raises(NotReceived) as caught:
        school.extract()
    assert [fault.code for fault in caught.value.faults] == ["NOT_RECEIVED", "FILE_NAME_REFUSED"]
    assert "people.csv" in caught.value.faults[1].text
    assert school.archived() == set()


def test_of_many_odd_names_some_are_told_and_all_are_counted(school: School) -> None:
    school.put("people.csv")
    for number in range(40):
        (school.home / "inbox" / f"\u200e{number}.csv").touch()
    text = told(school)
    assert text.startswith("40 in the folder") and "and 35 more" in text


def test_a_file_that_becomes_a_link_or_a_pipe_after_the_look_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(PEOPLE)
    source = LocalSource(tmp_path)
    assert [file.name for file in source.list().files] == ["people.csv"]
    path.unlink()
    path.symlink_to("/etc/passwd")
    target = io.BytesIO()
    with pytest.raises(TryAgain):
        source.download("people.csv", target)
    path.unlink()
    os.mkfifo(path)
    source.download("people.csv", target)  # nobody writes: it must not wait
    assert target.getvalue() == b""
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert source.list().files == ()


@dataclass(frozen=True)
class Listed:
    """A place that tells any two names apart, as S3 does and not every file system."""

    names: tuple[str, ...]

    def list(self) -> Listing:
        at = datetime(2026, 11, 23, tzinfo=UTC)
        return Listing(tuple(RemoteFile(name, len(PEOPLE), at) for name in self.names))

    def download(self, name: str, target: BinaryIO) -> None:
        target.write(PEOPLE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("people_a.csv", "people_A.csv"),
        ("people_é.csv", unicodedata.normalize("NFD", "people_é.csv")),
    ],
    ids=["case", "unicode"],
)
def test_two_names_that_people_take_for_one_are_refused(
    school: School, one: str, other: str
) -> None:
    with pytest.raises(AskTheSchool) as caught:
        school.extract(Listed((one, other)), file="people_*.csv")
    assert [fault.code for fault in caught.value.faults] == ["FILE_NAME_AMBIGUOUS"]
    assert school.registered == []


def test_a_pattern_takes_a_name_whose_letters_are_taken_apart(school: School) -> None:
    school.put(unicodedata.normalize("NFD", "schüler_süd.csv"))
    extracted = school.extract(file="schüler_{campus}.csv")
    assert {row["{campus}"] for row in school.rows(extracted)} == {"süd"}


def test_a_long_name_is_taken_up_to_what_a_file_system_holds(school: School) -> None:
    name = "p" * 251 + ".csv"
    school.put(name)
    assert len(school.rows(school.extract(file="p*.csv"))) == 2


def test_no_name_of_a_school_becomes_a_path_of_ours(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a place lists: copies are named by number."""
    for name in ("-rf.csv", "~.csv", "%2e%2e%2fpeople.csv", "$(id).csv", "'; --.csv", "[x](y).csv"):
        school.put(name)
    temporary = school.home / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    seen: list[str] = []

    class Watching(LocalSource):
        def download(self, name: str, target: object) -> None:
            seen.extend(path.name for path in temporary.rglob("*"))
            super().download(name, target)  # type: ignore[arg-type]

    school.extract(Watching(school.home / "inbox"), file="*.csv")
    assert len(seen) > 6
    assert all(
        name == "lock" or name.split(".")[0].isdigit() or name.startswith("etl-") for name in seen
    )
    assert list(temporary.iterdir()) == []
