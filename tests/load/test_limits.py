"""The guard: each limit, just at it and just over it, and its layers from base to feed."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_lib.config.mapping import FailLimits, HoldLimits, Limits
from etl_lib.config.project import Project
from etl_lib.load.limits import over_fail_limit, over_hold_limits
from etl_lib.manifest import Counts
from tests.load.conftest import MAPPING, make_project

DEFAULT = Limits()


FIVE_ROWS = Limits(hold=HoldLimits(rejected_rows=5))


def odd(**hold: float) -> Limits:
    return Limits(hold=HoldLimits(**hold), floor_rows=0)


@pytest.mark.parametrize(
    ("counts", "before", "limits", "held"),
    [
        pytest.param({"deleted_by_absence": 100}, 1000, DEFAULT, None, id="deletes at 10 %"),
        pytest.param({"deleted_by_absence": 101}, 1000, DEFAULT, "deleted_share", id="deletes over 10 %"),
        pytest.param({"deleted_by_row": 51, "deleted_by_absence": 50}, 1000, DEFAULT, "deleted_share", id="both"),
        pytest.param({"updated": 750}, 1000, DEFAULT, None, id="updates at 75 %"),
        pytest.param({"updated": 751}, 1000, DEFAULT, "updated_share", id="updates over 75 %"),
        pytest.param({"rejected": 20}, 1000, DEFAULT, None, id="rejects at 2 %"),
        pytest.param({"rejected": 21}, 1000, DEFAULT, "rejected_share", id="rejects over 2 %"),
        pytest.param({"deleted_by_absence": 20}, 20, DEFAULT, None, id="a small school at the floor"),
        pytest.param({"deleted_by_absence": 21}, 21, DEFAULT, "deleted_share", id="a small school over the floor"),
        pytest.param({"updated": 20}, 20, DEFAULT, None, id="updates of a small school"),
        pytest.param({"inserted": 900, "updated": 100}, 0, DEFAULT, None, id="the first load"),
        pytest.param({"deleted_by_absence": 57}, 100, odd(deleted_share=0.57), None, id="at an odd share"),
        pytest.param({"deleted_by_absence": 58}, 100, odd(deleted_share=0.57), "deleted_share", id="over an odd share"),
        pytest.param({"updated": 29}, 100, odd(updated_share=0.29), None, id="updates at an odd share"),
        pytest.param({"deleted_by_absence": 1}, 100, odd(deleted_share=0), "deleted_share", id="no delete passes"),
        pytest.param({"deleted_by_absence": 100}, 100, odd(deleted_share=1), None, id="every delete passes"),
        pytest.param({"rejected": 6}, 1000, FIVE_ROWS, "rejected_share", id="over a number of rejects"),
        pytest.param({"rejected": 5}, 1000, FIVE_ROWS, None, id="at a number of rejects"),
    ],
)  # fmt: skip
def test_over_a_hold_limit_a_person_decides_and_exactly_at_it_all_passes(
    counts: dict[str, int], before: int, limits: Limits, held: str | None
) -> None:
    def rows_before(most: int | None) -> int:
        return before if most is None else min(before, most)

    counted = Counts(feed="f", entity="person", read=1000, **counts)
    found = over_hold_limits(counted, rows_before, limits)
    assert [one.limit for one in found] == ([held] if held else [])
    for one in found:
        assert one.found > 0 and "pass without approval" in one.text


@pytest.mark.parametrize(
    ("rejected", "limits", "fails"),
    [
        pytest.param(200, DEFAULT, False, id="at 20 %"),
        pytest.param(201, DEFAULT, True, id="over 20 %"),
        pytest.param(290, Limits(fail=FailLimits(rejected_share=0.29)), False, id="at 29 %, no float"),
        pytest.param(8, Limits(fail=FailLimits(rejected_rows=7)), True, id="over a number of rows"),
        pytest.param(7, Limits(fail=FailLimits(rejected_rows=7)), False, id="at a number of rows"),
    ],
)  # fmt: skip
def test_over_a_fail_limit_nothing_can_be_approved(
    rejected: int, limits: Limits, fails: bool
) -> None:
    counts = Counts(feed="f", entity="person", read=1000, rejected=rejected)
    assert (over_fail_limit(counts, limits) is not None) is fails


def test_each_layer_says_only_what_differs_and_the_nearest_wins(tmp_path: Path) -> None:
    layered = MAPPING.replace("feeds:\n", "limits: {hold: {updated_share: 0.3}}\nfeeds:\n").replace(
        "    file: people.csv\n", "    file: people.csv\n    limits: {hold: {deleted_share: 0.4}}\n"
    )
    make_project(tmp_path, layered)
    base = tmp_path / "include" / "base.yaml"
    base.write_text("timezone: UTC\nlimits: {hold: {updated_share: 0.1}, floor_rows: 7}\n")
    template = tmp_path / "include" / "templates" / "sis.yaml"
    template.write_text("limits: {hold: {updated_share: 0.2, rejected_share: 0.05}}\n")
    path = tmp_path / "include" / "mappings" / "school.yaml"
    path.write_text("extends: sis\n" + layered)
    feeds = Project(tmp_path / "include", "test").resolve("school").mapping.feeds
    found = {
        name: (feed.limits.floor_rows, feed.limits.hold.rejected_share,
               feed.limits.hold.updated_share, feed.limits.hold.deleted_share)
        for name, feed in feeds.items()
    }  # fmt: skip
    assert found["people"] == (7, 0.05, 0.3, 0.4)
    assert found["sections"] == (7, 0.05, 0.3, 0.1)
