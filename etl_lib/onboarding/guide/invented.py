"""Invented people, courses and codes for example files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

# Of several values the likeliest of ours first.
LIKELY = (
    "student", "faculty", "instructor", "school", "semester", "campus", "active", "graded", "lecture",
    "scheduled", "in_person", "true", "program", "on_campus",
)  # fmt: skip
# Fields that most rows leave empty.
SELDOM = frozenset({
    "observed_person_id", "crosslist_course_id", "crosslist_group", "other_term_ids", "source_status",
    "final_grade", "assigned_on_day", "due_on_day", "scored_on_day", "preferred_family_name",
    "parent_term_id", "parent_program_id",
})  # fmt: skip
BEGINNINGS = tuple(datetime(*day, 9, 30) for day in ((2026, 8, 31), (2027, 1, 18), (2027, 6, 1)))  # noqa: DTZ001
ENDS = tuple(datetime(*day, 14, 5) for day in ((2026, 12, 18), (2027, 5, 21), (2027, 8, 13)))  # noqa: DTZ001
_IDS = {
    "organization": ("CENTRAL", "NORTH", "SOUTH"),
    "term": ("2026-FALL", "2027-SPRING", "2027-SUMMER"),
    "program": ("BA-HIST", "BS-MATH", "BA-MUSIC"),
    "course": ("HIST-101", "MATH-101", "MUSI-101"),
    "section": ("HIST-101-01", "MATH-101-01", "MUSI-101-01"),
    "person": ("100001", "100002", "100003"),
    "enrollment": ("E-1", "E-2", "E-3"),
    "section_staff": ("E-1", "E-2", "E-3"),
    "person_role": ("R-1", "R-2", "R-3"),
    "result": ("RES-1", "RES-2", "RES-3"),
    "line_item": ("QUIZ-1", "QUIZ-2", "QUIZ-3"),
}
# By field of any entity, then by entity and field.
_FIELDS = {
    "given_name": ("Ana", "Ben", "Chloe"),
    "middle_name": ("María", "", "Lee"),
    "family_name": ("Rivera", "Okafor", "Nguyen"),
    "full_name": ("Ana Rivera", "Ben Okafor", "Chloe Nguyen"),
    "preferred_given_name": ("Ani", "", ""),
    "email": (
        "ana.rivera@school.example",
        "ben.okafor@school.example",
        "chloe.nguyen@school.example",
    ),
    "username": ("arivera", "bokafor", "cnguyen"),
    "display_number": ("A0100001", "A0100002", "A0100003"),
    "master_id": ("M100001", "M100002", "M100003"),
    "pronouns": ("she/her", "", ""),
    "grade_level": ("09", "10", "11"),
    "grade_levels": ("09", "10", "11"),
    "subject_code": ("HIST", "MATH", "MUSI"),
    "catalog_number": ("101", "102", "103"),
    "section_code": ("01", "02", "03"),
    "reference_number": ("10101", "10102", "10103"),
    "location": ("Main 12", "Main 14", "Music Hall"),
    "category": ("Homework", "Quiz", "Paper"),
    "school_year": ("2027", "2027", "2027"),
    "degree": ("BA", "BS", "BA"),
    "level": ("UG", "UG", "UG"),
    "class_standing": ("FR", "SO", "JR"),
    "text_score": ("A", "B", "A"),
    "score": ("9", "8", "10"),
    "score_min": ("0", "0", "0"),
    "score_max": ("10", "10", "10"),
    "weight": ("10", "20", "30"),
    "capacity": ("30", "25", "12"),
    "credits": ("3", "4", "2"),
    "credits_min": ("3", "4", "2"),
    "credits_max": ("3", "4", "2"),
    "responsibility_percent": ("100", "100", "100"),
    "attempt": ("1", "1", "1"),
    "organization.name": ("Central High School", "North High School", "South High School"),
    "organization.code": ("1001", "1002", "1003"),
    "term.name": ("Fall 2026", "Spring 2027", "Summer 2027"),
    "term.code": ("F26", "S27", "U27"),
    "program.name": ("History", "Mathematics", "Music"),
    "program.code": ("HIST", "MATH", "MUSI"),
    "course.title": ("World History", "Algebra I", "Choir"),
    "course.code": ("HIST 101", "MATH 101", "MUSI 101"),
    "section.name": ("World History 01", "Algebra I 01", "Choir 01"),
    "line_item.title": ("First quiz", "Second quiz", "Third quiz"),
}
# Codes of known systems, by header without the table's prefix.
_HEADERS = {
    "institution": ("MAIN", "MAIN", "MAIN"),
    "acadcareer": ("UGRD", "UGRD", "UGRD"),
    "strm": ("2267", "2271", "2274"),
    "sessioncode": ("1", "1", "1"),
    "classnbr": ("10101", "10102", "10103"),
    "crn": ("10101", "10102", "10103"),
    "termcode": ("202710", "202720", "202730"),
    "term": ("202710", "202720", "202730"),
    "subject": ("HIST", "MATH", "MUSI"),
    "subjcode": ("HIST", "MATH", "MUSI"),
    "catalognbr": ("101", "102", "103"),
    "crsenumb": ("0101", "0102", "0103"),
    "seqnumb": ("01", "02", "03"),
    "classsection": ("01", "02", "03"),
    "acadprog": ("LIBAR", "SCIEN", "MUSIC"),
    "stdntcarnbr": ("0", "0", "0"),
    "emplid": ("0100001", "0100002", "0100003"),
    "crseid": ("001001", "001002", "001003"),
}


def of_id(target: str, row: int) -> Iterator[str]:
    """Ids of an entity in a row; of a part of them (`section/1`) short codes."""
    if known := _IDS.get(target):
        yield known[row]
    yield f"{chr(ord('A') + row)}{row + 1}"
    yield str(row + 1).rjust(6, "0")
    yield str(row + 1)


def of_field(entity: str, name: str, row: int) -> Iterator[str]:
    """What the field of an entity might hold in a row."""
    for key in (f"{entity}.{name}", name):
        if key in _FIELDS:
            yield _FIELDS[key][row]


def of_header(header: str, row: int) -> Iterator[str]:
    """What a column that well-known systems have might hold in a row."""
    folded = re.sub(r"[^a-z]", "", header.lower())
    if folded in _HEADERS:
        yield _HEADERS[folded][row]


def text_for(pattern: str, row: int) -> str:
    """A text in which the regular expression is found; other rows get other letters where it leaves a choice."""
    return "".join(_made(part, row) for part in parser.parse(pattern))


def _made(part: tuple[Any, Any], row: int) -> str:
    kind, given = part
    if kind is kinds.LITERAL:
        return chr(given)
    if kind in (kinds.ANY, kinds.NOT_LITERAL):
        return chr(ord("a") + row)
    if kind is kinds.IN:
        return _one_of(given, row)
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        least, _, inner = given
        return "".join(_made(one, row) for one in inner) * max(int(least), 1)
    if kind is kinds.SUBPATTERN:
        return "".join(_made(one, row) for one in given[-1])
    if kind is kinds.BRANCH:
        return "".join(_made(one, row) for one in given[1][0])
    return ""


def _one_of(choices: list[tuple[Any, Any]], row: int) -> str:
    """A sign out of a class of signs."""
    kind, given = choices[0]
    if kind is kinds.RANGE:
        first, last = given
        return chr(min(int(first) + row, int(last)))
    if kind is kinds.CATEGORY and given is kinds.CATEGORY_DIGIT:
        return str(row + 1)
    if kind is kinds.CATEGORY and given is kinds.CATEGORY_SPACE:
        return " "
    return chr(int(given)) if kind is kinds.LITERAL else chr(ord("a") + row)
