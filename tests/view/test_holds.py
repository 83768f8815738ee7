"""What the view shows of a delivery that waits, and what a person decides there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl_lib.config.pauses import Pause
from etl_lib.view.clients import Client
from tests.view.test_api import EVERY, Visit, add_run, recorded  # noqa: F401 (a fixture)

COUNTS = {
    "feed": "users", "entity": "person", "read": 10, "inserted": 0, "updated": 0, "unchanged": 6,
    "deleted_by_row": 4, "rejected": 0, "duplicates": 0, "filtered": 0, "deleted_by_absence": 0,
    "restored": 0, "unresolved": 0,
}  # fmt: skip
PLAN = {
    "counts": [COUNTS], "status": "succeeded", "holds": [],
    "samples": [{"entity": "person", "action": "delete", "key": "ab***", "columns": []}],
}  # fmt: skip


@pytest.fixture
def visit(database_url: str, recorded: object, tmp_path: Path) -> Visit:  # noqa: F811
    """A visitor; lakeside's newest run waits for approval."""
    with psycopg.connect(database_url) as connection:
        seq = add_run(connection, "lakeside", "awaiting_approval", days_ago=-0.0002)
        connection.execute(
            "INSERT INTO etl.hold (client_id, run_seq, delivery_seq, delivery_id, reasons, plan, "
            "plan_digest, lapses_at) VALUES ('lakeside', %s, 1, 'd', %s, %s, 'x', now() + interval '1 hour')",
            (seq, json.dumps([{"text": "Would delete 4 of 10 rows."}]), json.dumps(PLAN)),
        )
    return Visit(database_url, tmp_path)


def hold_seq(visit: Visit) -> int:
    [hold] = visit.get("/api/clients/lakeside").json()["holds"]
    assert hold["status"] == "open"
    return int(hold["hold_seq"])


def newest(visit: Visit) -> dict[str, Any]:
    run = visit.get("/api/clients/lakeside").json()["runs"][0]
    return dict(visit.get("/api/clients/lakeside/run", run_id=run["run_id"]).json())


def test_the_run_shows_the_reason_the_plan_and_who_may_decide(visit: Visit) -> None:
    report = newest(visit)
    assert [one["text"] for one in report["hold"]["reasons"]] == ["Would delete 4 of 10 rows."]
    assert report["is_plan"] is True
    assert report["counts"][0]["deleted_by_row"] == 4
    assert report["samples"][0]["key"] == "ab***"
    assert report["deciders"] == [] and report["may_act"] is False


@pytest.mark.parametrize(("approve", "status"), [(True, "approved"), (False, "refused")])
def test_a_decision_is_recorded_with_name_and_comment_and_only_once(
    visit: Visit, approve: bool, status: str
) -> None:
    visit.acts = EVERY
    path = f"/api/clients/lakeside/holds/{hold_seq(visit)}"
    assert visit.post(path, approve=approve, comment=" I asked them. ").status_code == 204
    again = visit.post(path, approve=not approve)
    assert (again.status_code, "not open any more" in again.text) == (409, True)
    report = newest(visit)
    hold = report["hold"]
    assert (hold["status"], hold["decided_by"], hold["comment"]) == (
        status,
        "vera",
        "I asked them.",
    )
    history = visit.get("/api/clients/lakeside").json()
    assert history["holds"] == []
    act = history["acts"][0]
    assert (act["kind"], act["by"]) == ("approve" if approve else "refuse", "vera")
    if not approve:  # its process has ended, so the decision is the run's last word
        assert report["run"]["status"] == "refused"


def test_the_hold_of_another_client_cannot_be_decided_through_ones_own(visit: Visit) -> None:
    visit.reads = visit.acts = frozenset({"metro"})
    seq = 1
    assert visit.post(f"/api/clients/metro/holds/{seq}", approve=True).status_code == 409
    assert visit.post(f"/api/clients/lakeside/holds/{seq}", approve=True).status_code == 403
    visit.reads = EVERY
    assert newest(visit)["hold"]["status"] == "open"


def test_a_hold_whose_time_is_over_is_shown_as_lapsed_and_cannot_be_approved(visit: Visit) -> None:
    visit.acts = EVERY
    seq = hold_seq(visit)
    with psycopg.connect(visit.database_url) as connection:
        connection.execute("UPDATE etl.hold SET lapses_at = now() - interval '1 second'")
    assert newest(visit)["hold"]["status"] == "lapsed"
    assert visit.post(f"/api/clients/lakeside/holds/{seq}", approve=True).status_code == 409


def test_a_dry_run_is_shown_as_a_plan_and_never_counts_as_a_success(visit: Visit) -> None:
    def success() -> str:
        cards = visit.get("/api/clients").json()["clients"]
        return str(next(c for c in cards if c["client_id"] == "ashford")["last_success_at"])

    before = success()
    with psycopg.connect(visit.database_url) as connection:
        seq = add_run(connection, "ashford", "succeeded", days_ago=-0.0003)
        connection.execute("UPDATE etl.run SET dry_run = true WHERE run_seq = %s", (seq,))
        connection.execute(
            "INSERT INTO etl.dry_run (run_seq, plan) VALUES (%s, %s)", (seq, json.dumps(PLAN))
        )
    run = visit.get("/api/clients/ashford").json()["runs"][0]
    report = visit.get("/api/clients/ashford/run", run_id=run["run_id"]).json()
    assert (report["run"]["dry_run"], report["is_plan"]) == (True, True)
    assert report["counts"][0]["deleted_by_row"] == 4
    day = visit.get("/api/clients", day=datetime.now(UTC).date().isoformat())
    card = next(c for c in day.json()["clients"] if c["client_id"] == "ashford")
    assert str(card["last_success_at"]) == before


@pytest.mark.parametrize(
    ("key", "words"),
    [("blackout", "Nothing is loaded"), ("additions_only", "Only new and returning rows")],
)
def test_a_pause_is_said_with_its_reason_on_its_days_in_the_clients_zone(
    key: str, words: str
) -> None:
    pause = Pause.model_validate({"from": "2026-06-01", "to": "2026-06-02", "reason": "Rollover"})
    client = Client("a", "A", timezone="America/Chicago", **{key: (pause,)})  # type: ignore[arg-type]
    begins = datetime(2026, 6, 1, 5, tzinfo=UTC)
    assert client.pause(begins).startswith(words)
    assert "Rollover" in client.pause(begins)
    assert client.pause(begins - timedelta(seconds=1)) == ""
    assert client.pause(begins + timedelta(days=2)) == ""
