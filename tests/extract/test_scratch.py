"""Temporary files: gone at the end, and those of a killed process at the next beginning."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from etl_lib.extract.scratch import scratch


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def aged(folder: Path) -> None:
    os.utime(folder, (0, 0))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such files have names")
def test_a_secret_file_has_no_name_and_is_read_from_its_beginning_each_time(
    temporary: Path,
) -> None:
    with scratch() as rooms:
        path = rooms.new(secret=True)
        path.write_bytes(b"content")
        assert path.read_bytes() == path.read_bytes() == b"content"
        assert path.stat().st_size == 7
        assert [p.name for p in rooms.folder.iterdir()] == ["lock"]
        path.write_bytes(b"new")
        assert path.read_bytes() == b"new"
    assert not path.exists()


def test_what_a_killed_process_left_is_removed_and_what_is_at_work_stays(temporary: Path) -> None:
    left = temporary / "etl-extract-left"
    left.mkdir()
    (left / "lock").touch()
    (left / "1.bytes").write_bytes(b"x")
    just_made = temporary / "etl-extract-new"
    just_made.mkdir()
    (just_made / "lock").touch()
    other = temporary / "something else"
    other.mkdir()
    aged(left)
    aged(other)
    with scratch() as at_work:
        aged(at_work.folder)
        with scratch():
            assert at_work.folder.is_dir()
    assert {path.name for path in temporary.iterdir()} == {"etl-extract-new", "something else"}
