"""The demonstration as a newcomer runs it: every sample school, two nights, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from local_stack.airflow_api import AirflowApi
from local_stack.stack import addresses
from local_stack.waiting import wait_until

# shares one running stack: stays in one of the parallel processes
pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(450)]

REPO = Path(__file__).parents[1]
PARTS = (
    "dags",
    "demo",
    "deploy",
    "etl_hooks",
    "etl_lib",
    "include",
    "local_stack",
    "plugins",
    "sample_data",
)


@pytest.fixture(scope="module")
def home(make_home: Callable[[str], Path]) -> Path:
    """The stack's home, which the second demonstration finds as the first has left it."""
    return make_home("demo")


def command(home: Path, *arguments: str, cwd: Path = REPO) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=cwd, env={**os.environ, "STACK_HOME": str(home)},
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
    try:
        printed, _ = process.communicate(timeout=400)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        raise
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


@pytest.fixture(scope="module")
def checkout(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to add a client to, with the environment that is there."""
    target = tmp_path_factory.mktemp("checkout")
    for name in PARTS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPO / name, target / name, ignore=ignored)
    (target / ".venv").symlink_to(sys.prefix)
    (target / ".local").symlink_to(home)
    return target


def pasted(checkout: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """The shell lines of the README's five steps, pasted into one shell."""
    text = (REPO / "README.md").read_text(encoding="utf-8")
    steps = text.partition("## Add a client in five steps")[2].partition("## Read on")[0]
    script = "\n".join(
        textwrap.dedent(block) for block in re.findall(r" *```sh\n(.*?) *```", steps, re.S)
    )
    # the installed `etl` belongs to the project that is tested, not to its copy
    environ = {**os.environ, "STACK_HOME": str(home), "ETL_INCLUDE": str(checkout / "include")}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=checkout, env=environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_a_second_one_finds_nothing_new_takes_a_new_client_and_ends_at_ctrl_c(
    first: tuple[int, str, list[dict[str, object]]], home: Path, checkout: Path
) -> None:
    process = command(home, cwd=checkout)
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Stays up until Ctrl-C" in line:
                break
        printed = "".join(lines)
        assert "every integration ended as expected" in printed, printed
        assert printed.count("nothing new") >= 9
        _the_readmes_five_steps_work(checkout, home)
        assert list(left_behind(home))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    wait_until(lambda: not list(left_behind(home)), 20)


def _the_readmes_five_steps_work(checkout: Path, home: Path) -> None:
    done = pasted(checkout, home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 mapping checked, no mistake found" in done.stdout
    assert "Dry run, nothing was changed" in done.stdout
    assert "files uploaded to riverside's inbox" in done.stdout
    where = addresses(home)
    passwords = json.loads((home / "airflow" / "passwords.json").read_text())
    api = AirflowApi(where["AIRFLOW_URL"], "admin", passwords["admin"])
    api.wait_for_dags({"riverside"})
    run_id = api.trigger("riverside")
    api.unpause("riverside")
    wait_until(lambda: api.run_state("riverside", run_id) not in ("queued", "running"), 90)
    assert api.run_state("riverside", run_id) == "success"
    with psycopg.connect(where["ETL_DATABASE_URL"]) as connection:
        count = "SELECT count(*) FROM core.current_person WHERE client_id = 'riverside'"
        assert connection.execute(count).fetchone() == (31,)
    (checkout / "include" / "mappings" / "riverside.yaml").unlink()

    def gone() -> bool:
        return "riverside" not in {d["dag_id"] for d in api.get("/dags", limit=100)["dags"]}

    wait_until(gone, 90)
