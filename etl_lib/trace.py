"""What became of one record: in which deliveries it came, on which lines, and what each run did with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from pydantic import Field, computed_field

from etl_lib.config.entity import Entity, Model
from etl_lib.config.letters import composed
from etl_lib.database import Connection, connected
from etl_lib.manifest import keys_key
from etl_lib.storage import Storage

RUNS = 30  # how far back; older deliveries are looked up run by run
_READERS = 8
# What history calls an act, in the words of the counts; a claim changes no value.
_OF_ACTION = {
    "update": "updated", "delete": "deleted", "restore": "restored",
    "remove": "deleted", "return": "restored",  # by an undo
}  # fmt: skip
_UNDO = "undo"  # in the place of a feed


class Fate(Model):
    """What one run did with the record in one entity.

    `outcome`: inserted, updated, unchanged, restored, deleted (`by_absence` when no line says so),
    rejected, duplicate, filtered, not_loaded (the run changed nothing).
    """

    entity: str
    outcome: str
    feed: str = ""
    file: str = ""
    line: int | None = None
    columns: tuple[str, ...] = ()
    code: str = ""
    by_absence: bool = False


class TracedRun(Model):
    """One run; no fates: the record was not in its files, if they could be looked into.

    `looked`: false when the run stopped before its rows were read to the end, or the archive no
    longer knows its keys. `unreadable`: rejected rows of the run whose key cannot be read, one of which it may be.
    """

    run_id: str
    started_at: datetime
    status: str
    delivered_on: date | None
    fates: tuple[Fate, ...]
    looked: bool = True
    unreadable: int = 0


class Standing(Model):
    """The record as the target shows it now."""

    entity: str
    state: str = Field(description="present or deleted")
    last_changed_at: datetime
    delivered_on: date
    file: str
    line: int


class Trace(Model):
    """All that is known of a key, without any value; `similar`: keys found that differ in case or zeros."""

    client_id: str
    standing: tuple[Standing, ...]
    runs: tuple[TracedRun, ...]
    similar: int = Field(0, description="Rows whose key differs only in case or leading zeros.")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sentence(self) -> str:
        """What a person would say."""
        if present := [one for one in self.standing if one.state == "present"]:
            latest = max(present, key=lambda one: one.last_changed_at)
            return (
                f"It is there as {_listed([one.entity for one in present])}; last changed by "
                f"{latest.file}, line {latest.line}, of {latest.delivered_on:%d %B %Y}."
            )
        if self.standing:
            latest = max(self.standing, key=lambda one: one.last_changed_at)
            return f"It was deleted; the last delivery that spoke of it is of {latest.delivered_on:%d %B %Y}."
        for run in self.runs:
            for fate in run.fates:
                kept_out = {
                    "rejected": f"rejected ({fate.code})", "filtered": "filtered out by the mapping",
                    "not_loaded": "not loaded, as the whole delivery was not",
                }.get(fate.outcome, fate.outcome)  # fmt: skip
                return f"It is not there: {fate.file}, line {fate.line}, was {kept_out}."
        if self.similar:
            return "It is not there under this key, but under one that differs in case or leading zeros."
        looked = sum(run.looked for run in self.runs)
        return f"It was in none of the {looked} deliveries that could be looked into."


def trace(
    url: str, archives: Sequence[Storage], client_id: str, key: str, entities: Sequence[Entity]
) -> Trace:
    """Follow the key through the last 30 runs of the client and say where it stands.

    `archives`: the client's, looked into in this order. Raises TryAgain when the database
    or the archive does not answer.
    """
    key = composed(key.strip())
    with connected(url) as connection:
        runs = _runs(connection, client_id)
        facts = _Facts(connection, client_id, key, [run["run_seq"] for run in runs], entities)
    with ThreadPoolExecutor(_READERS) as pool:
        lines = list(pool.map(lambda run: _lines(archives, run["run_id"], key), runs))
    traced = [
        TracedRun(
            run_id=run["run_id"],
            started_at=run["started_at"],
            status=run["status"],
            delivered_on=run["delivered_on"],
            fates=tuple(facts.fates(run["run_seq"], run["loaded"], found.exact if found else ())),
            looked=found is not None,
            unreadable=run["unreadable"],
        )
        for run, found in zip(runs, lines, strict=True)
    ]
    similar = max((found.similar for found in lines if found), default=0)
    return Trace(
        client_id=client_id, standing=tuple(facts.standing), runs=tuple(traced), similar=similar
    )


class _Facts:
    """What the database knows of the key."""

    def __init__(
        self, connection: Connection, client_id: str, key: str, run_seqs: list[int],
        entities: Sequence[Entity],
    ) -> None:  # fmt: skip
        given = {"client": client_id, "key": key, "runs": run_seqs}
        self.rejects = _rows(
            connection,
            'SELECT run_seq, feed, entity, file, line, "column", code FROM etl.rejected_row '
            "WHERE client_id = %(client)s AND key = %(key)s AND run_seq = ANY (%(runs)s) ORDER BY line",
            given,
        )
        self.changes = _rows(
            connection,
            "SELECT run_seq, entity, feed, action, columns FROM etl.history WHERE client_id = %(client)s "
            "AND key = %(key)s AND run_seq = ANY (%(runs)s)",
            given,
        )
        self.standing: list[Standing] = []
        self.inserted_by: dict[str, int] = {}
        for entity in entities:
            query = sql.SQL(
                "SELECT t.first_run_seq, t.deleted_at, t.last_changed_at, t.source_file, t.source_line, "
                "to_date((t.delivery_seq / 1000000)::text, 'YYYYMMDD') AS delivered_on "
                "FROM {} t WHERE t.client_id = {} AND t.{} = {}"
            ).format(
                sql.Identifier("core", entity.entity), sql.Literal(client_id),
                sql.Identifier(entity.key), sql.Literal(key),
            )  # fmt: skip
            for row in _rows(connection, query, {}):
                self.inserted_by[entity.entity] = row["first_run_seq"]
                self.standing.append(
                    Standing(
                        entity=entity.entity, state="deleted" if row["deleted_at"] else "present",
                        last_changed_at=row["last_changed_at"], delivered_on=row["delivered_on"],
                        file=row["source_file"], line=row["source_line"],
                    )
                )  # fmt: skip

    def fates(self, run_seq: int, loaded: bool, lines: Sequence[dict[str, Any]]) -> Iterator[Fate]:
        """What the run did with the key; `lines`: where its files hold it."""
        rejects = [row for row in self.rejects if row["run_seq"] == run_seq]
        for row in rejects:
            yield Fate(
                entity=row["entity"] or "", outcome="rejected", feed=row["feed"], file=row["file"],
                line=row["line"], columns=(row["column"],) if row["column"] else (), code=row["code"],
            )  # fmt: skip
        out = {(row["file"], row["line"], row["entity"]) for row in rejects}
        changes = {
            (row["entity"], row["feed"]): row
            for row in self.changes
            if row["run_seq"] == run_seq and row["action"] in _OF_ACTION
        }
        told: set[tuple[str, str]] = set()
        for line in lines:
            entity, outcome = line["entity"], line["outcome"]
            if (line["file"], line["line"], entity) in out:
                continue  # sent, and rejected by a later stage
            if outcome not in ("sent", "deleted"):
                yield Fate(**line)
                continue
            told.add((entity, line["feed"]))
            change = changes.get((entity, line["feed"]))
            if not loaded:
                found = "not_loaded"
            elif change:
                found = _OF_ACTION[change["action"]]
            elif self.inserted_by.get(entity) == run_seq:
                found = "inserted"
            else:
                found = "unchanged"
            columns = tuple(change["columns"]) if change else ()
            yield Fate(**{**line, "outcome": found}, columns=columns)
        for (entity, feed), change in changes.items():
            if loaded and (entity, feed) not in told:
                outcome = _OF_ACTION[change["action"]]
                absent = outcome == "deleted" and feed != _UNDO
                yield Fate(entity=entity, feed=feed, outcome=outcome, by_absence=absent)


def _runs(connection: Connection, client_id: str) -> list[DictRow]:
    return _rows(
        connection,
        "SELECT r.run_seq, r.run_id, r.started_at, r.status, d.delivered_on, "
        "l.run_seq IS NOT NULL AND l.undone_by IS NULL AS loaded, "
        "(SELECT count(*) FROM etl.rejected_row x WHERE x.run_seq = r.run_seq AND x.key IS NULL) AS unreadable "
        "FROM etl.run r LEFT JOIN etl.delivery d USING (client_id, delivery_seq) "
        "LEFT JOIN etl.load l USING (run_seq) "
        "WHERE r.client_id = %(client)s AND r.delivery_seq IS NOT NULL AND NOT r.dry_run "
        "AND r.status NOT IN ('nothing_new', 'not_expected') ORDER BY r.started_at DESC LIMIT %(limit)s",
        {"client": client_id, "limit": RUNS},
    )


def _rows(
    connection: Connection, query: str | sql.Composed, given: dict[str, Any]
) -> list[DictRow]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode() if isinstance(query, str) else query, given).fetchall()


@dataclass(frozen=True)
class _Lines:
    """Rows of a run's files with the key, and how many have one that only looks different."""

    exact: list[dict[str, Any]]
    similar: int


def _lines(archives: Sequence[Storage], run_id: str, key: str) -> _Lines | None:
    """What the run's files hold; None when no archive knows."""
    for archive in archives:
        with suppress(FileNotFoundError), archive.reading(keys_key(run_id)) as stream:
            exact: list[dict[str, Any]] = []
            similar = 0
            keys = pq.ParquetFile(stream)
            for group in range(keys.num_row_groups):  # all at once would be all in memory
                rows = keys.read_row_group(group)
                same = rows.filter(pc.equal(rows["key"], key))
                exact += [{n: row[n] for n in _OF_LINE} for row in same.to_pylist()]
                alike = pc.equal(_folded(rows["key"]), _folded(pa.array([key]))[0])
                similar += (pc.sum(alike).as_py() or 0) - same.num_rows
            return _Lines(exact, similar)
    return None


_OF_LINE = ("feed", "entity", "file", "line", "outcome")


def _folded(keys: pa.StringArray) -> pa.StringArray:
    return pc.utf8_ltrim(pc.utf8_lower(pc.utf8_trim_whitespace(keys)), "0")


def _listed(words: Sequence[str]) -> str:
    return ", ".join(word.replace("_", " ") for word in dict.fromkeys(words))
