"""Who the clients are: name, system, owner, contacts and schedule, out of the mapping files."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from etl_lib.config.pauses import Pause, covering
from etl_lib.config.project import Project
from etl_lib.config.school_days import Overdue, Rhythm
from etl_lib.errors import FixTheMapping


@dataclass(frozen=True)
class Client:
    """A client as people know it; `broken` holds the linter's words when its mapping has mistakes."""

    client_id: str
    client: str
    sis: str = ""
    owner: str = ""
    account_number: str = ""
    contacts: tuple[str, ...] = ()
    timezone: str = "UTC"
    schedule: str = ""
    broken: str = ""
    operators: tuple[str, ...] = ()
    blackout: tuple[Pause, ...] = ()
    additions_only: tuple[Pause, ...] = ()
    rhythm: Rhythm | None = None

    def overdue(self, sent_at: datetime | None, now: datetime) -> Overdue | None:
        """What is missing at `now`, when the loaded delivery was sent at `sent_at`."""
        return self.rhythm.overdue(sent_at, now) if self.rhythm else None

    def expected(self, now: datetime) -> str:
        """By when a delivery is expected, and why none is today, in a sentence or two."""
        if self.rhythm is None or not self.rhythm.words:
            return ""
        words = f"A delivery is {self.rhythm.words} in {self.timezone}."
        return f"{words} {self.rhythm.calendar.day_off(self.rhythm.local(now).date())}".strip()

    def pause(self, now: datetime) -> str:
        """Why nothing, or only new rows, are loaded on this day, in a sentence; else empty."""
        today = now.astimezone(ZoneInfo(self.timezone)).date()
        if stopped := covering(self.blackout, today):
            return f"Nothing is loaded {stopped.words}."
        if only := covering(self.additions_only, today):
            return f"Only new and returning rows are written {only.words}."
        return ""

    def next_run_at(self, now: datetime) -> datetime | None:
        """The next instant that the schedule names, in UTC."""
        from croniter import croniter

        if not self.schedule:
            return None
        local = now.astimezone(ZoneInfo(self.timezone))
        found: datetime = croniter(self.schedule, local).get_next(datetime)
        return found.astimezone(UTC)


class Directory:
    """The clients of a project; a mapping is read again only when its file has changed."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._known: dict[str, tuple[tuple[int, int], Client]] = {}
        self._next: dict[Client, datetime] = {}

    def clients(self) -> dict[str, Client]:
        """Every client by id."""
        found = {}
        for client_id in self.project.client_ids():
            stat = self._path(client_id).stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            known = self._known.get(client_id)
            if known is None or known[0] != stamp:
                known = (stamp, self._read(client_id))
                self._known[client_id] = known
            found[client_id] = known[1]
        return found

    def facts(self, client: Client, now: datetime) -> dict[str, Any]:
        """The client for JSON, with `next_run_at`: the next tick of its schedule, or None."""
        next_run_at = self._next.get(client)
        if client.schedule and (next_run_at is None or next_run_at <= now):
            next_run_at = client.next_run_at(now)
            if next_run_at:
                self._next[client] = next_run_at
        return {
            **{field.name: getattr(client, field.name) for field in fields(client)},
            "next_run_at": next_run_at,
            "pause": client.pause(now),
            "expected": client.expected(now),
        }

    def _path(self, client_id: str) -> Path:
        return self.project.mapping_path(client_id)

    def _read(self, client_id: str) -> Client:
        try:
            mapping = self.project.resolve(client_id).mapping
        except FixTheMapping as error:
            return Client(client_id, client_id, broken=str(error))
        return Client(
            client_id=client_id,
            client=mapping.client,
            sis=mapping.sis,
            owner=mapping.owner,
            account_number=mapping.account_number or "",
            contacts=mapping.contacts,
            timezone=mapping.timezone,
            schedule=(mapping.schedule or "") if mapping.enabled else "",
            operators=mapping.operators,
            blackout=mapping.blackout,
            additions_only=mapping.additions_only,
            rhythm=mapping.rhythm,
        )
