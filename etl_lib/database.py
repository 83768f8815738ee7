"""Opens connections to the ETL database and says in people's words why one cannot be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
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
        with psycopg.connect(
            url, autocommit=autocommit, connect_timeout=10, application_name="etl",
            keepalives_idle=30, keepalives_interval=10, keepalives_count=3,
        ) as connection:  # fmt: skip
            if connection.info.server_version < OLDEST_SERVER:
                text = f"The server is PostgreSQL {connection.info.server_version // 10000}; 18 is needed."
                raise FixTheSetup.of("DATABASE_UNAVAILABLE", text)
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise _explained(error) from error


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
