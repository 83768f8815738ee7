"""Makes the tables of the schema `etl`, and the month's partition of the history."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from psycopg import sql

from etl_lib.database import Connection

SCHEMA_FILE = Path(__file__).with_name("schema.sql")
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
    """Create the history partition of the month of `day` (the server's today when None)."""
    if day is None:
        row = connection.execute("SELECT current_date").fetchone()
        assert row is not None
        day = row[0]
        assert isinstance(day, date)
    first = day.replace(day=1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    name = f"history_{first:%Y_%m}"
    if connection.execute("SELECT to_regclass(%s)", (f"etl.{name}",)).fetchone() != (None,):
        return
    connection.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} PARTITION OF etl.history FOR VALUES FROM ({}) TO ({})"
        ).format(sql.Identifier("etl", name), sql.Literal(str(first)), sql.Literal(str(following)))
    )
