"""The preview shows what a run would make of the files, and leaves nothing behind."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_lib.cli.main import main
from etl_lib.cli.preview import page
from etl_lib.config.project import Project
from etl_lib.errors import AskTheSchool
from etl_lib.onboarding.preview import FieldView, FillView, Preview, preview
from tests.onboarding.conftest import REPO

OURS = Project(REPO / "include", "development")
NIGHT = REPO / "include" / "samples" / "ashford" / "night_1"


@pytest.fixture(scope="module")
def ashford() -> Preview:
    return preview(OURS, "ashford", NIGHT)


def fill(found: Preview, name: str) -> FillView:
    return next(one for one in found.fills if f"{one.feed}.{one.entity}" == name)


def field(found: Preview, name: str, field_name: str) -> FieldView:
    return next(one for one in fill(found, name).fields if one.name == field_name)


def test_every_row_is_accounted_for(ashford: Preview) -> None:
    assert ashford.fills
    for one in ashford.fills:
        assert one.read == one.accepted + one.rejected + one.left_out


def test_the_same_rows_are_rejected_as_in_a_load(ashford: Preview) -> None:
    with (NIGHT.parent / "expected" / "rejects.csv").open(newline="") as rows:
        known = [row for row in csv.DictReader(rows) if row["night"] == "night_1"]
    people = {
        row["line"]
        for row in known
        if row["file"] == "people.csv" and not row["code"].startswith(("ROW_", "REFERENCE_"))
    }
    shown = preview(OURS, "ashford", NIGHT, rows=100)
    found = {str(row.line) for row in fill(shown, "people.person").rows if row.why}
    assert found == people != set()


def test_a_field_tells_how_many_values_were_read_mapped_and_rejected_and_why(
    ashford: Preview,
) -> None:
    status = field(ashford, "enrollments.enrollment", "status")
    assert (status.origin, status.filled, status.made, status.mapped) == ("status", 24, 24, 24)
    assert status.rejected == {"VALUE_MISSING": 1}
    born = field(ashford, "people.person", "birth_date")
    assert (born.filled, born.made) == (24, 22)
    assert set(born.rejected) == {"VALUE_NOT_A_DATE"}


def test_rows_stand_before_and_after_side_by_side(ashford: Preview) -> None:
    one = fill(ashford, "enrollments.enrollment")
    row = one.rows[0]
    before = dict(zip(one.headers, row.before, strict=True))
    after = dict(zip((f.name for f in one.fields), row.after, strict=True))
    assert (before["status"], after["status"]) == ("in", "active")
    assert before["credits"].strip() == "1.0"
    assert after["credits"] == "1.000"


def test_rows_that_nobody_needs_to_mend_are_told_from_those_that_are_rejected() -> None:
    shown = [row for one in preview(OURS, "ashford", NIGHT, rows=200).fills for row in one.rows]
    aside = Counter(row.aside for row in shown if row.aside)
    assert set(aside) <= {"the same record as another row", "left out by a filter"} and aside
    assert [row for row in shown if row.aside and row.why] == []
    assert [row for row in shown if not any(row.after) and not row.aside and not row.why] == []


def test_the_page_needs_nothing_but_itself_and_hides_no_sign(ashford: Preview) -> None:
    text = page(ashford)
    assert "Ashford Academy" in text
    assert not re.search(r"(?:src|href)=|url\(", text)
    assert "<script" not in text
    assert "This page shows pupils' data" in text


def test_a_value_that_looks_like_html_stays_text(
    project: Project, files: Callable[..., Path]
) -> None:
    project.mapping_path("school").write_text(
        "client: C\nsis: S\nowner: O\nfeeds:\n  f:\n    file: f.csv\n    entities:\n      person:\n"
        "        columns: {person_id: id, full_name: name}\n"
    )
    folder = files(f__csv=[["id", "name"], ["1", "<b>Ana</b>"]])
    assert "&lt;b&gt;Ana&lt;/b&gt;" in page(preview(project, "school", folder))


def test_missing_files_and_limits_are_said_and_end_nothing(
    project: Project, files: Callable[..., Path]
) -> None:
    project.mapping_path("school").write_text(
        "client: C\nsis: S\nowner: O\nfeeds:\n"
        "  f: {file: f.csv, entities: {person: {columns: {person_id: id, birth_date: born}}}}\n"
        "  g: {file: g.csv, entities: {term: {columns: {term_id: id, name: name}}}}\n"
    )
    rows = [["id", "born"], *([str(n), "soon"] for n in range(5))]
    found = preview(project, "school", files(f__csv=rows))
    assert Counter(fault.code for fault in found.said) == {
        "FILE_MISSING": 1,
        "TOO_MANY_REJECTED": 1,
    }
    assert fill(found, "f.person").rejected == 5


def test_a_file_that_cannot_be_read_is_refused_with_its_reason(
    project: Project, files: Callable[..., Path]
) -> None:
    project.mapping_path("school").write_text(
        "client: C\nsis: S\nowner: O\nfeeds:\n"
        "  f: {file: f.csv, entities: {person: {columns: {person_id: id}}}}\n"
    )
    with pytest.raises(AskTheSchool) as refused:
        preview(project, "school", files(f__csv=[["name"], ["Ana"]]))
    assert [fault.code for fault in refused.value.faults] == ["FILE_HEADER_NOT_FOUND"]


def test_the_command_shows_both_and_writes_nothing_but_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ETL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ETL_DATABASE_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    target = tmp_path / "page.html"
    words = ["etl", "preview", "ashford", "--files", str(NIGHT), "--html", str(target)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1  # some rows are rejected
    out = capsys.readouterr().out
    assert "enrollments → enrollment: 26 read, 22 accepted, 4 rejected" in out
    assert "in → active" in out
    assert target.read_text().startswith("<!doctype html>")
    assert {path.name for path in tmp_path.iterdir()} <= {"page.html", "tmp"}
