"""CPU, time, memory and WAL of whole loads into PostgreSQL, as ratios to its peers in interleaved rounds.

Run as `python -m benchmarks.load`. A run of all of it takes the better part of an hour and keeps its
results after each size; what it has measured lies in `.local`, and a run that was stopped goes on there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.delivered import COLUMNS, School
from benchmarks.load_figures import (
    COPY,
    DLT,
    DLT_FILE,
    FIRST,
    FORKED,
    INSERT_ROWS,
    NIGHT,
    OURS,
    ROUNDS,
    SAME,
    SINGER,
    SLING,
    SMALL,
    TO_SQL,
    Load,
    Measured,
    Share,
    figures_of,
    tables_of,
)
from benchmarks.measuring import CLIENT, REPO, measure, product_environ, run_command
from benchmarks.results import keep
from benchmarks.server import Server, fresh_server
from benchmarks.spending import GivesUpError, spend
from benchmarks.throwaway import SCRIPTS, environment

STATE = REPO / ".local" / "bench-load.jsonl"
_REHEARSED = 1000  # rows of the loads that nobody measures, before all others
_OWN = ("ours", "forked")
_NIGHTS = {FIRST: "night_1", NIGHT: "night_2", SAME: "night_2"}
_MAPPING = """
extends: plain
client: Measured School
account_number: "10001"
owner: Benchmarks
feeds:
  people: {required: true}
"""
_HOW = (
    "One delivery of a school, people with 12 columns (keys, names, enumerations, a date, a boolean; 115 bytes a "
    "row, always the same), into PostgreSQL 18 on the same machine, over TCP, in a new data directory with its "
    "own settings. `etl run` is the whole run, in a process of its own: archive, reading, Great Expectations, "
    "transform, load with references, history, ledger, row hashes, report. Its database has the tables already. "
    "As a task of Airflow runs it: the same command in a process that is forked from one which has loaded the "
    "libraries, as Airflow's scheduler has in this product; what the loading took is not in it. "
    "CPU is user and system time of the client with all its children and of all processes of the server. Before "
    "each load a checkpoint is made; after it, and counted, come what autovacuum would do by its own "
    "thresholds (it is off, since it comes when it likes) and a checkpoint. Rounds are interleaved: each system "
    "has its cases one after another in a database of its own, then comes the next system, then the next round. "
    "Ratios are medians of the ratios within a round. Peak memory is the largest of all rounds, of the client. "
    "COPY + MERGE is COPY into an unlogged table of text, and one MERGE with casts into a typed table with its "
    "key, of the rows "
    "that differ. dlt and sling load first without a key and without comparing, and the night by the key. "
    "Where dlt hands the file to COPY it does not look at a row. Of the two ways of dlt the cheaper one counts. "
    "Sling is the last release whose package brings its program. Airflow's hook is PostgresHook.insert_rows, as "
    "S3ToSqlOperator calls it; the time that importing Airflow takes is in it. The data loaded by each was compared. "
    "Measured at {commit}."
)  # fmt: skip


@dataclass(frozen=True)
class System:
    """One that loads: its script's name for each case that it has, and at which size it runs."""

    name: str
    scripts: Mapping[str, str]
    only_at: int | None = None
    program: str = "peers"
    table: str = "peer.people"


SYSTEMS = (
    System(COPY, dict.fromkeys((FIRST, NIGHT, SAME), "copy_merge")),
    System(OURS, dict.fromkeys((FIRST, NIGHT, SAME), "run"), program="ours", table="core.person"),
    System(
        FORKED, dict.fromkeys((FIRST, NIGHT, SAME), "run"), program="forked", table="core.person"
    ),
    System(DLT, {FIRST: "dlt_first", NIGHT: "dlt_night"}),
    System(DLT_FILE, {FIRST: "dlt_file_first", NIGHT: "dlt_file_night"}),
    System(SLING, {FIRST: "sling_first", NIGHT: "sling_night"}),
    System(INSERT_ROWS, {FIRST: "insert_rows"}, only_at=SMALL, program="product"),
    System(SINGER, {FIRST: "singer"}, only_at=SMALL, program="tap"),
    System(TO_SQL, {FIRST: "to_sql"}, only_at=SMALL),
)


def main(
    rows: Annotated[list[int] | None, typer.Option(help="Only these sizes; several may be given.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only systems with this in their name.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Of every size; default: five, two of the largest.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Forget what an earlier run has measured.")] = False,
    venvs: Annotated[Path | None, typer.Option(help="Keep the peers' environments here, for a next time.")] = None,
) -> None:  # fmt: skip
    """Measure, print the tables, and keep the results when no part was chosen."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and stop the server as well
    whole = not (rows or only or rounds)
    if anew:
        STATE.unlink(missing_ok=True)
    memory = _Memory(STATE if whole else None, _commit())
    systems = [one for one in SYSTEMS if not only or any(part in one.name for part in only)]
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # the server has a user of its own
        bench = _Bench(folder, stack.enter_context(fresh_server(folder)), _programs(stack, venvs))
        rehearsal = bench.school(_REHEARSED)
        sizes = rows or list(ROUNDS)
        for system in systems:
            if system.only_at is None or system.only_at in sizes:
                list(bench.loads(system, rehearsal, 0, compare=True))
        for size in sizes:
            school = bench.school(size)
            memory.add(school)
            for number in range(1, (rounds or ROUNDS[size]) + 1):
                for system in systems:
                    if system.only_at in (None, size) and not memory.knows(size, number, system):
                        memory.add(*bench.loads(system, school, number, compare=number == 1))
            if any(one.name == OURS for one in systems) and not memory.shares_of(size):
                memory.add(*bench.shares(school))
            shutil.rmtree(folder / str(size))
            _show(memory.measured)
            if whole:
                title = "Whole loads, from CSV to PostgreSQL"
                how = _HOW.format(commit=memory.commit)
                keep("load", title, how, figures_of(memory.measured), tables_of(memory.measured))
    if whole:
        STATE.unlink()  # the next run measures anew


def _show(measured: Measured) -> None:
    for table in tables_of(measured):
        typer.echo(table.markdown)
    for figure in figures_of(measured):
        reached = {True: "reached", False: "missed", None: ""}[figure.reached]
        typer.echo(f"{figure.what}: {figure.found} ({figure.target}) {reached}")


def _commit() -> str:
    """The state of the project that is measured, but for what this writes; figures of another are of no use."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(REPO), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    where = ("--", ".", ":!docs", ":!benchmarks/results")
    changed = git("status", "--porcelain", *where) and git("diff", "HEAD", *where)
    mark = (
        f", changed since ({hashlib.sha256(changed.encode()).hexdigest()[:8]})" if changed else ""
    )
    return git("rev-parse", "--short", "HEAD") + mark


def _programs(stack: ExitStack, venvs: Path | None) -> dict[str, Path]:
    """The interpreters: the product's own, and those of the peers' environments."""

    def made(name: str, requirements: str) -> Path:
        kept = venvs / name if venvs else None
        return stack.enter_context(environment(SCRIPTS / requirements, kept))

    return {
        "product": Path(sys.executable), "peers": made("peers", "requirements-load.txt"),
        "tap": made("tap", "requirements-tap.txt"),
        "target": made("target", "requirements-target.txt"),
    }  # fmt: skip


@dataclass
class _Memory:
    """What has been measured, line by line in a file (or nowhere), so that a next run can go on."""

    file: Path | None
    commit: str
    loads: list[Load] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    schools: list[School] = field(default_factory=list)

    def __post_init__(self) -> None:
        for line in self.file.read_text().splitlines() if self.file and self.file.exists() else ():
            kind, commit, values = json.loads(line)
            if commit == self.commit:
                self._take({"Load": Load, "Share": Share, "School": School}[kind](**values))

    def _take(self, one: Load | Share | School) -> bool:
        kept: list[Load] | list[Share] | list[School] = (
            self.loads if isinstance(one, Load) else self.shares if isinstance(one, Share) else self.schools
        )  # fmt: skip
        if one in kept:
            return False
        kept.append(one)  # type: ignore[arg-type]
        return True

    def add(self, *new: Load | Share | School) -> None:
        """Remember what belongs together: all of it or, when the run is stopped before, nothing."""
        lines = [
            json.dumps([type(one).__name__, self.commit, asdict(one)]) + "\n"
            for one in new
            if self._take(one)
        ]
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a") as stream:
                stream.write("".join(lines))

    def knows(self, rows: int, number: int, system: System) -> bool:
        """Whether all cases of a system were measured in this round."""
        known = {
            o.case for o in self.loads if (o.rows, o.round, o.system) == (rows, number, system.name)
        }
        return known >= set(system.scripts)

    def shares_of(self, rows: int) -> list[Share]:
        """Those of a size."""
        return [one for one in self.shares if one.rows == rows]

    @property
    def measured(self) -> Measured:
        """Everything."""
        return Measured(self.loads, self.shares, self.schools)


@dataclass(frozen=True)
class _Bench:
    folder: Path
    server: Server
    programs: Mapping[str, Path]
    digests: dict[tuple[int, str], str] = field(default_factory=dict)

    def school(self, rows: int) -> School:
        """Both nights of a school, made by a process of its own: this one stays small."""
        command = [
            sys.executable,
            "-m",
            "benchmarks.school",
            str(self.folder / str(rows)),
            str(rows),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPO)
        return School(**json.loads(done.stdout))

    def loads(self, system: System, school: School, number: int, compare: bool) -> Iterator[Load]:
        """All cases of one system, in a database of its own; ends at the first that it gives up."""
        with TemporaryDirectory(dir=self.folder) as name:
            own = Path(name)
            environ = self._prepared(system, own)
            for case, script in system.scripts.items():
                command = self._command(
                    system, script, own, self.folder / str(school.rows) / _NIGHTS[case]
                )
                try:
                    spent = measure(self.server, command, environ, own)
                except GivesUpError as why:
                    typer.echo(f"{system.name}, {case}: gives up\n{why}", err=True)
                    break
                load = Load(
                    **asdict(spent), rows=school.rows, round=number, system=system.name, case=case
                )
                if system.program in _OWN:
                    _check_ours(own / "log", case, school)
                if compare:
                    self._compare(system, school.rows, case)
                typer.echo(
                    f"{school.rows:,} rows, round {number}, {system.name}, {case}: "
                    f"{load.client_s:.2f} + {load.server_s:.2f} s CPU, {load.wall_s:.1f} s, {load.peak_mb:.0f} MB, "
                    f"WAL {load.wal_bytes / 1e6:.1f} MB ({(load.image_bytes or 0) / 1e6:.1f} images)", err=True,
                )  # fmt: skip
                yield load
        self.server.drop(CLIENT)

    def shares(self, school: School) -> Iterator[Share]:
        """Great Expectations' part in a first load and a night, by runs with a clock in them."""
        system = next(one for one in SYSTEMS if one.name == OURS)
        with TemporaryDirectory(dir=self.folder) as name:
            own = Path(name)
            environ = self._prepared(system, own)
            for case in (FIRST, NIGHT):
                night = self.folder / str(school.rows) / _NIGHTS[case]
                times = own / "times.json"
                command = [sys.executable, "-m", "benchmarks.judged", str(times)]
                command += ["run", CLIENT, "--files", str(night), "--json"]
                client = spend(command, environ, own / "log")
                yield Share(school.rows, case, client.cpu_s, **json.loads(times.read_text()))

    def _prepared(self, system: System, own: Path) -> dict[str, str]:
        """An empty database, with the tables that the product has before its first load; the environment."""
        if system.program in _OWN:
            return product_environ(self.server, own, _MAPPING)
        self.server.make(CLIENT)
        target = str(self.programs["target"].parent / "target-postgres")
        own_airflow = {"AIRFLOW_HOME": str(own / "airflow")}
        return {**os.environ, **own_airflow, "PYTHONPATH": "", "SINGER_TARGET": target}

    def _command(self, system: System, script: str, own: Path, night: Path) -> list[str]:
        if system.program in _OWN:
            return run_command(own, night, forked=system.program == "forked")
        place = own / "peer"
        place.mkdir(exist_ok=True)
        program = str(SCRIPTS / "into_postgres.py")
        python = str(self.programs[system.program])
        people = str(night / "people.csv")
        return [python, program, script, self.server.url(CLIENT), people, str(place)]

    def _compare(self, system: System, rows: int, case: str) -> None:
        """Stop when a system has not loaded what the first one has."""
        found = self.server.digest(CLIENT, system.table, COLUMNS)
        if self.digests.setdefault((rows, _NIGHTS[case]), found) != found:
            raise SystemExit(f"{system.name} has loaded other rows, {case} of {rows:,} rows.")


def _check_ours(log: Path, case: str, school: School) -> None:
    """Whether the run did what it is measured for."""
    said = json.loads(log.read_text())
    counts = {one["entity"]: one for one in said["counts"]}
    done = {
        FIRST: lambda: counts["person"]["inserted"] == school.rows,
        NIGHT: lambda: counts["person"]["updated"] == school.changed,
        SAME: lambda: said["status"] == "nothing_new",
    }[case]()
    if not done:
        raise SystemExit(f"etl run did something else: {said['status']}, {said['sentence']}")


if __name__ == "__main__":
    typer.run(main)
