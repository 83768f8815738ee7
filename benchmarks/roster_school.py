"""Makes the deliveries of a school that sends OneRoster files, in two nights; always the same.

`python -m benchmarks.roster_school FOLDER ROWS` writes FOLDER/night_1 and FOLDER/night_2, with so many
users and enrollments together, 1 in 4 of them a user; in night_2 1 % of both have other values. A tenth of
the users and a twentieth of the enrollments are the staff's. Prints what is in them as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.delivered import School
from benchmarks.people import FAMILY, GIVEN
from benchmarks.school import Columns, any_of, chosen, csv_of, joined

_SEED = 12
_SCHOOLS, _USERS_OF_A_CLASS = 40, 10
_CHANGED_AT = "2026-01-12T08:00:00.000Z"


def school(folder: Path, rows: int) -> School:
    """Write both nights; the same rows each time."""
    chance = np.random.default_rng(_SEED)
    users = rows // 4
    classes = users // _USERS_OF_A_CLASS
    first: dict[str, Columns] = {
        "orgs": _orgs(),
        "academicSessions": _sessions(),
        "classes": _classes(classes),
        "users": _users(chance, users),
        "enrollments": _enrollments(chance, rows - users, users, classes),
    }
    changing = {"users": ("familyName", "Other"), "enrollments": ("endDate", "2026-06-30")}
    second, changed, changed_bytes = dict(first), 0, 0
    for name, (column, value) in changing.items():
        places = chosen(chance, len(first[name]["sourcedId"]))
        mask = np.zeros(len(first[name]["sourcedId"]), np.bool_)
        mask[places.to_numpy()] = True
        other = pc.if_else(pa.array(mask), value, first[name][column])
        second[name] = {**first[name], column: other}
        changed += len(places)
        lines = {key: values.take(places) for key, values in second[name].items()}
        changed_bytes += len(csv_of(lines))
    for night, files in (("night_1", first), ("night_2", second)):
        (folder / night).mkdir(parents=True)
        for name, columns in files.items():
            head = ",".join(columns).encode() + b"\n"
            (folder / night / f"{name}.csv").write_bytes(head + csv_of(columns))
    size = sum(path.stat().st_size for path in (folder / "night_2").iterdir())
    return School(rows, changed, size, changed_bytes)


def _record(kind: str, count: int) -> Columns:
    """What every OneRoster file begins with."""
    return {
        "sourcedId": joined(f"{kind}-", _numbers(count)),
        "status": _same("active", count),
        "dateLastModified": _same(_CHANGED_AT, count),
    }


def _numbers(count: int) -> pa.Array:
    return pc.utf8_lpad(pa.array(np.arange(count)).cast(pa.string()), 8, "0")


def _same(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), count)


def _one_of(chance: np.random.Generator, kind: str, number: int, count: int) -> pa.Array:
    """Ids of records, each drawn by itself."""
    drawn = pa.array(chance.integers(0, number, count)).cast(pa.string())
    return joined(f"{kind}-", pc.utf8_lpad(drawn, 8, "0"))


def _orgs() -> Columns:
    return {
        **_record("org", _SCHOOLS),
        "name": joined("School ", _numbers(_SCHOOLS)),
        "type": _same("school", _SCHOOLS),
        "identifier": _numbers(_SCHOOLS),
        "parentSourcedId": _same("", _SCHOOLS),
    }


def _sessions() -> Columns:
    values = {"title": "2025-26", "type": "schoolYear", "startDate": "2025-08-01", "endDate": "2026-06-30",
              "parentSourcedId": "", "schoolYear": "2026"}  # fmt: skip
    return {**_record("term", 1), **{name: _same(value, 1) for name, value in values.items()}}


def _classes(count: int) -> Columns:
    return {
        **_record("class", count),
        "title": joined("Class ", _numbers(count)),
        "courseSourcedId": _same("", count),
        "classCode": _numbers(count),
        "classType": _same("scheduled", count),
        "location": _same("", count),
        "schoolSourcedId": _same("org-00000000", count),
        "termSourcedIds": _same("term-00000000", count),
    }


def _users(chance: np.random.Generator, count: int) -> Columns:
    numbers = _numbers(count)
    return {
        **_record("user", count),
        "enabledUser": _same("true", count),
        "orgSourcedIds": _one_of(chance, "org", _SCHOOLS, count),
        "role": any_of(chance, ("student",) * 9 + ("teacher",), count),
        "username": joined("u", numbers),
        "givenName": any_of(chance, GIVEN, count),
        "familyName": any_of(chance, FAMILY, count),
        "middleName": _same("", count),
        "identifier": numbers,
        "email": pc.binary_join_element_wise(joined("u", numbers), "school.test", "@"),
        "grades": any_of(chance, ("09", "10", "11", "12"), count),
    }


def _enrollments(chance: np.random.Generator, count: int, users: int, classes: int) -> Columns:
    return {
        **_record("enrollment", count),
        "classSourcedId": _one_of(chance, "class", classes, count),
        "schoolSourcedId": _same("org-00000000", count),
        "userSourcedId": _one_of(chance, "user", users, count),
        "role": any_of(chance, ("student",) * 19 + ("teacher",), count),
        "primary": _same("", count),
        "beginDate": _same("2025-08-01", count),
        "endDate": _same("", count),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(school(Path(sys.argv[1]), int(sys.argv[2])))) + "\n")
