"""A school's files over SFTP, through a running Airflow, into PostgreSQL: what its users see."""

from __future__ import annotations

import csv

import pytest
import yaml

from local_stack.sftp_client import logged_in
from tests.airflow.conftest import BROKEN, GOOD, SILENT, RunningAirflow

# shares one running stack: stays in one of the parallel processes
pytestmark = pytest.mark.xdist_group("airflow")

STAGES = ("extract", "validate", "transform", "load")
_SUMS = """
    SELECT c.entity, sum(c.read)::int, sum(c.inserted)::int FROM etl.run_count c JOIN etl.run r USING (run_seq)
    WHERE r.client_id = %s GROUP BY 1 ORDER BY 1
"""


@pytest.fixture(scope="module")
def first_night(airflow: RunningAirflow) -> tuple[str, dict[str, str]]:
    """The good school's first delivery, loaded."""
    airflow.deliver("night_1")
    return airflow.run(GOOD)


def test_files_over_sftp_become_rows_with_the_counts_worked_out_by_hand(
    airflow: RunningAirflow, first_night: tuple[str, dict[str, str]]
) -> None:
    state, tasks = first_night
    assert state == "success"
    assert set(tasks.values()) == {"success"}
    text = (airflow.samples / GOOD / "expected" / "counts.yaml").read_text()
    wanted: dict[str, list[int]] = {}
    for fill, counts in yaml.safe_load(text)["night_1"].items():
        sums = wanted.setdefault(fill.split(".")[-1], [0, 0])
        sums[0] += counts["read"]
        sums[1] += counts["inserted"]
    found = {str(e): [read, inserted] for e, read, inserted in airflow.query(_SUMS, GOOD)}
    assert found == wanted
    for entity, (_, inserted) in wanted.items():
        rows = airflow.query(
            f"SELECT count(*) FROM core.current_{entity} WHERE client_id = %s", GOOD
        )
        assert rows == [(inserted,)], entity


def test_the_school_finds_a_summary_in_its_own_outbox(
    airflow: RunningAirflow, first_night: tuple[str, dict[str, str]]
) -> None:
    with logged_in(airflow.stack.client_access(GOOD)) as sftp:
        names = sftp.listdir("outbox")
        texts = [sftp.open(f"outbox/{name}").read().decode() for name in names]
    assert any(text.startswith("Lakeside Unified School District") for text in texts)


def test_no_log_holds_a_pupils_name_or_address(
    airflow: RunningAirflow, first_night: tuple[str, dict[str, str]]
) -> None:
    with (airflow.samples / GOOD / "night_1" / "users.csv").open(newline="") as lines:
        people = list(csv.DictReader(lines))
    values = {p["email"] for p in people} | {f"{p['givenName']} {p['familyName']}" for p in people}
    logs = airflow.logs()
    assert GOOD in logs
    assert [v for v in values if v.strip() and v in logs] == []


def test_a_delivery_that_was_loaded_is_nothing_new_and_starts_no_heavy_stage(
    airflow: RunningAirflow, first_night: tuple[str, dict[str, str]]
) -> None:
    state, tasks = airflow.run(GOOD)
    assert state == "success"
    assert [tasks[stage] for stage in STAGES] == ["skipped"] * 4
    newest = (
        "SELECT status, sentence FROM etl.run WHERE client_id = %s ORDER BY run_seq DESC LIMIT 1"
    )
    [(status, sentence)] = airflow.query(newest, GOOD)
    assert status == "nothing_new"
    assert "identical to the delivery of" in str(sentence).lower()


def test_clearing_every_task_of_a_loaded_run_changes_no_row(
    airflow: RunningAirflow, first_night: tuple[str, dict[str, str]]
) -> None:
    whole = "SELECT person_id, run_seq, change_seq, last_changed_at FROM core.person WHERE client_id = %s ORDER BY 1"
    before = airflow.query(whole, GOOD)
    counts = airflow.query(_SUMS, GOOD)
    [(run_id,)] = airflow.query(
        "SELECT run_id FROM etl.run WHERE client_id = %s AND status = 'succeeded'", GOOD
    )
    airflow.api.clear(GOOD, str(run_id), [*STAGES, "report"])
    state, _ = airflow.ended(GOOD, str(run_id))
    assert state == "success"
    assert airflow.query(whole, GOOD) == before
    assert airflow.query(_SUMS, GOOD) == counts


def test_a_broken_mapping_stays_visible_with_the_linters_words_and_cannot_load(
    airflow: RunningAirflow,
) -> None:
    errors = airflow.api.import_errors()
    assert [name for name in errors if BROKEN in name], errors
    assert "Did you mean `schedule`?" in str(errors)
    dag = airflow.api.get(f"/dags/{BROKEN}")
    assert "mapping broken" in dag["dag_display_name"]
    state, tasks = airflow.run(BROKEN)
    assert state == "failed"
    assert tasks["extract"] == "failed"
    [(status, sentence)] = airflow.query(
        "SELECT status, sentence FROM etl.run WHERE client_id = %s", BROKEN
    )
    assert status == "failed"
    assert "schedule" in str(sentence)
    assert airflow.query("SELECT FROM core.person WHERE client_id = %s", BROKEN) == []


def test_a_mapping_that_is_mended_loses_its_banner_and_keeps_its_history(
    airflow: RunningAirflow,
) -> None:
    path = airflow.project / "include" / "mappings" / f"{BROKEN}.yaml"
    runs = airflow.api.get(f"/dags/{BROKEN}/dagRuns")["total_entries"]
    path.write_text(path.read_text().replace("scedule: daily\n", ""))
    airflow.wait_until(lambda: not [n for n in airflow.api.import_errors() if BROKEN in n])
    airflow.wait_until(
        lambda: "broken" not in airflow.api.get(f"/dags/{BROKEN}")["dag_display_name"]
    )
    assert airflow.api.get(f"/dags/{BROKEN}/dagRuns")["total_entries"] == runs


def test_a_school_that_sends_nothing_is_not_received_and_never_green(
    airflow: RunningAirflow,
) -> None:
    state, tasks = airflow.run(SILENT)
    assert state == "failed"
    assert tasks["extract"] == "failed"
    [(status,)] = airflow.query("SELECT status FROM etl.run WHERE client_id = %s", SILENT)
    assert status == "not_received"
