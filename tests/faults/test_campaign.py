"""A few instants of each fault of the campaign; `make faults` plants as many as you like."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.faults.more  # noqa: F401 (registers its faults)
from tests.faults.bench import Bench
from tests.faults.campaign import CAMPAIGNS, PAGE, RESULTS, page

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
    ("clients", 3, 3),
]


@pytest.mark.parametrize(("name", "count", "seed"), SAMPLE, ids=[name for name, *_ in SAMPLE])
def test_nothing_is_lost_or_doubled_or_seen_in_part(
    bench: Bench, name: str, count: int, seed: int
) -> None:
    tally = CAMPAIGNS[name][1](bench, count, seed)
    assert tally.failures == [], (bench.log.read_text() if bench.log.exists() else "")[-3000:]
    assert tally.struck, "the fault met nothing: the sample proves nothing"


def test_the_page_of_the_campaign_is_what_its_figures_say() -> None:
    import json

    results = json.loads(RESULTS.read_text())
    assert Path(PAGE).read_text() == page(results)
    assert {name for name, one in results.items() if one["failures"]} == set()
