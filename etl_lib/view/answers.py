"""What the JSON API answers: field names that stay, ISO instants with zone, counts as integers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Part of an answer; what is not named here is not sent."""

    model_config = ConfigDict(from_attributes=True)


class ClientFacts(Answer):
    """A client as its mapping describes it; `broken`: the linter's words when it has a mistake."""

    client_id: str
    client: str
    sis: str
    owner: str
    account_number: str
    contacts: tuple[str, ...]
    timezone: str
    schedule: str
    broken: str
    next_run_at: datetime | None
    pause: str = Field(
        "", description="Why the mapping lets nothing, or only new rows, load today."
    )
    frozen: str = Field("", description="Who froze the client, when and why; empty: nobody.")
    operators: tuple[str, ...] = Field(
        (), description="Roles that may decide, beside administrators."
    )
    expected: str = Field(
        "", description="By when a delivery is expected, and why none is today; empty: no hour."
    )


class RunFacts(Answer):
    """A run; counts are sums over its feeds and entities, null before they are known."""

    run_id: str
    environment: str
    status: str
    sentence: str
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    dry_run: bool
    read: int | None
    inserted: int | None
    updated: int | None
    unchanged: int | None
    deleted: int | None
    rejected: int | None
    duplicates: int | None
    filtered: int | None


class Taken(Answer):
    """What somebody did about a client."""

    by: str
    at: datetime
    text: str = ""
    until_at: datetime | None = None


class Card(ClientFacts):
    """A client in the list, with its newest run; null where it never ran.

    `status` is of the chosen day: not_due when the client did not run on it; today, late or stale when
    a delivery is missing, which `overdue` says in a sentence, whatever has run. `recent`: [run_id,
    status, started_at, read, duration_s] of its last 14 runs, oldest first. `needs_somebody`: nobody
    has acknowledged or snoozed what is wrong.
    """

    status: str
    last_status: str | None
    sentence: str
    overdue: str
    needs_somebody: bool
    paused: bool
    run_id: str | None
    environment: str
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    usual_duration_s: float | None
    last_success_at: datetime | None
    stage: str | None
    rows: int | None
    rows_total: int | None
    read: int | None
    inserted: int | None
    updated: int | None
    unchanged: int | None
    deleted: int | None
    rejected: int | None
    duplicates: int | None
    filtered: int | None
    recent: list[list[Any]]
    acknowledged: Taken | None
    snoozed: Taken | None
    note: Taken | None


class Board(Answer):
    """The list. `words`: what people call each status; `total`: clients that the user may read."""

    generated_at: datetime
    day: date
    environment: str
    words: dict[str, str]
    total: int
    clients: list[Card]


class Need(Answer):
    """How many clients need somebody, and how many there are of each status today."""

    needs_somebody: int
    total: int
    statuses: dict[str, int]
    words: dict[str, str]


class Day(Answer):
    """What was done with records on one day (UTC)."""

    day: date
    inserted: int
    updated: int
    unchanged: int
    deleted: int
    rejected: int


class Days(Answer):
    """Days without a gap, oldest first."""

    since: date
    days: list[Day]


class FeedState(Answer):
    """How fresh a feed is."""

    feed: str
    rows_read: int
    delivered_on: date | None
    received_at: datetime | None


class FileFacts(Answer):
    """A delivered file."""

    name: str
    size_bytes: int
    sha256: str
    modified_at: datetime


class DeliveryFacts(Answer):
    """A delivery and its files."""

    delivery_seq: int
    delivery_id: str
    delivered_on: date
    received_at: datetime
    files: list[FileFacts]


class RejectsOfRun(Answer):
    """How many rows a run rejected for one reason."""

    run_id: str
    started_at: datetime
    code: str
    meaning: str
    rows: int


class HoldReason(Answer):
    """Why a delivery waits."""

    text: str


class HoldFacts(Answer):
    """A delivery over a limit: open until `lapses_at`, or what was decided, by whom, and why."""

    hold_seq: int
    run_id: str
    status: str
    opened_at: datetime
    lapses_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    comment: str | None
    reasons: list[HoldReason]


class ActFacts(Answer):
    """What somebody did."""

    kind: str
    by: str
    at: datetime
    text: str
    until_at: datetime | None
    run_id: str | None


class History(Answer):
    """One client. `may_act`: whether this user may check now, acknowledge, note and snooze."""

    generated_at: datetime
    words: dict[str, str]
    client: ClientFacts
    may_act: bool
    paused: bool
    overdue: str = Field("", description="What is missing, in a sentence.")
    guide_url: str | None = Field(description="The client's onboarding guide, when there is one.")
    runs: list[RunFacts]
    feeds: list[FeedState]
    deliveries: list[DeliveryFacts]
    rejects: list[RejectsOfRun]
    holds: list[HoldFacts]
    acts: list[ActFacts]


class Runs(Answer):
    """A page of a client's runs, newest first; `next_before`: ask with it for the page after."""

    runs: list[RunFacts]
    next_before: datetime | None


class Stage(Answer):
    """A stage of a run; `rows` so far of `rows_total`, while it is at work on `what`."""

    stage: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    what: str
    rows: int
    rows_total: int | None


class FillCounts(Answer):
    """read = inserted + updated + unchanged + deleted_by_row + rejected + duplicates + filtered."""

    feed: str
    entity: str
    read: int
    inserted: int
    updated: int
    unchanged: int
    deleted_by_row: int
    rejected: int
    duplicates: int
    filtered: int
    deleted_by_absence: int
    restored: int
    unresolved: int


class Said(Answer):
    """A code of the catalogue with its words."""

    code: str
    level: str
    meaning: str
    next_step: str
    owner: str


class MessageSaid(Said):
    """A message of a run."""

    at: datetime
    stage: str
    text: str
    place: str


class RejectedLines(Said):
    """Rows of one file that were kept out for one reason; at most 50 lines are named."""

    file: str
    column: str | None
    rows: int
    lines: list[int]


class ChangedColumn(Answer):
    """How many updated rows of an entity differ in a column."""

    entity: str
    column: str
    rows: int


class Sample(Answer):
    """A changed row; its key masked."""

    entity: str
    action: str
    key: str
    columns: list[str]


class RunOfReport(RunFacts):
    """The run with its delivery."""

    delivery_id: str | None
    delivered_on: date | None
    received_at: datetime | None
    files: list[FileFacts] | None
    usual_duration_s: float | None


class Report(Answer):
    """One run, whole. `is_plan`: the counts are of what it would do; nothing was changed."""

    generated_at: datetime
    words: dict[str, str]
    client: str
    may_act: bool
    deciders: tuple[str, ...] = Field(description="Roles that may decide about a hold.")
    run: RunOfReport
    hold: HoldFacts | None
    is_plan: bool
    stages: list[Stage]
    counts: list[FillCounts]
    messages: list[MessageSaid]
    rejects: list[RejectedLines]
    changed_columns: list[ChangedColumn]
    samples: list[Sample]


class ActWish(BaseModel):
    """What somebody wants recorded: acknowledge, note (with `text`) or snooze (with `until_at`)."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(pattern="^(acknowledge|note|snooze)$")
    text: str = Field("", max_length=2000)
    until_at: datetime | None = None
    run_id: str | None = None


class Verdict(BaseModel):
    """What somebody decides about a hold, and why."""

    model_config = ConfigDict(extra="forbid")

    approve: bool
    comment: str = Field("", max_length=2000)


class KeyWish(BaseModel):
    """The record to follow; in the body, so that no log of addresses holds it."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=1, max_length=255)


class Begun(Answer):
    """The run that was started."""

    run_id: str
