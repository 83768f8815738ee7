"""What the view shows: the newest run of each client, days, one client's history, one run's report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from psycopg.rows import DictRow, dict_row

from etl_lib.database import Connection, connected
from etl_lib.metrics.status import STATUS_NOW

RECENT_RUNS = 14
PAGE_RUNS = 60
REJECT_LINES = 50
COUNTS = (
    "read", "inserted", "updated", "unchanged", "deleted", "rejected", "duplicates", "filtered",
)  # fmt: skip
_COUNTS = ", ".join(f"r.{name}" for name in COUNTS)
# A reconcile is no delivery: the list shows it only when it found a difference.
_SHOWN = "(kind <> 'reconcile' OR status = 'failed')"
_RUN = f"""r.run_seq, r.run_id, r.environment, {STATUS_NOW} AS status, r.sentence, r.started_at, r.ended_at, r.dry_run,
       extract(epoch FROM r.ended_at - r.started_at)::float8 AS duration_s, {_COUNTS}"""

_HOLD = """h.hold_seq, r.run_id, h.reasons, h.opened_at, h.lapses_at, h.decided_at, h.decided_by, h.comment,
       CASE WHEN h.status = 'open' AND h.lapses_at <= now() THEN 'lapsed' ELSE h.status END AS status"""

# The cost grows with the clients asked for: each look goes down the index run_client.
_NEWEST = f"""
SELECT wanted.client_id, newest.*, shown.sent_at, good.last_success_at, good.usual_duration_s, recent.recent,
       taken.taken, (SELECT to_jsonb(f) FROM etl.freeze f WHERE f.client_id = wanted.client_id) AS frozen
FROM unnest(%(clients)s::text[]) AS wanted(client_id)
LEFT JOIN LATERAL (
    SELECT {_RUN}, stage.stage, stage.rows, stage.rows_total
    FROM etl.run r
    LEFT JOIN LATERAL (SELECT stage, rows, rows_total FROM etl.run_stage
                       WHERE run_seq = r.run_seq AND r.ended_at IS NULL
                       ORDER BY started_at DESC LIMIT 1) stage ON true
    WHERE r.client_id = wanted.client_id AND NOT r.dry_run AND {_SHOWN}
      AND (%(day)s::date IS NULL OR r.started_at < %(day)s::date + 1)
    ORDER BY r.started_at DESC LIMIT 1) newest ON true
LEFT JOIN LATERAL (
    SELECT COALESCE(d.sent_at, d.received_at, s.loaded_at) AS sent_at FROM etl.client_state s
    LEFT JOIN etl.delivery d USING (client_id, delivery_seq)
    WHERE s.client_id = wanted.client_id) shown ON true
LEFT JOIN LATERAL (
    SELECT max(ended_at) AS last_success_at,
           percentile_cont(0.5) WITHIN GROUP (
               ORDER BY extract(epoch FROM ended_at - started_at)::float8) AS usual_duration_s
    FROM (SELECT started_at, ended_at FROM etl.run
          WHERE client_id = wanted.client_id AND status IN ('succeeded', 'succeeded_with_rejects')
            AND NOT dry_run AND ended_at IS NOT NULL AND (%(day)s::date IS NULL OR started_at < %(day)s::date + 1)
          ORDER BY started_at DESC LIMIT {RECENT_RUNS}) x) good ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_array(x.run_id, x.status, x.started_at, x.read,
               extract(epoch FROM x.ended_at - x.started_at)::float8) ORDER BY x.started_at) AS recent
    FROM (SELECT run_id, status, started_at, ended_at, read FROM etl.run
          WHERE client_id = wanted.client_id AND NOT dry_run AND {_SHOWN}
            AND (%(day)s::date IS NULL OR started_at < %(day)s::date + 1)
          ORDER BY started_at DESC LIMIT {RECENT_RUNS}) x) recent ON true
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(x.kind, to_jsonb(x) - 'kind') AS taken
    FROM (SELECT DISTINCT ON (kind) kind, run_seq, by, at, text, until_at FROM etl.act
          WHERE client_id = wanted.client_id AND kind IN ('acknowledge', 'snooze', 'note')
          ORDER BY kind, at DESC) x) taken ON true
"""  # noqa: S608 (constants only)

_DAYS = """
SELECT day::date AS day, COALESCE(sum(r.inserted), 0)::bigint AS inserted,
       COALESCE(sum(r.updated), 0)::bigint AS updated, COALESCE(sum(r.unchanged), 0)::bigint AS unchanged,
       COALESCE(sum(r.deleted), 0)::bigint AS deleted, COALESCE(sum(r.rejected), 0)::bigint AS rejected
FROM generate_series(%(since)s::date, %(until)s::date, interval '1 day') day
LEFT JOIN etl.run r ON r.started_at >= day AND r.started_at < day + interval '1 day'
    AND r.client_id = ANY (%(clients)s::text[]) AND NOT r.dry_run
GROUP BY 1 ORDER BY 1
"""


def newest_runs(url: str, client_ids: Sequence[str], day: date | None = None) -> list[DictRow]:
    """One row for each client, with nulls when it never ran: its newest run (up to the end of `day`,
    UTC) with its counts, its last success, its usual duration in s, and `recent`, oldest first:
    [run_id, status, started_at, read, duration_s] of its last 14 runs. `sent_at`: when the school put
    the delivery there that is loaded, or the same files again. `taken`: by kind of act
    (acknowledge, snooze, note) the last one: run_seq, by, at, text, until_at.
    `frozen`: the freeze that holds."""
    with connected(url) as connection:
        return _rows(connection, _NEWEST, {"clients": list(client_ids), "day": day})


def days(url: str, client_ids: Sequence[str], since: date, until: date) -> list[DictRow]:
    """What was done with records on each day (UTC) from `since` to `until`."""
    given = {"clients": list(client_ids), "since": since, "until": until}
    with connected(url) as connection:
        return _rows(connection, _DAYS, given)


def runs_of(
    url: str, client_id: str, before: datetime | None = None, limit: int = PAGE_RUNS
) -> list[DictRow]:
    """The client's runs with their counts, newest first, of those that started before `before`."""
    with connected(url) as connection:
        return _runs_of(connection, client_id, before, limit)


def _runs_of(
    connection: Connection, client_id: str, before: datetime | None, limit: int
) -> list[DictRow]:
    return _rows(
        connection,
        f"SELECT {_RUN} FROM etl.run r WHERE r.client_id = %(client)s "  # noqa: S608 (constants only)
        "AND (%(before)s::timestamptz IS NULL OR r.started_at < %(before)s) "
        "ORDER BY r.started_at DESC LIMIT %(limit)s",
        {"client": client_id, "before": before, "limit": limit},
    )


def client_history(url: str, client_id: str) -> dict[str, list[DictRow]]:
    """`runs` newest first with counts, `sent`: one row, when the loaded delivery was last sent, none
    before the first, `feeds` with their last delivery, `deliveries` with their files, `rejects` by day
    and code of the last 30 runs, `holds` that are open."""
    given = {"client": client_id, "runs": RECENT_RUNS * 2}
    queries = {
        "sent": """
            SELECT COALESCE(d.sent_at, d.received_at, s.loaded_at) AS sent_at FROM etl.client_state s
            LEFT JOIN etl.delivery d USING (client_id, delivery_seq) WHERE s.client_id = %(client)s""",
        "feeds": """
            SELECT f.feed, f.rows_read, d.delivered_on, d.received_at FROM etl.feed_state f
            LEFT JOIN etl.delivery d USING (client_id, delivery_seq)
            WHERE f.client_id = %(client)s ORDER BY f.feed""",
        "deliveries": """
            SELECT delivery_seq, delivery_id, delivered_on, received_at, files FROM etl.delivery
            WHERE client_id = %(client)s ORDER BY delivery_seq DESC LIMIT 14""",
        "rejects": """
            SELECT r.run_id, r.started_at, x.code, count(*) AS rows
            FROM (SELECT run_seq, run_id, started_at FROM etl.run
                  WHERE client_id = %(client)s AND NOT dry_run
                  ORDER BY started_at DESC LIMIT %(runs)s) r
            JOIN etl.rejected_row x USING (run_seq)
            GROUP BY 1, 2, 3 ORDER BY 2, 3""",
        "holds": f"""
            SELECT {_HOLD} FROM etl.hold h JOIN etl.run r USING (run_seq)
            WHERE h.client_id = %(client)s AND h.status = 'open' AND h.lapses_at > now()
            ORDER BY h.opened_at DESC""",  # noqa: S608 (a constant)
    }
    with connected(url) as connection:
        found = {name: _rows(connection, query, given) for name, query in queries.items()}
        return {"runs": _runs_of(connection, client_id, None, PAGE_RUNS), **found}


def run_report(url: str, client_id: str, run_id: str) -> dict[str, Any] | None:
    """One run of a client by Airflow's run id, or None.

    The `run` with its delivery and the usual duration in s of the client's loads, its `stages`, its
    `counts` by feed and entity (of a plan that was not carried out: `is_plan`), its `hold`, its
    `messages` in order, its `rejects` by file, column and code with
    at most 50 lines, `changed_columns` by entity, and `samples`: a few changed rows, keys masked.
    """
    with connected(url) as connection:
        found = _rows(
            connection,
            f"""SELECT {_RUN}, d.delivery_id, d.delivered_on, d.received_at, d.files,
                   (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY s) FROM (
                        SELECT extract(epoch FROM x.ended_at - x.started_at)::float8 AS s FROM etl.run x
                        WHERE x.client_id = r.client_id AND x.run_seq <> r.run_seq
                          AND x.status IN ('succeeded', 'succeeded_with_rejects') AND NOT x.dry_run
                        ORDER BY x.started_at DESC LIMIT {RECENT_RUNS}) lasting) AS usual_duration_s,
                   COALESCE(l.samples, p.plan -> 'samples', h.plan -> 'samples', '[]') AS samples,
                   COALESCE(p.plan -> 'counts', h.plan -> 'counts', '[]') AS planned
                FROM etl.run r
                LEFT JOIN etl.delivery d USING (client_id, delivery_seq)
                LEFT JOIN etl.load l USING (run_seq)
                LEFT JOIN etl.dry_run p USING (run_seq)
                LEFT JOIN LATERAL (SELECT plan FROM etl.hold WHERE run_seq = r.run_seq
                                   ORDER BY opened_at DESC LIMIT 1) h ON true
                WHERE r.client_id = %(client)s AND r.dag_id = %(client)s AND r.run_id = %(run_id)s""",  # noqa: S608 (constants only)
            {"client": client_id, "run_id": run_id},
        )
        if not found:
            return None
        run = found[0]
        of_run = {"run": run["run_seq"]}
        parts = {name: _rows(connection, query, of_run) for name, query in _OF_RUN.items()}
        planned, holds = run.pop("planned"), parts.pop("holds")
        return {
            "samples": run.pop("samples"),
            "run": run,
            "hold": holds[0] if holds else None,
            "is_plan": not parts["counts"] and bool(planned),
            **parts,
            "counts": parts["counts"] or planned,
        }


_OF_RUN = {
    "stages": """SELECT stage, status, started_at, ended_at, what, rows, rows_total FROM etl.run_stage
                 WHERE run_seq = %(run)s ORDER BY started_at""",
    "counts": "SELECT * FROM etl.run_count WHERE run_seq = %(run)s ORDER BY feed, entity",
    "holds": f"""SELECT {_HOLD} FROM etl.hold h JOIN etl.run r USING (run_seq)
                 WHERE h.run_seq = %(run)s ORDER BY h.hold_seq DESC LIMIT 1""",  # noqa: S608 (a constant)
    "messages": """SELECT at, stage, code, text, place FROM etl.run_message WHERE run_seq = %(run)s
                   ORDER BY message_seq""",
    "rejects": f"""
        SELECT file, "column", code, count(*) AS rows,
               (array_agg(line ORDER BY line))[:{REJECT_LINES}] AS lines
        FROM etl.rejected_row WHERE run_seq = %(run)s
        GROUP BY file, "column", code ORDER BY count(*) DESC, 1, 2, 3""",  # noqa: S608 (constants only)
    "changed_columns": """SELECT entity, "column", rows FROM etl.run_column WHERE run_seq = %(run)s
                          ORDER BY entity, rows DESC, "column\"""",
}


def rejected_rows(url: str, client_id: str, run_id: str) -> list[tuple[Any, ...]]:
    """The run's rejected rows, for those who may: file, line, key, column, code, in that order."""
    with connected(url) as connection:
        return connection.execute(
            'SELECT DISTINCT x.file, x.line, x.key, x."column", x.code FROM etl.rejected_row x '
            "JOIN etl.run r USING (run_seq) WHERE r.client_id = %s AND r.dag_id = %s AND r.run_id = %s "
            "ORDER BY 1, 2, 4, 5",
            (client_id, client_id, run_id),
        ).fetchall()


def _rows(connection: Connection, query: str, given: dict[str, Any]) -> list[DictRow]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), given).fetchall()
