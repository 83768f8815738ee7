"""The view's JSON API over a real database: who may read what, and what an account manager is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient

from etl_lib.config.project import Project
from etl_lib.errors import NotNow
from etl_lib.load.tables import migrate_if_needed
from etl_lib.messages import message
from etl_lib.metrics.freezes import freeze
from etl_lib.storage import Storage
from etl_lib.view.answers import Board
from etl_lib.view.api import Host, Visitor, create_app

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
        connection.execute(
            "UPDATE etl.run SET (read, inserted, updated, unchanged, deleted, rejected, duplicates, filtered) = "
            "(%s, %s, 0, %s, 0, %s, 0, 0) WHERE run_seq = %s",
            (read, inserted, read - inserted - rejected, rejected, row[0]),
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


EVERY = frozenset({"lakeside", "metro", "ashford"})


class Visit:
    """A visitor of the app: `reads` None: nobody is logged in; `acts`: clients he may act on."""

    def __init__(self, database_url: str, archive: Path) -> None:
        self.reads: frozenset[str] | None = EVERY
        self.acts: frozenset[str] = frozenset()
        self.paused: frozenset[str] = frozenset()
        self.started: list[tuple[str, str]] = []
        self.database_url = database_url
        host = Host(
            visitor=self.visitor,
            database_url=lambda: self.database_url,
            check_now=self.check_now,
            paused=lambda: self.paused,
            archives=lambda client_id: [Storage.local(archive).at("archive", client_id)],
        )
        self.app = create_app(host, Project(REPO / "include", "development"))
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def visitor(self) -> Visitor:
        if self.reads is None:
            raise HTTPException(401, "Log in.")
        return Visitor("vera", self.reads, lambda client_id: client_id in self.acts)

    def check_now(self, client_id: str, user: str) -> str:
        if client_id in self.paused:
            raise NotNow.of("CANNOT_CHECK_NOW", "The integration is paused in Airflow.")
        self.started.append((client_id, user))
        return "manual__now"

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, params=query or None)

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(path, json=body)


@pytest.fixture
def visit(database_url: str, recorded: object, tmp_path: Path) -> Visit:
    return Visit(database_url, tmp_path)


@pytest.fixture
def asked(visit: Visit) -> Asked:
    """`asked(path, may={clients})`; may=None: nobody is logged in."""

    def get(path: str, may: Any = EVERY, **query: Any) -> Any:
        visit.reads = may if may is None else frozenset(may)
        return visit.get(path, **query)

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
    assert [run[3] for run in lakeside["recent"]] == [100] * 5 + [120]
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
    ("GET", "/api/clients"),
    ("GET", "/api/need"),
    ("GET", "/api/days"),
    ("GET", "/api/clients/lakeside"),
    ("GET", "/api/clients/lakeside/guide"),
    ("GET", "/api/clients/lakeside/runs"),
    ("GET", "/api/clients/lakeside/run?run_id=x"),
    ("GET", "/api/clients/lakeside/run/rejected.csv?run_id=x"),
    ("POST", "/api/clients/lakeside/trace"),
    ("POST", "/api/clients/lakeside/acts"),
    ("POST", "/api/clients/lakeside/check-now"),
    ("POST", "/api/clients/lakeside/holds/1"),
    ("GET", "/api/openapi.json"),
    ("GET", "/api/docs"),
]
BODIES = {"trace": {"key": "k"}, "acts": {"kind": "note", "text": "t"}, "1": {"approve": True}}


def call(visit: Visit, method: str, path: str) -> int:
    body = BODIES.get(path.split("?")[0].rsplit("/", 1)[-1])
    return int(visit.client.request(method, path, json=body).status_code)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_reads_or_acts_without_a_login(visit: Visit, method: str, path: str) -> None:
    visit.reads, visit.acts = None, EVERY
    assert call(visit, method, path) == 401


@pytest.mark.parametrize(("method", "path"), [r for r in ROUTES if "lakeside" in r[1]])
def test_a_client_of_others_is_refused_on_every_route(visit: Visit, method: str, path: str) -> None:
    visit.reads, visit.acts = frozenset({"metro"}), EVERY
    assert call(visit, method, path) == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        r
        for r in ROUTES
        if r[1].split("?")[0].endswith(("acts", "check-now", "rejected.csv", "holds/1"))
    ],
)
def test_who_may_only_read_may_not_act(visit: Visit, method: str, path: str) -> None:
    assert call(visit, method, path) == 403
    assert visit.started == []


def test_every_route_is_one_of_those_that_are_tried(visit: Visit) -> None:
    found = {
        (method, route.path)  # type: ignore[attr-defined]
        for route in visit.app.routes
        for method in getattr(route, "methods", None) or ()
    }
    tried = {
        (m, p.split("?")[0].replace("lakeside", "{client_id}").replace("/1", "/{hold_seq}"))
        for m, p in ROUTES
    }
    assert found == tried


def test_every_answer_is_as_the_description_of_the_api_says(visit: Visit) -> None:
    described = visit.get("/api/openapi.json").json()
    board = visit.get("/api/clients").json()
    card = described["components"]["schemas"]["Card"]
    assert all(one.keys() == card["properties"].keys() for one in board["clients"])
    Board.model_validate(board)
    assert "Report" in described["components"]["schemas"]


def test_a_client_has_its_guide_for_the_school_as_a_page_without_scripts(visit: Visit) -> None:
    address = visit.get("/api/clients/lakeside").json()["guide_url"]
    page = visit.get(address)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "script" not in page.headers["content-security-policy"]
    assert "Sending your data: Lakeside Unified School District" in page.text
    assert 'download="users.csv"' in page.text and "<script" not in page.text
    spanish = visit.get(address, language="es")
    assert "Cómo enviarnos sus datos" in spanish.text and '<html lang="es">' in spanish.text
    assert visit.get(address, language="../mappings/metro").status_code == 422
    assert visit.get(address, language="xx").status_code == 503


def test_the_list_comes_in_pages(asked: Asked) -> None:
    first = asked("/api/clients", limit=2).json()
    rest = asked("/api/clients", limit=2, offset=2).json()
    assert (first["total"], rest["total"]) == (3, 3)
    ids = [one["client_id"] for one in (*first["clients"], *rest["clients"])]
    assert ids == sorted(EVERY)


def test_runs_come_in_pages_without_a_gap(asked: Asked) -> None:
    every = [run["run_id"] for run in asked("/api/clients/lakeside/runs").json()["runs"]]
    found, before = [], None
    while True:
        page = asked(
            "/api/clients/lakeside/runs", limit=4, **({"before": before} if before else {})
        )
        found += [run["run_id"] for run in page.json()["runs"]]
        if not (before := page.json()["next_before"]):
            break
    assert found == every
    assert len(every) == 6


def test_a_list_in_which_nothing_has_changed_is_not_sent_again(visit: Visit) -> None:
    first = visit.get("/api/clients")
    again = visit.client.get("/api/clients", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    visit.reads = frozenset({"metro"})
    other = visit.client.get("/api/clients", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


def test_however_many_look_at_the_list_one_query_a_second_is_made(visit: Visit) -> None:
    queries = 0

    def counted() -> str:
        nonlocal queries
        queries += 1
        return visit.database_url

    host = Host(visit.visitor, counted, visit.check_now, frozenset, lambda _: [])
    app = TestClient(create_app(host, Project(REPO / "include", "development")))
    begun = time.monotonic()
    for _ in range(60):
        assert app.get("/api/clients").status_code == 200
    assert 1 <= queries <= (time.monotonic() - begun) + 1


def test_what_somebody_has_taken_needs_nobody_else_until_it_happens_again(
    visit: Visit,
) -> None:
    visit.acts = EVERY
    metro = {c["client_id"]: c for c in visit.get("/api/clients").json()["clients"]}["metro"]
    assert metro["needs_somebody"] is True
    assert visit.get("/api/need").json()["needs_somebody"] == 1
    answer = visit.post("/api/clients/metro/acts", kind="acknowledge", text="I call them.")
    assert answer.status_code == 204
    time.sleep(1.1)
    metro = {c["client_id"]: c for c in visit.get("/api/clients").json()["clients"]}["metro"]
    assert metro["needs_somebody"] is False
    assert (metro["acknowledged"]["by"], metro["acknowledged"]["text"]) == ("vera", "I call them.")
    assert visit.get("/api/need").json()["needs_somebody"] == 0
    with psycopg.connect(visit.database_url) as connection:
        add_run(connection, "metro", "failed", days_ago=-0.0001, sentence="Failed again.")
    time.sleep(1.1)
    metro = {c["client_id"]: c for c in visit.get("/api/clients").json()["clients"]}["metro"]
    assert metro["acknowledged"] is None
    assert metro["needs_somebody"] is True


def test_a_snooze_ends_at_its_time_and_needs_one(visit: Visit) -> None:
    visit.acts = EVERY
    assert visit.post("/api/clients/metro/acts", kind="snooze").status_code == 422
    over = (NOW - timedelta(minutes=1)).isoformat()
    assert visit.post("/api/clients/metro/acts", kind="snooze", until_at=over).status_code == 204
    assert visit.get("/api/need").json()["needs_somebody"] == 1
    later = (NOW + timedelta(hours=1)).isoformat()
    assert visit.post("/api/clients/metro/acts", kind="snooze", until_at=later).status_code == 204
    time.sleep(1.1)
    assert visit.get("/api/need").json()["needs_somebody"] == 0


def test_check_now_starts_a_run_and_is_recorded_or_says_why_not(visit: Visit) -> None:
    visit.acts = EVERY
    answer = visit.post("/api/clients/metro/check-now")
    assert (answer.status_code, answer.json()) == (201, {"run_id": "manual__now"})
    assert visit.started == [("metro", "vera")]
    kinds = [(act["kind"], act["by"]) for act in visit.get("/api/clients/metro").json()["acts"]]
    assert kinds == [("check_now", "vera")]
    visit.paused = frozenset({"metro"})
    answer = visit.post("/api/clients/metro/check-now")
    assert answer.status_code == 409
    assert "paused" in answer.text
    assert len(visit.get("/api/clients/metro").json()["acts"]) == 1


def test_the_rejected_rows_are_for_those_who_may_act_and_the_download_is_recorded(
    visit: Visit,
) -> None:
    visit.acts = EVERY
    run = visit.get("/api/clients/lakeside").json()["runs"][0]
    answer = visit.get("/api/clients/lakeside/run/rejected.csv", run_id=run["run_id"])
    lines = answer.content.decode("utf-8-sig").splitlines()
    assert lines[0] == "file,line,key,column,code,reason,remedy"
    assert [line.split(",")[:5] for line in lines[1:]] == [
        ["users.csv", "7", "k", "birth_date", "VALUE_NOT_A_DATE"],
        ["users.csv", "9", "k", "birth_date", "VALUE_NOT_A_DATE"],
    ]
    acts = visit.get("/api/clients/lakeside").json()["acts"]
    assert [(act["kind"], act["run_id"]) for act in acts] == [("download", run["run_id"])]


def test_a_record_is_followed_by_its_key_and_the_look_up_recorded(visit: Visit) -> None:
    answer = visit.post("/api/clients/lakeside/trace", key="unheard-of")
    assert answer.status_code == 200
    assert answer.json()["standing"] == []
    [act] = visit.get("/api/clients/lakeside").json()["acts"]
    assert (act["kind"], act["by"], act["text"]) == ("trace", "vera", "key un***")
    assert visit.post("/api/clients/lakeside/trace", key="").status_code == 422


def test_a_viewer_of_one_school_sees_that_school_only(asked: Asked) -> None:
    mine = {"metro"}
    assert {c["client_id"] for c in asked("/api/clients", may=mine).json()["clients"]} == mine
    assert sum(day["inserted"] for day in asked("/api/days", may=mine).json()["days"]) == 0
    assert asked("/api/clients/lakeside", may=mine).status_code == 403
    assert asked("/api/clients/lakeside/run?run_id=x", may=mine).status_code == 403
    assert asked("/api/clients/metro", may=mine).status_code == 200


def test_answers_carry_a_strict_policy(asked: Asked) -> None:
    answer = asked("/api/need")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    page = asked("/api/docs")
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert "<script>" not in page.text


def test_a_database_that_is_away_is_said_without_its_address(visit: Visit) -> None:
    visit.database_url = "postgresql://etl:secret-word@127.0.0.1:1/etl"
    answer = visit.get("/api/clients/metro")
    assert answer.status_code == 503
    assert "secret-word" not in answer.text
    assert "database" in answer.text


def test_a_frozen_client_says_so_in_the_list_and_on_its_page(
    asked: Asked, database_url: str
) -> None:
    assert asked("/api/clients/metro").json()["client"]["frozen"] == ""
    freeze(database_url, "metro", "ana", "Wrong grades")
    said = asked("/api/clients/metro").json()["client"]["frozen"]
    assert said.startswith("Nothing is loaded: frozen by ana on ")
    assert said.endswith("Wrong grades.")
    cards = {card["client_id"]: card["frozen"] for card in asked("/api/clients").json()["clients"]}
    assert cards == {"ashford": "", "lakeside": "", "metro": said}
    acts = asked("/api/clients/metro").json()["acts"]
    assert [(act["kind"], act["by"], act["text"]) for act in acts] == [
        ("freeze", "ana", "Wrong grades")
    ]
