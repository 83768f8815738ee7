"""A school tests its export on a running Airflow: files into inbox/test over SFTP, the report out of outbox/test."""

from __future__ import annotations

import time

import pytest

from etl_lib.airflow_edge.test_drops import DAG_ID
from local_stack.sftp_client import logged_in, upload
from tests.airflow.conftest import GOOD, PATIENT, RunningAirflow

# shares one running stack: stays in one of the parallel processes
pytestmark = pytest.mark.xdist_group("airflow")


def test_files_in_the_test_folder_are_answered_in_the_outbox_and_by_mail_and_not_loaded(
    airflow: RunningAirflow,
) -> None:
    access = airflow.stack.client_access(PATIENT)
    upload(access, airflow.samples / GOOD / "night_1", "inbox/test")
    airflow.api.wait_for_dags({DAG_ID})

    def reports() -> list[str]:
        airflow.run(DAG_ID)  # red, as little as when nothing lies still yet
        with logged_in(access) as sftp:
            return sftp.listdir("outbox/test") if "test" in sftp.listdir("outbox") else []

    time.sleep(4)  # until they lie still
    airflow.wait_until(lambda: reports() != [], 60)
    with logged_in(access) as sftp:
        [name] = sftp.listdir("outbox/test")
        text = sftp.open(f"outbox/test/{name}").read().decode()
        assert "users.csv" in sftp.listdir("inbox/test")  # they stay for the school to see
    assert "This was a test: nothing was loaded. Would load " in text
    assert "users.csv was read as the file of `users`" in text
    assert airflow.query("SELECT count(*) FROM core.person WHERE client_id = %s", PATIENT) == [(0,)]
    runs = "SELECT kind, dry_run, status FROM etl.run WHERE client_id = %s AND kind = 'test'"
    assert airflow.query(runs, PATIENT) == [("test", True, "succeeded")]
    told = [mail for mail in airflow.mail.mails if "test in order" in mail["Subject"]]
    assert [mail["To"] for mail in told] == ["data@lakeside.example"]
    assert not airflow.query("SELECT * FROM etl.run_message WHERE code = 'MAIL_NOT_SENT'")
