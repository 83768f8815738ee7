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
    NOT_EXPECTED = "not_expected"
    AWAITING_APPROVAL = "awaiting_approval"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    NOT_RECEIVED = "not_received"
    FAILED = "failed"
    UNDONE = "undone"


GREEN = frozenset({RunStatus.SUCCEEDED, RunStatus.SUCCEEDED_WITH_REJECTS, RunStatus.NOTHING_NEW})
OPEN = frozenset({RunStatus.WAITING, RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL})
# What the view shows beside: no run on the day; a delivery that is not there by its hour and is waited
# for, or is waited for no longer. Computed whenever somebody looks: no process has to wake up for it.
NOT_DUE, LATE, STALE = "not_due", "late", "stale"
# Nothing goes on before a person does something.
NEEDS_SOMEBODY = frozenset(
    {
        RunStatus.FAILED,
        RunStatus.NOT_RECEIVED,
        RunStatus.AWAITING_APPROVAL,
        RunStatus.REFUSED,
        STALE,
    }
)
# A run's own words about files that are not loaded; that they are missing is not said beside.
SPEAKS_FOR_ITSELF = frozenset({RunStatus.FAILED, RunStatus.AWAITING_APPROVAL, RunStatus.REFUSED})
# Over these a delivery that is overdue is shown; over all others the run's own status.
GIVES_WAY_TO_OVERDUE = frozenset(
    {
        NOT_DUE, LATE, RunStatus.WAITING, RunStatus.NOTHING_NEW, RunStatus.NOT_EXPECTED,
        RunStatus.SUPERSEDED, RunStatus.UNDONE, RunStatus.SUCCEEDED, RunStatus.SUCCEEDED_WITH_REJECTS,
    }
)  # fmt: skip
# Of a run `r`, in SQL.
STATUS_NOW = f"CASE WHEN r.status = '{RunStatus.WAITING}' AND r.expected_at <= now() THEN '{LATE}' ELSE r.status END"
# What account managers call each status.
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
    RunStatus.NOT_EXPECTED: "not expected",
    NOT_DUE: "not due",
    LATE: "late",
    STALE: "nothing came",
}


def in_words(status: str) -> str:
    """What people call a status; one that is none, as it is."""
    return WORDS.get(status, status)
