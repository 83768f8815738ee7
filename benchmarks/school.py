"""Makes the deliveries that loads are timed on: people of a school and its organizations, always the same.

`python -m benchmarks.school FOLDER ROWS` writes FOLDER/night_1 and FOLDER/night_2, which has other values
in 1 % of the rows, and prints what is in them as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.delivered import COLUMNS, School
from benchmarks.people import FAMILY, GIVEN

CHANGED_SHARE = 0.01
_SEED = 11
_ORGANIZATIONS = 400
_BLOCK = 250_000  # rows made at a time
_MIDDLE = ("", "", "", "Lee", "María", "J.", "van")
_FAMILY = (*FAMILY, "Smith, Jr.")  # a value with the delimiter in it
_GRADES = ("PK", "KG", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12")
_FIRST_BIRTH, _BIRTH_DAYS = np.datetime64("2006-01-01"), 14 * 365

Columns = dict[str, pa.Array]


def school(folder: Path, rows: int) -> School:
    """Write both nights of a school of so many people; the same rows each time."""
    first, second = folder / "night_1", folder / "night_2"
    changed, changed_bytes = 0, 0
    for night in (first, second):
        night.mkdir(parents=True)
        _write_organizations(night / "organizations.csv")
    with (first / "people.csv").open("wb") as before, (second / "people.csv").open("wb") as after:
        for stream in (before, after):
            stream.write(",".join(COLUMNS).encode() + b"\n")
        for begin in range(0, rows, _BLOCK):
            chance = np.random.default_rng((_SEED, begin))
            people = _people(chance, begin, min(rows, begin + _BLOCK))
            places = chosen(chance, len(people["person_id"]))
            other = _changed(people, places)
            before.write(csv_of(people))
            after.write(csv_of(other))
            changed += len(places)
            changed_bytes += len(
                csv_of({name: column.take(places) for name, column in other.items()})
            )
    return School(rows, changed, (second / "people.csv").stat().st_size, changed_bytes)


def _people(chance: np.random.Generator, begin: int, end: int) -> Columns:
    numbers = np.arange(begin, end)
    count = end - begin
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 8, "0")
    births = _FIRST_BIRTH + chance.integers(0, _BIRTH_DAYS, count).astype("timedelta64[D]")
    homes = pa.array(1 + chance.integers(0, _ORGANIZATIONS, count)).cast(pa.string())
    return {
        "person_id": joined("p", digits),
        "status": any_of(chance, ("active",) * 19 + ("inactive",), count),
        "display_number": pa.array(7_000_000_000 + numbers * 7).cast(pa.string()),
        "username": joined("u", digits),
        "email": pc.binary_join_element_wise(joined("learner", digits), "school.test", "@"),
        "given_name": any_of(chance, GIVEN, count),
        "middle_name": any_of(chance, _MIDDLE, count),
        "family_name": any_of(chance, _FAMILY, count),
        "is_confidential": any_of(chance, ("false",) * 49 + ("true",), count),
        "grade_level": any_of(chance, _GRADES, count),
        "birth_date": pa.array(births).cast(pa.string()),
        "primary_organization_id": joined("org-", pc.utf8_lpad(homes, 4, "0")),
    }


def any_of(chance: np.random.Generator, values: tuple[str, ...], count: int) -> Any:
    """So many of the values, each drawn by itself."""
    return pa.array(values).take(pa.array(chance.integers(0, len(values), count)))


def joined(start: str, rest: Any) -> Any:
    """The texts with the same beginning."""
    return pc.binary_join_element_wise(start, rest, "")


def chosen(chance: np.random.Generator, count: int) -> Any:
    """Places of the rows that change, of so many."""
    changed = max(1, round(count * CHANGED_SHARE))
    return pa.array(np.sort(chance.choice(count, changed, replace=False)))


def _changed(people: Columns, places: Any) -> Columns:
    """The same people; the chosen ones have married, moved up or got another address, in turn."""
    count = len(people["person_id"])
    turn = np.full(count, -1)
    turn[places.to_numpy()] = np.arange(len(places)) % 3
    new = {
        "family_name": joined("New-", people["family_name"]),
        "grade_level": pa.repeat("13", count),
        "email": joined("new.", people["email"]),
    }
    other = dict(people)
    for number, (name, column) in enumerate(new.items()):
        other[name] = pc.if_else(pa.array(turn == number), column, people[name])
    return other


def csv_of(columns: Columns) -> bytes:
    """Lines as most systems write them: quotation marks only where a comma needs them."""
    fields = [
        pc.if_else(
            pc.match_substring(column, ","),
            pc.binary_join_element_wise('"', column, '"', ""),
            column,
        )
        for column in columns.values()
    ]
    lines = pc.binary_join_element_wise(*fields, ",")
    whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    return bytes(pc.binary_join(whole, "\n")[0].as_buffer()) + b"\n"


def _write_organizations(path: Path) -> None:
    lines = [f"org-{n:04},School {n},school" for n in range(1, _ORGANIZATIONS + 1)]
    path.write_text("\n".join(["organization_id,name,type", *lines, ""]))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(school(Path(sys.argv[1]), int(sys.argv[2])))) + "\n")
