"""Which loads stand and which were undone, and what the target shows after one was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from psycopg.rows import class_row, dict_row

from etl_lib.database import Connection
from etl_lib.errors import CannotUndo, FixTheSetup
from etl_lib.metrics.ledger import run_seq_of
from etl_lib.metrics.schema import has_history_of
from etl_lib.metrics.snapshots import forget_snapshots
from etl_lib.metrics.status import RunStatus, in_words
from etl_lib.metrics.words import undone_sentence
from etl_lib.run import Run


@dataclass(frozen=True)
class KnownRun:
    """A run by its number; the fields from `change_seq` on are None when it has changed nothing.

    `undoes`: the run that it put back, when it is an undo. `undone_by`: the undo that put it back.
    """

    run_seq: int
    client_id: str
    run_id: str
    status: str
    change_seq: int | None
    changed_at: datetime | None
    delivery_seq: int | None
    delivery_id: str | None
    row_contract: str | None
    loaded_as: str | None
    undoes: int | None
    undone_by: int | None

    @property
    def shown(self) -> str:
        """How people are told of the run."""
        return f"run {self.run_seq} ({self.run_id})"


@dataclass(frozen=True)
class LaterLoad:
    """A load of the client after the one that is asked about."""

    run_seq: int
    undoes: int | None


def find_run(connection: Connection, wanted: str, client_id: str | None = None) -> KnownRun:
    """The run of this number or run id.

    A run id is one run only within a client: Airflow gives every client's scheduled run of an instant
    the same. Raises FixTheSetup: RUN_NOT_FOUND, or RUN_AMBIGUOUS, which names every run that may be meant.
    """
    wanted = wanted.strip()
    found = _runs(
        connection,
        "(r.run_id = %(wanted)s OR r.run_seq::text = %(wanted)s) "
        "AND (%(client)s::text IS NULL OR r.client_id = %(client)s)",
        {"wanted": wanted, "client": client_id},
    )
    if not found:
        of = f" of {client_id}" if client_id else ""
        raise FixTheSetup.of("RUN_NOT_FOUND", f"There is no run `{wanted}`{of}.")
    if len(found) > 1:
        raise ambiguous(wanted, [f"run {run.run_seq} of {run.client_id}" for run in found])
    return found[0]


def ambiguous(wanted: str, candidates: Sequence[str]) -> FixTheSetup:
    """The error that says what a word may mean, when it may mean more than one thing."""
    return FixTheSetup.of("RUN_AMBIGUOUS", f"`{wanted}` may be {' or '.join(candidates)}.")


def _runs(connection: Connection, where: str, given: Mapping[str, object]) -> list[KnownRun]:
    query = (
        "SELECT r.run_seq, r.client_id, r.run_id, r.status, l.change_seq, l.changed_at, l.delivery_seq, "
        "l.delivery_id, l.row_contract, l.status AS loaded_as, l.undoes, l.undone_by "
        "FROM etl.run r LEFT JOIN etl.load l USING (run_seq) "
    )
    with connection.cursor(row_factory=class_row(KnownRun)) as cursor:
        return cursor.execute(
            f"{query}WHERE {where} ORDER BY r.client_id, r.run_seq".encode(), given
        ).fetchall()


def must_be_undoable(connection: Connection, run: KnownRun) -> None:
    """Raise CannotUndo for a run that changed nothing, was undone already, or lies too far back."""
    if run.changed_at is None:
        text = f"{_capital(run.shown)} has changed nothing; its status is {in_words(run.status)}."
        raise CannotUndo.of("UNDO_NOTHING", text)
    if run.undone_by is not None:
        text = f"{_capital(run.shown)} was undone already, by run {run.undone_by}."
        raise CannotUndo.of("UNDO_NOTHING", text)
    day = run.changed_at.astimezone(UTC).date()
    if not has_history_of(connection, day):
        text = f"What rows were before {run.shown} of {day:%d %B %Y} is no longer kept."
        raise CannotUndo.of("UNDO_EXPIRED", text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def loads_after(connection: Connection, client_id: str, change_seq: int) -> list[LaterLoad]:
    """The client's loads and undoes after this one, oldest first."""
    with connection.cursor(row_factory=class_row(LaterLoad)) as cursor:
        return cursor.execute(
            "SELECT run_seq, undoes FROM etl.load WHERE client_id = %s AND change_seq > %s ORDER BY change_seq",
            (client_id, change_seq),
        ).fetchall()


def in_effect(later: Iterable[LaterLoad]) -> list[int]:
    """Those of `later`, oldest first, whose changes count: an undo and what it undid cancel out.

    An undo of something that lies before `later` counts as a change of its own.
    """
    undoes: dict[int, int | None] = {}
    found: dict[int, None] = {}

    def switch(run_seq: int, on: bool) -> None:
        undone = undoes[run_seq]
        if undone in undoes and undone is not None:
            switch(undone, not on)
        elif on:
            found[run_seq] = None
        else:
            found.pop(run_seq, None)

    for load in later:
        undoes[load.run_seq] = load.undoes
        switch(load.run_seq, True)
    return [run_seq for run_seq in undoes if run_seq in found]


def newest_first(connection: Connection, run_seqs: Iterable[int]) -> list[KnownRun]:
    """These runs, the one that changed something last first."""
    found = _runs(connection, "r.run_seq = ANY (%(runs)s)", {"runs": list(run_seqs)})
    return sorted(found, key=lambda run: run.change_seq or 0, reverse=True)


def mark_undone(connection: Connection, run_seq: int, by: int) -> None:
    """The run no longer stands; if it was an undo, what it had put back stands again."""
    connection.execute(
        "WITH undone AS (UPDATE etl.load l SET undone_by = %(by)s, said = r.sentence FROM etl.run r "
        "WHERE l.run_seq = %(run)s AND r.run_seq = l.run_seq RETURNING l.run_seq) "
        "UPDATE etl.run r SET status = %(undone)s, sentence = %(words)s FROM undone u "
        "WHERE r.run_seq = u.run_seq",
        {"run": run_seq, "by": by, "undone": RunStatus.UNDONE,
         "words": undone_sentence(by)},
    )  # fmt: skip
    if (undoes := _undoes(connection, run_seq)) is not None:
        _stand_again(connection, undoes)


def _stand_again(connection: Connection, run_seq: int) -> None:
    connection.execute(
        "WITH standing AS (UPDATE etl.load SET undone_by = NULL WHERE run_seq = %s "
        "RETURNING run_seq, status, said) "
        "UPDATE etl.run r SET status = s.status, sentence = s.said FROM standing s "
        "WHERE r.run_seq = s.run_seq",
        (run_seq,),
    )
    if (undoes := _undoes(connection, run_seq)) is not None:
        mark_undone(connection, undoes, run_seq)


def _undoes(connection: Connection, run_seq: int) -> int | None:
    row = connection.execute("SELECT undoes FROM etl.load WHERE run_seq = %s", (run_seq,))
    found = row.fetchone()
    return found[0] if found else None


def show_what_stands(connection: Connection, client_id: str) -> date | None:
    """Let the state say which delivery the target shows now, with change detection off; gives its day.

    That is the last load of a delivery that stands; None when there is none.
    """
    forget_snapshots(connection, client_id)
    given = {"client": client_id}
    connection.execute("DELETE FROM etl.client_state WHERE client_id = %(client)s", given)
    connection.execute("DELETE FROM etl.feed_state WHERE client_id = %(client)s", given)
    connection.execute(
        "INSERT INTO etl.feed_state (client_id, feed, delivery_seq, rows_read) "
        "SELECT DISTINCT ON (c.feed) l.client_id, c.feed, l.delivery_seq, c.read "
        "FROM etl.delivery_loaded l JOIN etl.run_count c USING (run_seq) "
        "WHERE l.client_id = %(client)s ORDER BY c.feed, l.change_seq DESC",
        given,
    )
    row = connection.execute(
        "INSERT INTO etl.client_state "
        "(client_id, delivery_seq, delivery_id, delivered_on, row_contract, content_all_full, loaded_at) "
        "SELECT client_id, delivery_seq, delivery_id, "
        "to_date((delivery_seq / 1000000)::text, 'YYYYMMDD'), '', content_all_full, loaded_at "
        "FROM etl.delivery_loaded WHERE client_id = %(client)s ORDER BY change_seq DESC LIMIT 1 RETURNING delivered_on",
        given,
    ).fetchone()
    return row[0] if row else None


def forget_changes(connection: Connection, client_id: str) -> None:
    """Switch change detection off for the client's next run: an identical delivery is loaded again."""
    forget_snapshots(connection, client_id)
    connection.execute(
        "UPDATE etl.client_state SET row_contract = '' WHERE client_id = %s", (client_id,)
    )


def write_differences(
    connection: Connection, run: Run, columns: Mapping[str, Mapping[str, int]]
) -> None:
    """How many rows of which entity a reconcile found edited in which column; replaces an earlier try's."""
    run_seq = run_seq_of(connection, run)
    connection.execute("DELETE FROM etl.run_column WHERE run_seq = %s", (run_seq,))
    with connection.cursor() as cursor:
        cursor.executemany(
            'INSERT INTO etl.run_column (run_seq, entity, "column", rows) VALUES (%s, %s, %s, %s)',
            [
                (run_seq, entity, name, rows)
                for entity, found in columns.items()
                for name, rows in found.items()
            ],
        )


def undone_delivery(connection: Connection, client_id: str, delivery_id: str) -> str | None:
    """Words for a person when the last load of this very delivery was undone, else None."""
    with connection.cursor(row_factory=dict_row) as cursor:
        last = cursor.execute(
            "SELECT l.run_seq, l.undone_by, u.started_at FROM etl.load l "
            "LEFT JOIN etl.run u ON u.run_seq = l.undone_by "
            "WHERE l.client_id = %s AND l.delivery_id = %s AND l.undoes IS NULL AND NOT l.only_rejects "
            "ORDER BY l.change_seq DESC LIMIT 1",
            (client_id, delivery_id),
        ).fetchone()
    if last is None or last["undone_by"] is None:
        return None
    return (
        f"These very files were loaded by run {last['run_seq']} and undone on "
        f"{last['started_at'].astimezone(UTC):%d %B %Y} by run {last['undone_by']}."
    )
