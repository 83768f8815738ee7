"""The stack's own Redis: said plainly when there is none, and closed to everybody else when there is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from local_stack.broker import Redis
from local_stack.processes import StackError


def test_without_redis_the_benchmark_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="apt-get install redis-server"):
        Redis(tmp_path / "redis").start()


def test_the_password_is_on_no_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program in Redis's place that keeps its arguments: Redis itself is no part of the tests' set-up."""
    program = tmp_path / "redis-server"
    program.write_text('#!/bin/sh\necho "$@" > "${0%/*}/seen"\nexec /bin/sleep 0.2\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    redis = Redis(tmp_path / "redis")
    with pytest.raises(StackError):  # it ends without having answered
        redis.start()
    settings = tmp_path / "redis" / "redis.conf"
    assert (tmp_path / "seen").read_text().strip() == str(settings)
    assert f"requirepass {redis.password}" in settings.read_text()
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
