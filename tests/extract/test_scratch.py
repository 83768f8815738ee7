"""Temporary files: gone at the end, and those of a killed process at the next beginning."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from etl_lib.extract.scratch import scratch


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_secret_file_has_no_name_on_linux_and_is_read_from_its_beginning_each_time(
    temporary: Path,
) -> None:
    with scratch() as rooms:
        path = rooms.new(secret=True)
        path.write_bytes(b"content")
        assert path.read_bytes() == path.read_bytes() == b"content"
        assert path.stat().st_size == 7
        names = [] if sys.platform == "linux" else [path]
        assert list(rooms.folder.iterdir()) == names
        path.write_bytes(b"new")
        assert path.read_bytes() == b"new"
    assert not path.exists()


def test_what_a_killed_process_left_is_removed_and_what_is_at_work_stays(temporary: Path) -> None:
    with scratch() as rooms:
        left = temporary / f"{rooms.folder.name}-left"
    left.mkdir()
    (left / "1.bytes").write_bytes(b"x")
    (temporary / "something else").mkdir()
    with scratch() as at_work, scratch():
        assert at_work.folder.is_dir()
        assert not left.exists()
    assert [path.name for path in temporary.iterdir()] == ["something else"]
