"""The guard against cut files: rows against those of the last good delivery."""

from __future__ import annotations

import pytest

from etl_lib.config.entity import Entity
from etl_lib.config.mapping import Feed
from etl_lib.config.project import Fill
from etl_lib.validate.fewer import far_fewer_rows

ENTITY = {
    "entity": "person", "description": "x",
    "fields": {"person_id": {"type": "id", "required": True, "description": "x"}},
}  # fmt: skip


def fill(**feed: object) -> Fill:
    rules = {"columns": {"person_id": "id"}}
    made = Feed.model_validate({"file": "a.csv", "entities": {"person": rules}, **feed})
    return Fill("people", made, Entity.model_validate(ENTITY), made.entities["person"])


@pytest.mark.parametrize(
    ("feed", "rows", "last", "held"),
    [
        pytest.param({}, 80, 100, False, id="at 80 %"),
        pytest.param({}, 79, 100, True, id="under 80 %"),
        pytest.param({}, 500, 100, False, id="more rows"),
        pytest.param({}, 1, 0, False, id="the first delivery"),
        pytest.param({}, 1, 20, False, id="a small school at the floor"),
        pytest.param({}, 16, 21, True, id="a small school over the floor"),
        pytest.param({"content": "changes"}, 1, 100, False, id="changes"),
        pytest.param(
            {"limits": {"hold": {"rows_share_of_last": 0.56}}}, 56, 100, False, id="at an odd share"
        ),
        pytest.param(
            {"limits": {"hold": {"rows_share_of_last": 0.56}}}, 55, 100, True, id="under it"
        ),
    ],
)
def test_far_fewer_rows_than_last_time_are_asked_about(
    feed: dict[str, object], rows: int, last: int, held: bool
) -> None:
    found = far_fewer_rows(fill(**feed), rows, last)
    assert [one.limit for one in found] == (["rows_share_of_last"] if held else [])
    for one in found:
        assert f"the last delivery had {last}" in one.text
