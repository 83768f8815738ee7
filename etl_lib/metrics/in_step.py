"""Keeps the record in step with Airflow: runs that never spoke, or whose last word was lost, are ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import dict_row

from etl_lib.database import Connection, connected
from etl_lib.errors import Fault
from etl_lib.metrics.ledger import recorded_counts
from etl_lib.metrics.status import RunStatus
from etl_lib.metrics.words import sentence

RunKey = tuple[str, str]  # dag_id, run_id


@dataclass(frozen=True)
class AirflowRun:
    """A run as Airflow knows it; `ended_at` None: at work. `why`: Airflow's word for its end."""

    dag_id: str
    run_id: str
    started_at: datetime
    ended_at: datetime | None = None
    why: str = ""


# Runs that Airflow does not know as runs of the client's DAG: of `etl run`, the weekly reconcile, schools' tests.
_OWN = "run_id ~ '^(cli|reconcile|test)__'"


def open_runs(url: str) -> list[RunKey]:
    """Runs of Airflow that the record shows as not ended."""
    with connected(url) as connection:
        return connection.execute(
            f"SELECT dag_id, run_id FROM etl.run WHERE ended_at IS NULL AND NOT {_OWN}"  # noqa: S608
        ).fetchall()


def lost_runs_of_the_cli(url: str) -> list[AirflowRun]:
    """Runs of `etl run` that began half a day ago and never ended: their process is gone."""
    with connected(url) as connection:
        rows = connection.execute(
            "SELECT dag_id, run_id, started_at, now() FROM etl.run WHERE ended_at IS NULL "  # noqa: S608
            f"AND {_OWN} AND started_at < now() - interval '12 hours'"
        ).fetchall()
    return [AirflowRun(*row) for row in rows]


def bring_in_step(url: str, environment: str, runs: Sequence[AirflowRun]) -> tuple[RunKey, ...]:
    """Record runs that are at work, and end those that Airflow has ended; gives the ended ones.

    A run that has committed its load keeps the status of the load; any other is failed, with what is
    known of the reason. A run whose end is recorded is left alone.
    """
    settled = []
    with connected(url) as connection:
        for run in runs:
            connection.execute(
                "INSERT INTO etl.run (client_id, dag_id, run_id, environment, status, started_at) "
                "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (dag_id, run_id) DO NOTHING",
                (run.dag_id, run.dag_id, run.run_id, environment, RunStatus.RUNNING, run.started_at),
            )  # fmt: skip
            if run.ended_at and _end(connection, run):
                settled.append((run.dag_id, run.run_id))
    return tuple(settled)


def _end(connection: Connection, run: AirflowRun) -> bool:
    """End one run, unless its end is recorded already."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "SELECT r.run_seq, l.status AS loaded, s.stage FROM etl.run r LEFT JOIN etl.load l USING (run_seq) "
            "LEFT JOIN LATERAL (SELECT stage FROM etl.run_stage WHERE run_seq = r.run_seq "
            "ORDER BY started_at DESC LIMIT 1) s ON true "
            "WHERE r.dag_id = %s AND r.run_id = %s AND r.ended_at IS NULL FOR UPDATE OF r",
            (run.dag_id, run.run_id),
        ).fetchone()
    if row is None:
        return False
    fault = _reason(run, row["loaded"] is not None, row["stage"])
    status = RunStatus(row["loaded"]) if row["loaded"] else RunStatus.FAILED
    counts = recorded_counts(connection, row["run_seq"])
    connection.execute(
        "UPDATE etl.run SET status = %s, sentence = %s, ended_at = %s WHERE run_seq = %s",
        (status, sentence(status, counts, [fault]), run.ended_at, row["run_seq"]),
    )
    connection.execute(
        "UPDATE etl.run_stage SET status = %s, ended_at = %s WHERE run_seq = %s AND ended_at IS NULL",
        (RunStatus.FAILED, run.ended_at, row["run_seq"]),
    )
    connection.execute(
        "UPDATE etl.hold SET status = 'ended', decided_at = clock_timestamp() "
        "WHERE run_seq = %s AND status = 'open'",
        (row["run_seq"],),
    )
    connection.execute(
        "INSERT INTO etl.run_message (run_seq, stage, code, text) VALUES (%s, %s, %s, %s)",
        (row["run_seq"], row["stage"] or "extract", fault.code, fault.text),
    )
    return True


def _reason(run: AirflowRun, is_loaded: bool, stage: str | None) -> Fault:
    if is_loaded:
        return Fault("REPORT_LOST", "The run was loaded and ended before its report was written.")
    if run.why == "timed_out":
        return Fault("RUN_TIMED_OUT", f"It was in {stage or 'its first task'}.")
    if stage is None:
        return Fault("RUN_NEVER_BEGAN", "No task of the run has recorded anything.")
    return Fault("STAGE_STOPPED", f"The process of {stage} was ended from outside.")
