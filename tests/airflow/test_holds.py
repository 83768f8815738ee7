"""A delivery over a limit in a running Airflow: the load asks, takes no slot, and a person decides."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from etl_lib.metrics.holds import open_holds_of
from local_stack.airflow_api import AirflowApi
from tests.airflow.conftest import HELD, RunningAirflow

# shares one running stack: stays in one of the parallel processes
pytestmark = pytest.mark.xdist_group("airflow")
_ROWS = (
    "SELECT person_id, change_seq, deleted_at FROM core.person_role WHERE client_id = %s ORDER BY 1"
)


def held_run(airflow: RunningAirflow, night: str, **conf: Any) -> str:
    """Deliver the night and wait until its load asks; gives the run."""
    airflow.deliver(night, HELD)
    run_id = airflow.api.trigger(HELD, conf)
    airflow.api.unpause(HELD)
    airflow.wait_until(lambda: load_state(airflow, run_id) in ("awaiting_input", "failed"))
    wait_for_question(airflow, run_id)
    return run_id


def wait_for_question(airflow: RunningAirflow, run_id: str) -> None:
    """The load asks, and the scheduler has taken note of its ended process: an answer before that costs a try."""
    airflow.wait_until(lambda: load_state(airflow, run_id) == "awaiting_input", 60)
    time.sleep(2)


def load_state(airflow: RunningAirflow, run_id: str) -> str | None:
    return airflow.api.task_states(HELD, run_id).get("load")


def status_of(airflow: RunningAirflow, run_id: str) -> str:
    return str(airflow.query("SELECT status FROM etl.run WHERE run_id = %s", run_id)[0][0])


def hold_of(airflow: RunningAirflow, run_id: str) -> tuple[object, ...]:
    rows = airflow.query(
        "SELECT h.status, h.decided_by, h.comment FROM etl.hold h JOIN etl.run r USING (run_seq) "
        "WHERE r.run_id = %s ORDER BY hold_seq DESC LIMIT 1",
        run_id,
    )
    return rows[0]


def answer(airflow: RunningAirflow, user: str, run_id: str, option: str, comment: str = "") -> int:
    path = f"/api/v2/dags/{HELD}/dagRuns/{run_id}/taskInstances/load/-1/hitlDetails"
    body = {"chosen_options": [option], "params_input": {"comment": comment}}
    return as_user(airflow, user).patch(path, json=body).status_code


def question(airflow: RunningAirflow, run_id: str) -> dict[str, Any]:
    """What Airflow asks; empty while the task is not asking."""
    path = f"/api/v2/dags/{HELD}/dagRuns/{run_id}/taskInstances/load/-1/hitlDetails"
    found = airflow.api.client().get(path)
    return dict(found.json()) if found.status_code == 200 else {"subject": ""}


def as_user(airflow: RunningAirflow, user: str) -> httpx.Client:
    found = airflow.stack.airflow
    assert found is not None
    return AirflowApi(found.url, user, found.password(user)).client()


@pytest.fixture(scope="module")
def loaded(airflow: RunningAirflow) -> None:
    """The school's first night."""
    airflow.deliver("night_1", HELD)
    state, _ = airflow.run(HELD)
    assert state == "success"


def test_a_dry_run_of_the_trigger_form_changes_nothing_and_says_what_it_would_do(
    airflow: RunningAirflow, loaded: None
) -> None:
    before = airflow.query(_ROWS, HELD)
    airflow.deliver("night_2", HELD)
    run_id = airflow.api.trigger(HELD, {"dry_run": True})
    state, _ = airflow.ended(HELD, run_id)
    assert state == "success"
    assert airflow.query(_ROWS, HELD) == before
    [(dry, sentence, plan)] = airflow.query(
        "SELECT r.dry_run, r.sentence, d.plan FROM etl.run r JOIN etl.dry_run d USING (run_seq) "
        "WHERE r.run_id = %s",
        run_id,
    )
    assert dry is True
    assert "nothing was changed" in str(sentence) and "would wait for approval" in str(sentence)
    assert {one["feed"] for one in plan["counts"]} >= {"users", "enrollments"}
    assert airflow.query("SELECT FROM etl.hold WHERE client_id = %s", HELD) == []


def test_a_held_load_waits_until_who_may_approves_and_asks_again_when_the_plan_changed(
    airflow: RunningAirflow, loaded: None
) -> None:
    before = airflow.query(_ROWS, HELD)
    run_id = held_run(airflow, "night_2")
    assert status_of(airflow, run_id) == "awaiting_approval"
    assert airflow.query(_ROWS, HELD) == before
    asked = question(airflow, run_id)
    assert "Would" in asked["subject"] and asked["options"] == ["Approve", "Refuse"]
    assert "| users | person | 31 |" in asked["body"]
    assert "***" in asked["body"]
    assert answer(airflow, "viewer", run_id, "Approve") == 403
    airflow.edit("UPDATE core.result SET score = score + 1 WHERE client_id = %s", HELD)
    assert answer(airflow, "admin", run_id, "Approve", "They say so.") == 200
    airflow.wait_until(lambda: "The plan has changed" in question(airflow, run_id)["subject"])
    wait_for_question(airflow, run_id)
    assert airflow.query(_ROWS, HELD) == before
    assert answer(airflow, "admin", run_id, "Approve", "The school says so.") == 200
    state, tasks = airflow.ended(HELD, run_id)
    assert (state, tasks["load"]) == ("success", "success")
    assert hold_of(airflow, run_id) == ("approved", "admin", "The school says so.")
    assert status_of(airflow, run_id) == "succeeded"
    assert airflow.query(_ROWS, HELD) != before


def test_an_answer_whose_try_airflow_gave_up_counts_in_the_next_try(
    airflow: RunningAirflow, loaded: None
) -> None:
    run_id = held_run(airflow, "night_1")
    # what Airflow leaves of a try that was answered before the scheduler saw its process end
    airflow.edit_airflow(
        "WITH task AS (UPDATE task_instance SET state = 'up_for_retry', next_method = NULL, "
        "end_date = now() WHERE run_id = %s AND task_id = 'load' RETURNING id) "
        "UPDATE hitl_detail SET responded_at = now(), chosen_options = '[\"Approve\"]', "
        """responded_by = '{"id": "admin", "name": "admin"}', params_input = '{"comment": "At once."}' """
        "FROM task WHERE ti_id = task.id",
        run_id,
    )
    approved = ("approved", "admin", "At once.")
    airflow.wait_until(lambda: hold_of(airflow, run_id) == approved, 12)
    airflow.edit_airflow(  # the next try begins now
        "UPDATE task_instance SET end_date = now() - interval '1 hour' "
        "WHERE run_id = %s AND task_id = 'load' AND state = 'up_for_retry'",
        run_id,
    )
    state, _ = airflow.ended(HELD, run_id)
    assert (state, hold_of(airflow, run_id)) == ("success", ("approved", "admin", "At once."))


def test_what_is_decided_outside_airflow_ends_the_waiting_tasks_and_is_never_green(
    airflow: RunningAirflow, loaded: None
) -> None:
    before = airflow.query(_ROWS, HELD)
    older = held_run(airflow, "night_2")
    newer = airflow.api.trigger(HELD)
    airflow.wait_until(lambda: load_state(airflow, newer) == "awaiting_input")
    state, tasks = airflow.ended(HELD, older, 60)
    assert (state, tasks["load"], status_of(airflow, older)) == ("failed", "failed", "superseded")
    [hold] = open_holds_of(airflow.stack.etl_database_url, [HELD])
    assert hold.run_id == newer
    path = f"/integrations/api/clients/{HELD}/holds/{hold.hold_seq}"
    verdict = {"approve": False, "comment": "Wrong export."}
    assert as_user(airflow, "viewer").post(path, json=verdict).status_code == 403
    assert as_user(airflow, "admin").post(path, json=verdict).status_code == 204
    assert as_user(airflow, "admin").post(path, json=verdict).status_code == 409
    state, tasks = airflow.ended(HELD, newer, 60)
    assert (state, tasks["load"], tasks["report"]) == ("failed", "failed", "success")
    assert status_of(airflow, newer) == "refused"
    assert hold_of(airflow, newer) == ("refused", "admin", "Wrong export.")
    assert airflow.query(_ROWS, HELD) == before
