"""Airflow's processes with PostgreSQL metadata, configured for one machine: LocalExecutor, or Celery workers."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from local_stack.broker import Redis
from local_stack.objects import secret
from local_stack.postgres import PostgresServer
from local_stack.processes import Process, StackError, free_port

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
_FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
_START_LIMIT_S = 150


# A worker that is lost says nothing: its tasks are repeated when they have been silent for so long. Airflow's
# 300 s made a lost worker's schools wait five minutes; an api-server that starts anew is silent for up to
# 20 s, which must not end a task that is well.
HEARTBEAT_TIMEOUT_S = 60


@dataclass(frozen=True)
class Worker:
    """A Celery worker as a machine of its own: home, snapshots, logs and scratch in `home`, nothing shared.

    `project`: its own copy of `include/`, as its image would hold it. `at_once`: tasks at the same time.
    """

    home: Path
    project: Path
    at_once: int = 2

    @property
    def name(self) -> str:
        """As its process is called."""
        return f"worker {self.home.name}"


@dataclass
class Airflow:
    """Airflow on a home folder; `extra` are more variables (connections, the product's own).

    `fab`: users with roles, kept in Airflow's database, instead of the two of the simple auth manager.
    `celery`: the CeleryExecutor with a Redis of its own; workers are then started with `start_worker`.
    """

    home: Path
    repo: Path
    postgres: PostgresServer
    bundles: list[dict[str, Any]]
    extra: Mapping[str, str] = field(default_factory=dict)
    parallelism: int = 6
    port: int = 0
    components: Sequence[str] = COMPONENTS
    fab: bool = False
    celery: bool = False
    processes: list[Process] = field(default_factory=list)
    _ports: dict[str, int] = field(default_factory=dict)
    _redis: Redis | None = None

    def start(self, on_step: Callable[[str], None]) -> None:
        """Migrate the metadata database when that is due, start all processes, wait until healthy."""
        self.port = self.port or free_port()
        self._ports = {"worker": free_port(), "triggerer": free_port()}
        self.home.mkdir(parents=True, exist_ok=True)
        secret(
            self.passwords_file,
            json.dumps({u: secrets.token_urlsafe(9) for u in ("admin", "viewer")}).encode(),
        )
        if self.celery:
            on_step("starting Redis")
            self._redis = Redis(self.home.parent / "redis")
            self.processes.append(self._redis.start())
        environ = self.environ()
        self.postgres.ensure_database("airflow")
        on_step("Airflow: migrating its metadata database")
        self._migrate(environ)
        on_step(f"Airflow: starting {', '.join(self.components)}")
        for component in self.components:
            command = [str(Path(sys.executable).parent / "airflow"), component]
            if component == "api-server":
                command += ["--host", "127.0.0.1", "--port", str(self.port)]
            log = self.home.parent / "logs" / f"{component}.log"
            self.processes.append(Process.start(f"Airflow's {component}", command, log, environ))
        for process in self.processes:
            process.wait_until(self._healthy, _START_LIMIT_S)

    def start_worker(self, worker: Worker) -> Process:
        """Start a Celery worker and wait until it takes tasks."""
        folders = {name: worker.home / name for name in ("bundles", "tmp", "airflow")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        bundles = [
            {**one, "kwargs": {**one["kwargs"], "project": str(worker.project)}}
            for one in self.bundles
        ]
        environ = {
            **self.environ(),
            "AIRFLOW_HOME": str(folders["airflow"]),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folders["bundles"]),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "ETL_INCLUDE": str(worker.project / "include"),
            "TMPDIR": str(folders["tmp"]),
        }
        command = [str(Path(sys.executable).parent / "airflow"), "celery", "worker",
                   "--concurrency", str(worker.at_once), "--celery-hostname", f"{worker.home.name}@%h"]  # fmt: skip
        log = self.home.parent / "logs" / f"{worker.home.name}.log"
        process = Process.start(worker.name, command, log, environ)
        self.processes.append(process)
        process.wait_until(lambda: " ready." in log.read_text(errors="replace"), _START_LIMIT_S)
        return process

    def stop(self) -> None:
        """End all processes."""
        for process in reversed(self.processes):
            process.stop()
        self.processes.clear()

    @property
    def url(self) -> str:
        """Where the user interface answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def passwords_file(self) -> Path:
        """JSON of user to password."""
        return self.home / "passwords.json"

    def password(self, user: str) -> str:
        """The password of `admin` or `viewer`."""
        return str(json.loads(self.passwords_file.read_text())[user])

    def _migrate(self, environ: Mapping[str, str]) -> None:
        done = self.home / "migrated"
        if done.exists():
            return
        command = [str(Path(sys.executable).parent / "airflow"), "db", "migrate"]
        result = subprocess.run(
            command, env=dict(environ), capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise StackError(f"Airflow's database could not be migrated.\n{result.stderr[-2000:]}")
        done.touch()

    def _healthy(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5)
        except httpx.HTTPError:
            return False
        parts = answer.json() if answer.status_code == 200 else {}
        wanted = (
            "metadatabase",
            *(c.replace("-", "_") for c in self.components if c != "api-server"),
        )
        return all((parts.get(part) or {}).get("status") == "healthy" for part in wanted)

    def environ(self) -> dict[str, str]:
        """Variables for any process that is to talk to this Airflow: those of this one, and its settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "ETL_"))}
        return {**kept, **self.settings()}

    def settings(self) -> dict[str, str]:
        """What `environ` sets."""
        state = self.home / "secrets"
        fernet = base64.urlsafe_b64encode(os.urandom(32))
        socket = self.postgres.socket_folder
        return {
            "PYTHONPATH": f"{self.repo}:{self.repo / 'deploy' / 'config'}",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres:@/airflow?host={socket}",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor" if self.celery else "LocalExecutor",
            **self._celery_environ(),
            "AIRFLOW__CORE__PARALLELISM": str(self.parallelism),  # one forked worker each
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.repo / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.repo / "plugins"),
            "AIRFLOW__CORE__FERNET_KEY": secret(state / "fernet", fernet),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.passwords_file),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secret(state / "api"),
            "AIRFLOW__API_AUTH__JWT_SECRET": secret(state / "jwt"),
            # a supervisor may sleep this long after its task has ended: 61 -> 369 tasks a minute
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # the first answers of an api-server that has just started took 12 s
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(self.bundles),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(self.home / "bundles"),
            # parsing 500 DAGs again costs 6.5 CPU s; a changed file is parsed at once all the same
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
            # a client whose mapping was removed leaves the list soon, not at the parse after the next
            "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "5",
            "AIRFLOW__DAG_PROCESSOR__PARSING_CLEANUP_INTERVAL": "15",
            # nothing due: the database at 3.4% of a core with 0.2, at 1.7% with 0.5, at 1.2% with Airflow's 1,
            # with which a run of five tasks takes 2 s longer
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            # two lines a DAG at every parse otherwise
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": (
                "airflow.models.dag=WARNING airflow.serialization.definitions.dag=WARNING"
            ),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self._ports.get("worker", 8793)),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self._ports.get("triggerer", 8794)),
            "GX_ANALYTICS_ENABLED": "false",
            **({"AIRFLOW__CORE__AUTH_MANAGER": _FAB} if self.fab else {}),
            **self.extra,
        }

    def _celery_environ(self) -> dict[str, str]:
        if self._redis is None:
            return {}
        socket = self.postgres.socket_folder
        return {
            "AIRFLOW__CELERY__BROKER_URL": self._redis.url,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://postgres:@/airflow?host={socket}",
            # the default of a day stands: a message that comes again within STAGE_LIMIT's six hours would
            # meet its own task at work
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT_S),
        }

    def add_user(self, user: str, role: str) -> str:
        """Make a user with one role that exists, under FAB; gives the password."""
        password = secrets.token_hex(
            9
        )  # never begins with a dash, which the command would take for an option
        command = [str(Path(sys.executable).parent / "airflow"), "users", "create", "-u", user, "-r", role,
                   "-p", password, "-f", user, "-l", user, "-e", f"{user}@example.invalid"]  # fmt: skip
        result = subprocess.run(
            command, env=self.environ(), capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise StackError(f"The user {user} could not be made.\n{result.stderr[-2000:]}")
        return password
