"""Makes the files that the reader is timed on: people of a school, always the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

COLUMNS = (
    "sourcedId", "status", "dateLastModified", "enabledUser", "username", "givenName", "familyName",
    "email", "role", "orgSourcedId", "birthDate", "notes",
)  # fmt: skip
GIVEN = (
    "Zoë",
    "José",
    "Søren",
    "Małgorzata",
    "Anna",
    "Liam",
    "Noor",
    "François",
    "Thi Hồng",
    "李娜",
    "Mia",
)
FAMILY = (
    "Müller",
    "O'Brien",
    "Nguyễn",
    "Łukasik",
    "García López",
    "Smith",
    "Åkesson",
    "de la Cruz",
    "Ng",
)
_NOTES = (
    "", "", "", '"Bus 12, stop 4"', '"Said ""later"", twice"', "Needs a lift", '"Allergy: nuts, milk"',
)  # fmt: skip
_TAILS, _BLOCK = 20_000, 50_000
BROKEN_SHARE = 0.002


def people(path: Path, rows: int, broken: bool = False, long_notes: bool = False) -> Path:
    """A file of so many rows. `broken`: 0.2 % of them are; `long_notes`: 1 % have a note of two lines."""
    chance = random.Random(7)  # noqa: S311
    tails = [_tail(chance) for _ in range(_TAILS)]
    with path.open("wb") as stream:
        stream.write(",".join(COLUMNS).encode() + b"\n")
        for begin in range(0, rows, _BLOCK):
            lines = list(_lines(chance, tails, begin, min(rows, begin + _BLOCK)))
            if long_notes:
                for place in chance.sample(range(len(lines)), len(lines) // 100):
                    start = lines[place].split(b",", len(COLUMNS) - 1)[:-1]
                    lines[place] = b",".join([*start, b'"First line\nand, second"'])
            if broken:
                for place in chance.sample(range(len(lines)), int(len(lines) * BROKEN_SHARE)):
                    lines[place] = _BREAKS[place % len(_BREAKS)](lines[place])
            stream.write(b"\n".join(lines) + b"\n")
    return path


def _lines(chance: random.Random, tails: list[bytes], begin: int, end: int) -> Iterator[bytes]:
    for number, tail in zip(range(begin, end), chance.choices(tails, k=end - begin), strict=True):
        yield b"p%08d,active,2026-08-%02d,true,u%07d,%b" % (
            number, 1 + number % 28, number * 7 % 10_000_000, tail,
        )  # fmt: skip


def _tail(chance: random.Random) -> bytes:
    given, family = chance.choice(GIVEN), chance.choice(FAMILY)
    birth = f"{chance.randint(2006, 2019)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    return (
        f"{given},{family},learner{chance.randint(1, 999999)}@school.test,student,"
        f"org-{chance.randint(1, 400):04},{birth},{chance.choice(_NOTES)}"
    ).encode()


# What goes wrong with a row: each takes a good line and breaks it.
_BREAKS: tuple[Callable[[bytes], bytes], ...] = (
    lambda line: line.replace(b",true,", b",", 1),  # too few fields
    lambda line: line.replace(b",student,", b",student,,", 1),  # too many
    lambda line: line.replace(b",student,", b',"student,', 1),  # a quotation mark that stays open
    lambda line: line.replace(b"learner", b'lear"ner', 1),  # one inside a value
    lambda line: line.replace(b"active", b"act\x00ive", 1),
    lambda line: line.replace(b"@school", b"\xe9@school", 1),  # not of the encoding
    lambda line: line.replace(b"@school", "\ufffd@school".encode(), 1),
    lambda line: line.replace(b"org-", b"org, ", 1),  # the delimiter inside a value
)
