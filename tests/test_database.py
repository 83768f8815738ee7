"""Connections are used again within a process, and never across a fork or after the server cut them."""

from __future__ import annotations

import os

import psycopg
import pytest

from etl_lib.database import Connection, connected


def session_of(connection: Connection) -> int:
    return connection.info.backend_pid


def test_short_looks_after_one_another_are_of_one_session(database_url: str) -> None:
    with connected(database_url) as first:
        session = session_of(first)
    with connected(database_url) as second:
        assert session_of(second) == session


def test_looks_within_one_another_are_of_two_sessions(database_url: str) -> None:
    with connected(database_url) as outer, connected(database_url) as inner:
        assert session_of(outer) != session_of(inner)


def test_a_session_that_the_server_has_ended_is_replaced(database_url: str) -> None:
    with connected(database_url) as first:
        session = session_of(first)
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (session,))
    with connected(database_url) as second:
        assert second.execute("SELECT 1").fetchone() == (1,)
        assert session_of(second) != session


def test_what_raised_has_changed_nothing_and_leaves_no_setting_behind(database_url: str) -> None:
    with pytest.raises(ZeroDivisionError), connected(database_url) as connection:
        session = session_of(connection)
        connection.execute("CREATE TABLE left_behind ()")
        connection.execute("SET LOCAL work_mem = '77MB'")
        raise ZeroDivisionError
    with connected(database_url) as connection:
        assert session_of(connection) == session
        assert connection.execute("SELECT to_regclass('left_behind')").fetchone() == (None,)
        assert connection.execute("SHOW work_mem").fetchone() != ("77MB",)


def test_a_forked_process_has_a_session_of_its_own_and_leaves_its_parents_alone(
    database_url: str,
) -> None:
    with connected(database_url) as connection:
        session = session_of(connection)
    child = os.fork()
    if not child:
        with connected(database_url) as own:
            os._exit(0 if session_of(own) != session else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with connected(database_url) as connection:
        assert session_of(connection) == session
