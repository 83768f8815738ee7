"""The demonstration as a newcomer runs it: every sample school, two nights, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stack's home, which the second demonstration finds as the first has left it."""
    return tmp_path_factory.mktemp("demo")


def command(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=Path(__file__).parents[1], env={**os.environ, "STACK_HOME": str(home)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def left_behind(home: Path) -> Iterator[str]:
    """Processes of the stack: each has its home in its arguments or its environment."""
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(home) in word for word in words):
            yield " ".join(process.cmdline())


@pytest.fixture(scope="module")
def first(home: Path) -> tuple[int, str, list[dict[str, object]]]:
    """The first demonstration: exit code, what it printed, and its table."""
    table = home / "table.json"
    process = command(home, "--exit", "--json", str(table))
    printed, _ = process.communicate(timeout=280)
    return process.returncode, printed, json.loads(table.read_text()) if table.exists() else []


def test_every_school_ends_as_worked_out_by_hand_on_both_nights(
    first: tuple[int, str, list[dict[str, object]]], repo: Path
) -> None:
    code, printed, table = first
    assert code == 0, printed
    schools = {path.stem for path in (repo / "include" / "mappings").glob("*.yaml")}
    assert {(row["client_id"], row["night"]) for row in table} == {
        (school, night) for school in schools for night in ("night_1", "night_2")
    }
    assert [row for row in table if row["differences"]] == []
    assert "http://127.0.0.1:" in printed
    assert "password" in printed


def test_nothing_runs_on_when_the_demonstration_has_ended(
    first: tuple[int, str, list[dict[str, object]]], home: Path
) -> None:
    assert list(left_behind(home)) == []


def test_a_second_one_finds_nothing_new_stays_up_and_ends_at_ctrl_c(
    first: tuple[int, str, list[dict[str, object]]], home: Path
) -> None:
    process = command(home)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Stays up until Ctrl-C" in line:
            break
    printed = "".join(lines)
    assert "every integration ended as expected" in printed, printed
    assert printed.count("nothing new") >= 9
    assert list(left_behind(home))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    until = time.monotonic() + 20
    while (found := list(left_behind(home))) and time.monotonic() < until:
        time.sleep(0.5)
    assert found == []
