"""OneRoster's manifest decides which files count and how; a promise that is not kept is a fault."""

from __future__ import annotations

from datetime import date

import pytest

from etl_lib.errors import AskTheSchool, Fault
from etl_lib.manifest import Extracted
from tests.extract.schools import PEOPLE, Loaded, School, zipped

HEAD = "propertyName,value\nmanifest.version,1.0\noneroster.version,1.1\n"


@pytest.fixture
def oneroster(school: School) -> School:
    school.sis = "OneRoster 1.1 CSV"
    return school


def manifest(**files: str) -> bytes:
    return (HEAD + "".join(f"file.{name},{value}\n" for name, value in files.items())).encode()


def faults_of(school: School, **feed: object) -> list[Fault]:
    with pytest.raises(AskTheSchool) as caught:
        school.extract(**feed)
    assert school.registered == []
    return list(caught.value.faults)


def content_of(extracted: Extracted) -> str:
    return extracted.resolved.mapping.feeds["people"].content


@pytest.mark.parametrize(
    ("value", "content"), [("bulk", "full"), ("delta", "changes"), ("DELTA ", "changes")]
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_full_or_changes_as_the_manifest_says(
    oneroster: School, value: str, content: str, packed: bool
) -> None:
    said = manifest(people=value)
    if packed:
        oneroster.put("night.zip", zipped(manifest_csv=said, people_csv=PEOPLE))
    else:
        oneroster.put("people.csv")
        oneroster.put("manifest.csv", said)
    extracted = oneroster.extract(file=["people.csv", "*.zip"], member="people.csv")
    assert content_of(extracted) == content
    assert len(oneroster.rows(extracted)) == 2
    assert extracted.notes == ()


def test_without_a_manifest_or_a_word_on_a_file_the_mapping_counts(oneroster: School) -> None:
    oneroster.put("people.csv")
    assert content_of(oneroster.extract()) == "full"
    oneroster.put("manifest.csv", HEAD.encode())
    assert content_of(oneroster.extract()) == "full"


def test_of_a_school_without_oneroster_a_manifest_says_nothing(school: School) -> None:
    school.put("people.csv")
    school.put("manifest.csv", b"our own list")
    assert content_of(school.extract()) == "full"


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_promised_and_not_there_is_a_fault(oneroster: School, packed: bool) -> None:
    said = manifest(people="bulk", orgs="bulk", courses="absent", lineItems="delta")
    if packed:
        oneroster.put("night.zip", zipped(manifest_csv=said, people_csv=PEOPLE, orgs_csv=b"x"))
    else:
        oneroster.put("people.csv")
        oneroster.put("orgs.csv", b"x")
        oneroster.put("manifest.csv", said)
    [fault] = faults_of(oneroster, file=["people.csv", "*.zip"], member="people.csv")
    assert fault.code == "FILE_MISSING"
    assert "`lineItems.csv`" in fault.text
    assert "manifest.csv" in fault.where


def test_a_promised_table_of_ours_that_the_archive_does_not_hold_is_said_once(
    oneroster: School,
) -> None:
    oneroster.put("night.zip", zipped(manifest_csv=manifest(people="bulk"), other_csv=PEOPLE))
    [fault] = faults_of(oneroster, file="*.zip", member="people.csv")
    assert fault.code == "FILE_MISSING"
    assert "promises `people.csv`" in fault.text


def test_a_file_called_absent_is_not_required_and_when_it_is_there_not_read(
    oneroster: School,
) -> None:
    said = manifest(people="absent")
    oneroster.put("night.zip", zipped(manifest_csv=said))
    assert oneroster.extract(file="*.zip", member="people.csv").tables == ()
    oneroster.put("night.zip", zipped(manifest_csv=said, people_csv=PEOPLE))
    extracted = oneroster.extract(file="*.zip", member="people.csv")
    assert extracted.tables == ()
    [note] = extracted.notes
    assert note.code == "MANIFEST_CONTRADICTED"
    assert "`people` absent" in note.text


@pytest.mark.parametrize(
    "data",
    [
        b"", b"Id,Name\n1,Ana\n", b"propertyName;value\nfile.people;bulk\n", b"\x89PNG\r\n\x1a\n" * 9,
        HEAD.encode() + b"\0", HEAD.encode("utf-16-le"), b"propertyName,value\n" + b'"' * 99_999,
        HEAD.encode() * 50_000, b"file.people,bulk\n",
    ],
    ids=["empty", "a table", "semicolons", "a picture", "nul", "bytes", "quotes", "endless", "no header"],
)  # fmt: skip
def test_a_manifest_that_is_no_table_is_said(oneroster: School, data: bytes) -> None:
    oneroster.put("people.csv")
    oneroster.put("manifest.csv", data)
    [fault] = faults_of(oneroster)
    assert fault.code == "FILE_MANIFEST"
    assert "propertyName" in fault.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_manifest_in_another_dress_is_read(oneroster: School, encoding: str) -> None:
    oneroster.put("people.csv")
    text = (
        manifest(people="delta")
        .decode()
        .replace("\n", "\r\n")
        .replace("manifest.version", '"manifest.version"')
    )
    oneroster.put("manifest.csv", text.encode(encoding))
    assert content_of(oneroster.extract()) == "changes"


def test_every_word_that_the_standard_does_not_have_is_said_with_its_line(
    oneroster: School,
) -> None:
    oneroster.put("people.csv")
    said = "file.people,full\nfile.orgs,\nfile.../x,bulk\nfile.users,bulk\nfile.USERS,delta\nfile.terms\n"
    oneroster.put("manifest.csv", (HEAD + said).encode())
    faults = faults_of(oneroster)
    assert {fault.code for fault in faults} == {"FILE_MANIFEST"}
    assert [fault.where for fault in faults] == [f"manifest.csv, line {n}" for n in (4, 6, 8)]
    assert "absent, bulk, delta" in faults[0].text


def test_two_manifests_are_refused(oneroster: School) -> None:
    said = manifest(people="bulk")
    oneroster.put("night.zip", zipped(manifest_csv=said, people_csv=PEOPLE))
    oneroster.put("manifest.csv", said)
    [fault] = faults_of(oneroster, file="*.zip", member="people.csv")
    assert fault.code == "FILE_NAME_AMBIGUOUS"


def test_changes_that_came_before_are_loaded_before(oneroster: School) -> None:
    """The mapping says full, of which the newest counts; only the manifest knows that these are changes."""
    for day in (21, 22, 23):
        rows = PEOPLE + b"%d,Cy,Oh\n" % day
        oneroster.put(
            f"night_202611{day}.zip", zipped(manifest_csv=manifest(people="delta"), people_csv=rows)
        )
    feed: dict[str, object] = {"file": "night_{date}.zip", "member": "people.csv"}
    oneroster.current = Loaded("x", 1, "y", date(2026, 11, 21))
    assert oneroster.extract(**feed).delivery.delivered_on == date(2026, 11, 22)
    oneroster.current = Loaded("x", 1, "y", date(2026, 11, 22))
    assert oneroster.extract(**feed).delivery.delivered_on == date(2026, 11, 23)
    for day in (22, 23):
        zipped_bulk = zipped(manifest_csv=manifest(people="bulk"), people_csv=PEOPLE)
        oneroster.put(f"night_202611{day}.zip", zipped_bulk)
    oneroster.current = Loaded("x", 1, "y", date(2026, 11, 21))
    assert oneroster.extract(**feed).delivery.delivered_on == date(2026, 11, 23)
