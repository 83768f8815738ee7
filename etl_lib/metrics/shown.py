"""Acts on many clients: what was shown under which token, and what became of each item of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from etl_lib.database import connected
from etl_lib.errors import NotNow

GOOD_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class Shown:
    """An order as it was shown, and those of its items, by place, that nothing has become of yet."""

    token: str
    ordered: dict[str, Any]
    items: dict[int, dict[str, Any]]


def keep(
    url: str, act: str, ordered: dict[str, Any], items: Sequence[tuple[str, dict[str, Any]]], by: str
) -> str:  # fmt: skip
    """Keep what is shown, an item with its client; gives the token under which it can be applied."""
    token = f"{act}-{secrets.token_hex(3)}"
    with connected(url) as connection:
        connection.execute(
            "INSERT INTO etl.many (token, ordered, shown_by) VALUES (%s, %s, %s)",
            (token, Jsonb(ordered), by),
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO etl.many_item (token, place, client_id, item) VALUES (%s, %s, %s, %s)",
                [(token, n, client_id, Jsonb(item)) for n, (client_id, item) in enumerate(items)],
            )
    return token


@contextmanager
def taken(url: str, token: str) -> Iterator[Shown]:
    """What was shown under the token, for nobody else until the block ends.

    Raises NotNow (NOT_AS_SHOWN) for an unknown token, one that is too old or applied already, and
    while somebody else applies it.
    """
    with connected(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT ordered, shown_at, applied_by, applied_at, "
            "pg_try_advisory_lock(hashtext('etl many'), hashtext(token)) "
            "FROM etl.many WHERE token = %s",
            (token,),
        ).fetchone()
        if row is None:
            raise _not_now(f"There is nothing that was shown as `{token}`.")
        ordered, shown_at, applied_by, applied_at, is_ours = row
        if not is_ours:
            raise _not_now(f"Somebody applies `{token}` at this moment.")
        if applied_at is not None:
            raise _not_now(f"`{token}` was applied by {applied_by} at {_clock(applied_at)}.")
        if shown_at + GOOD_FOR < datetime.now(UTC):
            raise _not_now(f"`{token}` was shown at {_clock(shown_at)}, more than an hour ago.")
        items = connection.execute(
            "SELECT place, item FROM etl.many_item WHERE token = %s AND outcome IS NULL ORDER BY place",
            (token,),
        ).fetchall()
        yield Shown(token, ordered, dict(items))


def settle(url: str, token: str, place: int, outcome: str, said: str) -> None:
    """Record what has become of one item; one that was settled before stays as it is."""
    with connected(url) as connection:
        connection.execute(
            "UPDATE etl.many_item SET outcome = %s, said = %s, ended_at = clock_timestamp() "
            "WHERE token = %s AND place = %s AND outcome IS NULL",
            (outcome, said, token, place),
        )


def finish(url: str, token: str, by: str) -> None:
    """Everything under the token has been tried: it cannot be applied again."""
    with connected(url) as connection:
        connection.execute(
            "UPDATE etl.many SET applied_by = %s, applied_at = clock_timestamp() WHERE token = %s",
            (by, token),
        )


def _not_now(text: str) -> NotNow:
    return NotNow.of("NOT_AS_SHOWN", text)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
