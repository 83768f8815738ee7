"""Days that a mapping names: big changes announced beforehand, blackout, and additions only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from etl_lib.config.entity import Model

Finding = tuple[Sequence[str | int], str, str]  # key path, text, hint


class Announced(Model):
    """A big change that the school has announced for deliveries of one day."""

    date: dt.date = Field(description="The day of the delivery.")
    reason: str = Field(min_length=3, description="Why so much changes, for the record.")


class Pause(Model):
    """Days, both ends included, in the client's time zone, and why."""

    from_: dt.date = Field(alias="from", description="The first day.")
    to: dt.date = Field(description="The last day.")
    reason: str = Field(min_length=3, description="Why; shown wherever the pause is.")

    @model_validator(mode="after")
    def ends_after_it_begins(self) -> Self:
        """The last day does not lie before the first."""
        if self.to < self.from_:
            raise ValueError("`to` lies before `from`")
        return self

    def covers(self, day: dt.date) -> bool:
        """Whether the day is one of them."""
        return self.from_ <= day <= self.to

    @property
    def words(self) -> str:
        """`from 1 June 2026 to 5 June 2026: new year`."""
        last = f" to {_spoken(self.to)}" if self.to != self.from_ else ""
        kind = "from" if last else "on"
        return f"{kind} {_spoken(self.from_)}{last}: {self.reason.rstrip('.')}"


def _spoken(day: dt.date) -> str:
    return f"{day.day} {day:%B %Y}"


def _as_list(value: Any) -> Any:
    """One may be written without brackets."""
    return (value,) if isinstance(value, dict) else value


AnnouncedDays = Annotated[
    tuple[Announced, ...],
    BeforeValidator(_as_list, json_schema_input_type=Announced | tuple[Announced, ...]),
]
Pauses = Annotated[
    tuple[Pause, ...], BeforeValidator(_as_list, json_schema_input_type=Pause | tuple[Pause, ...])
]


def covering(pauses: Sequence[Pause], day: dt.date) -> Pause | None:
    """The pause that the day lies in, or None."""
    return next((pause for pause in pauses if pause.covers(day)), None)


def faults_of_days(
    approve_on: Sequence[Announced], blackout: Sequence[Pause], additions_only: Sequence[Pause]
) -> Iterator[Finding]:
    """Days that contradict each other: named twice, or announced for a day on which nothing loads."""
    days = [one.date for one in approve_on]
    for number, one in enumerate(approve_on):
        here = ("approve_on", number, "date")
        if one.date in days[:number]:
            yield here, f"{one.date} stands twice.", ""
        if pause := covering(blackout, one.date):
            yield here, f"{one.date} lies in a blackout, {pause.words}.", ""
    for key, pauses in (("blackout", blackout), ("additions_only", additions_only)):
        for number, pause in enumerate(pauses):
            if any(overlaps(pause, other) for other in pauses[:number]):
                yield (key, number, "from"), "the days overlap with others of the list.", ""
    for number, pause in enumerate(additions_only):
        if any(overlaps(pause, other) for other in blackout):
            yield (
                ("additions_only", number, "from"),
                "the days overlap with a blackout, in which nothing is loaded.",
                "",
            )


def overlaps(one: Pause, other: Pause) -> bool:
    """Whether some day lies in both."""
    return one.from_ <= other.to and other.from_ <= one.to
