"""A district of two schools whose ids are each school's own: one file of each kind and school, or one for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import Answer, Etl

COMMON = """
client: Valley District
sis: Own
owner: Ana
delivery: {{stable_s: 0}}
limits: {{hold: {{deleted_share: 1, rows_share_of_last: 0, updated_share: 1}}}}
feeds:
  schools:
    file: schools.csv
    entities:
      organization: {{columns: {{organization_id: School, name: Name, type: {{constant: school}}}}}}
  terms:
    file: terms.csv
    entities: {{term: {{columns: {{term_id: Term, name: Term}}}}}}
  sections:
    file: {sections}
    entities:
      section:
        columns:
          section_id: {{concat: ["{school}", Section], separator: "-"}}
          name: Section
          organization_id: "{school}"
          term_id: Term
  students:
    file: {students}
    entities:
      person:
        columns:
          person_id: {{concat: ["{school}", Id], separator: "-"}}
          full_name: Name
          primary_organization_id: "{school}"
  enrollments:
    file: {enrollments}
    entities:
      enrollment:
        scope_by: [section_id.organization_id, section_id.term_id]
        columns:
          section_id: {{concat: ["{school}", Section], separator: "-"}}
          person_id: {{concat: ["{school}", Id], separator: "-"}}
          role: {{constant: student}}
          status: {{constant: active}}
  changed:
    file: {changed}
    required: false
    entities: {{}}
    renames:
      old: {{concat: ["{school}", Old], separator: "-"}}
      new: {{concat: ["{school}", New], separator: "-"}}
      type: {{constant: student}}
      entities: {{student: [person]}}
"""
KINDS = ("sections", "students", "enrollments", "changed")
COLUMNS = {
    "sections": "Section,Term", "students": "Id,Name", "enrollments": "Id,Section", "changed": "Old,New",
}  # fmt: skip
Rows = dict[str, dict[str, list[str]]]  # by kind and school
# Both schools have a section 1 and a student 7.
FIRST: Rows = {
    "sections": {"NORTH": ["1,F26", "2,S27"], "SOUTH": ["1,F26", "9,S27"]},
    "students": {"NORTH": ["7,Ana", "8,Ben"], "SOUTH": ["7,Zoë", "6,Kim"]},
    "enrollments": {"NORTH": ["7,1", "8,1", "8,2"], "SOUTH": ["7,1", "6,1", "6,9"]},
}


@pytest.fixture(params=["a file of each school", "a column"])
def valley(
    request: pytest.FixtureRequest, include: Path, etl: Etl, tmp_path: Path
) -> Iterator[Callable[[Rows], Answer]]:
    """Loads a delivery of the schools that are named in it."""
    by_file = request.param == "a file of each school"
    files = {kind: f'"{kind}_{{school}}.csv"' if by_file else f"{kind}.csv" for kind in KINDS}
    text = COMMON.format(school="{school}" if by_file else "School", **files)
    (include / "mappings" / "valley.yaml").write_text(text)
    nights = iter(range(1, 100))

    def load(rows: Rows) -> Answer:
        folder = tmp_path / f"night_{next(nights)}"
        folder.mkdir()
        (folder / "schools.csv").write_text("School,Name\nNORTH,North High\nSOUTH,South High\n")
        (folder / "terms.csv").write_text("Term\nF26\nS27\n")
        for kind, schools in rows.items():
            if by_file:
                for school, lines in schools.items():
                    file = folder / f"{kind}_{school}.csv"
                    file.write_text("\n".join([COLUMNS[kind], *lines, ""]))
            else:
                lines = [f"{school},{line}" for school, of in schools.items() for line in of]
                head = f"School,{COLUMNS[kind]}"
                (folder / f"{kind}.csv").write_text("\n".join([head, *lines, ""]))
        return etl("run", "valley", "--files", str(folder), "--json")

    yield load


def keys(url: str, entity: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            f"SELECT {entity}_id FROM core.current_{entity} WHERE client_id = 'valley'".encode()
        ).fetchall()
    return {key for (key,) in found}


def figures(answer: Answer, fill: str) -> dict[str, Any]:
    [found] = [c for c in answer.json["counts"] if f"{c['feed']}.{c['entity']}" == fill]
    return {name: number for name, number in found.items() if isinstance(number, int) and number}


def test_ids_of_two_schools_do_not_meet_and_a_school_that_is_missing_loses_nothing(
    valley: Callable[[Rows], Answer], database_url: str
) -> None:
    answer = valley(FIRST)
    assert answer.json["status"] == "succeeded", answer
    assert keys(database_url, "person") == {"NORTH-7", "NORTH-8", "SOUTH-7", "SOUTH-6"}
    everything = {
        "NORTH-1|NORTH-7|student|", "NORTH-1|NORTH-8|student|", "NORTH-2|NORTH-8|student|",
        "SOUTH-1|SOUTH-7|student|", "SOUTH-1|SOUTH-6|student|", "SOUTH-9|SOUTH-6|student|",
    }  # fmt: skip
    assert keys(database_url, "enrollment") == everything

    # South sends nothing tonight; North's student 8 has left section 1
    north = {kind: {"NORTH": of["NORTH"]} for kind, of in FIRST.items()}
    north["enrollments"] = {"NORTH": ["7,1", "8,2"]}
    answer = valley(north)
    assert answer.json["status"] == "succeeded", answer
    assert figures(answer, "enrollments.enrollment")["deleted_by_absence"] == 1
    assert keys(database_url, "enrollment") == everything - {"NORTH-1|NORTH-8|student|"}

    # Both again: North only its spring, South only its autumn, in which 7 is gone. No other pair is touched.
    answer = valley(FIRST | {"enrollments": {"NORTH": ["8,2"], "SOUTH": ["6,1"]}})
    assert answer.json["status"] == "succeeded", answer
    assert keys(database_url, "enrollment") == everything - {
        "NORTH-1|NORTH-8|student|", "SOUTH-1|SOUTH-7|student|",
    }  # fmt: skip


def test_an_id_that_changes_is_that_of_its_school(
    valley: Callable[[Rows], Answer], database_url: str
) -> None:
    assert valley(FIRST).code == 0
    second = FIRST | {
        "students": {"NORTH": ["70,Ana", "8,Ben"], "SOUTH": ["7,Zoë", "6,Kim"]},
        "enrollments": {"NORTH": ["70,1", "8,1", "8,2"], "SOUTH": ["7,1", "6,1", "6,9"]},
        "changed": {"NORTH": ["7,70"]},
    }
    answer = valley(second)
    assert answer.json["status"] == "succeeded", answer
    assert figures(answer, "changed.person") == {"read": 1, "updated": 1}
    assert keys(database_url, "person") == {"NORTH-70", "NORTH-8", "SOUTH-7", "SOUTH-6"}
    enrolled = keys(database_url, "enrollment")
    assert "NORTH-1|NORTH-70|student|" in enrolled and "SOUTH-1|SOUTH-7|student|" in enrolled
    assert len(enrolled) == 6
