"""What a school reads: rejected rows with reason and remedy, nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from etl_lib.errors import Fault
from etl_lib.manifest import Counts
from etl_lib.messages import message
from etl_lib.report.outbox import inert, write_reports
from etl_lib.storage import Storage

COUNTS = [Counts(feed="people", entity="person", read=3, inserted=1, rejected=2)]


def test_rejected_rows_come_with_line_code_reason_and_remedy(tmp_path: Path) -> None:
    outbox = Storage.local(tmp_path)
    rejects = [
        ("people.csv", 12, "007", "birth_date", "VALUE_NOT_A_DATE"),
        ("people.csv", 3, None, None, "ROW_FIELD_COUNT"),
    ]
    names = write_reports(
        outbox, "Test School", "2026-11-23_abc", "Loaded 3 records.", rejects, COUNTS
    )
    assert names == ("2026-11-23_abc_rejected.csv", "2026-11-23_abc_summary.txt")
    text = (tmp_path / names[0]).read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(r["file"], r["line"], r["key"], r["column"], r["code"]) for r in rows] == [
        ("people.csv", "3", "", "", "ROW_FIELD_COUNT"),
        ("people.csv", "12", "007", "birth_date", "VALUE_NOT_A_DATE"),
    ]
    assert all(row["reason"] and row["remedy"] for row in rows)
    assert "2 rejected" in (tmp_path / names[1]).read_text()


def test_without_rejected_rows_only_the_summary_is_written(tmp_path: Path) -> None:
    assert write_reports(Storage.local(tmp_path), "Test School", "x", "Fine.", [], COUNTS) == (
        "x_summary.txt",
    )


def test_the_summary_tells_the_school_what_it_can_do_and_leaves_out_what_others_do(
    tmp_path: Path,
) -> None:
    faults = [
        Fault("FILE_EMPTY", "The file has no bytes.", "people.csv"),
        Fault("STORAGE_UNAVAILABLE", "The bucket does not answer."),
    ]
    write_reports(Storage.local(tmp_path), "Test School", "x", "Failed.", [], [], faults)
    text = (tmp_path / "x_summary.txt").read_text()
    assert text.startswith("Test School: delivery x")
    assert f"- people.csv: The file has no bytes. {message('FILE_EMPTY').remedy}" in text
    assert "bucket" not in text


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    assert inert(cell) == f"'{cell}"


def test_an_ordinary_cell_stays_as_it_is() -> None:
    assert inert("0017") == "0017"
