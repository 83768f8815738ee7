"""Measures one client of a fresh server at a time: makes its database and its home, runs its command."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.load_figures import Spent
from benchmarks.server import Server
from benchmarks.spending import spend

REPO = Path(__file__).parents[1]
CLIENT = "measured"  # the database, and the client of the mapping
_SPENT = "spent.json"


def product_environ(server: Server, own: Path, mapping: str) -> dict[str, str]:
    """An empty database with the product's tables and a home with this mapping; what `etl` needs to find them."""
    server.make(CLIENT)
    environ = {
        **os.environ, "ETL_DATABASE_URL": server.url(CLIENT), "ETL_HOME": str(own / "home"),
        "ETL_INCLUDE": str(own / "include"), "ETL_ENVIRONMENT": "development",
        "AIRFLOW_HOME": str(own / "airflow"), "PYTHONPATH": str(REPO),
    }  # fmt: skip
    ignored = shutil.ignore_patterns("samples", "mappings")
    shutil.copytree(REPO / "include", own / "include", ignore=ignored)
    (own / "include" / "mappings").mkdir()
    (own / "include" / "mappings" / f"{CLIENT}.yaml").write_text(mapping)
    spend([sys.executable, "-m", "etl_lib.cli", "migrate"], environ, own / "log")
    return environ


def run_command(own: Path, night: Path, forked: bool) -> list[str]:
    """`etl run` over a folder of files; `forked`: out of a process that has loaded the libraries."""
    module = ["benchmarks.forked", str(own / _SPENT)] if forked else ["etl_lib.cli"]
    return [sys.executable, "-m", *module, "run", CLIENT, "--files", str(night), "--json"]


def measure(server: Server, command: Sequence[str], environ: Mapping[str, str], own: Path) -> Spent:
    """Run the command between two checkpoints; its output is in `own / "log"`.

    Raises spending.GivesUpError.
    """
    server.checkpoint()
    before = server.read()
    client = spend(command, environ, own / "log")
    if (own / _SPENT).exists():  # of the forked process alone
        client = replace(client, **json.loads((own / _SPENT).read_text()))
    server.upkeep(CLIENT)
    loaded = server.read()
    wal_bytes, image_bytes = server.written(before, loaded)
    again = server.read()
    server.checkpoint()
    server_s = (loaded.cpu_s - before.cpu_s) + (server.read().cpu_s - again.cpu_s)
    return Spent(client.cpu_s, server_s, client.wall_s, client.peak_mb, wal_bytes, image_bytes)
