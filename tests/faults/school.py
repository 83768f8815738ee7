"""A small school, two nights of it, and the delivery that each night's export makes."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.load import conftest

CLIENT = "faulty"
PERSON_CANARY = "Kanarienvogel"  # a pupil's value that must not turn up outside of the tables
MAPPING = """
client: Faulty School
sis: Test
owner: Ana
timezone: America/New_York
delivery: {stable_s: 0, poll_s: 1, marker: done.txt}
limits:
  hold: {deleted_share: 0.5, updated_share: 1.0, rejected_share: 0.2}
feeds:
  sections:
    file: sections.csv
    entities:
      section: {columns: {section_id: id, name: name, term_id: term}}
  people:
    file: people.csv
    entities:
      person:
        columns: {person_id: id, given_name: given, family_name: family, balance: balance,
                  birth_date: born}
  enrollments:
    file: enrollments.csv
    entities:
      enrollment:
        scope_by: section_id.term_id
        columns: {enrollment_id: id, section_id: section, person_id: person, status: status}
"""
ZIPPED = "zipped"  # whose delivery comes as one archive
MARKER = "done.txt"
WITHOUT_MARKER = MAPPING.replace(f", marker: {MARKER}", "")
CLIENTS = {
    CLIENT: MAPPING,
    ZIPPED: WITHOUT_MARKER.replace("    file: ", "    file: night.zip\n    member: "),
}
Files = Mapping[str, bytes]


def make_include(folder: Path, clients: Mapping[str, str] | None = None) -> Path:
    """The configuration of `clients` (client id to mapping; all of CLIENTS) in `folder`."""
    return conftest.make_include(folder, clients or CLIENTS)


def night(number: int, people: int = 120, seed: int = 0) -> Files:
    """The export of a night: each differs from the one before in every way that a row can.

    Changed, new, vanished and returning rows; two rejected ones, a duplicate, an unknown reference.
    The number of people changes together with that of enrollments, in step with `number`.
    """
    chance = random.Random(f"{seed}/{number}")
    sections = ["id,name,term"] + [
        f"s{n},Section {n if n % 5 else f'{n} of {number}'},{'fall' if n % 2 else 'spring'}"
        for n in range(12)
    ]
    persons = ["id,given,family,balance,born"]
    enrollments = ["id,section,person,status"]
    for n in range(people + 7 * number):
        balance = chance.randrange(0, 100000)
        persons.append(
            f"p{n},{PERSON_CANARY}{n},Family {n + (number if n % 3 == 0 else 0)},"
            f"{balance // 100}.{balance % 100:02},20{10 + n % 10}-0{1 + n % 9}-1{n % 10}"
        )
        for k in range(2):
            if (n + k + number) % 11:
                status = "active" if (n + number) % 7 else "dropped"
                enrollments.append(f"e{n}_{k},s{(n + k) % 12},p{n},{status}")
    persons.append(f"bad{number},{PERSON_CANARY},Family,1.00,2011-02-30")
    persons.append(persons[3])
    enrollments.append("eu,s1,nobody,active")
    tables = {"sections": sections, "people": persons, "enrollments": enrollments}
    return {f"{name}.csv": ("\n".join(rows) + "\n").encode() for name, rows in tables.items()}


def zipped(files: Files) -> Files:
    """The files as one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return {"night.zip": buffer.getvalue()}


def marked(files: Files) -> Files:
    """The files and, as the last one, the marker that says that they are complete."""
    return {**files, MARKER: b""}


def put(files: Files, folder: Path) -> None:
    """The files in an inbox that is a folder: each appears whole, and those of before are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        part = folder / f"{name}.part"
        part.write_bytes(data)
        part.replace(folder / name)
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()
