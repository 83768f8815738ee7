"""Bad input gets words for the person who must act; nothing is loaded, nothing is lost, nothing is green."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Delivery, Etl

Damage = Callable[[Delivery], None]


def missing_feed(files: Delivery) -> None:
    files.path("users.csv").unlink()


def missing_column(files: Delivery) -> None:
    files.replace("users.csv", "sourcedId", "surrogate")


def wrong_layout(files: Delivery) -> None:
    files.path("users.csv").write_text(files.path("courses.csv").read_text())


def a_report(files: Delivery) -> None:
    text = "User report for Lakeside\nPrinted on 3 November\n\nTotal number of users: 31\n\nEnd of report\n"
    files.path("users.csv").write_text(text)


def no_bytes(files: Delivery) -> None:
    files.path("users.csv").write_bytes(b"")


def header_only(files: Delivery) -> None:
    header = files.path("users.csv").read_text().splitlines()[0]
    files.path("users.csv").write_text(header + "\n")


def unreadable_bytes(files: Delivery) -> None:
    files.path("users.csv").write_bytes(bytes(range(128, 256)) * 40)


def too_many_rejected(files: Delivery) -> None:
    files.replace("enrollments.csv", "student", "passenger")


def broken_zip(files: Delivery) -> None:
    for path in files.folder.iterdir():
        path.unlink()
    files.path("export.zip").write_bytes(b"PK\x03\x04 and no more")


@pytest.mark.parametrize(
    ("damage", "code", "word"),
    [
        (missing_feed, "NOT_RECEIVED", "users"),
        (missing_column, "FILE_COLUMN_MISSING", "sourcedId"),
        (wrong_layout, "FILE_COLUMN_MISSING", "role"),
        (a_report, "FILE_", "users.csv"),
        (no_bytes, "FILE_EMPTY", "users.csv"),
        (header_only, "FILE_HEADER_ONLY", "users.csv"),
        (unreadable_bytes, "FILE_", "users.csv"),
        (too_many_rejected, "TOO_MANY_REJECTED", "enrollments"),
        (broken_zip, "FILE_ARCHIVE_UNREADABLE", "export.zip"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_delivery_that_cannot_be_loaded_is_explained_and_kept(
    damage: Damage, code: str, word: str, lakeside: Delivery, etl: Etl, tmp_path: Path
) -> None:
    damage(lakeside)
    answer = etl("run", "lakeside", "--files", str(lakeside.folder), "--json")
    assert answer.code == 2, answer
    assert "Traceback" not in answer.out + answer.err
    [(status, sentence)] = lakeside.query("SELECT status, sentence FROM etl.run")
    assert status == ("not_received" if code == "NOT_RECEIVED" else "failed")
    assert answer.json["status"] == status
    messages = lakeside.query("SELECT code, text, place FROM etl.run_message")
    assert [m for m in messages if m[0].startswith(code)], messages
    assert word in sentence + "".join(text + place for _, text, place in messages)
    assert lakeside.rows() == 0
    if code != "NOT_RECEIVED":  # what came is in the archive, byte by byte
        archived = {
            path.name for path in (tmp_path / "home" / "archive").rglob("*") if path.is_file()
        }
        sent = {hashlib.sha256(p.read_bytes()).hexdigest() for p in lakeside.folder.iterdir()}
        assert sent <= archived


def test_all_faults_of_a_delivery_are_said_at_once(lakeside: Delivery, etl: Etl) -> None:
    missing_column(lakeside)
    lakeside.path("courses.csv").write_bytes(b"")
    header = lakeside.path("orgs.csv").read_text().splitlines()[0]
    lakeside.path("orgs.csv").write_text(header + "\n")
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 2
    places = lakeside.query("SELECT place FROM etl.run_message")
    for name in ("users.csv", "courses.csv", "orgs.csv"):
        assert [p for (p,) in places if name in p], places


def test_no_message_holds_a_value_of_the_file(lakeside: Delivery, etl: Etl) -> None:
    too_many_rejected(lakeside)
    answer = etl("run", "lakeside", "--files", str(lakeside.folder))
    said = answer.out + answer.err + str(lakeside.query("SELECT text, place FROM etl.run_message"))
    assert "passenger" not in said


def test_a_database_that_is_away_is_said_with_the_next_step(
    lakeside: Delivery, etl: Etl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_DATABASE_URL", "postgresql://etl:secret-word@127.0.0.1:1/etl")
    answer = etl("run", "lakeside", "--files", str(lakeside.folder))
    assert answer.code == 2
    assert "DATABASE_UNAVAILABLE" in answer.err and "on-call" in answer.err
    assert "secret-word" not in answer.out + answer.err


def test_no_database_at_all_is_said_with_an_example(
    lakeside: Delivery, etl: Etl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ETL_DATABASE_URL")
    answer = etl("run", "lakeside", "--files", str(lakeside.folder))
    assert answer.code == 2
    assert "ETL_DATABASE_URL" in answer.err


def test_a_folder_that_is_not_there_is_named(lakeside: Delivery, etl: Etl) -> None:
    answer = etl("run", "lakeside", "--files", str(lakeside.folder / "nowhere"))
    assert answer.code == 2
    assert "nowhere" in answer.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("scedule: '0 2 * * *'", ("scedule", "schedule")),
        ("retries: many", ("retries", "integer")),
        ("timezone: America/Chicagoo", ("timezone", "America/Chicago")),
        ("schedule: every night", ("schedule", "cron")),
        ("feeds: {users: {entities: {persom: {columns: {person_id: sourcedId}}}}}", ("persom", "person")),
        ("feeds: {users: {entities: {person: {columns: {given_nam: givenName}}}}}", ("given_nam", "given_name")),
        ("feeds: {users: {entities: {person: {hook: os.system}}}}", ("os.system", "etl_hooks")),
        ("feeds: {users: {entities: {person: {hook: etl_hooks.names.nothing}}}}", ("nothing", "function")),
        ("extends: oneroster_1_7", ("oneroster_1_7", "Did you mean `oneroster_1_")),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_mistake_in_a_mapping_is_found_with_its_line_and_cannot_load(
    line: str, words: tuple[str, str], include: Path, lakeside: Delivery, etl: Etl
) -> None:
    path = include / "mappings" / "lakeside.yaml"
    text = path.read_text()
    key = line.partition(":")[0]
    kept = "".join(one for one in text.splitlines(True) if not one.startswith(f"{key}:"))
    path.write_text(f"{kept}{line}\n")
    checked = etl("check", "lakeside")
    assert checked.code == 2
    said = checked.out + checked.err
    assert f"lakeside.yaml:{len(kept.splitlines()) + 1}" in said, said
    assert all(word in said for word in words), said
    answer = etl("run", "lakeside", "--files", str(lakeside.folder))
    assert answer.code == 2
    assert words[0] in answer.err
    assert "Traceback" not in answer.err
    assert lakeside.rows() == 0


@pytest.mark.parametrize("name", ["Lakeside.yaml", "lakeside.yml", "lake-side.yaml"])
def test_a_mapping_file_that_would_be_overlooked_or_named_twice_is_a_mistake(
    name: str, include: Path, etl: Etl
) -> None:
    (include / "mappings" / name).write_text((include / "mappings" / "lakeside.yaml").read_text())
    answer = etl("check")
    assert answer.code == 2
    assert name in answer.out + answer.err


def test_a_client_that_has_no_mapping_gets_the_nearest_name(etl: Etl, lakeside: Delivery) -> None:
    answer = etl("run", "lakesid", "--files", str(lakeside.folder))
    assert answer.code == 2
    assert "lakeside" in answer.err
