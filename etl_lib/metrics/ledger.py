"""Writes what is recorded about runs, and answers what has been loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg.types.json import Jsonb

from etl_lib.database import Connection, connected
from etl_lib.errors import Fault
from etl_lib.manifest import Counts, Delivery, Loaded
from etl_lib.metrics.snapshots import forget_snapshots
from etl_lib.metrics.status import RunStatus
from etl_lib.run import Progress, Run

RejectedRow = tuple[str, int, str | None, str | None, str]  # manifest.REJECT_COLUMNS
_COUNTS = tuple(Counts.model_fields)
_OF_DAY = "client_id = %(client)s AND delivery_seq BETWEEN %(first)s AND %(first)s + 999999"
_NEXT_SEQ = f"SELECT COALESCE(max(delivery_seq), %(first)s) + 1 FROM etl.delivery WHERE {_OF_DAY}"  # noqa: S608 (constants only)
_REGISTER = (
    "INSERT INTO etl.delivery (client_id, delivery_seq, delivery_id, delivered_on, received_at) "
    f"SELECT %(client)s, ({_NEXT_SEQ}), %(id)s, %(day)s, %(at)s RETURNING delivery_seq"
)


@dataclass(frozen=True)
class CurrentDelivery:
    """The delivery that the target shows now."""

    delivery_id: str
    delivery_seq: int
    row_contract: str
    delivered_on: date
    content_all_full: bool
    loaded_at: datetime
    sent_at: datetime  # the time of its newest file, the last time that it was put there


@dataclass(frozen=True)
class Ledger:
    """The record of runs in the ETL database at `url`; each call is a transaction of its own.

    All methods raise TryAgain when the database does not answer.
    """

    url: str

    # --- deliveries: asked by extract -------------------------------------------------------------

    def current(self, client_id: str) -> CurrentDelivery | None:
        """The client's last loaded delivery, or None before the first."""
        with connected(self.url) as connection:
            return current_delivery(connection, client_id)

    def register(
        self, run: Run, delivery_id: str, delivered_on: date, received_at: datetime
    ) -> int:
        """The delivery's place in the order of deliveries: yyyymmdd * 1,000,000 + n.

        The same run, and a run that finds the newest registered delivery again, gets the same
        number; an older delivery that arrives again is a new one (A, B, A are three). A school's test
        gets the number that a delivery would get now, and is not registered.
        """
        with connected(self.url) as connection:
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtext(%s))", (f"delivery {run.client_id}",)
            )
            newest = connection.execute(
                "SELECT delivery_id, delivery_seq FROM etl.delivery WHERE client_id = %s "
                "ORDER BY registered_at DESC, delivery_seq DESC LIMIT 1",
                (run.client_id,),
            ).fetchone()
            first = int(f"{delivered_on:%Y%m%d}") * 1_000_000
            if run.kind == "test":
                row = connection.execute(
                    _NEXT_SEQ, {"client": run.client_id, "first": first}
                ).fetchone()
                assert row is not None
                return int(row[0])
            known = connection.execute(
                "SELECT d.delivery_seq FROM etl.run r JOIN etl.delivery d USING (client_id, delivery_seq) "
                "WHERE r.dag_id = %s AND r.run_id = %s AND d.delivery_id = %s",
                (run.dag_id, run.run_id, delivery_id),
            ).fetchone()
            if known:
                delivery_seq = int(known[0])
            elif newest and newest[0] == delivery_id:
                delivery_seq = int(newest[1])
            else:
                row = connection.execute(
                    _REGISTER,
                    {"client": run.client_id, "first": first, "id": delivery_id,
                     "day": delivered_on, "at": received_at},
                ).fetchone()  # fmt: skip
                assert row is not None
                delivery_seq = int(row[0])
            connection.execute(
                "UPDATE etl.run SET delivery_seq = %s WHERE dag_id = %s AND run_id = %s",
                (delivery_seq, run.dag_id, run.run_id),
            )
        return delivery_seq

    def describe(self, delivery: Delivery) -> None:
        """Record the delivery's files (name, size_bytes, sha256, modified_at), and when they were sent."""
        files = [json.loads(file.model_dump_json()) for file in delivery.files]
        with connected(self.url) as connection:
            connection.execute(
                "UPDATE etl.delivery SET files = %s, sent_at = GREATEST(sent_at, received_at, %s) "
                "WHERE client_id = %s AND delivery_seq = %s",
                (Jsonb(files), delivery.received_at, delivery.client_id, delivery.delivery_seq),
            )

    def rows_of_last(self, client_id: str) -> dict[str, int]:
        """Rows read of each feed in its last loaded delivery."""
        with connected(self.url) as connection:
            rows = connection.execute(
                "SELECT feed, rows_read FROM etl.feed_state WHERE client_id = %s", (client_id,)
            ).fetchall()
        return dict(rows)

    # --- runs: told by the edges --------------------------------------------------------------------

    def begin_run(self, run: Run, environment: str) -> int:
        """The run's number; a retry or a cleared task finds the run it belongs to."""
        with connected(self.url) as connection:
            return begin_run(connection, run, environment)

    def wait(self, run: Run, stage: str, sentence: str, expected_at: datetime | None) -> None:
        """The run waits for files, in `stage`, as `sentence` says; it is late after `expected_at`."""
        with connected(self.url) as connection:
            connection.execute(
                "WITH waiting AS (UPDATE etl.run SET status = %(status)s, sentence = %(said)s, "
                "expected_at = %(expected)s WHERE dag_id = %(dag)s AND run_id = %(run)s RETURNING run_seq) "
                "UPDATE etl.run_stage s SET status = %(status)s, ended_at = NULL FROM waiting w "
                "WHERE s.run_seq = w.run_seq AND s.stage = %(stage)s",
                {"status": RunStatus.WAITING, "dag": run.dag_id, "run": run.run_id, "stage": stage,
                 "said": sentence, "expected": expected_at},
            )  # fmt: skip

    def begin_stage(self, run: Run, stage: str) -> None:
        """A stage starts (again), and with it a run that had ended."""
        with connected(self.url) as connection:
            connection.execute(
                "UPDATE etl.run SET status = %s, ended_at = NULL WHERE dag_id = %s AND run_id = %s "
                "AND (ended_at IS NOT NULL OR status = %s)",
                (RunStatus.RUNNING, run.dag_id, run.run_id, RunStatus.AWAITING_APPROVAL),
            )
            connection.execute(
                "INSERT INTO etl.run_stage (run_seq, stage, status) SELECT run_seq, %s, %s FROM etl.run "
                "WHERE dag_id = %s AND run_id = %s ON CONFLICT (run_seq, stage) DO UPDATE SET "
                "status = excluded.status, started_at = clock_timestamp(), ended_at = NULL, rows = 0",
                (stage, RunStatus.RUNNING, run.dag_id, run.run_id),
            )

    def end_stage(self, run: Run, stage: str, status: RunStatus) -> None:
        """A stage has ended as `status`."""
        with connected(self.url) as connection:
            connection.execute(
                "UPDATE etl.run_stage s SET status = %s, ended_at = clock_timestamp() FROM etl.run r "
                "WHERE r.run_seq = s.run_seq AND r.dag_id = %s AND r.run_id = %s AND s.stage = %s",
                (status, run.dag_id, run.run_id, stage),
            )

    def progress(self, run: Run, progress: Progress) -> None:
        """How far a stage is; callers decide how often."""
        with connected(self.url) as connection:
            connection.execute(
                "UPDATE etl.run_stage s SET what = %s, rows = %s, rows_total = %s FROM etl.run r "
                "WHERE r.run_seq = s.run_seq AND r.dag_id = %s AND r.run_id = %s AND s.stage = %s",
                (progress.what, progress.rows, progress.rows_total,
                 run.dag_id, run.run_id, progress.stage),
            )  # fmt: skip

    def say(self, run: Run, stage: str, faults: Iterable[Fault]) -> None:
        """Record messages of a stage, in order, replacing those of an earlier try of it."""
        with connected(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM etl.run_message m USING etl.run r WHERE r.run_seq = m.run_seq "
                "AND r.dag_id = %s AND r.run_id = %s AND m.stage = %s",
                (run.dag_id, run.run_id, stage),
            )
            cursor.executemany(
                "INSERT INTO etl.run_message (run_seq, stage, code, text, place) "
                "SELECT run_seq, %s, %s, %s, %s FROM etl.run WHERE dag_id = %s AND run_id = %s",
                [
                    (stage, f.code, f"{f.text} {f.hint}".strip(), f.where, run.dag_id, run.run_id)
                    for f in faults
                ],
            )

    def stopped_by(self, run: Run) -> tuple[Fault, ...]:
        """The messages of the stage that stopped the run; empty when it was loaded.

        A stage that has begun and never ended was stopped from outside: that is recorded, and said.
        """
        with connected(self.url) as connection:
            if recorded_load(connection, run):
                return ()
            stage = connection.execute(
                "SELECT s.stage, s.status FROM etl.run_stage s JOIN etl.run r USING (run_seq) "
                "WHERE r.dag_id = %s AND r.run_id = %s ORDER BY s.started_at DESC LIMIT 1",
                (run.dag_id, run.run_id),
            ).fetchone()
            name = stage[0] if stage else "extract"
            rows = connection.execute(
                "SELECT m.code, m.text, m.place FROM etl.run_message m JOIN etl.run r USING (run_seq) "
                "WHERE r.dag_id = %s AND r.run_id = %s AND m.stage = %s ORDER BY message_seq",
                (run.dag_id, run.run_id, name),
            ).fetchall()
        if stage is None:
            fault = Fault("RUN_NEVER_BEGAN", "The run ended before its first stage began.")
        elif stage[1] in (RunStatus.RUNNING, RunStatus.WAITING):
            what = "while it waited for files" if stage[1] == RunStatus.WAITING else f"in {name}"
            fault = Fault("STAGE_STOPPED", f"The run was ended from outside {what}.")
        elif not rows and not run.wishes.dry_run:
            fault = Fault("STAGE_STOPPED", f"The run was ended from outside after {name}.")
        else:
            return tuple(Fault(code, text, place) for code, text, place in rows)
        self.say(run, name, [fault])
        self.end_stage(run, name, RunStatus.FAILED)
        return (fault,)

    def wait_for_approval(self, run: Run, sentence: str) -> None:
        """The run waits for a person, as `sentence` says."""
        with connected(self.url) as connection:
            connection.execute(
                "UPDATE etl.run SET status = %s, sentence = %s WHERE dag_id = %s AND run_id = %s",
                (RunStatus.AWAITING_APPROVAL, sentence, run.dag_id, run.run_id),
            )

    def end_run(self, run: Run, status: RunStatus, sentence: str) -> None:
        """The run has ended; `sentence` is what a person would say of it."""
        with connected(self.url) as connection:
            connection.execute(
                "UPDATE etl.run SET status = %s, sentence = %s, ended_at = clock_timestamp() "
                "WHERE dag_id = %s AND run_id = %s",
                (status, sentence, run.dag_id, run.run_id),
            )

    def record_rejects(
        self, run: Run, rejects: Mapping[tuple[str, str | None], Sequence[RejectedRow]]
    ) -> None:
        """Put the run's rejected rows, by (feed, entity or None for all), in the guarded table.

        What an earlier try of the run put there is replaced.
        """
        with connected(self.url) as connection:
            run_seq = run_seq_of(connection, run)
            connection.execute("DELETE FROM etl.rejected_row WHERE run_seq = %s", (run_seq,))
            with connection.cursor().copy(
                'COPY etl.rejected_row (run_seq, client_id, feed, entity, file, line, key, "column", code)'
                " FROM STDIN"
            ) as copy:
                for (feed, entity), rows in rejects.items():
                    for row in rows:
                        copy.write_row((run_seq, run.client_id, feed, entity, *row))

    def loaded(self, run: Run) -> Loaded | None:
        """What the run has committed, or None when it has not."""
        with connected(self.url) as connection:
            return recorded_load(connection, run)


# --- inside the load's own transaction ------------------------------------------------------------------


def begin_run(connection: Connection, run: Run, environment: str) -> int:
    """See Ledger.begin_run; part of a transaction."""
    row = connection.execute(
        "INSERT INTO etl.run (client_id, dag_id, run_id, environment, kind, status, dry_run, started_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (dag_id, run_id) DO UPDATE SET "
        "status = CASE WHEN etl.run.run_seq IN (SELECT run_seq FROM etl.load) "
        "THEN etl.run.status ELSE excluded.status END, ended_at = NULL, "
        "sentence = CASE etl.run.status WHEN 'waiting' THEN '' ELSE etl.run.sentence END, "
        "kind = excluded.kind, dry_run = excluded.dry_run RETURNING run_seq",
        (run.client_id, run.dag_id, run.run_id, environment, run.kind, RunStatus.RUNNING,
         run.wishes.dry_run, run.started_at),
    ).fetchone()  # fmt: skip
    assert row is not None
    return int(row[0])


def run_seq_of(connection: Connection, run: Run) -> int:
    """The number of a run that has begun; raises LookupError for any other."""
    row = connection.execute(
        "SELECT run_seq FROM etl.run WHERE dag_id = %s AND run_id = %s", (run.dag_id, run.run_id)
    ).fetchone()
    if row is None:
        raise LookupError(f"the run {run.run_id} of {run.dag_id} has not begun")
    return int(row[0])


def next_change(connection: Connection) -> int:
    """The next number in the order of all changes; readers follow it."""
    row = connection.execute("SELECT nextval('etl.change_seq')").fetchone()
    assert row is not None
    return int(row[0])


def current_delivery(connection: Connection, client_id: str) -> CurrentDelivery | None:
    """The client's last loaded delivery, or None before the first."""
    row = connection.execute(
        "SELECT s.delivery_id, delivery_seq, row_contract, s.delivered_on, content_all_full, loaded_at, "
        "COALESCE(d.sent_at, d.received_at, loaded_at) "
        "FROM etl.client_state s LEFT JOIN etl.delivery d USING (client_id, delivery_seq) WHERE client_id = %s",
        (client_id,),
    ).fetchone()
    return CurrentDelivery(*row) if row else None


def recorded_load(connection: Connection, run: Run) -> Loaded | None:
    """The counts that the run has committed, or None."""
    load = connection.execute(
        "SELECT l.status, l.run_seq, l.said, l.undone_by FROM etl.load l JOIN etl.run r USING (run_seq) "
        "WHERE r.dag_id = %s AND r.run_id = %s",
        (run.dag_id, run.run_id),
    ).fetchone()
    if load is None:
        return None
    status, run_seq, said, undone_by = load
    if undone_by is not None:
        status, said = RunStatus.UNDONE, ""
    counts = recorded_counts(connection, run_seq)
    return Loaded(status=status, counts=counts, said=said, repeated=True)


def recorded_counts(connection: Connection, run_seq: int) -> tuple[Counts, ...]:
    """The counts that the run has committed; empty when it has not."""
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        rows = cursor.execute(
            f"SELECT {', '.join(_COUNTS)} FROM etl.run_count WHERE run_seq = %s",  # noqa: S608
            (run_seq,),
        ).fetchall()
    return tuple(Counts(**row) for row in rows)


def record_load(
    connection: Connection, run: Run, run_seq: int, change_seq: int, delivery: Delivery,
    row_contract: str, content_all_full: bool, loaded: Loaded, samples: Sequence[Mapping[str, object]],
) -> None:  # fmt: skip
    """Write ledger, counts and state; part of the transaction that changed the data.

    Rejected rows alone are no delivery: what the target shows, and what is new, stays as it is.
    """
    forget_snapshots(connection, run.client_id)  # a load that keeps some writes them after this
    connection.execute(
        "INSERT INTO etl.load (run_seq, client_id, delivery_seq, delivery_id, row_contract, change_seq, "
        "status, samples, content_all_full, only_rejects) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (run_seq, run.client_id, delivery.delivery_seq, delivery.delivery_id, row_contract,
         change_seq, loaded.status, Jsonb(list(samples)), content_all_full, run.wishes.only_rejects),
    )  # fmt: skip
    write_counts(connection, run_seq, loaded.counts)
    write_columns(connection, run_seq)
    connection.execute(
        "UPDATE etl.run SET status = %s WHERE run_seq = %s", (loaded.status, run_seq)
    )
    if run.wishes.only_rejects:
        return
    connection.execute(
        "INSERT INTO etl.client_state "
        "(client_id, delivery_seq, delivery_id, delivered_on, row_contract, content_all_full) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (client_id) DO UPDATE SET "
        "delivery_seq = excluded.delivery_seq, delivery_id = excluded.delivery_id, "
        "delivered_on = excluded.delivered_on, row_contract = excluded.row_contract, "
        "content_all_full = excluded.content_all_full, loaded_at = clock_timestamp()",
        (run.client_id, delivery.delivery_seq, delivery.delivery_id, delivery.delivered_on,
         row_contract, content_all_full),
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO etl.feed_state (client_id, feed, delivery_seq, rows_read) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (client_id, feed) DO UPDATE SET delivery_seq = excluded.delivery_seq, "
            "rows_read = excluded.rows_read",
            list(
                {
                    c.feed: (run.client_id, c.feed, delivery.delivery_seq, c.read)
                    for c in loaded.counts
                }.values()
            ),
        )


def write_columns(connection: Connection, run_seq: int) -> None:
    """How many rows the run's history says differ in which column."""
    connection.execute(
        'INSERT INTO etl.run_column (run_seq, entity, "column", rows) '
        "SELECT run_seq, entity, name, count(*) FROM etl.history, unnest(columns) AS name "
        "WHERE run_seq = %s AND action IN ('update', 'restore') GROUP BY 1, 2, 3",
        (run_seq,),
    )


def write_counts(connection: Connection, run_seq: int, counts: Iterable[Counts]) -> None:
    """The run's counts; the table's own constraint refuses any that do not add up."""
    names = ", ".join(_COUNTS)
    places = ", ".join(f"%({name})s" for name in _COUNTS)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO etl.run_count (run_seq, {names}) VALUES (%(run_seq)s, {places})",  # noqa: S608
            [{"run_seq": run_seq, **count.model_dump()} for count in counts],
        )
        cursor.execute(
            "UPDATE etl.run SET (read, inserted, updated, unchanged, deleted, rejected, duplicates, filtered) = ("
            "SELECT sum(read), sum(inserted), sum(updated), sum(unchanged), "
            "sum(deleted_by_row + deleted_by_absence), sum(rejected), sum(duplicates), sum(filtered) "
            "FROM etl.run_count c WHERE c.run_seq = %(run)s) WHERE run_seq = %(run)s",
            {"run": run_seq},
        )
