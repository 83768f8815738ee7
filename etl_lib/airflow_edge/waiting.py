"""Waiting for a school's files without a worker: until when, and the trigger that looks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from cachetools import TTLCache, cached

from etl_lib.airflow_edge.connections import lasting_client, source_of
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import TryAgain

if TYPE_CHECKING:
    from airflow.sdk import Context

    from etl_lib.config.school_days import Wait

# All who wait look through one client: with one made for each look 500 waiting schools took 1.5 cores of the
# triggerer (176 CPU ms a look, 1.5 with a client that is there). A changed connection counts after five minutes.
_kept_client = cached(TTLCache[str, Any](maxsize=64, ttl=300), lock=Lock())(lasting_client)


def wait_of(context: Context, resolved: ResolvedMapping) -> Wait:
    """Until when the run waits: the deadline in the client's zone, or soon when run by hand."""
    dag_run, mapping = context["dag_run"], resolved.mapping
    begun = dag_run.start_date or datetime.now(UTC)
    scheduled_for = (dag_run.logical_date or begun) if dag_run.run_type == "scheduled" else None
    by_hand = timedelta(seconds=mapping.delivery.wait_by_hand_s)
    return mapping.rhythm.wait(scheduled_for, begun, by_hand)


def for_looking(resolved: ResolvedMapping) -> str:
    """What a look needs of the mapping, as JSON: Airflow's database keeps it for each school that waits.

    Without the entities and what is as usual it is 8 kB, not 106: of 5,000 schools 40 MB a night.
    """
    looked_at = resolved.model_copy(update={"entities": {}, "announced_at": {}})
    return looked_at.model_dump_json(by_alias=True, exclude_defaults=True)


class DeliveryTrigger(BaseTrigger):
    """Looks at a client's files until they are a whole delivery that lies still, or time is up.

    `bucket`: of the environment, for a mapping that names none. `loaded`: the delivery that is loaded, as
    JSON; a newer one is waited for. No file is read: the task may have run on another machine.
    """

    def __init__(self, resolved: str, bucket: str, until: str, loaded: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.resolved, self.bucket, self.until, self.loaded = resolved, bucket, until, loaded

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """For the triggerer: the mapping as JSON (`for_looking`), since the files may change meanwhile."""
        names = ("resolved", "bucket", "until", "loaded")
        values = {name: getattr(self, name) for name in names}
        return f"{__name__}.{type(self).__name__}", values

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event: the delivery is whole, or it is too late; extract says which."""
        import asyncio

        resolved = ResolvedMapping.model_validate_json(self.resolved)
        until = datetime.fromisoformat(self.until)
        previous: str | None = None
        while datetime.now(UTC) < until:
            sighting = await asyncio.to_thread(self._look, resolved, previous)
            if sighting is not None:
                previous = sighting.model_dump_json()
                if sighting.whole:
                    break
            await asyncio.sleep(resolved.mapping.delivery.poll_s)
        looked_until = datetime.now(UTC).isoformat()
        yield TriggerEvent({"looked_until": looked_until})  # type: ignore[no-untyped-call]

    def _look(self, resolved: ResolvedMapping, previous: str | None) -> Any:
        from etl_lib.extract import Known, Sighting, look

        before = Sighting.model_validate_json(previous) if previous else None
        loaded = Known.model_validate_json(self.loaded) if self.loaded else None
        try:
            return look(resolved, source_of(resolved, self.bucket, _kept_client), before, loaded)
        except TryAgain:
            return None  # the place may answer again before the deadline
