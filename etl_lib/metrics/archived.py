"""Finds deliveries that can be run again: of a run, or of a day; and the rows that a run has rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import class_row

from etl_lib.database import Connection, connected
from etl_lib.errors import FixTheSetup, NotReceived
from etl_lib.metrics.status import in_words
from etl_lib.metrics.undone import find_run

# Lines by feed, entity (None: of every entity of the feed) and file, as reports show it.
RejectedLines = Mapping[tuple[str, str | None, str], frozenset[int]]


@dataclass(frozen=True)
class KnownDelivery:
    """A delivery in the archive, and the run by which it is known: that named, or the last one of it.

    `is_loaded`: what the run has loaded stands; `is_whole`: and that was the delivery, not some of its rows.
    """

    client_id: str
    run_seq: int
    run_id: str
    delivery_seq: int
    delivery_id: str
    delivered_on: date
    is_loaded: bool
    is_whole: bool
    was_undone: bool


_KNOWN = (
    "SELECT r.client_id, r.run_seq, r.run_id, d.delivery_seq, d.delivery_id, d.delivered_on, "
    "l.run_seq IS NOT NULL AND l.undoes IS NULL AND l.undone_by IS NULL AS is_loaded, "
    "w.run_seq IS NOT NULL AS is_whole, l.undone_by IS NOT NULL AS was_undone FROM etl.run r "
    "JOIN etl.delivery d USING (client_id, delivery_seq) LEFT JOIN etl.load l USING (run_seq) "
    "LEFT JOIN etl.delivery_loaded w ON w.run_seq = r.run_seq "
)


def delivery_of_run(url: str, wanted: str, client_id: str | None = None) -> KnownDelivery:
    """What the run of this number or id had read.

    Raises FixTheSetup: RUN_NOT_FOUND, RUN_AMBIGUOUS, or REPLAY_IMPOSSIBLE when it never had a whole
    delivery.
    """
    with connected(url) as connection:
        run = find_run(connection, wanted, client_id)
        found = _known(connection, "WHERE r.run_seq = %(run)s", {"run": run.run_seq})
    if not found:
        text = (
            f"Run {run.run_seq} has no delivery of its own; its status is {in_words(run.status)}."
        )
        raise FixTheSetup.of("REPLAY_IMPOSSIBLE", text)
    return found[0]


def delivery_of_day(url: str, client_id: str, day: date, all_full: bool) -> KnownDelivery:
    """The delivery of a day: the last of which a load stands, or else the last that came.

    `all_full`: every delivery says everything. Raises NotReceived (NOTHING_ARCHIVED) when there is
    none, FixTheSetup (BACKFILL_AMBIGUOUS) when there are several of changes, which all count.
    """
    of_day = (
        "WHERE r.client_id = %(client)s AND d.delivered_on = %(day)s AND r.kind = 'load' AND NOT r.dry_run "
        "ORDER BY r.run_seq"
    )
    with connected(url) as connection:
        runs = _known(connection, of_day, {"client": client_id, "day": day})
    if not runs:
        text = f"No delivery of {day:%d %B %Y} is in the archive."
        raise NotReceived.of("NOTHING_ARCHIVED", text)
    by_delivery = {run.delivery_seq: run for run in runs}  # the last run of each
    loaded = {run.delivery_seq: run for run in runs if run.is_whole}
    if not all_full and len(by_delivery) > 1:
        numbers = ", ".join(str(by_delivery[seq].run_seq) for seq in sorted(by_delivery))
        text = f"{len(by_delivery)} deliveries of changes came on {day:%d %B %Y}: of the runs {numbers}."
        raise FixTheSetup.of("BACKFILL_AMBIGUOUS", text)
    choice = loaded or by_delivery
    return choice[max(choice)]


def delivery_shown(url: str, client_id: str) -> KnownDelivery | None:
    """The delivery that the client's tables show, by the last load of it that stands; None: nothing is loaded."""
    shown = (
        "JOIN etl.client_state s ON s.client_id = r.client_id AND s.delivery_seq = l.delivery_seq "
        "WHERE r.client_id = %(client)s AND l.undoes IS NULL AND l.undone_by IS NULL "
        "ORDER BY l.change_seq DESC LIMIT 1"
    )
    with connected(url) as connection:
        found = _known(connection, shown, {"client": client_id})
    return found[0] if found else None


def rejected_lines(url: str, known: KnownDelivery) -> RejectedLines:
    """The lines that the run has rejected.

    Raises FixTheSetup (REPLAY_IMPOSSIBLE) for a run whose load does not stand, or that has rejected nothing.
    """
    if not known.is_loaded:
        what = "was undone" if known.was_undone else "was not loaded"
        text = f"Run {known.run_seq} {what}, so all its rows are to be run again, not some."
        raise FixTheSetup.of("REPLAY_IMPOSSIBLE", text)
    with connected(url) as connection:
        rows = connection.execute(
            "SELECT feed, entity, file, array_agg(DISTINCT line) FROM etl.rejected_row "
            "WHERE run_seq = %s AND line > 0 GROUP BY 1, 2, 3",
            (known.run_seq,),
        ).fetchall()
    if not rows:
        raise FixTheSetup.of("REPLAY_IMPOSSIBLE", f"Run {known.run_seq} has rejected no row.")
    return {(feed, entity, file): frozenset(lines) for feed, entity, file, lines in rows}


def take_up(url: str, dag_id: str, run_id: str, delivery_seq: int) -> None:
    """The run runs this delivery again, which keeps its place in the order of deliveries."""
    with connected(url) as connection:
        connection.execute(
            "UPDATE etl.run SET delivery_seq = %s WHERE dag_id = %s AND run_id = %s",
            (delivery_seq, dag_id, run_id),
        )


def set_aside(url: str, dag_id: str, run_id: str, begun_at: datetime) -> bool:
    """Let the run begin anew: what it had loaded before `begun_at` goes on as a run with a name of its own.

    Airflow's backfill gives a date that it runs again the same run id. Gives whether there was such a load.
    """
    with connected(url) as connection:
        row = connection.execute(
            "UPDATE etl.run r SET run_id = r.run_id || '#' || r.run_seq FROM etl.load l "
            "WHERE l.run_seq = r.run_seq AND r.dag_id = %s AND r.run_id = %s AND l.loaded_at < %s "
            "RETURNING r.run_seq",
            (dag_id, run_id, begun_at),
        ).fetchone()
    return row is not None


def _known(connection: Connection, where: str, given: Mapping[str, object]) -> list[KnownDelivery]:
    with connection.cursor(row_factory=class_row(KnownDelivery)) as cursor:
        return cursor.execute((_KNOWN + where).encode(), given).fetchall()
