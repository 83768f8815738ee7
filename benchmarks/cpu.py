"""CPU seconds of processes with all that they have started, those that have ended included."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil


def cpu_s(roots: Iterable[int]) -> float:
    """User and system seconds of the processes with these ids and of their descendants.

    A process counts its children when it has waited for them, so those that ended meanwhile are in it.
    """
    known = tuple(roots)
    while True:
        family: dict[int, psutil.Process] = {}
        for root in known:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(root)
                family |= {one.pid: one for one in (process, *process.children(recursive=True))}
        try:
            return float(sum(sum(one.cpu_times()[:4]) for one in family.values()))
        except psutil.NoSuchProcess:
            continue  # one has just ended: it is in its parent's figures only now
