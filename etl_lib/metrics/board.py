"""What the view shows: the newest run of each client, days, one client's history, one run's report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from psycopg.rows import DictRow, dict_row

from etl_lib.database import connected

RECENT_RUNS = 14
_SUMS = """
    SELECT sum(read)::bigint AS read, sum(inserted)::bigint AS inserted,
           sum(updated)::bigint AS updated, sum(unchanged)::bigint AS unchanged,
           sum(deleted_by_row + deleted_by_absence)::bigint AS deleted,
           sum(rejected)::bigint AS rejected, sum(duplicates)::bigint AS duplicates,
           sum(filtered)::bigint AS filtered
    FROM etl.run_count WHERE run_seq = {run}.run_seq"""
_RUN = """r.run_seq, r.run_id, r.status, r.sentence, r.started_at, r.ended_at, r.dry_run,
       extract(epoch FROM COALESCE(r.ended_at, clock_timestamp()) - r.started_at)::float8 AS duration_s"""

# The cost grows with the clients asked for: each look goes down the index run_client.
_NEWEST = f"""
SELECT wanted.client_id, newest.*, good.last_success_at, good.usual_duration_s, recent.recent
FROM unnest(%(clients)s::text[]) AS wanted(client_id)
LEFT JOIN LATERAL (
    SELECT {_RUN}, stage.stage, stage.rows, stage.rows_total, counts.*
    FROM etl.run r
    LEFT JOIN LATERAL (SELECT stage, rows, rows_total FROM etl.run_stage WHERE run_seq = r.run_seq
                       ORDER BY started_at DESC LIMIT 1) stage ON true
    LEFT JOIN LATERAL ({_SUMS.format(run="r")}) counts ON true
    WHERE r.client_id = wanted.client_id AND NOT r.dry_run
      AND (%(day)s::date IS NULL OR r.started_at < %(day)s::date + 1)
    ORDER BY r.started_at DESC LIMIT 1) newest ON true
LEFT JOIN LATERAL (
    SELECT max(ended_at) AS last_success_at,
           percentile_cont(0.5) WITHIN GROUP (
               ORDER BY extract(epoch FROM ended_at - started_at)::float8) AS usual_duration_s
    FROM (SELECT started_at, ended_at FROM etl.run
          WHERE client_id = wanted.client_id AND status IN ('succeeded', 'succeeded_with_rejects')
            AND ended_at IS NOT NULL
          ORDER BY started_at DESC LIMIT {RECENT_RUNS}) x) good ON true
LEFT JOIN LATERAL (
    SELECT COALESCE(jsonb_agg(jsonb_build_object(
               'run_seq', x.run_seq, 'status', x.status, 'started_at', x.started_at, 'read', x.read,
               'duration_s', extract(epoch FROM x.ended_at - x.started_at)::float8)
           ORDER BY x.started_at), '[]') AS recent
    FROM (SELECT y.*, (SELECT sum(read)::bigint FROM etl.run_count c WHERE c.run_seq = y.run_seq) AS read
          FROM etl.run y WHERE y.client_id = wanted.client_id AND NOT y.dry_run
          ORDER BY y.started_at DESC LIMIT {RECENT_RUNS}) x) recent ON true
"""  # noqa: S608 (constants only)

_DAYS = """
SELECT day::date AS day, COALESCE(sum(c.inserted), 0)::bigint AS inserted,
       COALESCE(sum(c.updated), 0)::bigint AS updated, COALESCE(sum(c.unchanged), 0)::bigint AS unchanged,
       COALESCE(sum(c.deleted_by_row + c.deleted_by_absence), 0)::bigint AS deleted,
       COALESCE(sum(c.rejected), 0)::bigint AS rejected
FROM generate_series(%(since)s::date, %(until)s::date, interval '1 day') day
LEFT JOIN etl.run r ON r.started_at >= day AND r.started_at < day + interval '1 day'
    AND r.client_id = ANY (%(clients)s::text[]) AND NOT r.dry_run
LEFT JOIN etl.run_count c USING (run_seq)
GROUP BY 1 ORDER BY 1
"""


def newest_runs(url: str, client_ids: Sequence[str], day: date | None = None) -> list[DictRow]:
    """One row for each client, with nulls when it never ran: its newest run (up to the end of `day`,
    UTC), its counts, its last success, its usual duration in s, its recent runs, oldest first."""
    return _rows(url, _NEWEST, {"clients": list(client_ids), "day": day})


def days(url: str, client_ids: Sequence[str], since: date, until: date) -> list[DictRow]:
    """What was done with records on each day (UTC) from `since` to `until`."""
    return _rows(url, _DAYS, {"clients": list(client_ids), "since": since, "until": until})


def client_history(url: str, client_id: str, limit: int = 90) -> dict[str, list[DictRow]]:
    """`runs` newest first with counts, `feeds` with their last delivery, `deliveries` with their
    files, `rejects` by day and code, `holds` that are open."""
    given = {"client": client_id, "limit": limit}
    queries = {
        "runs": f"""
            SELECT {_RUN}, counts.* FROM etl.run r
            LEFT JOIN LATERAL ({_SUMS.format(run="r")}) counts ON true
            WHERE r.client_id = %(client)s ORDER BY r.started_at DESC LIMIT %(limit)s""",  # noqa: S608 (constants only)
        "feeds": """
            SELECT f.feed, f.rows_read, d.delivered_on, d.received_at FROM etl.feed_state f
            LEFT JOIN etl.delivery d USING (client_id, delivery_seq)
            WHERE f.client_id = %(client)s ORDER BY f.feed""",
        "deliveries": """
            SELECT delivery_seq, delivery_id, delivered_on, received_at, files FROM etl.delivery
            WHERE client_id = %(client)s ORDER BY delivery_seq DESC LIMIT 14""",
        "rejects": """
            SELECT r.started_at::date AS day, x.code, count(*) AS rows FROM etl.rejected_row x
            JOIN etl.run r USING (run_seq)
            WHERE r.client_id = %(client)s AND r.started_at > now() - interval '30 days'
            GROUP BY 1, 2 ORDER BY 1, 2""",
        "holds": """
            SELECT hold_seq, run_seq, reasons, opened_at FROM etl.hold
            WHERE client_id = %(client)s AND status = 'open' ORDER BY opened_at DESC""",
    }
    return {name: _rows(url, query, given) for name, query in queries.items()}


def run_report(url: str, client_id: str, run_id: str) -> dict[str, Any] | None:
    """One run of a client by Airflow's run id, or None: the run, its `stages`, its `counts` by feed and
    entity, its `messages` in order, its `rejects` by file, column and code with at most 50 lines."""
    given = {"client": client_id, "run_id": run_id}
    found = _rows(
        url,
        f"""SELECT {_RUN}, d.delivery_id, d.delivered_on, d.files, counts.* FROM etl.run r
            LEFT JOIN etl.delivery d USING (client_id, delivery_seq)
            LEFT JOIN LATERAL ({_SUMS.format(run="r")}) counts ON true
            WHERE r.client_id = %(client)s AND r.run_id = %(run_id)s""",  # noqa: S608 (constants only)
        given,
    )
    if not found:
        return None
    of_run = {"run": found[0]["run_seq"]}
    return {
        "run": found[0],
        "stages": _rows(
            url,
            "SELECT stage, status, started_at, ended_at, what, rows, rows_total FROM etl.run_stage"
            " WHERE run_seq = %(run)s ORDER BY started_at",
            of_run,
        ),
        "counts": _rows(
            url, "SELECT * FROM etl.run_count WHERE run_seq = %(run)s ORDER BY feed, entity", of_run
        ),
        "messages": _rows(
            url,
            "SELECT at, stage, code, text, place FROM etl.run_message WHERE run_seq = %(run)s"
            " ORDER BY message_seq",
            of_run,
        ),
        "rejects": _rows(
            url,
            'SELECT file, "column", code, count(*) AS rows, '
            "(array_agg(line ORDER BY line))[:50] AS lines FROM etl.rejected_row"
            ' WHERE run_seq = %(run)s GROUP BY file, "column", code ORDER BY count(*) DESC, 1, 2, 3',
            of_run,
        ),
    }


def _rows(url: str, query: str, given: dict[str, Any]) -> list[DictRow]:
    with connected(url) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), given).fetchall()
