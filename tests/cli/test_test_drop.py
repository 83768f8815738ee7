"""A school's test: answered like a delivery out of `inbox/test`, and nothing else is as much as touched."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl_lib.airflow_edge.connections import source_of
from etl_lib.airflow_edge.post import post_of
from etl_lib.airflow_edge.test_drops import LookOperator, answer_of, drop_of
from etl_lib.config.project import Project
from etl_lib.extract import LocalSource, look
from etl_lib.load.delivery import lock_client
from etl_lib.metrics.board import newest_runs, runs_of
from etl_lib.metrics.chosen import stopped_runs
from local_stack.objects import CLIENTS_BUCKET
from local_stack.waiting import wait_until
from tests.cli.conftest import REPO, Etl
from tests.mail import mail_server
from tests.onboarding.served import Served, serving

SAMPLE = REPO / "include" / "samples" / "lakeside"
# what a test may leave: the record of the run itself
ITS_OWN = {"run", "run_stage", "run_message", "rejected_row", "dry_run"}


@pytest.fixture(scope="module")
def served(make_home: Callable[[str], Path]) -> Iterator[Served]:
    with serving(make_home("drops")) as servers:
        yield servers


class Drop:
    """The test folder of a school, with the words that come back."""

    def __init__(self, served: Served, etl: Etl, include: Path, url: str) -> None:
        self.served, self.etl, self.include, self.url = served, etl, include, url
        self.root = served.objects.folder / CLIENTS_BUCKET / "clients"

    def folder(self, client_id: str = "lakeside") -> Path:
        folder = self.root / client_id / "inbox" / "test"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def put(self, *names: str, night: str = "night_1", client_id: str = "lakeside") -> None:
        """Upload files of a night, all of them without names; long enough ago to lie still."""
        for path in (SAMPLE / night).iterdir():
            if not names or path.name in names:
                self._write(path.name, path.read_text(), client_id)
        self.wait_until_listed()

    def write(self, name: str, text: str, client_id: str = "lakeside", age_s: float = 30) -> None:
        self._write(name, text, client_id, age_s)
        self.wait_until_listed()

    def _write(self, name: str, text: str, client_id: str, age_s: float = 30) -> None:
        path = self.folder(client_id) / name
        path.write_text(text)
        os.utime(path, (time.time() - age_s,) * 2)

    def wait_until_listed(self) -> None:
        """Until the server shows the files as they are; it looks at a folder once a second."""

        def listed() -> bool:
            pages = (
                self.served.s3().get_paginator("list_objects_v2").paginate(Bucket=CLIENTS_BUCKET)
            )
            shown = {
                (one["Key"], one["Size"], int(one["LastModified"].timestamp()))
                for page in pages
                for one in page.get("Contents", ())
                if "/inbox/" in one["Key"]
            }
            files = [path for path in self.root.glob("*/inbox/**/*") if path.is_file()]
            return shown == {
                (f"clients/{f.relative_to(self.root)}", f.stat().st_size, int(f.stat().st_mtime))
                for f in files
            }

        wait_until(listed, 10, pause_s=0.1)

    def answer(self) -> Any:
        """What `etl test-drop` says, with its exit code."""
        return self.etl("test-drop", "lakeside", "--json")

    def replies(self, client_id: str = "lakeside") -> dict[str, str]:
        """The files of outbox/test, by the end of their names."""
        folder = self.root / client_id / "outbox" / "test"
        return {p.name.split("_")[-1]: p.read_text("utf-8-sig") for p in sorted(folder.glob("*"))}

    def look(self) -> list[str]:
        """Which clients the DAG would answer now."""
        return LookOperator(task_id="look", include=str(self.include)).execute({})  # type: ignore[typeddict-item]

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(text.encode()).fetchall()

    def everything(self) -> dict[str, Any]:
        """All rows of all tables but those of its own run, and all objects but those of the outbox."""
        tables = self.query(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema IN ('etl', 'core') AND table_type = 'BASE TABLE'"
        )
        found: dict[str, Any] = {
            f"{schema}.{name}": sorted(map(str, self.query(f"SELECT * FROM {schema}.{name}")))
            for schema, name in tables
            if name not in ITS_OWN
        }
        found["objects"] = [key for key in self.served.all_keys() if "/outbox/test/" not in key]
        home = Path(os.environ["ETL_HOME"])
        found["home"] = sorted(map(str, home.rglob("*")))
        return found


@pytest.fixture
def drop(
    served: Served, etl: Etl, include: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Drop]:
    served.set(monkeypatch)
    server = psycopg.conninfo.conninfo_to_dict(database_url)
    given = {"host": server["host"], "login": server["user"], "schema": server["dbname"]}
    monkeypatch.setenv("AIRFLOW_CONN_ETL_DATABASE", json.dumps({"conn_type": "postgres", **given}))
    for path in (include / "mappings").glob("*.yaml"):
        if path.stem not in ("lakeside", "metro"):
            path.unlink()
    assert etl("migrate").code == 0
    made = Drop(served, etl, include, database_url)
    yield made
    shutil.rmtree(made.root, ignore_errors=True)
    made.wait_until_listed()


def test_a_test_says_what_a_dry_run_says_and_changes_nothing_but_its_own_record(
    drop: Drop, tmp_path: Path
) -> None:
    assert drop.etl("run", "lakeside", "--files", str(SAMPLE / "night_1")).code == 0
    drop.put(night="night_2")
    bad = (drop.folder() / "users.csv").read_text().replace("true", "perhaps", 1)
    drop.write("users.csv", bad)
    before = drop.everything()

    answer = drop.answer()
    assert answer.code == 0, answer
    assert drop.everything() == before
    assert answer.json["sentence"].startswith("This was a test: nothing was loaded. Would load ")

    files = tmp_path / "same"
    shutil.copytree(drop.folder(), files)
    dry = drop.etl("run", "lakeside", "--files", str(files), "--dry-run", "--json")
    assert answer.json["counts"] == dry.json["counts"]

    replies = drop.replies()
    assert set(replies) == {"summary.txt", "rejected.csv"}
    assert "users.csv was read as the file of `users`: " in replies["summary.txt"]
    [row] = csv.DictReader(io.StringIO(replies["rejected.csv"]))
    assert (row["file"], row["code"]) == ("users.csv", "VALUE_NOT_ALLOWED")
    assert "perhaps" not in "".join(replies.values())


def test_a_test_is_no_run_of_the_client_and_is_shown_as_what_it_was(drop: Drop) -> None:
    drop.put()
    assert drop.answer().code == 0
    [card] = newest_runs(drop.url, ["lakeside"])
    assert (card["run_id"], card["last_success_at"], card["recent"]) == (None, None, None)
    [run] = runs_of(drop.url, "lakeside")
    assert run["dry_run"] and "This was a test" in run["sentence"]
    assert drop.query("SELECT kind, delivery_seq FROM etl.run") == [("test", None)]


def test_one_file_alone_is_checked_and_what_is_missing_is_a_remark(drop: Drop) -> None:
    drop.put("orgs.csv")
    drop.write("notes of mine.csv", "a,b\n1,2\n")
    answer = drop.answer()
    assert (answer.code, answer.json["status"]) == (0, "succeeded")
    [(feed, inserted)] = [(c["feed"], c["inserted"]) for c in answer.json["counts"]]
    assert feed == "orgs" and inserted > 0
    summary = drop.replies()["summary.txt"]
    assert "These required files are not in the test: " in summary
    assert "`users` (`users.csv` or `*.zip`)" in summary
    assert "`notes of mine.csv` was not read: no file is called so." in summary
    assert drop.query("SELECT count(*) FROM core.organization") == [(0,)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("users.csv", "wrong,header\n1,2\n", "sourcedId"),
        ("users.csv", "", "The file is empty"),
        ("pupils.csv", "sourcedId\n1\n", "in the folder: pupils.csv"),
    ],
)
def test_files_that_cannot_be_read_are_answered_as_well(
    drop: Drop, name: str, text: str, said: str
) -> None:
    drop.write(name, text)
    answer = drop.answer()
    assert answer.code == 2
    assert said in drop.replies()["summary.txt"]
    assert "This was a test: nothing was loaded." in drop.replies()["summary.txt"]
    assert drop.look() == []  # answered
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    assert (
        stopped_runs(drop.url, ["lakeside"], long_ago, "") == []
    )  # none that `etl many` runs again


def test_a_test_over_a_limit_says_that_a_delivery_would_wait(drop: Drop) -> None:
    assert drop.etl("run", "lakeside", "--files", str(SAMPLE / "night_1")).code == 0
    drop.put()
    lines = (SAMPLE / "night_1" / "enrollments.csv").read_text().splitlines(True)
    drop.write("enrollments.csv", "".join(lines[:20]))
    assert drop.answer().code == 0
    assert "It would wait for approval: Would delete " in drop.replies()["summary.txt"]
    assert drop.query("SELECT count(*) FROM etl.hold") == [(0,)]


def test_a_last_line_that_is_perhaps_cut_is_told_by_comparing_with_the_archive(drop: Drop) -> None:
    # the loaded delivery lies in the archive of Airflow's runs, where the test looks
    assert drop.etl("run", "lakeside", "--files", str(SAMPLE / "night_1")).code == 0
    archive = Path(os.environ["ETL_HOME"]) / "archive" / "lakeside"
    theirs = drop.served.objects.folder / "etl-development" / "archive" / "lakeside"
    shutil.copytree(archive, theirs)
    drop.put()
    text = (drop.folder() / "orgs.csv").read_text()
    drop.write("orgs.csv", text.rstrip("\r\n"))
    assert drop.answer().json["status"] == "awaiting_approval"
    assert "The last line has no end" in drop.replies()["summary.txt"]
    shutil.rmtree(theirs)


def test_each_test_is_answered_once_and_again_when_a_file_has_changed(drop: Drop) -> None:
    drop.put()
    assert drop.look() == ["lakeside"]
    assert drop.answer().code == 0
    assert drop.look() == []
    drop.write("orgs.csv", (SAMPLE / "night_2" / "orgs.csv").read_text(), age_s=20)
    assert drop.look() == ["lakeside"]


def test_files_that_still_come_and_a_broken_mapping_keep_no_other_school_waiting(
    drop: Drop,
) -> None:
    environment = drop.include / "environments" / "development.yaml"
    environment.write_text(environment.read_text().replace("stable_s: 2", "stable_s: 60"))
    drop.put()
    drop.write("orgs.csv", "x", client_id="metro", age_s=90)
    assert drop.look() == ["metro"]  # those of lakeside came half a minute ago
    path = drop.include / "mappings" / "metro.yaml"
    path.write_text(path.read_text() + "nonsense: 1\n")
    for file in drop.folder().iterdir():
        os.utime(file, (time.time() - 90,) * 2)
    drop.wait_until_listed()
    assert drop.look() == ["lakeside"]


def test_files_go_two_weeks_after_the_answer_and_not_before(drop: Drop) -> None:
    drop.put("orgs.csv")
    drop.answer()
    age = "UPDATE etl.run SET ended_at = now() - interval '{} days'"
    for days, left in ((13, 1), (15, 0)):
        with psycopg.connect(drop.url) as connection:
            connection.execute(age.format(days).encode())
        assert drop.look() == []
        assert len(drop.served.s3().list_objects_v2(
            Bucket=CLIENTS_BUCKET, Prefix="clients/lakeside/inbox/test/"
        ).get("Contents", ())) == left  # fmt: skip
    assert drop.replies()["summary.txt"]


def test_a_real_run_sees_no_file_of_the_test_folder(drop: Drop, tmp_path: Path) -> None:
    drop.put()
    resolved = Project(drop.include, "development").resolve("lakeside")
    for source in (source_of(resolved, CLIENTS_BUCKET), LocalSource(drop.folder().parent)):
        assert source.list().files == ()
        assert not look(resolved, source, None).whole
    answer = drop.etl("run", "lakeside", "--files", str(drop.folder().parent), "--json")
    assert answer.json["status"] == "not_received"
    assert "test" not in answer.json["sentence"]


def test_the_contacts_are_told_of_an_answered_test_once(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.put("orgs.csv")
    project = Project(drop.include, "development")
    with mail_server() as mail:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", mail.connection)
        for _ in range(2):
            found = drop_of(project, "lakeside")
            assert found is not None
            answered = answer_of(project, found, post_of(project), url=drop.url)
            assert not answered.is_ours
    [told] = mail.mails
    assert told["Subject"] == "Lakeside Unified School District: test in order"
    assert "`outbox/test`" in mail.text() and "_summary.txt" in mail.text()


def test_what_we_have_to_mend_is_told_as_ours(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    drop.write("orgs.csv.pgp", "-----BEGIN PGP MESSAGE-----")
    project = Project(drop.include, "development")
    monkeypatch.setenv("AIRFLOW_CONN_ETL_PGP", json.dumps({"conn_type": "generic"}))
    found = drop_of(project, "lakeside")
    assert found is not None
    with mail_server() as mail:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", mail.connection)
        assert answer_of(project, found, post_of(project), url=drop.url).is_ours
    assert mail.mails[0]["Subject"].endswith(": test could not be finished")


def test_while_a_real_load_is_at_work_the_test_waits_for_the_next_look(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.put("orgs.csv")
    assert drop.etl("run", "lakeside", "--files", str(SAMPLE / "night_1")).code == 0
    monkeypatch.setattr("etl_lib.load.delivery._LOCK_WAIT_S", 1)
    with psycopg.connect(drop.url) as connection:
        lock_client(connection, "lakeside")
        answer = drop.answer()
    assert (answer.code, answer.out) == (2, "")
    assert "[LOAD_BUSY]" in answer.err
    assert drop.replies() == {}
    assert drop.look() == ["lakeside"]
    assert drop.answer().code == 0
    assert drop.look() == []


def test_the_test_folder_is_not_told_as_a_file_that_was_refused(drop: Drop, tmp_path: Path) -> None:
    path = drop.include / "mappings" / "lakeside.yaml"
    path.write_text(path.read_text() + "feeds: {demographics: {file: ['demographics*', 'te*']}}\n")
    shutil.copytree(SAMPLE / "night_1", tmp_path / "inbox")
    for name in ("test", "temp"):
        (tmp_path / "inbox" / name).mkdir()
    assert drop.etl("run", "lakeside", "--files", str(tmp_path / "inbox")).code == 0
    [(text,)] = drop.query("SELECT text FROM etl.run_message WHERE code = 'FILE_NAME_REFUSED'")
    assert "`temp`" in text and "`test`" not in text


def test_without_files_the_command_says_so(drop: Drop) -> None:
    answer = drop.etl("test-drop", "lakeside")
    assert (answer.code, answer.out) == (1, "")
    assert "Nothing lies in clients/lakeside/inbox/test." in answer.err
