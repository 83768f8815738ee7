"""How the edge waits for files: which day's, until when, and for files newer than those that are loaded."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.errors import NotExpected
from etl_lib.extract import Known

MAPPING = """
client: School
sis: Own
owner: Ana
timezone: America/Chicago
source: {{type: local, path: {inbox}}}
delivery: {{stable_s: 0, poll_s: 1}}
feeds:
  people:
    file: people.csv
    entities:
      person: {{columns: {{person_id: Id, given_name: Name, family_name: Name, status: {{constant: active}}}}}}
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The edge, with an Airflow of its own."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("ETL_ENVIRONMENT", "development")
    from etl_lib.airflow_edge import tasks

    return tasks


@pytest.fixture
def include(tmp_path: Path, repo: Path) -> Path:
    """A school whose inbox is a folder."""
    ignored = shutil.ignore_patterns("samples", "mappings")
    shutil.copytree(repo / "include", tmp_path / "include", ignore=ignored)
    # the development environment has waits of its own
    (tmp_path / "include" / "environments" / "development.yaml").write_text(
        "environment: development\ndatabase_conn_id: d\nstorage: {conn_id: s, bucket: b}\n"
        "client_folders: {conn_id: c, bucket: b}\n"
    )
    (tmp_path / "include" / "mappings").mkdir()
    (tmp_path / "inbox").mkdir()
    mapping = MAPPING.format(inbox=tmp_path / "inbox")
    (tmp_path / "include" / "mappings" / "school.yaml").write_text(mapping)
    return tmp_path / "include"


def resolved(include: Path) -> ResolvedMapping:
    return Project(include, "development").resolve("school")


def send(include: Path, moment: datetime) -> None:
    path = include.parent / "inbox" / "people.csv"
    path.write_text("Id,Name\n1,Ana\n")
    os.utime(path, (moment.timestamp(), moment.timestamp()))


@pytest.mark.parametrize(
    ("run_type", "until"), [("scheduled", "2026-11-17T14:00"), ("manual", "2026-11-17T08:06")]
)
def test_a_run_of_the_schedule_waits_until_the_deadline_of_its_own_day(
    tasks: Any, include: Path, run_type: str, until: str
) -> None:
    from airflow.models.dagrun import DagRun

    tick = datetime(2026, 11, 17, 8, tzinfo=UTC)  # two o'clock in Chicago
    run = DagRun(
        dag_id="school", run_id="r", run_type=run_type, logical_date=tick,
        start_date=tick + timedelta(minutes=1), run_after=tick,
    )  # fmt: skip
    waits = tasks.wait_of({"dag_run": run}, resolved(include))
    assert waits.until == datetime.fromisoformat(until).replace(tzinfo=UTC)


def test_the_trigger_fires_for_newer_files_and_not_for_those_that_are_loaded(
    tasks: Any, include: Path
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    send(include, yesterday)
    loaded = Known(delivered_on=yesterday.date(), sent_at=yesterday)

    async def waited(given: Known | None, new_files: bool) -> float:
        first = tasks.DeliveryTrigger(
            resolved=tasks.for_looking(resolved(include)), bucket="b",
            until=(datetime.now(UTC) + timedelta(seconds=3)).isoformat(),
            loaded=given.model_dump_json() if given else None,
        )  # fmt: skip
        path, values = first.serialize()
        assert path == "etl_lib.airflow_edge.waiting.DeliveryTrigger"
        begun = time.monotonic()
        if new_files:
            send(include, datetime.now(UTC) - timedelta(seconds=1))
        async for _ in tasks.DeliveryTrigger(**values).run():  # as another triggerer takes it up
            break
        return time.monotonic() - begun

    async def every() -> tuple[float, ...]:
        return (
            await waited(None, False),
            await waited(loaded, False),
            await waited(loaded, True),
        )

    whatever_lies_there, old, new = asyncio.run(every())
    assert whatever_lies_there < 2
    assert old >= 2.9
    assert new < 2


def test_a_day_off_skips_the_task_instead_of_failing_it(tasks: Any) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="NOT_EXPECTED"), tasks.airflow_outcome():
        raise NotExpected.of("NOT_EXPECTED", "The school sends nothing on Saturdays.")


def test_what_a_look_needs_is_the_whole_mapping_in_a_tenth_of_the_room(
    tasks: Any, repo: Path
) -> None:
    project = Project(repo / "include", "development")
    for client_id in project.client_ids():
        whole = project.resolve(client_id)
        kept = tasks.for_looking(whole)
        assert ResolvedMapping.model_validate_json(kept).mapping == whole.mapping
        assert 10 * len(kept) < len(whole.model_dump_json(by_alias=True))
