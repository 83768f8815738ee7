"""What the list says of schools whose delivery is not there, whatever has run or has not."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from fastapi.testclient import TestClient

from etl_lib.config.project import Project
from etl_lib.load.tables import migrate_if_needed
from etl_lib.view.api import Host, Visitor, create_app

REPO = Path(__file__).parents[2]
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = ", ".join(WEEK)
NOW = datetime.now(UTC)
# A zone in which it is noon, so that what was to come by six is overdue whenever the test runs.
_AHEAD = NOW.hour - 12
ZONE = f"Etc/GMT{'+' if _AHEAD >= 0 else '-'}{abs(_AHEAD)}"
NOON = NOW.astimezone(ZoneInfo(ZONE)).replace(minute=0, second=0, microsecond=0)


class Schools:
    """Mappings and records of schools, and what the view answers about them."""

    def __init__(self, home: Path, database_url: str) -> None:
        self.include, self.url = home / "include", database_url
        ignored = shutil.ignore_patterns("samples", "mappings")
        shutil.copytree(REPO / "include", self.include, ignore=ignored)
        (self.include / "mappings").mkdir()
        self.project = Project(self.include, "development")
        migrate_if_needed(database_url, self.project.entities)
        self.paused: frozenset[str] = frozenset()
        self.reads: set[str] = set()

    def add(self, client_id: str, *, deadline: str = "08:00", more: str = "") -> None:
        """A school of which a delivery is expected every day by six."""
        self.reads.add(client_id)
        (self.include / "mappings" / f"{client_id}.yaml").write_text(
            f"extends: oneroster_1_1\nclient: {client_id.title()}\nowner: Ana\ntimezone: {ZONE}\n"
            f"delivery: {{deadline: '{deadline}'}}\n{more or f'calendar: {{sends_on: [{EVERY_DAY}]}}'}\n"
        )

    def run(
        self,
        client_id: str,
        status: str,
        *,
        days_ago: float = 0.0,
        expected_at: datetime | None = None,
    ) -> None:
        started = NOW - timedelta(days=days_ago, minutes=1)
        ended = None if status in ("waiting", "running") else started
        self.write(
            "INSERT INTO etl.run (client_id, dag_id, run_id, environment, status, started_at, ended_at, "
            "sentence, expected_at) VALUES (%s, %s, %s, 'development', %s, %s, %s, 'As the run says.', %s)",
            client_id, client_id, started.isoformat(), status, started, ended, expected_at,
        )  # fmt: skip

    def loaded(self, client_id: str, *, days_ago: int, sent_again: datetime | None = None) -> None:
        """The delivery of a morning at five is what the target shows."""
        sent = NOON.replace(hour=5) - timedelta(days=days_ago)
        self.write(
            "INSERT INTO etl.delivery (client_id, delivery_seq, delivery_id, delivered_on, received_at, sent_at) "
            "VALUES (%s, 1, 'd', %s, %s, %s)",
            client_id, sent.date(), sent, sent_again,
        )  # fmt: skip
        self.write(
            "INSERT INTO etl.client_state (client_id, delivery_seq, delivery_id, delivered_on, row_contract, "
            "content_all_full) VALUES (%s, 1, 'd', %s, 'c', true)",
            client_id, sent.date(),
        )  # fmt: skip

    def write(self, text: str, *values: object) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(text.encode(), values)

    @property
    def client(self) -> TestClient:
        """A view that has just been started."""
        host = Host(
            visitor=lambda: Visitor("vera", frozenset(self.reads), lambda _: True),
            database_url=lambda: self.url, check_now=lambda *_: "", paused=lambda: self.paused,
            archives=lambda _: [],
        )  # fmt: skip
        return TestClient(create_app(host, self.project))

    def cards(self) -> dict[str, dict[str, Any]]:
        answer = self.client.get("/api/clients").json()
        return {card["client_id"]: card for card in answer["clients"]}


@pytest.fixture
def schools(tmp_path: Path, database_url: str) -> Schools:
    return Schools(tmp_path, database_url)


def since(days: int) -> str:
    day = NOON - timedelta(days=days)
    year = f" {day.year}" if day.year != NOON.year else ""
    return f"Nothing since {day:%A} {day.day} {day:%B}{year}; expected every day by 06:00."


def test_what_is_missing_shows_although_nothing_has_run_for_days(schools: Schools) -> None:
    for name in ("paused_one", "dead_scheduler", "fresh", "sent_again", "new"):
        schools.add(name)
    schools.loaded("paused_one", days_ago=3)
    schools.loaded("dead_scheduler", days_ago=3)
    schools.run("dead_scheduler", "succeeded", days_ago=3)
    schools.loaded("fresh", days_ago=0)
    schools.loaded("sent_again", days_ago=3, sent_again=NOON.replace(hour=5))
    schools.paused = frozenset({"paused_one"})
    cards = schools.cards()
    assert {name: card["status"] for name, card in cards.items()} == {
        "paused_one": "stale", "dead_scheduler": "stale", "fresh": "not_due", "sent_again": "not_due",
        "new": "not_due",
    }  # fmt: skip
    assert cards["paused_one"]["sentence"] == f"{since(3)} The integration is paused in Airflow."
    assert cards["dead_scheduler"]["sentence"] == (
        f"{since(3)} No run has looked for it: on-call has to see whether Airflow's scheduler works."
    )
    assert [name for name, card in cards.items() if card["needs_somebody"]] == [
        "dead_scheduler",
        "paused_one",
    ]
    about = schools.client.get("/api/clients/paused_one").json()
    assert about["overdue"] == since(3)
    assert about["client"]["expected"] == f"A delivery is expected every day by 06:00 in {ZONE}."
    assert schools.client.get("/api/clients/fresh").json()["overdue"] == ""


def test_a_missing_delivery_is_said_before_what_went_well_and_after_what_went_wrong(
    schools: Schools,
) -> None:
    ran = {
        "succeeded": "stale", "nothing_new": "stale", "undone": "stale", "not_expected": "stale",
        "superseded": "stale", "waiting": "stale",
        "running": "running", "failed": "failed", "not_received": "not_received", "refused": "refused",
        "awaiting_approval": "awaiting_approval",
    }  # fmt: skip
    for status in ran:
        schools.add(f"s_{status}")
        schools.loaded(f"s_{status}", days_ago=2)
        schools.run(f"s_{status}", status)
    cards = schools.cards()
    assert {name.removeprefix("s_"): card["status"] for name, card in cards.items()} == ran
    assert cards["s_nothing_new"]["sentence"] == since(2)
    missing, failed = cards["s_not_received"], cards["s_failed"]
    assert (missing["sentence"], missing["overdue"]) == ("As the run says.", since(2))
    # its files came, and what became of them is said by the run
    assert (failed["sentence"], failed["overdue"]) == ("As the run says.", "")
    about = {name: schools.client.get(f"/api/clients/{name}").json()["overdue"] for name in cards}
    assert [name for name, words in about.items() if not words] == [
        "s_awaiting_approval", "s_failed", "s_refused",
    ]  # fmt: skip
    assert cards["s_nothing_new"]["last_status"] == "nothing_new"


def test_until_the_deadline_it_is_late_and_needs_nobody(schools: Schools) -> None:
    for name in ("waits", "waits_in_time", "not_begun"):
        schools.add(name, deadline="23:30")
        schools.loaded(name, days_ago=1 if name != "waits_in_time" else 0)
    schools.run("waits", "waiting", expected_at=NOW - timedelta(hours=6))
    schools.run("waits_in_time", "waiting", expected_at=NOW + timedelta(hours=1))
    cards = schools.cards()
    assert {name: card["status"] for name, card in cards.items()} == {
        "waits": "late", "waits_in_time": "waiting", "not_begun": "late"
    }  # fmt: skip
    assert cards["waits"]["sentence"] == f"{since(1)} Waited for until 23:30."
    assert not any(card["needs_somebody"] for card in cards.values())
    run = schools.client.get("/api/clients/waits").json()["runs"][0]
    assert run["status"] == "late"
    words = schools.client.get("/api/clients").json()["words"]
    assert (words["late"], words["stale"]) == ("late", "nothing came")


def test_a_run_turns_late_before_ones_eyes_without_anything_that_runs(schools: Schools) -> None:
    schools.add("waits", deadline="23:30")
    schools.run("waits", "waiting", expected_at=datetime.now(UTC) + timedelta(seconds=1))
    client = schools.client
    about = "/api/clients/waits"
    assert client.get(about).json()["runs"][0]["status"] == "waiting"
    time.sleep(1.1)
    assert client.get(about).json()["runs"][0]["status"] == "late"


def test_weekends_holidays_and_blackouts_leave_nothing_missing(schools: Schools) -> None:
    yesterday, today = (NOON - timedelta(days=1)).date(), NOON.date()
    days = f"{{from: {yesterday}, to: {today}, reason: Snow}}"
    other_days = ", ".join(
        d for n, d in enumerate(WEEK) if n not in (yesterday.weekday(), today.weekday())
    )
    schools.add("holiday", more=f"calendar: {{sends_on: [{EVERY_DAY}], holidays: {days}}}")
    schools.add("weekend", more=f"calendar: {{sends_on: [{other_days}]}}")
    schools.add("blackout", more=f"calendar: {{sends_on: [{EVERY_DAY}]}}\nblackout: {days}")
    schools.add("by_hand", more="schedule: null")
    schools.add("switched_off", more="enabled: false")
    for name in schools.reads:
        schools.loaded(name, days_ago=2)
    cards = schools.cards()
    assert {card["status"] for card in cards.values()} == {"not_due"}
    assert cards["holiday"]["expected"].endswith(": Snow.")
    assert cards["weekend"]["expected"].endswith(f"The school sends nothing on {today:%A}s.")
    assert cards["by_hand"]["expected"] == ""


def test_an_earlier_day_of_the_list_is_shown_as_it_was(schools: Schools) -> None:
    schools.add("school")
    schools.loaded("school", days_ago=3)
    schools.run("school", "succeeded", days_ago=3)
    day = (NOW - timedelta(days=3, minutes=1)).date().isoformat()
    [card] = schools.client.get("/api/clients", params={"day": day}).json()["clients"]
    assert (card["status"], card["overdue"]) == ("succeeded", "")
