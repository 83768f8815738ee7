"""The load of one delivery, as the contract says it: planned and changed in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pyarrow as pa
from psycopg import sql

from etl_lib.arrow_file import write_table
from etl_lib.config.project import ResolvedMapping
from etl_lib.database import Connection, connected
from etl_lib.errors import AskTheSchool, Fault, Superseded, TryAgain
from etl_lib.load.approval import additions_only, ask, is_approved
from etl_lib.load.limits import over_fail_limit, over_hold_limits
from etl_lib.load.merge import SharedColumns, Stamp, delete_absent, merge
from etl_lib.load.references import count_unresolved, reject_unknown
from etl_lib.load.renames import change_ids
from etl_lib.load.staging import Staged, stage
from etl_lib.load.tables import PROVENANCE, table
from etl_lib.load.unchanged import (
    count_unresolved_unchanged,
    keep_snapshots,
    must_be_as_compared,
    must_not_be_renamed,
    must_still_be_there,
    stage_unchanged,
)
from etl_lib.manifest import Counts, Extracted, Hold, Loaded, Transformed, Validated, masked
from etl_lib.metrics.freezes import must_not_be_frozen_now
from etl_lib.metrics.holds import Plan, settle_older
from etl_lib.metrics.ledger import (
    RejectedRow,
    current_delivery,
    next_change,
    record_load,
    recorded_load,
    run_seq_of,
)
from etl_lib.metrics.schema import ensure_history_partition
from etl_lib.metrics.status import RunStatus
from etl_lib.metrics.undone import undone_delivery
from etl_lib.run import Progress, Run
from etl_lib.storage import scratch_folder

_LOCK_WAIT_S = 30
_SAMPLES = 5
# How soon the server notices, within a statement too, that nobody waits for its answer any more.
_LEFT_ALONE = {
    "client_connection_check_interval": "2s",
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
}


def load(run: Run, extracted: Extracted, validated: Validated, transformed: Transformed) -> Plan:
    """Bring the delivery into the tables, whole or not at all; gives what the database did.

    A run that has been loaded before gets its recorded counts and changes nothing. A dry run is the
    same transaction, always rolled back, with samples. Raises NeedsApproval over a hold limit (the
    hold is recorded, nothing is changed), Refused when a person has refused this very plan,
    AskTheSchool over a fail limit, Paused for a client that is or gets frozen, Superseded for a full
    delivery older than the loaded one or one that waits, TryAgain when the database or the client's
    lock is not free.
    """
    delivery, resolved = extracted.delivery, extracted.resolved
    with connected(run.database_url) as connection:
        ensure_history_partition(connection)
    with connected(run.database_url) as connection:
        if done := _lock_and_look(connection, run, extracted):
            return Plan(done, [])
        must_be_as_compared(connection, run, transformed)
        plan, rejects = _change(connection, run, extracted, validated, transformed)
        is_asked = (
            bool(plan.loaded.holds)
            and not run.wishes.dry_run
            and not is_approved(connection, run, extracted, plan)
        )
        if run.wishes.dry_run or is_asked:
            connection.rollback()
        else:
            settle_older(connection, run, delivery, _all_full(resolved))
            old = keep_snapshots(connection, run, transformed, rejects)
            must_not_be_frozen_now(connection, run.client_id, until_commit=True)
    if is_asked:
        ask(run, extracted, plan, _all_full(resolved))
    elif not run.wishes.dry_run:
        with suppress(TryAgain):  # the next load finds what is left
            for key in old:
                run.archive.delete(key)
    return plan


def lock_client(connection: Connection, client_id: str) -> None:
    """Exclude other loads of the client until the transaction ends; TryAgain (LOAD_BUSY) after a while."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{_LOCK_WAIT_S}s"))
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtext('etl load'), hashtext(%s))", (client_id,)
    )
    connection.execute("SET LOCAL lock_timeout = 0")
    # a killed load must not hold the client's lock until its MERGE is done, nor after a lost network
    for setting, value in _LEFT_ALONE.items():
        connection.execute(sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(setting), value))


def _lock_and_look(connection: Connection, run: Run, extracted: Extracted) -> Loaded | None:
    """Exclude other loads of the client, then see whether this one has been done already."""
    lock_client(connection, run.client_id)
    if done := recorded_load(connection, run):
        return done
    if not run.wishes.dry_run:
        must_not_be_frozen_now(connection, run.client_id, until_commit=False)
    current = current_delivery(connection, run.client_id)
    if (
        current
        and current.delivery_seq > extracted.delivery.delivery_seq
        and (_all_full(extracted.resolved) or run.wishes.only_rejects)
        and not run.may_overwrite(current.loaded_at)
    ):
        text = f"The delivery of {current.delivered_on:%d %B %Y}, which is newer, has been loaded."
        raise Superseded.of("SUPERSEDED", text)
    return None


def _all_full(resolved: ResolvedMapping) -> bool:
    return all(feed.content == "full" for feed in resolved.mapping.feeds.values())


def _change(
    connection: Connection, run: Run, extracted: Extracted, validated: Validated,
    transformed: Transformed,
) -> tuple[Plan, dict[str, list[RejectedRow]]]:  # fmt: skip
    resolved, delivery = extracted.resolved, extracted.delivery
    run_seq, change_seq = run_seq_of(connection, run), next_change(connection)
    stamp = Stamp(run.client_id, delivery.delivery_seq, run_seq, change_seq)
    connection.execute("SET LOCAL temp_buffers = '64MB'")
    # a night's few rows are found by key: of 1,000,000 rows 1 % changed, 0.27 CPU s instead of 0.62
    connection.execute("SET LOCAL random_page_cost = 1.1")
    only_new = additions_only(run, resolved) is not None
    renamed, rejects = change_ids(connection, run, extracted, stamp)
    must_not_be_renamed(renamed, transformed)
    staged = list(_staged(connection, run, resolved, validated, transformed))
    coming = sum(one.transformed.rows_out for one in staged)
    if coming > sum(_rows(connection, run.client_id, e, coming) for e in resolved.entities):
        # more comes than is there: what PostgreSQL expects of this client is of no use
        connection.execute("SET LOCAL enable_nestloop = off")
    counts = []
    for one in staged:
        count, rejects[one.fill.name] = _load_fill(
            connection, run, one, staged, resolved, validated, stamp, only_new
        )
        counts.append(count)
    counts = [
        count.model_copy(
            update={
                "unresolved": count_unresolved(connection, run.client_id, one, resolved.entities)
                + count_unresolved_unchanged(
                    connection, run.client_id, one, resolved.entities, run.archive
                )
            }
        )
        for one, count in zip(staged, counts, strict=True)
    ]
    counts += renamed
    for count in counts:
        count.assert_adds_up()
    _keep_rejects(run, rejects)
    limits = {feed_name: feed.limits for feed_name, feed in resolved.mapping.feeds.items()}
    too_many = [t for c in counts if (t := over_fail_limit(c, limits[c.feed]))]
    if too_many and not run.wishes.only_rejects:
        raise AskTheSchool([Fault("TOO_MANY_REJECTED", text) for text in too_many])
    before = partial(_rows_before, connection, run.client_id, counts)
    holds = [
        # ids that change may be those of records that the client never sends
        h
        for c in counts
        for h in over_hold_limits(c, partial(before, c.entity), limits[c.feed])
    ]
    if words := undone_delivery(connection, run.client_id, delivery.delivery_id):
        holds.insert(0, Hold.of_undone(words))
    told = {(h.feed, h.entity, h.limit) for h in holds}
    if not only_new:  # rows that are gone change nothing then
        holds += [h for h in validated.holds if (h.feed, h.entity, h.limit) not in told]
    holds.sort(key=lambda hold: hold.limit != "deleted_share")  # what cannot be seen any more first
    if run.wishes.only_rejects:  # that rows are rejected again changes nothing
        holds = [hold for hold in holds if hold.limit != "rejected_share"]
    any_rejected = any(count.rejected for count in counts)
    status = RunStatus.SUCCEEDED_WITH_REJECTS if any_rejected else RunStatus.SUCCEEDED
    loaded = Loaded(status=status, counts=tuple(counts), holds=tuple(holds))
    samples = _samples(connection, resolved, stamp)
    record_load(
        connection, run, stamp.run_seq, stamp.change_seq, delivery, _contract(run, resolved),
        _all_full(resolved), loaded, samples,
    )  # fmt: skip
    digest = _digest(connection, _contract(run, resolved), resolved, loaded, stamp) if holds else ""
    return Plan(loaded, samples, digest), rejects


def _contract(run: Run, resolved: ResolvedMapping) -> str:
    """The row contract; another while only additions are written, so that the same files load after."""
    pause = additions_only(run, resolved)
    return f"{resolved.row_contract} additions only" if pause else resolved.row_contract


def _digest(
    connection: Connection, contract: str, resolved: ResolvedMapping, loaded: Loaded, stamp: Stamp
) -> str:  # fmt: skip
    """What a person decides about: another digest is another plan, whatever its counts say.

    Over the row contract of the mapping, counts, which limits are exceeded, and every row that
    changes: how, in which columns, and what it holds afterwards.
    """
    connection.execute("SET LOCAL timezone = 'UTC'")  # instants as text
    after = (
        sql.SQL(
            "SELECT {entity} AS entity, {key} AS key, (t.deleted_at IS NOT NULL)::text AS action, "
            "(to_jsonb(t) - {ours}::text[])::text AS what FROM {table} t "
            "WHERE client_id = {client} AND change_seq = {change}"
        ).format(
            entity=sql.Literal(entity.entity), key=sql.Identifier(entity.key),
            ours=sql.Literal([name for name in PROVENANCE if name != "extra"]),
            table=table(entity.entity), client=sql.Literal(stamp.client_id),
            change=sql.Literal(stamp.change_seq),
        )
        for entity in resolved.entities.values()
    )  # fmt: skip
    changed = sql.SQL(
        "SELECT entity, key, action, columns::text FROM etl.history WHERE run_seq = {}"
    ).format(sql.Literal(stamp.run_seq))
    row = connection.execute(
        sql.SQL(
            "SELECT count(*), sum(hashtextextended(concat_ws('|', entity, action, what, key), 0)::numeric) "
            "FROM ({}) changes"
        ).format(sql.SQL(" UNION ALL ").join([*after, changed]))
    ).fetchone()
    assert row is not None
    decided = [
        contract,
        *(count.model_dump_json() for count in loaded.counts),
        *(f"{hold.feed} {hold.entity} {hold.limit} {hold.code}" for hold in loaded.holds),
        *map(str, row),
    ]
    return hashlib.sha256("\n".join(decided).encode()).hexdigest()


def _staged(
    connection: Connection, run: Run, resolved: ResolvedMapping, validated: Validated,
    transformed: Transformed,
) -> Iterator[Staged]:  # fmt: skip
    by_name = {(fill.feed, fill.entity): fill for fill in transformed.fills}
    total = sum(fill.rows_out for fill in transformed.fills)
    done = 0
    for number, fill in enumerate(resolved.fills()):
        canonical = by_name.get((fill.feed_name, fill.entity.entity))
        if canonical is None:
            continue  # an optional feed that is not in this delivery
        judged = validated.of(fill.feed_name, fill.entity.entity)
        so_far = done

        def copied(rows: int, name: str = fill.name, so_far: int = so_far) -> None:
            run.progress(Progress("load", name, so_far + rows, total))

        rejects_keys = (judged.rejects_key, canonical.rejects_key)
        staged = stage(connection, number, fill, canonical, rejects_keys, run.workspace, copied)
        stage_unchanged(connection, staged, run.archive)
        yield staged
        done += canonical.rows_out


def _load_fill(
    connection: Connection, run: Run, staged: Staged, all_staged: Sequence[Staged],
    resolved: ResolvedMapping, validated: Validated, stamp: Stamp, only_new: bool,
) -> tuple[Counts, list[RejectedRow]]:  # fmt: skip
    fill, canonical = staged.fill, staged.transformed
    fed = frozenset(one.fill.entity.entity for one in all_staged)
    must_still_be_there(connection, staged, stamp, fed, run.archive)
    unknown = reject_unknown(connection, run.client_id, staged, fed)
    # of rejected rows alone the feeds with precedence say nothing: what they have brought stays
    speaking = () if run.wishes.only_rejects else all_staged
    shared = _shared(staged, speaking, resolved)
    merged = merge(connection, staged, shared, stamp, additions_only=only_new)
    absent = 0
    if fill.deletes_absent and not canonical.has_unreadable_key and not only_new:
        absent = delete_absent(connection, staged, stamp)
    judged = validated.of(fill.feed_name, fill.entity.entity)
    touched = merged.inserted + merged.updated + merged.deleted
    count = Counts(
        feed=fill.feed_name,
        entity=fill.entity.entity,
        read=judged.rows_read,
        inserted=merged.inserted,
        updated=merged.updated,
        unchanged=_staged_rows(connection, staged) + canonical.rows_unchanged - touched,
        deleted_by_row=merged.deleted,
        rejected=judged.rows_rejected + canonical.rows_rejected + len(unknown),
        duplicates=canonical.rows_duplicate,
        filtered=judged.rows_filtered,
        deleted_by_absence=absent,
        restored=merged.restored,
    )
    return count, unknown


def _shared(
    staged: Staged, all_staged: Sequence[Staged], resolved: ResolvedMapping
) -> SharedColumns:
    """Columns of the fill that a feed with precedence over it writes too."""
    entity, feed = staged.fill.entity, staged.fill.feed_name
    ranked = resolved.mapping.precedence.get(entity.entity, ())
    stronger: dict[str, list[str]] = {}
    completing: dict[str, list[Staged | None]] = {}
    for other in ranked[: ranked.index(feed)] if feed in ranked else ():
        rules = resolved.mapping.feeds[other].entities[entity.entity]
        there = next(
            (s for s in all_staged if s.fill.feed_name == other and s.fill.entity == entity), None
        )
        for column in rules.columns.keys() & set(staged.columns) - {entity.key}:
            if rules.insert:
                stronger.setdefault(column, []).append(other)
            else:
                completing.setdefault(column, []).append(there)
    return SharedColumns(stronger, completing)


def _rows_before(
    connection: Connection, client_id: str, counts: Sequence[Counts], entity: str, enough: int | None
) -> int:  # fmt: skip
    """See limits.RowsBefore, after a load with these counts."""
    ours = [count for count in counts if count.entity == entity]
    come = sum(count.inserted + count.restored for count in ours)
    gone = sum(count.deleted_by_row + count.deleted_by_absence for count in ours)
    there = _rows(connection, client_id, entity, None if enough is None else enough + come)
    return there - come + gone


def _rows(connection: Connection, client_id: str, entity: str, most: int | None = None) -> int:
    """The client's rows in the entity, deleted ones aside; not more than `most` are counted."""
    query = sql.SQL(
        "SELECT count(*) FROM (SELECT FROM {} WHERE client_id = %s AND deleted_at IS NULL LIMIT %s)"
    )
    row = connection.execute(query.format(table(entity)), (client_id, most)).fetchone()
    assert row is not None
    return int(row[0])


def _staged_rows(connection: Connection, staged: Staged) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(staged.name)).fetchone()
    assert row is not None
    return int(row[0])


def _keep_rejects(run: Run, rejects: dict[str, list[RejectedRow]]) -> None:
    """Files of the rows that the load rejected, beside those of the earlier stages."""
    schema = pa.schema([("file", pa.string()), ("line", pa.int64()), ("key", pa.string()),
                        ("column", pa.string()), ("code", pa.string())])  # fmt: skip
    for name, rows in rejects.items():
        columns = list(zip(*rows, strict=True)) or [()] * len(schema)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
        with scratch_folder() as scratch:
            write_table(scratch / "rejects.arrow", pa.table(arrays, schema=schema))
            run.workspace.put_file(scratch / "rejects.arrow", f"load/rejects-{name}.arrow")


def _samples(
    connection: Connection, resolved: ResolvedMapping, stamp: Stamp
) -> list[dict[str, Any]]:
    """A few changed rows of each entity: masked key, what would happen, which columns differ."""
    samples: list[dict[str, Any]] = []
    for entity in resolved.entities.values():
        rows = connection.execute(
            sql.SQL(
                """
                (SELECT 'insert', t.{key}, ARRAY[]::text[] FROM {table} t
                 WHERE t.client_id = {client} AND t.change_seq = {change} AND t.first_run_seq = {run}
                 LIMIT {most})
                UNION ALL
                SELECT kept.action, kept.key, kept.columns FROM unnest({actions}::text[]) AS one(action),
                    LATERAL (SELECT h.action, h.key, h.columns FROM etl.history h
                             WHERE h.run_seq = {run} AND h.entity = {entity} AND h.action = one.action
                             LIMIT {most}) kept
                """
            ).format(
                key=sql.Identifier(entity.key),
                table=table(entity.entity),
                client=sql.Literal(stamp.client_id),
                run=sql.Literal(stamp.run_seq),
                entity=sql.Literal(entity.entity),
                change=sql.Literal(stamp.change_seq),
                actions=sql.Literal(["update", "delete", "restore"]),
                most=sql.Literal(_SAMPLES),
            )
        ).fetchall()
        samples += [
            {"entity": entity.entity, "action": action, "key": masked(key), "columns": columns}
            for action, key, columns in rows
        ]
    return samples


def change(
    connection: Connection, run: Run, extracted: Extracted, validated: Validated,
    transformed: Transformed,
) -> None:  # fmt: skip
    """Everything that a load does, but for asking anybody, in the caller's transaction and lock."""
    _change(connection, run, extracted, validated, transformed)
