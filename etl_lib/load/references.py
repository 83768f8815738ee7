"""Judges references as sets, inside the load's transaction, after the rows they point at are there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from psycopg import sql

from etl_lib.config.entity import Entity
from etl_lib.database import Connection
from etl_lib.load.staging import Staged
from etl_lib.load.tables import table

RejectedRow = tuple[str, int, str | None, str | None, str]  # manifest.REJECT_COLUMNS


def reject_unknown(
    connection: Connection, client_id: str, staged: Staged, fed: frozenset[str]
) -> list[RejectedRow]:
    """Take rows out of the staged table whose required reference points at nothing.

    `fed` are the entities that this client feeds at all: a reference to any other is not judged.
    Rows of a feed that only completes others (`insert: false`) must meet a row as well. Gives the
    rows taken out; their keys count as present from then on.
    """
    rejected: list[RejectedRow] = []
    for field, target in must_meet(staged, fed):
        rejected += _take_out(connection, client_id, staged, field, target)
    return rejected


def must_meet(staged: Staged, fed: Collection[str]) -> Iterator[tuple[str, str]]:
    """The fields of the staged rows whose record must be there, each with the record's entity."""
    entity = staged.fill.entity
    for field, reference in entity.references.items():
        if reference.on_unknown == "reject" and reference.entity in fed and field in staged.columns:
            yield field, reference.entity
    if not staged.fill.rules.insert:
        yield entity.key, entity.entity


def _take_out(
    connection: Connection, client_id: str, staged: Staged, field: str, target: str
) -> list[RejectedRow]:
    rows = connection.execute(
        sql.SQL(
            """
            WITH gone AS (
                DELETE FROM {staged} s
                WHERE NOT s._deleted AND s.{field} IS NOT NULL AND NOT EXISTS (
                    SELECT FROM {target} t
                    WHERE t.client_id = {client} AND t.{target_key} = s.{field}
                      AND t.deleted_at IS NULL)
                RETURNING s._file, s._line, s.{key} AS key
            ), kept AS (INSERT INTO {kept} SELECT key FROM gone)
            SELECT _file, _line, key FROM gone ORDER BY _file, _line
            """
        ).format(
            staged=staged.name,
            kept=staged.kept_name,
            field=sql.Identifier(field),
            key=staged.key,
            target=table(target),
            target_key=sql.Identifier(f"{target}_id"),
            client=sql.Literal(client_id),
        )
    ).fetchall()
    return [(file, line, key, field, "REFERENCE_UNKNOWN") for file, line, key in rows]


def count_unresolved(
    connection: Connection, client_id: str, staged: Staged, entities: Mapping[str, Entity]
) -> int:
    """How many optional references of the staged rows point at nothing, now that all is loaded.

    References to an entity that the client never feeds are not counted.
    """
    total = 0
    for field, reference in staged.fill.entity.references.items():
        if reference.on_unknown != "keep" or field not in staged.columns:
            continue
        if reference.entity not in entities:
            continue
        values = (
            sql.SQL("unnest(s.{}) AS v(id)")
            if staged.fill.entity.fields[field].array
            else sql.SQL("LATERAL (SELECT s.{}) AS v(id)")
        ).format(sql.Identifier(field))
        row = connection.execute(
            sql.SQL(
                """
                SELECT count(*) FROM {staged} s, {values}
                WHERE v.id IS NOT NULL AND NOT s._deleted AND NOT EXISTS (
                    SELECT FROM {target} t
                    WHERE t.client_id = {client} AND t.{target_key} = v.id
                      AND t.deleted_at IS NULL)
                """
            ).format(
                staged=staged.name,
                values=values,
                target=table(reference.entity),
                target_key=sql.Identifier(f"{reference.entity}_id"),
                client=sql.Literal(client_id),
            )
        ).fetchone()
        assert row is not None
        total += row[0]
    return total
