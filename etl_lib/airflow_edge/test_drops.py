"""The DAG `test-drops`: every five minutes the files that schools have put into `inbox/test/` are answered."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from etl_lib.airflow_edge.connections import archive_of, bucket, conninfo, pgp_keys_of
from etl_lib.airflow_edge.endings import airflow_outcome
from etl_lib.airflow_edge.post import post_of
from etl_lib.airflow_edge.tasks import ClientOperator
from etl_lib.config.project import Project
from etl_lib.errors import EtlError, TryAgain

if TYPE_CHECKING:
    from airflow.sdk import Context

    from etl_lib.report import Post
    from etl_lib.school_test import Answered, Drop
    from etl_lib.storage import Storage

DAG_ID = "test-drops"  # a client id holds no hyphen
SCHEDULE = "*/5 * * * *"
AT_ONCE = 2  # tests read at the same time: they leave room for the deliveries
INBOX = "inbox/test"
_LOOKS_AT_ONCE = 8
_LIMIT = timedelta(hours=1)


class LookOperator(BaseOperator):
    """Finds the clients whose test is not answered yet; removes what was answered two weeks ago."""

    def __init__(self, *, include: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.include = include

    def execute(self, context: Context) -> list[str]:
        """Their client ids, in order."""
        project = Project.load(Path(self.include))
        with airflow_outcome():
            found = with_files(project)
            return self._unanswered(project, found) if found else []

    def _unanswered(self, project: Project, client_ids: Sequence[str]) -> list[str]:
        from etl_lib.school_test import answered_at

        drops = [drop for one in client_ids if (drop := drop_of(project, one))]
        url = conninfo(project.environment.database_conn_id)
        answered = answered_at(url, drops, project)
        return [
            drop.client_id for drop in drops if self._waits(project, drop, answered.get(drop.client_id))
        ]  # fmt: skip

    def _waits(self, project: Project, drop: Drop, answered: datetime | None) -> bool:
        """Whether the test is to be answered now. What is wrong with one school is logged, and is not raised."""
        from etl_lib.school_test import clear_away

        try:
            if answered is None:
                return drop.lies_still(project.resolve(drop.client_id), datetime.now(UTC))
            if gone := clear_away(drop, folder_of(project, drop.client_id), answered):
                self.log.info("%s: %d old files of a test were removed.", drop.client_id, gone)
        except EtlError as error:  # a broken mapping, say: its integration tells it already
            self.log.warning("%s: its test is left alone.\n%s", drop.client_id, error)
        return False


class AnswerOperator(ClientOperator):
    """Answers one client's test; red only when the reason is ours."""

    def execute(self, context: Context) -> None:
        """Read, judge, report; skipped when the files were taken away or still change."""
        with airflow_outcome():
            project = Project.load(Path(self.include))
            drop = drop_of(project, self.client_id)
            if drop is None:
                raise AirflowSkipException("The files were taken away.")
            try:
                answered = answer_of(project, drop, post_of(project))
            except TryAgain as error:  # the next look finds it again
                if error.faults[0].code == "DELIVERY_CHANGED":
                    raise AirflowSkipException(error.faults[0].text) from None
                raise
        outcome = answered.outcome
        if answered.is_ours:
            raise AirflowFailException(outcome.sentence)
        self.log.info("%s: %s", outcome.status, outcome.sentence)


def with_files(project: Project) -> list[str]:
    """Clients in whose test folder anything lies; one listing of one key for each.

    Raises TryAgain when the bucket does not answer.
    """
    place = project.environment.client_folders
    clients = bucket(place.conn_id, place.bucket).at("clients")

    def has_files(client_id: str) -> bool:
        return clients.at(client_id, INBOX).holds_files()

    client_ids = project.client_ids()
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        has = list(pool.map(has_files, client_ids))
    return [one for one, found in zip(client_ids, has, strict=True) if found]


def folder_of(project: Project, client_id: str) -> Storage:
    """The client's test folder."""
    place = project.environment.client_folders
    return bucket(place.conn_id, place.bucket).at("clients", client_id, INBOX)


def drop_of(project: Project, client_id: str) -> Drop | None:
    """What lies in the client's test folder, or None. Raises TryAgain, FixTheSetup."""
    from etl_lib.extract import S3Source
    from etl_lib.school_test import Drop

    folder = folder_of(project, client_id)
    name, _, prefix = folder.root.partition("/")
    return Drop.of(client_id, S3Source(folder.client, name, prefix))


def answer_of(
    project: Project, drop: Drop, post: Post | None, by: str = "", url: str = ""
) -> Answered:
    """Answer the test with the environment's database, archive and outbox; see school_test.answer."""
    from etl_lib.school_test import answer

    environment = project.environment
    place = environment.client_folders
    outbox = bucket(place.conn_id, place.bucket).at("clients", drop.client_id, "outbox")
    url = url or conninfo(environment.database_conn_id)
    archive = archive_of(project, drop.client_id)
    return answer(project, drop, url, archive, outbox, pgp_keys_of, post, by)


def drops_dag(project: Project) -> DAG:
    """Look, then one mapped task for each client whose test waits; one that breaks stops no other."""
    include = str(project.include)
    with DAG(
        dag_id=DAG_ID,
        dag_display_name="Test drops",
        description="Answers the files that schools put into inbox/test; loads nothing.",
        schedule=CronTriggerTimetable(SCHEDULE, timezone="UTC", run_immediately=timedelta(0)),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,  # a school that tests has nobody who would switch it on
        tags=["test drops", project.environment_name],
        doc_md=__doc__,
        default_args={"owner": "on-call", "retries": 0, "execution_timeout": _LIMIT},
    ) as dag:
        look = LookOperator(task_id="look", include=include)
        AnswerOperator.partial(
            task_id="answer", include=include, max_active_tis_per_dag=AT_ONCE,
            map_index_template="{{ task.client_id }}",
        ).expand(client_id=look.output)  # fmt: skip
    return dag
