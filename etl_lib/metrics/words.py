"""The sentence that a person would say about a run, and numbers as people write them."""

from __future__ import annotations

from collections.abc import Sequence

from etl_lib.errors import Fault
from etl_lib.manifest import Counts, Loaded
from etl_lib.metrics.status import RunStatus


def _rows(number: int, noun: str = "row") -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def sentence(status: RunStatus, counts: Sequence[Counts], faults: Sequence[Fault]) -> str:
    """One or two sentences without codes and without any value of the data."""
    if status in (RunStatus.SUCCEEDED, RunStatus.SUCCEEDED_WITH_REJECTS):
        return _loaded(counts)
    reason = " ".join(dict.fromkeys(fault.text for fault in faults[:3]))
    more = f" And {len(faults) - 3} more." if len(faults) > 3 else ""
    opening = {
        RunStatus.NOTHING_NEW: "Nothing new.",
        RunStatus.AWAITING_APPROVAL: "Waits for approval; nothing was changed.",
        RunStatus.NOT_EXPECTED: "Nothing came, and nothing was expected.",
        RunStatus.NOT_RECEIVED: "No complete delivery came.",
        RunStatus.SUPERSEDED: "Left out.",
        RunStatus.UNDONE: undone_sentence(),
        RunStatus.REFUSED: "Refused; nothing was changed.",
    }.get(status, "Failed; nothing was changed.")
    return f"{opening} {reason}{more}".strip()


def undone_sentence(by: int | None = None) -> str:
    """What a run says that was put back, `by` the run of that number."""
    return f"Undone{f' by run {by}' if by else ''}: what it had changed was put back."


def dry_run_sentence(
    planned: Loaded | None, faults: Sequence[Fault], opening: str = "Dry run, nothing was changed."
) -> str:
    """What a dry run would have done, and which limits it would have exceeded."""
    if planned is None:
        return " ".join([opening, *dict.fromkeys(fault.text for fault in faults[:3])])
    if planned.said:
        return f"{opening} {planned.said}"
    would = _loaded(planned.counts).replace("Loaded", "Would load", 1)
    held = f" It would wait for approval: {' '.join(h.text for h in planned.holds)}"
    return f"{opening} {would}{held if planned.holds else ''}"


def _loaded(counts: Sequence[Counts]) -> str:
    read = sum(count.read for count in counts)
    changed = sum(c.inserted + c.updated + c.deleted_by_row + c.deleted_by_absence for c in counts)
    rejected = sum(count.rejected for count in counts)
    text = f"Loaded {_rows(read, 'record')}, {changed:,} changed"
    if rejected:
        need = "needs" if rejected == 1 else "need"
        text += f"; {_rows(rejected)} {need} fixing by the school"
    return f"{text}."
