"""CPU seconds of processes with all that they have started, those that have ended included."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil


def cpu_s(roots: Iterable[int]) -> float:
    """User and system seconds of the processes with these ids and of their descendants.

    A process counts its children when it has waited for them, so those that ended meanwhile are in it.
    """
    total = 0.0
    seen: set[int] = set()
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            for one in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if one.pid not in seen:
                        seen.add(one.pid)
                        total += sum(one.cpu_times()[:4])
    return total
