"""`etl test`: what a sample gives is compared, value by value, with what is kept beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from etl_lib.config.project import Project
from etl_lib.errors import FixTheMapping
from etl_lib.onboarding.golden import Difference, Verdict, accept, judge, prove_examples
from etl_lib.onboarding.guide.example import example_files
from tests.cli.conftest import REPO, Etl

LIMITS = "\nlimits: {hold: {rejected_share: 1}, fail: {rejected_share: 1}}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The configuration with the samples of one school, to be changed."""
    folder = tmp_path / "project" / "include"
    shutil.copytree(REPO / "include", folder, ignore=shutil.ignore_patterns("samples"))
    sample = REPO / "include" / "samples" / "harbor_college"
    shutil.copytree(sample, folder / "samples" / "harbor_college")
    return Project(folder, "development")


@pytest.fixture
def judged(
    project: Project, database_url: str, postgres_url: str, tmp_path: Path
) -> Iterator[Callable[..., Verdict]]:
    """Judges a client of the project; may be called once."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE examples")
    another_url = postgres_url.replace("/postgres?", "/examples?")
    yield lambda client_id="harbor_college": judge(
        project, client_id, database_url, another_url, tmp_path / client_id
    )
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE examples WITH (FORCE)")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_what_a_change_does_is_shown_by_file_key_column_before_and_after(
    project: Project, judged: Callable[..., Verdict]
) -> None:
    template = project.include / "templates" / "canvas_sis.yaml"
    completed = "completed: completed, deleted: cancelled"
    change(template, completed, completed.replace("completed: completed", "completed: active"))
    sample = project.include / "samples" / "harbor_college"
    mapping = project.mapping_path("harbor_college")
    mapping.write_text(mapping.read_text() + LIMITS)
    change(sample / "night_2" / "terms.csv", "2027-01-", "2027-31-")
    found = judged()
    assert found.error == ""
    assert found.differences == (
        Difference("night_2/section.csv", "HIS205-FA26", "status", "completed", "active"),
        Difference(
            "night_2/rejects.csv", "terms.csv, line 4", "start_date", "", "VALUE_NOT_A_DATE"
        ),
        Difference("night_2/counts.yaml", "terms.term", "unchanged", "2", "1"),
        Difference("night_2/counts.yaml", "terms.term", "rejected", "0", "1"),
        Difference("night_2/counts.yaml", "courses.section", "updated", "1", "0"),
        Difference("night_2/counts.yaml", "courses.section", "unchanged", "3", "4"),
    )


def test_what_is_accepted_is_expected_from_then_on_and_keeps_the_words_at_the_head(
    project: Project, judged: Callable[..., Verdict]
) -> None:
    sample = project.include / "samples" / "harbor_college"
    counts = sample / "expected" / "counts.yaml"
    head = counts.read_text().splitlines()[0]
    change(sample / "expected" / "night_1" / "term.csv", "2026FA", "2025FA")
    change(counts, "read: 23", "read: 24")
    (sample / "expected" / "night_1" / "result.csv").write_text("result_id\nR1\n")
    found = judged()
    assert {one.file for one in found.differences} >= {"night_1/term.csv", "night_1/result.csv"}
    accept(project, "harbor_college", found.played)
    assert counts.read_text().splitlines()[0] == head
    kept = REPO / "include" / "samples" / "harbor_college"
    for path in sorted(kept.rglob("*")):
        if path.is_file():
            assert (sample / path.relative_to(kept)).read_bytes() == path.read_bytes(), path
    assert not (sample / "expected" / "night_1" / "result.csv").exists()


def test_a_sample_that_is_missing_or_is_not_loaded_is_said(
    project: Project, judged: Callable[..., Verdict]
) -> None:
    found = judged("lakeside")
    assert "[SAMPLE_MISSING]" in found.error and "include/samples/lakeside/night_1" in found.error
    users = project.include / "samples" / "harbor_college" / "night_2" / "users.csv"
    users.write_text("")
    found = judged()
    assert "[SAMPLE_NOT_LOADED]" in found.error and "users.csv" in found.error


def test_the_command_judges_samples_in_a_database_of_its_own(etl: Etl) -> None:
    answer = etl("test", "maple_street")
    assert answer.code == 0, answer
    assert answer.out.splitlines() == ["maple_street: as expected."]
    assert etl("test").code == 2


def test_an_example_that_the_mapping_does_not_accept_is_a_mistake_and_can_be_mended(
    project: Project, database_url: str, tmp_path: Path
) -> None:
    mapping = project.mapping_path("harbor_college")
    rule = """
  users:
    expectations:
      - expectation: expect_column_values_to_be_in_set
        entity: person
        kwargs: {column: master_id, value_set: [A20, B30, A40]}
"""
    mapping.write_text(mapping.read_text() + rule + LIMITS)
    with pytest.raises(FixTheMapping) as found:
        prove_examples(project, "harbor_college", database_url, tmp_path / "one")
    said = [(one.code, one.text) for one in found.value.faults]
    assert ("EXAMPLE_REJECTED", "users.csv, line 2, master_id: EXPECTATION_NOT_MET.") in said
    given = "examples: {users: {integration_id: [A20, B30, A40]}}\n"
    mapping.write_text(mapping.read_text() + given)
    assert example_rows(project, "users", "integration_id") == ["A20", "B30", "A40"]


def example_rows(project: Project, feed: str, column: str) -> list[str]:
    [rows] = [
        one.rows for one in example_files(project.resolve("harbor_college")) if one.feed == feed
    ]
    return [row[rows[0].index(column)] for row in rows[1:]]
