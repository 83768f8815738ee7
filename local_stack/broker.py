"""A Redis of the stack's own, between Airflow's scheduler and its Celery workers."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from local_stack.objects import secret
from local_stack.processes import Process, StackError, answers, free_port

_START_LIMIT_S = 15
_MISSING = (
    "Celery workers need a Redis server, and there is no `redis-server` on the PATH. Install it with the "
    "system's packages: `apt-get install redis-server`, `dnf install redis` or `brew install redis`."
)


@dataclass
class Redis:
    """`redis-server` on a free port, with a password, keeping nothing on disk."""

    home: Path
    port: int = 0
    process: Process | None = None

    def start(self) -> Process:
        """Serve; raises StackError, saying what to install, when there is no Redis on this machine."""
        program = shutil.which("redis-server")
        if program is None:
            raise StackError(_MISSING)
        self.port = free_port()
        self.home.mkdir(parents=True, exist_ok=True)
        settings = self.home / "redis.conf"
        settings.unlink(missing_ok=True)
        # in a file that only its owner reads: arguments are seen by every user of the machine
        lines = (
            f"port {self.port}",
            "bind 127.0.0.1",
            f"requirepass {self.password}",
            'save ""',
            f"dir {self.home}",
        )
        secret(settings, "\n".join(lines).encode())
        self.process = Process.start(
            "Redis", [program, str(settings)], self.home / "redis.log", dict(os.environ)
        )
        self.process.wait_until(answers(self.port), _START_LIMIT_S)
        return self.process

    @property
    def password(self) -> str:
        """Without it nobody gets in."""
        return secret(self.home / "password")

    @property
    def url(self) -> str:
        """The address for Celery."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"
