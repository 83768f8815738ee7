"""Mails to schools over a real mail server: what they say, that each thing is told once, and what fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl_lib.airflow_edge.post import post_of
from etl_lib.config.project import Project
from etl_lib.config.words import Words, _leaves
from etl_lib.errors import Fault
from etl_lib.extract import LocalSource
from etl_lib.pipeline import do_report, run_all
from etl_lib.report import Outcome, Post, Reply
from etl_lib.report.letter import Told, letter_of
from etl_lib.run import Run, Wishes
from etl_lib.storage import Storage
from tests.load.conftest import make_include
from tests.mail import MailServer, mail_server

REPO = Path(__file__).parents[2]
SECRET = "Zweifelhaft"  # a pupil's value that no mail may hold


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    with mail_server() as server:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", server.connection)
        yield server


@dataclass
class School:
    """A school in Spain with one file, whose nights are run one after the other."""

    project: Project
    url: str
    home: Path
    nights: int = 0

    def post(self) -> Post:
        found = post_of(self.project)
        assert found is not None
        return replace(found, pause_s=0.01)

    def run(self, *rows: str, header: str = "id,given,born", by: str = "") -> tuple[Run, Outcome]:
        """A night with these rows of people.csv; without rows nothing has come."""
        self.nights += 1
        files = self.home / "files"
        files.mkdir(exist_ok=True)
        (files / "people.csv").unlink(missing_ok=True)
        if rows:
            (files / "people.csv").write_text("\n".join([header, *rows, ""]))
        storage = Storage.local(self.home / "storage")
        run = Run(
            client_id="school", dag_id="school", run_id=f"night_{self.nights}",
            started_at=datetime.now(UTC), database_url=self.url, archive=storage.at("archive"),
            workspace=storage.at("staging", str(self.nights)), outbox=storage.at("outbox"),
            wishes=Wishes(wait=False, by=by),
        )  # fmt: skip
        outcome, _ = run_all(
            run, self.project, lambda: self.project.resolve("school"), LocalSource(files),
            lambda: pytest.fail("nothing is encrypted"), reply=Reply(self.post()),
        )  # fmt: skip
        return run, outcome

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(text.encode()).fetchall()

    def said(self) -> list[str]:
        return [text for (text,) in self.query(
            "SELECT text FROM etl.run_message WHERE code = 'MAIL_NOT_SENT' ORDER BY message_seq"
        )]  # fmt: skip


MAPPING = """
client: Colegio San Rafael
sis: Test
owner: Ana
language: es
contacts: [uno@escuela.example, dos@escuela.example]
delivery: {stable_s: 0}
limits: {fail: {rejected_share: 0.9}, hold: {rejected_share: 0.9}}
feeds:
  people:
    file: people.csv
    entities:
      person:
        columns: {person_id: id, given_name: given, birth_date: born}
"""
BAD = f"p1,{SECRET},2026-99-99"
GOOD = "p2,Bo,2010-01-02"


@pytest.fixture
def school(tmp_path: Path, database_url: str) -> School:
    make_include(tmp_path, {"school": MAPPING})
    languages = tmp_path / "include" / "languages"
    languages.mkdir()
    for name in ("en", "es"):
        text = (REPO / "include" / "languages" / f"{name}.yaml").read_text()
        (languages / f"{name}.yaml").write_text(text)
    return School(Project(tmp_path / "include", "test"), database_url, tmp_path)


def test_rows_to_correct_are_told_in_the_schools_language_with_numbers_and_no_value(
    school: School, mail: MailServer
) -> None:
    _, outcome = school.run(BAD, GOOD)
    assert outcome.status == "succeeded_with_rejects"
    [told] = mail.mails
    assert told["Subject"] == "Colegio San Rafael: entrega cargada, filas que corregir: 1"
    assert told["To"] == "uno@escuela.example, dos@escuela.example"
    assert told["From"] == "etl@ours.example"
    text = mail.text()
    assert "people.csv: 2 filas, quedan fuera: 1" in text
    assert all(f"- {name}" in text for name in outcome.outbox_files) and "`outbox`" in text
    assert SECRET not in text and "2026-99-99" not in text and "p1" not in text


def test_what_is_in_order_is_not_told(school: School, mail: MailServer) -> None:
    school.run(GOOD)
    school.run(GOOD)  # nothing new
    assert mail.mails == []


def test_the_same_about_a_delivery_is_told_once_however_often_it_is_reported(
    school: School, mail: MailServer
) -> None:
    run, _ = school.run(BAD, GOOD)
    do_report(run, Reply(school.post()))  # its task is cleared
    school.run(BAD, GOOD)  # the same files on another night
    path = school.project.mapping_path("school")
    path.write_text(path.read_text() + "revision: 1\n")  # and loaded once more, by our own wish
    assert school.run(BAD, GOOD)[1].status == "succeeded_with_rejects"
    assert len(mail.mails) == 1
    school.run(BAD, GOOD, "p3,Cy,2010-01-02")
    assert len(mail.mails) == 2
    acts = school.query("SELECT kind, by, text, run_seq FROM etl.act ORDER BY act_seq")
    assert [act[:2] for act in acts] == [("mail", "etl")] * 2
    assert acts[0][2].startswith("2 contacts told by mail: Colegio San Rafael: ")


def test_a_report_that_was_killed_before_its_mail_tells_when_it_is_repeated(
    school: School, mail: MailServer
) -> None:
    mail.answers = ["554 not today"]
    run, _ = school.run("p1", header="wrong")
    assert mail.mails == [] and len(school.said()) == 1
    do_report(run, Reply(school.post()))
    do_report(run, Reply(school.post()))
    assert len(mail.mails) == 1
    assert school.said() == []


def test_a_delivery_that_cannot_be_read_is_told_and_has_its_report(
    school: School, mail: MailServer
) -> None:
    _, outcome = school.run(BAD, header="who,what,when")
    assert outcome.status == "failed"
    [name] = outcome.outbox_files
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_not_loaded_summary\.txt", name)
    assert (school.home / "storage" / "outbox" / name).is_file()
    assert mail.mails[0]["Subject"] == "Colegio San Rafael: entrega no cargada"
    assert "FILE_COLUMN_MISSING" in mail.text() or "FILE_HEADER_NOT_FOUND" in mail.text()
    assert name in mail.text()
    school.run(BAD, header="who,what,when")
    assert len(mail.mails) == 1  # the same trouble of one day


def test_a_missing_delivery_is_told_by_a_scheduled_run_and_not_when_one_of_us_looks(
    school: School, mail: MailServer
) -> None:
    assert school.run(by="ana")[1].status == "not_received"
    assert mail.mails == []
    school.run()
    assert mail.mails[0]["Subject"] == "Colegio San Rafael: sin entrega completa"


def test_a_busy_mail_server_is_asked_again_and_the_mail_goes_out_once(
    school: School, mail: MailServer
) -> None:
    mail.answers = ["451 later", "421 later still"]
    school.run(BAD, GOOD)
    assert len(mail.mails) == 1 and school.said() == []


def test_a_mail_that_cannot_be_sent_is_told_and_fails_no_run(
    school: School, mail: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    mail.answers = ["451 later"] * 3
    with caplog.at_level(logging.WARNING):
        _, outcome = school.run(BAD, GOOD)
    assert outcome.status == "succeeded_with_rejects"
    assert school.said() == ["The mail server takes the mail later (451)."]
    assert "[MAIL_NOT_SENT]" in caplog.text
    assert school.query("SELECT count(*) FROM etl.act") == [(0,)]
    status = "SELECT DISTINCT status, ended_at IS NOT NULL FROM etl.run"
    assert school.query(status) == [("succeeded_with_rejects", True)]


def test_an_address_that_is_refused_is_told_to_us(school: School, mail: MailServer) -> None:
    mail.refused = {"dos@escuela.example"}
    school.run(BAD, GOOD)
    assert school.said() == ["The mail server refuses 1 of 2 addresses of the contacts."]
    mail.refused.add("uno@escuela.example")
    school.run("p1", header="wrong")
    assert school.said()[1] == "The mail server refuses every address of the contacts (550)."


def test_a_mail_server_that_is_away_fails_no_run(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server() as gone:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", gone.connection)
    _, outcome = school.run(BAD, GOOD)
    assert outcome.status == "succeeded_with_rejects"
    assert school.said() == ["The mail server does not answer (ConnectionRefusedError)."]


@pytest.mark.parametrize("given", [None, ""])
def test_without_the_connection_nobody_is_written_to(
    school: School, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SMTP_DEFAULT", raising=False)
    if given is not None:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", given)
    assert post_of(school.project) is None


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_sentence_of_the_mails_is_used(school: School, language: str) -> None:
    project = Project(REPO / "include", "production")
    used: set[str] = set()

    class Watched(Words):
        def _at(self, key: str) -> Any:
            used.add(key)
            return super()._at(key)

    words = Words.of(project, language)
    watched = Watched(words.language, words.tree, words.shown)
    mapping = school.project.resolve("school").mapping
    storage = Storage.local(school.home / "storage")
    now = datetime.now(UTC)
    run = Run("school", "school", "r", now, school.url, storage, storage, storage)
    faults = [Fault("FILE_EMPTY", "The file is empty.", f"{n}.csv") for n in range(20)]
    kinds = [key for key, value in words.tree["mail"].items() if isinstance(value, dict)]
    for kind in kinds:
        told = Told(run_status(kind), ("a_summary.txt",), faults, None, [], would_wait=True)
        letter = letter_of(run, mapping, told, kind, Post(lambda _: watched, lambda _: None))
        assert "Colegio San Rafael" in letter.subject
    sentences = {f"mail.{key}" for key, _ in _leaves(words.tree["mail"])}
    assert sentences - used == {"mail.files", "mail.file"}  # said where something was read


def run_status(kind: str) -> Any:
    return {"rejects": "succeeded_with_rejects", "missing": "not_received"}.get(kind, "failed")
