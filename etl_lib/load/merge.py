"""One MERGE per fill, and the deletion of rows that vanished; both answer with what they did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from etl_lib.database import Connection
from etl_lib.load.staging import Staged
from etl_lib.load.tables import table


@dataclass(frozen=True)
class Stamp:
    """What every row that this load writes carries."""

    client_id: str
    delivery_seq: int
    run_seq: int
    change_seq: int


@dataclass(frozen=True)
class Merged:
    """What MERGE itself says it did with the staged rows of a fill."""

    inserted: int
    updated: int
    deleted: int
    restored: int


@dataclass(frozen=True)
class SharedColumns:
    """Columns that other feeds write too, whose word counts before this fill's.

    `stronger`: by column the feeds that bring rows. `completing`: by column the staged rows of feeds
    that only complete rows, None for such a feed that is not in this delivery.
    """

    stronger: Mapping[str, Sequence[str]]
    completing: Mapping[str, Sequence[Staged | None]]


def merge(
    connection: Connection, staged: Staged, shared: SharedColumns, stamp: Stamp,
    additions_only: bool = False,
) -> Merged:  # fmt: skip
    """Bring the staged rows into the entity's table; rows that do not differ are not written.

    Before-images of updated and deleted rows go to the history in the same statement.
    `additions_only`: rows that are there stay as they are; new and returning ones are written.
    """
    parts = _parts(staged, shared, stamp)
    inserts = staged.fill.rules.insert
    if inserts and _is_empty(connection, staged, stamp):
        inserted = connection.execute(sql.SQL(_FIRST).format(**parts)).rowcount
        return Merged(inserted, updated=0, deleted=0, restored=0)
    clauses = _INSERTING if inserts else _COMPLETING
    if additions_only:
        clauses = _ADDING if inserts else _LEAVING
    row = connection.execute(
        sql.SQL(_MERGE.replace("-- clauses", clauses)).format(**parts)
    ).fetchone()
    assert row is not None
    return Merged(*row)


def _is_empty(connection: Connection, staged: Staged, stamp: Stamp) -> bool:
    """Whether the entity holds nothing of this client, deleted or not."""
    found = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE client_id = %s)").format(
        table(staged.fill.entity.entity)
    )
    return connection.execute(found, (stamp.client_id,)).fetchone() == (False,)


def _parts(staged: Staged, shared: SharedColumns, stamp: Stamp) -> dict[str, sql.Composable]:
    """What the statements' places hold."""
    fill = staged.fill
    columns = [name for name in staged.columns if name != fill.entity.key]
    if fill.rules.extra:
        columns.append("extra")
    values = {name: _value(staged, name, shared) for name in columns}
    written = sql.SQL(", ").join(sql.Identifier(name) for name in columns)
    return {
        "target": table(fill.entity.entity),
        "staged": staged.name,
        "key": staged.key,
        "feed": sql.Literal(fill.feed_name),
        "client": sql.Literal(stamp.client_id),
        "entity": sql.Literal(fill.entity.entity),
        "run": sql.Literal(stamp.run_seq),
        "delivery": sql.Literal(stamp.delivery_seq),
        "change": sql.Literal(stamp.change_seq),
        "differs": is_distinct("t", columns, values),
        "changed": is_distinct("old", columns, {n: column_of("new", n) for n in columns}),
        "which": differing(columns),
        "set_columns": sql.SQL("").join(
            sql.SQL("{} = {}, ").format(sql.Identifier(n), v) for n, v in values.items()
        ),
        "columns": sql.SQL("").join(sql.SQL("{}, ").format(sql.Identifier(n)) for n in columns),
        "new_values": sql.SQL("").join(sql.SQL("{}, ").format(column_of("s", n)) for n in columns),
        "written": written,
    }


def column_of(alias: str, name: str) -> sql.Composed:
    """`alias.name`, quoted."""
    return sql.SQL("{}.{}").format(sql.SQL(alias), sql.Identifier(name))


def _value(staged: Staged, name: str, shared: SharedColumns) -> sql.Composed:
    """What a matched row's column becomes: the file's value, unless another word counts.

    A blank that keeps leaves the stored value, unless the row clears it; so does a default that
    stands in for a column that the file does not have, since absence says nothing; then come feeds
    with precedence.
    """
    value, theirs = column_of("s", name), column_of("t", name)
    rule = staged.fill.rules.columns.get(name)
    if rule and rule.blank == "keep":
        kept = sql.SQL("COALESCE({}, {})").format(value, theirs)
        value = _unless_cleared(staged, name, kept, value)
    if files := staged.transformed.defaulted.get(name):
        value = sql.SQL("CASE WHEN s._file = ANY ({}) THEN COALESCE({}, {}) ELSE {} END").format(
            sql.Literal(list(files)), theirs, value, value
        )
    if feeds := shared.stronger.get(name):
        value = sql.SQL("CASE WHEN t.feeds && {} THEN {} ELSE {} END").format(
            sql.Literal(list(feeds)), theirs, value
        )
    for other in shared.completing.get(name, ()):
        if other is None or name not in other.columns:
            value = sql.SQL("COALESCE({}, {})").format(theirs, value)
        else:
            value = sql.SQL(
                "CASE WHEN EXISTS (SELECT FROM {} o WHERE o.{} = s.{} AND o.{} IS NOT NULL) "
                "THEN {} ELSE {} END"
            ).format(other.name, staged.key, staged.key, sql.Identifier(name), theirs, value)
    return value


def _unless_cleared(
    staged: Staged, name: str, kept: sql.Composed, cleared: sql.Composed
) -> sql.Composed:
    """`kept`, but for rows that say of themselves that they clear the field."""
    if name not in staged.transformed.clears:
        return kept
    return sql.SQL("CASE WHEN {} = ANY (s._cleared) THEN {} ELSE {} END").format(
        sql.Literal(name), cleared, kept
    )


def differing(columns: Sequence[str]) -> sql.Composable:
    """An array of the names of the columns in which `old` and `new` differ."""
    if not columns:
        return sql.SQL("ARRAY[]::text[]")
    cases = (
        sql.SQL("CASE WHEN {} IS DISTINCT FROM {} THEN {} END").format(
            column_of("old", name), column_of("new", name), sql.Literal(name)
        )
        for name in columns
    )
    return sql.SQL("array_remove(ARRAY[{}]::text[], NULL)").format(sql.SQL(", ").join(cases))


def is_distinct(
    alias: str, columns: Sequence[str], values: Mapping[str, sql.Composed]
) -> sql.Composable:
    """Whether any of the columns of `alias` differs from its value in `values`."""
    if not columns:
        return sql.SQL("false")
    return sql.SQL("({}) IS DISTINCT FROM ({})").format(
        sql.SQL(", ").join(column_of(alias, name) for name in columns),
        sql.SQL(", ").join(values[name] for name in columns),
    )


_SET = """{set_columns}delivery_seq = {delivery}, source_file = s._file, source_line = s._line,
            run_seq = {run}, change_seq = {change}, last_changed_at = now()"""

_RETURN = f"""
        UPDATE SET {_SET}, deleted_at = NULL,
            feeds = CASE WHEN {{feed}} = ANY (t.feeds) THEN t.feeds ELSE array_append(t.feeds, {{feed}}) END
"""
_NEW = """client_id, {key}, {columns}feeds, delivery_seq, source_file, source_line,
            run_seq, first_run_seq, change_seq, first_seen_at, last_changed_at"""
_NEW_VALUES = """{client}, s.{key}, {new_values}ARRAY[{feed}], {delivery}, s._file, s._line,
            {run}, {run}, {change}, now(), now()"""
# The first load of a client: 3.1 CPU s for 1,000,000 rows instead of MERGE's 4.1
_FIRST = f"""
    INSERT INTO {{target}} ({_NEW})
    SELECT {_NEW_VALUES} FROM {{staged}} s WHERE NOT s._deleted
"""  # noqa: S608 (parts of our own)
_CLAIM_OR_INSERT = f"""
    WHEN MATCHED AND NOT s._deleted AND NOT {{feed}} = ANY (t.feeds) THEN
        UPDATE SET feeds = array_append(t.feeds, {{feed}})
    WHEN NOT MATCHED AND NOT s._deleted THEN
        INSERT ({_NEW}) VALUES ({_NEW_VALUES})
"""  # noqa: S608 (parts of our own)
# Order matters: the first clause that fits is taken.
_INSERTING = f"""
    WHEN MATCHED AND s._deleted AND t.deleted_at IS NULL AND {{feed}} = ANY (t.feeds) THEN
        UPDATE SET feeds = array_remove(t.feeds, {{feed}}),
            deleted_at = CASE WHEN t.feeds <@ ARRAY[{{feed}}] THEN now() END,
            delivery_seq = {{delivery}}, source_file = s._file, source_line = s._line,
            run_seq = {{run}}, change_seq = {{change}}, last_changed_at = now()
    WHEN MATCHED AND NOT s._deleted AND (t.deleted_at IS NOT NULL OR {{differs}}) THEN
        {_RETURN}
    {_CLAIM_OR_INSERT}
"""
_ADDING = f"""
    WHEN MATCHED AND NOT s._deleted AND t.deleted_at IS NOT NULL THEN
        {_RETURN}
    {_CLAIM_OR_INSERT}
"""
_LEAVING = "WHEN MATCHED THEN DO NOTHING"
_COMPLETING = f"""
    WHEN MATCHED AND NOT s._deleted AND {{differs}} THEN
        UPDATE SET {_SET}
"""

# merge_action() with old and new: https://www.postgresql.org/docs/18/sql-merge.html
_MERGE = """
WITH merged AS (
    MERGE INTO {target} AS t USING {staged} AS s
        ON t.client_id = {client} AND t.{key} = s.{key}
    -- clauses
    RETURNING merge_action() AS action, s._deleted AS by_row, t.{key} AS key,
        old.deleted_at IS NOT NULL AND new.deleted_at IS NULL AS restored,
        old.deleted_at IS NULL AND new.deleted_at IS NOT NULL AS deleted,
        merge_action() = 'UPDATE' AND {changed} AS changed,
        CASE WHEN merge_action() = 'UPDATE' THEN {which} END AS columns,
        CASE WHEN merge_action() = 'UPDATE' THEN to_jsonb(old) END AS before
), kept AS (
    INSERT INTO etl.history (client_id, entity, key, run_seq, feed, action, columns, before)
    SELECT {client}, {entity}, key, {run}, {feed},
           CASE WHEN deleted THEN 'delete' WHEN restored THEN 'restore'
                WHEN changed THEN 'update' ELSE 'claim' END,
           CASE WHEN deleted THEN '{{}}' ELSE columns END, before
    FROM merged WHERE action = 'UPDATE'
)
SELECT count(*) FILTER (WHERE action = 'INSERT'),
       count(*) FILTER (WHERE action = 'UPDATE' AND NOT by_row AND (changed OR restored)),
       count(*) FILTER (WHERE deleted),
       count(*) FILTER (WHERE restored)
FROM merged
"""


@contextmanager
def without_nested_loops(connection: Connection) -> Iterator[None]:
    """Let PostgreSQL join by hashing or sorting only, whatever it expects.

    Of a client whose rows it has not counted yet it expects one row, and would compare each row of
    the table with each of the file: 4.5 s for the first 7,000 enrollments of a school, hours for 1,000,000.
    """
    row = connection.execute("SHOW enable_nestloop").fetchone()
    assert row is not None
    connection.execute("SET LOCAL enable_nestloop = off")
    yield
    connection.execute(sql.SQL("SET LOCAL enable_nestloop = {}").format(sql.Literal(row[0])))


def delete_absent(connection: Connection, staged: Staged, stamp: Stamp) -> int:
    """Mark rows deleted that the feed claimed before and no longer sends; gives how many went.

    Only within the scope that the file speaks of (`scope_by`). A row that another feed still claims
    stays. Rows that were sent and rejected count as present.
    """
    fill = staged.fill
    query = sql.SQL(_DELETE).format(
        target=table(fill.entity.entity),
        staged=staged.name,
        kept=staged.kept_name,
        key=staged.key,
        feed=sql.Literal(fill.feed_name),
        client=sql.Literal(stamp.client_id),
        entity=sql.Literal(fill.entity.entity),
        run=sql.Literal(stamp.run_seq),
        delivery=sql.Literal(stamp.delivery_seq),
        change=sql.Literal(stamp.change_seq),
        scope=_scope(staged, stamp.client_id),
    )
    with without_nested_loops(connection):
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


_DELETE = """
WITH gone AS (
    UPDATE {target} AS t SET feeds = array_remove(t.feeds, {feed}),
        deleted_at = CASE WHEN t.feeds <@ ARRAY[{feed}] THEN now() END,
        delivery_seq = {delivery}, run_seq = {run}, change_seq = {change}, last_changed_at = now()
    WHERE t.client_id = {client} AND t.deleted_at IS NULL AND {feed} = ANY (t.feeds)
      AND NOT EXISTS (SELECT FROM {staged} s WHERE s.{key} = t.{key})
      AND NOT EXISTS (SELECT FROM {kept} k WHERE k.key = t.{key})
      AND {scope}
    RETURNING t.{key} AS key, new.deleted_at IS NOT NULL AS deleted, to_jsonb(old) AS before
), kept_before AS (
    INSERT INTO etl.history (client_id, entity, key, run_seq, feed, action, before)
    SELECT {client}, {entity}, key, {run}, {feed}, CASE WHEN deleted THEN 'delete' ELSE 'claim' END, before
    FROM gone
)
SELECT count(*) FILTER (WHERE deleted) FROM gone
"""


def _scope(staged: Staged, client_id: str) -> sql.Composable:
    """The condition on `t`: within what the file speaks of, values of several fields taken together."""
    if not staged.scope:
        return sql.SQL("true")
    client = sql.Literal(client_id)
    values, joins, targets, same = [], [], [], []
    for number, path in enumerate(staged.fill.rules.scope_by):
        field, _, beyond = path.partition(".")
        name = sql.Identifier(f"v{number}")
        of_row, of_file = sql.Identifier("t", field), sql.Identifier("s", field)
        if beyond:
            target = staged.fill.entity.references[field].entity
            row, file = (
                f"x{number}",
                f"y{number}",
            )  # what our row refers to, and what the file's does
            targets.append(sql.SQL(", {} {}").format(table(target), sql.Identifier(row)))
            same += [
                sql.SQL("{} = {}").format(sql.Identifier(row, "client_id"), client),
                sql.SQL("{} = {}").format(sql.Identifier(row, f"{target}_id"), of_row),
            ]
            joins.append(
                sql.SQL("JOIN {target} {file} ON {owner} = {client} AND {key} = {of_file}").format(
                    target=table(target),
                    client=client,
                    file=sql.Identifier(file),
                    owner=sql.Identifier(file, "client_id"),
                    key=sql.Identifier(file, f"{target}_id"),
                    of_file=of_file,
                )
            )
            of_row, of_file = sql.Identifier(row, beyond), sql.Identifier(file, beyond)
        values.append(sql.SQL("{} AS {}").format(of_file, name))
        same.append(sql.SQL("{} = f.{}").format(of_row, name))
    return sql.SQL(_IN_SCOPE).format(
        values=sql.SQL(", ").join(values),
        fields=sql.SQL(", ").join(map(sql.Identifier, staged.scope)),
        staged=staged.name,
        unchanged=staged.scope_name,
        joins=sql.SQL(" ").join(joins),
        targets=sql.SQL("").join(targets),
        same=sql.SQL(" AND ").join(same),
    )


_IN_SCOPE = """
EXISTS (
    SELECT FROM (
        SELECT DISTINCT {values}
        FROM (SELECT {fields} FROM {staged} UNION SELECT {fields} FROM {unchanged}) s {joins}) f{targets}
    WHERE {same})
"""
