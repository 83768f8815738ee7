"""Which tasks of a running Airflow are at work, and in which processes."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

from local_stack.stack import Stack

_WORKER = "LocalExecutor: "


@dataclass(frozen=True)
class AtWork:
    """A task's own process, and the executor's worker that supervises it."""

    process: psutil.Process
    supervisor: psutil.Process


def scheduler_of(stack: Stack) -> psutil.Process:
    """The scheduler, from which the executor's workers are forked."""
    assert stack.airflow is not None
    found = next(p for p in stack.airflow.processes if "scheduler" in p.name)
    return psutil.Process(found.popen.pid)


def tasks_at_work(scheduler: psutil.Process) -> dict[str, AtWork]:
    """By Airflow's id of a task's try."""
    every = scheduler.children(recursive=True)
    children = {_parent_of(process): process for process in every}
    found = {}
    for worker in every:
        task_id, child = _task_id(worker), children.get(worker.pid)
        if task_id and child:
            found[task_id] = AtWork(child, worker)
    return found


def _parent_of(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.ppid())
    return 0


def _task_id(worker: psutil.Process) -> str:
    """Which task the worker supervises; empty for one that is idle, and for any other process."""
    with suppress(psutil.NoSuchProcess):  # it has ended since, or is a zombie
        _, is_worker, rest = " ".join(worker.cmdline()).partition(_WORKER)
        return rest.strip() if is_worker and "<idle>" not in rest else ""
    return ""


class Watch:
    """Looks all the time which tasks are at work, in its `with` block; knows each as it was last seen."""

    def __init__(self, scheduler: psutil.Process, pause_s: float = 0.01) -> None:
        self.scheduler, self.pause_s = scheduler, pause_s
        self.tasks: dict[str, AtWork] = {}
        self._seen_at: dict[str, tuple[float, float]] = {}  # first and last, monotonic seconds
        self._stop = threading.Event()

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._stop.wait(self.pause_s):
            with suppress(psutil.NoSuchProcess):
                found, now = tasks_at_work(self.scheduler), time.monotonic()
                for task_id, task in found.items():
                    first, _ = self._seen_at.get(task_id, (now, now))
                    self._seen_at[task_id] = (first, now)
                    self.tasks[task_id] = task

    def lasted_s(self, task_id: str) -> float | None:
        """How long the task was at work, from the first to the last look at it; None: never seen."""
        if seen := self._seen_at.get(task_id):
            return seen[1] - seen[0]
        return None
