"""A backfill or a replay of an earlier day beside the run that takes today's delivery."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tests.faults.bench import Bench, Night, Reader, School
from tests.faults.campaign import Tally, campaign
from tests.faults.school import WITHOUT_MARKER, Files, make_include, night, put
from tests.faults.stage import UNFORESEEN

# The first two are loaded before the race; the third is today's.
DAYS: dict[int, Files] = {
    n: {f"{name[:-4]}_2026112{n}.csv": data for name, data in night(n).items()} for n in (1, 2, 3)
}
TODAY = 3
_MAPPING = WITHOUT_MARKER.replace(".csv", "_{date}.csv")
_AGAIN = {"overwrite_newer": True}
Step = tuple[int, bool]  # a day's delivery; out of the archive, or as it comes
_BEFORE: tuple[Step, ...] = ((1, False), (2, False))
_APART = (
    0.8  # of what an earlier run took: so far apart the two begin, that they meet on any machine
)


def _wishes(day: int, run_id: str, as_backfill: bool, overwrite: bool) -> Mapping[str, Any]:
    """What the person who starts the run asks for; `run_id`: the run that took the day's delivery."""
    noon = datetime(2026, 11, 20 + day, 17, tzinfo=UTC).isoformat()
    what = {"backfill": noon} if as_backfill else {"replay": run_id}
    return {**what, **(_AGAIN if overwrite else {})}


@dataclass
class Serial:
    """What each step of an order makes, when nothing goes on beside it; each order runs once."""

    bench: Bench
    database: str
    known: dict[tuple[Step, ...], list[Night]] = field(default_factory=dict)

    def nights(self, steps: tuple[Step, ...]) -> list[Night]:
        """The tables and the counts after each of the steps."""
        if steps not in self.known:
            client_id = f"serial{len(self.known)}"
            make_include(self.bench.home, {client_id: _MAPPING})
            school = self.bench.school(self.database, client_id=client_id)
            found: list[Night] = []
            first: dict[int, str] = {}
            for day, again in steps:
                if again:
                    run_id = replace(school, wishes=_wishes(day, first[day], True, True)).run()
                else:
                    put(DAYS[day], school.inbox)
                    run_id = first[day] = school.run()
                assert school.status(run_id).startswith("succeeded"), (steps, school.codes(run_id))
                found.append(school.night(run_id))
            self.known[steps] = found
        return self.known[steps]


@campaign(
    "backfill beside schedule",
    "an earlier day is run again out of the archive while today's delivery is taken",
)
def beside(bench: Bench, count: int, seed: int) -> Tally:
    """Backfills and replays of the loaded day and of the one before it, with and without `overwrite_newer`.

    The ledger tells in which order the two were loaded: all must be as if they had run in that order,
    and it must be an order in which no older delivery took the place of a newer one unasked.
    """
    tally = Tally()
    chance = random.Random(f"beside {seed}")
    serial = Serial(bench, bench.fresh_database("beside_serial"))
    make_include(bench.home, {f"beside{number}": _MAPPING for number in range(count)})
    database = bench.fresh_database("beside")
    for number in range(count):
        day, as_backfill = chance.choice((1, 2)), chance.random() < 0.5
        overwrite, gap = chance.random() < 0.5, chance.uniform(-_APART, _APART)
        school = bench.school(database, client_id=f"beside{number}")
        first = {}
        for earlier, _ in _BEFORE:
            put(DAYS[earlier], school.inbox)
            begun = time.monotonic()
            first[earlier] = school.run(stages=("all",))
            gap_s = gap * (time.monotonic() - begun)
        put(DAYS[TODAY], school.inbox)
        again = replace(school, wishes=_wishes(day, first[day], as_backfill, overwrite), ended=[])
        runs = {"today": bench.next_run(), "again": bench.next_run()}
        with Reader(school) as reader:
            _both((school, runs["today"], max(-gap_s, 0)), (again, runs["again"], max(gap_s, 0)))
        found = [
            f"{stage} failed without words"
            for stage, code in school.ended + again.ended
            if code == UNFORESEEN
        ]
        found += _faults(serial, school, reader, runs, day, overwrite)
        what = "backfill" if as_backfill else "replay"
        over = ", over newer" if overwrite else ""
        tally.add(
            _overlapped(school, runs), found,
            f"beside {seed}/{number} {what} of day {day}{over}, {gap_s:+.3f} s after today's",
        )  # fmt: skip
    return tally


def _both(*starts: tuple[School, str, float]) -> None:
    """Run both, each after its own pause, to their ends."""

    def go(school: School, run_id: str, after_s: float) -> None:
        time.sleep(after_s)
        school.run(run_id)

    threads = [threading.Thread(target=go, args=one) for one in starts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _faults(
    serial: Serial, school: School, reader: Reader, runs: Mapping[str, str], day: int, overwrite: bool
) -> list[str]:  # fmt: skip
    """What no order of the two gives."""
    found = []
    loaded = school.query(
        "SELECT r.run_id, l.loaded_at FROM etl.load l JOIN etl.run r USING (run_seq) "
        "WHERE r.run_id = ANY (%s) ORDER BY l.change_seq", (list(runs.values()),),
    )  # fmt: skip
    order = [run_id for run_id, _ in loaded]
    for name, run_id in runs.items():
        loads, status = order.count(run_id), school.status(run_id)
        wanted = "succeeded_with_rejects" if loads else "superseded"
        if loads > 1 or status != wanted or (name == "today" and not loads):
            found.append(f"the run of {name} is {status} after {loads} loads")
    if found:
        return found
    if why := _not_allowed(
        dict(loaded), order, _moments(school, runs["again"]), runs, day, overwrite
    ):
        found.append(why)
    steps = tuple((TODAY, False) if one == runs["today"] else (day, True) for one in order)
    nights = serial.nights((*_BEFORE, *steps))[len(_BEFORE) - 1 :]
    for run_id, expected in zip(order, nights[1:], strict=True):
        made = school.night(run_id)
        found += [
            f"{name} of {'today' if run_id == runs['today'] else 'the day that was run again'} differ"
            for name in ("counts", "rejects", "history")
            if getattr(made, name) != getattr(expected, name)
        ]
    if school.night("").state != nights[-1].state:
        found.append("the tables are not what this order gives")
    found += reader.faults({one.state for one in nights})
    return found + school.leftovers_of_green()


def _moments(school: School, run_id: str) -> tuple[datetime, datetime]:
    """When a run began and ended."""
    [moments] = school.query("SELECT started_at, ended_at FROM etl.run WHERE client_id = %s AND run_id = %s",
                             (school.client_id, run_id))  # fmt: skip
    return moments[0], moments[1]


def _not_allowed(
    loaded_at: Mapping[str, datetime], order: Sequence[str], again: tuple[datetime, datetime],
    runs: Mapping[str, str], day: int, overwrite: bool,
) -> str:  # fmt: skip
    """Why the two may not have come in this order; empty when they may."""
    began, ended = again
    today_at = loaded_at[runs["today"]]
    is_older = day < _BEFORE[-1][0]
    if order == [runs["again"], runs["today"]]:
        return (
            "an older delivery took the place of a newer one" if is_older and not overwrite else ""
        )
    if order == [runs["today"], runs["again"]]:
        if not overwrite:
            return "an older delivery took the place of today's"
        return (
            "" if today_at <= began else "it overwrote a delivery that came after it was asked for"
        )
    if overwrite and today_at <= began:
        return "it was refused although it was told to overwrite"
    if not is_older and not overwrite and ended < today_at:
        return "it was refused although nothing newer was loaded"
    return ""


def _overlapped(school: School, runs: Mapping[str, str]) -> bool:
    """Whether the two were at work at the same time."""
    (one, one_end), (other, other_end) = (_moments(school, run_id) for run_id in runs.values())
    return one < other_end and other < one_end
