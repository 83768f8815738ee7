"""`python -m benchmarks.limits`: what grows with the number of mappings, at ten times the fleet's 500.

The bundle's first and next look, the snapshot's size, a whole parse in a real DAG processor, and the view's
list over a month of nights. What is found stands in docs/scaling.md with what follows from it.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from benchmarks import view
from benchmarks.fleet.project import client_ids, make_project, write_mapping
from benchmarks.results import Figure, keep
from etl_lib.airflow_edge.described import describe, keep_described
from etl_lib.config.project import Project
from etl_lib.load.tables import migrate_if_needed
from local_stack.airflow_api import AirflowApi
from local_stack.processes import StackError
from local_stack.stack import Stack

_PARSED_WITHIN_S = 600
_AIRFLOWS_LIMIT_S = 50  # dag_file_processor_timeout


def _looks(include: Path) -> list[Figure]:
    """What one look of the bundle costs: all mappings new, then one of them edited."""
    project = Project(include, "development")
    begun = time.process_time()
    found = {client_id: describe(project, client_id) for client_id in project.client_ids()}
    first_s = time.process_time() - begun
    assert not any(one.mistake for one in found.values()), "a mapping is broken"
    begun = time.process_time()
    for client_id in project.client_ids():
        project.digest(client_id)
    again_s = time.process_time() - begun
    begun = time.process_time()
    for path in include.rglob("*.yaml"):
        path.stat()
    same_s = time.process_time() - begun
    keep_described(include.parent, "development", found)
    kept = include.parent / "described.json"
    packed = shutil.make_archive(str(include.parent / "packed"), "gztar", include.parent, ".")
    sizes = (
        f"{_size(include.parent) / 1e6:.1f} MB, packed {Path(packed).stat().st_size / 1e6:.2f} MB"
    )
    Path(packed).unlink()
    kept.unlink()
    return [
        Figure("The bundle reads every mapping: at its start, or when a template changes", f"{first_s:.1f} CPU s"),
        Figure("The bundle's look after one mapping was edited: which others are the same", f"{again_s:.1f} CPU s"),
        Figure("The bundle's look when nothing has changed", f"{same_s:.2f} CPU s"),
        Figure("One snapshot", sizes),
    ]  # fmt: skip


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _parsed(stack: Stack, api: AirflowApi, ids: list[str]) -> Figure:
    """The whole file in Airflow's own DAG processor."""
    begun = time.monotonic()
    try:
        api.wait_for_dags(set(ids), _PARSED_WITHIN_S)
        shown = f"all shown after {time.monotonic() - begun:.0f} s"
    except StackError:
        shown = f"{len(api.dag_ids()):,} shown after {_PARSED_WITHIN_S} s"
    with psycopg.connect(stack.postgres.url("airflow")) as connection:
        row = connection.execute("SELECT max(last_parse_duration) FROM dag").fetchone()
    took_s = row[0] if row and row[0] else None
    text = f"{took_s:.0f} s for the file; {shown}" if took_s else shown
    usual = f"Airflow ends it after {_AIRFLOWS_LIMIT_S} s, unless told otherwise as here"
    return Figure("One parse in Airflow's DAG processor", text, usual)


def main(
    mappings: Annotated[int, typer.Option(help="Mappings present.")] = 5000,
    nights: Annotated[int, typer.Option(help="How long a history the view has.")] = 30,
    write: Annotated[bool, typer.Option(help="Write docs/benchmarks.md.")] = True,
) -> None:
    """Measure, and write docs/benchmarks.md."""
    folder = Path(tempfile.mkdtemp(prefix="etl-limits-"))
    ids = client_ids(mappings)
    try:
        include = make_project(folder / "project", ids)
        for client_id in ids:
            write_mapping(include, client_id, schedule="0 2 * * *")
        figures = _looks(include)
        bundle = {
            "name": "integrations",
            "classpath": "etl_lib.airflow_edge.bundle.SnapshotBundle",
            "kwargs": {"project": str(include.parent), "refresh_interval": 10},
        }
        stack = Stack(folder / "stack", view.REPO, (), bundles=[bundle])
        assert stack.airflow
        stack.airflow.components = ("api-server", "dag-processor")
        stack.more_environ["ETL_INCLUDE"] = str(include)
        for limit in ("DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT", "CORE__DAGBAG_IMPORT_TIMEOUT"):
            stack.more_environ[f"AIRFLOW__{limit}"] = str(_PARSED_WITHIN_S)
        with stack:
            url = stack.etl_database_url
            migrate_if_needed(url, Project(include, "development").entities)
            api = AirflowApi(stack.airflow.url, "admin", stack.airflow.password("admin"))
            figures.append(_parsed(stack, api, ids))
            view.fill(url, ids, nights)
            begun = time.monotonic()
            first = api.client().get("/integrations/api/clients", timeout=_PARSED_WITHIN_S)
            first.raise_for_status()
            figures.append(
                Figure(
                    "The view's first list after the api-server's start, which reads every mapping",
                    f"{time.monotonic() - begun:.0f} s",
                )
            )
            times_ms = view.times_ms(api.client(), ["/clients"] * 10, pause_s=1.05)
            size = len(first.content)
            figures.append(
                Figure(
                    f"The view's list of {mappings:,} clients with {nights} nights each, made anew",
                    f"median {statistics.median(times_ms):.0f} ms, {size / 1e6:.1f} MB",
                )
            )
            figures.append(_grown(url, mappings, nights))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for figure in figures:
        print(f"{figure.what}: {figure.found} {figure.target} {figure.reached}")
    if write:
        how = f"{mappings:,} mappings of four feeds, all in the one file of DAGs. No school sends anything."
        keep("limits", "Ten times the clients", how, figures)


def _grown(url: str, mappings: int, nights: int) -> Figure:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE n.nspname = 'etl' AND c.relkind IN ('r', 'm')"
        ).fetchone()
    assert row
    each = float(row[0]) / mappings / nights
    return Figure("The ledger's size on disk for each client and night, ten rejected rows in every tenth",
                  f"{each / 1e3:.1f} kB, so {each * mappings * 365 / 1e9:.0f} GB a year")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
