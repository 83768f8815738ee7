"""A school's night after night: a delivery that is late, missing, sent again, or not expected at all."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
import yaml

from etl_lib.config.project import Project
from etl_lib.config.school_days import Wait
from etl_lib.errors import EtlError
from etl_lib.extract import LocalSource, keys_of_environment, look
from etl_lib.freshness import known_files
from etl_lib.metrics.ledger import Ledger
from etl_lib.pipeline import begin, do_extract, do_load, do_report, do_transform, do_validate
from etl_lib.report import Outcome
from etl_lib.run import Run
from etl_lib.storage import Storage

REPO = Path(__file__).parents[1]
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# A zone in which it is noon: what was to come by eight is overdue, whenever the test runs.
_AHEAD = datetime.now(UTC).hour - 12
ZONE = f"Etc/GMT{'+' if _AHEAD >= 0 else '-'}{abs(_AHEAD)}"
TODAY = datetime.now(ZoneInfo(ZONE)).date()
YESTERDAY = TODAY - timedelta(days=1)


def at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), ZoneInfo(ZONE)).astimezone(UTC)


@dataclass
class School:
    """A school's inbox, its mapping, and the runs over it, as Airflow's tasks make them."""

    home: Path
    database_url: str
    sends_on: tuple[str, ...] = WEEK
    runs: list[Run] = field(default_factory=list)

    @property
    def project(self) -> Project:
        return Project(self.home / "include", "development")

    def write_mapping(self, **keys: object) -> None:
        columns = {
            "person_id": "Id",
            "given_name": "Name",
            "family_name": "Name",
            "status": {"constant": "active"},
        }
        organization = {"organization_id": "Id", "name": "Name", "type": {"constant": "school"}}
        mapping = {
            "client": "School", "sis": "Own", "owner": "Ana", "timezone": ZONE,
            "calendar": {"sends_on": list(self.sends_on)},
            "feeds": {
                "people": {"file": "people.csv", "entities": {"person": {"columns": columns}}},
                "schools": {"file": "schools.csv", "entities": {"organization": {"columns": organization}}},
            },
            **keys,
        }  # fmt: skip
        folder = self.home / "include" / "mappings"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("entities", "templates", "environments", "base.yaml"):
            if not (link := folder.parent / name).exists():
                link.symlink_to(REPO / "include" / name)
        (folder / "school.yaml").write_text(yaml.safe_dump(mapping))

    def send(self, moment: datetime, people: int = 2, names: str = "people schools") -> None:
        inbox = self.home / "inbox"
        inbox.mkdir(exist_ok=True)
        rows = {"people": people, "schools": 1}
        for name in names.split():
            path = inbox / f"{name}.csv"
            path.write_text("Id,Name\n" + "".join(f"{n},N{n}\n" for n in range(rows[name])))
            os.utime(path, (moment.timestamp(), moment.timestamp()))

    def begun(self) -> Run:
        storage, number = Storage.local(self.home / "storage"), len(self.runs)
        self.runs.append(Run(
            client_id="school", dag_id="school", run_id=f"r{number}", started_at=datetime.now(UTC),
            database_url=self.database_url, archive=storage.at("archive"),
            workspace=storage.at("work", str(number)), outbox=storage.at("outbox"),
        ))  # fmt: skip
        begin(self.runs[-1], "development", self.project.entities)
        return self.runs[-1]

    def waits(self, by_hand: bool = False, day: date = TODAY) -> Wait:
        """How long a run of that day's night waits, or one that somebody has started now."""
        night, minutes = at(day, "02:00"), timedelta(minutes=5)
        rhythm = self.project.resolve("school").mapping.rhythm
        return rhythm.wait(
            None if by_hand else night, datetime.now(UTC) if by_hand else night, minutes
        )

    def run(self, *, by_hand: bool = False, day: date = TODAY) -> Outcome:
        """A run from its beginning to its end; a scheduled one has waited until the deadline."""
        run, resolved = self.begun(), self.project.resolve("school")
        source = LocalSource(self.home / "inbox")
        waits = self.waits(by_hand, day)
        try:
            if not do_extract(
                run, lambda: resolved, lambda _: source, lambda _: keys_of_environment(), waits
            ).nothing_new_since:
                do_validate(run)
                do_transform(run)
                do_load(run)
        except EtlError:
            pass
        return do_report(run)

    def sees(self, day: date = TODAY) -> bool:
        """Whether a scheduled run of that day's night would end its wait with what lies there."""
        resolved = self.project.resolve("school")
        loaded = known_files(self.begun(), resolved, self.waits(day=day))
        return look(resolved, LocalSource(self.home / "inbox"), None, loaded).whole

    def query(self, text: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(text.encode()).fetchall()

    def codes(self) -> list[object]:
        text = "SELECT m.code FROM etl.run_message m JOIN etl.run r USING (run_seq) WHERE r.run_id = '{}' ORDER BY 1"
        return [code for (code,) in self.query(text.format(self.runs[-1].run_id))]


@pytest.fixture
def school(tmp_path: Path, database_url: str) -> School:
    """A school that sends every day; yesterday's delivery is loaded."""
    made = School(tmp_path, database_url)
    made.write_mapping()
    made.send(at(YESTERDAY, "05:00"))
    assert made.run(day=YESTERDAY).status == "succeeded"
    return made


def test_a_late_delivery_is_loaded_and_says_how_late_it_came(school: School) -> None:
    school.send(at(TODAY, "05:59"), people=4)
    assert "agreed" not in school.run().sentence
    assert school.codes() == []
    school.send(at(TODAY, "07:10"), people=3)
    outcome = school.run()
    assert outcome.status == "succeeded"
    assert outcome.sentence.endswith("The files came at 07:10, 1 h 10 min after the agreed 06:00.")
    assert school.codes() == ["DELIVERY_LATE"]


def test_files_that_were_loaded_before_are_a_missing_delivery(school: School) -> None:
    nothing = (
        f"Nothing since {YESTERDAY:%A} {YESTERDAY.day} {YESTERDAY:%B}; expected every day by 06:00."
    )
    outcome = school.run()
    assert outcome.status == "not_received"
    assert outcome.sentence == f"No complete delivery came. {nothing}"
    assert school.codes() == ["NOTHING_SINCE"]
    outcome = school.run(by_hand=True)  # whoever looks is told, and nothing has failed
    assert outcome.status == "nothing_new"
    assert outcome.sentence.endswith(nothing)
    assert school.codes() == ["NOTHING_NEW", "NOTHING_SINCE"]


def test_the_same_rows_sent_again_today_are_nothing_new_and_nothing_is_missing(
    school: School,
) -> None:
    def sent_at() -> datetime | None:
        current = Ledger(school.database_url).current("school")
        return current and current.sent_at

    school.send(at(TODAY, "05:00"))
    outcome = school.run()
    assert outcome.status == "nothing_new"
    assert (school.codes(), sent_at()) == (["NOTHING_NEW"], at(TODAY, "05:00"))
    school.send(at(YESTERDAY, "03:00"))  # an older copy does not take that back
    school.run(by_hand=True)
    assert sent_at() == at(TODAY, "05:00")


def test_on_a_day_off_nothing_is_missing_half_a_delivery_is_a_fault_and_a_whole_one_is_loaded(
    school: School,
) -> None:
    school.sends_on = tuple(day for day in WEEK if day != WEEK[TODAY.weekday()])
    school.write_mapping()
    outcome = school.run()
    assert outcome.status == "not_expected"
    assert outcome.sentence == (
        f"Nothing came, and nothing was expected. The school sends nothing on {TODAY:%A}s."
    )
    assert school.codes() == ["NOT_EXPECTED"]
    (school.home / "inbox" / "schools.csv").unlink()  # what is left was loaded long ago
    assert school.run(by_hand=True).status == "not_expected"
    school.send(at(TODAY, "11:00"), people=4, names="people")
    assert (school.run().status, school.codes()) == ("not_received", ["NOT_RECEIVED"])
    school.send(at(TODAY, "11:00"), people=4)
    outcome = school.run()
    assert outcome.status == "succeeded"
    assert "agreed" not in outcome.sentence
    assert school.query("SELECT count(*) FROM core.person") == [(4,)]


def test_the_files_of_yesterday_do_not_end_the_wait_for_those_of_today(school: School) -> None:
    assert not school.sees()
    assert school.sees(day=YESTERDAY)  # a run of a day whose delivery is loaded does not wait
    school.send(datetime.now(UTC) - timedelta(minutes=2), names="people")
    assert not school.sees()  # the other file is still that of yesterday: perhaps on its way
    school.send(datetime.now(UTC) - timedelta(minutes=16), names="people")
    assert school.sees()  # it lies still: that export sends no more
    school.send(datetime.now(UTC) - timedelta(minutes=2))
    assert school.sees()


def test_a_corrected_mapping_and_one_without_an_hour_take_what_lies_there(school: School) -> None:
    school.write_mapping(revision=1)
    assert school.sees()
    school.write_mapping(delivery={"expected_by": None})
    assert school.sees()
    assert school.run().status == "nothing_new"


def test_a_run_that_waits_is_late_after_the_hour_and_only_while_it_waits(school: School) -> None:
    from etl_lib.metrics.board import runs_of

    def shown() -> tuple[str, str]:
        newest = runs_of(school.database_url, "school")[0]
        return newest["status"], newest["sentence"]

    run, waits, ledger = school.begun(), school.waits(), Ledger(school.database_url)
    ledger.begin_stage(run, "extract")
    tomorrow = school.waits(day=TODAY + timedelta(days=1))
    ledger.wait(run, "extract", tomorrow.words, tomorrow.expected_at)
    assert shown() == ("waiting", "Waits for the school's files until 08:00; expected by 06:00.")
    ledger.wait(run, "extract", waits.words, waits.expected_at)
    assert shown()[0] == "late"
    begin(run, "development", school.project.entities)  # the task goes on
    assert shown() == ("running", "")
