"""`etl run` as a data engineer uses it: the sample schools' nights, dry runs, approvals, environments."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

import etl_lib.pipeline
from sample_data.small import write_small
from tests.cli.conftest import REPO, Answer, Delivery, Etl

SAMPLES = REPO / "include" / "samples"


def counts_of(answer: Answer) -> dict[str, dict[str, int]]:
    return {
        f"{c['feed']}.{c['entity']}": {
            k: v for k, v in c.items() if k not in ("feed", "entity", "unresolved")
        }
        for c in answer.json["counts"]
    }


def query(database_url: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(text.encode()).fetchall()


def test_the_committed_samples_are_what_the_generator_writes(tmp_path: Path) -> None:
    for path in write_small(tmp_path):
        assert (SAMPLES / path.relative_to(tmp_path)).read_bytes() == path.read_bytes(), path


def test_every_row_that_is_dirty_on_purpose_is_rejected_with_its_code(
    etl: Etl, tmp_path: Path
) -> None:
    assert etl("run", "ashford", "--files", str(SAMPLES / "ashford" / "night_1")).code == 0
    [report] = (tmp_path / "home" / "outbox" / "ashford").glob("*_rejected.csv")
    with report.open(encoding="utf-8-sig", newline="") as lines:
        found = {(r["file"], int(r["line"]), r["code"]) for r in csv.DictReader(lines)}
    with (SAMPLES / "ashford" / "expected" / "rejects.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    wanted = {(r["file"], int(r["line"]), r["code"]) for r in rows if r["night"] == "night_1"}
    assert found == wanted
    assert len({code for _, _, code in wanted}) >= 12


def test_a_dry_run_shows_the_plan_with_masked_keys_and_changes_nothing(
    lakeside: Delivery, etl: Etl, database_url: str
) -> None:
    answer = etl("run", "lakeside", "--files", str(lakeside.folder), "--dry-run", "--json")
    assert answer.code == 0
    assert answer.json["sentence"].startswith("Dry run, nothing was changed.")
    assert sum(c["inserted"] for c in answer.json["counts"]) == 150
    assert answer.json["samples"]
    ids = {row.split(",")[0] for row in lakeside.path("users.csv").read_text().splitlines()[1:]}
    assert not [i for i in ids if i in json.dumps(answer.json["samples"])]
    assert lakeside.rows() == 0
    assert query(database_url, "SELECT count(*) FROM etl.load") == [(0,)]
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    assert lakeside.rows() > 100


def test_a_delivery_over_a_limit_waits_changes_nothing_and_loads_when_approved(
    lakeside: Delivery, etl: Etl, database_url: str
) -> None:
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    before = query(database_url, "SELECT * FROM core.enrollment ORDER BY enrollment_id")
    lines = lakeside.path("enrollments.csv").read_text().splitlines(True)
    lakeside.path("enrollments.csv").write_text("".join(lines[:20]))
    held = etl("run", "lakeside", "--files", str(lakeside.folder), "--json")
    assert held.code == 1
    assert held.json["status"] == "awaiting_approval"
    assert query(database_url, "SELECT * FROM core.enrollment ORDER BY enrollment_id") == before
    assert query(database_url, "SELECT status FROM etl.hold") == [("open",)]
    approved = etl("run", "lakeside", "--files", str(lakeside.folder), "--approve", "--json")
    assert approved.code == 0, approved
    gone = counts_of(approved)["enrollments.enrollment"]["deleted_by_absence"]
    assert gone == sum(",student," in line for line in lines[20:])
    current = query(database_url, "SELECT count(*) FROM core.current_enrollment")[0][0]
    assert current < len(before)


def test_the_same_files_again_are_nothing_new(lakeside: Delivery, etl: Etl) -> None:
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    again = etl("run", "lakeside", "--files", str(lakeside.folder), "--json")
    assert (again.code, again.json["status"]) == (0, "nothing_new")
    assert "identical to the delivery of" in again.json["sentence"]


def test_columns_that_a_delivery_lacks_leave_what_earlier_ones_brought(
    lakeside: Delivery, etl: Etl
) -> None:
    lakeside.replace(
        "users.csv",
        "lks-t0,active,2026-08-30T04:00:00.000Z,true",
        "lks-t0,active,2026-08-30T04:00:00.000Z,false",
    )
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    stored = "SELECT person_id, status, email, family_name FROM core.person ORDER BY person_id"
    before = lakeside.query(stored)
    assert ("lks-t0", "inactive") in {row[:2] for row in before}
    lakeside.replace("users.csv", "enabledUser", "seenBefore")  # has a default: active
    lakeside.replace("users.csv", ",email,", ",elsewhere,")
    lakeside.replace("users.csv", "Esme,Hallowell", "Esme,Hallow")
    answer = etl("run", "lakeside", "--files", str(lakeside.folder), "--json")
    assert counts_of(answer)["users.person"]["updated"] == 1
    changed = [row for row in lakeside.query(stored) if row not in before]
    (old,) = (row for row in before if row[0] == "lks-t0")
    assert changed == [(*old[:3], "Hallow")]


def test_every_row_knows_where_it_came_from(
    lakeside: Delivery, etl: Etl, database_url: str
) -> None:
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    rows = query(
        database_url,
        "SELECT person_id, source_file, source_line, r.run_id, d.delivery_id, feeds, p.first_seen_at "
        "FROM core.person p JOIN etl.run r USING (run_seq) "
        "JOIN etl.delivery d ON (d.client_id, d.delivery_seq) = (p.client_id, p.delivery_seq)",
    )
    assert len(rows) == 31
    text = {n: lakeside.path(n).read_text().splitlines() for n in ("users.csv", "demographics.csv")}
    for person_id, file, line, run_id, delivery_id, feeds, seen in rows:
        assert text[file][line - 1].startswith(person_id)
        assert run_id.startswith("cli__") and len(delivery_id) == 64 and "users" in feeds and seen


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_the_same_mapping_loads_in_every_environment(
    environment: str,
    lakeside: Delivery,
    etl: Etl,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
) -> None:
    monkeypatch.setenv("ETL_ENVIRONMENT", environment)
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    assert query(database_url, "SELECT environment FROM etl.run") == [(environment,)]


def test_what_great_expectations_said_is_kept_with_the_run_and_holds_no_value(
    lakeside: Delivery, etl: Etl, tmp_path: Path
) -> None:
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    [path] = (tmp_path / "home" / "archive" / "lakeside" / "runs").rglob("suite_results.json")
    results = json.loads(path.read_text())
    person = results["users.person"]
    kinds = {r["expectation_config"]["type"] for r in person["results"]}
    assert {"expect_column_values_to_not_be_null", "expect_column_values_to_be_unique"} <= kinds
    names = {row.split(",")[8] for row in lakeside.path("users.csv").read_text().splitlines()[1:]}
    assert not [name for name in names if len(name) > 4 and f'"{name}"' in path.read_text()]


def test_an_expectation_of_the_mapping_rejects_the_rows_that_break_it(
    include: Path, lakeside: Delivery, etl: Etl, database_url: str
) -> None:
    path = include / "mappings" / "lakeside.yaml"
    path.write_text(
        path.read_text()
        + "limits: {hold: {rejected_share: 1}, fail: {rejected_share: 1}}\n"
        + "feeds:\n  results:\n    expectations:\n"
        + "      - expectation: expect_column_values_to_be_between\n        entity: result\n"
        + "        kwargs: {column: score, max_value: 0}\n"
    )
    answer = etl("run", "lakeside", "--files", str(lakeside.folder), "--json")
    assert answer.code == 0, answer
    rejected = counts_of(answer)["results.result"]["rejected"]
    codes = query(database_url, "SELECT code, count(*) FROM etl.rejected_row GROUP BY 1")
    assert rejected > 0
    assert ("EXPECTATION_NOT_MET", rejected) in codes


def test_a_bug_of_ours_shows_no_traceback_and_ends_the_run_as_failed(
    lakeside: Delivery, etl: Etl, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a value of the data")

    monkeypatch.setattr("etl_lib.transform.transform", broken)
    answer = etl("run", "lakeside", "--files", str(lakeside.folder))
    assert answer.code == 2
    assert "a value of the data" not in answer.out + answer.err
    assert "INTERNAL" in answer.err
    assert query(database_url, "SELECT status FROM etl.run") == [("failed",)]
    assert "a value" not in str(query(database_url, "SELECT text FROM etl.run_message"))


def test_a_run_ends_with_the_mapping_that_it_began_with(
    include: Path, lakeside: Delivery, etl: Etl, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:

    extract = etl_lib.pipeline.do_extract

    def edited_meanwhile(*given: Any) -> Any:
        result = extract(*given)
        shutil.copy(include / "mappings" / "ashford.yaml", include / "mappings" / "lakeside.yaml")
        return result

    monkeypatch.setattr(etl_lib.pipeline, "do_extract", edited_meanwhile)
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    assert lakeside.rows() > 100
