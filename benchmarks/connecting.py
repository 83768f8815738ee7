"""From a school's sample files to its first loaded delivery, on the whole local stack, command by command.

Run as `python -m benchmarks.connecting FOLDER...`; each folder with files, and each zip beside others, is
one school that nobody has mapped. Nothing is edited between the commands: what is open stays open.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import psycopg
import typer

from benchmarks.fleet.project import running
from benchmarks.onboarding import schools
from benchmarks.results import Figure, Table, keep
from local_stack.airflow_api import AirflowApi
from local_stack.objects import key_pair
from local_stack.sftp_client import upload
from local_stack.stack import SftpAccess, Stack
from local_stack.waiting import wait_until

_AIM_S, _LIMIT_S = 60, 300
_STEPS = ("etl new", "etl test", "etl provision", "upload", "first load")
_HOW = (
    "Each folder is a school that has no mapping yet: `etl new --yes`, `etl test --accept`, `etl provision` with the "
    "school's key, its files uploaded over SFTP, and a run started in Airflow as soon as Airflow shows the DAG, until "
    "the ledger says how it ended. Seconds by the clock, in a running local stack; no file is edited in between."
)


@dataclass
class Connected:
    """One school: seconds by step, how its first run ended, and its counts out of the ledger."""

    name: str
    seconds: dict[str, float] = field(default_factory=dict)
    status: str = ""
    counts: tuple[int, int, int] = (0, 0, 0)  # rows read, inserted, rejected

    @property
    def whole_s(self) -> float:
        """All steps."""
        return sum(self.seconds.values())

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - begun


@dataclass(frozen=True)
class Place:
    """A running stack over a project without mappings."""

    stack: Stack
    include: Path
    api: AirflowApi
    environ: Mapping[str, str]

    def etl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the product as a data engineer would."""
        command = [str(Path(sys.executable).parent / "etl"), *words]
        return subprocess.run(
            command, env=dict(self.environ), cwd=self.include.parent, capture_output=True, text=True, check=False
        )  # fmt: skip

    def connect(self, name: str, folder: Path) -> Connected:
        """Take one school all the way; a step that is refused ends it with that as its status."""
        found, folder = Connected(name), folder.resolve()
        client_id = "s_" + re.sub(r"\W+", "_", name.lower())
        named = ("--name", name, "--owner", "Ana Torres", "--timezone", "UTC")
        with found.step("etl new"):
            made = self.etl("new", client_id, "--from", str(folder), "--yes", *named)
        if made.returncode:
            found.status = "refused"
            typer.echo(f"{name}: {made.stdout}{made.stderr}")
            return found
        with found.step("etl test"):
            tested = self.etl("test", client_id, "--accept")
        if tested.returncode:
            typer.echo(f"{name}: {tested.stdout}{tested.stderr}")
        own = self.include.parent / "keys" / client_id
        public = own.with_suffix(".pub")
        own.parent.mkdir(exist_ok=True)
        key_pair(own)
        with found.step("etl provision"):
            given = self.etl("provision", client_id, "--key", str(public), "--yes")
        assert given.returncode == 0, given.stdout + given.stderr
        access = SftpAccess(self.stack.sftp.port, client_id, own, self.stack.sftp.host_key)
        with found.step("upload"):
            upload(access, folder, "inbox")
        with found.step("first load"):
            wait_until(lambda: client_id in self.api.dag_ids(), _LIMIT_S, 0.3)
            self.api.unpause(client_id)
            self.api.trigger(client_id, {"approve": True})
            wait_until(lambda: bool(self._runs(client_id)), _LIMIT_S, 0.3)
        [(found.status, *counts)] = self._runs(client_id)
        found.counts = (counts[0] or 0, counts[1] or 0, counts[2] or 0)
        return found

    def _runs(self, client_id: str) -> list[tuple[Any, ...]]:
        """Status and counts of the client's runs that have ended."""
        text = """SELECT status, read, inserted, rejected FROM etl.run
                  WHERE client_id = %s AND ended_at IS NOT NULL"""
        with psycopg.connect(self.stack.etl_database_url) as connection:
            return connection.execute(text, (client_id,)).fetchall()


def main(
    folders: Annotated[list[Path], typer.Argument(help="Folders of schools, or of one.")],
    kept: Annotated[bool, typer.Option("--keep/--no-keep", help="Write docs/benchmarks.md.")] = False,
) -> None:  # fmt: skip
    """Print the table."""
    done: list[Connected] = []
    with (
        TemporaryDirectory(prefix="etl-connecting-") as scratch,
        running(Path(scratch) / "home", ()) as (stack, include, api),
    ):
        assert stack.airflow is not None
        there = Place(stack, include, api, stack.airflow.environ())
        for name, folder in schools(folders, Path(scratch)):
            done.append(there.connect(name, folder))
            typer.echo(f"{name}: {done[-1].status}, {done[-1].whole_s:.0f} s")
    table = _table(done)
    typer.echo(table.markdown)
    if kept:
        loaded = [one for one in done if one.status.startswith("succeeded")]
        slowest = max((one.whole_s for one in loaded), default=0.0)
        figures = [
            Figure("Schools whose first delivery was loaded without an edit", f"{len(loaded)} of {len(done)}"),
            Figure("The slowest of them", f"{slowest:.0f} s", f"under {_AIM_S} s", slowest < _AIM_S),
        ]  # fmt: skip
        keep("connecting", "From sample files to a loaded delivery", _HOW, figures, [table])


def _table(done: Sequence[Connected]) -> Table:
    rows = [
        (one.name, *(f"{one.seconds[step]:.1f}" if step in one.seconds else "" for step in _STEPS),
         f"{one.whole_s:.0f}", one.status, *(f"{number:,}" for number in one.counts))
        for one in done
    ]  # fmt: skip
    heads = ("school", *_STEPS, "all, s", "first run", "rows read", "inserted", "rejected")
    return Table("By school, seconds", heads, rows)


if __name__ == "__main__":
    typer.run(main)
