"""`etl read`: what the reader makes of one file, told by a mapping or left to guess."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import REPO, Etl

SAMPLES = REPO / "include" / "samples"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def report(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "report.json").read_text()))


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))


def test_a_file_is_read_as_its_mapping_says_and_every_row_is_accounted_for(
    etl: Etl, out: Path
) -> None:
    people = SAMPLES / "ashford" / "night_1" / "people.csv"
    answer = etl("read", str(people), "--mapping", "ashford", "--feed", "people", "--out", str(out))
    assert answer.code == 1
    found = report(out)
    accepted, rejected = rows(out / "accepted.csv"), rows(out / "rejected.csv")
    assert found["rows_read"] == found["rows_accepted"] + found["rows_rejected"]
    assert len(accepted) == found["rows_accepted"] + 1
    assert len(rejected) == found["rows_rejected"] + 1
    assert ["20", "ROW_FIELD_COUNT"] in [row[:2] for row in rejected]
    assert found["rejected_by_code"]["ROW_QUOTE"] == 1
    assert found["encoding"] == "utf-8"
    assert "0013" in [row[0] for row in accepted]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("Id;Name;Born\n1;Ana;2010-01-01\n2;Bo;2011-02-02\n", ";"),
        ("Id\tName\tBorn\n1\tAna, M\t2010-01-01\n2\tBo, L\t2011-02-02\n", "\t"),
        ("Id|Name|Born\n1|Ana|2010-01-01\n2|Bo|2011-02-02\n", "|"),
        ("Id,Name,Born\n1,'Ana, M',2010-01-01\n2,'Bo, L',2011-02-02\n", ","),
    ],
    ids=["semicolon", "tab", "bar", "apostrophes"],
)
def test_without_a_mapping_the_way_of_writing_is_guessed_and_said(
    etl: Etl, out: Path, tmp_path: Path, text: str, delimiter: str
) -> None:
    file = tmp_path / "some.csv"
    file.write_text(text)
    assert etl("read", str(file), "--out", str(out)).code == 0
    found = report(out)
    assert (found["delimiter"], found["columns"]) == (delimiter, ["Id", "Name", "Born"])
    assert found["confidence"] > 0.5
    assert found["runner_up"]
    assert [row[0] for row in rows(out / "accepted.csv")] == ["Id", "1", "2"]


def test_a_file_that_is_no_table_of_the_feed_is_refused_with_all_its_faults(
    etl: Etl, out: Path, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("given_name,email\nAna,a@b.example\n")
    answer = etl("read", str(file), "--mapping", "ashford", "--feed", "people", "--out", str(out))
    found = report(out)
    assert answer.code == 2
    assert found["faults"][0]["code"].startswith("FILE_")
    assert found["rows_accepted"] == 0
    file.write_text("")
    assert etl("read", str(file), "--out", str(out)).code == 2
    assert [fault["code"] for fault in report(out)["faults"]] == ["FILE_EMPTY"]


def test_a_feed_that_is_not_there_is_said_with_those_that_are(etl: Etl, out: Path) -> None:
    people = SAMPLES / "ashford" / "night_1" / "people.csv"
    answer = etl("read", str(people), "--mapping", "ashford", "--feed", "pupils", "--out", str(out))
    assert answer.code == 2
    assert "people" in answer.err
