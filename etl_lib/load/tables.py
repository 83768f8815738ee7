"""The tables and views of the schema `core`, made from the entity files and grown with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from psycopg import sql

from etl_lib.config.entity import Entity, EntityField
from etl_lib.database import Connection, connected
from etl_lib.errors import Fault, FixTheMapping
from etl_lib.metrics.schema import SCHEMA_FILE, lock_migration, migrate_metrics

SCHEMA = "core"

# Where every row came from and when it changed; the same on each entity.
PROVENANCE = {
    "extra": "jsonb",
    "feeds": "text[] NOT NULL",
    "delivery_seq": "bigint NOT NULL",
    "source_file": "text NOT NULL",
    "source_line": "bigint NOT NULL",
    "run_seq": "bigint NOT NULL",
    "first_run_seq": "bigint NOT NULL",
    "change_seq": "bigint NOT NULL",
    "first_seen_at": "timestamptz NOT NULL",
    "last_changed_at": "timestamptz NOT NULL",
    "deleted_at": "timestamptz",
}
_SCALARS = {
    "id": "text", "text": "text", "enum": "text", "integer": "bigint", "boolean": "boolean",
    "date": "date", "timestamp": "timestamptz",
}  # fmt: skip


def sql_type(field: EntityField) -> str:
    """PostgreSQL's type of a field."""
    if field.type == "decimal":
        return f"numeric({field.precision},{field.scale})"
    return f"{_SCALARS[field.type]}[]" if field.array else _SCALARS[field.type]


def table(entity: str) -> sql.Identifier:
    """The entity's table, quoted."""
    return sql.Identifier(SCHEMA, entity)


def migrate_if_needed(url: str, entities: Mapping[str, Entity]) -> list[str]:
    """`migrate` in a transaction of its own, unless this very model has been migrated already.

    Gives the changes made, in words. Raises what `migrate` raises.
    """
    digest = _digest(entities)
    with connected(url) as connection:
        if _is_migrated(connection, digest):
            return []
        lock_migration(connection)
        if _is_migrated(connection, digest):  # by the one that held the lock
            return []
        changes = migrate(connection, entities)
        # older models stay known: two releases side by side do not migrate to and fro
        connection.execute("INSERT INTO etl.migration VALUES (%s)", (digest,))
        return changes


def is_migrated(url: str, entities: Mapping[str, Entity]) -> bool:
    """Whether the tables have been made from this very model; changes nothing."""
    with connected(url) as connection:
        return _is_migrated(connection, _digest(entities))


def _digest(entities: Mapping[str, Entity]) -> str:
    digest = hashlib.sha256(SCHEMA_FILE.read_bytes())
    for entity in entities.values():
        digest.update(entity.model_dump_json().encode())
    return digest.hexdigest()


def _is_migrated(connection: Connection, digest: str) -> bool:
    if connection.execute("SELECT to_regclass('etl.migration')").fetchone() == (None,):
        return False
    known = connection.execute("SELECT FROM etl.migration WHERE digest = %s", (digest,))
    return known.fetchone() is not None


def migrate(connection: Connection, entities: Mapping[str, Entity]) -> list[str]:
    """Create missing tables, add missing optional columns, renew the views; part of a transaction.

    Gives the changes made, in words. Raises FixTheMapping (SCHEMA_CHANGE_REFUSED) with every change
    that could lose data: a column that changed its type or is no longer in the entity file, and a
    required column without a default on a table that has rows.
    """
    migrate_metrics(connection)
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
    existing = _existing_columns(connection)
    changes: list[str] = []
    faults: list[Fault] = []
    for entity in entities.values():
        found = existing.get(entity.entity)
        if found is None:
            _create(connection, entity)
            changes.append(f"table {SCHEMA}.{entity.entity} created")
        else:
            faults += _refusals(connection, entity, found)
            if not faults:
                changes += _add_columns(connection, entity, found)
        if not faults and (found is None or changes):
            _create_view(connection, entity)
    if faults:
        raise FixTheMapping(faults)
    _create_removed(connection)
    return changes


def _existing_columns(connection: Connection) -> dict[str, dict[str, str]]:
    rows = connection.execute(
        """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = to_regnamespace(%s) AND c.relkind = 'r' AND a.attnum > 0
          AND NOT a.attisdropped
        ORDER BY c.relname, a.attnum
        """,
        (SCHEMA,),
    ).fetchall()
    tables: dict[str, dict[str, str]] = {}
    for relation, column, column_type in rows:
        tables.setdefault(relation, {})[column] = column_type
    return tables


def _definitions(entity: Entity) -> Iterable[tuple[str, str]]:
    for name, field in entity.fields.items():
        yield name, sql_type(field) + (" NOT NULL" if field.required else "")
    yield from PROVENANCE.items()


def _create(connection: Connection, entity: Entity) -> None:
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(definition))
        for name, definition in [("client_id", "text NOT NULL"), *_definitions(entity)]
    ]
    # fillfactor: nightly updates find room on their page and need no new index entries (HOT)
    connection.execute(
        sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY (client_id, {})) WITH (fillfactor = 90)").format(
            table(entity.entity), sql.SQL(", ").join(columns), sql.Identifier(entity.key)
        )
    )
    _index(connection, entity.entity, "change_seq")
    for field in _indexed(entity):
        _index(connection, entity.entity, field)
    for name, described in entity.fields.items():
        _comment(connection, entity, name, described)


def _indexed(entity: Entity) -> list[str]:
    """References that a row cannot do without: readers join by them, and so do we when their record goes.

    Others are looked for among the client's own rows. Each index costs the first load of 1,000,000 rows
    1.5 CPU s, and the nights their share.
    """
    return [name for name, one in entity.references.items() if one.on_unknown == "reject"]


def _index(connection: Connection, entity: str, column: str) -> None:
    connection.execute(
        sql.SQL("CREATE INDEX ON {} (client_id, {})").format(table(entity), sql.Identifier(column))
    )


def _comment(connection: Connection, entity: Entity, name: str, field: EntityField) -> None:
    connection.execute(
        sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(
            table(entity.entity), sql.Identifier(name), sql.Literal(field.description)
        )
    )


def _refusals(connection: Connection, entity: Entity, found: Mapping[str, str]) -> list[Fault]:
    faults = []
    where = f"include/entities/{entity.entity}.yaml"
    name_of_table = f"{SCHEMA}.{entity.entity}"
    wanted = {name: sql_type(field) for name, field in entity.fields.items()}
    spoken = {"timestamptz": "timestamp with time zone"}
    for name in found.keys() - wanted.keys() - PROVENANCE.keys() - {"client_id"}:
        hint = f"If its data may go: ALTER TABLE {name_of_table} DROP COLUMN {name} CASCADE;"
        text = f"{name_of_table} has a column `{name}` that the entity file no longer has."
        faults.append(Fault("SCHEMA_CHANGE_REFUSED", text, where, hint))
    for name, wish in wanted.items():
        if name in found and found[name] != spoken.get(wish, wish):
            hint = f"Change it by hand: ALTER TABLE {name_of_table} ALTER COLUMN {name} TYPE {wish} USING …;"
            text = f"`{name}` is {found[name]} in {name_of_table}, the entity file says {wish}."
            faults.append(Fault("SCHEMA_CHANGE_REFUSED", text, where, hint))
    required = [n for n, f in entity.fields.items() if f.required and n not in found]
    if required and _has_rows(connection, entity.entity):
        hint = "Make it optional, load every client once, then ALTER … SET NOT NULL by hand."
        text = f"{name_of_table} has rows, and `{', '.join(required)}` is new and required."
        faults.append(Fault("SCHEMA_CHANGE_REFUSED", text, where, hint))
    return faults


def _has_rows(connection: Connection, entity: str) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table(entity))
    return connection.execute(query).fetchone() == (True,)


def _add_columns(connection: Connection, entity: Entity, found: Mapping[str, str]) -> list[str]:
    changes = []
    for name, definition in _definitions(entity):
        if name in found:
            continue
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                table(entity.entity), sql.Identifier(name), sql.SQL(definition)
            )
        )
        changes.append(f"column {SCHEMA}.{entity.entity}.{name} added")
        if name in entity.fields:
            _comment(connection, entity, name, entity.fields[name])
        if name in _indexed(entity):
            _index(connection, entity.entity, name)
    return changes


def _create_removed(connection: Connection) -> None:
    """`removed`: keys that an undo took away, for readers that follow change_seq; no value of the row."""
    connection.execute(
        sql.SQL(
            "CREATE OR REPLACE VIEW {} AS SELECT h.client_id, h.entity, h.key, l.change_seq "
            "FROM etl.history h JOIN etl.load l USING (run_seq) WHERE h.action = 'remove'"
        ).format(sql.Identifier(SCHEMA, "removed"))
    )


def _create_view(connection: Connection, entity: Entity) -> None:
    """`current_<entity>`: what the application reads; nothing that is deleted."""
    view = sql.Identifier(SCHEMA, f"current_{entity.entity}")
    wanted = (
        "client_id",
        *entity.fields,
        "extra",
        "change_seq",
        "first_seen_at",
        "last_changed_at",
    )
    found = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 ORDER BY attnum",
        (f"{SCHEMA}.current_{entity.entity}",),
    )
    # replaced, with new columns last: a view that was dropped would lose its grants
    columns = dict.fromkeys([*(str(name) for (name,) in found), *wanted])
    connection.execute(
        sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {} WHERE deleted_at IS NULL").format(
            view, sql.SQL(", ").join(map(sql.Identifier, columns)), table(entity.entity)
        )
    )
