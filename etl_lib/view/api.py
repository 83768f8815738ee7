"""The JSON API of the view. Every route asks who the user is; nobody sees a client he may not read."""

# no `from __future__ import annotations`: FastAPI reads the routes' annotations, which hold local names
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Response
from fastapi.staticfiles import StaticFiles

from etl_lib.config.project import Project
from etl_lib.errors import EtlError
from etl_lib.messages import CATALOGUE
from etl_lib.metrics.board import client_history, days, newest_runs, run_report
from etl_lib.metrics.status import NOT_DUE, WORDS
from etl_lib.view.clients import Directory

STATIC = Path(__file__).with_name("static")
_FRESH_S = 1.0
_CHART_DAYS = 30


class Once:
    """The answer to one question for all who ask it within a second: one query, however many look."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask, self._lock, self._at, self._answer = ask, threading.Lock(), 0.0, None

    def __call__(self) -> Any:
        """The answer, at most a second old."""
        with self._lock:
            if time.monotonic() - self._at >= _FRESH_S:
                self._answer = self._ask()
                self._at = time.monotonic()
            return self._answer


def create_app(
    readable: Callable[..., set[str]], database_url: Callable[[], str], project: Project
) -> FastAPI:
    """The app; `readable` is a FastAPI dependency that gives the DAGs that the user may read.

    It raises 401 for somebody who is not logged in. Every answer about clients holds those only.
    """
    # FastAPI's own pages would be open to everybody and load scripts from elsewhere
    app = FastAPI(
        title="Integrations", description="What became of the schools' deliveries.",
        docs_url=None, redoc_url=None, openapi_url=None,
    )  # fmt: skip
    directory = Directory(project)
    today = Once(lambda: newest_runs(database_url(), list(directory.clients())))
    reads = Annotated[set[str], Depends(readable)]

    @app.middleware("http")
    async def guarded(request: Any, call_next: Any) -> Response:
        answer: Response = await call_next(request)
        answer.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        if request.url.path.split("/")[-2:-1] != ["static"]:
            answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.exception_handler(EtlError)
    async def said(_: Any, error: EtlError) -> Response:
        text = error.faults[0].message.meaning
        return Response(text, status_code=503, media_type="text/plain")

    @app.get("/api/clients")
    def clients(
        may: reads, day: Annotated[date | None, Query(description="UTC; today when absent")] = None
    ) -> dict[str, Any]:
        """Each client that the user may read, with its newest run up to `day`."""
        now = datetime.now(UTC)
        known = directory.clients()
        rows = today() if day is None else newest_runs(database_url(), list(known), day)
        wanted = day or now.date()
        return {
            "generated_at": now,
            "day": wanted,
            "environment": project.environment_name,
            "words": WORDS,
            "clients": [
                _card({**known[row["client_id"]].as_dict(now), **row}, wanted)
                for row in rows
                if row["client_id"] in may and row["client_id"] in known
            ],
        }

    @app.get("/api/days")
    def records_per_day(may: reads) -> dict[str, Any]:
        """What was done with records on each of the last 30 days (UTC)."""
        until = datetime.now(UTC).date()
        since = until - timedelta(days=_CHART_DAYS - 1)
        return {"since": since, "days": days(database_url(), sorted(may), since, until)}

    @app.get("/api/clients/{client_id}")
    def client(client_id: str, may: reads) -> dict[str, Any]:
        """One client: who it is, its runs, feeds, deliveries, rejects by reason, open holds."""
        known = directory.clients().get(client_id)
        _must(client_id in may)
        if known is None:
            raise HTTPException(404, "There is no such client.")
        now = datetime.now(UTC)
        history = client_history(database_url(), client_id)
        return {"client": known.as_dict(now), "words": WORDS, "generated_at": now, **history}

    @app.get("/api/clients/{client_id}/run")
    def run(client_id: str, run_id: Annotated[str, Query()], may: reads) -> dict[str, Any]:
        """One run, by Airflow's run id: stages, counts, messages and rejects, with what to do."""
        _must(client_id in may)
        report = run_report(database_url(), client_id, run_id)
        if report is None:
            raise HTTPException(404, "The run has not begun.")
        for row in (*report["messages"], *report["rejects"]):
            known = CATALOGUE.get(row["code"])
            row["meaning"] = known.meaning if known else ""
            row["next_step"] = known.remedy if known else ""
            row["owner"] = known.owner if known else ""
            row["level"] = known.level if known else ""
        return {"generated_at": datetime.now(UTC), "words": WORDS, **report}

    @app.get("/api/openapi.json", include_in_schema=False)
    def described(_: reads) -> dict[str, Any]:
        """This API, as OpenAPI describes it."""
        return app.openapi()

    if STATIC.is_dir():
        app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


def _must(may: bool) -> None:
    if not may:
        raise HTTPException(403, "You may not read this client.")


def _card(row: dict[str, Any], day: date) -> dict[str, Any]:
    """A row of the list: a client without a run on the day is not due, and keeps its last words."""
    started = row["started_at"]
    still = row["status"] in ("running", "waiting", "awaiting_approval")
    ran = started is not None and (started.astimezone(UTC).date() == day or still)
    status = "failed" if row["broken"] else row["status"] if ran else NOT_DUE
    sentence = "The mapping has a mistake." if row["broken"] else row["sentence"] or ""
    return {**row, "last_status": row["status"], "status": status, "sentence": sentence}
