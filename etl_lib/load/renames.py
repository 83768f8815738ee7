"""Gives records new ids, as a feed with `renames` says, before anything else of the delivery is loaded.

A record moves to a row of the new key, with its first day; the old row stays as a deleted one. What
refers to it follows, and rows whose own key is made of the reference move too: also what refers to
records that the client never sends, of which we have no row. All of it stands in the history, so that
undoing the run undoes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from etl_lib.arrow_file import read_table
from etl_lib.config.entity import Entity, whose_keys_are_held
from etl_lib.config.mapping import ColumnRule, Feed, Renames
from etl_lib.database import Connection
from etl_lib.load.merge import Stamp
from etl_lib.load.references import RejectedRow
from etl_lib.load.tables import PROVENANCE, table
from etl_lib.manifest import Counts, Extracted
from etl_lib.rules import ids_of
from etl_lib.run import Run


@dataclass(frozen=True)
class _Row:
    """One row of the file: `entities` are those whose key it changes, the first one counts it."""

    file: str
    line: int
    old: str
    new: str
    entities: tuple[str, ...]

    def rejected(self, column: str, code: str) -> RejectedRow:
        return (self.file, self.line, self.old or None, column, code)


@dataclass
class _Tally:
    """What became of a feed's rows, by entity, and those that were rejected."""

    feed: str
    rejects: list[RejectedRow] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, entity: str, outcome: str, rows: int = 1) -> None:
        of_entity = self.counts.setdefault(entity, {})
        for name in ("read", outcome):
            of_entity[name] = of_entity.get(name, 0) + rows

    def reject(self, row: _Row, column: str, code: str) -> None:
        self.rejects.append(row.rejected(column, code))
        self.add(row.entities[0], "rejected")


def change_ids(
    connection: Connection, run: Run, extracted: Extracted, stamp: Stamp
) -> tuple[list[Counts], dict[str, list[RejectedRow]]]:
    """Apply every feed of renames in the delivery; counts by feed and entity, rejected rows by feed.

    A row whose record has its new id already is unchanged, and so is one of a record that the client
    never sends and nothing refers to. Rejected: an id that is missing or unknown (REFERENCE_UNKNOWN),
    a new id that another record has (DUPLICATE_KEY), an unknown type.
    """
    counts: list[Counts] = []
    rejects: dict[str, list[RejectedRow]] = {}
    entities = extracted.resolved.entities
    for name, feed in extracted.resolved.mapping.feeds.items():
        if feed.renames is None or not extracted.tables_of(name):
            continue
        tally = _Tally(name)
        pending = list(_rows(run, extracted, name, feed, feed.renames, tally))
        _apply(connection, entities, pending, stamp, tally)
        counts += [Counts(feed=name, entity=e, **figures) for e, figures in tally.counts.items()]
        rejects[name] = tally.rejects
        for entity in entities.values():
            connection.execute(_without_halts(entity, stamp))
    return counts, rejects


def _without_halts(entity: Entity, stamp: Stamp) -> sql.Composed:
    """Forget keys that a row only had between two moves of this run: nobody ever saw them."""
    return sql.SQL(
        """
        WITH halts AS (
            DELETE FROM {table} WHERE client_id = {client} AND first_run_seq = {run}
                AND deleted_at IS NOT NULL RETURNING {key} AS key)
        DELETE FROM etl.history h USING halts
        WHERE h.run_seq = {run} AND h.entity = {entity} AND h.key = halts.key
        """
    ).format(
        table=table(entity.entity),
        key=sql.Identifier(entity.key),
        entity=sql.Literal(entity.entity),
        client=sql.Literal(stamp.client_id),
        run=sql.Literal(stamp.run_seq),
    )


def _rows(
    run: Run, extracted: Extracted, name: str, feed: Feed, renames: Renames, tally: _Tally
) -> Iterator[_Row]:
    """The rows that change an id that our rows have or refer to; of one old id the last."""
    kinds = {kind.casefold(): entities for kind, entities in renames.entities.items()}
    kept = whose_keys_are_held(extracted.resolved.entities.values())
    named = [entity for entities in kinds.values() for entity in entities]
    first = next((entity for entity in named if entity in kept), named[0])
    found: dict[tuple[tuple[str, ...], str], _Row] = {}
    for one in extracted.tables_of(name):
        if one.rows_rejected:
            tally.add(first, "rejected", one.rows_rejected)
        with run.workspace.reading(one.rows_key) as stream:
            rows = read_table(stream)
        for line, (old, new, kind) in _texts(rows, renames, feed, run.client_id):
            known = tuple(e for e in kinds.get(kind, ()) if e in kept)
            row = _Row(one.shown, line, old, new, known or (first,))
            if kind not in kinds:
                tally.reject(row, _column(renames.type), "VALUE_NOT_ALLOWED")
            elif not known or not (old or new):  # a kind that we do not keep, or another id changes
                tally.add(first, "filtered")
            elif not (old and new):
                tally.reject(row, _column(renames.new if old else renames.old), "VALUE_MISSING")
            else:
                if before := found.get((known, old)):
                    _repeated(before, row, renames, tally)
                found[known, old] = row
    yield from found.values()


def _repeated(before: _Row, row: _Row, renames: Renames, tally: _Tally) -> None:
    if before.new == row.new:
        tally.add(before.entities[0], "duplicates")
    else:
        tally.reject(before, _column(renames.old), "DUPLICATE_KEY")


def _texts(
    rows: pa.Table, renames: Renames, feed: Feed, client_id: str
) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """Each row's line, old id, new id and kind (in small letters); without a value an empty text."""
    made = (ids_of(rows, rule, feed, client_id) for rule in renames.rules.values())
    columns = [pc.fill_null(values, "").to_pylist() for values in made]
    for line, old, new, kind in zip(rows["_line"].to_pylist(), *columns, strict=True):
        yield int(line), (old, new, kind.casefold())


def _column(rule: ColumnRule) -> str:
    """The column that a rejected row is about: the last part of an id is what tells records apart."""
    return (rule.source_columns or ("",))[-1]


def _apply(
    connection: Connection, entities: dict[str, Entity], pending: Sequence[_Row], stamp: Stamp,
    tally: _Tally,
) -> None:  # fmt: skip
    """Move what can move until nothing more can: a chain of ids settles from its end."""
    while pending:
        moved: set[int] = set()
        for name in dict.fromkeys(e for row in pending for e in row.entities):
            rows = [row for row in pending if name in row.entities]
            ready = _ready(connection, entities, name, rows, stamp)
            if ready:
                _move(connection, entities, name, ready, stamp, tally.feed)
                moved |= {id(row) for row in ready}
        for row in pending:
            if id(row) in moved:
                tally.add(row.entities[0], "updated")
        if not moved:
            break
        pending = [row for row in pending if id(row) not in moved]
    for row in pending:
        _left(connection, entities, row, stamp, tally)


def _ready(
    connection: Connection, entities: dict[str, Entity], name: str, rows: Sequence[_Row], stamp: Stamp
) -> list[_Row]:  # fmt: skip
    """Rows whose old id is a current record's and whose new one is nobody's; each new id once."""
    current = _known(connection, entities, name, [i for r in rows for i in (r.old, r.new)], stamp)
    ready: dict[str, _Row] = {}
    for row in rows:
        if row.old in current and row.new not in current:
            ready.setdefault(row.new, row)
    return list(ready.values())


def _current(
    connection: Connection, entity: Entity, ids: Iterable[str], stamp: Stamp, deleted: bool = False
) -> set[str]:
    """Which of the ids are those of records; `deleted`: of deleted ones instead of current ones."""
    query = sql.SQL(
        "SELECT {key} FROM {table} WHERE client_id = %s AND {key} = ANY (%s) "
        "AND (deleted_at IS NOT NULL) = %s"
    ).format(key=sql.Identifier(entity.key), table=table(entity.entity))
    return {key for (key,) in connection.execute(query, (stamp.client_id, list(ids), deleted))}


def _known(
    connection: Connection, entities: dict[str, Entity], name: str, ids: Sequence[str], stamp: Stamp
) -> set[str]:  # fmt: skip
    """Which of the ids are current records', or, of an entity that the client never feeds, are referred to."""
    if name in entities:
        return _current(connection, entities[name], ids, stamp)
    found: set[str] = set()
    for entity in entities.values():
        for column in entity.referring_to(name):
            is_array = entity.fields[column].array
            values = "unnest({f}) AS v(id)" if is_array else "LATERAL (SELECT {f}) AS v(id)"
            query = sql.SQL(
                f"SELECT DISTINCT v.id FROM {{t}}, {values} "  # noqa: S608 (constants only)
                "WHERE client_id = %s AND deleted_at IS NULL AND v.id = ANY (%s)"
            ).format(t=table(entity.entity), f=sql.Identifier(column))
            found |= {key for (key,) in connection.execute(query, (stamp.client_id, list(ids)))}
    return found


def _left(
    connection: Connection, entities: dict[str, Entity], row: _Row, stamp: Stamp, tally: _Tally
) -> None:
    """A row that could not be applied: done before, or wrong."""
    name = row.entities[0]
    current = _known(connection, entities, name, (row.old, row.new), stamp)
    entity = entities.get(name)
    if entity is None:  # we do not know which records there are, only which are referred to
        done = row.old not in current or row.old == row.new
    else:
        was_there = current == {row.new} and _current(connection, entity, [row.old], stamp, True)
        done = bool(was_there or (row.old == row.new and current))
    if done:
        tally.add(name, "unchanged")
    elif row.old not in current:
        tally.reject(row, f"{name}_id", "REFERENCE_UNKNOWN")
    else:
        tally.reject(row, f"{name}_id", "DUPLICATE_KEY")


def _move(
    connection: Connection, entities: dict[str, Entity], name: str, rows: Sequence[_Row],
    stamp: Stamp, feed: str,
) -> None:  # fmt: skip
    """Give the records their new ids, and let everything that refers to them follow."""
    connection.execute("DROP TABLE IF EXISTS renamed")
    connection.execute(
        "CREATE TEMPORARY TABLE renamed ON COMMIT DROP AS SELECT * FROM unnest("
        "%s::text[], %s::text[], %s::text[], %s::bigint[]) AS r(old, new, file, line)",
        ([r.old for r in rows], [r.new for r in rows], [r.file for r in rows], [r.line for r in rows]),
    )  # fmt: skip
    if entity := entities.get(name):
        values: dict[str, sql.Composable] = {entity.key: sql.SQL("r.new")}
        source = sql.SQL("JOIN renamed r ON r.old = s.{}").format(sql.Identifier(entity.key))
        _copy(connection, entity, values, source, sql.SQL("true"), stamp, feed)
    for dependent in entities.values():
        if fields := dependent.referring_to(name):
            _follow(connection, dependent, fields, stamp, feed)


def _follow(
    connection: Connection, entity: Entity, fields: Sequence[str], stamp: Stamp, feed: str
) -> None:
    """Rows of another entity that refer to renamed records."""
    single = [f for f in fields if not entity.fields[f].array]
    source = sql.SQL(" ").join(
        sql.SQL("LEFT JOIN renamed {r} ON {r}.old = s.{f}").format(
            r=sql.Identifier(f"r_{f}"), f=sql.Identifier(f)
        )
        for f in single
    )
    values: dict[str, sql.Composable] = {
        f: sql.SQL("COALESCE({}.new, s.{})").format(sql.Identifier(f"r_{f}"), sql.Identifier(f))
        for f in single
    }
    hit = sql.SQL(" OR ").join(
        sql.SQL("{}.old IS NOT NULL").format(sql.Identifier(f"r_{f}")) for f in single
    )
    if set(single) & set(entity.natural_key):
        made = _natural(entity, {})
        derived = sql.SQL("({}) AND s.{} = {}").format(hit, sql.Identifier(entity.key), made)
        moved = {**values, entity.key: _natural(entity, values)}
        _copy(connection, entity, moved, source, derived, stamp, feed)
    if single:
        _update(connection, entity, values, source, hit, stamp, feed)
    for f in (f for f in fields if entity.fields[f].array):
        array = sql.SQL(
            "ARRAY(SELECT COALESCE(r.new, u.v) FROM unnest(s.{f}) WITH ORDINALITY u(v, n) "
            "LEFT JOIN renamed r ON r.old = u.v ORDER BY u.n)"
        ).format(f=sql.Identifier(f))
        hit = sql.SQL("s.{f} && ARRAY(SELECT old FROM renamed)").format(f=sql.Identifier(f))
        _update(connection, entity, {f: array}, sql.SQL(""), hit, stamp, feed)


def _natural(entity: Entity, values: dict[str, sql.Composable]) -> sql.Composed:
    """The natural key of row `s` as the rules make it: parts joined by `|`, one inside doubled."""
    parts = (
        sql.SQL("replace(COALESCE(({})::text, ''), '|', '||')").format(
            values.get(name, sql.SQL("s.{}").format(sql.Identifier(name)))
        )
        for name in entity.natural_key
    )
    return sql.SQL("({})").format(sql.SQL(" || '|' || ").join(parts))


def _copy(
    connection: Connection, entity: Entity, values: dict[str, sql.Composable],
    source: sql.Composable, condition: sql.Composable, stamp: Stamp, feed: str,
) -> None:  # fmt: skip
    """Current rows that meet the condition move to the key in `values`; the old ones are deleted."""
    own = {
        "delivery_seq": sql.Literal(stamp.delivery_seq), "run_seq": sql.Literal(stamp.run_seq),
        "first_run_seq": sql.Literal(stamp.run_seq), "change_seq": sql.Literal(stamp.change_seq),
        "last_changed_at": sql.SQL("now()"),
    }  # fmt: skip
    columns = [*entity.fields, *PROVENANCE]
    given: dict[str, sql.Composable] = {**own, **values}
    selected = [given.get(c, sql.SQL("s.{}").format(sql.Identifier(c))) for c in columns]
    connection.execute(
        sql.SQL(_COPY).format(
            table=table(entity.entity),
            key=sql.Identifier(entity.key),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            selected=sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(v, sql.Identifier(c))
                for c, v in zip(columns, selected, strict=True)
            ),
            excluded=sql.SQL(", ").join(
                sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(c))
                for c in columns
                if c != "first_run_seq"
            ),
            source=source,
            condition=condition,
            client=sql.Literal(stamp.client_id),
            entity=sql.Literal(entity.entity),
            feed=sql.Literal(feed),
            run=own["run_seq"],
            change=own["change_seq"],
            delivery=own["delivery_seq"],
        )
    )


_COPY = """
WITH moving AS MATERIALIZED (
    SELECT s.{key} AS old_key, {selected}
    FROM {table} s {source}
    WHERE s.client_id = {client} AND s.deleted_at IS NULL AND {condition}
), copied AS (
    INSERT INTO {table} AS t (client_id, {columns}) SELECT {client}, {columns} FROM moving
    ON CONFLICT (client_id, {key}) DO UPDATE SET {excluded} WHERE t.deleted_at IS NOT NULL
    RETURNING new.{key} AS key, to_jsonb(old) AS before, old.client_id IS NOT NULL AS was_there
), gone AS (
    UPDATE {table} AS t SET deleted_at = now(), feeds = ARRAY[]::text[], run_seq = {run},
        change_seq = {change}, delivery_seq = {delivery}, last_changed_at = now()
    FROM moving m WHERE t.client_id = {client} AND t.{key} = m.old_key
    RETURNING t.{key} AS key, to_jsonb(old) AS before
)
INSERT INTO etl.history (client_id, entity, key, run_seq, feed, action, before)
SELECT {client}, {entity}, key, {run}, {feed}, 'restore', before FROM copied WHERE was_there
UNION ALL
SELECT {client}, {entity}, key, {run}, {feed}, 'delete', before FROM gone
"""


def _update(
    connection: Connection, entity: Entity, values: dict[str, sql.Composable],
    source: sql.Composable, condition: sql.Composable, stamp: Stamp, feed: str,
) -> None:  # fmt: skip
    """Set fields of current rows that meet the condition; their keys stay."""
    connection.execute(
        sql.SQL(_UPDATE).format(
            table=table(entity.entity),
            key=sql.Identifier(entity.key),
            selected=sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(v, sql.Identifier(f)) for f, v in values.items()
            ),
            assigned=sql.SQL(", ").join(
                sql.SQL("{0} = m.{0}").format(sql.Identifier(f)) for f in values
            ),
            which=sql.SQL(", ").join(
                sql.SQL("CASE WHEN old.{0} IS DISTINCT FROM new.{0} THEN {1} END").format(
                    sql.Identifier(f), sql.Literal(f)
                )
                for f in values
            ),
            source=source,
            condition=condition,
            client=sql.Literal(stamp.client_id),
            entity=sql.Literal(entity.entity),
            feed=sql.Literal(feed),
            run=sql.Literal(stamp.run_seq),
            change=sql.Literal(stamp.change_seq),
            delivery=sql.Literal(stamp.delivery_seq),
        )
    )


_UPDATE = """
WITH meant AS MATERIALIZED (
    SELECT s.{key} AS old_key, {selected}
    FROM {table} s {source}
    WHERE s.client_id = {client} AND s.deleted_at IS NULL AND ({condition})
), changed AS (
    UPDATE {table} AS t SET {assigned}, run_seq = {run}, change_seq = {change},
        delivery_seq = {delivery}, last_changed_at = now()
    FROM meant m WHERE t.client_id = {client} AND t.{key} = m.old_key
    RETURNING t.{key} AS key, to_jsonb(old) AS before, array_remove(ARRAY[{which}]::text[], NULL) AS columns
)
INSERT INTO etl.history (client_id, entity, key, run_seq, feed, action, columns, before)
SELECT {client}, {entity}, key, {run}, {feed}, 'update', columns, before FROM changed
"""
