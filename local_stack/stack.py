"""The whole stack on one home folder: started together, stopped together."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from local_stack.airflow import Airflow
from local_stack.objects import CLIENTS_BUCKET, ObjectStore, SftpServer, fingerprint
from local_stack.postgres import PostgresServer
from local_stack.processes import Process, StackError

HOST = "127.0.0.1"
_ADDRESSES = "stack.env"


@dataclass(frozen=True)
class SftpAccess:
    """What a client needs to log in: the address, the server's key, and its own."""

    port: int
    user: str
    key_path: Path
    host_key: str
    host: str = HOST


class Stack:
    """PostgreSQL, S3, SFTP with one user for each of `clients`, and Airflow when `airflow` is true.

    `school_servers`: clients whose files lie on an SFTP server of their own, from which we fetch.
    `on_step` is told in words what happens. Raises StackError when something cannot start.
    """

    def __init__(
        self, home: Path, repo: Path, clients: Sequence[str], school_servers: Sequence[str] = (),
        *, airflow: bool = True, bundles: list[dict[str, Any]] | None = None,
        on_step: Callable[[str], None] = print,
    ) -> None:  # fmt: skip
        self.home, self.repo, self.on_step = home.resolve(), repo, on_step
        self.clients, self.school_servers = tuple(clients), tuple(school_servers)
        objects = self.home / "objects"
        roots = objects / CLIENTS_BUCKET / "clients"
        state = self.home / "state"
        self.postgres = PostgresServer(self.home / "postgres")
        self.objects = ObjectStore(objects, state)
        self.sftp = SftpServer("clients", roots, self.clients, state, ("inbox/test", "outbox"))
        self.schools = SftpServer(
            "schools", self.home / "school_sftp", self.school_servers, state, ("outgoing",)
        )
        default = [{"name": "dags", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                    "kwargs": {"path": str(repo / "dags")}}]  # fmt: skip
        self.airflow: Airflow | None = None
        if airflow:
            self.airflow = Airflow(self.home / "airflow", repo, self.postgres, bundles or default)
        self.more_environ: dict[str, str] = {}  # for Airflow, besides what the stack gives it
        self._lock: TextIOWrapper | None = None

    def start(self) -> None:
        """Start everything; what has started is stopped again when something fails."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            self.on_step("starting PostgreSQL 18, the S3 server and the SFTP servers")
            servers: list[Callable[[], None]] = [
                self.postgres.start,
                self.objects.start,
                self.sftp.start,
            ]
            if self.school_servers:
                servers.append(self.schools.start)
            for start in servers:  # not in threads: a child dies with the thread that started it
                start()
            self.postgres.ensure_database("etl")
            if self.airflow:
                self.airflow.extra = {**self.environ(), **self.more_environ}
                self.airflow.start(self.on_step)
            self._tell()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything that was started; may be called again."""
        if self._lock:
            (self.home / _ADDRESSES).unlink(missing_ok=True)
        if self.airflow:
            self.airflow.stop()
        for process in self._rclones():
            process.stop()
        self.postgres.stop()
        if self._lock:
            self._lock.close()
            self._lock = None

    def _rclones(self) -> Iterator[Process]:
        for server in (self.sftp, self.schools, self.objects):
            if server.process:
                yield server.process
                server.process = None

    def _take_lock(self) -> None:
        self._lock = (self.home / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise StackError(
                f"Another stack runs on {self.home}. Stop it (Ctrl-C in its terminal), or use another home."
            ) from None

    def _tell(self) -> None:
        """Let other programs of this user find the running stack; a shell reads the file as well."""
        found = {**self.environ(), "SFTP_PORT": str(self.sftp.port)}
        if self.airflow:
            found |= {**self.airflow.settings(), "AIRFLOW_URL": self.airflow.url}
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in found.items()]
        path = self.home / _ADDRESSES
        path.touch(mode=0o600)  # it holds keys
        path.write_text("".join(lines))

    @property
    def etl_database_url(self) -> str:
        """The ETL database, as psycopg wants it."""
        return self.postgres.url("etl")

    def client_access(self, client_id: str) -> SftpAccess:
        """How a school logs in to its own folder with us."""
        return SftpAccess(
            self.sftp.port, client_id, self.sftp.key_path(client_id), self.sftp.host_key
        )

    def school_access(self, client_id: str) -> SftpAccess:
        """How we log in to a school's own server."""
        return SftpAccess(
            self.schools.port, client_id, self.schools.key_path(client_id), self.schools.host_key
        )

    def sftp_environ(self) -> dict[str, str]:
        """Where the SFTP server's users are, for `etl provision`, and how schools reach it, for their guides."""
        return {
            "ETL_SFTP_KEYS": str(self.sftp.key_folder),
            "ETL_SFTP_HOST": HOST,
            "ETL_SFTP_PORT": str(self.sftp.port),
            "ETL_SFTP_FINGERPRINT": fingerprint(self.sftp.host_key),
        }

    def environ(self) -> dict[str, str]:
        """Variables for every process that uses the stack: the database, and Airflow's connections."""
        aws = {
            "conn_type": "aws",
            "login": self.objects.access_key,
            "password": self.objects.secret_key,
            "extra": {
                "endpoint_url": self.objects.endpoint_url,
                "region_name": "us-east-1",
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            },
        }
        database = {"conn_type": "postgres", "host": str(self.postgres.socket_folder),
                    "login": "postgres", "schema": "etl"}  # fmt: skip
        connections: dict[str, Any] = {
            "etl_database": database,
            "etl_storage": aws,
            "etl_clients": aws,
        }
        for client_id in self.school_servers:
            access = self.school_access(client_id)
            connections[f"sftp_{client_id}"] = {
                "conn_type": "sftp", "host": access.host, "port": access.port, "login": access.user,
                "extra": {"host_key": access.host_key, "private_key": access.key_path.read_text()},
            }  # fmt: skip
        return {
            "ETL_DATABASE_URL": self.etl_database_url,
            "ETL_ENVIRONMENT": "development",
            **self.sftp_environ(),
            # rclone keeps an upload's checksum and answers it to a part of the object, too
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            **{f"AIRFLOW_CONN_{n.upper()}": json.dumps(c) for n, c in connections.items()},
        }

    def __enter__(self) -> Stack:
        def interrupted(number: int, _: FrameType | None) -> None:
            raise KeyboardInterrupt(signal.Signals(number).name)

        with contextlib.suppress(ValueError):  # only the main thread may; others stop by themselves
            signal.signal(signal.SIGTERM, interrupted)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.on_step("stopping everything")
        self.stop()


def addresses(home: Path) -> dict[str, str]:
    """`ETL_DATABASE_URL`, `SFTP_PORT` and `AIRFLOW_URL` of the stack that runs on `home`.

    Raises StackError when none runs there.
    """
    try:
        words = shlex.split((home / _ADDRESSES).read_text())
    except FileNotFoundError:
        raise StackError("The local stack does not run. Start it with `make demo`.") from None
    return dict(word.split("=", 1) for word in words if "=" in word)


def default_home(repo: Path) -> Path:
    """Where the stack of a checkout lies, unless STACK_HOME says otherwise."""
    return Path(os.environ.get("STACK_HOME") or repo / ".local")
