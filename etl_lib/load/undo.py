"""Puts back what one run changed, in one transaction, from the before-images of the history.

Rows that the run inserted are removed for good: they may be another school's pupils. Their keys stand in
`core.removed` for readers that follow `change_seq`. Every other row becomes what it was, down to its
provenance; only `change_seq` moves on, so that those readers see it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from etl_lib.config.entity import Entity
from etl_lib.database import Connection, connected
from etl_lib.errors import CannotUndo
from etl_lib.load.delivery import lock_client
from etl_lib.load.merge import column_of, differing, is_distinct
from etl_lib.load.tables import PROVENANCE, table
from etl_lib.manifest import Counts, Loaded, masked
from etl_lib.metrics.holds import Plan
from etl_lib.metrics.ledger import (
    begin_run,
    next_change,
    recorded_load,
    write_columns,
    write_counts,
)
from etl_lib.metrics.schema import ensure_history_partition
from etl_lib.metrics.status import RunStatus
from etl_lib.metrics.undone import (
    KnownRun,
    find_run,
    in_effect,
    loads_after,
    mark_undone,
    must_be_undoable,
    newest_first,
    show_what_stands,
)
from etl_lib.run import Run, Wishes

FEED = "undo"  # what counts and history say in the place of a feed
_SAMPLES = 5


class _BuiltUpon(Exception):
    """Later runs `changed` the same rows, or rows of theirs are `leaning` on them."""

    def __init__(self, undone: KnownRun, changed: set[int], leaning: set[int]) -> None:
        self.undone, self.changed, self.leaning = undone, changed, leaning
        super().__init__()


def undo(run: Run, entities: Mapping[str, Entity], environment: str) -> Plan:
    """Put back what the run `run.wishes.undo` of the client changed, as the run `run`.

    A run that has been committed before gets its recorded counts and changes nothing; a dry run is
    rolled back and not recorded. Raises CannotUndo when later runs changed the same rows or lean on
    them (it names them), when the run changed nothing or was undone already, and when its
    before-images have expired; FixTheSetup when there is no such run; TryAgain when the client is busy.
    """
    with connected(run.database_url) as connection:
        ensure_history_partition(connection)
    with connected(run.database_url) as connection:
        lock_client(connection, run.client_id)
        if done := recorded_load(connection, run):
            return Plan(done, [])
        try:
            with connection.transaction():
                plan = _put_back(connection, run, entities, environment)
        except _BuiltUpon as built:
            raise _refusal(connection, run, built, entities, environment) from None
        if run.wishes.dry_run:
            connection.rollback()
    return plan


def _put_back(
    connection: Connection, run: Run, entities: Mapping[str, Entity], environment: str
) -> Plan:
    undone = find_run(connection, run.wishes.undo, run.client_id)
    must_be_undoable(connection, undone)
    assert undone.change_seq is not None
    _collect(connection, undone, entities)
    later = in_effect(loads_after(connection, run.client_id, undone.change_seq))
    _refuse_if_built_upon(connection, undone, later, entities)
    run_seq, change_seq = begin_run(connection, run, environment), next_change(connection)
    counts = [
        count
        for entity in entities.values()
        if (count := _apply(connection, entity, run.client_id, run_seq, change_seq)) is not None
    ]
    counts = _with_unresolved(connection, run.client_id, counts, entities)
    for count in counts:
        count.assert_adds_up()
    return _record(connection, undone, run_seq, change_seq, counts, bool(later))


# --- what the run changed -----------------------------------------------------------------------------

# The first image of a key is the row before the run; a row that the run itself had inserted was not there.
_COLLECT = """
CREATE TEMPORARY TABLE put_back ON COMMIT DROP AS
SELECT DISTINCT ON (entity, key) entity, key,
       CASE WHEN (before ->> 'first_run_seq')::bigint = {run} THEN NULL ELSE before END AS before
FROM etl.history WHERE run_seq = {run} AND client_id = {client} ORDER BY entity, key, history_seq
"""
# Rows that the run inserted were stamped by it, or later: the index on change_seq finds them.
_COLLECT_INSERTED = """
INSERT INTO put_back (entity, key)
SELECT {entity}, t.{key} FROM {target} t
WHERE t.client_id = {client} AND t.change_seq >= {change} AND t.first_run_seq = {run}
ON CONFLICT DO NOTHING
"""


def _collect(connection: Connection, undone: KnownRun, entities: Mapping[str, Entity]) -> None:
    """Make the temporary table `put_back`: each row that the run changed, `before` null if it was new."""
    given = {
        "run": sql.Literal(undone.run_seq),
        "client": sql.Literal(undone.client_id),
        "change": sql.Literal(undone.change_seq),
    }
    connection.execute("DROP TABLE IF EXISTS put_back")
    connection.execute(sql.SQL(_COLLECT).format(**given))
    connection.execute("ALTER TABLE put_back ADD PRIMARY KEY (entity, key)")
    for entity in entities.values():
        connection.execute(sql.SQL(_COLLECT_INSERTED).format(**given, **_of(entity)))
    connection.execute("ANALYZE put_back")


def _of(entity: Entity) -> dict[str, sql.Composable]:
    return {
        "entity": sql.Literal(entity.entity),
        "key": sql.Identifier(entity.key),
        "target": table(entity.entity),
    }


# --- what later runs built upon it ----------------------------------------------------------------------

# Later runs that changed a row of put_back.
_CHANGED = """
SELECT DISTINCT h.run_seq FROM etl.history h JOIN put_back p USING (entity, key)
WHERE h.client_id = {client} AND h.run_seq = ANY ({later})
"""
_INSERTED = """
SELECT DISTINCT t.first_run_seq FROM {target} t JOIN put_back p ON p.entity = {entity} AND p.key = t.{key}
WHERE t.client_id = {client} AND t.first_run_seq = ANY ({later})
"""
# Later runs that made a row point at one which would go.
_POINTS = """
SELECT DISTINCT t.run_seq FROM {target} t JOIN put_back p ON p.entity = {other} AND p.key = t.{field}
WHERE t.client_id = {client} AND t.deleted_at IS NULL AND t.run_seq = ANY ({later})
  AND (p.before IS NULL OR p.before ->> 'deleted_at' IS NOT NULL)
  AND NOT EXISTS (SELECT FROM put_back own WHERE own.entity = {entity} AND own.key = t.{key})
"""
# Later runs that took away what a row that would come back points at.
_TAKEN = """
SELECT DISTINCT h.run_seq FROM put_back p
JOIN etl.history h ON h.client_id = {client} AND h.entity = {other} AND h.key = p.before ->> {field_name}
LEFT JOIN {other_table} x ON x.client_id = {client} AND x.{other_key} = h.key
WHERE p.entity = {entity} AND p.before ->> 'deleted_at' IS NULL AND h.run_seq = ANY ({later})
  AND (x.client_id IS NULL OR x.deleted_at IS NOT NULL)
  AND NOT EXISTS (SELECT FROM put_back own WHERE own.entity = {other} AND own.key = h.key)
"""


def _refuse_if_built_upon(
    connection: Connection, undone: KnownRun, later: Sequence[int], entities: Mapping[str, Entity]
) -> None:
    """Raise _BuiltUpon with the runs of `later` that stand in the way."""
    if not later:
        return
    given: dict[str, sql.Composable] = {
        "client": sql.Literal(undone.client_id), "later": sql.Literal(list(later)),
    }  # fmt: skip
    changed = _runs(connection, _CHANGED, given)
    leaning: set[int] = set()
    for entity in entities.values():
        of = {**given, **_of(entity)}
        changed |= _runs(connection, _INSERTED, of)
        for reference in _required(entity, entities):
            leaning |= _runs(connection, _POINTS, {**of, **reference})
            leaning |= _runs(connection, _TAKEN, {**of, **reference})
    if changed or leaning:
        raise _BuiltUpon(undone, changed, leaning)


def _refusal(
    connection: Connection, run: Run, built: _BuiltUpon, entities: Mapping[str, Entity], environment: str
) -> CannotUndo:  # fmt: skip
    """The refusal that names every run to undo first: they are undone on trial, which shows the next."""
    first: set[int] = set()
    more = built.changed | built.leaning
    while more - first:
        first |= more
        order = [str(known.run_seq) for known in newest_first(connection, first)]
        try:
            with connection.transaction(force_rollback=True):
                for wanted in (*order, str(built.undone.run_seq)):
                    trial = replace(
                        run, run_id=f"{run.run_id} trial {wanted}", wishes=Wishes(undo=wanted)
                    )
                    _put_back(connection, trial, entities, environment)
        except _BuiltUpon as found:
            more = found.changed | found.leaning
    names = ", ".join(known.shown for known in newest_first(connection, first))
    text = "changed the same rows as" if built.changed else "refer to rows of"
    return CannotUndo.of(
        "UNDO_BLOCKED",
        f"Later runs {text} {built.undone.shown}; undo first, in this order: {names}.",
    )


def _runs(
    connection: Connection, query: str, given: Mapping[str, sql.Composable]
) -> set[int]:  # fmt: skip
    return {row[0] for row in connection.execute(sql.SQL(query).format(**given))}


def _required(
    entity: Entity, entities: Mapping[str, Entity]
) -> Iterator[dict[str, sql.Composable]]:
    """The references of the entity without which a row is rejected."""
    for field, reference in entity.references.items():
        if reference.on_unknown == "reject" and reference.entity in entities:
            yield {
                "field": sql.Identifier(field),
                "field_name": sql.Literal(field),
                "other": sql.Literal(reference.entity),
                "other_table": table(reference.entity),
                "other_key": sql.Identifier(entities[reference.entity].key),
            }


# --- putting it back --------------------------------------------------------------------------------------

_APPLY = """
WITH merged AS (
    MERGE INTO {target} AS t USING (
        SELECT p.key AS put_back_key, p.before IS NULL AS was_not_there, r.*
        FROM put_back p CROSS JOIN LATERAL jsonb_populate_record(NULL::{target}, p.before) r
        WHERE p.entity = {entity}
    ) AS s ON t.client_id = {client} AND t.{key} = s.put_back_key
    WHEN MATCHED AND s.was_not_there THEN DELETE
    WHEN MATCHED THEN UPDATE SET {set_columns}, change_seq = {change}
    WHEN NOT MATCHED AND NOT s.was_not_there THEN
        INSERT ({columns}, change_seq) VALUES ({values}, {change})
    RETURNING s.put_back_key AS key, {differing} AS columns,
        CASE WHEN merge_action() <> 'INSERT' THEN to_jsonb(old) END AS before,
        CASE WHEN merge_action() = 'DELETE' THEN 'remove'
             WHEN merge_action() = 'INSERT' THEN 'return'
             WHEN old.deleted_at IS NULL AND new.deleted_at IS NOT NULL THEN 'delete'
             WHEN old.deleted_at IS NOT NULL AND new.deleted_at IS NULL THEN 'restore'
             WHEN {changed} THEN 'update' ELSE 'claim' END AS action
), kept AS (
    INSERT INTO etl.history (client_id, entity, key, run_seq, feed, action, columns, before)
    SELECT {client}, {entity}, key, {run}, {feed}, action,
           CASE WHEN action IN ('update', 'restore') THEN columns ELSE '{{}}' END, before
    FROM merged
)
SELECT count(*) FILTER (WHERE action = 'return'),
       count(*) FILTER (WHERE action IN ('update', 'restore')),
       count(*) FILTER (WHERE action IN ('remove', 'delete')),
       count(*) FILTER (WHERE action = 'restore')
FROM merged
"""


def _apply(
    connection: Connection, entity: Entity, client_id: str, run_seq: int, change_seq: int
) -> Counts | None:
    """Put the entity's rows back; None when the run had changed none of it."""
    read = _one(connection, "SELECT count(*) FROM put_back WHERE entity = {entity}", _of(entity))
    if not read:
        return None
    columns = ["client_id", *entity.fields, *(name for name in PROVENANCE if name != "change_seq")]
    told = [*(name for name in entity.fields if name != entity.key), "extra"]
    row = connection.execute(
        sql.SQL(_APPLY).format(
            **_of(entity),
            client=sql.Literal(client_id),
            run=sql.Literal(run_seq),
            change=sql.Literal(change_seq),
            feed=sql.Literal(FEED),
            set_columns=sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), column_of("s", name))
                for name in columns
            ),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            values=sql.SQL(", ").join(column_of("s", name) for name in columns),
            differing=differing(told),
            changed=is_distinct("old", told, {name: column_of("new", name) for name in told}),
        )
    ).fetchone()
    assert row is not None
    returned, updated, gone, restored = row
    return Counts(
        feed=FEED, entity=entity.entity, read=read, inserted=returned, updated=updated,
        unchanged=read - returned - updated - gone, deleted_by_row=gone, restored=restored,
    )  # fmt: skip


def _one(connection: Connection, query: str, given: Mapping[str, sql.Composable]) -> int:
    row = connection.execute(sql.SQL(query).format(**given)).fetchone()
    assert row is not None
    return int(row[0])


# Optional references may point at nothing; how many do so now, because their target has gone.
_UNRESOLVED = """
SELECT count(*) FROM {target} t, {values} JOIN put_back p ON p.entity = {other} AND p.key = v.id
WHERE t.client_id = {client} AND t.deleted_at IS NULL AND NOT EXISTS (
    SELECT FROM {other_table} x WHERE x.client_id = {client} AND x.{other_key} = v.id
      AND x.deleted_at IS NULL)
"""


def _with_unresolved(
    connection: Connection, client_id: str, counts: Sequence[Counts], entities: Mapping[str, Entity]
) -> list[Counts]:
    found = {count.entity: count for count in counts}
    for entity in entities.values():
        unresolved = 0
        for field, reference in entity.references.items():
            if reference.on_unknown != "keep" or reference.entity not in found:
                continue
            of = (
                "unnest(t.{}) AS v(id)"
                if entity.fields[field].array
                else "LATERAL (SELECT t.{}) AS v(id)"
            )
            given = {
                **_of(entity),
                "client": sql.Literal(client_id),
                "values": sql.SQL(of).format(sql.Identifier(field)),
                "other": sql.Literal(reference.entity),
                "other_table": table(reference.entity),
                "other_key": sql.Identifier(entities[reference.entity].key),
            }
            unresolved += _one(connection, _UNRESOLVED, given)
        if unresolved:
            count = found.get(entity.entity) or Counts(feed=FEED, entity=entity.entity)
            found[entity.entity] = count.model_copy(update={"unresolved": unresolved})
    return list(found.values())


# --- recording it -------------------------------------------------------------------------------------------


def _record(
    connection: Connection, undone: KnownRun, run_seq: int, change_seq: int,
    counts: Sequence[Counts], has_later: bool,
) -> Plan:  # fmt: skip
    """Ledger, counts, state and words: of this run, and of the one that no longer stands."""
    samples = _samples(connection, run_seq)
    connection.execute(
        "INSERT INTO etl.load (run_seq, client_id, delivery_seq, delivery_id, row_contract, change_seq, "
        "status, samples, undoes) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (run_seq, undone.client_id, undone.delivery_seq, undone.delivery_id, undone.row_contract,
         change_seq, RunStatus.UNDONE, Jsonb(samples), undone.run_seq),
    )  # fmt: skip
    write_counts(connection, run_seq, counts)
    write_columns(connection, run_seq)
    mark_undone(connection, undone.run_seq, run_seq)
    shown = show_what_stands(connection, undone.client_id)
    status = _status(connection, undone)
    gone = sum(count.deleted_by_row for count in counts)
    back = sum(count.inserted + count.updated + count.unchanged for count in counts)
    kind = "undo " if undone.undoes is not None else ""
    said = (
        f"The {kind}run {undone.run_seq} was undone: {gone:,} rows taken away, {back:,} put back. "
        + (f"The target shows the delivery of {shown:%d %B %Y}." if shown else "The target shows no delivery.")
    )  # fmt: skip
    if has_later and status == RunStatus.UNDONE:
        said += " Later deliveries stand: rows that they hold as well come back with the next one."
    connection.execute(
        "UPDATE etl.load SET status = %s, said = %s WHERE run_seq = %s", (status, said, run_seq)
    )
    connection.execute(
        "UPDATE etl.run SET status = %s, sentence = %s, delivery_seq = %s WHERE run_seq = %s",
        (status, said, undone.delivery_seq, run_seq),
    )
    return Plan(Loaded(status=status, counts=tuple(counts), said=said), samples)


def _status(connection: Connection, undone: KnownRun) -> RunStatus:
    """Of this run: that of the load that stands again through it; undone when it took one away."""
    row = connection.execute(
        "WITH RECURSIVE chain AS (SELECT * FROM etl.load WHERE run_seq = %s "
        "UNION ALL SELECT l.* FROM etl.load l JOIN chain c ON l.run_seq = c.undoes) "
        "SELECT status FROM chain WHERE undoes IS NULL AND undone_by IS NULL",
        (undone.run_seq,),
    ).fetchone()
    return RunStatus(row[0]) if row else RunStatus.UNDONE


def _samples(connection: Connection, run_seq: int) -> list[dict[str, Any]]:
    """A few rows of each entity and act: masked key, what would happen, which columns differ."""
    rows = connection.execute(
        "SELECT entity, action, key, columns FROM (SELECT *, row_number() OVER "
        "(PARTITION BY entity, action ORDER BY key) AS place FROM etl.history "
        "WHERE run_seq = %s AND action <> 'claim') h WHERE place <= %s ORDER BY entity, action, place",
        (run_seq, _SAMPLES),
    ).fetchall()
    return [
        {"entity": entity, "action": action, "key": masked(key), "columns": columns}
        for entity, action, key, columns in rows
    ]
