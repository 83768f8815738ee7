"""Makes the tables of the schema `etl`, and the months of the history; drops months that have expired."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from psycopg import sql

from etl_lib.database import Connection, connected
from etl_lib.errors import TryAgain

SCHEMA_FILE = Path(__file__).with_name("schema.sql")
_DROP_WAIT = "3s"
_MIGRATION_LOCK = 0x45544C  # any fixed number: two migrations at once would trip over each other


def lock_migration(connection: Connection) -> None:
    """Wait until no other migration runs, and keep others out until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))


def migrate_metrics(connection: Connection) -> None:
    """Create what is missing; nothing happens to tables that are there. Part of a transaction."""
    lock_migration(connection)
    connection.execute("SET LOCAL client_min_messages = warning")
    connection.execute(SCHEMA_FILE.read_bytes())
    ensure_history_partition(connection)


def ensure_history_partition(connection: Connection, day: date | None = None) -> None:
    """Create the history partitions of the month of `day` (today in UTC when None) and of the next.

    The next one is made ahead: a load that begins before midnight may end after it.
    """
    first = _first_of_month(day or _today(connection))
    for month in (first, _following(first)):
        name = f"history_{month:%Y_%m}"
        if connection.execute("SELECT to_regclass(%s)", (f"etl.{name}",)).fetchone() != (None,):
            continue
        connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} PARTITION OF etl.history FOR VALUES FROM ({}) TO ({})"
            ).format(
                sql.Identifier("etl", name),
                *(sql.Literal(f"{bound} 00:00:00+00") for bound in (month, _following(month))),
            )
        )


def has_history_of(connection: Connection, day: date) -> bool:
    """Whether the before-images of `day` (UTC) are still kept."""
    name = f"etl.history_{day:%Y_%m}"
    return connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() != (None,)


def expire_history(url: str, days: int, today: date | None = None) -> tuple[str, ...]:
    """Drop each month of before-images that ended more than `days` days ago; gives the months' names.

    A drop reads no row. It waits 3 s for loads at work and leaves what it cannot get for the next time.
    """
    dropped = []
    with connected(url) as connection:
        before = (today or _today(connection)) - timedelta(days=days)
        names = connection.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = to_regclass('etl.history') ORDER BY 1"
        ).fetchall()
    for (name,) in names:
        year, _, month = str(name).removeprefix("history_").partition("_")
        first = date(int(year), int(month), 1)
        if _following(first) > before:
            continue
        if not _drop(url, name):
            break
        dropped.append(f"{first:%Y-%m}")
    return tuple(dropped)


def _drop(url: str, name: str) -> bool:
    try:
        with connected(url) as connection:
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(_DROP_WAIT))
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("etl", name)))
    except TryAgain as error:
        if error.faults[0].code != "LOAD_BUSY":
            raise
        return False
    return True


def _today(connection: Connection) -> date:
    row = connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone()
    assert row is not None
    day: date = row[0]
    return day


def _first_of_month(day: date) -> date:
    return day.replace(day=1)


def _following(first: date) -> date:
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)
