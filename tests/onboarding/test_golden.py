"""`etl test`: what a sample gives is compared, value by value, with what is kept beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from etl_lib.config.project import Project
from etl_lib.onboarding.golden import Difference, Verdict, accept, judge
from tests.cli.conftest import REPO, Etl, etl  # noqa: F401 (a fixture)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The configuration with the samples of one school, to be changed."""
    folder = tmp_path / "project" / "include"
    shutil.copytree(REPO / "include", folder, ignore=shutil.ignore_patterns("samples"))
    sample = REPO / "include" / "samples" / "harbor_college"
    shutil.copytree(sample, folder / "samples" / "harbor_college")
    return Project(folder, "development")


def judged(project: Project, database_url: str, home: Path) -> Verdict:
    return judge(project, "harbor_college", database_url, home)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_changed_template_shows_file_key_column_before_and_after(
    project: Project, database_url: str, tmp_path: Path
) -> None:
    template = project.include / "templates" / "canvas_sis.yaml"
    change(template, "completed: completed, deleted: cancelled", "completed: active, deleted: cancelled")
    found = judged(project, database_url, tmp_path / "home")
    assert found.error == ""
    assert found.differences == (
        Difference("night_2/section.csv", "HIS205-FA26", "status", "completed", "active"),
        Difference("night_2/counts.yaml", "courses.section", "updated", "1", "0"),
        Difference("night_2/counts.yaml", "courses.section", "unchanged", "3", "4"),
    )


def test_rows_that_are_rejected_now_are_named_by_line_and_code(
    project: Project, database_url: str, tmp_path: Path
) -> None:
    sample = project.include / "samples" / "harbor_college"
    change(sample / "night_2" / "terms.csv", "2027-01-", "2027-31-")
    found = judged(project, database_url, tmp_path / "home")
    rejects = [one for one in found.differences if one.file == "night_2/rejects.csv"]
    assert [(one.key, one.column, one.before, one.after) for one in rejects] == [
        ("terms.csv, line 4", "start_date", "", "VALUE_NOT_A_DATE")
    ]


def test_what_is_accepted_is_expected_from_then_on_and_keeps_the_words_at_the_head(
    project: Project, database_url: str, tmp_path: Path
) -> None:
    sample = project.include / "samples" / "harbor_college"
    counts = sample / "expected" / "counts.yaml"
    head = counts.read_text().splitlines()[0]
    change(sample / "expected" / "night_1" / "term.csv", "2026FA", "2025FA")
    change(counts, "read: 23", "read: 24")
    (sample / "expected" / "night_1" / "result.csv").write_text("result_id\nR1\n")
    found = judged(project, database_url, tmp_path / "home")
    assert {one.file for one in found.differences} >= {"night_1/term.csv", "night_1/result.csv"}
    accept(project, "harbor_college", found.played)
    assert counts.read_text().splitlines()[0] == head
    kept = REPO / "include" / "samples" / "harbor_college"
    for path in sorted(kept.rglob("*")):
        if path.is_file():
            assert (sample / path.relative_to(kept)).read_bytes() == path.read_bytes(), path
    assert not (sample / "expected" / "night_1" / "result.csv").exists()


def test_a_sample_that_is_missing_or_is_not_loaded_is_said(
    project: Project, database_url: str, tmp_path: Path
) -> None:
    found = judge(project, "lakeside", database_url, tmp_path / "one")
    assert "[SAMPLE_MISSING]" in found.error and "include/samples/lakeside/night_1" in found.error
    users = project.include / "samples" / "harbor_college" / "night_2" / "users.csv"
    users.write_text("")
    found = judged(project, database_url, tmp_path / "two")
    assert "[SAMPLE_NOT_LOADED]" in found.error and "users.csv" in found.error


def test_the_command_judges_samples_in_a_database_of_its_own(etl: Etl) -> None:  # noqa: F811
    answer = etl("test", "ashford", "maple_street")
    assert answer.code == 0, answer
    assert answer.out.split() == "ashford: as expected. maple_street: as expected.".split()
    assert etl("test").code == 2
