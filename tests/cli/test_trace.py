"""One record followed through its deliveries, as for a school that says: this student is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import REPO, Etl

SAMPLES = REPO / "include" / "samples"


@pytest.fixture
def followed(
    etl: Etl, once: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """`followed(client, key)` after both nights of the two schools: what each run did, oldest first."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))

    def load() -> None:
        for client in ("lakeside", "ashford"):
            for night in ("night_1", "night_2"):
                assert etl("run", client, "--files", str(SAMPLES / client / night)).code == 0

    once("both nights of two schools", load)

    def trace(client: str, key: str) -> Any:
        answer = etl("trace", client, key, "--json")
        found = json.loads(answer.out)
        found["code"] = answer.code
        found["runs"].reverse()
        return found

    return trace


def test_each_night_says_what_became_of_the_record_and_on_which_line(followed: Any) -> None:
    found = followed("lakeside", "lks-s03")
    first, second = (
        [fate for fate in run["fates"] if fate["feed"] == "users" and fate["entity"] == "person"]
        for run in found["runs"]
    )
    assert [(f["outcome"], f["file"], f["line"]) for f in first] == [("inserted", "users.csv", 12)]
    assert [(f["outcome"], f["columns"], f["line"]) for f in second] == [
        ("updated", ["family_name"], 12)
    ]
    assert ("person", "present", 12) in [
        (one["entity"], one["state"], one["line"]) for one in found["standing"]
    ]
    assert found["code"] == 0
    assert "Winterbourne" not in json.dumps(found)


def test_a_record_that_was_not_sent_again_is_unchanged_or_deleted_by_absence(followed: Any) -> None:
    gone = followed("lakeside", "lks-e07-c7")
    assert {(fate["entity"], fate["outcome"]) for fate in gone["runs"][0]["fates"]} == {
        ("enrollment", "inserted"),
        ("section_staff", "filtered"),
    }
    [fate] = gone["runs"][1]["fates"]
    assert (fate["outcome"], fate["by_absence"], fate["line"]) == ("deleted", True, None)
    assert gone["standing"][0]["state"] == "deleted"
    assert gone["code"] == 1
    marked = followed("lakeside", "lks-e09-c1")
    [fate] = [one for one in marked["runs"][1]["fates"] if one["entity"] == "enrollment"]
    assert (fate["outcome"], fate["by_absence"], fate["line"]) == ("deleted", False, 17)
    kept = followed("lakeside", "lks-s00")
    person = {fate["outcome"] for fate in kept["runs"][1]["fates"] if fate["entity"] == "person"}
    assert person == {"unchanged"}


def test_a_rejected_record_names_its_line_and_code(followed: Any) -> None:
    found = followed("ashford", "0109")
    person = [fate for fate in found["runs"][0]["fates"] if fate["entity"] == "person"]
    assert [(f["outcome"], f["line"], f["columns"]) for f in person] == [
        ("rejected", 28, ["birth_date"])
    ]
    assert person[0]["code"].startswith("VALUE_")
    assert found["standing"] == []
    assert found["code"] == 1


def test_rows_left_out_by_the_mapping_and_repeated_ones_are_named_too(followed: Any) -> None:
    fates = followed("ashford", "0002")["runs"][0]["fates"]
    assert {"inserted", "duplicate"} == {fate["outcome"] for fate in fates}
    enrollment = followed("lakeside", "lks-e00-c3")["runs"][0]["fates"]
    assert {(fate["entity"], fate["outcome"]) for fate in enrollment} == {
        ("enrollment", "inserted"),
        ("section_staff", "filtered"),
    }


def test_a_key_that_nobody_sent_is_said_to_be_in_no_delivery_and_near_ones_are_counted(
    followed: Any, etl: Etl
) -> None:
    found = followed("ashford", "no-such-key")
    assert all(run["fates"] == [] for run in found["runs"])
    assert found["runs"][0]["unreadable"] > 0
    assert found["similar"] == 0
    lost_zeros = followed("ashford", "2")
    assert lost_zeros["similar"] > 0
    answer = etl("trace", "ashford", "2")
    assert "differs in case or leading zeros" in " ".join(answer.out.split())


def test_who_looked_a_record_up_is_recorded_without_the_key(
    followed: Any, database_url: str
) -> None:
    followed("lakeside", "lks-e07-c7")
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT client_id, kind, by, text FROM etl.act").fetchall()
    [(client, kind, by, text)] = rows
    assert (client, kind) == ("lakeside", "trace")
    assert by
    assert "lks-e07" not in text
