"""What people do about a client: acknowledge, snooze, run again, decide, freeze, look up; all recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum

from psycopg.rows import DictRow, dict_row

from etl_lib.database import connected
from etl_lib.run import Run


class Act(StrEnum):
    """Kinds of acts; the first three are a person's own words, the others are recorded for him."""

    ACKNOWLEDGE = "acknowledge"  # "I am on it", about the newest run
    NOTE = "note"
    SNOOZE = "snooze"  # nobody is needed until a time
    UNDO = "undo"
    CHECK_NOW = "check_now"
    TRACE = "trace"
    DOWNLOAD = "download"
    APPROVE = "approve"
    REFUSE = "refuse"
    RERUN = "rerun"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    PROVISION = "provision"  # its SFTP user or keys were made or changed
    REVOKE = "revoke"
    RETIRE = "retire"  # the client has left; `text` says what was kept or erased, in numbers
    MAIL = "mail"  # the school's contacts were told of a report; recorded by the program itself


def record_act(
    url: str, client_id: str, kind: Act, by: str, text: str = "", until_at: datetime | None = None,
    run_id: str | None = None,
) -> None:  # fmt: skip
    """Record that the user `by` did this; about the run `run_id`, or else about the newest one.

    `text` never holds a pupil's value: a key stands in it masked.
    """
    with connected(url) as connection:
        connection.execute(
            "INSERT INTO etl.act (client_id, run_seq, kind, by, text, until_at) VALUES (%(client)s, "
            "(SELECT run_seq FROM etl.run WHERE client_id = %(client)s "
            "AND (%(run_id)s::text IS NULL AND kind <> 'test' OR run_id = %(run_id)s) "
            "ORDER BY started_at DESC LIMIT 1), "
            "%(kind)s, %(by)s, %(text)s, %(until)s)",
            {"client": client_id, "run_id": run_id, "kind": kind, "by": by, "text": text,
             "until": until_at},
        )  # fmt: skip


@contextmanager
def doing_once(url: str, run: Run, kind: Act, about: str, text: str) -> Iterator[bool]:
    """Record what the block does for the run's client, when it ends well; gives whether it is to be done.

    Not when it was recorded before, by any run: `about` says what. Two that do the same at once wait
    for each other. What the block raises leaves no record.
    """
    with connected(url) as connection:
        new = connection.execute(
            "INSERT INTO etl.act (client_id, run_seq, kind, by, text, about) SELECT client_id, run_seq, "
            "%s, 'etl', %s, %s FROM etl.run WHERE dag_id = %s AND run_id = %s "
            "ON CONFLICT (client_id, about) DO NOTHING RETURNING act_seq",
            (kind, text, about, run.dag_id, run.run_id),
        ).fetchone()
        yield new is not None


def acts_of(url: str, client_id: str, limit: int = 50) -> list[DictRow]:
    """The client's newest acts first: kind, by, at, text, until_at, and the run_id they are about."""
    with connected(url) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT a.kind, a.by, a.at, a.text, a.until_at, r.run_id FROM etl.act a "
            "LEFT JOIN etl.run r USING (run_seq) WHERE a.client_id = %s ORDER BY a.at DESC LIMIT %s",
            (client_id, limit),
        ).fetchall()
