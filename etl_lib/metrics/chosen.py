"""What acts on many clients choose from: runs that stopped, the last loads, clients that said a code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from psycopg.rows import class_row

from etl_lib.database import connected
from etl_lib.metrics.status import GREEN, RunStatus

T = TypeVar("T")

FAILURES = (RunStatus.FAILED, RunStatus.NOT_RECEIVED)
# Runs that ended without loading anything; a code must say which of them are meant.
_STOPPED = (*FAILURES, RunStatus.REFUSED, RunStatus.SUPERSEDED)
_LOADED_ALL_THE_SAME = "REPORT_LOST"


@dataclass(frozen=True)
class StoppedRun:
    """A run that ended without a load; `codes`: of the stage that stopped it, in order.

    `later`: a run of the client that began after it and has loaded a delivery, or is at work; else None.
    """

    run_seq: int
    client_id: str
    run_id: str
    kind: str
    status: str
    dry_run: bool
    started_at: datetime
    sentence: str
    codes: list[str]
    later: int | None
    later_status: str | None


_STOPPED_RUNS = """
SELECT r.run_seq, r.client_id, r.run_id, r.kind, r.status, r.dry_run, r.started_at, r.sentence,
       COALESCE(said.codes, '{}') AS codes, next.run_seq AS later, next.status AS later_status
FROM etl.run r
LEFT JOIN LATERAL (SELECT stage FROM etl.run_stage WHERE run_seq = r.run_seq
                   ORDER BY started_at DESC LIMIT 1) last ON true
LEFT JOIN LATERAL (SELECT array_agg(m.code ORDER BY m.message_seq) AS codes FROM etl.run_message m
                   WHERE m.run_seq = r.run_seq AND m.stage = COALESCE(last.stage, 'extract')) said ON true
LEFT JOIN LATERAL (SELECT x.run_seq, x.status FROM etl.run x
                   WHERE x.client_id = r.client_id AND x.started_at > r.started_at
                     AND x.kind = 'load' AND NOT x.dry_run
                     AND (x.ended_at IS NULL OR x.status = ANY (%(green)s))
                     AND NOT EXISTS (SELECT FROM etl.load l WHERE l.run_seq = x.run_seq AND l.only_rejects)
                   ORDER BY x.started_at DESC LIMIT 1) next ON true
WHERE r.client_id = ANY (%(clients)s) AND r.ended_at >= %(since)s AND r.kind <> 'test'
  AND (r.status = ANY (%(statuses)s) OR %(code)s = %(loaded)s)
  AND (%(code)s = '' OR %(code)s = ANY (said.codes))
ORDER BY r.client_id, r.started_at
"""


def stopped_runs(
    url: str, clients: Sequence[str], since: datetime, code: str
) -> list[StoppedRun]:  # fmt: skip
    """Runs of these clients that ended since then and failed; with a code: all that it stopped."""
    given = {
        "clients": list(clients), "since": since, "code": code, "green": list(GREEN),
        "statuses": list(_STOPPED if code else FAILURES), "loaded": _LOADED_ALL_THE_SAME,
    }  # fmt: skip
    return _rows(url, StoppedRun, _STOPPED_RUNS, given)


@dataclass(frozen=True)
class StandingLoad:
    """A load that stands; `has_code`: the run said the code that is asked for."""

    run_seq: int
    client_id: str
    run_id: str
    status: str
    loaded_at: datetime
    sentence: str
    has_code: bool


_LOADS = """
SELECT l.run_seq, l.client_id, r.run_id, l.status, l.loaded_at, r.sentence,
       %(code)s = '' OR EXISTS (SELECT FROM etl.run_message m
                                WHERE m.run_seq = l.run_seq AND m.code = %(code)s) AS has_code
FROM etl.load l JOIN etl.run r USING (run_seq)
WHERE l.client_id = ANY (%(clients)s) AND l.loaded_at >= %(since)s
  AND l.undoes IS NULL AND l.undone_by IS NULL
ORDER BY l.client_id, l.change_seq DESC
"""


def standing_loads(
    url: str, clients: Sequence[str], since: datetime, code: str
) -> dict[str, list[StandingLoad]]:
    """The loads since then that were not undone, by client, the last one first."""
    given = {"clients": list(clients), "since": since, "code": code}
    found: dict[str, list[StandingLoad]] = {}
    for load in _rows(url, StandingLoad, _LOADS, given):
        found.setdefault(load.client_id, []).append(load)
    return found


@dataclass(frozen=True)
class NewestRun:
    """A run of a client that was no dry run; `ended_at` None: at work."""

    client_id: str
    run_seq: int
    run_id: str
    status: str
    started_at: datetime
    ended_at: datetime | None


_NEWEST = """
SELECT DISTINCT ON (r.client_id) r.client_id, r.run_seq, r.run_id, r.status, r.started_at, r.ended_at
FROM etl.run r
WHERE r.client_id = ANY (%(clients)s) AND NOT r.dry_run
  AND (%(since)s::timestamptz IS NULL OR r.started_at >= %(since)s)
  AND (%(code)s = '' OR EXISTS (SELECT FROM etl.run_message m
                                WHERE m.run_seq = r.run_seq AND m.code = %(code)s))
ORDER BY r.client_id, r.started_at DESC
"""


def newest_runs(
    url: str, clients: Sequence[str], since: datetime | None = None, code: str = ""
) -> dict[str, NewestRun]:
    """Each client's newest run, of those that began since then and said the code."""
    given = {"clients": list(clients), "since": since, "code": code}
    return {run.client_id: run for run in _rows(url, NewestRun, _NEWEST, given)}


def left_out_frozen(url: str) -> dict[str, int]:
    """How many runs of each frozen client ended because of its freeze."""
    with connected(url) as connection:
        return dict(
            connection.execute(
                "SELECT f.client_id, count(DISTINCT r.run_seq) FROM etl.freeze f "
                "JOIN etl.run r ON r.client_id = f.client_id AND r.ended_at >= f.frozen_at "
                "JOIN etl.run_message m USING (run_seq) WHERE m.code = 'FROZEN' GROUP BY 1"
            ).fetchall()
        )


def _rows(url: str, kind: type[T], query: str, given: Mapping[str, object]) -> list[T]:
    with connected(url) as connection, connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query.encode(), given).fetchall()
