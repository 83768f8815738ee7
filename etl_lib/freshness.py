"""Whether what a run has found is of the day that it waited for: late, missing, or not expected."""

from __future__ import annotations

from datetime import UTC, datetime

from etl_lib.config.project import ResolvedMapping
from etl_lib.config.school_days import Wait
from etl_lib.errors import Fault, NotExpected, NotReceived
from etl_lib.extract import Known, Source, anything_new
from etl_lib.manifest import Extracted
from etl_lib.metrics.ledger import CurrentDelivery, Ledger
from etl_lib.run import Run


def known_files(run: Run, resolved: ResolvedMapping, waits: Wait) -> Known | None:
    """The loaded delivery, when its files do not end the run's wait; None: whatever lies there does.

    Files stay in the inbox after they are loaded, so that a run would else end with those of the day
    before, hours before the school's export. The delivery of this very day ends the wait, and so does
    the loaded one under a mapping that has changed since.
    """
    current = Ledger(run.database_url).current(run.client_id) if waits.for_news else None
    if current is None or current.row_contract != resolved.row_contract:
        return None
    is_of_the_day = resolved.mapping.rhythm.day_of(current.sent_at) >= waits.day
    return None if is_of_the_day else _known(current)


def refuse_on_day_off(
    resolved: ResolvedMapping, source: Source, current: CurrentDelivery | None, waited: Wait | None
) -> None:
    """Raise NotExpected when nothing at all has come, on a day on which the school sends nothing.

    A part of a delivery is a fault on any day.
    """
    known = _known(current) if current else None
    if waited and waited.day_off and not anything_new(resolved.mapping, source, known):
        raise NotExpected.of("NOT_EXPECTED", waited.day_off)


def with_freshness(extracted: Extracted, current: CurrentDelivery, waited: Wait) -> Extracted:
    """The delivery with a note when it came late, or when nothing has come for too long.

    Raises NotReceived (NOTHING_SINCE), or NotExpected, for a scheduled run whose time is up and that
    has found only the files that were loaded before: the school's export did not run.
    """
    rhythm, now = extracted.resolved.mapping.rhythm, datetime.now(UTC)
    sent_at = max(current.sent_at, extracted.delivery.received_at)
    overdue = rhythm.overdue(sent_at, now)
    notes: list[Fault] = []
    if extracted.nothing_new_since:
        is_over = waited.for_news and now >= waited.until
        if is_over and waited.day_off and rhythm.day_of(sent_at) < waited.day:
            raise NotExpected.of("NOT_EXPECTED", waited.day_off)
        if overdue and is_over:
            raise NotReceived.of("NOTHING_SINCE", overdue.sentence)
        if overdue:
            notes = [Fault("NOTHING_SINCE", overdue.sentence)]
    elif sent_at > current.sent_at and (late := rhythm.late_words(sent_at)):
        notes = [Fault("DELIVERY_LATE", late)]
    return extracted.model_copy(update={"notes": (*extracted.notes, *notes)})


def _known(current: CurrentDelivery) -> Known:
    return Known(delivered_on=current.delivered_on, sent_at=current.sent_at)
