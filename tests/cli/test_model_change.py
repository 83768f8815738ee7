"""A field and an entity are added in include/entities/ and nowhere else, and everything knows them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl_lib.config.project import Project
from tests.cli.conftest import REPO, Etl

FIELD = """\
  preferred_language:
    type: text
    max_length: 35
    description: The language in which the person wants to be spoken to.
    aliases: [preferred_lang, idioma_preferido]
    sensitive: true
"""
ROOM_OF_SECTION = """\
  room_id:
    type: id
    references: {entity: room, on_unknown: keep}
    description: The room in which it meets.
    aliases: [room, room_code]
"""
ROOM = """\
entity: room
description: A room in which teaching happens.
aliases: [room, classroom]
fields:
  room_id:
    type: id
    required: true
    description: The room's id in your system.
    aliases: [room_code]
  name:
    type: text
    required: true
    description: What people call the room.
    aliases: [room_name]
  seats:
    type: integer
    minimum: 0
    description: How many people can sit in it.
    aliases: [room_seats]
"""
CHECK_OUT = """\
entity: device_loan
description: A device that a person has taken home.
aliases: [device loan, loan]
natural_key: [person_id, device]
fields:
  device_loan_id:
    type: id
    required: true
    description: The loan's id in your system.
  person_id:
    type: id
    required: true
    references: {entity: person, on_unknown: reject}
    description: Who has taken it.
  device:
    type: enum
    values: [laptop, tablet, other]
    required: true
    description: What was taken.
    value_aliases: {laptop: [notebook], tablet: [ipad]}
  due_on:
    type: date
    description: The day on which it must be back.
    aliases: [due_date]
delete_absent: true
"""
FILES = {
    "rooms.csv": "room_code,room_name,room_seats\nR1,Aula,120\nR2,Lab 2,24\n",
    "sections.csv": "section_id,name,room_code\nC1,History 1,R1\nC2,Physics 1,R2\nC3,Music 1,R2\n",
    "people.csv": "person_id,first_name,last_name,preferred_lang\n"
    "P1,Ana,Berg,es\nP2,Bo,Cruz,en\nP3,Cy,Diaz,en-GB\nP4,Di,Evans,fr\n",
    "device_loans.csv": "person_id,device,due_date\nP1,notebook,2026-10-01\nP2,ipad,2026-10-02\nP4,other,2026-11-05\n",
}


@pytest.fixture
def grown(include: Path) -> Project:
    """The configuration with a new field, a new reference and two new entities."""
    shutil.rmtree(include / "mappings")
    (include / "mappings").mkdir()
    shutil.copy(REPO / "include" / "mappings" / "harbor_college.yaml", include / "mappings")
    entities = include / "entities"
    for name, text in (("person", FIELD), ("section", ROOM_OF_SECTION)):
        path = entities / f"{name}.yaml"
        path.write_text(path.read_text().replace("fields:\n", f"fields:\n{text}", 1))
    (entities / "room.yaml").write_text(ROOM)
    (entities / "device_loan.yaml").write_text(CHECK_OUT)
    return Project(include, "development")


def query(url: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(text.encode()).fetchall()


def test_entity_files_are_the_only_place_in_which_the_model_grows(
    etl: Etl, monkeypatch: pytest.MonkeyPatch, grown: Project, tmp_path: Path, database_url: str
) -> None:
    # a school was loaded before the change
    sample = REPO / "include" / "samples" / "harbor_college"
    with monkeypatch.context() as before:
        before.setenv("ETL_INCLUDE", str(REPO / "include"))
        assert etl("run", "harbor_college", "--files", str(sample / "night_1")).code == 0
    people = query(database_url, "SELECT count(*) FROM core.person")

    assert etl("check").code == 0
    assert etl("migrate").code == 0
    of_column = (
        "SELECT data_type FROM information_schema.columns WHERE table_schema = 'core' "
        "AND table_name = 'person' AND column_name = 'preferred_language'"
    )
    [(kind,)] = query(database_url, of_column)
    assert kind == "text"
    assert query(database_url, "SELECT count(*) FROM core.current_room") == [(0,)]
    assert query(database_url, "SELECT count(preferred_language), count(*) FROM core.person") == [
        (0, *people[0])
    ]

    # a school sends all of it: suggested, explained, loaded
    folder = tmp_path / "files"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    written = etl("new", "elm", "--from", str(folder), "--yes")
    assert written.code == 0, written
    feeds = grown.resolve("elm").mapping.feeds
    columns = {e: fill.columns for feed in feeds.values() for e, fill in feed.entities.items()}
    assert set(columns) == {"room", "section", "person", "device_loan"}, written.out
    assert columns["person"]["preferred_language"].from_ == ("preferred_lang",)
    assert columns["section"]["room_id"].from_ == ("room_code",)
    assert columns["device_loan"]["device"].map == {
        "notebook": "laptop", "ipad": "tablet", "other": "other",
    }  # fmt: skip
    order = [fill.entity.entity for fill in grown.resolve("elm").fills()]
    assert order.index("room") < order.index("section")
    assert order.index("person") < order.index("device_loan")

    guide = etl("guide", "elm", "--format", "md")
    assert guide.code == 0, guide
    for words in (
        "The language in which the person wants to be spoken to.",
        "How many people can sit in it.",
    ):
        assert words in guide.out

    loaded = etl("run", "elm", "--files", str(folder), "--json")
    assert loaded.json["status"] == "succeeded", loaded
    of_elm = (
        "SELECT person_id, preferred_language FROM core.current_person "
        "WHERE client_id = 'elm' ORDER BY 1"
    )
    assert query(database_url, of_elm) == [
        ("P1", "es"),
        ("P2", "en"),
        ("P3", "en-GB"),
        ("P4", "fr"),
    ]
    assert query(database_url, "SELECT room_id, seats FROM core.current_room ORDER BY 1") == [
        ("R1", 120),
        ("R2", 24),
    ]
    assert query(database_url, "SELECT device_loan_id, device FROM core.current_device_loan ORDER BY 1") == [
        ("P1|laptop", "laptop"), ("P2|tablet", "tablet"), ("P4|other", "other"),
    ]  # fmt: skip

    # the next night: a required reference is judged, absence deletes, a change is in the history
    (folder / "device_loans.csv").write_text(
        "person_id,device,due_date\nP1,notebook,2026-12-24\nP9,ipad,2026-10-02\n"
    )
    with (grown.include / "mappings" / "elm.yaml").open("a") as mapping:
        mapping.write("limits: {fail: {rejected_share: 1}}\n")
    second = etl("run", "elm", "--files", str(folder), "--json", "--approve")
    [loans] = [c for c in second.json["counts"] if c["entity"] == "device_loan"]
    assert {n: loans[n] for n in ("updated", "rejected", "deleted_by_absence")} == {
        "updated": 1, "rejected": 1, "deleted_by_absence": 2,
    }, second  # fmt: skip
    assert query(database_url, "SELECT code FROM etl.rejected_row WHERE client_id = 'elm'") == [
        ("REFERENCE_UNKNOWN",)
    ]
    assert (
        "It is there as device loan" in etl("trace", "elm", "P1|laptop", "--json").json["sentence"]
    )
    [(run,)] = query(database_url, "SELECT max(run_seq) FROM etl.run WHERE client_id = 'elm'")
    assert etl("undo", str(run)).code == 0
    assert query(database_url, "SELECT count(*) FROM core.current_device_loan") == [(3,)]

    # the schools from before go on as they were
    night = etl("run", "harbor_college", "--files", str(sample / "night_2"), "--json")
    assert night.json["status"].startswith("succeeded"), night
