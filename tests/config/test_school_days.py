"""When a delivery is expected, late or missing: weekends, holidays, zones, nights in which the clock moves."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from etl_lib.config.school_days import Rhythm

CHICAGO = ZoneInfo("America/Chicago")
BY_HAND = timedelta(minutes=5)
HOLIDAYS = [
    {"from": "2026-11-26", "to": "2026-11-27", "reason": "Thanksgiving"},
    {"from": "2026-12-21", "to": "2027-01-01", "reason": "Winter break"},
]


def rhythm(**keys: Any) -> Rhythm:
    given = {
        "timezone": "America/Chicago", "expected_by": time(6), "deadline": time(8),
        "calendar": {"holidays": HOLIDAYS}, **keys,
    }  # fmt: skip
    return Rhythm.model_validate(given)


def local(text: str, zone: ZoneInfo = CHICAGO) -> datetime:
    """An instant, in UTC, that a clock on the school's wall shows."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


# id: (the last delivery was sent, it is now, late, stale or in time, keys of the rhythm)
CASES: dict[str, tuple[str | None, str, str, dict[str, Any]]] = {
    "before_the_hour": ("2026-11-16 05:00", "2026-11-17 05:59", "", {}),
    "at_the_hour": ("2026-11-16 05:00", "2026-11-17 06:00", "late", {}),
    "just_before_the_deadline": ("2026-11-16 05:00", "2026-11-17 07:59", "late", {}),
    "at_the_deadline": ("2026-11-16 05:00", "2026-11-17 08:00", "stale", {}),
    "the_morning_after_a_missing_one": ("2026-11-13 05:00", "2026-11-17 05:00", "stale", {}),
    "late_and_missing_the_day_before": ("2026-11-13 05:00", "2026-11-17 07:00", "stale", {}),
    "this_morning": ("2026-11-17 05:00", "2026-11-17 20:00", "", {}),
    "it_came_late": ("2026-11-17 07:10", "2026-11-17 12:00", "", {}),
    "it_came_hours_late_and_is_not_the_next_mornings": (
        "2026-11-16 11:00", "2026-11-17 08:00", "stale", {}),
    "the_evening_before": ("2026-11-16 22:00", "2026-11-17 09:00", "", {}),
    "sunday_evening_for_monday": ("2026-11-15 22:00", "2026-11-16 09:00", "", {}),
    "saturday": ("2026-11-13 05:00", "2026-11-14 12:00", "", {}),
    "sunday_night": ("2026-11-13 05:00", "2026-11-16 05:00", "", {}),
    "monday": ("2026-11-13 05:00", "2026-11-16 06:30", "late", {}),
    "saturday_of_a_school_that_sends_then": (
        "2026-11-13 05:00", "2026-11-14 12:00", "stale", {"calendar": {"sends_on": ["fri", "sat"]}}),
    "holiday": ("2026-11-25 05:00", "2026-11-27 12:00", "", {}),
    "after_the_holiday": ("2026-11-25 05:00", "2026-11-30 06:30", "late", {}),
    "in_the_long_holiday": ("2026-12-18 05:00", "2027-01-01 12:00", "", {}),
    "after_the_long_holiday": ("2026-12-18 05:00", "2027-01-04 08:30", "stale", {}),
    "missing_before_the_holiday_stays_missing_in_it": (
        "2026-11-24 05:00", "2026-11-26 12:00", "stale", {}),
    "in_a_blackout": (
        "2026-11-13 05:00", "2026-11-17 12:00", "",
        {"blackout": [{"from": "2026-11-16", "to": "2026-11-18", "reason": "New system"}]}),
    "no_hour_agreed": ("2026-10-01 05:00", "2026-11-17 12:00", "", {"expected_by": None}),
    "nothing_ever_while_it_is_set_up": (None, "2026-11-17 12:00", "", {}),
    "nothing_ever_before_the_first_day": (
        None, "2026-11-17 12:00", "", {"since": date(2026, 11, 18)}),
    "nothing_ever_since_the_first_day": (
        None, "2026-11-17 12:00", "stale", {"since": date(2026, 11, 17)}),
    # the clock goes back on 1 November 2026 and forward on 8 March 2026, at two o'clock
    "the_night_with_an_hour_more": (
        "2026-10-31 00:30", "2026-11-01 06:30", "late", {"calendar": {"sends_on": ["sat", "sun"]}}),
    "before_the_hour_of_that_night": (
        "2026-10-31 00:30", "2026-11-01 05:30", "", {"calendar": {"sends_on": ["sat", "sun"]}}),
    "the_night_with_an_hour_less": (
        "2026-03-07 05:00", "2026-03-08 06:30", "late", {"calendar": {"sends_on": ["sat", "sun"]}}),
    "before_the_hour_of_the_short_night": (
        "2026-03-07 05:00", "2026-03-08 05:30", "", {"calendar": {"sends_on": ["sat", "sun"]}}),
    "an_hour_that_the_clock_leaves_out": (
        "2026-03-07 01:00", "2026-03-08 03:31", "late",
        {"calendar": {"sends_on": ["sat", "sun"]}, "expected_by": time(2, 30)}),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "now", "wanted", "keys"), CASES.values(), ids=CASES)
def test_a_delivery_is_late_until_the_deadline_and_missing_after_it(
    sent: str | None, now: str, wanted: str, keys: dict[str, Any]
) -> None:
    found = rhythm(**keys).overdue(local(sent) if sent else None, local(now))
    shown = "" if found is None else "late" if found.is_late else "stale"
    assert shown == wanted, found


def test_the_hour_is_that_of_the_schools_own_wall() -> None:
    sent, now = datetime(2026, 11, 16, 12, tzinfo=UTC), datetime(2026, 11, 17, 7, tzinfo=UTC)
    assert rhythm(timezone="Europe/Berlin").overdue(sent, now) is not None  # 08:00 there
    assert rhythm(timezone="America/Los_Angeles").overdue(sent, now) is None  # 23:00 the day before
    kiritimati = rhythm(timezone="Pacific/Kiritimati")  # a day ahead
    assert kiritimati.day_of(datetime(2026, 11, 16, 15, tzinfo=UTC)) == date(2026, 11, 17)


def test_what_is_missing_is_said_with_the_day_and_the_agreement() -> None:
    found = rhythm().overdue(local("2026-11-09 05:00"), local("2026-11-17 12:00"))
    assert found and found.sentence == (
        "Nothing since Monday 9 November; expected every school day by 06:00."
    )
    late = rhythm().overdue(local("2026-11-16 05:00"), local("2026-11-17 07:00"))
    assert late and late.sentence.endswith("by 06:00. Waited for until 08:00.")
    old = rhythm().overdue(local("2026-12-18 05:00"), local("2027-01-05 12:00"))
    assert old and "Friday 18 December 2026;" in old.sentence
    never = rhythm(since=date(2026, 11, 2)).overdue(None, local("2026-11-17 12:00"))
    assert never and never.sentence.startswith("Nothing has come yet; expected")
    calendar = {"sends_on": ["sun", "tue", "fri"]}
    assert rhythm(calendar=calendar).words == "expected every Tuesday, Friday and Sunday by 06:00"


def test_how_late_a_delivery_came_is_said_and_nothing_of_one_in_time_or_of_a_day_off() -> None:
    assert rhythm().late_words(local("2026-11-17 07:10")) == (
        "The files came at 07:10, 1 h 10 min after the agreed 06:00."
    )
    assert (
        rhythm().late_words(local("2026-11-17 06:05")).startswith("The files came at 06:05, 5 min")
    )
    for in_time in ("2026-11-17 06:00", "2026-11-16 22:00", "2026-11-14 09:00", "2026-11-26 09:00"):
        assert rhythm().late_words(local(in_time)) == ""


@pytest.mark.parametrize(
    ("scheduled", "begun", "day", "until", "expected"),
    [
        ("2026-11-17 02:00", "2026-11-17 02:00", "2026-11-17", "2026-11-17 08:00", "06:00"),
        ("2026-11-16 22:00", "2026-11-16 22:00", "2026-11-17", "2026-11-17 08:00", "06:00"),
        ("2026-11-17 08:00", "2026-11-17 08:00", "2026-11-18", "2026-11-18 08:00", "06:00"),
        # the scheduler was down: the run of that morning is late, and not that of the next
        ("2026-11-17 02:00", "2026-11-17 09:00", "2026-11-17", "2026-11-17 09:05", "06:00"),
        ("2026-11-14 02:00", "2026-11-14 02:00", "2026-11-14", "2026-11-14 08:00", ""),
        ("2026-11-26 02:00", "2026-11-26 02:00", "2026-11-26", "2026-11-26 08:00", ""),
        ("2026-11-01 00:30", "2026-11-01 00:30", "2026-11-01", "2026-11-01 08:00", ""),
        (None, "2026-11-17 09:00", "2026-11-17", "2026-11-17 09:05", ""),
    ],
)
def test_a_scheduled_run_waits_until_the_deadline_and_one_by_hand_for_minutes(
    scheduled: str | None, begun: str, day: str, until: str, expected: str
) -> None:
    waits = rhythm().wait(local(scheduled) if scheduled else None, local(begun), BY_HAND)
    assert (waits.day.isoformat(), waits.until) == (day, local(until))
    assert (f"{waits.expected_at:%H:%M}" if waits.expected_at else "") == expected
    assert bool(waits.day_off) is (day in ("2026-11-14", "2026-11-26", "2026-11-01"))


def test_a_run_that_waits_says_for_what() -> None:
    night, free = local("2026-11-17 02:00"), local("2026-11-26 02:00")
    assert rhythm().wait(night, night, BY_HAND).words == (
        "Waits for the school's files until 08:00; expected by 06:00."
    )
    assert rhythm().wait(free, free, BY_HAND).words == (
        "Looks for files until 08:00, although none are expected. "
        "The school sends nothing from 26 November 2026 to 27 November 2026: Thanksgiving."
    )
    assert rhythm().wait(None, night, BY_HAND).words == "Waits for the school's files until 02:05."
