"""Ends a client: its access, its integration and, where that is agreed, every row and object that it had."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from psycopg import sql

from etl_lib import s3
from etl_lib.config.project import Project
from etl_lib.database import Connection, connected
from etl_lib.errors import EtlError, Fault, FixTheSetup, NotNow, TryAgain
from etl_lib.load.tables import SCHEMA, migrate_if_needed
from etl_lib.metrics.acts import Act
from etl_lib.onboarding.provision.plan import Plan
from etl_lib.storage import Storage

Fate = Literal["keep", "erase"]
_RUNS = ("etl", "run")
_SCHEMAS = (SCHEMA, "etl")
_WAIT = "10s"
_LONGEST_RUN = "6 hours"  # a run at a terminal that is older was killed; Airflow closes its own
_AT_ONCE = 1000  # objects; more S3 does not delete

Table = tuple[str, str]
_ACTS: Table = ("etl", "act")


@dataclass(frozen=True)
class Place:
    """A folder of objects that belongs to one client; `name` is for people."""

    name: str
    storage: Storage

    def count(self) -> int:
        """How many objects lie there, old versions and deletion marks included."""
        return (
            len(self.storage.keys()) if self.storage.is_local else sum(1 for _ in self._versions())
        )

    def erase(self) -> int:
        """Remove every object in every version; gives how many. Raises TryAgain when one stays."""
        if self.storage.is_local:
            count = len(self.storage.keys())
            self.storage.delete_all()
            return count
        bucket, _, _ = self.storage.root.partition("/")
        found = list(self._versions())
        with _answering(self.name):
            for first in range(0, len(found), _AT_ONCE):
                some = {"Objects": found[first : first + _AT_ONCE], "Quiet": True}
                answer = self.storage.client.delete_objects(Bucket=bucket, Delete=some)
                if failed := len(answer.get("Errors", ())):
                    raise OSError(f"{failed} objects stay")
        return len(found)

    def _versions(self) -> Iterator[dict[str, str]]:
        bucket, _, folder = self.storage.root.partition("/")
        client = self.storage.client
        with _answering(self.name):
            if client.get_bucket_versioning(Bucket=bucket).get("Status"):
                yield from s3.versions(client, bucket, f"{folder}/")
            else:
                for page in s3.pages(client, bucket, f"{folder}/"):
                    yield from ({"Key": one["Key"]} for one in page.get("Contents", ()))


@dataclass(frozen=True)
class Ending:
    """What there is of a client, and what would become of it.

    `fate` is of its data. `retired` says when and by whom it was ended before.
    """

    client_id: str
    fate: Fate
    access: Plan | None
    mapping: Path | None
    samples: Path | None
    rows: dict[Table, int]
    places: tuple[tuple[Place, int], ...]
    retired: tuple[datetime, str] | None = None
    url: str = field(default="", repr=False)

    @property
    def row_count(self) -> int:
        """All rows of all tables."""
        return sum(self.rows.values())

    @property
    def object_count(self) -> int:
        """All objects of all places."""
        return sum(count for _, count in self.places)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is left to be done."""
        access = bool(self.access and self.access.changes)
        data = self.fate == "erase" and bool(self.row_count or self.object_count)
        return not (access or data or self.mapping or self.samples)

    def apply(self, by: str) -> str:
        """Do it, in the name of `by`; gives what was done, in words without a value of the data.

        May be repeated: what is done already stays done. Raises NotNow (RETIRE_IMPOSSIBLE) while a run
        is at work, TryAgain when something does not answer; then no row is gone.
        """
        done = []
        if self.access and self.access.changes:
            self.access.apply()
            done.append("its access was revoked")
        with _set_aside(self.mapping):
            if self.fate == "erase":
                done.append(self._erase(by, done))
            else:
                done.append(f"{self.row_count:,} rows and {self.object_count:,} objects were kept")
                with connected(self.url) as connection:
                    _record(connection, self.client_id, by, done)
        if self.samples:
            shutil.rmtree(self.samples)
        text = "; ".join(done)
        return f"{text[:1].upper()}{text[1:]}."

    def _erase(self, by: str, done: Sequence[str]) -> str:
        """All rows in one transaction, which the objects' end belongs to: it commits when they are gone."""
        with connected(self.url) as connection:
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(_WAIT))
            for name in ("etl load", "etl freeze"):
                connection.execute(
                    "SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))",
                    (name, self.client_id),
                )
            if runs := _at_work(connection, self.client_id):
                raise _busy(runs)
            rows = erase_rows(connection, self.client_id)
            objects = sum(place.erase() for place, _ in self.places)
            tables = sum(1 for count in rows.values() if count)
            text = f"{sum(rows.values()):,} rows of {tables} tables and {objects:,} objects were erased"
            _record(connection, self.client_id, by, [*done, text])
        return text


def ending_of(
    project: Project, client_id: str, url: str, fate: Fate, access: Plan | None,
    places: Sequence[Place],
) -> Ending:  # fmt: skip
    """What there is of the client and what would be done; changes nothing.

    `places` are all folders of objects that are the client's. Raises NotNow (RETIRE_IMPOSSIBLE) while
    a run of the client is at work.
    """
    migrate_if_needed(url, project.entities)
    mapping = project.mapping_path(client_id)
    kept = [path for path in (mapping, _aside(mapping)) if path.is_file()]
    samples = project.include / "samples" / client_id
    with connected(url) as connection:
        if at_work := _at_work(connection, client_id):
            raise _busy(at_work)
        rows = count_rows(connection, client_id)
        retired = _retired(connection, client_id)
    return Ending(
        client_id, fate, access, kept[0] if kept else None, samples if samples.is_dir() else None,
        rows, tuple((place, place.count()) for place in places), retired, url,
    )  # fmt: skip


def fate_of(project: Project, client_id: str, keep: bool, erase: bool) -> Fate:
    """What the person, or else the mapping, says about the data.

    Raises FixTheSetup (RETIRE_UNDECIDED) when nobody says it, or both at once.
    """
    if keep and erase:
        raise FixTheSetup.of(
            "RETIRE_UNDECIDED", "`--keep-data` and `--erase` contradict each other."
        )
    if keep or erase:
        return "keep" if keep else "erase"
    try:
        said = project.resolve(client_id).mapping.retention
    except EtlError:  # a broken or missing mapping says nothing
        said = None
    if said is None:
        text = f"Neither an option nor the mapping of `{client_id}` says what becomes of the data."
        raise FixTheSetup.of("RETIRE_UNDECIDED", text)
    return said


def count_rows(connection: Connection, client_id: str) -> dict[Table, int]:
    """How many rows of each table are the client's."""
    found = {}
    for table, by_run in _tables(connection):
        query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
            sql.Identifier(*table), _condition(by_run)
        )
        row = connection.execute(query, (client_id,)).fetchone()
        found[table] = int(row[0]) if row else 0
    if _ACTS in found:  # the record of its end is no data of the client
        row = connection.execute(
            "SELECT count(*) FROM etl.act WHERE client_id = %s AND kind = %s",
            (client_id, Act.RETIRE),
        ).fetchone()
        found[_ACTS] -= int(row[0]) if row else 0
    return found


def erase_rows(connection: Connection, client_id: str) -> dict[Table, int]:
    """Delete every row of the client, history, rejects and snapshots included; part of a transaction.

    Every table that has a column `client_id`, or `run_seq` of one of its runs, is looked into, so that
    a new table is not forgotten. What is left is the record of earlier ends. Gives rows by table.
    """
    erased = {}
    tokens = connection.execute(
        "SELECT DISTINCT token FROM etl.many_item WHERE client_id = %s", (client_id,)
    ).fetchall()
    for table, by_run in _tables(connection):
        kept: sql.Composable = sql.SQL("")
        if table == _ACTS:
            kept = sql.SQL(" AND kind <> {}").format(str(Act.RETIRE))
        query = sql.SQL("DELETE FROM {} WHERE {}{}").format(
            sql.Identifier(*table), _condition(by_run), kept
        )
        erased[table] = connection.execute(query, (client_id,)).rowcount
    connection.execute(
        "DELETE FROM etl.many m WHERE token = ANY(%s) "
        "AND NOT EXISTS (SELECT FROM etl.many_item i WHERE i.token = m.token)",
        ([token for (token,) in tokens],),
    )
    return erased


def _tables(connection: Connection) -> list[tuple[Table, bool]]:
    """Every table with rows of clients, in an order in which they can be deleted.

    The flag says that a row is the client's through its run.
    """
    rows = connection.execute(
        """
        SELECT n.nspname, c.relname, bool_or(a.attname = 'client_id')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attname IN ('client_id', 'run_seq') AND NOT a.attisdropped
        GROUP BY 1, 2 ORDER BY 1, 2
        """,
        (list(_SCHEMAS),),
    ).fetchall()
    found = [((str(schema), str(name)), not has_client) for schema, name, has_client in rows]
    # by run first, the runs themselves last: others refer to them
    return sorted(found, key=lambda one: (one[0] == _RUNS, not one[1]))


def _condition(by_run: bool) -> sql.SQL:
    if by_run:
        return sql.SQL("run_seq IN (SELECT run_seq FROM etl.run WHERE client_id = %s)")
    return sql.SQL("client_id = %s")


def _at_work(connection: Connection, client_id: str) -> tuple[str, ...]:
    rows = connection.execute(
        "SELECT run_id FROM etl.run WHERE client_id = %s AND ended_at IS NULL "
        "AND (run_id NOT LIKE 'cli\\_\\_%%' OR started_at > now() - %s::interval) ORDER BY run_seq",
        (client_id, _LONGEST_RUN),
    ).fetchall()
    return tuple(str(run_id) for (run_id,) in rows)


def _busy(runs: Sequence[str]) -> NotNow:
    text = f"A run of the client is at work: {', '.join(runs)}."
    hint = "Wait for its end, or end it in Airflow."
    return NotNow.of("RETIRE_IMPOSSIBLE", text, hint=hint)


def _retired(connection: Connection, client_id: str) -> tuple[datetime, str] | None:
    row = connection.execute(
        "SELECT at, by FROM etl.act WHERE client_id = %s AND kind = %s ORDER BY at DESC LIMIT 1",
        (client_id, Act.RETIRE),
    ).fetchone()
    return (row[0], str(row[1])) if row else None


def _record(connection: Connection, client_id: str, by: str, done: Sequence[str]) -> None:
    connection.execute(
        "INSERT INTO etl.act (client_id, kind, by, text) VALUES (%s, %s, %s, %s)",
        (client_id, Act.RETIRE, by, "; ".join(done)),
    )


def _aside(mapping: Path) -> Path:
    """Where a mapping lies while its client is ended: hidden, so that no integration is made of it."""
    return mapping.with_name(f".{mapping.stem.strip('.')}.retired")


@contextmanager
def _set_aside(mapping: Path | None) -> Iterator[None]:
    """The mapping is gone in the block, so that no run begins, and afterwards; it comes back when that fails."""
    if mapping is None:
        yield
        return
    aside = _aside(mapping)
    try:
        mapping.rename(aside)  # or it is there already: the last try was killed
    except OSError as error:
        said = f"{mapping.name} cannot be removed here ({type(error).__name__})."
        hint = "Call the command in a checkout that can be written, and commit what it did."
        raise FixTheSetup([Fault("RETIRE_IMPOSSIBLE", said, hint=hint)]) from None
    try:
        yield
    except BaseException:
        aside.rename(mapping)
        raise
    aside.unlink()


@contextmanager
def _answering(name: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, OSError) as error:
        text = f"{name} does not answer: {type(error).__name__}."
        raise TryAgain.of("STORAGE_UNAVAILABLE", text) from error
