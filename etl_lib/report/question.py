"""The question that a held delivery asks a person in Airflow: a headline and a body in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from etl_lib.manifest import Extracted
from etl_lib.metrics.holds import HeldDelivery

_MOST = 12  # samples that are shown


@dataclass(frozen=True)
class Question:
    """A hold as Airflow asks about it; `time_left`: until it lapses, at least a second."""

    hold_seq: int
    headline: str
    body: str
    time_left: timedelta

    @classmethod
    def of(cls, extracted: Extracted, hold: HeldDelivery) -> Self:
        """The question about this hold."""
        left = max(hold.lapses_at - datetime.now(UTC), timedelta(seconds=1))
        client = extracted.resolved.mapping.client
        return cls(hold.hold_seq, headline(client, hold), body(extracted, hold), left)


def headline(client: str, hold: HeldDelivery) -> str:
    """What is asked, in one line."""
    others = len(hold.reasons) - 1
    more = f" And {others} more reason{'s' if others > 1 else ''}." if others else ""
    return f"{client}: {hold.reasons[0]['text']}{more} Load it?"


def body(extracted: Extracted, hold: HeldDelivery) -> str:
    """Why it waits, what would change in counts and samples, until when; keys masked, no other value."""
    delivery, zone = extracted.delivery, extracted.resolved.mapping.zone
    files = ", ".join(f"`{file.name}`" for file in delivery.files)
    lines = [
        *(f"- {reason['text']}" for reason in hold.reasons),
        "",
        f"Delivery of {delivery.delivered_on:%d %B %Y}: {files}. Nothing has been changed yet.",
        "",
        "| feed | table | read | new | changed | unchanged | deleted | rejected |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for count in hold.counts:
        deleted = count.deleted_by_row + count.deleted_by_absence
        numbers = (
            count.read,
            count.inserted,
            count.updated,
            count.unchanged,
            deleted,
            count.rejected,
        )
        cells = " | ".join(f"{number:,}" for number in numbers)
        lines.append(f"| {count.feed} | {count.entity} | {cells} |")
    samples = hold.plan["samples"]
    shown = sorted(samples, key=lambda one: one["action"] != "delete")[:_MOST]
    if shown:
        lines += ["", "Examples, keys masked:", ""]
        lines += [_sample(one) for one in shown]
    until = hold.lapses_at.astimezone(zone)
    lines += [
        "",
        f"Ask the school. Unless somebody approves until {until:%d %B %Y, %H:%M} ({zone.key}), it is "
        "refused. On approval it is planned again; if the plan has changed, you are asked once more.",
    ]
    return "\n".join(lines)


def _sample(one: dict[str, object]) -> str:
    columns = one["columns"]
    which = f" ({', '.join(map(str, columns))})" if isinstance(columns, list) and columns else ""
    return f"- {one['entity']} `{one['key']}`: {one['action']}{which}"
