"""Runs a client as a process of its own and tells what it took: CPU, time, memory, with all its children."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LOOK_EVERY_S = 0.2
_HIGHEST = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Client:
    """What a process and its children took: user and system time, duration, largest memory."""

    cpu_s: float
    wall_s: float
    peak_mb: float


class GivesUpError(Exception):
    """The client ended with another exit code than 0; the text is the end of what it said."""


def spend(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Client:
    """Run the command to its end, its output into `log`; raises GivesUpError.

    Memory is the larger of two, looked at five times a second: the largest resident set that any one of the
    processes has had so far, and, while there are several, the sum of their proportional sets. (What `wait4`
    tells would hold our own memory as well, from before the process became another program.)
    """
    with log.open("wb") as out:
        begun = time.monotonic()
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            env=dict(environ),
        )  # fmt: skip
        ended = threading.Event()
        seen_kb = [0]
        watcher = threading.Thread(target=_watch, args=(process.pid, ended, seen_kb))
        watcher.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:  # stopped while it waits: what it has started goes with it
            process.kill()
            raise
        finally:
            wall_s = time.monotonic() - begun
            ended.set()
            watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise GivesUpError(log.read_text(errors="replace")[-2000:])
    peak_mb = seen_kb[0] * 1024 / 1e6
    return Client(used.ru_utime + used.ru_stime, wall_s, peak_mb)


def _watch(process: int, ended: threading.Event, seen_kb: list[int]) -> None:
    while not ended.wait(_LOOK_EVERY_S):
        several = family(process)
        seen_kb[0] = max(seen_kb[0], *(_kb(_HIGHEST, one, "status") for one in several))
        if len(several) > 1:  # it costs the client time
            together = sum(_kb(_PSS, one, "smaps_rollup") for one in several)
            seen_kb[0] = max(seen_kb[0], together)


def family(process: int) -> list[int]:
    """A process and all that come of it, as far as they live."""
    found = [process]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue  # it has just ended
    return found


def _kb(pattern: re.Pattern[str], process: int, name: str) -> int:
    try:
        found = pattern.search(Path(f"/proc/{process}/{name}").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0
