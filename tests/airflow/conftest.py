"""A running Airflow over a small project: schools that send, that send nothing, are wrong, or get hurt."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser
from psycopg.conninfo import make_conninfo

from etl_lib.config.project import Project
from etl_lib.load.tables import migrate_if_needed
from local_stack.airflow_api import AirflowApi
from local_stack.browser import chromium
from local_stack.sftp_client import upload
from local_stack.stack import Stack
from local_stack.waiting import wait_until
from tests.mail import MailServer, mail_server

GOOD, BROKEN, SILENT, KILLED = "lakeside", "broken_school", "silent_school", "killed_school"
PATIENT = "patient_school"  # waits for files longer than a test
HELD = "held_school"  # any change of its rows waits for a person
LATE, STOPPED = "late_school", "stopped_school"  # their failed runs run again
SCHOOLS = (GOOD, BROKEN, SILENT, KILLED, PATIENT, HELD, LATE, STOPPED)
_ENDED = ("success", "failed")
_TASKS = """
    SELECT dag_id, run_id, task_id, state, 'try', try_number, start_date::time(0), end_date::time(0), next_method
    FROM task_instance WHERE updated_at > now() - interval '10 minutes' ORDER BY updated_at
"""
_EVENTS = "SELECT dttm::time(3), event, dag_id, task_id, extra FROM log ORDER BY id DESC LIMIT 60"


@dataclass
class RunningAirflow:
    """The stack, the project's folder that its DAGs come from, and a user's way in."""

    stack: Stack
    project: Path
    samples: Path
    api: AirflowApi
    mail: MailServer

    def deliver(self, night: str, client_id: str = GOOD) -> None:
        """Upload the good school's night into a client's folder, with the client's own key."""
        upload(self.stack.client_access(client_id), self.samples / GOOD / night, "inbox")

    def run(self, client_id: str, limit_s: float = 120) -> tuple[str, dict[str, str]]:
        """Start a run by hand and wait until it has ended: its state and its tasks' states."""
        run_id = self.api.trigger(client_id)
        self.api.unpause(client_id)
        return self.ended(client_id, run_id, limit_s)

    def ended(
        self, client_id: str, run_id: str, limit_s: float = 120
    ) -> tuple[str, dict[str, str]]:
        """Wait until the run has ended."""
        self.wait_until(lambda: self.api.run_state(client_id, run_id) in _ENDED, limit_s)
        return self.api.run_state(client_id, run_id), self.api.task_states(client_id, run_id)

    @staticmethod
    def wait_until(is_so: Callable[[], bool], limit_s: float = 120) -> None:
        """Look twice a second until it is so."""
        wait_until(is_so, limit_s)

    def query(self, text: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of the ETL database."""
        with psycopg.connect(self.stack.etl_database_url) as connection:
            return connection.execute(text.encode(), values).fetchall()

    def edit(self, text: str, *values: object) -> None:
        """Change the ETL database as somebody with a SQL prompt would."""
        with psycopg.connect(self.stack.etl_database_url) as connection:
            connection.execute(text.encode(), values)

    def edit_airflow(self, text: str, *values: object) -> None:
        """Change Airflow's own database: what its processes leave there in a moment that is hard to meet."""
        with psycopg.connect(self._airflow_database) as connection:
            connection.execute(text.encode(), values)

    @property
    def _airflow_database(self) -> str:
        return make_conninfo(self.stack.etl_database_url, dbname="airflow")

    def lately(self) -> str:
        """What Airflow says of its tasks, and what has happened to them; for a test that failed."""
        with psycopg.connect(self._airflow_database) as connection:
            tasks, events = (connection.execute(query).fetchall() for query in (_TASKS, _EVENTS))
        return "\n".join(" ".join(map(str, row)) for row in (*tasks, *reversed(events)))

    def logs(self) -> str:
        """Everything that Airflow and its tasks have logged."""
        home = self.stack.home
        files = [*(home / "airflow" / "logs").rglob("*.log"), *(home / "logs").rglob("*.log")]
        return "\n".join(path.read_text(errors="replace") for path in files)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed says what Airflow was at: its logs are gone once the stack has ended."""
    report = yield
    airflow = getattr(item, "funcargs", {}).get("airflow")
    if report.failed and isinstance(airflow, RunningAirflow):
        report.sections.append(("Airflow", airflow.lately()))
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the session; each page is a person of its own."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, make_home: Callable[[str], Path]
) -> Iterator[RunningAirflow]:
    """Started once for the session; the schools are independent of one another."""
    repo = Path(__file__).parents[2]
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(repo / "dags", project / "dags")
    ignored = shutil.ignore_patterns("samples", "mappings")
    shutil.copytree(repo / "include", project / "include", ignore=ignored)
    mappings = project / "include" / "mappings"
    mappings.mkdir()
    text = (repo / "include" / "mappings" / f"{GOOD}.yaml").read_text()
    (mappings / f"{GOOD}.yaml").write_text(text)
    (mappings / f"{BROKEN}.yaml").write_text(text + "scedule: daily\n")
    every_day = "calendar: {sends_on: [mon, tue, wed, thu, fri, sat, sun]}\n"
    for client_id in (SILENT, LATE, STOPPED):
        (mappings / f"{client_id}.yaml").write_text(
            text + "delivery: {wait_by_hand_s: 5}\n" + every_day
        )
    (mappings / f"{PATIENT}.yaml").write_text(text + "delivery: {wait_by_hand_s: 600}\n")
    (mappings / f"{KILLED}.yaml").write_text(text + "retries: 0\n")
    limits = "limits: {floor_rows: 0, hold: {updated_share: 0, deleted_share: 0}}\n"
    every_row = "change_detection: files\n"  # so that an edit in the target changes the plan
    (mappings / f"{HELD}.yaml").write_text(text + limits + every_row)
    bundle = {
        "name": "integrations",
        "classpath": "etl_lib.airflow_edge.bundle.SnapshotBundle",
        "kwargs": {"project": str(project), "refresh_interval": 1},
    }
    home = make_home("stack")
    stack = Stack(home, repo, SCHOOLS, bundles=[bundle])
    stack.more_environ["ETL_INCLUDE"] = str(
        project / "include"
    )  # the view reads the mappings as well
    with mail_server() as mail:
        stack.more_environ["AIRFLOW_CONN_SMTP_DEFAULT"] = mail.connection
        with stack:
            yield _ready(stack, project, repo, mail)


def _ready(stack: Stack, project: Path, repo: Path, mail: MailServer) -> RunningAirflow:
    """Airflow knows all schools."""
    assert stack.airflow is not None
    entities = Project(project / "include", "development").entities
    migrate_if_needed(stack.etl_database_url, entities)
    api = AirflowApi(stack.airflow.url, "admin", stack.airflow.password("admin"))
    api.wait_for_dags(set(SCHOOLS))
    return RunningAirflow(stack, project, repo / "include" / "samples", api, mail)
