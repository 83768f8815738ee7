"""Deliveries that are the same, empty, halved, or of a day that the clock makes odd."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.faults.here import Here
from tests.faults.school import WITHOUT_MARKER, Files, night

DEFAULT_LIMITS = "\n".join(
    line for line in WITHOUT_MARKER.splitlines() if "limits" not in line and "hold:" not in line
)


def with_file(files: Files, name: str, data: bytes) -> Files:
    return {**files, name: data}


def halved(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(lines[: len(lines) // 2])


def test_the_same_delivery_ten_times_rewrites_no_row(here: Here) -> None:
    files = night(1, people=30)
    here.load(files)
    before = here.query("SELECT xmin, ctid, * FROM core.enrollment ORDER BY enrollment_id")
    for _ in range(9):
        assert here.load(files).status == "nothing_new"
    here.mapping += "# read anew: the row contract has changed\n"
    here.mapping = here.mapping.replace("family_name: family", "family_name: [family, surname]")
    assert here.load(files).status == "succeeded_with_rejects"  # whole, and still nothing written
    after = here.query("SELECT xmin, ctid, * FROM core.enrollment ORDER BY enrollment_id")
    assert after == before


@pytest.mark.parametrize(
    ("name", "damage", "status", "code"),
    [
        ("enrollments.csv", lambda data: b"", "failed", "FILE_EMPTY"),
        ("enrollments.csv", lambda data: data.splitlines()[0] + b"\n", "failed", "FILE_HEADER_ONLY"),
        ("enrollments.csv", halved, "awaiting_approval", "HOLD_LIMIT"),
        ("people.csv", halved, "awaiting_approval", "HOLD_LIMIT"),
    ],
    ids=["empty", "header only", "halved", "halved people"],
)  # fmt: skip
def test_a_file_without_its_rows_deletes_nothing(
    here: Here, name: str, damage: object, status: str, code: str
) -> None:
    here.mapping = DEFAULT_LIMITS
    files = night(1)
    here.load(files)
    before = here.state()
    assert callable(damage)
    outcome = here.load(with_file(files, name, damage(files[name])))
    assert outcome.status == status and code in here.codes()
    assert here.state() == before


def test_a_term_that_is_no_longer_in_the_file_keeps_its_rows(here: Here) -> None:
    here.mapping = WITHOUT_MARKER.replace(
        "deleted_share: 0.5", "deleted_share: 0.1, rows_share_of_last: 0.1"
    )
    files = night(1)
    here.load(files)
    spring = here.one(
        "SELECT count(*) FROM core.current_enrollment e JOIN core.section s USING (section_id) "
        "WHERE term_id = 'spring'"
    )
    lines = files["enrollments.csv"].splitlines(keepends=True)
    fall = [line for line in lines[1:] if int(line.split(b",")[1][1:]) % 2]  # sections of the fall
    rolled = with_file(files, "enrollments.csv", lines[0] + b"".join(fall[:-3]))
    before = here.live("enrollment")
    assert spring > 50 and here.load(rolled).status.startswith("succeeded")
    assert here.one("SELECT sum(deleted_by_absence) FROM etl.run_count") in (2, 3)
    assert before - here.live("enrollment") in (2, 3)  # within the term that the file speaks of


NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    "moments",
    [
        # 02:30 does not exist on the first, 01:30 comes twice on the second
        [datetime(2026, 3, 7, 23, 59, tzinfo=NEW_YORK), datetime(2026, 3, 8, 3, 1, tzinfo=NEW_YORK)],
        [datetime(2026, 10, 31, 23, 30, tzinfo=NEW_YORK), datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK),
         datetime(2026, 11, 2, 1, 30, tzinfo=NEW_YORK)],
        [datetime(2028, 2, 28, 12, tzinfo=NEW_YORK), datetime(2028, 2, 29, 12, tzinfo=NEW_YORK),
         datetime(2028, 3, 1, 0, 1, tzinfo=NEW_YORK)],
        # the old year at the school, the new one already in UTC
        [datetime(2026, 12, 31, 22, tzinfo=NEW_YORK), datetime(2027, 1, 1, 1, tzinfo=NEW_YORK)],
    ],
    ids=["spring", "autumn", "leap day", "year end"],
)  # fmt: skip
def test_each_days_delivery_is_taken_once(here: Here, moments: list[datetime]) -> None:
    taken = []
    for number, moment in enumerate(moments):
        files = night(number, people=10)
        assert here.load(files, at=moment.astimezone(UTC)).status.startswith("succeeded")
        assert here.load(files, at=moment.astimezone(UTC)).status == "nothing_new"
        taken.append(here.one("SELECT delivered_on FROM etl.client_state"))
    assert taken == [moment.date() for moment in moments]
    assert here.one("SELECT count(*) FROM etl.delivery") == len(moments)
    early = night(9, people=10)
    assert here.load(early, at=moments[0].astimezone(UTC)).status == "superseded"


def test_the_autumn_hour_that_comes_twice_is_two_moments_of_one_day(here: Here) -> None:
    first = datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK)
    second = first.replace(fold=1)
    assert here.load(night(1, people=10), at=first.astimezone(UTC)).status.startswith("succeeded")
    assert here.load(night(2, people=10), at=second.astimezone(UTC)).status.startswith("succeeded")
    assert here.query("SELECT delivery_seq FROM etl.delivery ORDER BY 1") == [
        (20261101000001,), (20261101000002,),
    ]  # fmt: skip
