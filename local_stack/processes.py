"""Child processes of the stack: started with a log, watched, and stopped with all their children."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from tenacity import RetryError

from local_stack.waiting import wait_until

_TAIL_LINES = 15
_PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """The stack cannot start or go on; the text says why and what to do."""


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """On Linux a child gets SIGTERM when the stack's own process is killed."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Process:
    """A running child with its log file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls, name: str, command: Sequence[str], log: Path, environ: Mapping[str, str]
    ) -> Process:
        """Start `command` in a session of its own; its output goes to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            popen = subprocess.Popen(
                list(command), stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=dict(environ), start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 (one system call, no Python state)
            )  # fmt: skip
        return cls(name, popen, log)

    def wait_until(self, ready: Callable[[], bool], limit_s: float) -> None:
        """Wait until `ready()`; raises StackError, with the log's end, when it dies or takes too long."""

        def dead_or_ready() -> bool:
            if self.popen.poll() is not None:
                raise StackError(
                    f"{self.name} ended with exit code {self.popen.returncode}.\n{self.tail()}"
                )
            return ready()

        try:
            wait_until(dead_or_ready, limit_s, pause_s=0.1)
        except RetryError:
            raise StackError(
                f"{self.name} was not ready within {limit_s:.0f} s.\n{self.tail()}"
            ) from None

    def tail(self) -> str:
        """Where the log lies, and its last lines."""
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"Its log: {self.log}", *lines])

    def kill(self) -> None:
        """End the process and everything it started at once, as a machine that loses its power."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.popen.pid)
            for one in (family, *family.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def stop(self, limit_s: float = 15) -> None:
        """End the process and everything it started; nothing happens when it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [psutil.Process(self.popen.pid)]
            family += family[0].children(recursive=True)
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.terminate()
            _, alive = psutil.wait_procs(family, timeout=limit_s)
            for one in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


def answers(port: int) -> Callable[[], bool]:
    """Whether something listens at the port of this machine."""

    def probe() -> bool:
        with socket.socket() as connection:
            connection.settimeout(0.5)
            return connection.connect_ex(("127.0.0.1", port)) == 0

    return probe
