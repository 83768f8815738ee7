"""The validate stage: one pass over each fill's text, the facts to Great Expectations, limits at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.arrow_file import batches, read_table, write_table
from etl_lib.config.mapping import Expectation, part_of
from etl_lib.config.project import Fill
from etl_lib.errors import AskTheSchool, Fault, FixTheMapping, RowsMoved
from etl_lib.manifest import Extracted, Hold, ReadTable, Validated, ValidatedFill
from etl_lib.rules import (
    Check,
    Lookups,
    PreparedRows,
    Rival,
    checks_for,
    is_mixed,
    prepare,
    problems_of,
    rivals_of,
)
from etl_lib.rules.agreed import WHOLE_FILE, unexpected_rows
from etl_lib.rules.facts import Counted, counted, row_wishes_of, wishes_of
from etl_lib.rules.repeats import Repeats
from etl_lib.run import Progress, Run, folder_name
from etl_lib.storage import scratch_folder
from etl_lib.validate.fewer import far_fewer_rows

_UNREAD = ("VALUE_NOT_A_DATE", "VALUE_NOT_A_NUMBER", "VALUE_NOT_A_TIMESTAMP")
REJECT_SCHEMA = pa.schema(
    [("file", pa.string()), ("line", pa.int64()), ("key", pa.string()), ("column", pa.string()), ("code", pa.string())]
)  # fmt: skip


def validate(run: Run, extracted: Extracted, rows_of_last: Mapping[str, int]) -> Validated:
    """Judge every fill of the delivery; see manifest.Validated.

    `rows_of_last`: rows of each feed in the last loaded delivery. Raises AskTheSchool when more rows
    are faulty than the fail limit allows or the file as a whole breaks a rule; rejected rows and
    results are in the workspace by then. Raises FixTheMapping for an expectation that Great
    Expectations could not judge, RowsMoved when rows that were not read may not be as they were.
    """
    resolved = extracted.resolved
    lookups = Lookups.build(
        resolved, lambda feed, columns: _columns_of(run, extracted, feed, columns)
    )
    total = sum(table.rows_read for table in extracted.tables)
    passes = [
        _FillPass(run, fill, tables, lookups, total)
        for fill in resolved.fills()
        if (tables := extracted.tables_for(fill.feed_name, fill.entity.entity))
    ]
    for one in passes:
        whole = extracted.tables_of(one.fill.feed_name)
        one.read(
            _FillPass(run, one.fill, whole, lookups, total) if run.wishes.only_rejects else None
        )
    verdict = _judge(run, passes)
    fills = tuple(one.result() for one in passes)
    feeds = {
        one.fill.feed_name: one for one in reversed(passes)
    }  # its rows are those of all its fills
    holds = [hold for one in reversed(feeds.values()) for hold in one.holds(rows_of_last)]
    validated = Validated(
        fills=fills,
        holds=tuple(holds),
        expectations=verdict.expectations,
        expectations_failed=verdict.failed,
        suite_results_key=_results_key(run),
    )
    run.workspace.write_bytes("validate/manifest.json", validated.model_dump_json().encode())
    if verdict.not_judged:
        raise FixTheMapping([Fault("EXPECTATION_NOT_JUDGED", text) for text in verdict.not_judged])
    if faults := [fault for one in passes for fault in one.faults()]:
        raise AskTheSchool(faults)
    return validated


def _columns_of(
    run: Run, extracted: Extracted, feed: str, columns: list[str]
) -> Iterator[pa.Table]:
    for table in extracted.tables_of(feed):
        with run.workspace.reading(table.rows_key) as stream:
            there = [name for name in columns if name in table.columns]
            yield read_table(stream, columns=there)


@dataclass
class _Tally:
    """Facts about one expectation: rows judged, rows without a value, unexpected rows."""

    rows: int = 0
    nulls: int = 0
    unexpected: int = 0


def _named(column: str, expectation: str, kwargs: Mapping[str, Any]) -> tuple[str, str, str]:
    """What tells one expectation from another."""
    return column, expectation, json.dumps(kwargs, sort_keys=True, default=str)


@dataclass
class _FillPass:
    """One fill's rows on their way: rejects, counts and facts are gathered while they stream."""

    run: Run
    fill: Fill
    tables: Sequence[ReadTable]
    lookups: Lookups
    total: int
    filtered: int = 0
    rejected: int = 0
    accepted: int = 0
    rejects: list[pa.Table] = field(default_factory=list)
    tallies: dict[tuple[str, str, str], _Tally] = field(default_factory=dict)
    kwargs: dict[tuple[str, str, str], Mapping[str, Any]] = field(default_factory=dict)
    keys: Repeats = field(default_factory=Repeats)  # of rows that were read
    known: int = 0  # accepted rows that were not read
    codes: Counter[str] = field(default_factory=Counter)
    columns_at_fault: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    odd: Counter[tuple[str, Rival]] = field(default_factory=Counter)  # rows, by file

    @cached_property
    def rivals(self) -> tuple[Rival, ...]:
        """Formats in which the columns may be written beside the declared ones."""
        return tuple(one for name in self.fill.rules.columns for one in rivals_of(name, self.fill))

    @property
    def rows_read(self) -> int:
        """All rows of the feed's tables, those that could not be read included."""
        return sum(table.rows_read for table in self.tables)

    @property
    def unreadable(self) -> int:
        """Rows that the reading pass rejected; they count for every entity of the feed."""
        return sum(table.rows_rejected for table in self.tables)

    @cached_property
    def repeated_keys(self) -> int:
        """Accepted rows whose key another one has too; to be asked for when all are read."""
        return self.keys.count()

    def read(self, whole: _FillPass | None = None) -> None:
        """The one pass over all tables of the feed; a second one when a column turns out mixed.

        That two formats stand in a column is known at its end, and holds for its first row too.
        `whole`: over the tables in which it shows, when this one is over some of their rows.
        """
        self._pass({})
        self._add_known()
        if whole:
            whole._pass({})
        if mixed := (whole or self)._mixed():
            self._forget()
            self._pass(mixed)
        assert self.rows_read == self.filtered + self.rejected + self.accepted + self.unreadable
        self._write_rejects()

    def _pass(self, mixed: Mapping[str, Sequence[Rival]]) -> None:
        done = 0
        for table in self.tables:
            checks = checks_for(self.fill, set(table.columns), mixed.get(table.shown, ()))
            for batch in self._batches(table):
                self._judge_batch(batch, checks, table.shown)
                done += batch.num_rows
                self.run.progress(Progress("validate", self.fill.name, done, self.total))

    def _add_known(self) -> None:
        """The rows that were not read, as they were judged when they were; see rules.facts.

        None of them is to be rejected. When one might be, since a column may be mixed now, RowsMoved says so.
        None has the key of another; should a row that was read have it, transform says so (RowsMoved).
        """
        for table in self.tables:
            if table.known is None:
                continue
            if self.odd:
                raise RowsMoved
            none = pa.schema([("_line", pa.int64()), *((n, pa.string()) for n in table.columns)])
            rows = none.empty_table()
            # every expectation is judged, be there rows that were read or not
            self._judge_batch(rows, checks_for(self.fill, set(table.columns)), table.shown)
            fields = list(prepare(rows, self.fill, self.lookups).values)
            remembered = table.known.of(self.fill.entity.entity)
            accepted = table.known.rows - remembered.rows_filtered
            known = counted(accepted, remembered.facts, fields, self.fill)
            self.known += known.rows
            self.accepted += known.rows
            self.filtered += remembered.rows_filtered
            self._tally_known(known)

    def _tally_known(self, known: Counted) -> None:
        wishes = row_wishes_of(self.fill)
        unexpected = {
            _named(str(wish.kwargs["column"]), wish.expectation, wish.kwargs): rows
            for wish, rows in zip(wishes, known.unexpected, strict=True)
        }
        for name, tally in self.tallies.items():
            tally.rows += known.rows
            tally.nulls += known.nulls.get(name[0], 0)
            tally.unexpected += unexpected.get(name, 0)

    def _batches(self, table: ReadTable) -> Iterator[pa.Table]:
        with self.run.workspace.reading(table.rows_key) as stream:
            for batch in batches(stream):
                yield pa.Table.from_batches([batch])

    def _mixed(self) -> dict[str, list[Rival]]:
        """Per file, the formats that stand in its columns beside the declared ones."""
        found: dict[str, list[Rival]] = {}
        for table in self.tables:
            odd = {rival: rows for (shown, rival), rows in self.odd.items() if shown == table.shown}
            unsure = [one for one, rows in odd.items() if not is_mixed(one, rows, one.proofs)]
            proofs = self._proofs(table, unsure) if unsure else Counter[Rival]()
            mixed = [rival for rival in odd if is_mixed(rival, odd[rival], proofs[rival])]
            if mixed:
                found[table.shown] = mixed
        return found

    def _proofs(self, table: ReadTable, rivals: Sequence[Rival]) -> Counter[Rival]:
        """Rows that only the declared format reads; stops when there are enough."""
        proofs: Counter[Rival] = Counter()
        for batch in self._batches(table):
            wanting = [rival for rival in rivals if proofs[rival] < rival.proofs]
            if not wanting:
                break
            prepared = prepare(batch, self.fill, self.lookups)
            proofs.update({rival: rival.proof_count(prepared) for rival in wanting})
        return proofs

    def _forget(self) -> None:
        """Everything that a pass gathers, as it was before."""
        self.filtered = self.rejected = self.accepted = 0
        self.keys = Repeats()
        for gathered in (self.rejects, self.tallies, self.kwargs, self.codes):
            gathered.clear()
        self.columns_at_fault.clear()

    def _judge_batch(self, rows: pa.Table, checks: Sequence[Check], shown: str) -> None:
        prepared = prepare(rows, self.fill, self.lookups)
        failed = problems_of(prepared, checks, self.fill)
        self._look_for_odd(prepared, failed, shown)
        bad_rows = pa.repeat(pa.scalar(False), rows.num_rows)
        found = [
            (check.field, check.code, check.expectation, check.kwargs, bad) for check, bad in failed
        ]
        for wish in row_wishes_of(self.fill):
            bad = pc.and_(unexpected_rows(wish, prepared, self.fill), prepared.kept)
            column = str(wish.kwargs["column"])
            code = "EXPECTATION_NOT_MET" if "mostly" not in wish.kwargs else ""
            found.append((column, code, wish.expectation, wish.kwargs, bad))
        judged = pc.sum(prepared.kept).as_py() or 0
        for column, code, expectation, kwargs, bad in found:
            count = pc.sum(bad).as_py() or 0
            if expectation:
                self._count(column, expectation, kwargs, prepared, judged, count)
            if count and code:
                self._reject(bad, prepared, shown, column, code)
                self.codes[code] += count
                self.columns_at_fault.add(column)
                bad_rows = pc.or_(bad_rows, bad)
        rejected = pc.sum(bad_rows).as_py() or 0
        self.filtered += rows.num_rows - judged
        self.rejected += rejected
        self.accepted += judged - rejected
        good = pc.and_(prepared.kept, pc.invert(bad_rows))
        self.keys.add(prepared.key.filter(good).drop_null())

    def _look_for_odd(
        self, prepared: PreparedRows, failed: Sequence[tuple[Check, pa.BooleanArray]], shown: str
    ) -> None:
        unread = {check.field: bad for check, bad in failed if check.code in _UNREAD}
        for rival in self.rivals:
            if rows := rival.odd_count(prepared, unread.get(rival.field)):
                self.odd[shown, rival] += rows

    def _count(
        self, column: str, expectation: str, kwargs: Mapping[str, Any], prepared: PreparedRows,
        judged: int, count: int,
    ) -> None:  # fmt: skip
        name = _named(column, expectation, kwargs)
        tally = self.tallies.setdefault(name, _Tally())
        self.kwargs[name] = kwargs
        values = prepared.values.get(column)
        tally.rows += judged
        if values is not None:
            missing = pc.and_(prepared.kept, pc.invert(values.is_valid()))
            tally.nulls += pc.sum(missing).as_py() or 0
        tally.unexpected += count

    def _reject(
        self, bad: pa.BooleanArray, prepared: PreparedRows, shown: str, column: str, code: str
    ) -> None:
        lines = prepared.lines.filter(bad)
        same = [pa.repeat(pa.scalar(text), len(lines)) for text in (shown, column, code)]
        cells = [same[0], lines, prepared.key.filter(bad), same[1], same[2]]
        self.rejects.append(pa.table(cells, schema=REJECT_SCHEMA))

    @property
    def rejects_key(self) -> str:
        """Where the fill's rejected rows lie."""
        return f"validate/rejects-{self.fill.name}.arrow"

    def _write_rejects(self) -> None:
        with scratch_folder() as scratch:
            path = scratch / "rejects.arrow"
            write_table(path, pa.concat_tables([REJECT_SCHEMA.empty_table(), *self.rejects]))
            self.run.workspace.put_file(path, self.rejects_key)

    def result(self) -> ValidatedFill:
        """The fill's part of the manifest."""
        return ValidatedFill(
            feed=self.fill.feed_name,
            entity=self.fill.entity.entity,
            rows_read=self.rows_read,
            rows_filtered=self.filtered,
            rows_rejected=self.rejected + self.unreadable,
            rows_accepted=self.accepted,
            rejects_key=self.rejects_key,
            rejected_by_code=dict(self.codes),
            repeated_keys=self.repeated_keys,
            may_be_mixed=bool(self.odd),
        )

    def faults(self) -> list[Fault]:
        """Reasons why the delivery cannot be loaded; rejected rows alone are held to no share."""
        if self.run.wishes.only_rejects:
            return []
        limits, files = self.fill.feed.limits.fail, ", ".join(table.shown for table in self.tables)
        bad = self.rejected + self.unreadable
        faults = [Fault("EXPECTATION_FAILED", text, files) for text in self.failed]
        if self.rows_read < self.fill.feed.min_rows:
            text = f"{self.rows_read:,} rows have come; {self.fill.feed.min_rows:,} are the least."
            faults.append(Fault("FILE_TOO_FEW_ROWS", text, files))
        over_rows = limits.rejected_rows is not None and bad > limits.rejected_rows
        if bad > part_of(limits.rejected_share, self.rows_read) or over_rows:
            codes = dict(self.codes)
            if self.unreadable:
                codes["cannot be read"] = self.unreadable
            why = ", ".join(f"{count:,} {code}" for code, count in sorted(codes.items()))
            where = (
                f" in {', '.join(sorted(self.columns_at_fault))}" if self.columns_at_fault else ""
            )
            text = (
                f"{bad:,} of {self.rows_read:,} rows are faulty for {self.fill.entity.entity} "
                f"({bad / self.rows_read:.1%}); up to {limits.rejected_share:.0%} may be ({why}{where})."
            )
            faults.append(Fault("TOO_MANY_REJECTED", text, files))
        return faults

    def holds(self, rows_of_last: Mapping[str, int]) -> list[Hold]:
        """Reasons why a person must approve; rejected rows are held by the load, which knows them all."""
        last = rows_of_last.get(self.fill.feed_name, 0)
        return far_fewer_rows(self.fill, self.rows_read, last)


@dataclass
class _Verdict:
    expectations: int = 0
    failed: int = 0
    not_judged: list[str] = field(default_factory=list)


def _judge(run: Run, passes: Sequence[_FillPass]) -> _Verdict:
    """Great Expectations' judgement over the facts of all fills, its results kept with the run."""
    from etl_lib.validate.facts_engine import judge

    verdict = _Verdict()
    results = {}
    for one in passes:
        expected = _suite(one)
        judgements, results[one.fill.name] = judge(one.fill.name, expected)
        for judgement in judgements:
            verdict.expectations += 1
            verdict.failed += not judgement.success
            if not judgement.judged:
                verdict.not_judged.append(
                    f"{one.fill.name}: {judgement.expectation} {judgement.text}"
                )
            elif not judgement.success and _is_whole_file_wish(one, judgement):
                column = judgement.kwargs.get("column", "the file")
                one.failed.append(f"{judgement.expectation} is not met for {column}.")
    run.archive.write_bytes(_results_key(run), json.dumps(results, indent=1, default=str).encode())
    return verdict


def _results_key(run: Run) -> str:
    return f"runs/{folder_name(run.run_id)}/suite_results.json"


def _is_whole_file_wish(one: _FillPass, judgement: Any) -> bool:
    return any(
        wish.expectation == judgement.expectation
        and dict(wish.kwargs) == dict(judgement.kwargs)
        and (wish.expectation in WHOLE_FILE or "mostly" in wish.kwargs)
        for wish in wishes_of(one.fill)
    )


def _suite(one: _FillPass) -> list[Any]:
    """Everything that is expected of a fill, with the facts of the pass."""
    from etl_lib.validate.facts_engine import Expected

    columns = sorted({name for table in one.tables for name in table.columns})
    suite = [
        Expected("expect_table_columns_to_match_set", {"column_set": columns, "exact_match": False},
                 one.rows_read, 0, None, columns),
        Expected("expect_table_row_count_to_be_between", {"min_value": one.fill.feed.min_rows},
                 one.rows_read, 0, None, one.rows_read),
    ]  # fmt: skip
    for name, tally in one.tallies.items():
        suite.append(Expected(name[1], one.kwargs[name], tally.rows, tally.nulls, tally.unexpected))
    suite.append(
        Expected("expect_column_values_to_be_unique", {"column": one.fill.entity.key},
                 one.accepted, one.accepted - one.known - len(one.keys), one.repeated_keys)
    )  # fmt: skip
    for wish in wishes_of(one.fill):
        if wish.expectation in WHOLE_FILE:
            suite.append(_whole_file(one, wish))
    return suite


def _whole_file(one: _FillPass, wish: Expectation) -> Any:
    """An expectation of the mapping on the file as a whole, with its fact."""
    from etl_lib.validate.facts_engine import Expected

    if wish.expectation == "expect_table_row_count_to_be_between":
        return Expected(wish.expectation, wish.kwargs, one.rows_read, 0, None, one.rows_read)
    if wish.expectation == "expect_table_columns_to_match_set":
        columns = sorted({name for table in one.tables for name in table.columns})
        return Expected(wish.expectation, wish.kwargs, one.rows_read, 0, None, columns)
    return Expected(wish.expectation, wish.kwargs, one.accepted, 0, None, None)
