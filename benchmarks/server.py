"""A fresh PostgreSQL for measuring: listens on TCP, and tells what it has spent and written."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.cpu import cpu_s
from local_stack.postgres import PostgresServer
from local_stack.processes import free_port

_URL = "postgresql://postgres:none@127.0.0.1:{port}/{database}"
# What its own autovacuum would do at its next wake: tables over its thresholds, as its manual has them.
_DUE = """
SELECT relid::regclass::text,
       n_dead_tup > least(current_setting('autovacuum_vacuum_max_threshold')::float,
           current_setting('autovacuum_vacuum_threshold')::float
           + current_setting('autovacuum_vacuum_scale_factor')::float * greatest(reltuples, 0))
       OR n_ins_since_vacuum > current_setting('autovacuum_vacuum_insert_threshold')::float
           + current_setting('autovacuum_vacuum_insert_scale_factor')::float * greatest(reltuples, 0),
       n_mod_since_analyze > current_setting('autovacuum_analyze_threshold')::float
           + current_setting('autovacuum_analyze_scale_factor')::float * greatest(reltuples, 0)
FROM pg_stat_user_tables JOIN pg_class ON pg_class.oid = relid
"""


_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type IN ('client backend', 'parallel worker') AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Reading:
    """What the server had spent (CPU seconds of all its processes, those that have ended too) and written."""

    cpu_s: float
    wal_at: str


@dataclass(frozen=True)
class Server:
    """A running server, to be measured by one client after another.

    `admin`: a session that stays, so that measuring costs next to nothing.
    """

    port: int
    postmaster: int
    folder: Path
    programs: Path
    admin: psycopg.Connection[Any]

    def url(self, database: str) -> str:
        """For any client; there is no password, but some clients want one."""
        return _URL.format(port=self.port, database=database)

    def make(self, database: str) -> None:
        """An empty database of this name, in the place of the one there is."""
        self.drop(database)
        self.admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))

    def drop(self, database: str) -> None:
        """The database goes, and the space that it takes."""
        name = sql.Identifier(database)
        self.admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def checkpoint(self) -> None:
        """Write all that is not yet written."""
        self.admin.execute("CHECKPOINT")

    def upkeep(self, database: str) -> None:
        """What the server owes after a load: autovacuum, which would come at some time, comes now."""
        self._alone()  # by then all have told what they have changed
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for table, vacuum, analyze in connection.execute(_DUE).fetchall():
                if vacuum or analyze:
                    words = (
                        "VACUUM (ANALYZE)"
                        if vacuum and analyze
                        else "VACUUM"
                        if vacuum
                        else "ANALYZE"
                    )
                    connection.execute(f"{words} {table}".encode())

    def read(self) -> Reading:
        """The meters, once all clients have gone."""
        self._alone()
        wal_at = _one(self.admin, "SELECT pg_current_wal_insert_lsn()")
        return Reading(cpu_s([self.postmaster]), str(wal_at))

    def _alone(self) -> None:
        """Wait until no client is connected any more."""
        while _one(self.admin, _OTHERS):
            time.sleep(0.02)

    def digest(self, database: str, table: str, columns: Sequence[str]) -> str:
        """The number of rows of a table and a sum over their values, whatever the columns' types."""
        values = [
            f"left(coalesce({name}::text, ''), 10)" if name.endswith("_date") else f"coalesce({name}::text, '')"
            for name in columns
        ]  # fmt: skip
        query = f"""
            SELECT count(*) || ':' || sum(hashtextextended(concat_ws('|', {", ".join(values)}), 0)::numeric)
            FROM {table}"""  # noqa: S608 (names of our own)
        with psycopg.connect(self.url(database)) as connection:
            return str(_one(connection, query))

    def written(self, since: Reading, until: Reading) -> tuple[int, int | None]:
        """Bytes of WAL between two readings, and how many of them are images of whole pages.

        To be asked before the next checkpoint; None when one has come by itself and the WAL is gone.
        """
        query = "SELECT pg_wal_lsn_diff(%s, %s)"
        whole = int(_one(self.admin, query, (until.wal_at, since.wal_at)))
        self.admin.execute(
            "SELECT pg_logical_emit_message(true, '', '')"
        )  # all before it is flushed
        command = [str(self.programs / "pg_waldump"), "--stats", "-p", str(self.folder / "pg_wal")]
        command += ["-s", since.wal_at, "-e", until.wal_at]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return whole, None if done.returncode else images_of(done.stdout)


def images_of(stats: str) -> int:
    """The bytes of page images in what `pg_waldump --stats` says; 0 where it says nothing of them."""
    for line in stats.splitlines():
        if line.startswith("Total"):
            numbers = re.findall(r"(\d+) +\[", line)
            return int(numbers[1])
    return 0


@contextmanager
def fresh_server(folder: Path) -> Iterator[Server]:
    """A server with a new data directory in `folder`, as it comes but for autovacuum; see Server.upkeep."""
    made = PostgresServer(folder / "postgres")
    made.start()
    with psycopg.connect(made.url("postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum = off")
        data = Path(str(_one(connection, "SHOW data_directory")))
    programs = Path(f"/proc/{_postmaster(data)}/exe").resolve().parent
    made.stop()  # it has a socket only, which not every client knows how to use
    port, owner = free_port(), data.stat().st_uid
    control = [str(programs / "pg_ctl"), "-w", "-D", str(data)]
    listening = f"-h 127.0.0.1 -p {port} -k {made.socket_folder}"
    with (folder / "postgres.log").open("wb") as log:
        command = [*control, "-o", listening, "start"]
        subprocess.run(command, check=True, stdout=log, stderr=log, user=owner)
        try:
            url = _URL.format(port=port, database="postgres")
            with psycopg.connect(url, autocommit=True) as admin:
                yield Server(port, _postmaster(data), data, programs, admin)
        finally:
            command = [*control, "-m", "immediate", "stop"]
            subprocess.run(command, check=True, stdout=log, stderr=log, user=owner)


def _postmaster(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().split()[0])


def _one(connection: psycopg.Connection[Any], query: str, given: tuple[Any, ...] = ()) -> Any:
    row = connection.execute(query.encode(), given).fetchone()
    assert row
    return row[0]
