"""The fleet inside a running Airflow: an edited mapping, quiet runs, a night, large schools beside a small."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from benchmarks.cpu import cpu_s
from benchmarks.fleet.project import client_ids, files, put, running, write_mapping
from benchmarks.results import Figure, Table
from local_stack.airflow_api import AirflowApi
from local_stack.objects import CLIENTS_BUCKET
from local_stack.stack import Stack
from local_stack.waiting import wait_until

ROWS, CHANGED = 10_000, 0.01
EDIT_S, QUIET_S, NIGHT_MIN, WAIT_MIN, IDLE_SHARE = 40, 2, 25, 5, 0.02
FLEET = 500
_LEAD = timedelta(
    minutes=3
)  # from writing the schedules until they are due: Airflow must have parsed them
_LIMIT_S = 3600


@dataclass
class Fleet:
    """A running stack over a project of schools; figures are gathered part by part."""

    stack: Stack
    include: Path
    api: AirflowApi
    ids: list[str]
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def inbox(self, client_id: str) -> Path:
        """The folder behind the school's inbox."""
        return self.stack.home / "objects" / CLIENTS_BUCKET / "clients" / client_id / "inbox"

    def rows(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the ETL database."""
        with psycopg.connect(self.stack.etl_database_url) as connection:
            return connection.execute(text.encode(), values).fetchall()

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by part of the stack."""
        assert self.stack.airflow
        parts = {
            p.name.removeprefix("Airflow's "): [p.popen.pid] for p in self.stack.airflow.processes
        }
        parts["postgres"] = [self.stack.postgres.pid]
        return {name: cpu_s(roots) for name, roots in parts.items()}

    def run_all(
        self, ids: Sequence[str], statuses: Sequence[str]
    ) -> tuple[float, dict[str, float]]:
        """Start a run of each by hand and wait for all; gives the seconds it took and the CPU seconds."""
        before, begun, since = self.cpu_s(), time.monotonic(), self._now()
        for client_id in ids:
            self.api.trigger(client_id)
        wait_until(lambda: len(self._ended(since, statuses)) >= len(ids), _LIMIT_S)
        lasted_s = time.monotonic() - begun
        after = self.cpu_s()
        return lasted_s, {name: after[name] - before[name] for name in after}

    def _now(self) -> datetime:
        return datetime.now(UTC)

    def _ended(self, since: datetime, statuses: Sequence[str]) -> list[datetime]:
        found = self.rows(
            "SELECT ended_at, status, client_id FROM etl.run WHERE ended_at >= %s ORDER BY ended_at",
            since,
        )
        if wrong := {(status, who) for _, status, who in found if status not in statuses}:
            raise RuntimeError(f"runs ended otherwise: {sorted(wrong)[:5]}")
        return [at for at, _, _ in found]

    # --- parts --------------------------------------------------------------------------------------

    def edit(self) -> None:
        """From a mapping's change on disk until Airflow shows the DAG so."""
        client_id = self.ids[-1]
        write_mapping(self.include, client_id, name="Renamed School")
        begun = time.monotonic()
        wait_until(
            lambda: self.api.get(f"/dags/{client_id}")["dag_display_name"] == "Renamed School",
            300,
            0.2,
        )
        took_s = time.monotonic() - begun
        self._add(f"An edited mapping of {len(self.ids)} shows in Airflow after", f"{took_s:.0f} s",
                  f"under {EDIT_S} s", took_s < EDIT_S)  # fmt: skip

    def idle(self, seconds: int = 60, times: int = 5) -> None:
        """What the database does while nothing is due: of so many spells that follow one another the median.

        In one of them autovacuum may come for the rows that were loaded before.
        """
        time.sleep(10)
        spells = []
        for _ in range(times):
            before = self.cpu_s()
            time.sleep(seconds)
            after = self.cpu_s()
            spells.append({name: (after[name] - before[name]) / seconds for name in after})
        share = {name: median(spell[name] for spell in spells) for name in spells[0]}
        self._add("Database while nothing is due", f"{share['postgres']:.1%} of a core",
                  f"under {IDLE_SHARE:.0%}", share["postgres"] < IDLE_SHARE)  # fmt: skip
        rows = [
            [name, f"{value:.1%}", ", ".join(f"{spell[name]:.1%}" for spell in spells)]
            for name, value in share.items()
        ]
        heads = ("part", "share", f"in each {seconds} s")
        self.tables.append(Table("Idle, share of a core", heads, rows))

    def first_night(self, ids: Sequence[str]) -> None:
        """Everything is new."""
        delivery = files(ROWS)
        for client_id in ids:
            put(self.inbox(client_id), delivery)
        for client_id in self.ids:
            self.api.unpause(client_id)
        lasted_s, cpu = self.run_all(ids, ("succeeded",))
        self._night_table(f"First night of {len(ids)} clients, by hand", len(ids), lasted_s, cpu)

    def quiet(self, ids: Sequence[str]) -> None:
        """Runs that find what is loaded already."""
        idle_s = 20
        before = self.cpu_s()
        time.sleep(idle_s)
        idle = {name: (value - before[name]) / idle_s for name, value in self.cpu_s().items()}
        lasted_s, cpu = self.run_all(ids, ("nothing_new",))
        each = {name: (value - idle[name] * lasted_s) / len(ids) for name, value in cpu.items()}
        whole = sum(each.values())
        self._add("A client's run with nothing new, all processes, less what they do when idle",
                  f"{whole:.2f} CPU s", f"{QUIET_S} CPU s or less", whole <= QUIET_S)  # fmt: skip
        rows = [[name, f"{value:.2f}"] for name, value in each.items()]
        title = f"A run with nothing new, mean of {len(ids)}, CPU seconds"
        self.tables.append(Table(title, ("part", "CPU s"), rows))

    def night(self, ids: Sequence[str]) -> None:
        """One row in a hundred has changed, and all are due at once by their schedules."""
        changed = files(ROWS, CHANGED)
        for client_id in ids:
            put(self.inbox(client_id), changed)
        due = (self._now() + _LEAD).replace(second=0, microsecond=0)
        for client_id in ids:
            write_mapping(self.include, client_id, schedule=f"{due.minute} {due.hour} * * *")
        time.sleep(max((due - self._now()).total_seconds(), 0))
        before = self.cpu_s()
        wait_until(lambda: len(self._ended(due, ("succeeded",))) >= len(ids), _LIMIT_S)
        after = self.cpu_s()
        ended = self._ended(due, ("succeeded",))
        lasted_s = (ended[-1] - due).total_seconds()
        cpu = {name: after[name] - before[name] for name in after}
        self._night_table(
            f"Night of {len(ids)} clients, {CHANGED:.0%} changed", len(ids), lasted_s, cpu
        )
        self._curve(due, ended)

    def _curve(self, due: datetime, ended: Sequence[datetime]) -> None:
        """How many were loaded when; the steady pace of the middle half, carried on to the whole fleet."""
        number = len(ended)
        after_s = [(at - due).total_seconds() for at in ended]
        quarter = max(number // 4, 1)
        pace_s = (after_s[-quarter] - after_s[quarter - 1]) / max(number - 2 * quarter + 1, 1)
        whole_min = (after_s[-1] + (FLEET - number) * pace_s) / 60
        self._add(
            f"{number} clients of {ROWS:,} rows, {CHANGED:.0%} changed, all due at once: due to last loaded",
            f"{after_s[-1] / 60:.1f} min; one every {pace_s:.1f} s, so {FLEET} in {whole_min:.0f} min",
            f"{FLEET} under {NIGHT_MIN} min", whole_min < NIGHT_MIN,
        )  # fmt: skip
        marks = [max(number * tenth // 10, 1) for tenth in range(1, 11)]
        rows = [[str(mark), f"{after_s[mark - 1]:.0f}"] for mark in marks]
        more = [n for n in (200, 300, 400, FLEET) if n > number]
        rows += [[f"{n} (carried on)", f"{after_s[-1] + (n - number) * pace_s:.0f}"] for n in more]
        self.tables.append(
            Table("Clients loaded after they were due", ("clients", "seconds"), rows)
        )

    def large_beside_small(self, ids: Sequence[str], rows: int) -> None:
        """A small school's wait while three send large files at the same time."""
        *large, small = ids
        delivery = files(rows, CHANGED)
        for client_id in large:
            put(self.inbox(client_id), delivery)
        put(self.inbox(small), files(ROWS, 2 * CHANGED))
        since = self._now()
        for client_id in (*large, small):
            self.api.trigger(client_id, {"approve": True})
        ended: list[datetime] = []

        def is_loaded() -> bool:
            found = self.rows(
                "SELECT ended_at FROM etl.run WHERE client_id = %s AND ended_at >= %s", small, since
            )
            ended[:] = [at for (at,) in found]
            return bool(found)

        wait_until(is_loaded, _LIMIT_S)
        waited_min = (ended[0] - since).total_seconds() / 60
        self._add(
            f"A small school, started after {len(large)} that send {rows:,} rows each",
            f"loaded after {waited_min:.1f} min", f"under {WAIT_MIN} min", waited_min < WAIT_MIN,
        )  # fmt: skip
        wait_until(lambda: len(self._ended(since, ("succeeded",))) >= len(ids), _LIMIT_S)

    def _night_table(self, title: str, number: int, lasted_s: float, cpu: dict[str, float]) -> None:
        rows = [[name, f"{value:.0f}", f"{value / number:.2f}"] for name, value in cpu.items()]
        whole = sum(cpu.values())
        rows.append(["all", f"{whole:.0f}", f"{whole / number:.2f}"])
        note = f"{lasted_s:.0f} s from the first start to the last end."
        self.tables.append(Table(title, ("part", "CPU s", "CPU s for each client"), rows, note))

    def _add(self, what: str, found: str, target: str, reached: bool) -> None:
        self.figures.append(Figure(what, found, target, reached))


def measured(
    folder: Path, mappings: int, clients: int, large_rows: int
) -> tuple[list[Figure], list[Table]]:
    """Start the stack with so many mappings, of which so many are at work, and measure every part."""
    ids = client_ids(mappings)
    with running(folder, ids) as (stack, include, api):
        fleet = Fleet(stack, include, api, ids)
        fleet.edit()
        at_work = ids[:clients]
        fleet.first_night(at_work)
        fleet.idle()
        fleet.quiet(at_work[:20])
        fleet.night(at_work)
        if large_rows:
            fleet.large_beside_small(at_work[:4], large_rows)
    return fleet.figures, fleet.tables
