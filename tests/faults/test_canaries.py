"""Secrets and pupils' values turn up nowhere but in the tables and the archive, whatever goes wrong."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from etl_lib.cli.main import main
from etl_lib.errors import EtlError
from etl_lib.pipeline import begin, do_report
from etl_lib.storage import Storage
from tests.faults.bench import Bench
from tests.faults.here import Here
from tests.faults.school import CLIENT, PERSON_CANARY, night

SECRET = "canary-s3cr3t-pa55"
# Tables that are guarded: they hold keys, or rows as they were.
_GUARDED = ("etl.history", "etl.rejected_row")


def words_of(error: BaseException) -> str:
    """What a log shows of an error: its text, its causes, its traceback."""
    return "".join(traceback.format_exception(error))


def recorded(here: Here) -> str:
    """Everything that the schema `etl` holds outside of its guarded tables, as text."""
    names = here.query(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'etl' "
        "AND tablename NOT LIKE 'history%' AND tablename <> 'rejected_row'"
    )
    return "\n".join(str(here.query(f"SELECT * FROM {name}")) for (name,) in names)


def beside_the_archive(here: Here) -> str:
    """Every file that we wrote for others: reports for the school."""
    files = [path for path in (here.storage / "outbox").rglob("*") if path.is_file()]
    assert files
    return "\n".join(path.read_text(errors="replace") + path.name for path in files)


BROKEN = {
    "a date that is none": ("2012", "20ab"),
    "an amount that is none": (".1", ".x"),
    "a letter too many": (",Family", ",,Family"),
    "a quotation mark": ("Family 3", 'Fam"ily 3'),
    "a NUL": ("Family 4", "Fam\0ily 4"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_pupils_value_is_in_no_message_log_or_report(
    here: Here, kind: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    old, new = BROKEN[kind]
    files = dict(night(1, people=30))
    files["people.csv"] = files["people.csv"].replace(old.encode(), new.encode())
    outcome = here.load(files)
    out = capfd.readouterr()
    said = [
        recorded(here),
        outcome.sentence,
        beside_the_archive(here),
        caplog.text,
        out.out,
        out.err,
    ]
    assert [text for text in said if PERSON_CANARY in text] == []


def test_a_database_that_cannot_be_reached_names_no_secret(
    bench: Bench, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert bench.database_proxy
    away = make_conninfo(host="127.0.0.1", port="1", user="etl", password=SECRET, dbname="etl")
    odd = f"postgresql://etl:{SECRET}@127.0.0.1:1/etl?nonsense=1"
    for url in (away, odd):
        run = replace(Here(tmp_path, url).run())
        for call in (lambda: begin(run, "test", {}), lambda: do_report(run)):  # noqa: B023
            with pytest.raises((EtlError, psycopg.Error)) as caught:
                call()
            assert SECRET not in words_of(caught.value)
        assert SECRET not in repr(run)
        monkeypatch.setenv("ETL_DATABASE_URL", url)
        monkeypatch.setenv("ETL_HOME", str(tmp_path / "home"))
        monkeypatch.setattr("sys.argv", ["etl", "run", "lakeside", "--files", str(tmp_path)])
        with pytest.raises(SystemExit):
            main()
        out = capfd.readouterr()
        assert SECRET not in out.out + out.err


@contextmanager
def debug(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield


def test_storage_that_refuses_names_no_secret(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.objects
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    storage = Storage.s3(
        "etl-development", access_key="canary-key", secret_key=SECRET,
        endpoint_url=bench.objects.endpoint_url,
    )  # fmt: skip
    with debug(caplog):
        for call in (
            lambda: storage.write_bytes("a", b"x"),
            lambda: storage.read_bytes("a"),
            storage.keys,
        ):
            with pytest.raises((EtlError, OSError)) as caught:
                call()
            assert SECRET not in words_of(caught.value)
    assert SECRET not in caplog.text and SECRET not in repr(storage)


def test_an_error_that_nobody_foresaw_is_told_without_its_text(here: Here) -> None:
    """The database's own words hold the value: `invalid input syntax for type date: "…"`."""
    from etl_lib.airflow_edge.endings import airflow_outcome

    with (
        pytest.raises(Exception) as caught,
        airflow_outcome(),
        psycopg.connect(here.database_url) as connection,
    ):
        connection.execute("SELECT %s::date", (PERSON_CANARY,))
    assert PERSON_CANARY not in words_of(caught.value)
    assert "InvalidDatetimeFormat" in str(caught.value) and "test_canaries.py" in str(caught.value)


def test_the_canary_is_where_it_belongs(here: Here) -> None:
    """What the other tests look for is really in the delivery."""
    here.load(night(1, people=10))
    rows: list[tuple[Any, ...]] = here.query("SELECT given_name FROM core.person")
    assert all(PERSON_CANARY in name for (name,) in rows) and len(rows) > 10
    assert here.client_id == CLIENT and all(
        here.query(f"SELECT count(*) FROM {t}") for t in _GUARDED
    )
