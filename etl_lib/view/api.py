"""The JSON API of the view. Every route asks who the user is; nobody sees a client he may not read."""

# no `from __future__ import annotations`: FastAPI reads the routes' annotations, which hold local names
import csv
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.staticfiles import StaticFiles
from pydantic_core import to_json

from etl_lib.config.project import Project
from etl_lib.config.school_days import Overdue
from etl_lib.errors import EtlError, NotNow
from etl_lib.manifest import masked
from etl_lib.messages import CATALOGUE
from etl_lib.metrics.acts import Act, acts_of, record_act
from etl_lib.metrics.board import (
    PAGE_RUNS,
    client_history,
    days,
    newest_runs,
    rejected_rows,
    run_report,
    runs_of,
)
from etl_lib.metrics.freezes import Freeze, freezes
from etl_lib.metrics.holds import HoldStatus, decide
from etl_lib.metrics.status import (
    GIVES_WAY_TO_OVERDUE,
    LATE,
    NEEDS_SOMEBODY,
    NOT_DUE,
    OPEN,
    SPEAKS_FOR_ITSELF,
    STALE,
    WORDS,
    RunStatus,
)
from etl_lib.report import REJECTED_HEADER, rejected_cells
from etl_lib.storage import Storage
from etl_lib.trace import Trace, trace
from etl_lib.view.answers import (
    ActWish,
    Begun,
    Board,
    Card,
    Days,
    History,
    KeyWish,
    Need,
    Report,
    Runs,
    Verdict,
)
from etl_lib.view.clients import Directory

STATIC = Path(__file__).with_name("static")
_FRESH_S = 1.0
_CHART_DAYS = 30
_MOST = 1000
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_DOCS = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'"
)
# a guide is text and styles; its examples are data behind links
_GUIDE = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"


@dataclass(frozen=True)
class Visitor:
    """Who looks, which clients he may read, and on which he may act."""

    name: str
    reads: frozenset[str]
    may_act: Callable[[str], bool]


@dataclass(frozen=True)
class Host:
    """What the application around the view gives it.

    `visitor`: a FastAPI dependency that gives the Visitor and raises 401 for a stranger. `check_now`
    starts a run of a client for a user and gives its run_id, or raises an EtlError. `paused`: clients
    whose schedule stands still. `archives`: where the keys of a client's runs are kept. `resume`: lets
    tasks go on whose hold is decided.
    """

    visitor: Callable[..., Visitor]
    database_url: Callable[[], str]
    check_now: Callable[[str, str], str]
    paused: Callable[[], frozenset[str]]
    archives: Callable[[str], list[Storage]]
    resume: Callable[[], None] = lambda: None


class Once:
    """The answer to one question for all who ask it within a second: one query, however many look."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask, self._lock, self._at, self._answer = ask, threading.Lock(), 0.0, None

    def __call__(self) -> Any:
        """The answer, at most a second old."""
        with self._lock:
            if self._answer is None or time.monotonic() - self._at >= _FRESH_S:
                self._answer = self._ask()
                self._at = time.monotonic()
            return self._answer


@dataclass(frozen=True)
class Cards:
    """The list as it is at an instant: each client's card, ready to be sent."""

    generated_at: datetime
    status: Mapping[str, str]
    needs_somebody: frozenset[str]
    json: Mapping[str, bytes]


def create_app(host: Host, project: Project) -> FastAPI:
    """The app: the API under `/api`, the built view under `/static`."""
    # FastAPI's own pages would be open to everybody and load scripts from elsewhere
    app = FastAPI(
        title="Integrations", description="What became of the schools' deliveries.",
        docs_url=None, redoc_url=None, openapi_url=None,
    )  # fmt: skip
    directory = Directory(project)
    url = host.database_url
    newest: list[Cards] = []

    def cards(day: date | None = None) -> Cards:
        now = datetime.now(UTC)
        known = directory.clients()
        rows = newest_runs(url(), list(known), day)
        paused = host.paused()
        made = {
            row["client_id"]: _card(
                {**directory.facts(known[row["client_id"]], now), **row}, day or now.date(), now,
                row["client_id"] in paused, project.environment_name,
                known[row["client_id"]].overdue(row["sent_at"], now) if day is None else None,
            )
            for row in rows
        }  # fmt: skip
        ready = {client_id: to_json(card) for client_id, card in made.items()}
        if day is None and newest and newest[0].json == ready:
            return newest[0]  # nothing has changed: the same answer, of the same instant
        found = Cards(
            now,
            {client_id: card["status"] for client_id, card in made.items()},
            frozenset(client_id for client_id, card in made.items() if card["needs_somebody"]),
            ready,
        )
        if day is None:
            newest[:] = [found]
        return found

    today = Once(cards)
    asks = Annotated[Visitor, Depends(host.visitor)]

    @app.middleware("http")
    async def guarded(request: Any, call_next: Any) -> Response:
        answer: Response = await call_next(request)
        page = request.url.path.rsplit("/", 1)[-1]
        answer.headers["Content-Security-Policy"] = {"docs": _DOCS, "guide": _GUIDE}.get(
            page, _NOTHING
        )
        answer.headers["X-Content-Type-Options"] = "nosniff"
        if request.url.path.split("/")[-2:-1] != ["static"]:
            answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    @app.exception_handler(EtlError)
    async def said(_: Any, error: EtlError) -> Response:
        fault = error.faults[0]
        if isinstance(error, NotNow):
            return Response(f"{fault.text} {fault.message.remedy}", 409, media_type="text/plain")
        return Response(fault.message.meaning, 503, media_type="text/plain")

    @app.get("/api/clients", response_model=Board)
    def clients(
        who: asks,
        day: Annotated[date | None, Query(description="UTC; today when absent")] = None,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = _MOST,
        offset: Annotated[int, Query(ge=0)] = 0,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Each client that the user may read, by client_id, with its newest run up to `day`."""
        found = today() if day is None else cards(day)
        mine = [client_id for client_id in found.json if client_id in who.reads]
        head = to_json(
            {
                "generated_at": found.generated_at, "day": day or datetime.now(UTC).date(),
                "environment": project.environment_name, "words": WORDS, "total": len(mine),
            }
        )  # fmt: skip
        shown = b",".join(found.json[client_id] for client_id in mine[offset : offset + limit])
        body = head[:-1] + b',"clients":[' + shown + b"]}"
        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers = {
            "ETag": tag,
            "Cache-Control": "private, no-cache",
            "Vary": "Cookie, Authorization",
        }
        if if_none_match == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    @app.get("/api/need")
    def need(who: asks) -> Need:
        """How many clients need somebody today."""
        found = today()
        statuses = [status for client_id, status in found.status.items() if client_id in who.reads]
        return Need(
            needs_somebody=len(found.needs_somebody & who.reads), total=len(statuses),
            statuses={status: statuses.count(status) for status in dict.fromkeys(statuses)},
            words=WORDS,
        )  # fmt: skip

    @app.get("/api/days")
    def records_per_day(
        who: asks, number: Annotated[int, Query(alias="days", ge=1, le=366)] = _CHART_DAYS
    ) -> Days:
        """What was done with records on each of the last days (UTC)."""
        until = datetime.now(UTC).date()
        since = until - timedelta(days=number - 1)
        return Days.model_validate(
            {"since": since, "days": days(url(), sorted(who.reads), since, until)}
        )

    @app.get("/api/clients/{client_id}")
    def client(client_id: str, who: asks, request: Request) -> History:
        """One client: who it is, its newest runs, feeds, deliveries, rejects by reason, holds, acts."""
        known = _known(directory, client_id, who)
        now, frozen = datetime.now(UTC), freezes(url()).get(client_id)
        history: dict[str, Any] = client_history(url(), client_id)
        sent = history.pop("sent")
        overdue = known.overdue(sent[0]["sent_at"] if sent else None, now)
        if overdue and _speaks_for_itself(history["runs"], overdue):
            overdue = None
        history["rejects"] = [
            {**row, "meaning": _meaning(row["code"])} for row in history["rejects"]
        ]
        return History.model_validate(
            {
                "client": {**directory.facts(known, now), "frozen": frozen.sentence if frozen else ""},
                "words": WORDS, "generated_at": now,
                "may_act": who.may_act(client_id), "paused": client_id in host.paused(),
                "overdue": overdue.sentence if overdue else "",
                "guide_url": None if known.broken else f"{_root(request)}/api/clients/{client_id}/guide",
                "acts": acts_of(url(), client_id), **history,
            }
        )  # fmt: skip

    @app.get("/api/clients/{client_id}/guide", response_class=Response)
    def guide(
        client_id: str,
        who: asks,
        language: Annotated[str | None, Query(pattern="^[a-z]{2}$")] = None,
    ) -> Response:
        """The school's onboarding guide as a page, in its own language or another one."""
        _known(directory, client_id, who)
        from etl_lib.onboarding.guide.committed import guide_of
        from etl_lib.onboarding.guide.render import html

        page = html(guide_of(project, client_id, language, os.environ))
        return Response(page, media_type="text/html")

    @app.get("/api/clients/{client_id}/runs")
    def runs(
        client_id: str, who: asks, before: datetime | None = None,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = PAGE_RUNS,
    ) -> Runs:  # fmt: skip
        """The client's runs, newest first, page by page."""
        _known(directory, client_id, who)
        found = runs_of(url(), client_id, before, limit)
        after = found[-1]["started_at"] if len(found) == limit else None
        return Runs.model_validate({"runs": found, "next_before": after})

    @app.get("/api/clients/{client_id}/run")
    def run(client_id: str, run_id: Annotated[str, Query()], who: asks) -> Report:
        """One run, by Airflow's run id: stages, counts, messages, rejects and changes."""
        known = _known(directory, client_id, who)
        report = run_report(url(), client_id, run_id)
        if report is None:
            raise HTTPException(404, "The run has not begun.")
        for row in (*report["messages"], *report["rejects"]):
            row |= _said(row["code"])
        return Report.model_validate(
            {
                "generated_at": datetime.now(UTC), "words": WORDS, "client": known.client,
                "may_act": who.may_act(client_id), "deciders": known.operators, **report,
            }
        )  # fmt: skip

    @app.get("/api/clients/{client_id}/run/rejected.csv")
    def rejected(client_id: str, run_id: Annotated[str, Query()], who: asks) -> Response:
        """The rows that a run rejected, with their keys, as the school gets them; recorded."""
        _must_act(directory, client_id, who)
        rows = rejected_rows(url(), client_id, run_id)
        if not rows:
            raise HTTPException(404, "This run has rejected no rows.")
        record_act(url(), client_id, Act.DOWNLOAD, who.name, f"{len(rows)} faults", run_id=run_id)
        return Response(
            _csv(rejected_cells(rows)), media_type="text/csv",
            headers={"Content-Disposition": f'attachment; filename="{client_id}_rejected.csv"'},
        )  # fmt: skip

    @app.post("/api/clients/{client_id}/trace")
    def follow(client_id: str, wish: KeyWish, who: asks) -> Trace:
        """What became of one record, by its key; no values; the look-up is recorded."""
        _known(directory, client_id, who)
        record_act(url(), client_id, Act.TRACE, who.name, f"key {masked(wish.key.strip())}")
        entities = list(project.resolve(client_id).entities.values())
        return trace(url(), host.archives(client_id), client_id, wish.key, entities)

    @app.post("/api/clients/{client_id}/acts", status_code=204)
    def act(client_id: str, wish: ActWish, who: asks) -> None:
        """Acknowledge, note or snooze."""
        _must_act(directory, client_id, who)
        if (wish.kind == Act.SNOOZE) != (wish.until_at is not None):
            raise HTTPException(422, "A snooze, and nothing else, says until when.")
        if wish.until_at and wish.until_at.tzinfo is None:
            raise HTTPException(422, "An instant needs its zone.")
        record_act(
            url(), client_id, Act(wish.kind), who.name, wish.text, wish.until_at, wish.run_id
        )

    @app.post("/api/clients/{client_id}/holds/{hold_seq}", status_code=204)
    def decide_hold(client_id: str, hold_seq: int, verdict: Verdict, who: asks) -> None:
        """Approve or refuse a delivery that waits; the first word counts."""
        _must_act(directory, client_id, who)
        status = HoldStatus.APPROVED if verdict.approve else HoldStatus.REFUSED
        if not decide(url(), client_id, hold_seq, status, who.name, verdict.comment.strip()):
            raise NotNow.of("CANNOT_DECIDE", "This hold is not open any more.")
        host.resume()

    @app.post("/api/clients/{client_id}/check-now", status_code=201)
    def check_now(client_id: str, who: asks) -> Begun:
        """Look for a delivery now: starts a run."""
        _must_act(directory, client_id, who)
        run_id = host.check_now(client_id, who.name)
        record_act(url(), client_id, Act.CHECK_NOW, who.name, run_id)
        return Begun(run_id=run_id)

    @app.get("/api/openapi.json", include_in_schema=False)
    def described(_: asks, request: Request) -> dict[str, Any]:
        """This API, as OpenAPI describes it."""
        return {**app.openapi(), "servers": [{"url": _root(request)}]}

    @app.get("/api/docs", include_in_schema=False)
    def documented(_: asks) -> Response:
        """This API as a page."""
        return Response(_DOCS_PAGE, media_type="text/html")

    if STATIC.is_dir():
        app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


_DOCS_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Integrations: API</title>
<link rel="stylesheet" href="../static/swagger-ui.css"></head>
<body><div id="api"></div>
<script src="../static/swagger-ui-bundle.js"></script><script src="../static/api_docs.js"></script>
</body></html>
"""


def _root(request: Request) -> str:
    """Where the application around us has put the view."""
    return str(request.scope.get("root_path", ""))


def _known(directory: Directory, client_id: str, who: Visitor) -> Any:
    """The client; 403 for one that the visitor may not read, 404 for one that is not there."""
    if client_id not in who.reads:
        raise HTTPException(403, "You may not read this client.")
    known = directory.clients().get(client_id)
    if known is None:
        raise HTTPException(404, "There is no such client.")
    return known


def _must_act(directory: Directory, client_id: str, who: Visitor) -> None:
    _known(directory, client_id, who)
    if not who.may_act(client_id):
        raise HTTPException(403, "You may read this client, but not act on it.")


def _meaning(code: str) -> str:
    return CATALOGUE[code].meaning if code in CATALOGUE else ""


def _said(code: str) -> dict[str, str]:
    """The catalogue's words for a code; empty for one that is no longer in it."""
    known = CATALOGUE.get(code)
    if known is None:
        return dict.fromkeys(("level", "meaning", "next_step", "owner"), "")
    return {
        "level": known.level, "meaning": known.meaning, "next_step": known.remedy,
        "owner": known.owner,
    }  # fmt: skip


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(REJECTED_HEADER)
    writer.writerows(rows)
    return b"\xef\xbb\xbf" + buffer.getvalue().encode()


def _card(
    row: dict[str, Any], day: date, now: datetime, paused: bool, environment: str,
    overdue: Overdue | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A row of the list: a client without a run on the day is not due, and keeps its last words.

    A delivery that is missing is said before all that went well, also when nothing has run.
    """
    started, taken = row["started_at"], row.pop("taken") or {}
    still = row["status"] in (*OPEN, LATE) and row["status"] != RunStatus.AWAITING_APPROVAL
    frozen = row.pop("frozen")
    held = row["status"] == RunStatus.AWAITING_APPROVAL
    ran = started is not None and (started.astimezone(UTC).date() == day or still or held)
    status = RunStatus.FAILED if row["broken"] else row["status"] if ran else NOT_DUE
    sentence = "The mapping has a mistake." if row["broken"] else row["sentence"] or ""
    if overdue and status in GIVES_WAY_TO_OVERDUE:
        status = LATE if overdue.is_late else STALE
        sentence = f"{overdue.sentence} {_why_not_looked(overdue, started, paused)}".strip()
    acknowledged = taken.get(Act.ACKNOWLEDGE)
    if acknowledged and acknowledged["run_seq"] != row["run_seq"]:
        acknowledged = None  # it was about an earlier run
    snoozed = taken.get(Act.SNOOZE)
    if snoozed and datetime.fromisoformat(snoozed["until_at"]) <= now:
        snoozed = None
    card = {
        **row,
        "status": status,
        "last_status": row["status"],
        "sentence": sentence,
        "overdue": overdue.sentence if overdue and status not in SPEAKS_FOR_ITSELF else "",
        "environment": row["environment"] or environment,
        "needs_somebody": status in NEEDS_SOMEBODY and not acknowledged and not snoozed,
        "paused": paused,
        "frozen": Freeze.of_json(frozen).sentence if frozen else "",
        "recent": row["recent"] or [],
        "acknowledged": _taken(acknowledged),
        "snoozed": _taken(snoozed),
        "note": _taken(taken.get(Act.NOTE)),
    }
    return {name: card[name] for name in Card.model_fields}


def _speaks_for_itself(runs: Sequence[Mapping[str, Any]], overdue: Overdue) -> bool:
    """Whether a run of the missing delivery's own night says what became of it; `runs` newest first."""
    newest = next((run for run in runs if not run["dry_run"]), None)
    since = overdue.given_up_at - timedelta(days=1)
    return (
        newest is not None
        and newest["status"] in SPEAKS_FOR_ITSELF
        and newest["started_at"] > since
    )


def _why_not_looked(overdue: Overdue, last_run_at: datetime | None, paused: bool) -> str:
    """That no run has looked for the missing delivery, and why."""
    if paused:
        return "The integration is paused in Airflow."
    if last_run_at is None or last_run_at < overdue.given_up_at - timedelta(days=1):
        return "No run has looked for it: on-call has to see whether Airflow's scheduler works."
    return ""


def _taken(act: dict[str, Any] | None) -> dict[str, Any] | None:
    return act and {name: act[name] for name in ("by", "at", "text", "until_at")}
