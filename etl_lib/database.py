"""Opens connections to the ETL database and says in people's words why one cannot be had."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from etl_lib.errors import FixTheSetup, TryAgain

DATABASE_VARIABLE = "ETL_DATABASE_URL"
OLDEST_SERVER = 180000  # PostgreSQL 18: MERGE … RETURNING old, new

Connection = psycopg.Connection[TupleRow]


def database_url() -> str:
    """The ETL database of this process; raises FixTheSetup when ETL_DATABASE_URL is not set."""
    if url := os.environ.get(DATABASE_VARIABLE):
        return url
    text = f"The variable {DATABASE_VARIABLE} is not set."
    hint = f"Example: export {DATABASE_VARIABLE}=postgresql://etl@localhost:5432/etl"
    raise FixTheSetup.of("CONNECTION_MISSING", text, hint=hint)


@contextmanager
def connected(url: str, *, autocommit: bool = False) -> Iterator[Connection]:
    """A connection that commits at the end of the block, or rolls back when the block raises.

    Raises TryAgain (DATABASE_UNAVAILABLE) when the server does not answer or goes away, and
    FixTheSetup when it refuses the login or is older than PostgreSQL 18.
    """
    try:
        if autocommit:  # may leave locks and settings of its session behind
            with _opened(url, autocommit=True) as connection:
                yield connection
            return
        connection = _taken(url) or _opened(url)
        try:
            yield connection
        except BaseException:
            with suppress(psycopg.Error):
                connection.rollback()
            _given_back(url, connection)
            raise
        connection.commit()
        _given_back(url, connection)
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise _explained(error) from error


def _opened(url: str, *, autocommit: bool = False) -> Connection:
    connection = psycopg.connect(
        url, autocommit=autocommit, connect_timeout=10, application_name="etl",
        keepalives_idle=30, keepalives_interval=10, keepalives_count=3,
    )  # fmt: skip
    if connection.info.server_version < OLDEST_SERVER:
        connection.close()
        text = f"The server is PostgreSQL {connection.info.server_version // 10000}; 18 is needed."
        raise FixTheSetup.of("DATABASE_UNAVAILABLE", text)
    return connection


# --- one connection serves a process's many short looks: a new one costs client and server 5 ms ------
# Not psycopg_pool: its threads do not survive a fork, and it hides why a connection cannot be had.

_KEPT = 2


class _Idle:
    """Connections of one process that nobody uses at the moment, the newest last."""

    def __init__(self) -> None:
        self.connections: list[tuple[str, Connection]] = []
        self.guard = threading.Lock()


_idle_of: dict[int, _Idle] = {}  # a forked process must not speak on its parent's connections


def _idle() -> _Idle:
    return _idle_of.setdefault(os.getpid(), _Idle())


def _taken(url: str) -> Connection | None:
    """An idle connection that the server still answers on, or None."""
    idle = _idle()
    while True:
        with idle.guard:
            places = [at for at, (of, _) in enumerate(idle.connections) if of == url]
            if not places:
                return None
            _, connection = idle.connections.pop(places[-1])
        try:
            connection.execute("")
            connection.rollback()
        except psycopg.Error:
            connection.close()
        else:
            return connection


def _given_back(url: str, connection: Connection) -> None:
    if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
        connection.close()
        return
    idle = _idle()
    with idle.guard:
        idle.connections.append((url, connection))
        surplus = idle.connections.pop(0)[1] if len(idle.connections) > _KEPT else None
    if surplus:
        surplus.close()


def _explained(error: psycopg.Error) -> TryAgain | FixTheSetup:
    """What failed, without the server's words: they may hold values or the password's place."""
    state = error.sqlstate or ""
    where = _host(error)
    if state.startswith("28") or state == "3D000" or "authentication failed" in str(error):
        return FixTheSetup.of(
            "DATABASE_UNAVAILABLE", f"{where} refuses the login or has no such database."
        )
    if state == "53100":
        return TryAgain.of("DATABASE_UNAVAILABLE", f"The disk of {where} is full.")
    if state == "55P03":
        return TryAgain.of("LOAD_BUSY", "Another load of this client holds the lock.")
    kind = type(error).__name__
    return TryAgain.of(
        "DATABASE_UNAVAILABLE", f"{where} does not answer or cut the connection ({kind})."
    )


def _host(error: psycopg.Error) -> str:
    info = getattr(getattr(error, "pgconn", None), "host", None)
    return f"The database server {info.decode() if isinstance(info, bytes) else ''}".strip()
