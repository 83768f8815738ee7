"""What is mapped without a question is right, and what is not sure is never silent."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.onboarding import TRUTH, Truth, schools, score
from etl_lib.config.project import Project
from etl_lib.onboarding.mapping.fills import by_column
from etl_lib.onboarding.mapping.samples import read_samples
from etl_lib.onboarding.mapping.suggest import Suggestion, suggest
from etl_lib.onboarding.mapping.write import About, mapping_text
from tests.onboarding.conftest import SETS, SHARED

ABOUT = About("A school", "Somebody", "UTC")
INVENTED = sorted(path for path in SETS.iterdir() if path.is_dir())
# Fields whose values are a person's own, and may never stand in a mapping.
PERSONAL = ("person_id", "display_number", "master_id", "username", "email", "given_name", "middle_name",
            "family_name", "full_name", "birth_date", "score")  # fmt: skip


def public(folder: Path) -> list[tuple[str, Path]]:
    """The public sets with a truth, when they lie beside the project."""
    if not folder.is_dir():
        return []
    found = [path for path in [*folder.iterdir(), *folder.glob("*/*")] if path.is_dir()]
    return sorted((path.name, path) for path in found if (TRUTH / f"{path.name}.yaml").is_file())


ALL = [*((path.name, path) for path in INVENTED), *public(SHARED)]


@pytest.mark.parametrize(("name", "folder"), ALL, ids=[name for name, _ in ALL])
def test_nothing_is_mapped_wrongly_and_nine_of_ten_rightly(name: str, folder: Path) -> None:
    found = score(name, folder)
    assert not found.wrong
    assert found.with_field
    assert found.right >= 0.9 * found.with_field, found.missed


def test_the_score_sees_a_wrong_column(tmp_path: Path) -> None:
    name = "german"
    right = Truth.read(TRUTH / f"{name}.yaml")
    (file, columns), = right.files.items()  # fmt: skip
    wrong = Truth({file: {**columns, "Vorname": frozenset({"person.family_name"})}})
    assert score(name, SETS / name, wrong).wrong == (
        "Schüler.csv: `Vorname` became person.given_name",
    )
    assert [name for name, _ in schools([SETS / name], tmp_path)] == [name]


def personal_values(suggestion: Suggestion) -> Iterator[str]:
    """Every value of a personal column that is long enough to be told from a word of ours."""
    for feed in suggestion.feeds:
        for column, proposals in by_column(feed.reading).items():
            if any(p.field in PERSONAL for p in proposals):
                yield from (v for v in feed.sample.columns[column].values if len(v) > 3)


@pytest.mark.parametrize("folder", INVENTED, ids=lambda path: path.name)
def test_no_value_of_a_person_stands_in_the_mapping(project: Project, folder: Path) -> None:
    suggestion = suggest(folder, project).with_best_guesses()
    text = mapping_text(suggestion, ABOUT)
    values = set(personal_values(suggestion))
    assert values or suggestion.template or folder.name in ("catalog", "class_schedule")
    headers = {header for feed in suggestion.feeds for header in feed.sample.headers}
    assert not [v for v in values - headers if v in text]


def text_of(project: Project, folder: Path) -> str:
    """The mapping, after it has passed the linter."""
    suggestion = suggest(folder, project)
    text = mapping_text(suggestion, ABOUT)
    project.mapping_path("school").write_text(text, encoding="utf-8")
    project.resolve("school")
    return text


STUDENTS = [
    ["student_id", "first_name", "last_name", "birth_date", "status"],
    ["s1", "Ana", "Berg", "03/04/2010", "XX"],
    ["s2", "Bo", "Cruz", "05/06/2011", "XX"],
    ["s3", "Cleo", "Diaz", "07/08/2012", "XX"],
]


def test_a_date_that_reads_both_ways_is_asked_about(
    project: Project, files: Callable[..., Path]
) -> None:
    text = text_of(project, files(students__csv=STUDENTS))
    assert "# birth_date:" in text
    assert "0.70: the month or the day first?" in text
    assert "\n          birth_date" not in text


def test_another_column_settles_which_comes_first(
    project: Project, files: Callable[..., Path]
) -> None:
    sections = [
        ["section_id", "name", "start_date"],
        ["a", "Art", "25/08/2026"],
        ["b", "Music", "1/9/2026"],
    ]
    text = text_of(project, files(students__csv=STUDENTS, sections__csv=sections))
    assert 'values: {date_formats: ["%d/%m/%Y"]}' in text
    assert "birth_date: birth_date" in text


def test_a_code_that_nobody_knows_is_asked_about(
    project: Project, files: Callable[..., Path]
) -> None:
    rows = [["Roster ID", "Section ID", "Student ID", "Reg Status"]]
    rows += [
        [f"e{n}", f"c{n % 2}", f"s{n}", ["enrolled", "enrolled", "ZZ"][n % 3]] for n in range(12)
    ]
    text = text_of(project, files(enrollments__csv=rows))
    assert "status: {from: Reg Status, map: {enrolled: active}}" in text
    assert "# status: what do these codes mean? Until then their rows are rejected: ZZ" in text


@pytest.mark.parametrize(
    ("header", "values", "never"),
    [
        (
            "Name",
            ["Ana Berg", "Bo Cruz", "Cleo Diaz"],
            "name: Name",
        ),  # the student's, not the section's
        ("Grade", ["9", "10", "9"], "final_grade: Grade"),  # a school grade
    ],
)
def test_a_bare_name_that_may_be_of_another_is_asked_about(
    project: Project, files: Callable[..., Path], header: str, values: list[str], never: str
) -> None:
    rows = [["Student ID", "Section ID", "Section Code", header]]
    rows += [[f"s{n}", f"c{n % 2}", f"0{n % 2}", values[n % 3]] for n in range(9)]
    text = text_of(project, files(enrollments__csv=rows))
    assert f"\n          {never}" not in text
    assert header in text.partition("entities:")[2]  # asked about, or said to have no field


def test_a_course_beside_its_subject_is_a_number(
    project: Project, files: Callable[..., Path]
) -> None:
    rows = [["CRN", "Subject", "Course", "Section", "Title"]]
    rows += [
        [f"{1000 + n}", "CS", f"{100 + n}", "001", f"Topic {'abcdefghij'[n] * 3}"] for n in range(9)
    ]
    text = text_of(project, files(courses__csv=rows))
    assert 'course_id: {concat: [Subject, Course], separator: "-"}' in text
    assert "catalog_number: Course" in text
    assert text.count("course_id:") == 2  # the course's own, and the section's


def test_people_never_become_organizations(project: Project, files: Callable[..., Path]) -> None:
    rows = [["Course Code", "Course Title", "Matric No", "Name", "Total", "Grade"]]
    rows += [["CSC201", "Algorithms", f"U{n}", f"Ana Berg{n}", "75", "A"] for n in range(9)]
    suggestion = suggest(files(exam_results__csv=rows), project).with_best_guesses()
    assert not {"organization", "term", "program"} & suggestion.feeds[0].reading.fills.keys()


def test_the_id_that_other_files_refer_to_is_the_key(
    project: Project, files: Callable[..., Path]
) -> None:
    students = [
        ["dcid", "student_id", "last_name"],
        *([f"{n}00", f"{n}", "Abcd"] for n in range(1, 6)),
    ]
    enrollments = [["student_id", "section_id"], *([f"{n}", "c1"] for n in range(1, 6))]
    text = text_of(project, files(students__csv=students, enrollments__csv=enrollments))
    assert "person_id: student_id" in text
    assert "person_id: dcid" not in text


def test_files_of_several_days_are_one_feed_with_the_date_in_its_name(
    project: Project, files: Callable[..., Path]
) -> None:
    folder = files(students_20260901__csv=STUDENTS, students_20260902__csv=STUDENTS)
    text = text_of(project, folder)
    assert '    file: "students_{date}.csv"' in text
    assert text.count("person_role:") == 1


def test_another_way_to_write_the_date_in_a_name_is_said_once(
    project: Project, files: Callable[..., Path]
) -> None:
    folder = files(**{"students_2026-09-01__csv": STUDENTS})
    text = text_of(project, folder)
    assert 'delivery: {date_format: "%Y-%m-%d"}' in text
    assert 'file: "students_{date}.csv"' in text


def test_two_files_about_people_say_whose_word_counts(
    project: Project, files: Callable[..., Path]
) -> None:
    teachers = [
        ["teacher_id", "first_name", "last_name"],
        ["t1", "Eve", "Egan"],
        ["t2", "Finn", "Fox"],
    ]
    text = text_of(project, files(students__csv=STUDENTS, teachers__csv=teachers))
    assert "  person: [students, teachers]" in text


def test_passwords_and_national_ids_are_never_read(
    project: Project, files: Callable[..., Path]
) -> None:
    rows = [[*STUDENTS[0], "SSN", "Password"], *([*row, "123", "secret"] for row in STUDENTS[1:])]
    text = text_of(project, files(students__csv=rows))
    assert "# no field for: SSN, Password" in text


def test_a_column_without_a_name_or_with_one_that_stands_twice_is_never_mapped(
    project: Project, files: Callable[..., Path]
) -> None:
    rows = [
        [
            "student_id",
            "first_name",
            "last_name",
            "last_name",
            "",
            "email",
            "phone",
            "city",
            "zip",
            "note",
        ]
    ]
    rows += [
        [f"s{n}", "Ana", "Berg", "Cruz", "x", f"a{n}@x.example", "", "", "", ""] for n in range(9)
    ]
    text = text_of(project, files(students__csv=rows))
    assert "given_name: first_name" in text
    assert "last_name" not in text
    assert "column_" not in text


def test_a_report_that_is_no_table_is_said_and_the_others_are_read(
    project: Project, files: Callable[..., Path]
) -> None:
    report = [["1", "2", "3"], ["4", "5", "6"], ["7", "8", "9"]]
    suggestion = suggest(files(students__csv=STUDENTS, report__csv=report), project)
    assert [fault.code for fault in suggestion.unread] == ["FILE_HEADER_NOT_FOUND"]
    assert [feed.name for feed in suggestion.feeds] == ["students"]


def test_a_sample_knows_what_is_unique_and_what_follows(files: Callable[..., Path]) -> None:
    rows = [
        ["section", "course", "title"],
        ["a", "1", "Art"],
        ["b", "1", "Art"],
        ["c", "2", "Music"],
    ]
    (sample,) = read_samples(files(classes__csv=rows)).tables
    assert sample.distinct_share(["section"]) == 1.0
    assert sample.distinct_share(["course"]) == pytest.approx(2 / 3)
    assert sample.follows(["course"], "title") == 1.0
    assert sample.follows(["title"], "section") == 0.5


def test_a_file_of_another_name_is_not_read_as_one_that_has_its_own(
    project: Project, repo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    shutil.copytree(repo / "include" / "samples" / "lakeside" / "night_1", folder)
    shutil.copy(folder / "users.csv", folder / "profiles.csv")
    found = suggest(folder, project)
    [feed] = [one for one in found.feeds if one.name == "users"]
    assert (feed.samples, feed.file) == (("users.csv",), ())
    assert "profiles.csv: It has the columns of `users`" in "\n".join(map(str, found.unread))
