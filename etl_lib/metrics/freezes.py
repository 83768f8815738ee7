"""Clients for which nothing is loaded until a person says otherwise: who froze them, when and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg.rows import class_row

from etl_lib.database import Connection, connected
from etl_lib.errors import Paused
from etl_lib.metrics.acts import Act


@dataclass(frozen=True)
class Freeze:
    """One client's freeze. `mark` names this very freeze: a later one of the client has another."""

    client_id: str
    reason: str
    frozen_by: str
    frozen_at: datetime

    @classmethod
    def of_json(cls, row: Mapping[str, str]) -> Freeze:
        """A row of etl.freeze, as PostgreSQL writes it in JSON."""
        return cls(**{**row, "frozen_at": datetime.fromisoformat(row["frozen_at"])})  # type: ignore[arg-type]

    @property
    def words(self) -> str:
        """Who, when and why, as part of a sentence."""
        at = self.frozen_at.astimezone(UTC)
        return f"frozen by {self.frozen_by} on {at:%d %B %Y at %H:%M} UTC: {self.reason}"

    @property
    def sentence(self) -> str:
        """What the freeze means, for people."""
        return (
            f"Nothing is loaded: {self.words}{'' if self.reason.endswith(('.', '!', '?')) else '.'}"
        )

    @property
    def mark(self) -> str:
        """The instant to the microsecond."""
        return self.frozen_at.astimezone(UTC).isoformat()


def freezes(url: str) -> dict[str, Freeze]:
    """Every freeze that holds now, by client."""
    with connected(url) as connection:
        return {freeze.client_id: freeze for freeze in _found(connection, "true", ())}


def freeze(url: str, client_id: str, by: str, reason: str) -> bool:
    """Let nothing be loaded for the client from now on; False when it is frozen already.

    A load of the client that has not been committed when this returns will not be.
    """
    with connected(url) as connection:
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext('etl freeze'), hashtext(%s))", (client_id,)
        )
        row = connection.execute(
            "INSERT INTO etl.freeze (client_id, reason, frozen_by) VALUES (%s, %s, %s) "
            "ON CONFLICT (client_id) DO NOTHING RETURNING client_id",
            (client_id, reason, by),
        ).fetchone()
        if row is not None:
            _record(connection, client_id, Act.FREEZE, by, reason)
    return row is not None


def unfreeze(url: str, client_id: str, mark: str, by: str, comment: str) -> bool:
    """End the freeze of this `mark`; False when it does not hold any more."""
    with connected(url) as connection:
        row = connection.execute(
            "DELETE FROM etl.freeze WHERE client_id = %s AND frozen_at = %s::timestamptz RETURNING client_id",
            (client_id, mark),
        ).fetchone()
        if row is not None:
            _record(connection, client_id, Act.UNFREEZE, by, comment)
    return row is not None


def must_not_be_frozen(url: str, client_id: str) -> None:
    """Raise Paused (FROZEN) for a frozen client."""
    with connected(url) as connection:
        _refuse(connection, client_id)


def must_not_be_frozen_now(connection: Connection, client_id: str, *, until_commit: bool) -> None:
    """The same, in the load's transaction; with `until_commit` a freeze waits until that has ended.

    So whoever has frozen a client knows that nothing of it is committed afterwards; ask for it last,
    when only the commit is left to do.
    """
    if until_commit:
        connection.execute(
            "SELECT pg_advisory_xact_lock_shared(hashtext('etl freeze'), hashtext(%s))",
            (client_id,),
        )
    _refuse(connection, client_id)


def _refuse(connection: Connection, client_id: str) -> None:
    for found in _found(connection, "client_id = %s", (client_id,)):
        raise Paused.of("FROZEN", found.sentence)


def _record(connection: Connection, client_id: str, act: Act, by: str, text: str) -> None:
    connection.execute(
        "INSERT INTO etl.act (client_id, kind, by, text) VALUES (%s, %s, %s, %s)",
        (client_id, act, by, text),
    )


def _found(connection: Connection, where: str, given: Sequence[object]) -> list[Freeze]:
    query = f"SELECT client_id, reason, frozen_by, frozen_at FROM etl.freeze WHERE {where}"  # noqa: S608
    with connection.cursor(row_factory=class_row(Freeze)) as cursor:
        return cursor.execute(query.encode(), given).fetchall()
