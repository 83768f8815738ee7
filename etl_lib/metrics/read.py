"""Reads what is recorded about runs, for the demo, the command line and the view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql
from psycopg.rows import class_row

from etl_lib.database import connected

# Columns of one run: its status and words, where it stands, and the sums of its counts.
_RUNS = """
SELECT r.run_seq, r.client_id, r.run_id, r.status, r.sentence, r.started_at, r.ended_at,
       extract(epoch FROM COALESCE(r.ended_at, clock_timestamp()) - r.started_at)::float8 AS duration_s,
       COALESCE(jsonb_array_length(d.files), 0) AS files,
       COALESCE(s.stage, '') AS stage, COALESCE(s.rows, 0) AS rows, s.rows_total,
       COALESCE(c.read, 0)::bigint AS read, COALESCE(c.inserted, 0)::bigint AS inserted,
       COALESCE(c.updated, 0)::bigint AS updated, COALESCE(c.unchanged, 0)::bigint AS unchanged,
       COALESCE(c.deleted, 0)::bigint AS deleted, COALESCE(c.rejected, 0)::bigint AS rejected,
       COALESCE(c.duplicates, 0)::bigint AS duplicates, COALESCE(c.filtered, 0)::bigint AS filtered
FROM etl.run r
LEFT JOIN etl.delivery d ON d.client_id = r.client_id AND d.delivery_seq = r.delivery_seq
LEFT JOIN LATERAL (SELECT stage, rows, rows_total FROM etl.run_stage
                   WHERE run_seq = r.run_seq ORDER BY started_at DESC LIMIT 1) s ON true
LEFT JOIN LATERAL (SELECT sum(read) AS read, sum(inserted) AS inserted, sum(updated) AS updated,
                          sum(unchanged) AS unchanged,
                          sum(deleted_by_row + deleted_by_absence) AS deleted,
                          sum(rejected) AS rejected, sum(duplicates) AS duplicates,
                          sum(filtered) AS filtered
                   FROM etl.run_count WHERE run_seq = r.run_seq) c ON true
"""


@dataclass(frozen=True)
class RunSummary:
    """One run as a row of a list; counts are sums over its feeds and entities."""

    run_seq: int
    client_id: str
    run_id: str
    status: str
    sentence: str
    started_at: datetime
    ended_at: datetime | None
    duration_s: float
    files: int
    stage: str
    rows: int
    rows_total: int | None
    read: int
    inserted: int
    updated: int
    unchanged: int
    deleted: int
    rejected: int
    duplicates: int
    filtered: int


def runs_by_id(url: str, run_ids: Sequence[tuple[str, str]]) -> dict[str, RunSummary]:
    """Runs of the given (dag_id, run_id), by client; a run that has not begun is not there."""
    with (
        connected(url) as connection,
        connection.cursor(row_factory=class_row(RunSummary)) as cursor,
    ):
        rows = cursor.execute(
            _RUNS  # noqa: S608 (two constants)
            + "WHERE (r.dag_id, r.run_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"
            + " ORDER BY r.client_id",
            ([dag for dag, _ in run_ids], [run for _, run in run_ids]),
        ).fetchall()
    return {row.client_id: row for row in rows}


def counts_of(url: str, run_seq: int) -> dict[str, dict[str, int]]:
    """A run's counts by `<feed>.<entity>`, as they were committed."""
    from etl_lib.manifest import Counts

    names = [name for name in Counts.model_fields if name not in ("feed", "entity")]
    with connected(url) as connection:
        rows = connection.execute(
            sql.SQL(
                "SELECT feed || '.' || entity, {} FROM etl.run_count WHERE run_seq = %s"
                " ORDER BY feed, entity"
            ).format(sql.SQL(", ").join(map(sql.Identifier, names))),
            (run_seq,),
        ).fetchall()
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


def loads_of(url: str, client_id: str) -> int:
    """How many deliveries of the client were loaded and stand."""
    with connected(url) as connection:
        row = connection.execute(
            "SELECT count(DISTINCT delivery_seq) FROM etl.delivery_loaded WHERE client_id = %s",
            (client_id,),
        ).fetchone()
    assert row is not None
    return int(row[0])
