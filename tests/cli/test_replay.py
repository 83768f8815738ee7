"""`etl replay` and a backfill's days: deliveries out of the archive, whole or only their rejected rows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl_lib.cli.run import at_rest, local_run
from etl_lib.config.project import Project
from etl_lib.extract import keys_of_environment
from etl_lib.metrics.ledger import Ledger
from etl_lib.pipeline import (
    begin,
    begin_anew,
    do_extract_again,
    do_load,
    do_report,
    do_transform,
    do_validate,
    is_loaded,
    run_all,
)
from etl_lib.report import Outcome
from etl_lib.run import Run, Wishes, folder_name
from tests.cli.conftest import REPO, Answer, Delivery, Etl

NIGHTS = REPO / "include" / "samples" / "lakeside"
_OURS = [
    "run_seq",
    "first_run_seq",
    "change_seq",
    "delivery_seq",
    "first_seen_at",
    "last_changed_at",
]
FIRST, SECOND = datetime(2026, 11, 10, 8, tzinfo=UTC), datetime(2026, 11, 11, 8, tzinfo=UTC)


def target(database_url: str) -> dict[str, list[Any]]:
    """Everything that the application sees, without the marks of who wrote it when."""
    found = {}
    with psycopg.connect(database_url) as connection:
        names = connection.execute(
            "SELECT table_name FROM information_schema.views WHERE table_schema = 'core'"
        ).fetchall()
        for (name,) in names:
            query = f"SELECT to_jsonb(t) - %s::text[] FROM core.{name} t ORDER BY 1"
            found[name] = [row for (row,) in connection.execute(query.encode(), (_OURS,))]
    return found


def shows(database_url: str, wanted: dict[str, list[Any]]) -> bool:
    """Whether the target shows a night; absence never deletes people and results of other nights."""
    found = target(database_url)
    kept = ("current_person", "current_result")
    return all(row in found[name] for name in kept for row in wanted[name]) and all(
        found[name] == rows for name, rows in wanted.items() if name not in kept
    )


def come(folder: Path, at: datetime) -> Path:
    """The files of the folder, as they came at an instant."""
    for path in folder.iterdir():
        os.utime(path, (at.timestamp(), at.timestamp()))
    return folder


def night(number: int, tmp_path: Path, at: datetime) -> Path:
    folder = tmp_path / f"night_{number}"
    shutil.copytree(NIGHTS / f"night_{number}", folder)
    return come(folder, at)


def newest(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        [(run_seq,)] = connection.execute("SELECT max(run_seq) FROM etl.run").fetchall()
    return int(run_seq)


def counts(answer: Answer, fill: str) -> dict[str, Any]:
    return next(c for c in answer.json["counts"] if f"{c['feed']}.{c['entity']}" == fill)


@pytest.fixture
def two_nights(
    etl: Etl, once: Callable[..., Any], tmp_path: Path, database_url: str
) -> list[dict[str, list[Any]]]:
    """Both nights loaded as runs 1 and 2; what the target showed after each."""
    folders = [night(1, tmp_path, FIRST), night(2, tmp_path, SECOND)]

    def load() -> list[dict[str, list[Any]]]:
        shown = []
        for folder in folders:
            assert etl("run", "lakeside", "--files", str(folder)).code == 0
            shown.append(target(database_url))
        return shown

    return list(once("two nights of lakeside", load))


# --- replay -----------------------------------------------------------------------------------------


def test_an_older_delivery_takes_the_place_of_a_newer_one_only_when_told_so(
    two_nights: list[dict[str, list[Any]]], etl: Etl, tmp_path: Path, database_url: str
) -> None:
    refused = etl("replay", "1", "--json")
    assert (refused.code, refused.json["status"]) == (1, "superseded")
    assert "10 November 2026 is older than that of 11 November 2026" in refused.json["sentence"]
    assert target(database_url) == two_nights[1]
    told = etl("replay", "1", "--overwrite-newer", "--approve", "--json")
    assert (told.code, told.json["status"]) == (0, "succeeded"), told
    assert not shows(database_url, two_nights[1])
    assert shows(database_url, two_nights[0])
    again = etl("run", "lakeside", "--files", str(tmp_path / "night_2"), "--json")
    assert (again.code, again.json["status"]) == (0, "succeeded"), again
    assert target(database_url) == two_nights[1]


def test_a_delivery_that_is_loaded_is_run_again_when_asked_for(
    two_nights: list[dict[str, list[Any]]], etl: Etl, database_url: str
) -> None:
    again = etl("replay", "2", "--json")
    assert (again.code, again.json["status"]) == (0, "succeeded")
    assert sum(c["read"] for c in again.json["counts"]) > 200
    with psycopg.connect(database_url) as connection:
        seqs = connection.execute(
            "SELECT run_seq, delivery_seq FROM etl.load ORDER BY 1"
        ).fetchall()
        said = connection.execute("SELECT text FROM etl.run_message WHERE run_seq = 3").fetchall()
    assert [run for run, _ in seqs] == [1, 2, 3] and seqs[1][1] == seqs[2][1]
    assert said == [
        (
            "Run again: the delivery of 11 November 2026, known from run 2, under the mapping of today.",
        )
    ]
    assert target(database_url) == two_nights[1]


def test_a_replay_runs_under_the_corrected_mapping_and_on_demand_under_that_of_then(
    include: Path, etl: Etl, tmp_path: Path, database_url: str
) -> None:
    folder = night(1, tmp_path, FIRST)
    assert etl("run", "lakeside", "--files", str(folder)).code == 0
    before = target(database_url)
    path = include / "mappings" / "lakeside.yaml"
    wrong = path.read_text()
    path.write_text(
        wrong + "feeds: {classes: {entities: {section: {columns: {name: {constant: Class}}}}}}\n"
    )
    dry = etl("replay", "1", "--dry-run", "--json")
    assert counts(dry, "classes.section")["updated"] == 8
    assert target(database_url) == before
    assert counts(etl("replay", "1", "--json"), "classes.section")["updated"] == 8
    assert {row["name"] for row in target(database_url)["current_section"]} == {"Class"}
    then = etl("replay", "1", "--mapping-of-then", "--json")
    assert counts(then, "classes.section")["updated"] == 8
    assert target(database_url) == before
    # the run that was replayed under another mapping still knows its own
    assert etl("replay", "3", "--mapping-of-then").code == 0
    assert {row["name"] for row in target(database_url)["current_section"]} == {"Class"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay", "99"), "There is no run `99`."),
        (("replay", "1", "--client", "ashford"), "There is no run `1` of ashford."),
        (("replay", "2"), "Run 2 has no delivery of its own; its status is nothing new."),
        (("replay", "1", "--rejects"), "Run 1 has rejected no row."),
    ],
)
def test_what_cannot_be_run_again_is_said(
    words: tuple[str, ...], said: str, lakeside: Delivery, etl: Etl
) -> None:
    for _ in range(2):
        assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    answer = etl(*words)
    assert answer.code == 2
    assert said in answer.out.replace("\n", " ") + answer.err


def test_bytes_that_are_no_longer_what_came_are_never_loaded(
    lakeside: Delivery, etl: Etl, tmp_path: Path, database_url: str
) -> None:
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    before = target(database_url)
    files = sorted((tmp_path / "home" / "archive" / "lakeside" / "files").iterdir())
    files[0].write_bytes(files[0].read_bytes().replace(b"a", b"e"))
    files[1].unlink()
    answer = etl("replay", "1")
    assert answer.code == 2
    said = " ".join(answer.out.split())
    assert "is no longer what came" in said or "is not there" in said
    assert target(database_url) == before


# --- rejected rows alone ----------------------------------------------------------------------------


@pytest.fixture
def rejecting(lakeside: Delivery, etl: Etl, include: Path) -> Delivery:
    """A first night, loaded as run 1, of whose enrollments six rows were rejected for enrollment.

    Lines 2 and 3: a role that the mapping does not know yet; line 58 has the key of line 3. Line 4
    loses against line 59. Line 5: nobody knows the user. Line 60 is no row.
    """
    path = lakeside.path("enrollments.csv")
    lines = path.read_text().splitlines()
    later = [
        lines[2].replace("2026-08-17", "2026-08-18"),
        lines[3].replace("2026-08-17", "2026-08-19"),
    ]
    for number in (2, 3):
        lines[number - 1] = lines[number - 1].replace(",student,", ",learner,")
    lines[4] = lines[4].replace(lines[4].split(",")[5], "nobody")
    lines += [*later, "broken,row"]
    path.write_text("\n".join(lines) + "\n")
    assert etl("run", "lakeside", "--files", str(come(lakeside.folder, FIRST))).code == 0
    found = lakeside.query(
        "SELECT line, code, entity FROM etl.rejected_row WHERE run_seq = 1 ORDER BY 1, 3"
    )
    assert [(line, code) for line, code, entity in found] == [
        (2, "VALUE_NOT_ALLOWED"), (3, "VALUE_NOT_ALLOWED"), (4, "DUPLICATE_KEY"),
        (5, "REFERENCE_UNKNOWN"), (60, "ROW_FIELD_COUNT"),
    ]  # fmt: skip
    mapping = include / "mappings" / "lakeside.yaml"
    mapping.write_text(
        mapping.read_text() + "feeds: {enrollments: {entities: {enrollment: {columns: "
        "{role: {from: role, map: {student: student, learner: student}}}}}}}\n"
    )
    return lakeside


@pytest.fixture
def reconcile_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Airflow beside."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))


def test_only_the_rejected_rows_are_run_and_only_those_that_are_right_now_are_loaded(
    rejecting: Delivery, etl: Etl, database_url: str
) -> None:
    before = target(database_url)
    answer = etl("replay", "1", "--rejects", "--json")
    assert (answer.code, answer.json["status"]) == (0, "succeeded_with_rejects"), answer
    found = counts(answer, "enrollments.enrollment")
    wanted = {"read": 5, "inserted": 1, "rejected": 4, "updated": 0, "deleted_by_absence": 0}
    assert {name: found[name] for name in wanted} == wanted
    assert sum(c["read"] for c in answer.json["counts"]) == 6  # line 60 counts for both entities
    left = rejecting.query(
        "SELECT DISTINCT line, code FROM etl.rejected_row WHERE run_seq = 2 ORDER BY 1"
    )
    # line 3 is right now, and line 58 counts all the same, as the last of its key
    assert left == [
        (3, "DUPLICATE_KEY"), (4, "DUPLICATE_KEY"), (5, "REFERENCE_UNKNOWN"), (60, "ROW_FIELD_COUNT"),
    ]  # fmt: skip
    after = target(database_url)
    new = [row for row in after["current_enrollment"] if row not in before["current_enrollment"]]
    assert [row["enrollment_id"] for row in new] == ["lks-e00-c0"]
    assert all(row in after["current_enrollment"] for row in before["current_enrollment"])
    assert {n: r for n, r in after.items() if n != "current_enrollment"} == {
        n: r for n, r in before.items() if n != "current_enrollment"
    }


def test_after_some_rows_the_whole_delivery_is_still_what_is_loaded_and_still_new_under_the_new_mapping(
    rejecting: Delivery, etl: Etl
) -> None:
    state = "SELECT delivery_seq, row_contract FROM etl.client_state"
    read = "SELECT feed, rows_read FROM etl.feed_state ORDER BY 1"
    before = rejecting.query(state), rejecting.query(read)
    assert etl("replay", "1", "--rejects").code == 0
    assert (rejecting.query(state), rejecting.query(read)) == before
    whole = etl("run", "lakeside", "--files", str(rejecting.folder), "--json")
    assert whole.json["status"] == "succeeded_with_rejects"
    assert counts(whole, "enrollments.enrollment")["updated"] == 0
    assert (
        etl("run", "lakeside", "--files", str(rejecting.folder), "--json").json["status"]
        == "nothing_new"
    )


_SHOWN = "SELECT delivery_seq, delivery_id FROM etl.client_state"
_READ = "SELECT feed, delivery_seq, rows_read FROM etl.feed_state ORDER BY 1"


def test_rows_that_were_run_again_and_undone_are_no_undone_delivery(
    rejecting: Delivery, etl: Etl
) -> None:
    before = rejecting.query(_SHOWN), rejecting.query(_READ)
    assert etl("replay", "1", "--rejects").code == 0
    assert etl("undo", "2").code == 0
    assert (rejecting.query(_SHOWN), rejecting.query(_READ)) == before
    assert etl("replay", "1", "--rejects", "--json").json["status"] == "succeeded_with_rejects"
    again = etl("run", "lakeside", "--files", str(rejecting.folder), "--json")
    assert again.json["status"] == "succeeded_with_rejects", again  # it waits for nobody
    refused = etl("replay", "2", "--rejects")
    assert refused.code == 2
    assert "Run 2 was undone, so all its rows are to be run again, not some." in " ".join(
        (refused.out + refused.err).split()
    )


def test_when_a_later_delivery_is_undone_the_one_before_is_shown_not_some_rows_of_it(
    rejecting: Delivery, etl: Etl, tmp_path: Path, reconcile_alone: None
) -> None:
    before = rejecting.query(_SHOWN), rejecting.query(_READ)
    assert etl("replay", "1", "--rejects").code == 0
    assert etl("run", "lakeside", "--approve", "--files", str(night(2, tmp_path, SECOND))).code == 0
    assert rejecting.query(_SHOWN) != before[0]
    assert etl("undo", "3").code == 0
    assert (rejecting.query(_SHOWN), rejecting.query(_READ)) == before
    # the rows that were run again stand: the target is as the delivery says under their mapping
    assert etl("reconcile", "lakeside", "--json").json["status"] == "nothing_new"


def test_rows_that_are_still_wrong_can_be_run_once_more(rejecting: Delivery, etl: Etl) -> None:
    assert etl("replay", "1", "--rejects").code == 0
    once_more = etl("replay", "2", "--rejects", "--json")
    found = counts(once_more, "enrollments.enrollment")
    assert (found["read"], found["rejected"], found["inserted"]) == (4, 4, 0)


def test_rejected_rows_of_an_older_delivery_do_not_overwrite_newer_ones(
    rejecting: Delivery, etl: Etl, tmp_path: Path, database_url: str
) -> None:
    assert etl("run", "lakeside", "--approve", "--files", str(night(2, tmp_path, SECOND))).code == 0
    before = target(database_url)
    assert etl("replay", "1", "--rejects", "--json").json["status"] == "superseded"
    assert target(database_url) == before


# --- a backfill's days --------------------------------------------------------------------------------


def backfill(
    day: datetime, run_id: str = "", begun: datetime | None = None, **wishes: bool
) -> Outcome:
    """One date of a backfill as Airflow's tasks run it, in this process."""
    project = Project.load()
    run = backfill_run(day, run_id, begun, **wishes)
    begin_anew(run, project.entities)
    outcome, _ = run_all(
        run, project, lambda: at_rest(project.resolve("lakeside")), None, keys_of_environment
    )
    return outcome


def backfill_run(day: datetime, run_id: str, begun: datetime | None, **wishes: bool) -> Run:
    run = local_run("lakeside", Wishes(backfill=day, **wishes), lambda _: None)
    run_id = run_id or f"backfill__{day.isoformat()}"
    return replace(
        run,
        run_id=run_id,
        started_at=begun or run.started_at,
        workspace=run.archive.at("work", folder_name(run_id)),
    )


def test_each_date_takes_its_own_delivery_in_the_clients_zone(
    two_nights: list[dict[str, list[Any]]], etl: Etl, database_url: str
) -> None:
    # 3 o'clock in Chicago is the same day, 3 o'clock in London the evening before
    first = backfill(datetime(2026, 11, 11, 3, tzinfo=UTC), overwrite_newer=True, approve=True)
    assert first.status == "succeeded", first
    assert not shows(database_url, two_nights[1])
    assert shows(database_url, two_nights[0])
    second = backfill(datetime(2026, 11, 11, 9, tzinfo=UTC), overwrite_newer=True, approve=True)
    assert second.status == "succeeded"
    assert target(database_url) == two_nights[1]
    assert backfill(datetime(2026, 11, 10, 9, tzinfo=UTC)).status == "superseded"
    nothing = backfill(datetime(2026, 11, 12, 9, tzinfo=UTC))
    assert nothing.status == "not_received"
    assert "No delivery of 12 November 2026 is in the archive." in nothing.sentence
    assert target(database_url) == two_nights[1]


def test_a_date_takes_the_delivery_that_stands_not_a_later_one_that_was_undone(
    etl: Etl, tmp_path: Path, database_url: str
) -> None:
    assert etl("run", "lakeside", "--files", str(night(1, tmp_path, FIRST))).code == 0
    later = night(2, tmp_path, FIRST.replace(hour=9))
    assert etl("run", "lakeside", "--files", str(later)).code == 0
    assert etl("undo", "2").code == 0
    assert backfill(FIRST).status == "succeeded"
    with psycopg.connect(database_url) as connection:
        found = "SELECT delivery_seq FROM etl.run WHERE run_seq IN (1, 4)"
        [(first,), (again,)] = connection.execute(found.encode()).fetchall()
    assert first == again


def test_a_date_is_read_in_the_layout_of_its_time(
    include: Path, etl: Etl, tmp_path: Path, database_url: str
) -> None:
    path = include / "mappings" / "lakeside.yaml"
    path.write_text(
        path.read_text()
        + "feeds: {classes: {layouts: [{effective_from: 2026-11-11, entities: {section: "
        + "{columns: {name: {constant: New}}}}}]}}\n"
    )
    for number, at in ((1, FIRST), (2, SECOND)):
        assert (
            etl("run", "lakeside", "--approve", "--files", str(night(number, tmp_path, at))).code
            == 0
        )
    for day, is_new in ((FIRST, False), (SECOND, True)):
        assert backfill(day, overwrite_newer=True, approve=True).status == "succeeded"
        titles = {row["name"] for row in target(database_url)["current_section"]}
        assert (titles == {"New"}) is is_new


def test_a_delivery_loaded_since_the_run_began_is_never_overwritten(
    two_nights: list[dict[str, list[Any]]], etl: Etl, database_url: str
) -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)  # both nights were loaded after that
    late = backfill(FIRST, begun=begun, overwrite_newer=True, approve=True)
    assert late.status == "superseded"
    assert target(database_url) == two_nights[1]


def test_a_date_that_was_loaded_before_is_run_again_once_by_each_backfill(
    two_nights: list[dict[str, list[Any]]], etl: Etl, database_url: str
) -> None:
    run_id = "scheduled__2026-11-11T08:00:00+00:00"
    Ledger(database_url).begin_run(backfill_run(SECOND, "keep", None), "development")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE etl.run SET run_id = %s WHERE run_seq = 2", (run_id,))
    begun = datetime.now(UTC)
    for _ in range(2):  # the second is a retry: the same run, begun at the same time
        assert backfill(SECOND, run_id, begun).status == "succeeded"
    loads = "SELECT r.run_id, r.run_seq FROM etl.load JOIN etl.run r USING (run_seq) ORDER BY 2"
    with psycopg.connect(database_url) as connection:
        found = connection.execute(loads.encode()).fetchall()
    assert [name for name, _ in found[1:]] == [f"{run_id}#2", run_id]
    assert backfill(SECOND, run_id, datetime.now(UTC)).status == "succeeded"
    with psycopg.connect(database_url) as connection:
        assert len(connection.execute(loads.encode()).fetchall()) == 4
    assert target(database_url) == two_nights[1]


def test_clearing_any_stage_is_a_retry(
    two_nights: list[dict[str, list[Any]]], etl: Etl, database_url: str
) -> None:
    project = Project.load()
    run = backfill_run(SECOND, "", None)
    stages = {
        "extract": lambda: do_extract_again(run, lambda: project.resolve("lakeside"), lambda _: keys_of_environment()),
        "validate": lambda: do_validate(run),
        "transform": lambda: do_transform(run),
        "load": lambda: do_load(run),
    }  # fmt: skip
    begin(run, "development", project.entities)
    for name in stages:
        for again in (
            name,
            *[n for n in stages if list(stages).index(n) < list(stages).index(name)],
            name,
        ):
            stages[again]()
    do_report(run)
    assert is_loaded(run)
    assert do_report(run).status == "succeeded"
    assert target(database_url) == two_nights[1]
