"""The one enumeration of what became of a run."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Status of a run; only those in GREEN mean that the data is as the school sent it."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    SUCCEEDED_WITH_REJECTS = "succeeded_with_rejects"
    NOTHING_NEW = "nothing_new"
    AWAITING_APPROVAL = "awaiting_approval"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    NOT_RECEIVED = "not_received"
    FAILED = "failed"
    UNDONE = "undone"


GREEN = frozenset({RunStatus.SUCCEEDED, RunStatus.SUCCEEDED_WITH_REJECTS, RunStatus.NOTHING_NEW})
OPEN = frozenset({RunStatus.WAITING, RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL})
# Nothing goes on before a person does something.
NEEDS_SOMEBODY = frozenset(
    {RunStatus.FAILED, RunStatus.NOT_RECEIVED, RunStatus.AWAITING_APPROVAL, RunStatus.REFUSED}
)

# What account managers call each status; NOT_DUE is a day without a run.
NOT_DUE = "not_due"
WORDS: dict[str, str] = {
    RunStatus.WAITING: "waiting for files",
    RunStatus.RUNNING: "running",
    RunStatus.SUCCEEDED: "loaded",
    RunStatus.SUCCEEDED_WITH_REJECTS: "loaded, rows to fix",
    RunStatus.NOTHING_NEW: "nothing new",
    RunStatus.AWAITING_APPROVAL: "awaiting approval",
    RunStatus.REFUSED: "refused",
    RunStatus.SUPERSEDED: "superseded",
    RunStatus.NOT_RECEIVED: "not received",
    RunStatus.FAILED: "failed",
    RunStatus.UNDONE: "undone",
    NOT_DUE: "not due",
}
