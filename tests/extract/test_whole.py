"""What tells that a delivery is whole: its marker, the end of its last line, files that stay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from io import BytesIO

import paramiko
import pytest

from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import NeedsApproval, NotReceived, TryAgain
from etl_lib.extract import LocalSource, SftpSource, extract, look
from etl_lib.run import Wishes
from tests.extract.schools import PEOPLE, Ledger, Loaded, School

YESTERDAY, TODAY = 1_790_000_000, 1_790_086_400


def dated(school: School, name: str, at: int, data: bytes = PEOPLE) -> None:
    os.utime(school.put(name, data), (at, at))


def with_marker(school: School, marker: str, **feed: object) -> ResolvedMapping:
    resolved = school.resolved(**feed)
    rules = resolved.mapping.delivery.model_copy(update={"stable_s": 0, "marker": marker})
    return resolved.model_copy(
        update={"mapping": resolved.mapping.model_copy(update={"delivery": rules})}
    )


def test_a_marker_of_the_night_before_says_nothing_of_this_one(school: School) -> None:
    resolved = with_marker(school, "done.txt")
    dated(school, "done.txt", YESTERDAY)
    dated(school, "people.csv", TODAY)
    assert not look(resolved, school.source, None).whole
    with pytest.raises(NotReceived) as caught:
        extract(school.run(), resolved, school.source, Ledger(school), school.our_keys)
    assert "is older than the other files" in str(caught.value)
    dated(school, "done.txt", TODAY + 5)
    assert look(resolved, school.source, None).whole


def test_a_marker_with_a_date_speaks_of_that_day_alone(school: School) -> None:
    resolved = with_marker(school, "done_{date}.txt", file="people_{date}.csv")
    dated(school, "people_20261123.csv", TODAY)
    dated(school, "done_20261122.txt", TODAY + 5)
    assert not look(resolved, school.source, None).whole
    dated(school, "done_20261123.txt", TODAY + 5)
    assert look(resolved, school.source, None).whole


def loaded(school: School, data: bytes) -> None:
    """The school's current delivery is a file of these bytes."""
    school.put("people.csv", data)
    found = school.extract()
    school.current = Loaded(
        found.delivery.delivery_id, found.delivery.delivery_seq, found.resolved.row_contract,
        date(2026, 11, 22),
    )  # fmt: skip


def test_a_last_line_without_an_end_is_held_when_the_loaded_one_had_it(school: School) -> None:
    loaded(school, PEOPLE)
    school.put("people.csv", PEOPLE[:-2])  # `2,Bo,Li` became `2,Bo,L`: as wide as any row
    with pytest.raises(NeedsApproval) as caught:
        school.extract()
    assert [(f.code, f.where) for f in caught.value.faults] == [("FILE_PERHAPS_CUT", "people.csv")]
    approved = school.run(Wishes(approve=True))
    taken = extract(approved, school.resolved(), school.source, Ledger(school), school.our_keys)
    assert taken.tables[0].rows_read == 2


@pytest.mark.parametrize("data", [PEOPLE[:-1], PEOPLE.replace(b"\n", b"\r\n")[:-2]])
def test_files_that_never_end_their_last_line_are_taken(school: School, data: bytes) -> None:
    loaded(school, data)
    school.put("people.csv", data + b"i")
    assert school.extract().tables[0].rows_read == 2


class Vanishing(LocalSource):
    """A folder whose file is taken away between the list and the download."""

    def download(self, name: str, target: object) -> None:
        (self.folder / name).unlink()
        super().download(name, target)  # type: ignore[arg-type]


def test_a_file_that_is_taken_away_while_it_is_read_is_tried_again(school: School) -> None:
    school.put("people.csv")
    with pytest.raises(TryAgain) as caught:
        school.extract(Vanishing(school.home / "inbox"))
    assert caught.value.faults[0].code == "DELIVERY_CHANGED"


def test_half_an_object_in_the_archive_is_put_there_again(school: School) -> None:
    school.put("people.csv")
    key = school.extract().delivery.files[0].archive_key
    school.run().archive.write_bytes(key, PEOPLE[:5])
    school.extract()
    assert school.run().archive.read_bytes(key) == PEOPLE


@pytest.mark.parametrize(
    "text", ["Authentication failed: transport shut down or saw EOF", "Authentication timeout."]
)
def test_a_login_that_was_cut_is_tried_again(text: str) -> None:
    @contextmanager
    def cut() -> Iterator[None]:
        raise paramiko.AuthenticationException(text)
        yield

    with pytest.raises(TryAgain):
        SftpSource(cut, "inbox").list()
    with pytest.raises(TryAgain):
        SftpSource(cut, "inbox").download("a.csv", BytesIO())
