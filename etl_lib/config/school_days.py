"""When a school sends: on which days, by which hour, and whether what has come is of the day it should be."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from etl_lib.config.entity import Model
from etl_lib.config.pauses import Finding, Pauses, covering, overlaps

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FULL = {
    "mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday", "fri": "Friday",
    "sat": "Saturday", "sun": "Sunday",
}  # fmt: skip
_DAY = dt.timedelta(days=1)
# So far from the agreed hour a delivery still belongs to its day: one of 22:00 is the next morning's,
# one of 11:00 is that morning's and late.
_HALF_A_DAY = dt.timedelta(hours=12)
_LOOK_BACK = 400  # days; a calendar in which nothing was sent for longer expects nothing


class SchoolCalendar(Model):
    """The days on which a school sends its files, in its own time zone.

    By default Monday to Friday: at a weekend a school changes nothing and has nobody who could mend
    an export, so that an alarm on Saturday would be read on Monday, beside that of Monday's own.
    """

    sends_on: tuple[Weekday, ...] = Field(
        _WEEK[:5], min_length=1, description="Days of the week on which the school sends."
    )
    holidays: Pauses = Field(
        (),
        description="Days on which it does not; a delivery that comes all the same is loaded.",
    )

    def day_off(self, day: dt.date) -> str:
        """Why nothing is expected on the day, in a sentence; empty on a day on which the school sends."""
        if holiday := covering(self.holidays, day):
            return f"The school sends nothing {holiday.words}."
        weekday = _WEEK[day.weekday()]
        if weekday not in self.sends_on:
            return f"The school sends nothing on {_FULL[weekday]}s."
        return ""

    @property
    def words(self) -> str:
        """`every school day`, `every day` or `every Tuesday and Friday`."""
        days = [day for day in _WEEK if day in self.sends_on]
        if len(days) == len(_WEEK):
            return "every day"
        if days == list(_WEEK[:5]):
            return "every school day"
        *most, last = (_FULL[day] for day in days)
        return f"every {', '.join(most)}{' and ' if most else ''}{last}"


@dataclass(frozen=True)
class Overdue:
    """A delivery that is not there although its hour has passed."""

    day: dt.date
    is_late: bool  # still waited for; else given up
    given_up_at: dt.datetime
    sentence: str


@dataclass(frozen=True)
class Wait:
    """Until when a run waits for files, and for the delivery of which day.

    `expected_at`: the agreed hour; None on a day on which nothing is expected, which `day_off` explains,
    and for a run that somebody has started. `for_news`: files that are loaded already do not end the wait.
    """

    day: dt.date
    until: dt.datetime
    expected_at: dt.datetime | None
    day_off: str
    for_news: bool

    @property
    def words(self) -> str:
        """What the run says while it waits; as true before the agreed hour as after it."""
        until = f"until {self.until:%H:%M}"
        if self.day_off:
            return f"Looks for files {until}, although none are expected. {self.day_off}"
        by = f"; expected by {self.expected_at:%H:%M}" if self.expected_at else ""
        return f"Waits for the school's files {until}{by}."


class Rhythm(Model):
    """When a client's deliveries are expected; all days and hours are those of its time zone.

    `expected_by` None: no hour was agreed, or nothing looks for files by itself, so that nothing is
    ever late. `since`: the first day, for a client of which nothing has come yet.
    """

    timezone: str
    expected_by: dt.time | None
    deadline: dt.time | None
    calendar: SchoolCalendar
    blackout: Pauses = ()
    since: dt.date | None = None

    @property
    def words(self) -> str:
        """`expected every school day by 06:00`; empty when no hour was agreed."""
        return (
            f"expected {self.calendar.words} by {self.expected_by:%H:%M}"
            if self.expected_by
            else ""
        )

    def local(self, instant: dt.datetime) -> dt.datetime:
        """The instant in the client's zone."""
        return instant.astimezone(ZoneInfo(self.timezone))

    def expects(self, day: dt.date) -> bool:
        """Whether a delivery is expected on the day."""
        return not (
            self.expected_by is None
            or self.calendar.day_off(day)
            or covering(self.blackout, day)
            or (self.since is not None and day < self.since)
        )

    def at(self, day: dt.date, hour: dt.time) -> dt.datetime:
        """That hour of the day on the client's wall."""
        return dt.datetime.combine(day, hour, ZoneInfo(self.timezone))

    def day_of(self, sent_at: dt.datetime) -> dt.date:
        """For which day a delivery was sent: that of the nearest agreed hour on the client's wall."""
        by = self.expected_by or dt.time(12)
        wall = self.local(sent_at).replace(tzinfo=None)
        return (wall - dt.timedelta(hours=by.hour, minutes=by.minute) + _HALF_A_DAY).date()

    def late_words(self, sent_at: dt.datetime) -> str:
        """How late a delivery came, in a sentence; empty when it was in time, or not expected."""
        day = self.day_of(sent_at)
        if self.expected_by is None or not self.expects(day):
            return ""
        late = sent_at - self.at(day, self.expected_by).astimezone(dt.UTC)
        minutes = int(late.total_seconds() // 60)
        if minutes < 1:
            return ""
        took = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
        return f"The files came at {self.local(sent_at):%H:%M}, {took} after the agreed {self.expected_by:%H:%M}."

    def overdue(self, sent_at: dt.datetime | None, now: dt.datetime) -> Overdue | None:
        """Whether a delivery is missing at `now`, when the last one was sent at `sent_at` (None: never).

        Of a client without a delivery nothing is expected before `since`: it is still being set up.
        """
        if self.expected_by is None or (sent_at is None and self.since is None):
            return None
        missed = list(self._missed(sent_at, now))
        if not missed:
            return None
        day = missed[0]
        given_up_at = self.at(day, self.deadline or self.expected_by)
        is_late = len(missed) == 1 and now < given_up_at
        last = f"since {self._spoken(sent_at, now)}" if sent_at else "has come yet"
        waited = f" Waited for until {given_up_at:%H:%M}." if is_late else ""
        return Overdue(day, is_late, given_up_at, f"Nothing {last}; {self.words}.{waited}")

    def wait(
        self, scheduled_for: dt.datetime | None, begun: dt.datetime, by_hand: dt.timedelta
    ) -> Wait:
        """Until when a run waits that began at `begun`; `scheduled_for` None: somebody started it.

        A scheduled run waits until the next deadline. One that begins after it (the scheduler was
        down) waits no longer than one that was started by hand. A run of a day off waits as well: it
        costs nothing, and what comes all the same is loaded when it comes.
        """
        until = self.local(begun + by_hand)
        day = self.local(begun).date()
        if scheduled_for and self.deadline:
            day = self.local(scheduled_for).date()
            if self.at(day, self.deadline) <= scheduled_for:
                day += _DAY
            until = max(self.at(day, self.deadline), until, key=lambda at: at.timestamp())
        for_news = scheduled_for is not None and self.expected_by is not None
        expected_at = None
        if for_news and self.expected_by and self.expects(day):
            expected_at = self.at(day, self.expected_by)
        return Wait(day, until, expected_at, self.calendar.day_off(day), for_news)

    def _missed(self, sent_at: dt.datetime | None, now: dt.datetime) -> Iterator[dt.date]:
        """Days whose delivery is not there although its hour has passed, the latest first; two at most."""
        assert self.expected_by is not None
        of_last = self.day_of(sent_at) if sent_at else None
        day, found = self.local(now).date(), 0
        for _ in range(_LOOK_BACK):
            if found == 2 or (of_last is not None and day <= of_last):
                return
            if self.expects(day) and self.at(day, self.expected_by) <= now:
                found += 1
                yield day
            day -= _DAY

    def _spoken(self, instant: dt.datetime, now: dt.datetime) -> str:
        local = self.local(instant)
        year = f" {local.year}" if local.year != self.local(now).year else ""
        return f"{local:%A} {local.day} {local:%B}{year}"


def faults_of_calendar(
    calendar: SchoolCalendar, rhythm: Rhythm, schedule: str | None
) -> Iterator[Finding]:
    """What contradicts: holidays that overlap, a deadline before the hour, days on which no run looks."""
    for number, holiday in enumerate(calendar.holidays):
        if any(overlaps(holiday, other) for other in calendar.holidays[:number]):
            yield (
                ("calendar", "holidays", number, "from"),
                "the days overlap with others of the list.",
                "",
            )
    if rhythm.expected_by is None or schedule is None:
        return
    if rhythm.deadline and rhythm.deadline < rhythm.expected_by:
        yield (
            ("delivery", "expected_by"),
            f"a run stops waiting at {rhythm.deadline:%H:%M}, the `deadline`, before the files are expected.",
            "",
        )
        return
    if blind := [_FULL[day] for day in calendar.sends_on if not _looked_for(rhythm, schedule, day)]:
        is_named = "sends_on" in calendar.model_fields_set
        yield (
            ("calendar", "sends_on") if is_named else ("schedule",),
            f"no run waits for the files of {', '.join(blind)}.",
            "Let `schedule` run on every day of `calendar: sends_on`, or set `delivery: expected_by` to null.",
        )


def _looked_for(rhythm: Rhythm, schedule: str, weekday: Weekday) -> bool:
    """Whether a run of the schedule waits until the deadline of that day of some week."""
    from croniter import croniter  # only paid by mappings that have a schedule

    assert rhythm.expected_by is not None
    hour = rhythm.deadline or rhythm.expected_by
    monday = dt.date(2026, 1, 5)
    day = monday + _WEEK.index(weekday) * _DAY
    until = dt.datetime.combine(day, hour)
    found: dt.datetime = croniter(schedule, until - _DAY - dt.timedelta(seconds=1)).get_next(
        dt.datetime
    )
    return found < until
