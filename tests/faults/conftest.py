"""One bench for the faults of this folder: real servers, and a zygote that forks stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.bench import Bench, bench_in
from tests.faults.here import Here


@pytest.fixture(scope="session")
def bench(make_home: Callable[[str], Path], postgres_url: str) -> Iterator[Bench]:
    """For the session, as its start takes seconds."""
    with bench_in(make_home("faults"), postgres_url, objects=True) as found:
        yield found


@pytest.fixture
def here(tmp_path: Path, database_url: str) -> Here:
    """A client without anything loaded yet."""
    return Here(tmp_path, database_url)
