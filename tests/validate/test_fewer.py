"""The guard against cut files: rows against those of the last good delivery."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from etl_lib.config.entity import Entity
from etl_lib.config.mapping import Feed
from etl_lib.config.project import Fill
from etl_lib.run import Run
from etl_lib.storage import Storage
from etl_lib.validate import validate
from etl_lib.validate.fewer import far_fewer_rows
from tests.validate.conftest import extracted_of

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


def test_a_feed_that_fills_two_entities_gives_its_reason_once(tmp_path: Path) -> None:
    entities = {
        "organization": {
            "columns": {"organization_id": "Id", "name": "Name", "type": {"constant": "school"}}
        },
        "course": {"columns": {"course_id": "Id", "title": "Name"}},
    }
    files = {"a.csv": {"Name": ["x"] * 30}}
    extracted = extracted_of(tmp_path, "course", "title", "Name", files, {"entities": entities})
    home = Storage.local(tmp_path)
    run = Run("school", "school", "r", datetime(2026, 11, 23, tzinfo=UTC), "", home.at("a"),
              home.at("w"), home.at("o"))  # fmt: skip
    validated = validate(run, extracted, {"f": 100})
    assert len(validated.fills) == 2
    assert [(one.feed, one.limit) for one in validated.holds] == [("f", "rows_share_of_last")]
