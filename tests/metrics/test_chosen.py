"""Which runs stand for a failed one, so that an act on many clients leaves it alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from etl_lib.config.project import Project
from etl_lib.load.tables import migrate_if_needed
from etl_lib.metrics.chosen import stopped_runs

REPO = Path(__file__).parents[2]
BEGAN = datetime(2026, 11, 20, 2, tzinfo=UTC)


@pytest.mark.parametrize(("only_rejects", "later"), [(False, 2), (True, None)])
def test_rejected_rows_that_were_run_again_do_not_stand_for_a_delivery_that_failed(
    database_url: str, only_rejects: bool, later: int | None
) -> None:
    migrate_if_needed(database_url, Project(REPO / "include", "development").entities)
    with psycopg.connect(database_url) as connection:
        for number, status in enumerate(("failed", "succeeded")):
            at = BEGAN + timedelta(hours=number)
            connection.execute(
                "INSERT INTO etl.run (client_id, dag_id, run_id, environment, status, started_at, ended_at) "
                "VALUES ('school', 'school', %s, 'development', %s, %s, %s)",
                (f"r{number}", status, at, at),
            )
        connection.execute(
            "INSERT INTO etl.load (run_seq, client_id, delivery_seq, delivery_id, row_contract, change_seq, "
            "status, only_rejects) VALUES (2, 'school', 1, 'd', 'c', 1, 'succeeded', %s)",
            (only_rejects,),
        )
    [failed] = stopped_runs(database_url, ["school"], BEGAN, "")
    assert (failed.run_seq, failed.later) == (1, later)
