"""CPU, time, memory and WAL of a OneRoster school's loads, against COPY + MERGE in interleaved rounds.

Run as `python -m benchmarks.roster`. Of its large files each fills two entities, as most schools' do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.delivered import School
from benchmarks.load_figures import COPY, FIRST, FORKED, NIGHT, OURS, Load, Measured, tables_of
from benchmarks.measuring import CLIENT, REPO, measure, product_environ, run_command
from benchmarks.results import Figure, keep
from benchmarks.server import Server, fresh_server
from benchmarks.throwaway import SCRIPTS

_ROWS, _ROUNDS = 1_000_000, 5
_NIGHTS = {FIRST: "night_1", NIGHT: "night_2"}
_MAPPING = """
extends: oneroster_1_1
client: Measured School
account_number: "10001"
owner: Benchmarks
feeds: {}
"""
# The columns that both have under the same name, with the same values.
_SAME = {
    "person": ("username", "email", "given_name", "middle_name", "family_name", "grade_level"),
    "person_role": ("person_id", "organization_id"),
    "section_staff": ("section_id", "person_id", "start_date", "end_date"),
    "enrollment": ("section_id", "person_id", "start_date", "end_date"),
}
_HOW = (
    "One delivery of a school with OneRoster 1.1 files: users, who fill person and person_role, and enrollments, "
    "which are split into section_staff and enrollment, together {rows:,} rows (a quarter of them users), beside "
    "40 organizations and a class for every ten users; the night has other values in 1 % of both. Measured as "
    "whole loads are (below). COPY + MERGE is COPY of each file into an unlogged table of text and one MERGE for "
    "each table filled from it, its key its only index; the product has an index for each reference that a row "
    "cannot do without as well. The data loaded by each was compared."
)  # fmt: skip


def main(
    rows: Annotated[int, typer.Option(help="Users and enrollments together.")] = _ROWS,
    rounds: Annotated[int, typer.Option(help="Of every system.")] = _ROUNDS,
) -> None:
    """Measure, print the table, and keep the results when nothing was chosen."""
    loads: list[Load] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server has a user of its own
        school = _school(folder, rows)
        with fresh_server(folder) as server:
            digests: dict[tuple[str, str], str] = {}
            for number in range(1, rounds + 1):
                for system in (COPY, OURS, FORKED):
                    loads += _loads(server, folder, school, system, number, digests)
    measured = Measured(loads, (), ())
    figures, tables = list(_figures(measured, rows)), tables_of(measured)
    for table in tables:
        typer.echo(table.markdown)
    for figure in figures:
        typer.echo(f"{figure.what}: {figure.found}")
    if (rows, rounds) == (_ROWS, _ROUNDS):
        how = _HOW.format(rows=rows)
        keep("load-roster", "Whole loads of a OneRoster school", how, figures, tables)


def _school(folder: Path, rows: int) -> School:
    """Made by a process of its own: this one stays small."""
    command = [sys.executable, "-m", "benchmarks.roster_school", str(folder), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPO)
    return School(**json.loads(done.stdout))


def _loads(
    server: Server, folder: Path, school: School, system: str, number: int,
    digests: dict[tuple[str, str], str],
) -> Iterator[Load]:  # fmt: skip
    """Both cases of one system, in a database of its own."""
    with TemporaryDirectory(dir=folder) as name:
        own = Path(name)
        if system == COPY:
            server.make(CLIENT)
            environ: Mapping[str, str] = os.environ
        else:
            environ = product_environ(server, own, _MAPPING)
        for case, night in _NIGHTS.items():
            if system == COPY:
                program = str(SCRIPTS / "roster_into_postgres.py")
                command = [sys.executable, program, server.url(CLIENT), str(folder / night)]
            else:
                command = run_command(own, folder / night, forked=system == FORKED)
            spent = measure(server, command, environ, own)
            if system != COPY:
                _check_ours(own / "log", case, school)
            for entity, columns in _SAME.items() if number == 1 else ():
                _compare(server, system, case, entity, columns, digests)
            cpu = f"{spent.client_s:.2f} + {spent.server_s:.2f} s CPU"
            typer.echo(f"round {number}, {system}, {case}: {cpu}", err=True)
            yield Load(**asdict(spent), rows=school.rows, round=number, system=system, case=case)
    server.drop(CLIENT)


def _check_ours(log: Path, case: str, school: School) -> None:
    """Whether the run did what it is measured for."""
    said = json.loads(log.read_text())
    count = sum(
        one["inserted" if case == FIRST else "updated"]
        for one in said["counts"]
        if (one["feed"], one["entity"]) != ("users", "person_role")
        and one["feed"] in ("users", "enrollments")
    )
    if count != (school.rows if case == FIRST else school.changed):
        raise SystemExit(f"etl run did something else: {said['status']}, {said['sentence']}")


def _compare(
    server: Server, system: str, case: str, entity: str, columns: tuple[str, ...],
    digests: dict[tuple[str, str], str],
) -> None:  # fmt: skip
    """Stop when a system has not loaded what the first one has."""
    table = f"peer.{entity}" if system == COPY else f"core.{entity}"
    found = server.digest(CLIENT, table, columns)
    if digests.setdefault((case, entity), found) != found:
        raise SystemExit(f"{system} has loaded other rows of {entity}, {case}.")


def _figures(measured: Measured, rows: int) -> Iterator[Figure]:
    """Ratios to COPY + MERGE, medians of those within a round."""
    for case in _NIGHTS:
        for system in (OURS, FORKED):
            ratio = measured.ratio(rows, case, (COPY,), system)
            what = (
                f"{case[0].upper()}{case[1:]}, {rows:,} rows: CPU of {system}, against COPY + MERGE"
            )
            yield Figure(what, f"{ratio:.2f}x", "reported")


if __name__ == "__main__":
    typer.run(main)
