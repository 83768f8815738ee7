"""Where faults are planted: real servers behind proxies, stages as processes, an oracle, a reader."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from local_stack.objects import CLIENTS_BUCKET, STORAGE_BUCKET, ObjectStore, SftpServer
from tests.faults.proxy import Proxy
from tests.faults.school import CLIENT, Files, make_include, put
from tests.faults.stage import DONE, TRY_AGAIN, UNFORESEEN, s3_client

REPO = Path(__file__).parents[2]
STAGES = ("extract", "validate", "transform", "load", "report")
KILLED = -9
_PATIENCE_S = 300  # a machine at work on much else takes minutes for what takes seconds
ENTITIES = ("section", "person", "enrollment")
_VOLATILE = (
    "client_id", "run_seq", "first_run_seq", "change_seq", "delivery_seq", "first_seen_at", "last_changed_at",
    "deleted_at",
)  # fmt: skip
# of every process that speaks with the S3 server of the tests
ENVIRON = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Zygote:
    """The process that forks stages; see tests.faults.stage."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        import os

        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.stage"], cwd=REPO, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(REPO), **ENVIRON, **environ},
        )  # fmt: skip
        self._numbers = itertools.count(1)
        self._news: dict[int, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._ready = False
        threading.Thread(target=self._listen, daemon=True).start()
        with self._changed:
            assert self._changed.wait_for(lambda: self._ready, _PATIENCE_S), "it never began"

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            with self._changed:
                if said.get("ready"):
                    self._ready = True
                else:
                    self._news.setdefault(said["id"], {}).update(said)
                self._changed.notify_all()

    def start(self, order: Mapping[str, Any]) -> int:
        """Begin a stage; gives its number once its process lives."""
        number = next(self._numbers)
        self._say({**order, "id": number})
        self._wait(number, "began", _PATIENCE_S)
        return number

    def kill(self, number: int) -> None:
        """Signal 9, unless it has ended."""
        self._say({"kill": number})

    def ended(self, number: int) -> bool:
        """Whether it has."""
        return "code" in self._news.get(number, {})

    def wait(self, number: int, limit_s: float = _PATIENCE_S) -> int:
        """Its exit code; -9 when it was killed."""
        return int(self._wait(number, "code", limit_s))

    def close(self) -> None:
        """End the zygote, and with it every stage."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(_PATIENCE_S)

    def _say(self, what: Mapping[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write((json.dumps(what) + "\n").encode())
        self._process.stdin.flush()

    def _wait(self, number: int, what: str, limit_s: float) -> Any:
        with self._changed:
            if not self._changed.wait_for(lambda: what in self._news.get(number, {}), limit_s):
                raise TimeoutError(f"stage {number} never {what}")
            return self._news[number][what]


@dataclass(frozen=True)
class Night:
    """What a delivery makes of the tables and of its own run, when nothing disturbs it."""

    state: str
    counts: tuple[Any, ...]
    rejects: tuple[Any, ...]
    history: int


@dataclass
class Bench:
    """The servers of a campaign in `home`, the stages' zygote, and a client's inbox.

    `storage`: folder or s3; `source`: folder, s3 or sftp. `database`: the name of an empty one.
    """

    home: Path
    postgres_url: str  # of the server, with its socket
    zygote: Zygote
    environ: dict[str, str] = field(default_factory=dict)
    objects: ObjectStore | None = None
    sftp: SftpServer | None = None
    database_proxy: Proxy | None = None
    s3_proxy: Proxy | None = None
    sftp_proxy: Proxy | None = None
    clients: Mapping[str, str] | None = None  # mappings by client id, instead of the usual ones

    def __post_init__(self) -> None:
        self._runs = itertools.count(1)
        self.places: dict[str, Any] = {}  # of campaigns, to be used again by the next
        self.include = make_include(self.home, self.clients)
        self.log = self.home / "stages.log"
        self._all = contextlib.ExitStack()

    @property
    def socket_folder(self) -> Path:
        """Where PostgreSQL's socket lies."""
        return Path(psycopg.conninfo.conninfo_to_dict(self.postgres_url)["host"])  # type: ignore[arg-type]

    def direct(self, database: str) -> str:
        """The database without a proxy."""
        return psycopg.conninfo.make_conninfo(self.postgres_url, dbname=database)

    def start_objects(self) -> None:
        """The S3 and SFTP servers, with proxies in front of them."""
        state = self.home / "state"
        self.objects = ObjectStore(self.home / "objects", state)
        inboxes = self.home / "objects" / CLIENTS_BUCKET / "clients"
        self.sftp = SftpServer("clients", inboxes, (CLIENT,), state, ("inbox", "outbox"))
        for server in (self.objects, self.sftp):
            server.start()
            assert server.process
            self._all.callback(server.process.stop)
        self.s3_proxy = self._all.enter_context(Proxy(self.objects.port))
        self.sftp_proxy = self._all.enter_context(Proxy(self.sftp.port))

    def start_database_proxy(self) -> None:
        """A proxy in front of PostgreSQL."""
        socket = next(p for p in self.socket_folder.glob(".s.PGSQL.*") if p.suffix != ".lock")
        self.database_proxy = self._all.enter_context(Proxy(socket))

    def close(self) -> None:
        """Stop what was started."""
        self._all.close()

    def fresh_database(self, name: str) -> str:
        """Make an empty database of this name, in place of one that is there."""
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name

    def school(
        self,
        database: str,
        storage: str = "folder",
        source: str = "folder",
        client_id: str = CLIENT,
    ) -> School:
        """A client whose data lies in `database`."""
        return School(self, database, storage, source, client_id)

    def next_run(self) -> str:
        """An id that no run has had."""
        return f"run_{next(self._runs)}"


@dataclass
class School:
    """One client: deliver, run its stages, look at what became of it."""

    bench: Bench
    database: str
    storage: str
    source: str
    client_id: str = CLIENT
    through_proxy: bool = False
    late: dict[str, str] | None = None
    wishes: Mapping[str, Any] = field(default_factory=dict)  # etl_lib.run.Wishes; instants as ISO
    ended: list[tuple[str, int]] = field(default_factory=list)  # stages of `run`, with exit codes

    @property
    def inbox(self) -> Path:
        """The folder behind the inbox, whatever serves it."""
        if self.source == "folder":
            return self.bench.home / "inbox" / self.database / self.client_id
        return self.bench.home / "objects" / CLIENTS_BUCKET / "clients" / self.client_id / "inbox"

    def order(self, run_id: str, stage: str, **more: Any) -> dict[str, Any]:
        """What the zygote is told."""
        bench = self.bench
        url = bench.direct(self.database)
        if bench.database_proxy and self.through_proxy:
            url = psycopg.conninfo.make_conninfo(
                url, host="127.0.0.1", port=bench.database_proxy.port, sslmode="disable", gssencmode="disable",
            )  # fmt: skip
        return {
            "stage": stage, "client_id": self.client_id, "run_id": run_id, "include": str(bench.include),
            "database_url": url, "storage": self._storage(), "source": self._source(),
            "log": str(bench.log), "wishes": dict(self.wishes), **more,
        }  # fmt: skip

    def _storage(self) -> dict[str, str]:
        if self.storage == "folder":
            return {"folder": str(self.bench.home / "storage" / self.database)}
        return {**self._keys(), "bucket": STORAGE_BUCKET}

    def _source(self) -> dict[str, Any]:
        bench = self.bench
        late = {"late": self.late} if self.late else {}
        if self.source == "folder":
            return {"folder": str(self.inbox), **late}
        if self.source == "s3":
            return {
                **self._keys(),
                "bucket": CLIENTS_BUCKET,
                "prefix": f"clients/{self.client_id}/inbox",
                **late,
            }
        assert bench.sftp and bench.sftp_proxy
        port = bench.sftp_proxy.port if self.through_proxy else bench.sftp.port
        return {"port": port, "user": self.client_id, "path": "inbox", "host_key": bench.sftp.host_key,
                "key_path": str(bench.sftp.key_path(self.client_id)), **late}  # fmt: skip

    def _keys(self) -> dict[str, str]:
        objects, proxy = self.bench.objects, self.bench.s3_proxy
        assert objects and (proxy or not self.through_proxy)
        port = proxy.port if proxy and self.through_proxy else objects.port
        return {"access_key": objects.access_key, "secret_key": objects.secret_key,
                "endpoint_url": f"http://127.0.0.1:{port}"}  # fmt: skip

    def deliver(self, files: Files) -> None:
        """Put the files into the inbox, in place of those that lie there."""
        if self.source == "folder":
            put(files, self.inbox)
            return
        assert self.bench.objects
        client = self.client()
        prefix = f"clients/{self.client_id}/inbox"
        for name, data in files.items():
            client.put_object(Bucket=CLIENTS_BUCKET, Key=f"{prefix}/{name}", Body=data)
        if self.source == "sftp":
            time.sleep(1.1)  # the SFTP server looks at its folder once a second

    def client(self) -> Any:
        """An S3 client that reaches the server without a proxy."""
        objects = self.bench.objects
        assert objects
        return s3_client({**self._keys(), "endpoint_url": objects.endpoint_url})

    def run(self, run_id: str | None = None, stages: Sequence[str] = STAGES, tries: int = 3) -> str:
        """Every stage as a process of its own, repeated as Airflow would; gives the run's id."""
        run_id = run_id or self.bench.next_run()
        began = datetime.now(UTC).isoformat()  # of the run, as its later stages know it
        for stage in stages:
            for _ in range(tries):
                code = self.stage(run_id, stage, began)
                self.ended.append((stage, code))
                if code not in (TRY_AGAIN, UNFORESEEN, KILLED):
                    break
            if code != DONE and stage not in ("report", "all"):
                self.stage(run_id, "report", began)
                break
        return run_id

    def stage(self, run_id: str, stage: str, began: str = "") -> int:
        """One stage to its end; gives its exit code. `began`: the run did, as ISO; else it does now."""
        zygote = self.bench.zygote
        order = self.order(run_id, stage, environ=self.bench.environ, began=began)
        return zygote.wait(zygote.start(order))

    def killed(self, run_id: str, stage: str, after_s: float) -> bool:
        """A stage that gets signal 9 after so long; whether it was alive then."""
        zygote = self.bench.zygote
        number = zygote.start(self.order(run_id, stage, environ=self.bench.environ))
        until = time.monotonic() + after_s
        while time.monotonic() < until and not zygote.ended(number):
            time.sleep(min(0.001, max(until - time.monotonic(), 0)))
        zygote.kill(number)
        return zygote.wait(number) == KILLED

    # --- what became of it ----------------------------------------------------------------------------

    def query(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query, without a proxy."""
        with psycopg.connect(self.bench.direct(self.database)) as connection:
            return connection.execute(text.encode(), values or None).fetchall()

    def night(self, run_id: str) -> Night:
        """What the tables hold now, and what the run says it did."""
        with psycopg.connect(self.bench.direct(self.database)) as connection:
            counts = connection.execute(
                "SELECT c.* FROM etl.run_count c JOIN etl.run r USING (run_seq) "
                "WHERE r.client_id = %s AND r.run_id = %s ORDER BY feed, entity", (self.client_id, run_id),
            ).fetchall()  # fmt: skip
            rejects = connection.execute(
                "SELECT x.feed, x.entity, x.file, x.line, x.key, x.column, x.code FROM etl.rejected_row x "
                "JOIN etl.run r USING (run_seq) WHERE r.client_id = %s AND r.run_id = %s ORDER BY 1, 3, 4, 6, 7, 2",
                (self.client_id, run_id),
            ).fetchall()  # fmt: skip
            history = connection.execute(
                "SELECT count(*) FROM etl.history h JOIN etl.run r USING (run_seq) "
                "WHERE r.client_id = %s AND r.run_id = %s", (self.client_id, run_id),
            ).fetchone()  # fmt: skip
            state = state_of(connection, self.client_id)
        assert history
        return Night(state, tuple(row[1:] for row in counts), tuple(rejects), history[0])

    def status(self, run_id: str) -> str:
        """How the run ended."""
        found = self.query(
            "SELECT status FROM etl.run WHERE client_id = %s AND run_id = %s",
            (self.client_id, run_id),
        )
        return str(found[0][0]) if found else "never began"

    def codes(self, run_id: str) -> set[str]:
        """What the run said."""
        rows = self.query(
            "SELECT m.code FROM etl.run_message m JOIN etl.run r USING (run_seq) "
            "WHERE r.client_id = %s AND r.run_id = %s",
            (self.client_id, run_id),
        )  # fmt: skip
        return {code for (code,) in rows}

    def loads(self, run_id: str) -> int:
        """How often the run was committed."""
        rows = self.query(
            "SELECT count(*) FROM etl.load l JOIN etl.run r USING (run_seq) WHERE r.client_id = %s AND r.run_id = %s",
            (self.client_id, run_id),
        )  # fmt: skip
        return int(rows[0][0])

    def shown(self) -> list[tuple[Any, ...]]:
        """What the application reads of the client: its rows that are not deleted."""
        parts = [
            f"SELECT '{e}', md5(string_agg((to_jsonb(v) - %s::text[])::text, '/' ORDER BY {e}_id)) "
            f"FROM core.current_{e} v WHERE client_id = %s" for e in ENTITIES
        ]  # fmt: skip
        aside = ["client_id", "change_seq", "first_seen_at", "last_changed_at"]
        return self.query(" UNION ALL ".join(parts), [aside, self.client_id] * len(ENTITIES))

    def leftovers_of_green(self) -> list[str]:
        """As `leftovers`, but runs that failed keep their stage files for a repetition."""
        return [one for one in self.leftovers() if "stage files" not in one]

    def faults(self, run_id: str, expected: Night) -> list[str]:
        """What is not as after an undisturbed run; empty when all is well."""
        return self.differences(run_id, expected) + self.leftovers()

    def differences(self, run_id: str, expected: Night) -> list[str]:
        """In what the run and the tables differ from an undisturbed run."""
        found = []
        status, night = self.status(run_id), self.night(run_id)
        if not status.startswith("succeeded"):
            found.append(f"the run is {status}")
        for name in ("state", "counts", "rejects", "history"):
            if getattr(night, name) != getattr(expected, name):
                found.append(f"{name} differ")
        if (loads := self.loads(run_id)) != 1:
            found.append(f"{loads} loads")
        return found

    def leftovers(self) -> list[str]:
        """What a finished run must not leave: stage files, half objects, locks, sessions, tables."""
        found = []
        if self.storage == "folder":
            root = self.bench.home / "storage" / self.database
        else:
            root = self.bench.home / "objects" / STORAGE_BUCKET
        files = [p for p in root.rglob("*") if p.is_file()]
        if left := [
            p for p in files if p.relative_to(root).parts[:2] == ("staging", self.client_id)
        ]:
            found.append(f"{len(left)} stage files left")
        if parts := [p for p in files if p.name.endswith(".part")]:
            found.append(f"{len(parts)} unfinished objects left")
        for path in files:
            is_original = (
                path.relative_to(root).parts[0] == "archive" and path.parent.name == "files"
            )
            if is_original and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
                found.append("a file in the archive is not what its name says")
        if scratch := list((self.bench.home / "scratch").iterdir()):
            found.append(f"{len(scratch)} scratch folders left")
        for query, what in (
            ("SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
             "WHERE locktype = 'advisory' AND d.datname = current_database()", "advisory locks"),
            ("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
             "AND application_name = 'etl' AND state <> 'idle'", "sessions"),
            ("SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'", "temporary tables"),
        ):  # fmt: skip
            until = time.monotonic() + 3  # a server notices an end a moment later
            while (count := self.query(query)[0][0]) and time.monotonic() < until:
                time.sleep(0.02)
            if count:
                found.append(f"{count} {what} left")
        return found


def state_of(connection: psycopg.Connection[Any], client_id: str) -> str:
    """A checksum of all that the client has in the tables, of one moment; times and numbers of runs aside."""
    row = connection.execute(_state_query(connection), {"client": client_id}).fetchone()
    assert row
    return str(row[0])


def _state_query(connection: psycopg.Connection[Any]) -> bytes:
    parts = []
    for entity in ENTITIES:
        found = connection.execute(
            "SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND NOT attname = ANY (%s)",
            (f"core.{entity}", list(_VOLATILE)),
        ).fetchone()  # fmt: skip
        columns = found[0] if found else None
        if columns is None:
            parts.append("'none'")
            continue
        columns = columns.replace(",feeds", ",array(SELECT unnest(feeds) ORDER BY 1)")
        parts.append(
            f"(SELECT coalesce(md5(string_agg(ROW({columns}, deleted_at IS NULL)::text, '/' "
            f"ORDER BY {entity}_id)), '') FROM core.{entity} WHERE client_id = %(client)s)"
        )
    return ("SELECT concat_ws(' ', " + ", ".join(parts) + ")").encode()


@dataclass
class Reader:
    """Looks at a client's tables all the time, in its `with` block; `seen`: every state it met.

    `too_green`: runs that said they had loaded before they had.
    """

    school: School
    pause_s: float = 0.01
    seen: set[str] = field(default_factory=set)
    too_green: set[str] = field(default_factory=set)
    looks: int = 0

    def __enter__(self) -> Reader:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def faults(self, states: Set[str]) -> list[str]:
        """What it should not have seen; `states` are those that it may."""
        found = [] if self.seen <= states else ["a reader saw a part of a delivery"]
        return found + [f"{run_id} was green before it was loaded" for run_id in self.too_green]

    def _look(self) -> None:
        url = self.school.bench.direct(self.school.database)
        with psycopg.connect(url, autocommit=True) as connection:
            query = _state_query(connection)
            while not self._stop.is_set():
                row = connection.execute(query, {"client": self.school.client_id}).fetchone()
                assert row
                self.seen.add(str(row[0]))
                self.too_green |= {run_id for (run_id,) in connection.execute(
                    "SELECT run_id FROM etl.run r WHERE client_id = %s AND status LIKE 'succeeded%%' AND NOT "
                    "dry_run AND NOT EXISTS (SELECT FROM etl.load l WHERE l.run_seq = r.run_seq)",
                    (self.school.client_id,),
                )}  # fmt: skip
                self.looks += 1
                self._stop.wait(self.pause_s)


@contextlib.contextmanager
def bench_in(home: Path, postgres_url: str, *, objects: bool = False) -> Iterator[Bench]:
    """A bench with all that was asked for, stopped at the end."""
    scratch = home / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    zygote = Zygote({"TMPDIR": str(scratch)})
    bench = Bench(home, postgres_url, zygote)
    try:
        bench.start_database_proxy()
        if objects:
            bench.start_objects()
        yield bench
    finally:
        bench.close()
        zygote.close()


def settled(school: School, nights: Sequence[Files], rounds: int = 2) -> list[Night]:
    """Deliver the nights in turn, undisturbed; what each makes of the one before in the last round."""
    found: list[Night] = []
    for _ in range(rounds):
        found = []
        for files in nights:
            school.deliver(files)
            found.append(school.night(school.run(stages=("all",))))
    return found


def twin(school: School, database: str) -> School:
    """The same client in another database, with an inbox and a storage of its own in folders."""
    return replace(
        school, database=database, storage="folder", source="folder", through_proxy=False
    )


def forget(folder: Path) -> None:
    """Remove a folder with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
