"""Which rows the client's last load has left as they are: where its snapshots lie, in the load's transaction."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg.rows import class_row

from etl_lib.database import Connection, connected
from etl_lib.manifest import Snapshot


def last_snapshots(url: str, client_id: str) -> list[Snapshot]:
    """The snapshots of the client's last load; none when rows must not be compared."""
    with connected(url) as connection:
        return snapshots_of(connection, client_id)


def snapshots_of(connection: Connection, client_id: str) -> list[Snapshot]:
    """See last_snapshots; part of a transaction."""
    with connection.cursor(row_factory=class_row(Snapshot)) as cursor:
        return cursor.execute(
            "SELECT feed, entity, key, sha256, basis FROM etl.row_snapshot WHERE client_id = %s",
            (client_id,),
        ).fetchall()


def write_snapshots(connection: Connection, client_id: str, found: Iterable[Snapshot]) -> None:
    """These and no others are the client's snapshots now."""
    forget_snapshots(connection, client_id)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO etl.row_snapshot (client_id, feed, entity, key, sha256, basis) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            [(client_id, one.feed, one.entity, one.key, one.sha256, one.basis) for one in found],
        )


def forget_snapshots(connection: Connection, client_id: str) -> None:
    """After any other change of the target than a normal load: the next delivery goes through whole."""
    connection.execute("DELETE FROM etl.row_snapshot WHERE client_id = %s", (client_id,))
