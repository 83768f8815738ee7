"""What a load over a hold limit does: goes on when it is approved, or asks a person and changes nothing."""

from __future__ import annotations

from etl_lib.config.pauses import Pause
from etl_lib.config.project import ResolvedMapping
from etl_lib.database import Connection, connected
from etl_lib.errors import Fault, NeedsApproval, Refused, Superseded
from etl_lib.manifest import Extracted, Hold
from etl_lib.metrics.holds import (
    NOT_LOADED,
    Answer,
    HoldStatus,
    Plan,
    decide,
    hold_of_run,
    is_used,
    last_word,
    open_hold,
    record_approved,
)
from etl_lib.metrics.ledger import run_seq_of
from etl_lib.run import Run

_CHANGED = "The plan has changed since it was approved, so it is asked about again."


def is_approved(connection: Connection, run: Run, extracted: Extracted, plan: Plan) -> bool:
    """Whether the load may go on over its limits: a person, who started it or was asked, said yes to
    this very plan, or it was announced in the mapping. Raises Refused when a person said no."""
    delivery = extracted.delivery
    if run.wishes.approve:
        by, why = run.wishes.by or "somebody", "Approve was ticked when the run was started."
        record_approved(connection, run, run_seq_of(connection, run), delivery, plan, by, why)
        return True
    undone = any(hold.code == "UNDONE_DELIVERY" for hold in plan.loaded.holds)
    if not undone and (
        announced := extracted.resolved.mapping.announced_for(delivery.delivered_on)
    ):
        place = extracted.resolved.announced_at.get(announced.date.isoformat(), "the mapping")
        why = f"Announced beforehand: {announced.reason}"
        record_approved(connection, run, run_seq_of(connection, run), delivery, plan, place, why)
        return True
    said = last_word(connection, run.client_id, delivery.delivery_id)
    if said is None or said.plan_digest != plan.digest:
        return False
    if said.status == HoldStatus.REFUSED:
        raise refused(said.status)
    return said.status == HoldStatus.APPROVED and not is_used(connection, said, run)


def ask(run: Run, extracted: Extracted, plan: Plan, is_whole: bool) -> None:
    """Record the hold and raise NeedsApproval; Superseded when a newer delivery waits already."""
    delivery, mapping = extracted.delivery, extracted.resolved.mapping
    reasons = plan.loaded.holds
    if _approved_otherwise(run, delivery.delivery_id, plan):
        reasons = (
            Hold(feed="", entity="", limit="plan", allowed=0, found=0, text=_CHANGED),
            *reasons,
        )
    newer = open_hold(
        run.database_url, run, delivery, plan, mapping.approval_hours, is_whole, reasons
    )
    if newer:
        raise Superseded.of("SUPERSEDED", newer)
    raise NeedsApproval([Fault(hold.code, hold.text, hold.feed) for hold in reasons])


def settle_answer(run: Run, answer: Answer) -> None:
    """Record what was said about a hold, unless it is decided already: the first word counts.

    Raises Refused or Superseded when the delivery may not be loaded. An answer about an older plan of
    the run's decides nothing about its newest.
    """
    url, said = run.database_url, answer
    decide(url, run.client_id, said.hold_seq, said.status, said.by, said.comment, in_airflow=True)
    hold = hold_of_run(url, run)
    if hold and hold.status == HoldStatus.OPEN:
        return  # planned again, and asked about again
    if hold and hold.status == HoldStatus.SUPERSEDED:
        raise Superseded.of("SUPERSEDED", hold.comment or "A newer delivery has come.")
    if hold and hold.status != HoldStatus.APPROVED:
        raise refused(hold.status)


def _approved_otherwise(run: Run, delivery_id: str, plan: Plan) -> bool:
    with connected(run.database_url) as connection:
        said = last_word(connection, run.client_id, delivery_id)
    return bool(said and said.status == HoldStatus.APPROVED and said.plan_digest != plan.digest)


def refused(status: str) -> Refused:
    """The error that a refused, lapsed or ended hold ends its run with."""
    return Refused([NOT_LOADED[HoldStatus(status)]])


def additions_only(run: Run, resolved: ResolvedMapping) -> Pause | None:
    """The mapping's pause in which rows that are there stay as they are, when the run lies in one."""
    mapping = resolved.mapping
    return mapping.additions_only_on(mapping.local_date(run.started_at))
