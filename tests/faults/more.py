"""Faults of deliveries and of many runs at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from etl_lib.config.mapping import Limits
from tests.faults.bench import Bench, Night, Reader, School, forget
from tests.faults.campaign import Alternating, Tally, campaign
from tests.faults.school import (
    MARKER,
    WITHOUT_MARKER,
    ZIPPED,
    Files,
    make_include,
    marked,
    night,
    put,
    zipped,
)
from tests.faults.stage import DONE, NOTHING_NEW

QUIET = ("not_received", "nothing_new", "superseded", "awaiting_approval")


def upload(files: Files, inbox: Path, chance: random.Random, pause_s: float) -> None:
    """As a slow uploader does: under the final names, a piece at a time, over the old files."""
    for name in sorted(files, key=lambda name: (name == MARKER, chance.random())):
        data = files[name]
        pieces = chance.randrange(1, 5)
        with (inbox / name).open("wb") as out:
            for piece in range(pieces):
                out.write(data[len(data) * piece // pieces : len(data) * (piece + 1) // pieces])
                out.flush()
                time.sleep(chance.random() * pause_s)


def cut(files: Files, chance: random.Random) -> tuple[dict[str, bytes], str, int]:
    """The files, one of them cut at a seeded byte; with its name and how much is left of it."""
    name = chance.choice([name for name in sorted(files) if name != MARKER])
    size = chance.randrange(len(files[name]))
    return {**files, name: files[name][:size]}, name, size


@campaign("delivery", "a delivery is uploaded slowly over the old one, replaced, cut and abandoned")
def delivery(bench: Bench, count: int, seed: int) -> Tally:
    """Four kinds in turn; the client looks all the time, and takes whole deliveries only."""
    tally = Tally()
    chance = random.Random(f"delivery {seed}")
    for number in range(count):
        kind = ("slow", "abandoned", "cut", "cut archive")[number % 4]
        packed = kind == "cut archive"
        place = Alternating.of(bench, ZIPPED, zipped) if packed else Alternating.of(bench)
        school = place.at("folder", "folder")
        inbox = school.inbox
        put(place.packed(night(2 - place.turn % 2)), inbox)  # what is loaded lies there still
        before = place.nights[1 - place.turn % 2].state
        with Reader(school) as reader:
            files = place.packed(night(place.turn % 2 + 1))
            expected = place.nights[place.turn % 2]
            place.turn += 1
            found: list[str] = []
            told = True
            if kind == "slow":
                uploader = threading.Thread(target=upload, args=(files, inbox, chance, 0.2))
                uploader.start()
                found += _taken_while(school, uploader)
                uploader.join()
            else:
                damaged, name, size = cut(files, chance)
                told = not _may_be_whole(kind, damaged[name], files[name])
                if kind == "abandoned":
                    (inbox / name).write_bytes(damaged[name])
                else:
                    put(damaged, inbox)
                for _ in range(2):  # also when somebody tries again
                    run_id = school.run(stages=("all",), tries=1)
                if told and school.night(run_id).state != before:
                    found.append(
                        f"{name} was loaded although it was cut at {size} of {len(files[name])}"
                    )
                put(files, inbox)
            school.run(stages=("all",), tries=1)
        if school.night("").state != expected.state:
            found.append("the whole delivery did not heal it")
        if told:
            found += reader.faults(place.states)
        tally.add(told, found + school.leftovers_of_green(), f"delivery {seed}/{number} {kind}")
    return tally


def _may_be_whole(kind: str, data: bytes, whole: bytes) -> bool:
    """Whether nothing tells that the file was cut: at a line's end, with nearly all of its rows, or of a
    feed of so few that its limits do not speak."""
    if kind != "cut" or not data.endswith(b"\n"):
        return False
    rows, all_rows = (text.count(b"\n") - 1 for text in (data, whole))
    return rows > 0 and (rows >= 0.8 * all_rows or all_rows <= Limits().floor_rows)


def _taken_while(school: School, uploader: threading.Thread) -> list[str]:
    """Run after run until the upload is done."""
    found = []
    while uploader.is_alive():
        run_id = school.run(stages=("all",), tries=1)
        status = school.status(run_id)
        if status == "failed" and school.codes(run_id) != {"DELIVERY_CHANGED"}:
            found.append(f"failed with {school.codes(run_id)}")
    return found


@campaign("repeats", "deliveries of four days come in any order, late and repeated")
def repeats(bench: Bench, count: int, seed: int) -> Tally:
    """The last state is that of the deliveries in their order."""
    tally = Tally()
    chance = random.Random(f"repeats {seed}")
    days = [
        {f"{name[:-4]}_2026112{n}.csv": data for name, data in night(n).items()}
        for n in range(1, 5)
    ]
    mapping = WITHOUT_MARKER.replace(".csv", "_{date}.csv")
    clients = {f"shuffled{n}": mapping for n in range(count)} | {"inorder": mapping}
    make_include(bench.home, clients)
    database = bench.fresh_database("repeats")
    calm = bench.school(database, client_id="inorder")
    for day in days:
        put(day, calm.inbox)
        calm.run(stages=("all",), tries=1)
    expected = calm.shown()
    for number in range(count):
        school = bench.school(database, client_id=f"shuffled{number}")
        order = [*range(4), *(chance.randrange(4) for _ in range(chance.randrange(3)))]
        chance.shuffle(order)
        for at in order:
            put(days[at], school.inbox)
            school.run(stages=("all",), tries=1)
        found = [] if school.shown() == expected else ["the last state differs"]
        tally.add(order != sorted(order), found, f"repeats {seed}/{number} {order}")
    return tally


@campaign("races", "two runs of one client at once, while its delivery is replaced")
def races(bench: Bench, count: int, seed: int) -> Tally:
    """One in three is one and the same run twice, as after a worker that was thought to be dead."""
    tally = Tally()
    chance = random.Random(f"races {seed}")
    place = Alternating.of(bench)
    school, states = place.at("folder", "folder"), place.states
    zygote = bench.zygote
    for number in range(count):
        same = number % 3 == 2
        first = bench.next_run()
        second = first if same else bench.next_run()
        found: list[str] = []
        with Reader(school) as reader:
            put(marked(night(place.turn % 2 + 1)), school.inbox)
            one = zygote.start(school.order(first, "all"))
            time.sleep(chance.random() * 0.6)
            if not same and chance.random() < 0.5:
                place.turn += 1
                put(marked(night(place.turn % 2 + 1)), school.inbox)
            other = zygote.start(school.order(second, "all"))
            zygote.wait(one)
            zygote.wait(other)
        for run_id in {first, second}:
            loads = school.loads(run_id)
            if loads > 1 or (loads == 1) != school.status(run_id).startswith("succeeded"):
                found.append(f"{loads} loads, and the run is {school.status(run_id)}")
        found += reader.faults(states)
        run_id = school.run(stages=("all",), tries=1)
        if school.night(run_id).state != place.nights[place.turn % 2].state:
            found.append(f"the last delivery is not what the tables show: {school.status(run_id)}")
        place.turn += 1
        tally.add(True, found, f"races {seed}/{number} {'same run' if same else ''}")
    return tally


@campaign("clients", "twenty clients at once, all with the same ids")
def clients(bench: Bench, count: int, seed: int) -> Tally:
    """Each must have what it has when it runs alone; an instant is a client's run among the others."""
    tally = Tally()
    names = [f"client{n:02}" for n in range(min(count, 20))]
    make_include(bench.home, dict.fromkeys(names, WITHOUT_MARKER))
    alone, together = bench.fresh_database("alone"), bench.fresh_database("together")
    for turn in range(max(count // 20, 1)):
        expected: dict[str, Night] = {}
        schools: Mapping[str, School] = {
            name: bench.school(alone, client_id=name) for name in names
        }
        crowd = {name: replace(school, database=together) for name, school in schools.items()}
        for at, (name, school) in enumerate(schools.items()):
            files = night(1 + turn % 2, people=40, seed=seed + at)
            for one in (school, crowd[name]):
                put(files, one.inbox)
            run_id = school.run(stages=("all",), tries=1)
            expected[name] = school.night(run_id)
        runs = {name: bench.next_run() for name in names}
        numbers = [bench.zygote.start(crowd[name].order(runs[name], "all")) for name in names]
        codes = [bench.zygote.wait(number, 300) for number in numbers]
        for name, code in zip(names, codes, strict=True):
            found = [] if code in (DONE, NOTHING_NEW) else [f"ended with {code}"]
            if crowd[name].night(runs[name]) != expected[name]:
                found.append("has not what it has alone")
            tally.add(True, found, f"clients {seed}/{turn} {name}")
    forget(bench.home / "inbox" / alone)
    return tally
