"""Compares the target with a delivery: what loading it once more would change is what differs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from psycopg import sql

from etl_lib.config.entity import Entity
from etl_lib.database import Connection, connected
from etl_lib.load.delivery import change, lock_client
from etl_lib.load.tables import table
from etl_lib.manifest import Extracted, Transformed, Validated, masked
from etl_lib.metrics.ledger import recorded_counts, run_seq_of
from etl_lib.metrics.schema import ensure_history_partition
from etl_lib.run import Run

_SAMPLES = 3


@dataclass(frozen=True)
class Difference:
    """Rows of an entity that are not as the delivery says; `samples`: masked keys by kind.

    `edited`: there, with other values, in so many rows per column. `missing` and `deleted`: in the
    delivery, and not in the target or deleted in it. `extra`: there, and no longer in the delivery.
    """

    entity: str
    edited: int
    columns: dict[str, int]
    missing: int
    deleted: int
    extra: int
    samples: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Rows of the delivery that readers do not see."""
        return self.missing + self.deleted


@dataclass(frozen=True)
class Comparison:
    """What differs, by entity (nothing: the target is as the delivery says), and how much was compared."""

    differences: tuple[Difference, ...]
    rows_read: int


def compare(
    run: Run, extracted: Extracted, validated: Validated, transformed: Transformed
) -> Comparison:
    """Load the delivery again in a transaction that is rolled back, and say what that would change.

    Loads of the client wait meanwhile. Raises what a load raises, but for holds.
    """
    with connected(run.database_url) as connection:
        ensure_history_partition(connection)
    with connected(run.database_url) as connection:
        lock_client(connection, run.client_id)
        change(connection, run, extracted, validated, transformed)
        comparison = _found(connection, run, extracted)
        connection.rollback()
    return comparison


def _found(connection: Connection, run: Run, extracted: Extracted) -> Comparison:
    run_seq = run_seq_of(connection, run)
    found = [
        _of_entity(connection, run.client_id, run_seq, entity)
        for entity in extracted.resolved.entities.values()
    ]
    counts = recorded_counts(connection, run_seq)
    differing = [one for one in found if one.edited or one.lost or one.extra]
    return Comparison(tuple(differing), sum(count.read for count in counts))


# Rows that this load itself inserted have images too, when a second feed completed them.
_BY_KEY = """
SELECT key, CASE WHEN 'delete' = ANY (actions) THEN 'extra' WHEN 'restore' = ANY (actions) THEN 'deleted'
                 ELSE 'edited' END, columns
FROM (SELECT h.key, array_agg(DISTINCT h.action) AS actions,
             array_agg(DISTINCT c.name) FILTER (WHERE c.name IS NOT NULL) AS columns
      FROM etl.history h
      LEFT JOIN LATERAL unnest(CASE WHEN h.action = 'claim' THEN '{feeds}' ELSE h.columns END) c(name) ON true
      WHERE h.run_seq = %(run)s AND h.entity = %(entity)s AND (h.before ->> 'first_run_seq')::bigint <> %(run)s
      GROUP BY h.key) by_key
ORDER BY key
"""


def _of_entity(
    connection: Connection, client_id: str, run_seq: int, entity: Entity
) -> Difference:  # fmt: skip
    kinds: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    samples: dict[str, list[str]] = {}
    with connection.cursor(name="compared") as cursor:  # may be every row of a large school
        for key, kind, differing in cursor.execute(
            _BY_KEY.encode(), {"run": run_seq, "entity": entity.entity}
        ):
            kinds[kind] += 1
            if kind == "edited":
                columns.update(differing or ())
            _sample(samples, "lost" if kind == "deleted" else kind, key)
    inserted = connection.execute(
        sql.SQL(
            "SELECT {key}, count(*) OVER () FROM {target} WHERE client_id = {client} "
            "AND run_seq = {run} AND first_run_seq = {run} ORDER BY {key} LIMIT {most}"
        ).format(
            key=sql.Identifier(entity.key),
            target=table(entity.entity),
            client=sql.Literal(client_id),
            run=sql.Literal(run_seq),
            most=sql.Literal(_SAMPLES),
        )
    ).fetchall()
    for key, _ in inserted:
        _sample(samples, "lost", key)
    return Difference(
        entity=entity.entity,
        edited=kinds["edited"],
        columns=dict(columns.most_common()),
        missing=int(inserted[0][1]) if inserted else 0,
        deleted=kinds["deleted"],
        extra=kinds["extra"],
        samples={kind: tuple(keys) for kind, keys in samples.items()},
    )


def _sample(samples: dict[str, list[str]], kind: str, key: str) -> None:
    kept = samples.setdefault(kind, [])
    if len(kept) < _SAMPLES:
        kept.append(masked(key))
