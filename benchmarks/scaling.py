"""`python -m benchmarks.scaling`: the same night on one and on two Celery workers, and with one of them lost.

The workers are processes with homes, snapshots, logs and scratch of their own; they and the server share
PostgreSQL, Redis and S3. The killed worker gets signal 9 with all that it has started, in mid-night. Then
a small school's wait beside three large ones, without a pool and with one.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import psutil
import psycopg
import typer

from benchmarks.fleet.project import (
    client_ids,
    files,
    make_project,
    put,
    running,
    write_mapping,
)
from benchmarks.fleet.running import CHANGED, ROWS, WAIT_MIN, Fleet
from benchmarks.results import Figure, Table, keep
from local_stack.airflow import HEARTBEAT_TIMEOUT_S, Airflow, Worker
from local_stack.processes import Process
from local_stack.waiting import wait_until

AT_ONCE = 2  # tasks of each worker
LARGE = 3
_LIMIT_S = 3600


@dataclass
class Night:
    """What one night took: its workers, when each client was loaded, tasks and CPU seconds by part."""

    workers: int
    loaded_s: list[float]
    tasks: dict[str, int]
    cpu_s: dict[str, float]
    states: set[tuple[str, ...]]


@dataclass
class Site:
    """A server with the CeleryExecutor, and workers that come and go."""

    fleet: Fleet
    airflow: Airflow
    folder: Path
    running: dict[str, tuple[Process, Worker]] = field(default_factory=dict)

    def start_workers(self, number: int) -> None:
        """So many workers, each on a home of its own with an image's `include/`, which holds no mapping."""
        for at in range(1, number + 1):
            home = self.folder / f"host_{at}"
            if home.name in self.running:
                continue
            project = home / "image"
            if not project.is_dir():
                make_project(project, ())
            worker = Worker(home, project, AT_ONCE)
            self.running[home.name] = self.airflow.start_worker(worker), worker

    def kill(self, name: str) -> set[int]:
        """A worker loses its power; gives the ids of the processes that it had."""
        process, _ = self.running.pop(name)
        family = psutil.Process(process.popen.pid)
        pids = {family.pid, *(child.pid for child in family.children(recursive=True))}
        process.kill()
        self.airflow.processes.remove(process)
        return pids

    def stop_worker(self, name: str) -> None:
        """A worker is taken out of service."""
        process, _ = self.running.pop(name)
        process.stop()
        self.airflow.processes.remove(process)

    def task_logs(self) -> dict[str, int]:
        """Tasks that each worker has begun so far: the logs that lie on it."""
        hosts = sorted(path for path in self.folder.glob("host_*"))
        return {
            host.name: sum(1 for _ in (host / "airflow" / "logs").rglob("attempt=*.log"))
            for host in hosts
        }

    def of_airflow(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of Airflow's own database."""
        with psycopg.connect(self.airflow.postgres.url("airflow")) as connection:
            return connection.execute(text.encode(), values).fetchall()

    def night(
        self, ids: Sequence[str], share: float, in_the_middle: Callable[[], None] | None = None
    ) -> Night:
        """All started at once; `in_the_middle`: called when half of them are loaded."""
        fleet = self.fleet
        delivery = files(ROWS, share)
        for client_id in ids:
            put(fleet.inbox(client_id), delivery)
        workers, cpu, logs = len(self.running), fleet.cpu_s(), self.task_logs()
        due = datetime.now(UTC)
        for client_id in ids:
            fleet.api.trigger(client_id)

        def loaded() -> list[datetime]:
            found = fleet.rows(
                "SELECT ended_at FROM etl.run WHERE ended_at >= %s AND status = 'succeeded' "
                "ORDER BY ended_at",
                due,
            )
            return [at for (at,) in found]

        if in_the_middle:
            wait_until(lambda: len(loaded()) >= len(ids) // 2, _LIMIT_S)
            in_the_middle()
        wait_until(lambda: len(loaded()) >= len(ids), _LIMIT_S)
        after, now = fleet.cpu_s(), self.task_logs()
        self._until_airflow_is_quiet()
        return Night(
            workers,
            [(at - due).total_seconds() for at in loaded()],
            {name: now[name] - logs.get(name, 0) for name in now},
            {name: after[name] - cpu[name] for name in after if name in cpu},
            {self.state(client_id) for client_id in ids},
        )

    def _until_airflow_is_quiet(self) -> None:
        text = "SELECT count(*) FROM dag_run WHERE state IN ('running', 'queued')"
        wait_until(lambda: self.of_airflow(text) == [(0,)], _LIMIT_S)

    def state(self, client_id: str) -> tuple[str, ...]:
        """A checksum of each table's rows of the client, times and numbers of runs aside."""
        found = []
        with psycopg.connect(self.fleet.stack.etl_database_url) as connection:
            for entity in ("course", "section", "person", "enrollment"):
                text = _STATE.format(entity=entity).encode()
                row = connection.execute(text, (list(_OF_RUNS), client_id)).fetchone()
                assert row
                found.append(str(row[0]))
        return tuple(found)


# what differs between two clients, or two nights, with the same rows
_OF_RUNS = (
    "client_id", "run_seq", "first_run_seq", "change_seq", "delivery_seq", "first_seen_at", "last_changed_at",
)  # fmt: skip
_STATE = """
    SELECT md5(coalesce(string_agg((to_jsonb(t) - %s::text[])::text, '/' ORDER BY {entity}_id), ''))
    FROM core.{entity} AS t WHERE client_id = %s
"""


def measured(folder: Path, clients: int, large_rows: int) -> tuple[list[Figure], list[Table]]:
    """The nights one after another on one server, then large schools beside a small one."""
    ids = client_ids(clients)
    with running(folder, ids, celery_slots=2 * AT_ONCE) as (stack, include, api):
        assert stack.airflow is not None
        site = Site(Fleet(stack, include, api, ids), stack.airflow, folder)
        for client_id in ids:
            api.unpause(client_id)
        site.start_workers(2)
        first = site.night(ids, 0)  # everything is new
        two = site.night(ids, CHANGED)
        lost: list[_Lost] = []
        hurt = site.night(ids, 0, lambda: lost.append(_lose_one(site)))  # as in the first night
        one = site.night(ids, CHANGED)  # the survivor alone
        figures = _figures(clients, one, two, hurt, (first, lost[0].back(site)))
        tables = [_nights(("one worker", one), ("two workers", two), ("two, one lost", hurt))]
        if large_rows:
            more, waits = _beside(site, ids, large_rows)
            figures += more
            tables.append(waits)
    return figures, tables


@dataclass
class _Lost:
    """A worker lost at `at`, and the tasks that it was at: (dag_id, run_id, task_id)."""

    at: datetime
    tasks: list[tuple[str, str, str]]

    def back(self, site: Site) -> list[float]:
        """Seconds from the loss until each of these tasks had begun anew."""
        found = []
        for task in self.tasks:
            [(began,)] = site.of_airflow(
                "SELECT start_date FROM task_instance WHERE dag_id = %s AND run_id = %s AND task_id = %s",
                *task,
            )
            found.append((began - self.at).total_seconds())
        return sorted(found)


def _lose_one(site: Site) -> _Lost:
    """Kill the second worker while it is at work."""
    name = sorted(site.running)[-1]
    text = "SELECT pid, dag_id, run_id, task_id FROM task_instance WHERE state = 'running'"

    def at_work() -> list[tuple[str, str, str]]:
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(site.running[name][0].popen.pid).children(recursive=True)
            pids = {child.pid for child in family}
            return [(d, r, t) for pid, d, r, t in site.of_airflow(text) if pid in pids]
        return []

    tasks: list[tuple[str, str, str]] = []

    def busy() -> bool:
        tasks[:] = at_work()
        return len(tasks) == AT_ONCE

    wait_until(busy, 60)
    at = datetime.now(UTC)
    site.kill(name)
    return _Lost(at, list(tasks))


def _figures(
    clients: int, one: Night, two: Night, hurt: Night, more: tuple[Night, list[float]]
) -> list[Figure]:
    first, back_s = more
    shares = [number / sum(two.tasks.values()) for number in two.tasks.values()]
    same = (
        hurt.states == first.states and len(first.states) == 1
        and one.states == two.states and len(two.states) == 1 and first.states != two.states
    )  # fmt: skip
    ended = len(hurt.loaded_s)
    later_s = hurt.loaded_s[-1] - two.loaded_s[-1]
    slowest = f"{back_s[-1]:.0f} s" if back_s else "none was at work"
    return [
        Figure(f"{clients} clients of {ROWS:,} rows, {CHANGED:.0%} changed, all at once, on two workers of {AT_ONCE}"
               " tasks each: start to last loaded", f"{two.loaded_s[-1]:.0f} s",
               "reported: the two workers share two cores"),
        Figure("The same on one worker", f"{one.loaded_s[-1]:.0f} s", "reported"),
        Figure("Tasks spread over two workers", " and ".join(f"{share:.0%}" for share in shares),
               "each at least 35%", min(shares) >= 0.35),
        Figure("One of two workers killed by signal 9 when half were loaded: clients loaded in the end",
               f"{ended} of {clients}", "all", ended == clients),
        Figure(f"Its {len(back_s)} tasks begun anew after", slowest, f"under {2 * HEARTBEAT_TIMEOUT_S} s",
               bool(back_s) and back_s[-1] < 2 * HEARTBEAT_TIMEOUT_S),
        Figure("The night with the loss ends later by", f"{later_s:.0f} s", "reported"),
        Figure("Every client's rows after that night, checksum of each table",
               "equal to those of a night without a loss and the same files" if same else "differ", "equal", same),
    ]  # fmt: skip


def _nights(*nights: tuple[str, Night]) -> Table:
    rows = []
    for name, night in nights:
        middle = night.loaded_s[len(night.loaded_s) // 2]
        tasks = ", ".join(f"{host} {n}" for host, n in night.tasks.items() if n)
        shown = {k: v for k, v in night.cpu_s.items() if v >= 0.5}
        cpu = ", ".join(f"{part} {value:.0f}" for part, value in shown.items())
        rows.append([name, f"{middle:.0f}", f"{night.loaded_s[-1]:.0f}", tasks, cpu])
    heads = ("night", "half loaded, s", "all loaded, s", "tasks begun on", "CPU seconds by part")
    note = "A lost worker's own CPU seconds are lost with it."
    title = "The same night on workers that share nothing but PostgreSQL, Redis and S3"
    return Table(title, heads, rows, note)


def _beside(site: Site, ids: Sequence[str], large_rows: int) -> tuple[list[Figure], Table]:
    """A small school's wait while three large ones are ahead of it, on one worker of two slots."""
    small, *large = ids[: LARGE + 1]
    _send(site, large, small, large_rows, 0)  # so that both measured times find the same to do
    waits = {}
    kinds = {"without a pool": "", "large schools in a pool of one slot": "pool: large\n"}
    for at, (kind, more) in enumerate(kinds.items()):
        for client_id in large:
            write_mapping(site.fleet.include, client_id, name=kind, more=more)
        for client_id in large:
            wait_until(partial(_is_called, site, client_id, kind), 120)
        share = 0 if at else CHANGED
        waits[kind] = _send(site, large, small, large_rows, share)
    rows = [[kind, f"{wait_s:.0f}", f"{last_s:.0f}"] for kind, (wait_s, last_s) in waits.items()]
    without_s, with_s = (wait_s for wait_s, _ in waits.values())
    figure = Figure(
        f"A small school, started after {LARGE} that send {large_rows:,} rows each, on one worker of {AT_ONCE} "
        "slots, the large ones in a pool of one slot",
        f"loaded after {with_s:.0f} s; without the pool after {without_s:.0f} s",
        f"under {WAIT_MIN} min", with_s < 60 * WAIT_MIN,
    )  # fmt: skip
    heads = ("", "small school loaded after, s", "last large one after, s")
    return [figure], Table("A small school beside large ones", heads, rows)


def _is_called(site: Site, client_id: str, name: str) -> bool:
    return bool(site.fleet.api.get(f"/dags/{client_id}")["dag_display_name"] == name)


def _send(
    site: Site, large: Sequence[str], small: str, large_rows: int, share: float
) -> tuple[float, float]:
    """Large deliveries, then a small one; seconds until the small and the last large one were loaded."""
    for client_id in large:
        put(site.fleet.inbox(client_id), files(large_rows, share))
    put(site.fleet.inbox(small), files(ROWS, share or 2 * CHANGED))
    time.sleep(5)  # so that nobody waits for files to lie still
    begun = datetime.now(UTC)
    for client_id in (*large, small):
        site.fleet.api.trigger(client_id, {"approve": True})
    text = (
        "SELECT client_id, ended_at FROM etl.run WHERE ended_at >= %s AND status = 'succeeded' "
        "AND client_id = ANY (%s)"
    )

    def ended() -> dict[str, float]:
        found = site.fleet.rows(text, begun, [*large, small])
        return {who: (at - begun).total_seconds() for who, at in found}

    wait_until(lambda: len(ended()) == len(large) + 1, _LIMIT_S)
    found = ended()
    return found[small], max(found[who] for who in large)


def main(
    clients: Annotated[int, typer.Option(help="Clients that send files.")] = 100,
    large_rows: Annotated[int, typer.Option(help="Rows of a large school; 0: none.")] = 500_000,
    write: Annotated[bool, typer.Option(help="Write docs/benchmarks.md.")] = True,
) -> None:
    """Measure, and write docs/benchmarks.md."""
    folder = Path(tempfile.mkdtemp(prefix="etl-scaling-"))
    try:
        figures, tables = measured(folder, clients, large_rows)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for figure in figures:
        print(f"{figure.what}: {figure.found} ({figure.target}) {figure.reached}")
    for table in tables:
        print(table.markdown)
    how = (
        f"{clients} clients in a real Airflow with the CeleryExecutor. A worker is a process with home, "
        f"snapshots, logs and scratch of its own and {AT_ONCE} slots; the server, the workers and the database "
        "share the machine's cores, so two workers are not faster than one here: the spread and the recovery are "
        "what is measured."
    )
    if write:
        keep("scaling", "Scaling out", how, figures, tables)


if __name__ == "__main__":
    typer.run(main)
