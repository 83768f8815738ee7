"""What a mapping makes of files, before and after side by side: the product's own stages, in a folder that goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_lib.arrow_file import read_table
from etl_lib.config.mapping import FILE_PART, ColumnRule, part_of
from etl_lib.config.project import Fill, Project, ResolvedMapping
from etl_lib.errors import Fault
from etl_lib.extract import LocalSource, extract, keys_of_environment
from etl_lib.manifest import Extracted, Transformed, Validated, keys_key
from etl_lib.rules import Lookups, fields_present, prepare
from etl_lib.run import Run
from etl_lib.storage import Storage, scratch_folder
from etl_lib.transform import transform
from etl_lib.validate import validate

ROWS_SHOWN = 5
_ASIDE = {"duplicate": "the same record as another row", "filtered": "left out by a filter"}


@dataclass(frozen=True)
class FieldView:
    """What became of one field's values: rows with a value in the file, rows with one of ours, why others have none.

    `mapped`: rows whose value went through the rule's `map`. `rejected`: rows by code.
    """

    name: str
    origin: str
    filled: int
    made: int
    mapped: int
    rejected: Mapping[str, int]


@dataclass(frozen=True)
class RowView:
    """One row: its file and line, its cells, our values, and the codes for which it is kept out.

    `aside`: why a row that nobody needs to mend has no values of ours.
    """

    file: str
    line: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    why: tuple[str, ...] = ()
    aside: str = ""


@dataclass(frozen=True)
class FillView:
    """One feed as it fills one entity; rows read = accepted + rejected + left out by a filter."""

    feed: str
    entity: str
    read: int
    accepted: int
    rejected: int
    left_out: int
    headers: tuple[str, ...]
    fields: tuple[FieldView, ...]
    rows: tuple[RowView, ...]


@dataclass(frozen=True)
class Preview:
    """What a run would make of the files. `said`: faults and words; `unread`: by file headers nobody reads."""

    client_id: str
    client: str
    fills: tuple[FillView, ...]
    said: tuple[Fault, ...]
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class _NothingLoaded:
    """The ledger of a client of whom nothing is loaded, and nothing will be recorded."""

    def current(self, client_id: str) -> None:
        """No delivery."""

    def register(
        self, run: Run, delivery_id: str, delivered_on: date, received_at: datetime
    ) -> int:
        """Any place in the order will do."""
        return 1


def preview(project: Project, client_id: str, folder: Path, rows: int = ROWS_SHOWN) -> Preview:
    """Read, judge and transform the newest delivery in `folder`; no database, no archive, nothing is kept.

    `rows`: so many first rows of each feed are shown. Raises FixTheMapping, and AskTheSchool with all
    faults of the files when one of them cannot be read at all.
    """
    resolved = project.resolve(client_id)
    with scratch_folder() as scratch:
        home = Storage.local(scratch / "preview")
        run = Run(
            client_id=client_id, dag_id=client_id, run_id="preview", started_at=datetime.now(UTC),
            database_url="", archive=home.at("archive"), workspace=home.at("work"), outbox=home.at("outbox"),
        )  # fmt: skip
        ledger = _NothingLoaded()
        extracted = extract(
            run, _lenient(resolved), LocalSource(folder), ledger, keys_of_environment
        )
        validated = validate(run, extracted, {})
        transformed = transform(run, extracted, validated)
        looks = _Looks(run, extracted, validated, transformed, rows)
        fills = tuple(
            looks.fill(fill) for fill in extracted.resolved.fills() if looks.has_files(fill)
        )
    said = (*extracted.notes, *_missing(resolved, extracted), *_over_limits(resolved, fills))
    unread = {
        table.shown: table.unknown_columns for table in extracted.tables if table.unknown_columns
    }
    return Preview(client_id, resolved.mapping.client, fills, said, unread)


def _lenient(resolved: ResolvedMapping) -> ResolvedMapping:
    """The mapping for a look: every feed may be missing, and no limit ends it."""
    mapping = resolved.mapping
    feeds = {}
    for name, feed in mapping.feeds.items():
        fail = feed.limits.fail.model_copy(update={"rejected_share": 1.0, "rejected_rows": None})
        limits = feed.limits.model_copy(update={"fail": fail})
        feeds[name] = feed.model_copy(update={"required": False, "min_rows": 0, "limits": limits})
    delivery = mapping.delivery.model_copy(update={"marker": None, "stable_s": 0})
    return resolved.model_copy(
        update={"mapping": mapping.model_copy(update={"feeds": feeds, "delivery": delivery})}
    )


def _missing(resolved: ResolvedMapping, extracted: Extracted) -> Iterator[Fault]:
    there = {table.feed for table in extracted.tables}
    for name, feed in resolved.mapping.feeds.items():
        if feed.required and name not in there:
            text = f"A run would wait for the file of `{name}` (`{feed.member or feed.file[0]}`)."
            yield Fault("FILE_MISSING", text)


def _over_limits(resolved: ResolvedMapping, fills: Sequence[FillView]) -> Iterator[Fault]:
    for fill in fills:
        limit = resolved.mapping.feeds[fill.feed].limits.fail.rejected_share
        if fill.rejected > part_of(limit, fill.read):
            text = f"A run would fail: {fill.rejected:,} of {fill.read:,} rows are rejected for {fill.entity}."
            yield Fault("TOO_MANY_REJECTED", text, fill.feed)


@dataclass(frozen=True)
class _Looks:
    """Puts together what the stages have left in the run's workspace."""

    run: Run
    extracted: Extracted
    validated: Validated
    transformed: Transformed
    shown: int

    def has_files(self, fill: Fill) -> bool:
        return bool(self.extracted.tables_of(fill.feed_name))

    def fill(self, fill: Fill) -> FillView:
        judged = self.validated.of(fill.feed_name, fill.entity.entity)
        done = next(
            one for one in self.transformed.fills
            if (one.feed, one.entity) == (fill.feed_name, fill.entity.entity)
        )  # fmt: skip
        rejects = pa.concat_tables([self._table(judged.rejects_key), self._table(done.rejects_key)])
        there = self._columns_there(fill)
        headers = tuple(
            c for c in fill.rules.source_columns if c in there and not FILE_PART.fullmatch(c)
        )
        views = self._fields(fill, rejects)
        canonical = self._table(done.rows_key)
        names = [view.name for view in views]
        return FillView(
            feed=fill.feed_name, entity=fill.entity.entity, read=judged.rows_read,
            accepted=done.rows_out + done.rows_duplicate, rejected=judged.rows_rejected + done.rows_rejected,
            left_out=judged.rows_filtered, headers=headers, fields=tuple(views),
            rows=tuple(self._rows(fill, headers, names, canonical, rejects)),
        )  # fmt: skip

    def _table(self, key: str) -> pa.Table:
        with self.run.workspace.reading(key) as stream:
            return read_table(stream)

    def _fields(self, fill: Fill, rejects: pa.Table) -> list[FieldView]:
        lookups = Lookups.build(self.extracted.resolved, self._columns_of)
        filled: Counter[str] = Counter()
        made: Counter[str] = Counter()
        names: dict[str, None] = {}
        for table in self.extracted.tables_of(fill.feed_name):
            prepared = prepare(self._table(table.rows_key), fill, lookups)
            for name in fields_present(fill, set(table.columns)):
                names[name] = None
                values = prepared.values.get(name, prepared.key)
                made[name] += _count(pc.and_(prepared.kept, values.is_valid()))
                cells = prepared.cells.get(name) or (values,)
                some = pc.and_(prepared.kept, _any_valid(cells))
                filled[name] += _count(some)
        why: dict[str, Counter[str]] = {}
        for row in rejects.select(["column", "code"]).to_pylist():
            why.setdefault(row["column"] or "", Counter())[row["code"]] += 1
        views = []
        for name in names:
            rule = fill.rules.columns.get(name)
            bad = why.get(name, Counter())
            good = max(made[name] - sum(n for code, n in bad.items() if code != "VALUE_MISSING"), 0)
            mapped = good if rule and rule.map else 0
            origin = origin_of(rule, self._columns_there(fill))
            views.append(FieldView(name, origin, filled[name], good, mapped, dict(bad)))
        return views

    def _columns_there(self, fill: Fill) -> set[str]:
        return {c for table in self.extracted.tables_of(fill.feed_name) for c in table.columns}

    def _columns_of(self, feed: str, columns: list[str]) -> Iterator[pa.Table]:
        for table in self.extracted.tables_of(feed):
            yield self._table(table.rows_key).select(
                [name for name in columns if name in table.columns]
            )

    @cached_property
    def _aside(self) -> pa.Table:
        """Rows that are neither loaded nor rejected; see manifest.keys_key."""
        with self.run.archive.reading(keys_key(self.run.run_id)) as stream:
            keys = pq.read_table(stream)
        return keys.filter(pc.is_in(keys["outcome"].cast(pa.string()), pa.array([*_ASIDE])))

    def _aside_of(self, fill: Fill, shown: str, lines: pa.ChunkedArray) -> dict[int, str]:
        """Why rows on these lines of a file are neither loaded nor rejected, by line."""
        rows = self._aside
        for column, name in (
            ("feed", fill.feed_name),
            ("entity", fill.entity.entity),
            ("file", shown),
        ):
            rows = rows.filter(pc.equal(rows[column], name))
        rows = rows.filter(pc.is_in(rows["line"], lines))
        return {row["line"]: _ASIDE[row["outcome"]] for row in rows.to_pylist()}

    def _rows(
        self, fill: Fill, headers: Sequence[str], names: Sequence[str], canonical: pa.Table, rejects: pa.Table
    ) -> Iterator[RowView]:  # fmt: skip
        left = self.shown
        for table in self.extracted.tables_of(fill.feed_name):
            rows = self._table(table.rows_key).slice(0, left)
            left -= rows.num_rows
            lines = rows["_line"]
            mine = canonical.filter(
                pc.and_(
                    pc.equal(canonical["_file"], table.shown), pc.is_in(canonical["_line"], lines)
                )
            )
            after = {row["_line"]: row for row in mine.to_pylist()}
            bad = rejects.filter(
                pc.and_(pc.equal(rejects["file"], table.shown), pc.is_in(rejects["line"], lines))
            )
            codes: dict[int, list[str]] = {}
            for row in bad.to_pylist():
                codes.setdefault(row["line"], []).append(f"{row['column'] or 'row'}: {row['code']}")
            aside = self._aside_of(fill, table.shown, lines)
            for row in rows.to_pylist():
                line = row["_line"]
                values = after.get(line)
                yield RowView(
                    table.shown, line, tuple(row.get(header) or "" for header in headers),
                    tuple(_shown(values.get(name)) if values else "" for name in names),
                    tuple(codes.get(line, ())), "" if values else aside.get(line, ""),
                )  # fmt: skip
            if left <= 0:
                return


def origin_of(rule: ColumnRule | None, there: set[str]) -> str:
    """Where a field's value comes from, in a few words; of several columns those that the files have."""
    if rule is None:
        return "other fields"
    if rule.constant is not None:
        return f"always `{rule.constant}`"
    if rule.lookup:
        return f"{rule.lookup.column} of {rule.lookup.feed}"
    joined = rule.separator.join(rule.concat) if rule.concat else ""
    found = [column for column in (*rule.from_, *rule.coalesce) if column in there]
    return joined or " or ".join(found) or "its default"


def _any_valid(cells: Sequence[pa.Array]) -> pa.BooleanArray:
    found = cells[0].is_valid()
    for one in cells[1:]:
        found = pc.or_(found, one.is_valid())
    return found


def _count(mask: pa.BooleanArray) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
