"""What commands need that load samples: a PostgreSQL of their own, and several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from etl_lib.errors import FixTheSetup

Job = TypeVar("Job")
Answer = TypeVar("Answer")
Databases = Callable[[str], str]  # name of a database to its URL


@contextmanager
def own_server(folder: Path, command: str) -> Iterator[Databases]:
    """A PostgreSQL that lives as long as the block; gives what makes an empty database in it.

    `command`: who says so when the development requirements are not installed (FixTheSetup).
    """
    try:
        from local_stack.postgres import PostgresServer
    except ImportError:
        text = f"`{command}` starts a PostgreSQL of its own, and the development requirements are not installed."
        raise FixTheSetup.of("CONNECTION_MISSING", text, hint="Run it in a checkout.") from None
    server = PostgresServer(folder)
    server.start()
    try:
        yield server.ensure_database
    finally:
        server.stop()


def in_processes(work: Callable[[Job], Answer], jobs: Sequence[Job]) -> Iterator[Answer]:
    """What `work` gives for each job, in the order of the jobs, in as many processes as there are cores."""
    workers = min(len(jobs), os.cpu_count() or 1)
    if workers <= 1:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(work, jobs)
