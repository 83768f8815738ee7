"""Ids that change: a chain, several kinds and a collision in one feed, and all of it undone again, run by run."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import psycopg

from etl_lib.config.project import Project
from tests.cli.conftest import REPO, Etl

SAMPLE = REPO / "include" / "samples" / "harbor_college" / "night_1"
ENTITIES = tuple(Project(REPO / "include", "development").entities)


def rows(url: str) -> dict[str, list[Any]]:
    """Every row of every table of entities, apart from the number that readers follow."""
    with psycopg.connect(url) as connection:
        return {
            name: connection.execute(
                f"SELECT to_jsonb(t) - 'change_seq' FROM core.{name} t ORDER BY {name}_id".encode()
            ).fetchall()
            for name in ENTITIES
        }


def changed(path: Path, replacements: dict[str, str]) -> None:
    """Cells of a CSV file that are one of the texts, replaced."""
    with path.open(newline="", encoding="utf-8") as lines:
        cells = [[replacements.get(cell, cell) for cell in row] for row in csv.reader(lines)]
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerows(cells)


def night(tmp_path: Path, name: str, renames: list[str], ids: dict[str, str]) -> str:
    folder = tmp_path / name
    shutil.copytree(SAMPLE, folder)
    for path in folder.glob("*.csv"):
        changed(path, ids)
    lines = ["old_id,new_id,type", *renames, ""]
    (folder / "change_sis_id.csv").write_text("\n".join(lines))
    return str(folder)


def test_every_run_that_changed_ids_can_be_undone_and_the_one_before_it_too(
    etl: Etl, tmp_path: Path, database_url: str, include: Path
) -> None:
    with (include / "mappings" / "harbor_college.yaml").open("a") as mapping:
        mapping.write("limits: {hold: {rejected_share: 1}, fail: {rejected_share: 1}}\n")
    users = SAMPLE.joinpath("users.csv").read_text().splitlines()
    [first, second, third] = [line.split(",")[0] for line in users[1:4]]
    sections = SAMPLE.joinpath("sections.csv").read_text().splitlines()
    section = sections[1].split(",")[0]
    states = []

    assert etl("run", "harbor_college", "--files", str(SAMPLE)).code == 0
    states.append(rows(database_url))
    enrolled = [row for (row,) in states[0]["enrollment"] if row["person_id"] == second]
    assert enrolled, "the sample has no such enrollment any more"

    # first takes the id of second, which moves on; a section; an id that somebody has; one that nobody has
    renames = [
        f"{first},{second},user", f"{second},U-NEW,user", f"{section},SEC-NEW,section",
        f"{third},U-NEW,user", "nobody,U-9,user",
    ]  # fmt: skip
    ids = {first: second, second: "U-NEW", section: "SEC-NEW"}
    folder = night(tmp_path, "two", renames, ids)
    answer = etl("run", "harbor_college", "--files", folder, "--json", "--approve")
    assert answer.code == 0, answer
    counts = {(c["feed"], c["entity"]): c for c in answer.json["counts"]}
    assert counts["changed_ids", "person"]["updated"] == 2
    assert counts["changed_ids", "person"]["rejected"] == 2
    assert counts["changed_ids", "section"]["updated"] == 1
    states.append(rows(database_url))
    moved = [row for (row,) in states[1]["enrollment"] if row["person_id"] == "U-NEW"]
    assert {row["first_seen_at"] for row in moved} == {row["first_seen_at"] for row in enrolled}
    person = {row["person_id"]: row for (row,) in states[1]["person"]}
    before = {row["person_id"]: row for (row,) in states[0]["person"]}
    assert person["U-NEW"]["full_name"] == before[second]["full_name"]
    assert person[second]["full_name"] == before[first]["full_name"]
    assert person[first]["deleted_at"] is not None
    with psycopg.connect(database_url) as connection:
        codes = connection.execute(
            "SELECT line, code FROM etl.rejected_row WHERE file = 'change_sis_id.csv' ORDER BY line"
        ).fetchall()
    assert codes == [(5, "DUPLICATE_KEY"), (6, "REFERENCE_UNKNOWN")]

    # a third night changes the moved one's id once more
    later = {first: second, second: "U-NEWER", section: "SEC-NEW"}
    folder = night(tmp_path, "three", ["U-NEW,U-NEWER,user"], later)
    answer = etl("run", "harbor_college", "--files", folder, "--json", "--approve")
    assert answer.code == 0, answer
    assert rows(database_url) != states[1]

    for run in (3, 2):
        undone = etl("undo", str(run))
        assert undone.code == 0, undone
        assert rows(database_url) == states[run - 2]
    assert etl("undo", "1").code == 0
    assert not any(rows(database_url).values())
