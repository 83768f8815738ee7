"""The view's JSON API over a real database: who may read what, and what an account manager is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient

from etl_lib.config.project import Project
from etl_lib.load.tables import migrate_if_needed
from etl_lib.messages import message
from etl_lib.view.api import create_app

REPO = Path(__file__).parents[2]
NOW = datetime.now(UTC)
Asked = Callable[..., Any]


def add_run(
    connection: psycopg.Connection[Any], client_id: str, status: str, *, days_ago: float = 0.0,
    read: int = 0, inserted: int = 0, rejected: int = 0, seconds: float = 30, sentence: str = "",
) -> int:  # fmt: skip
    started = NOW - timedelta(days=days_ago, seconds=60)
    ended = None if status in ("running", "waiting") else started + timedelta(seconds=seconds)
    row = connection.execute(
        "INSERT INTO etl.run (client_id, dag_id, run_id, environment, status, started_at, ended_at, sentence) "
        "VALUES (%s, %s, %s, 'development', %s, %s, %s, %s) RETURNING run_seq",
        (client_id, client_id, f"manual__{started.isoformat()}", status, started, ended, sentence),
    ).fetchone()
    assert row is not None
    if read:
        connection.execute(
            "INSERT INTO etl.run_count VALUES (%s, 'users', 'person', %s, %s, 0, %s, 0, %s, 0, 0, 0, 0, 0)",
            (row[0], read, inserted, read - inserted - rejected, rejected),
        )
    return int(row[0])


@pytest.fixture
def recorded(database_url: str) -> psycopg.Connection[Any]:
    """A database with the history of three schools."""
    migrate_if_needed(database_url, Project(REPO / "include", "development").entities)
    with psycopg.connect(database_url, autocommit=True) as connection:
        for day in range(1, 6):
            add_run(
                connection,
                "lakeside",
                "succeeded",
                days_ago=day,
                read=100,
                inserted=10,
                seconds=20 + day,
            )
        seq = add_run(
            connection, "lakeside", "succeeded_with_rejects", read=120, inserted=7, rejected=2,
            sentence="Loaded 120 records, 7 changed; 2 rows need fixing by the school.",
        )  # fmt: skip
        for line in (7, 9):
            connection.execute(
                "INSERT INTO etl.rejected_row VALUES (%s, 'lakeside', 'users', 'person', 'users.csv', %s, 'k', "
                "'birth_date', 'VALUE_NOT_A_DATE')",
                (seq, line),
            )
        seq = add_run(connection, "metro", "failed", sentence="Failed; nothing was changed.")
        connection.execute(
            "INSERT INTO etl.run_message (run_seq, stage, code, text) VALUES (%s, 'extract', 'FILE_EMPTY', 'x')",
            (seq,),
        )
        add_run(connection, "ashford", "succeeded", days_ago=3, read=5, inserted=5)
    return connection


@pytest.fixture
def asked(database_url: str, recorded: object) -> Asked:
    """`asked(path, may={clients})`; may=None: nobody is logged in."""

    def get(
        path: str, may: set[str] | None = frozenset({"lakeside", "metro", "ashford"}), **query: Any
    ) -> Any:
        def readable() -> set[str]:
            if may is None:
                raise HTTPException(401, "Log in.")
            return set(may)

        app = create_app(readable, lambda: database_url, Project(REPO / "include", "development"))
        return TestClient(app).get(path, params=query or None)

    return get


def test_each_client_comes_with_its_newest_run_in_a_persons_words(asked: Asked) -> None:
    answer = asked("/api/clients").json()
    cards = {card["client_id"]: card for card in answer["clients"]}
    assert cards.keys() == {"lakeside", "metro", "ashford"}
    lakeside = cards["lakeside"]
    assert lakeside["client"] == "Lakeside Unified School District"
    assert lakeside["status"] == "succeeded_with_rejects"
    assert answer["words"][lakeside["status"]] == "loaded, rows to fix"
    assert (lakeside["read"], lakeside["inserted"], lakeside["rejected"]) == (120, 7, 2)
    assert lakeside["usual_duration_s"] == pytest.approx(24, abs=1)
    assert [run["read"] for run in lakeside["recent"]] == [100] * 5 + [120]
    assert datetime.fromisoformat(lakeside["next_run_at"]) > NOW
    assert cards["metro"]["status"] == "failed"


def test_a_client_that_did_not_run_that_day_is_not_due_and_keeps_its_last_success(
    asked: Asked,
) -> None:
    cards = {c["client_id"]: c for c in asked("/api/clients").json()["clients"]}
    assert cards["ashford"]["status"] == "not_due"
    assert cards["ashford"]["last_status"] == "succeeded"
    assert cards["ashford"]["last_success_at"]
    day = (NOW - timedelta(days=3)).date().isoformat()
    cards = {c["client_id"]: c for c in asked("/api/clients", day=day).json()["clients"]}
    assert cards["ashford"]["status"] == "succeeded"
    assert cards["metro"]["status"] == "not_due"


def test_records_per_day_are_the_sums_of_that_day(asked: Asked) -> None:
    found = {day["day"]: day for day in asked("/api/days").json()["days"]}
    assert len(found) == 30
    today = found[(NOW - timedelta(seconds=60)).date().isoformat()]
    assert (today["inserted"], today["rejected"]) == (7, 2)
    three_ago = found[(NOW - timedelta(days=3, seconds=60)).date().isoformat()]
    assert three_ago["inserted"] == 15


def test_a_run_says_what_to_do_and_who_does_it(asked: Asked) -> None:
    runs = asked("/api/clients/metro").json()["runs"]
    report = asked("/api/clients/metro/run", run_id=runs[0]["run_id"]).json()
    [said] = report["messages"]
    known = message("FILE_EMPTY")
    assert (said["next_step"], said["owner"]) == (known.remedy, known.owner)
    runs = asked("/api/clients/lakeside").json()["runs"]
    report = asked("/api/clients/lakeside/run", run_id=runs[0]["run_id"]).json()
    [reject] = report["rejects"]
    assert (reject["rows"], reject["lines"], reject["column"]) == (2, [7, 9], "birth_date")
    [count] = report["counts"]
    assert count["read"] == 120 == sum(
        count[n] for n in ("inserted", "updated", "unchanged", "deleted_by_row", "rejected", "duplicates", "filtered")
    )  # fmt: skip


ROUTES = [
    "/api/clients",
    "/api/days",
    "/api/clients/lakeside",
    "/api/clients/lakeside/run?run_id=x",
    "/api/openapi.json",
]


@pytest.mark.parametrize("path", ROUTES)
def test_nobody_reads_without_a_login(asked: Asked, path: str) -> None:
    assert asked(path, may=None).status_code == 401


def test_every_route_is_one_of_those_that_are_tried(database_url: str) -> None:
    app = create_app(lambda: set(), lambda: database_url, Project(REPO / "include", "development"))
    paths = {route.path for route in app.routes} - {"/static"}  # type: ignore[attr-defined]
    tried = {path.split("?")[0].replace("lakeside", "{client_id}") for path in ROUTES}
    assert paths == tried


def test_a_viewer_of_one_school_sees_that_school_only(asked: Asked) -> None:
    mine = {"metro"}
    assert {c["client_id"] for c in asked("/api/clients", may=mine).json()["clients"]} == mine
    assert sum(day["inserted"] for day in asked("/api/days", may=mine).json()["days"]) == 0
    assert asked("/api/clients/lakeside", may=mine).status_code == 403
    assert asked("/api/clients/lakeside/run?run_id=x", may=mine).status_code == 403
    assert asked("/api/clients/metro", may=mine).status_code == 200


def test_answers_carry_a_strict_policy(asked: Asked) -> None:
    answer = asked("/api/clients")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_a_database_that_is_away_is_said_without_its_address() -> None:
    url = "postgresql://etl:secret-word@127.0.0.1:1/etl"
    app = create_app(lambda: {"metro"}, lambda: url, Project(REPO / "include", "development"))
    answer = TestClient(app, raise_server_exceptions=False).get("/api/clients/metro")
    assert answer.status_code == 503
    assert "secret-word" not in answer.text
    assert "database" in answer.text
