"""What processes that were killed leave behind, what a full disk is called, what is written over another storage."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from etl_lib.errors import TryAgain
from etl_lib.storage import Draft, Storage, scratch_folder

REPO = Path(__file__).parents[1]
_DIES_AT_WORK = """
import os, signal, sys
from pathlib import Path
from etl_lib.storage import scratch_folder
with scratch_folder() as folder:
    (folder / "pupils.csv").write_text("x")
    print(folder, flush=True)
    if sys.argv[1] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def other_process(place: Path, how: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", _DIES_AT_WORK, how], cwd=REPO, text=True,
        env={**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(REPO)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_files_of_a_killed_process_go_and_those_of_a_living_one_stay(place: Path) -> None:
    alive, of_alive = other_process(place, "lives")
    dead, of_dead = other_process(place, "dies")
    assert dead.wait(10) == -signal.SIGKILL and of_dead.is_dir()
    with scratch_folder() as folder:
        assert not of_dead.exists()
        assert (of_alive / "pupils.csv").exists() and folder.is_dir()
    alive.communicate("", 10)
    assert list(place.iterdir()) == []


def test_an_unfinished_object_of_a_killed_process_is_no_object_and_goes(place: Path) -> None:
    storage = Storage.local(place / "s")
    (place / "s" / "files").mkdir()
    part = place / "s" / "files" / "abc.77.part"
    part.write_bytes(b"half")
    assert storage.keys() == []
    storage.write_bytes("files/other", b"x")
    assert not part.exists() and storage.keys() == ["files/other"]


def _to_another(*_: object) -> None:
    raise OSError(errno.EXDEV, "Invalid cross-device link")


@pytest.mark.parametrize("what", ["bytes", "a file of another disk"])
def test_a_full_disk_is_said_to_be_full(
    place: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    big = place / "big"
    big.write_bytes(b"x" * 4096)
    storage = Storage.local(place / "s")
    (place / "s" / f"there.{os.getpid()}.part").symlink_to("/dev/full")
    monkeypatch.setattr(Path, "replace", _to_another)
    with pytest.raises(TryAgain) as caught:
        if what == "bytes":
            storage.write_bytes("there", b"x" * 4096)
        else:
            storage.put_file(big, "there")
    assert big.stat().st_size == 4096 and storage.keys() == []
    assert [fault.code for fault in caught.value.faults] == ["DISK_FULL"]
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC


@pytest.mark.parametrize("disk", ["the same", "another"])
def test_a_file_that_is_put_moves_and_its_old_name_may_be_used_again(
    place: Path, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    storage, file = Storage.local(place / "s"), place / "file"
    replace = Path.replace
    if disk == "another":
        monkeypatch.setattr(
            Path, "replace", lambda a, b: _to_another() if a == file else replace(a, b)
        )
    for key in ("first", "second", "first"):
        file.write_bytes(key.encode())
        storage.put_file(file, key)
        assert not file.exists()
    assert storage.keys() == ["first", "second"] and storage.read_bytes("first") == b"first"
    assert sorted(path.name for path in (place / "s").iterdir()) == ["first", "second"]


def test_a_file_that_is_about_to_appear_is_not_swept_away_by_another_writer(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, replace = Storage.local(place / "s"), Path.replace

    def while_another_writes(part: Path, target: Path) -> Path:
        if target.name == "there":
            storage.write_bytes("beside", b"y")
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", while_another_writes)
    storage.write_bytes("there", b"x")
    assert storage.keys() == ["beside", "there"] and storage.read_bytes("there") == b"x"


def test_a_draft_reads_what_is_below_and_writes_and_deletes_nothing_there(tmp_path: Path) -> None:
    below, own = Storage.local(tmp_path / "below"), Storage.local(tmp_path / "own")
    for key in ("kept", "changed"):
        below.write_bytes(key, b"old")
    draft = Draft.over(below, own)
    draft.write_bytes("changed", b"newer")
    draft.delete("kept")
    assert (draft.read_bytes("kept"), draft.read_bytes("changed")) == (b"old", b"newer")
    assert (draft.size_bytes("changed"), draft.exists("neither")) == (5, False)
    assert [below.read_bytes(key) for key in ("kept", "changed")] == [b"old", b"old"]
    with pytest.raises(FileNotFoundError):
        draft.read_bytes("neither")
