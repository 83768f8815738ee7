"""A few instants of each fault of the campaign; `make faults` plants as many as you like."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

import tests.faults.every  # noqa: F401 (registers the faults)
from tests.faults.bench import Bench, Reader
from tests.faults.campaign import CAMPAIGNS, PAGE, RESULTS, Alternating, page

pytestmark = pytest.mark.xdist_group("faults")
# fault, instants, seed
SAMPLE = [
    ("kill", 4, 3),
    ("database", 4, 3),
    ("s3", 2, 3),
    ("sftp", 2, 3),
    ("late listing", 1, 3),
    ("delivery", 2, 3),
    ("races", 2, 3),
    ("backfill beside schedule", 2, 3),
    ("clients", 3, 3),
]


@pytest.mark.parametrize(("name", "count", "seed"), SAMPLE, ids=[name for name, *_ in SAMPLE])
def test_nothing_is_lost_or_doubled_or_seen_in_part(
    bench: Bench, name: str, count: int, seed: int
) -> None:
    tally = CAMPAIGNS[name][1](bench, count, seed)
    assert tally.failures == [], (bench.log.read_text() if bench.log.exists() else "")[-3000:]
    assert tally.struck, "the fault met nothing: the sample proves nothing"


def test_a_reader_sees_a_run_that_says_too_early_that_it_has_loaded(bench: Bench) -> None:
    school = Alternating.of(bench).school
    with psycopg.connect(bench.direct(school.database), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO etl.run (client_id, dag_id, run_id, environment, status) "
            "VALUES (%s, 'x', 'too_early', 'test', 'succeeded')", (school.client_id,),
        )  # fmt: skip
        with Reader(school) as reader:
            until = time.monotonic() + 60
            while not reader.looks and time.monotonic() < until:
                time.sleep(0.01)
        connection.execute("DELETE FROM etl.run WHERE run_id = 'too_early'")
    assert reader.faults(reader.seen) == ["too_early was green before it was loaded"]
    assert reader.faults(set()) != reader.faults(reader.seen)


def test_the_page_of_the_campaign_is_what_its_figures_say() -> None:
    import json

    results = json.loads(RESULTS.read_text())
    assert Path(PAGE).read_text() == page(results)
    assert {name for name, one in results.items() if one["failures"]} == set()
