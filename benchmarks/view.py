"""The view on a year of 500 clients inside a running Airflow: answers, page, and 50 people who look.

Run as `python -m benchmarks.view`; `--clients` and `--nights` make it smaller.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import psutil
import psycopg
import typer
from playwright.sync_api import Page

from benchmarks.cpu import cpu_s
from benchmarks.results import Figure, keep
from etl_lib.config.project import Project
from etl_lib.load.tables import migrate_if_needed
from local_stack.airflow_api import AirflowApi
from local_stack.browser import signed_in
from local_stack.stack import Stack

REPO = Path(__file__).parents[1]
FEEDS = ("orgs", "users", "courses", "classes", "enrollments")
LIST_MS, PAGE_MS, BROWSER_S = 150, 100, 1.0
VIEWERS, WATCH_S, POLL_S = 50, 60, 3
_PASSWORD = "only-here"  # noqa: S105 (of a stack that lives for minutes, on this machine)

# A night of a client: mostly loaded, sometimes with rejects, seldom not at all.
_RUNS = """
INSERT INTO etl.delivery (client_id, delivery_seq, delivery_id, delivered_on, received_at, files)
SELECT c, to_char(d, 'YYYYMMDD')::bigint * 1000000 + 1, md5(c || d), d, d + interval '2 hours',
       (SELECT jsonb_agg(jsonb_build_object('name', f || '.csv', 'size_bytes', 120000, 'sha256', md5(c || d || f),
            'modified_at', d)) FROM unnest(%(feeds)s::text[]) f)
FROM unnest(%(clients)s::text[]) c, generate_series(%(first)s::date, %(last)s::date, interval '1 day') d;
INSERT INTO etl.run (client_id, dag_id, run_id, environment, status, delivery_seq, started_at, ended_at, sentence,
                     read, inserted, updated, unchanged, deleted, rejected, duplicates, filtered)
SELECT client_id, client_id, 'scheduled__' || delivered_on, 'development',
       CASE WHEN n %% 50 = 0 THEN 'failed' WHEN n %% 10 = 0 THEN 'succeeded_with_rejects' ELSE 'succeeded' END,
       delivery_seq, received_at, received_at + interval '1 second' * (20 + n %% 40),
       'Loaded 10,000 records, 100 changed.', 10000, 60, 30, 9900, 10,
       CASE WHEN n %% 10 = 0 THEN 10 ELSE 0 END, 0, 0
FROM (SELECT *, row_number() OVER () AS n FROM etl.delivery) x ORDER BY received_at;
INSERT INTO etl.run_count
SELECT run_seq, f, f, 2000, 12, 6, 1980, 2, 0, 0, 0, 0, 0, 0
FROM etl.run, unnest(%(feeds)s::text[]) f;
INSERT INTO etl.run_stage (run_seq, stage, status, started_at, ended_at, rows, rows_total)
SELECT run_seq, s, 'succeeded', started_at + interval '4 seconds' * o,
       started_at + interval '4 seconds' * (o + 1), 10000, 10000
FROM etl.run, unnest(ARRAY['extract', 'validate', 'transform', 'load']) WITH ORDINALITY AS stage(s, o);
INSERT INTO etl.rejected_row (run_seq, client_id, feed, entity, file, line, key, "column", code)
SELECT run_seq, client_id, 'users', 'person', 'users.csv', l, 'k' || l, 'birth_date', 'VALUE_NOT_A_DATE'
FROM etl.run, generate_series(1, 10) l WHERE rejected > 0;
INSERT INTO etl.run_message (run_seq, stage, code, text)
SELECT run_seq, 'extract', 'FILE_EMPTY', 'users.csv has no rows.' FROM etl.run WHERE status = 'failed';
INSERT INTO etl.load (run_seq, client_id, delivery_seq, delivery_id, row_contract, change_seq, status)
SELECT run_seq, client_id, delivery_seq, md5(run_id), 'c', nextval('etl.change_seq'), status
FROM etl.run WHERE status <> 'failed';
INSERT INTO etl.run_column SELECT run_seq, f, 'status', 6 FROM etl.run, unnest(%(feeds)s::text[]) f;
INSERT INTO etl.feed_state SELECT c, f, to_char(%(last)s::date, 'YYYYMMDD')::bigint * 1000000 + 1, 2000
FROM unnest(%(clients)s::text[]) c, unnest(%(feeds)s::text[]) f;
"""


def main(
    clients: Annotated[int, typer.Option(help="How many.")] = 500,
    nights: Annotated[int, typer.Option(help="How long a history.")] = 365,
) -> None:
    """Measure, and write docs/benchmarks.md."""
    folder = Path(tempfile.mkdtemp(prefix="etl-bench-"))
    try:
        keep("view", "The view", _how(clients, nights), _measured(folder, clients, nights))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _how(clients: int, nights: int) -> str:
    return (
        f"{clients} clients x {nights} nights x {len(FEEDS)} feeds = {clients * nights * len(FEEDS):,} feed rows, "
        f"inside a real Airflow (api-server, PostgreSQL and measuring client on the same machine), "
        f"through its login. Times of single requests, one after another; p95 of at least 60."
    )


def _measured(folder: Path, clients: int, nights: int) -> list[Figure]:
    ids = [f"client_{number:03}" for number in range(clients)]
    include = _project(folder, ids)
    stack = Stack(folder / "stack", REPO, (), bundles=[_bundle(folder)])
    assert stack.airflow is not None
    stack.airflow.components = ("api-server", "dag-processor")
    names = ["admin", *(f"viewer{number}" for number in range(VIEWERS))]
    stack.more_environ = {
        "ETL_INCLUDE": str(include),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{name}:{'admin' if name == 'admin' else 'viewer'}" for name in names
        ),
    }
    stack.airflow.passwords_file.parent.mkdir(parents=True)
    stack.airflow.passwords_file.write_text(json.dumps(dict.fromkeys(names, _PASSWORD)))
    with stack:
        url = stack.etl_database_url
        migrate_if_needed(url, Project(include, "development").entities)
        airflow = stack.airflow
        AirflowApi(airflow.url, "admin", _PASSWORD).wait_for_dags(set(ids), 240)
        figures: list[Figure] = []
        lasting = {}
        for part in sorted({max(1, nights // 10), nights}):
            fill(url, ids, part)
            api = AirflowApi(airflow.url, "viewer0", _PASSWORD).client()
            lasting[part] = times_ms(api, ["/clients"] * 60, pause_s=1.05)
        figures.append(_p95("List, made anew (500 clients)", lasting[nights], LIST_MS))
        short, whole = (statistics.median(times) for times in lasting.values())
        figures.append(
            Figure(
                "List on the whole history against a tenth of it",
                f"{whole / short:.2f}x",
                "grows with the clients shown, not with the history: under 1.5x",
                whole / short < 1.5,
            )
        )
        figures.append(
            _p95("List, asked again within the second", times_ms(api, ["/clients"] * 60), LIST_MS)
        )
        chosen = ids[:: max(1, clients // 100)]
        figures.append(
            _p95("Client", times_ms(api, [f"/clients/{one}" for one in chosen]), PAGE_MS)
        )
        runs = [f"/clients/{one}/run?run_id={_a_run(url, one)}" for one in chosen]
        figures.append(_p95("Run", times_ms(api, runs), PAGE_MS))
        figures.append(_p95("Days of the chart", times_ms(api, ["/days"] * 60), LIST_MS))
        figures += _interactive(airflow.url)
        figures += _watched(airflow.url, url)
    return figures


def _project(folder: Path, ids: list[str]) -> Path:
    shutil.copytree(REPO / "dags", folder / "project" / "dags")
    include = folder / "project" / "include"
    ignored = shutil.ignore_patterns("samples", "mappings")
    shutil.copytree(REPO / "include", include, ignore=ignored)
    (include / "mappings").mkdir()
    text = (REPO / "include" / "mappings" / "lakeside.yaml").read_text()
    for client_id in ids:
        (include / "mappings" / f"{client_id}.yaml").write_text(text)
    return include


def _bundle(folder: Path) -> dict[str, Any]:
    return {
        "name": "integrations", "classpath": "etl_lib.airflow_edge.bundle.SnapshotBundle",
        "kwargs": {"project": str(folder / "project"), "refresh_interval": 60},
    }  # fmt: skip


def fill(url: str, ids: list[str], nights: int) -> None:
    """Give every client so many nights of history, in place of what was there."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE etl.run, etl.delivery, etl.feed_state, etl.rejected_row, etl.load CASCADE"
        )
        row = connection.execute(
            "SELECT current_date - %s::int, current_date", (nights - 1,)
        ).fetchone()
        assert row
        given = {"clients": ids, "first": row[0], "last": row[1], "feeds": list(FEEDS)}
        for statement in _RUNS.strip().split(";\n"):
            connection.execute(statement.encode(), given)
        connection.execute("VACUUM ANALYZE")


def _a_run(url: str, client_id: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT run_id FROM etl.run WHERE client_id = %s ORDER BY random() LIMIT 1",
            (client_id,),
        ).fetchone()
    assert row
    return str(row[0])


def times_ms(api: httpx.Client, paths: list[str], pause_s: float = 0) -> list[float]:
    """Milliseconds of single requests to the view's API, one after another."""
    found = []
    api.get(f"/integrations/api{paths[0]}").raise_for_status()
    for path in paths:
        time.sleep(pause_s)
        begun = time.perf_counter()
        api.get(f"/integrations/api{path}").raise_for_status()
        found.append(1000 * (time.perf_counter() - begun))
    return found


def _p95(what: str, times_ms: list[float], target_ms: float) -> Figure:
    p95 = statistics.quantiles(times_ms, n=20)[-1]
    text = f"median {statistics.median(times_ms):.0f} ms, p95 {p95:.0f} ms"
    return Figure(what, text, f"p95 under {target_ms:.0f} ms", p95 < target_ms)


def _interactive(url: str) -> list[Figure]:
    """From a press in Airflow's side bar, and from an address, beside a page of Airflow's own."""
    pressed, ours, airflows = [], [], []
    with signed_in(url, "viewer0", _PASSWORD) as page:
        for _ in range(7):
            page.goto(f"{url}/")
            page.get_by_text("integrations").first.wait_for()
            begun = time.perf_counter()
            page.get_by_role("link", name="Clients").click()
            page.locator("tr[data-client]").first.wait_for()
            pressed.append(time.perf_counter() - begun)
            ours.append(_opened_s(page, f"{url}/plugin/clients", "tr[data-client]"))
            airflows.append(_opened_s(page, f"{url}/dags", "[data-testid=dag-id]"))
    press, own, theirs = (statistics.median(times[1:]) for times in (pressed, ours, airflows))
    return [
        Figure(
            "List in Chromium, from a press on Clients to the first row", f"median {press:.2f} s",
            f"under {BROWSER_S:.0f} s", press < BROWSER_S,
        ),
        Figure(
            "List in Chromium, from its address, with the start of Airflow's own user interface",
            f"median {own:.2f} s; Airflow's list of DAGs {theirs:.2f} s: {own / theirs:.2f}x", "reported",
        ),
    ]  # fmt: skip


def _opened_s(page: Page, address: str, first: str) -> float:
    page.goto("about:blank")
    begun = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator(first).first.wait_for()
    return time.perf_counter() - begun


def _watched(url: str, database_url: str) -> list[Figure]:
    """50 people look at the list for a minute."""
    clients = [AirflowApi(url, f"viewer{number}", _PASSWORD).client() for number in range(VIEWERS)]
    tokens = [client.headers["Authorization"] for client in clients]
    servers = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if "airflow" in " ".join(process.info["cmdline"] or ()) and _listens(process, url)
    ]
    with psycopg.connect(database_url, autocommit=True) as connection:
        before, cpu = _queries(connection), cpu_s(servers)
        begun = time.monotonic()
        answers = asyncio.run(_look(url, tokens))
        lasted_s = time.monotonic() - begun
        time.sleep(1.5)
        queries, spent_s = _queries(connection) - before, cpu_s(servers) - cpu
    rate = queries / lasted_s
    return [
        Figure(
            f"{VIEWERS} viewers, each asking every {POLL_S} s for {WATCH_S} s: queries in the ETL database",
            f"{rate:.2f} a second ({len(answers):,} answers, {answers.count(304):,} of them not modified)",
            "at most 1 a second",
            rate <= 1.05,
        ),
        Figure(
            "The same: CPU of the api-server", f"{100 * spent_s / lasted_s:.0f} % of a core", "reported"
        ),
    ]  # fmt: skip


def _listens(process: psutil.Process, url: str) -> bool:
    port = int(url.rsplit(":", 1)[1])
    try:
        return any(
            c.laddr and c.laddr.port == port and c.status == "LISTEN"
            for c in process.net_connections()
        )
    except psutil.Error:
        return False


def _queries(connection: psycopg.Connection[Any]) -> int:
    """Transactions that somebody asked for; the server itself makes one for each session's start."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    row = connection.execute(
        "SELECT xact_commit + xact_rollback - sessions FROM pg_stat_database "
        "WHERE datname = current_database()"
    ).fetchone()
    assert row
    return int(row[0])


async def _look(url: str, tokens: list[str]) -> list[int]:
    found: list[int] = []

    async def one(number: int, token: str) -> None:
        await asyncio.sleep(POLL_S * number / len(tokens))
        tag = ""
        until = time.monotonic() + WATCH_S
        async with httpx.AsyncClient(
            base_url=url, timeout=60, headers={"Authorization": token}
        ) as client:
            while time.monotonic() < until:
                answer = await client.get(
                    "/integrations/api/clients", headers={"If-None-Match": tag} if tag else {}
                )
                found.append(answer.status_code)
                tag = answer.headers.get("etag", "")
                await asyncio.sleep(POLL_S)

    await asyncio.gather(*(one(number, token) for number, token in enumerate(tokens)))
    return found


if __name__ == "__main__":
    typer.run(main)
