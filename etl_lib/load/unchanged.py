"""What a load needs to know of rows that were left out because they have not changed, and when it cannot go on.

They are in the target already; they count as present, their references count, and what they refer to
must still be there. Where that no longer holds, RowsMoved says so, and the whole delivery goes through.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from psycopg import sql

from etl_lib.arrow_file import batches, read_table, write_table
from etl_lib.database import Connection
from etl_lib.errors import RowsMoved
from etl_lib.load.merge import Stamp
from etl_lib.load.references import RejectedRow, must_meet
from etl_lib.load.staging import Staged
from etl_lib.load.tables import sql_type, table
from etl_lib.manifest import (
    ROW_FILTERED,
    ROW_THROUGH,
    SNAPSHOTS,
    Counts,
    Snapshot,
    Transformed,
    TransformedFill,
)
from etl_lib.metrics.snapshots import snapshots_of, write_snapshots
from etl_lib.run import Run
from etl_lib.storage import Storage, scratch_folder, sha256_of


def must_be_as_compared(connection: Connection, run: Run, transformed: Transformed) -> None:
    """Raise RowsMoved unless the snapshots that rows were found in are still those of the last load."""
    now = {snapshot.key for snapshot in snapshots_of(connection, run.client_id)}
    if any(fill.base_key and fill.base_key not in now for fill in transformed.fills):
        raise RowsMoved


def must_not_be_renamed(renamed: Sequence[Counts], transformed: Transformed) -> None:
    """Raise RowsMoved when records have got other ids: what referred to them has changed too."""
    if any(count.updated for count in renamed) and any(f.base_key for f in transformed.fills):
        raise RowsMoved


def stage_unchanged(connection: Connection, staged: Staged, archive: Storage) -> None:
    """Copy what deletion by absence must know of unchanged rows: their keys, and the scope they speak of."""
    if not staged.fill.deletes_absent:
        return
    if staged.scope:
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(
                sql.Identifier(name), sql.SQL(sql_type(staged.fill.entity.fields[name]))
            )
            for name in staged.scope
        )
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
                staged.scope_name, columns
            )
        )
        rows = _rows(staged.transformed, staged.scope, archive)
        values = (one.group_by(list(staged.scope)).aggregate([]) for one in rows)
        _copy(connection, staged.scope_name, (one.select(staged.scope) for one in values))
    _copy(
        connection,
        staged.kept_name,
        _rows(staged.transformed, (staged.fill.entity.key,), archive),
    )


def must_still_be_there(
    connection: Connection, staged: Staged, stamp: Stamp, fed: Collection[str], archive: Storage
) -> None:
    """Raise RowsMoved when this load has deleted something that unchanged rows require."""
    if not staged.transformed.rows_unchanged:
        return
    keys: set[str] = set()
    for field, target in must_meet(staged, fed):
        keys |= _dependents(connection, staged, stamp, field, target)
    if not keys:
        return
    wanted = pa.array(sorted(keys), pa.string())
    key = staged.fill.entity.key
    for found in _rows(staged.transformed, (key,), archive):
        if pc.any(pc.is_in(found[key], value_set=wanted)).as_py():
            raise RowsMoved


def _dependents(
    connection: Connection, staged: Staged, stamp: Stamp, field: str, target: str
) -> set[str]:
    """Keys of rows whose field refers to a record that this load has deleted."""
    rows = connection.execute(
        sql.SQL(
            "SELECT s.{key} FROM {gone} t JOIN {own} s ON s.client_id = {client} AND s.{field} = t.{target_key} "
            "WHERE t.client_id = {client} AND t.change_seq = {change} AND t.deleted_at IS NOT NULL"
        ).format(
            key=staged.key, gone=table(target), own=table(staged.fill.entity.entity),
            field=sql.Identifier(field), target_key=sql.Identifier(f"{target}_id"),
            client=sql.Literal(stamp.client_id), change=sql.Literal(stamp.change_seq),
        )
    ).fetchall()  # fmt: skip
    return {key for (key,) in rows}


def count_unresolved_unchanged(
    connection: Connection, client_id: str, staged: Staged, entities: Collection[str],
    archive: Storage,
) -> int:  # fmt: skip
    """How many optional references of unchanged rows point at nothing; see references.count_unresolved."""
    total = 0
    if not staged.transformed.rows_unchanged:
        return total
    for field, reference in staged.fill.entity.references.items():
        wanted = reference.on_unknown == "keep" and reference.entity in entities
        if wanted and field in staged.columns:
            counts = _counted(staged, field, archive)
            row = connection.execute(
                sql.SQL(
                    "SELECT COALESCE(sum(v.rows), 0) FROM unnest(%s::text[], %s::bigint[]) AS v(id, rows) "
                    "WHERE NOT EXISTS (SELECT FROM {target} t WHERE t.client_id = %s "
                    "AND t.{target_key} = v.id AND t.deleted_at IS NULL)"
                ).format(
                    target=table(reference.entity),
                    target_key=sql.Identifier(f"{reference.entity}_id"),
                ),
                (list(counts), list(counts.values()), client_id),
            ).fetchone()
            assert row is not None
            total += int(row[0])
    return total


def _counted(staged: Staged, field: str, archive: Storage) -> dict[str, int]:
    """By value of the field how many unchanged rows have it; deleted ones aside."""
    fields = (field, "_deleted")
    rows = pa.concat_tables(_unchanged(staged.transformed, fields, archive))
    values = rows.filter(pc.invert(rows["_deleted"]))[field]
    if pa.types.is_list(values.type):
        values = pc.list_flatten(values)
    counts = pc.value_counts(values.drop_null())
    return dict(
        zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    )


def keep_snapshots(
    connection: Connection, run: Run, transformed: Transformed,
    rejects: dict[str, list[RejectedRow]],
) -> list[str]:  # fmt: skip
    """Put the rows as this load leaves them into the archive, and let the state point at them.

    Gives the keys of other snapshots, which may go once the load is committed. Rejected rows are
    never in a snapshot: they are looked at again each time.
    """
    there = run.archive.keys(SNAPSHOTS)
    found = []
    for fill in transformed.fills:
        # it is gone when another load was committed after it was made, and this one had nothing to compare
        if fill.snapshot and fill.snapshot.key in there:
            out = [row[2] for row in rejects.get(f"{fill.feed}.{fill.entity}", ())]
            found.append(_without(run, fill.snapshot, out) if out else fill.snapshot)
    write_snapshots(connection, run.client_id, found)
    ours = {snapshot.key for snapshot in found}
    return [key for key in there if key not in ours]


def _without(run: Run, snapshot: Snapshot, rejected: Sequence[str | None]) -> Snapshot:
    """The same in its place, but for rows with these keys."""
    with scratch_folder() as scratch:
        path = scratch / "snapshot"
        run.archive.get_file(snapshot.key, path)
        rows = read_table(path)
        gone = pc.is_in(rows[f"{snapshot.entity}_id"], value_set=pa.array(rejected, pa.string()))
        write_table(path, rows.filter(pc.invert(gone)))
        digest = sha256_of(path)
        run.archive.put_file(path, snapshot.key)
        return snapshot.model_copy(update={"sha256": digest})


def _unchanged(
    transformed: TransformedFill, columns: Sequence[str], archive: Storage
) -> Iterable[pa.Table]:
    """The rows of the snapshot that have not gone through."""
    assert transformed.snapshot
    with archive.reading(transformed.snapshot.key) as stream:
        for batch in batches(stream, [*columns, ROW_THROUGH, ROW_FILTERED]):
            stayed = batch.filter(pc.invert(pc.or_(batch[ROW_THROUGH], batch[ROW_FILTERED])))
            yield pa.Table.from_batches([stayed.select(columns)])


def _rows(
    transformed: TransformedFill, columns: Sequence[str], archive: Storage
) -> Iterable[pa.Table]:
    if transformed.rows_unchanged:
        yield from _unchanged(transformed, columns, archive)


def _copy(connection: Connection, name: sql.Identifier, tables: Iterable[pa.Table]) -> None:
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(name)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for one in tables:
            buffer = io.BytesIO()
            pyarrow.csv.write_csv(one, buffer, options)
            copy.write(buffer.getbuffer())
