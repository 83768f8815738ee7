"""Which files are a delivery, what is kept of them, and when they are the ones that are loaded already."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, date, datetime

import pytest

from etl_lib.errors import AskTheSchool, EtlError, TryAgain
from etl_lib.extract import Archived, LocalSource, extract, look
from tests.extract.schools import PEOPLE, Loaded, School, zipped


def test_the_original_bytes_are_kept_once_under_their_hash(school: School) -> None:
    school.put("people.csv")
    first = school.extract()
    assert school.archived() == {PEOPLE}
    assert first.delivery.files[0].archive_key.endswith(first.delivery.files[0].sha256)
    school.extract()
    assert school.archived() == {PEOPLE}


def test_the_loaded_files_under_the_same_contract_are_nothing_new(school: School) -> None:
    school.put("people.csv")
    first = school.extract()
    school.current = Loaded(
        first.delivery.delivery_id, 1, first.resolved.row_contract, date(2026, 11, 23)
    )
    again = school.extract()
    assert again.nothing_new_since == date(2026, 11, 23)
    assert again.tables == ()
    other_contract = school.extract(min_rows=1)
    assert other_contract.nothing_new_since is None
    assert len(other_contract.tables) == 1


def test_a_delivery_of_the_archive_is_read_again_without_any_ledger(school: School) -> None:
    school.put("people.csv", PEOPLE + b"3,Cy,Ott\n")
    first = school.extract()
    school.put("people.csv")
    school.remember(school.extract())  # another delivery is loaded since then
    kept = Archived(first.delivery, first.resolved, school.run().archive)
    again = extract(school.run(), school.resolved(), kept, None, school.our_keys)
    assert again.delivery == first.delivery
    assert [row["Name"] for row in school.rows(again)] == ["Ana", "Bo", "Cy"]
    assert len(school.registered) == 2
    with pytest.raises(ValueError, match="without a ledger"):
        extract(school.run(), school.resolved(), school.source, None, school.our_keys)


@pytest.mark.parametrize(
    "name",
    [".people.csv", "people.csv.part", "people.csv.tmp", "people.csv.filepart", "PEOPLE.csv.PART"],
)
def test_unfinished_and_hidden_files_do_not_exist(school: School, name: str) -> None:
    school.put(name)
    with pytest.raises(EtlError) as caught:
        school.extract(file=["people.csv", "*"])
    assert caught.value.faults[0].code == "NOT_RECEIVED"


def test_of_several_days_the_newest_whole_one_is_taken(school: School) -> None:
    school.put("people_20261122.csv", PEOPLE.replace(b"Ana", b"Old"))
    school.put("people_20261123.csv")
    extracted = school.extract(file="people_{date}.csv")
    assert extracted.delivery.delivered_on == date(2026, 11, 23)
    assert [
        row["Name"] if "Name" in row else row["First Name"] for row in school.rows(extracted)
    ] == ["Ana", "Bo"]


def test_parts_of_the_name_are_columns(school: School) -> None:
    school.put("people_north.csv")
    school.put("people_south.csv", PEOPLE.replace(b"\n1,", b"\n3,").replace(b"\n2,", b"\n4,"))
    extracted = school.extract(file="people_{campus}.csv")
    assert {row["{campus}"] for row in school.rows(extracted)} == {"north", "south"}
    assert len(school.rows(extracted)) == 4


def test_members_of_a_zip_and_a_gzip_are_read(school: School) -> None:
    school.put("night.zip", zipped(export__people_csv=PEOPLE, export__other_csv=b"x"))
    extracted = school.extract(file="*.zip", member="people.csv")
    assert [row["Id"] for row in school.rows(extracted)] == ["1", "2"]
    assert "people.csv" in extracted.tables[0].shown
    (school.home / "inbox" / "night.zip").unlink()
    school.put("people.csv.gz", gzip.compress(PEOPLE))
    assert len(school.rows(school.extract(file="people.csv.gz"))) == 2


def test_a_bomb_is_refused_and_a_broken_archive_is_said(school: School) -> None:
    school.put("people.csv.gz", gzip.compress(b"0" * 200_000_000, 9))
    with pytest.raises(AskTheSchool) as caught:
        school.extract(file="people.csv.gz")
    assert caught.value.faults[0].code == "FILE_ARCHIVE_REFUSED"
    school.put("people.csv.gz", gzip.compress(PEOPLE)[:-9])
    with pytest.raises(AskTheSchool) as caught:
        school.extract(file="people.csv.gz")
    assert caught.value.faults[0].code == "FILE_ARCHIVE_UNREADABLE"


def test_a_file_that_grows_while_it_is_read_is_for_the_next_try(school: School) -> None:
    path = school.put("people.csv")

    class Growing(LocalSource):
        def download(self, name: str, target: object) -> None:
            super().download(name, target)  # type: ignore[arg-type]
            path.write_bytes(PEOPLE + b"3,Cy,Oh\n")

    with pytest.raises(TryAgain) as caught:
        school.extract(Growing(school.home / "inbox"))
    assert caught.value.faults[0].code == "DELIVERY_CHANGED"
    assert school.registered == []


def test_a_set_is_whole_only_when_it_lies_still_and_its_marker_is_there(school: School) -> None:
    resolved = school.resolved()
    rules = resolved.mapping.delivery.model_copy(update={"stable_s": 3600, "marker": "done.txt"})
    mapping = resolved.mapping.model_copy(update={"delivery": rules})
    resolved = resolved.model_copy(update={"mapping": mapping})
    path = school.put("people.csv")
    old = datetime.now(UTC).timestamp() - 7200
    assert not look(resolved, school.source, None).whole

    os.utime(path, (old, old))
    assert not look(resolved, school.source, None).whole
    school.put("done.txt", b"")
    assert look(resolved, school.source, None).whole
    path.write_bytes(PEOPLE + b"3,Cy,Oh\n")
    assert not look(resolved, school.source, None).whole
