"""Writes the small schools' files, and beside them what a load of them must count and reject."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sample_data import ashford as broken
from sample_data.ashford import ashford
from sample_data.expected import FILLS, NAMES, Database, night
from sample_data.files import Files
from sample_data.metro import expected_counts, write_metro
from sample_data.oneroster import lakeside, maple_street, northgate
from sample_data.universities import harbor_college, prairie_state, san_rafael
from sample_data.westbrook import westbrook

NIGHTS = (1, 2)
METRO_ENROLLMENTS = 200
Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class School:
    """A small school: its files of a night, and in words what the second night brings."""

    files: Callable[[int], Files]
    second_night: str


SCHOOLS = {
    "lakeside": School(lakeside, """
        A student comes (with two enrollments), one leaves: the person stays, the role and two
        enrollments go. One more enrollment vanishes, one says tobedeleted, one row comes twice. A
        family name, a birth date, a class's room and a score change; a result is new. A course is
        no longer in courses.csv and stays."""),
    "northgate": School(northgate, """
        A preferred name is new, an account is disabled, a role ends, one vanishes and one comes. A
        result is exempted, an unused line item says tobedeleted. Another student's pronouns change,
        which changes nothing: they are dropped."""),
    "maple_street": School(maple_street, """
        A student comes with two enrollments, one changes grade, and a class changes its teacher:
        one section_staff row vanishes, another comes."""),
    "harbor_college": School(harbor_college, """
        A student comes. An enrollment vanishes, one says deleted, one is completed; a teaching
        assistant vanishes. The spring course's only enrollment is left out and stays, for the file
        does not speak of that term. A user changes address, one is suspended, a course is completed
        (and so is its default section), an administrator says deleted."""),
    "san_rafael": School(san_rafael, """
        The roster has another header for the credits and dates with points (layouts), which changes
        nothing. A student drops one course and registers for another, one is withdrawn from a
        section, one changes program (the old program enrollment vanishes), one has a private mail
        address only. A second teacher vanishes, a capacity and a course's credits change."""),
    "prairie_state": School(prairie_state, """
        Only changes: a new person with program and two enrollments (one waitlisted), a preferred
        name, a term's last day, a class's capacity, a leave of absence, a dropped class, changed
        units; an enrollment and a program say D. A person, a course (its id without leading zeros)
        and an enrollment come again as they were."""),
    "westbrook": School(westbrook, """
        A person comes with an enrollment. Mail, family name and an `extra` column of three others
        change. Number 2 has another address in people.csv, which changes nothing: contacts.csv has
        precedence; number 4's address in contacts.csv counts. A dropped birth date changes nothing.
        An enrollment and a program enrollment vanish, one of each changes; a score is filled in; a
        second attempt comes, twice."""),
    "ashford": School(ashford, """
        Most people are mended. Number 1 loses the name that won last night. One term and two people
        come in at last. In section_staff a row vanishes and another cannot be read, so nothing is
        deleted; in enrollments every row can be read, so the missing one is."""),
}  # fmt: skip
_HEADER = """\
# What each night's load must count, worked out without the product: see sample_data/expected.py.
# read = inserted + updated + unchanged + deleted_by_row + rejected + duplicates + filtered.
# Fills of one entity load one after another, so a feed that completes rows (insert: false) counts as
# updated what it adds to the rows that the same delivery has just inserted.
"""


def counts_of(client_id: str) -> dict[int, Counts]:
    """The counts of both nights by `<feed>.<entity>`."""
    if client_id == "ashford":
        return {number: broken.counts(number) for number in NIGHTS}
    if client_id == "metro":
        return {number: expected_counts(number, METRO_ENROLLMENTS) for number in NIGHTS}
    database: Database = {}
    fills = FILLS[client_id]
    return {n: night(database, SCHOOLS[client_id].files(n), fills) for n in NIGHTS}


def write_small(out: Path) -> list[Path]:
    """Write every small school under `out`, and the large one in small; gives the files."""
    contents: dict[Path, bytes] = {}
    for client_id, school in SCHOOLS.items():
        for number in NIGHTS:
            for name, content in school.files(number).items():
                contents[out / client_id / f"night_{number}" / name] = content
        yaml = _counts_file(client_id, school.second_night)
        contents[out / client_id / "expected" / "counts.yaml"] = yaml.encode()
    contents[out / "ashford" / "expected" / "rejects.csv"] = _rejects_file().encode()
    words = f"As large with --enrollments {METRO_ENROLLMENTS}: {_METRO_SECOND_NIGHT}"
    contents[out / "metro" / "expected" / "counts.yaml"] = _counts_file("metro", words).encode()
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    metro = [
        path
        for number in NIGHTS
        for path in write_metro(out / "metro" / f"night_{number}", number, METRO_ENROLLMENTS)
    ]
    return [*contents, *metro]


_METRO_SECOND_NIGHT = (
    """One enrollment in 200 vanishes, one student's name and one score in 100 change."""
)


def _counts_file(client_id: str, second_night: str) -> str:
    words = " ".join(second_night.split())
    lines = [_HEADER + _wrapped(f"Night 2: {words}")]
    for number, fills in counts_of(client_id).items():
        lines.append(f"night_{number}:")
        for name, counts in fills.items():
            cells = ", ".join(f"{key}: {counts.get(key, 0)}" for key in NAMES)
            lines.append(f"  {name}:\n    {{{cells}}}")
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 98, initial_indent="# ", subsequent_indent="# ")


def _rejects_file() -> str:
    rows = [
        f"night_{number},{file},{line},{column},{code}"
        for number in NIGHTS
        for file, line, column, code in sorted(broken.rejects(number))
    ]
    return "\n".join(["night,file,line,column,code", *rows]) + "\n"
