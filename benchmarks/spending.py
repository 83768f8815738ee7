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

    Memory is the larger of two: the largest resident set of any one of the processes, which the kernel
    keeps, and, while there are several, the largest sum of their proportional sets, looked at five times
    a second.
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
    peak_mb = max(used.ru_maxrss, *seen_kb) * 1024 / 1e6
    return Client(used.ru_utime + used.ru_stime, wall_s, peak_mb)


def _watch(process: int, ended: threading.Event, seen_kb: list[int]) -> None:
    while not ended.wait(_LOOK_EVERY_S):
        several = family(process)
        if len(several) > 1:  # of one the kernel knows better, and looking costs the client time
            seen_kb[0] = max(seen_kb[0], sum(_pss_kb(one) for one in several))


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


def _pss_kb(process: int) -> int:
    try:
        found = _PSS.search(Path(f"/proc/{process}/smaps_rollup").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0
