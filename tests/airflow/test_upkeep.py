"""Undo from the trigger form, and the weekly upkeep, in a running Airflow."""

from __future__ import annotations

import pytest

from etl_lib.airflow_edge.upkeep import DAG_ID
from tests.airflow.conftest import KILLED, RunningAirflow

# shares one running stack: stays in one of the parallel processes
pytestmark = pytest.mark.xdist_group("airflow")

_PEOPLE = "SELECT count(*) FROM core.current_person WHERE client_id = %s"
_STANDING = """
    SELECT max(run_seq) FROM etl.load WHERE client_id = %s AND undoes IS NULL AND undone_by IS NULL
"""


def test_the_weekly_upkeep_compares_what_is_loaded_and_the_form_undoes_it(
    airflow: RunningAirflow,
) -> None:
    airflow.deliver("night_1", KILLED)
    assert airflow.run(KILLED)[0] == "success"
    people = airflow.query(_PEOPLE, KILLED)
    assert people != [(0,)]

    airflow.api.wait_for_dags({DAG_ID})
    airflow.run(DAG_ID, limit_s=240)
    found = "SELECT status FROM etl.run WHERE client_id = %s AND kind = 'reconcile'"
    assert airflow.query(found, KILLED) == [("nothing_new",)]

    [(run_seq,)] = airflow.query(_STANDING, KILLED)
    run_id = airflow.api.trigger(KILLED, {"undo": str(run_seq)})
    state, tasks = airflow.ended(KILLED, run_id)
    assert (state, set(tasks.values())) == ("success", {"success"})
    said = "SELECT status, kind, sentence FROM etl.run WHERE run_id = %s"
    [(status, kind, sentence)] = airflow.query(said, run_id)
    assert (status, kind) == ("undone", "undo")
    assert str(sentence).startswith(f"The run {run_seq} was undone: ")
    assert airflow.query(_PEOPLE, KILLED) != people

    again = airflow.api.trigger(KILLED, {"undo": str(run_seq)})
    assert airflow.ended(KILLED, again)[0] == "failed"
    assert "was undone already" in str(airflow.query(said, again))
