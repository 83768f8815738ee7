"""The transform stage: streams each fill's accepted rows into one Arrow file of canonical rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.arrow_file import (
    batches,
    count_rows,
    read_schema,
    read_table,
    write_table,
    written,
)
from etl_lib.config.project import Fill
from etl_lib.errors import FixTheMapping, RowsMoved
from etl_lib.manifest import (
    FACTS,
    LINE_HASH,
    REJECT_COLUMNS,
    ROW_HASH,
    Extracted,
    ReadTable,
    Snapshot,
    Transformed,
    TransformedFill,
    Validated,
    ValidatedFill,
    snapshot_key,
)
from etl_lib.rules import (
    Lookups,
    PreparedRows,
    arrow_type,
    fields_cleared,
    fields_defaulted,
    fields_present,
    fills_rows,
    parse,
    prepare,
)
from etl_lib.rules.facts import facts_of
from etl_lib.rules.repeats import Repeats
from etl_lib.rules.snapshots import HASH, last_of, read_snapshot, snapshot_schema
from etl_lib.rules.unchanged import (
    Headers,
    basis_of,
    carried_fields,
    compared_columns,
    is_compared,
)
from etl_lib.run import Progress, Run
from etl_lib.storage import Storage, scratch_folder, sha256_of
from etl_lib.transform.duplicates import row_hashes, settle
from etl_lib.transform.hook import call_hook
from etl_lib.transform.keys import KeysOfDelivery, kept_keys
from etl_lib.transform.memory import give_back
from etl_lib.transform.remember import ToRemember, filtered_schema
from etl_lib.transform.unchanged import RowsBefore

REJECT_SCHEMA = pa.schema(
    [("file", pa.string()), ("line", pa.int64()), ("key", pa.string()), ("column", pa.string()), ("code", pa.string())]
)  # fmt: skip
_PROVENANCE = [
    pa.field("extra", pa.string()),
    pa.field("_deleted", pa.bool_()),
    pa.field("_file", pa.string()),
    pa.field("_line", pa.int64()),
]
_CLEARED = pa.field("_cleared", pa.list_(pa.string()))


def transform(
    run: Run, extracted: Extracted, validated: Validated, snapshots: Sequence[Snapshot] = ()
) -> Transformed:
    """Canonical rows of every fill of the delivery, in load order; see manifest.TransformedFill.

    `snapshots`: of the client's last load; rows that are in them, unchanged, are left out. What cannot
    be cast is a rejected row, never a null or a guess. Raises FixTheMapping for a hook that fails or
    breaks its contract, RowsMoved when rows that were not read may not be as they were.
    """
    resolved = extracted.resolved
    lookups = Lookups.build(
        resolved, lambda feed, columns: _columns_of(run.workspace, extracted, feed, columns)
    )
    headers = Headers.of(extracted)
    total = sum(fill.rows_accepted for fill in validated.fills)
    done = 0
    fills = []
    with kept_keys(run) as keys, scratch_folder() as scratch:
        for fill in resolved.fills():
            if tables := extracted.tables_for(fill.feed_name, fill.entity.entity):
                judged = validated.of(fill.feed_name, fill.entity.entity)
                whole = extracted.tables_of(fill.feed_name) if run.wishes.only_rejects else ()
                work = _FillWork(run, fill, tables, judged, lookups, keys, total, done, whole)
                if is_compared(run, headers, fill):
                    work.compare(headers, snapshots, scratch / "snapshot")
                fills.append(work.write())
                done += judged.rows_accepted
    return Transformed(fills=tuple(fills))


def _columns_of(
    workspace: Storage, extracted: Extracted, feed: str, columns: list[str]
) -> Iterator[pa.Table]:
    for table in extracted.tables_of(feed):
        with workspace.reading(table.rows_key) as stream:
            there = [name for name in columns if name in table.columns]
            yield read_table(stream, columns=there)


@dataclass
class _FillWork:
    """One fill on its way; rejects and figures are gathered while its rows stream through."""

    run: Run
    fill: Fill
    tables: Sequence[ReadTable]
    judged: ValidatedFill
    lookups: Lookups
    keys: KeysOfDelivery
    total: int
    done: int
    whole: Sequence[ReadTable] = ()
    rejects: list[pa.Table] = field(default_factory=list)
    before: RowsBefore | None = None
    basis: str = ""
    carried: tuple[str, ...] = ()

    def compare(self, headers: Headers, snapshots: Sequence[Snapshot], path: Path) -> None:
        """Look which rows are as the last load has left them, and hash them all for the next.

        `path` is for the snapshot, until the fill is written.
        """
        self.basis = basis_of(headers, self.fill, self.lookups)
        self.carried = carried_fields(headers.resolved, self.fill)
        last = last_of(snapshots, self.fill, self.basis)
        schema = self._snapshot_schema(self._schema())
        rows = read_snapshot(self.run.archive, last, path, schema)
        columns = compared_columns(headers, self.fill)
        self.before = RowsBefore(columns, rows)
        entity = self.fill.entity.entity
        known = self.tables[0].known  # which only a feed of one table has
        if known and known.of(entity).snapshot.key != self.before.base_key:
            raise RowsMoved
        if known:
            self.before.take_known(self.run.workspace, self.tables[0], entity)
        else:
            self.before.look(self.run.workspace, self.tables, self._rejected_lines())

    def write(self) -> TransformedFill:
        """Stream, settle duplicates, and put rows and rejects where load finds them."""
        name = self.fill.name
        rows_key, rejects_key = (
            f"transform/rows-{name}.arrow",
            f"transform/rejects-{name}.arrow",
        )
        schema = self._schema()
        with scratch_folder() as scratch:
            path, filtered = scratch / "rows.arrow", scratch / "filtered.arrow"
            rows_in = self._write_canonical(path, filtered, schema)
            give_back()
            if self.whole:
                self._give_way(path)
            repeated = self._settle(path, schema)
            give_back()
            same = self.before.unchanged if self.before else 0
            shared, snapshot = self._remember(path, filtered, schema, scratch / "snapshot")
            rows_out = count_rows(path)
            self.run.workspace.put_file(path, rows_key)
            rejects = pa.concat_tables([REJECT_SCHEMA.empty_table(), *self.rejects])
            write_table(scratch / "rejects.arrow", rejects)
            self.run.workspace.put_file(scratch / "rejects.arrow", rejects_key)
        distinct = rejects.group_by(["file", "line"]).aggregate([]).num_rows
        assert rows_in == rows_out + distinct + repeated, f"{name}: rows do not add up"
        return TransformedFill(
            feed=self.fill.feed_name,
            entity=self.fill.entity.entity,
            rows_in=rows_in + same,
            rows_out=rows_out,
            rows_rejected=distinct,
            rows_duplicate=repeated,
            rows_unchanged=same,
            rows_key=rows_key,
            snapshot=snapshot,
            base_key=self.before.base_key if self.before else "",
            rejects_key=rejects_key,
            columns=tuple(f.name for f in schema if f.name in self.fill.entity.fields),
            defaulted=self._defaulted(schema),
            clears=self._clears(),
            shared_values=shared,
            has_unreadable_key=self._has_unreadable_key(rejects),
        )

    def _write_canonical(self, path: Path, filtered: Path, schema: pa.Schema) -> int:
        """All rows that go through, cast; gives how many accepted rows they were made from.

        Into `filtered` go those that a filter leaves out.
        """
        if self.before:
            for name, kind in ((ROW_HASH, HASH), (LINE_HASH, HASH), (FACTS, pa.binary())):
                schema = schema.append(pa.field(name, kind))
        while True:
            rows_in = 0
            self.rejects.clear()
            out = filtered_schema(self.fill.entity.key)
            with (
                written(path, schema) as writer,
                written(filtered, out) as left_out,
            ):
                for prepared, hashes, table, accepted in self._prepared():
                    if not pc.all(prepared.kept).as_py():
                        left_out.write_table(self._filtered(prepared, hashes, table.shown, out))
                    if rows := pc.sum(accepted).as_py():
                        rows_in += rows
                        canonical = self._cast(prepared, accepted, table.shown, schema, hashes)
                        writer.write_table(canonical)
                    so_far = Progress("transform", self.fill.name, self.done + rows_in, self.total)
                    self.run.progress(so_far)
            if not (self.before and self.before.make_way(self.fill.entity.key, path)):
                return rows_in

    def _remember(
        self, path: Path, filtered: Path, schema: pa.Schema, snapshot: Path
    ) -> tuple[dict[str, int], Snapshot | None]:
        """See transform.remember; gives, beside that, what manifest.TransformedFill calls `snapshot`."""
        wanted = self._snapshot_schema(schema)
        form = "" if self.judged.may_be_mixed else self.tables[0].line_form
        kept = ToRemember(
            self.run.workspace, self.fill, self.tables, self.keys, self.before, wanted, form
        )
        shared = kept.write(path, filtered, snapshot)
        if not self.before:
            return shared, None
        feed, entity = self.fill.feed_name, self.fill.entity.entity
        key, digest = snapshot_key(self.run.run_id, feed, entity), sha256_of(snapshot)
        self.run.archive.put_file(snapshot, key)
        return shared, Snapshot(feed=feed, entity=entity, key=key, sha256=digest, basis=self.basis)

    def _snapshot_schema(self, canonical: pa.Schema) -> pa.Schema:
        entity = self.fill.entity
        return snapshot_schema(canonical, entity.key, self.carried, entity.unique_warn)

    def _schema(self) -> pa.Schema:
        """A field is filled when every file of the feed can fill it: absent is not blank."""
        filling = [t for t in self.tables if fills_rows(self.fill, set(t.columns))] or self.tables
        filled = [set(fields_present(self.fill, set(table.columns))) for table in filling]
        names = set.intersection(*filled) | {self.fill.entity.key}
        fields = self.fill.entity.fields
        columns = [pa.field(n, arrow_type(fields[n])) for n in fields if n in names]
        cleared = [_CLEARED] if self._clears() else []
        return pa.schema([*columns, *_PROVENANCE, *cleared])

    def _clears(self) -> tuple[str, ...]:
        """Fields that a row may clear although its blanks keep, in any file."""
        return tuple(
            dict.fromkeys(n for t in self.tables for n in fields_cleared(self.fill, t.columns))
        )

    def _defaulted(self, schema: pa.Schema) -> dict[str, tuple[str, ...]]:
        """Fields with the files that have no column for them and so bring a default."""
        files: dict[str, list[str]] = {}
        for table in self.tables:
            for name in fields_defaulted(self.fill, set(table.columns)):
                files.setdefault(name, []).append(table.shown)
        return {name: tuple(shown) for name, shown in files.items() if name in schema.names}

    def _has_unreadable_key(self, rejects: pa.Table) -> bool:
        if any(t.rows_rejected or not fills_rows(self.fill, set(t.columns)) for t in self.tables):
            return True
        with self.run.workspace.reading(self.judged.rejects_key) as stream:
            keys = read_table(stream, columns=["key"])["key"]
        return bool(keys.null_count or rejects["key"].null_count)

    def _prepared(self) -> Iterator[tuple[PreparedRows, dict[str, pa.Array], ReadTable, pa.BooleanArray]]:  # fmt: skip
        """The rows that go through, some at a time: with their hashes, their table, and which are accepted."""
        rejected = self._rejected_lines()
        at = 0
        for table in self.tables:
            bad_lines = rejected.get(table.shown)
            with self.run.workspace.reading(table.rows_key) as stream:
                for batch in batches(stream):
                    begin, at = at, at + batch.num_rows
                    if self.before and self.before.snapshot:
                        batch = batch.filter(self.before.changed(begin, at))
                    if not batch.num_rows:
                        continue
                    hashes = {ROW_HASH: self.before.hashed(batch)} if self.before else {}
                    if table.line_form:
                        hashes[LINE_HASH] = batch[LINE_HASH]
                    prepared = prepare(pa.Table.from_batches([batch]), self.fill, self.lookups)
                    accepted = prepared.kept
                    if bad_lines is not None:
                        bad = pc.is_in(prepared.lines, value_set=bad_lines)
                        accepted = pc.and_not(accepted, bad)
                    yield prepared, hashes, table, accepted

    def _filtered(
        self, prepared: PreparedRows, hashes: Mapping[str, pa.Array], shown: str, schema: pa.Schema
    ) -> pa.Table:
        """The rows that a filter leaves out, of which validate has rejected none."""
        out = pc.invert(prepared.kept)
        keys, lines = prepared.values[self.fill.entity.key].filter(out), prepared.lines.filter(out)
        of_lines = hashes.get(LINE_HASH, pa.nulls(len(out), HASH)).filter(out)
        files = pa.repeat(pa.scalar(shown), len(keys))
        return pa.table([keys, files, lines, of_lines], schema=schema)

    def _rejected_lines(self) -> dict[str, pa.Int64Array]:
        """Lines that validate rejected, by file."""
        with self.run.workspace.reading(self.judged.rejects_key) as stream:
            rejects = read_table(stream, columns=["file", "line"])
        return {
            file: pc.unique(rejects.filter(pc.equal(rejects["file"], file))["line"])
            for file in pc.unique(rejects["file"]).to_pylist()
        }

    def _cast(
        self, prepared: PreparedRows, keep: pa.BooleanArray, shown: str, schema: pa.Schema,
        more: Mapping[str, pa.Array],
    ) -> pa.Table:  # fmt: skip
        """Typed columns of the kept rows, and `more` of them; rows that cannot be cast go to the rejects."""
        fill = self.fill
        lines, deleted = prepared.lines.filter(keep), prepared.deleted.filter(keep)
        good = pa.repeat(pa.scalar(True), len(lines))
        columns: dict[str, pa.Array] = {}
        texts = {
            name: prepared.values[name].filter(keep)
            for name in schema.names
            if name in prepared.values
        }
        key_text = texts[fill.entity.key]
        for name, text in texts.items():
            rule = fill.rules.columns.get(name)
            typed, shapeless, outside = parse(text, fill.entity.fields[name], rule, fill.feed)
            columns[name] = typed
            bad = pc.and_(pc.or_(shapeless, outside), pc.invert(deleted))
            if pc.any(bad).as_py():
                code = (
                    "VALUE_OUT_OF_RANGE"
                    if pc.any(pc.and_(bad, outside)).as_py()
                    else "VALUE_PATTERN"
                )
                self._reject(bad, shown, lines, key_text, name, code)
                good = pc.and_(good, pc.invert(bad))
        if fill.rules.hook:
            columns = self._hooked(fill.rules.hook, columns)
            lost = pc.and_(pc.is_null(columns[fill.entity.key]), key_text.is_valid())
            if pc.any(lost).as_py():
                self._reject(lost, shown, lines, key_text, fill.entity.key, "HOOK_DROPPED_ROW")
                good = pc.and_(good, pc.invert(lost))
        extra = (
            prepared.extra.filter(keep)
            if prepared.extra is not None
            else pa.nulls(len(lines), pa.string())
        )
        columns |= {"extra": extra, "_deleted": deleted, "_line": lines}
        columns["_file"] = pa.repeat(pa.scalar(shown), len(lines))
        columns |= {name: values.filter(keep) for name, values in more.items()}
        if FACTS in schema.names:
            columns[FACTS] = facts_of(prepared, fill).filter(keep)
            columns.setdefault(LINE_HASH, pa.nulls(len(lines), HASH))
        columns["_cleared"] = _names_of(
            {name: mask.filter(keep) for name, mask in prepared.cleared.items()}, len(lines)
        )
        table = pa.table({f.name: columns[f.name].cast(f.type) for f in schema}, schema=schema)
        return table if pc.all(good).as_py() else table.filter(good)

    def _hooked(self, path: str, columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
        """The columns after the mapping's hook, in their own types again."""
        frame = pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)
        answer = call_hook(path, frame)
        result = {}
        for name, before in columns.items():
            try:
                result[name] = pa.Array.from_pandas(answer[name], type=before.type)
            except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
                text = f"`{path}` gave back values in `{name}` that are not {before.type}."
                raise FixTheMapping.of("HOOK_FAILED", text) from None
        return {
            n: a.combine_chunks() if isinstance(a, pa.ChunkedArray) else a
            for n, a in result.items()
        }

    def _reject(
        self, bad: pa.BooleanArray, shown: str, lines: pa.Int64Array, keys: pa.StringArray,
        column: str, code: str,
    ) -> None:  # fmt: skip
        found = lines.filter(bad)
        cells = {
            "file": pa.repeat(pa.scalar(shown), len(found)),
            "line": found,
            "key": keys.filter(bad),
            "column": pa.repeat(pa.scalar(column), len(found)),
            "code": pa.repeat(pa.scalar(code), len(found)),
        }
        self.rejects.append(pa.table([cells[n] for n in REJECT_COLUMNS], schema=REJECT_SCHEMA))

    def _give_way(self, path: Path) -> None:
        """Reject rows whose key a later row has that is not run again: as in the whole file, it counts."""
        rows, key = read_table(path), self.fill.entity.key
        ours = pc.unique(rows[key])
        order = {table.shown: at for at, table in enumerate(self.whole)}
        again = {table.shown: self._lines_of(table) for table in self.tables}
        last: dict[str, tuple[int, int]] = {}
        for table in self.whole if len(ours) else ():
            with self.run.workspace.reading(table.rows_key) as stream:
                for batch in batches(stream):
                    prepared = prepare(pa.Table.from_batches([batch]), self.fill, self.lookups)
                    stays = pc.and_(prepared.kept, pc.is_in(prepared.key, value_set=ours))
                    stays = pc.and_not(
                        stays, pc.is_in(prepared.lines, value_set=again[table.shown])
                    )
                    found = prepared.key.filter(stays).to_pylist()
                    for text, line in zip(
                        found, prepared.lines.filter(stays).to_pylist(), strict=True
                    ):
                        last[text] = max(last.get(text, (0, 0)), (order[table.shown], line))
        places = zip(
            rows[key].to_pylist(), rows["_file"].to_pylist(), rows["_line"].to_pylist(), strict=True
        )
        lost = pa.array([last.get(k, (-1, 0)) > (order[f], n) for k, f, n in places], pa.bool_())
        losers = rows.filter(lost)
        self._reject_losers(losers)
        if losers.num_rows:
            write_table(path, rows.filter(pc.invert(lost)))

    def _reject_losers(self, losers: pa.Table) -> None:
        """Reject rows whose key another row has that counts."""
        key = self.fill.entity.key
        for shown, of_file in _by_file(losers):
            every = pa.repeat(pa.scalar(True), of_file.num_rows)
            lines, texts = of_file["_line"].combine_chunks(), of_file[key].combine_chunks()
            self._reject(every, shown, lines, texts, key, "DUPLICATE_KEY")

    def _lines_of(self, table: ReadTable) -> pa.Int64Array:
        with self.run.workspace.reading(table.rows_key) as stream:
            return read_table(stream, columns=["_line"])["_line"].combine_chunks()

    def _settle(self, path: Path, schema: pa.Schema) -> int:
        """Take duplicates out of the file, the losers to the rejects; gives how many collapsed."""
        if not self.judged.repeated_keys and not self.fill.rules.hook:  # a hook may give others
            return 0
        key, repeats = self.fill.entity.key, Repeats()
        for batch in batches(path, [key]):
            repeats.add(batch[key])
        suspects = repeats.mask()
        if not suspects.any():
            return 0
        table = pa.concat_tables(_rows_where(path, suspects))
        names = [n for n in schema.names if n not in ("_file", "_line")]
        settled = settle(table[key], row_hashes(table, names))
        self._reject_losers(table.filter(pa.array(settled.lost)))
        collapsed = table.filter(pa.array(settled.repeated))
        for shown, of_file in _by_file(collapsed):
            self.keys.add(self.fill, of_file[key], shown, of_file["_line"], "duplicate")
        keep = ~suspects
        keep[np.flatnonzero(suspects)[~(settled.lost | settled.repeated)]] = True
        kept = path.with_name("kept")
        with written(kept, read_schema(path)) as writer:
            begin = 0
            for rows in _rows_where(path, keep):
                writer.write_table(_to_be_read(rows, suspects[keep][begin : begin + rows.num_rows]))
                begin += rows.num_rows
        kept.replace(path)
        return int(settled.repeated.sum())


def _rows_where(path: Path, mask: npt.NDArray[np.bool_]) -> Iterator[pa.Table]:
    """The rows of an Arrow file that the mask marks."""
    begin = 0
    for batch in batches(path):
        end = begin + batch.num_rows
        yield pa.Table.from_batches([batch]).filter(pa.array(mask[begin:end]))
        begin = end


def _to_be_read(rows: pa.Table, mask: npt.NDArray[np.bool_]) -> pa.Table:
    """The rows so that the next load reads those that the mask marks, whatever lines it has."""
    if LINE_HASH not in rows.column_names or not mask.any():
        return rows
    hashes = pc.if_else(pa.array(mask), pa.scalar(None, HASH), rows[LINE_HASH])
    return rows.set_column(rows.column_names.index(LINE_HASH), LINE_HASH, hashes)


def _by_file(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each file, by the name that reports show."""
    for shown in pc.unique(rows["_file"]).to_pylist():
        yield shown, rows.filter(pc.equal(rows["_file"], shown))


def _names_of(masks: Mapping[str, pa.BooleanArray], length: int) -> pa.ListArray:
    """For each row the names whose mask marks it; null where none does."""
    none = pa.nulls(length, pa.list_(pa.string()))
    if not any(pc.any(mask).as_py() for mask in masks.values()):
        return none
    rows = zip(*(mask.to_pylist() for mask in masks.values()), strict=True)
    found = ([name for name, marked in zip(masks, row, strict=True) if marked] for row in rows)
    return pa.array([names or None for names in found], none.type)
