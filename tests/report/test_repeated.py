"""A report that is repeated, as a retry or a cleared task does, takes nothing away."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from etl_lib.config.project import Project
from etl_lib.extract import LocalSource, keys_of_environment
from etl_lib.pipeline import do_report, run_all
from etl_lib.run import Run
from tests.faults.school import CLIENT, make_include, marked, night, put
from tests.faults.stage import run_of


@pytest.fixture
def run(tmp_path: Path, database_url: str) -> Run:
    """A run that has loaded a delivery with rejected rows and is green."""
    put(marked(night(1)), tmp_path / "inbox")
    project = Project(make_include(tmp_path), "test")
    run: Run = run_of(
        {"client_id": CLIENT, "run_id": "r1", "storage": {"folder": str(tmp_path / "s")},
         "database_url": database_url}
    )  # fmt: skip
    inbox = LocalSource(tmp_path / "inbox")
    run_all(run, project, lambda: project.resolve(CLIENT), inbox, keys_of_environment)
    return run


def rejected(run: Run) -> int:
    with psycopg.connect(run.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM etl.rejected_row").fetchone()
    assert row
    return int(row[0])


def test_rejected_rows_stay_recorded_when_the_stage_files_are_gone(run: Run) -> None:
    before = rejected(run)
    assert before == 2
    outcome = do_report(run)
    assert outcome.status == "succeeded_with_rejects"
    assert rejected(run) == before
