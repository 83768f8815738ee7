"""A project of many schools with four feeds each, and the files that they send."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from etl_lib.config.project import Project
from etl_lib.load.tables import migrate_if_needed
from local_stack.airflow_api import AirflowApi
from local_stack.stack import Stack

REPO = Path(__file__).parents[2]
COURSES, SECTIONS = 100, 200
_ENROLLMENTS_OF_ONE = 3
_MAPPING = """extends: plain
client: {name}
owner: Ana Torres
timezone: UTC
schedule: {schedule}
delivery: {{deadline: "23:59", expected_by: "23:58"}}
calendar: {{sends_on: [mon, tue, wed, thu, fri, sat, sun]}}
feeds:
  organizations: null
  terms: null
  programs: null
  person_roles: null
  program_enrollments: null
  section_staff: null
  line_items: null
  results: null
  courses: {{required: true}}
  sections: {{required: true}}
  people: {{required: true}}
  enrollments: {{required: true, content: full}}
"""


def client_ids(number: int) -> list[str]:
    """The schools' ids."""
    return [f"school_{at:04}" for at in range(number)]


def make_project(folder: Path, ids: Sequence[str]) -> Path:
    """A folder with `dags/` and `include/` of these schools, none of them scheduled; gives `include/`."""
    shutil.copytree(REPO / "dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    include = folder / "include"
    ignored = shutil.ignore_patterns("samples", "mappings", "guides")
    shutil.copytree(REPO / "include", include, ignore=ignored)
    (include / "mappings").mkdir()
    for client_id in ids:
        write_mapping(include, client_id)
    return include


@contextmanager
def running(
    home: Path, ids: Sequence[str], celery_slots: int = 0
) -> Iterator[tuple[Stack, Path, AirflowApi]]:
    """Start a stack over a project of these schools; gives it with the project's `include/` and Airflow's API.

    `celery_slots`: so many tasks at once on Celery workers, which are then to be started; 0: the LocalExecutor.
    """
    include = make_project(home / "project", ids)
    bundle = {
        "name": "integrations",
        "classpath": "etl_lib.airflow_edge.bundle.SnapshotBundle",
        "kwargs": {"project": str(include.parent), "refresh_interval": 5},
    }
    stack = Stack(home / "stack", REPO, (), bundles=[bundle])
    stack.more_environ["ETL_INCLUDE"] = str(include)
    # as docker-compose.yaml runs it; the local stack looks twice as often, for people who wait before it
    stack.more_environ["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] = "1"
    assert stack.airflow is not None
    if celery_slots:
        stack.airflow.celery, stack.airflow.parallelism = True, celery_slots
    with stack:
        migrate_if_needed(stack.etl_database_url, Project(include, "development").entities)
        api = AirflowApi(stack.airflow.url, "admin", stack.airflow.password("admin"))
        api.wait_for_dags(set(ids), 600)
        yield stack, include, api


def write_mapping(
    include: Path, client_id: str, schedule: str | None = None, name: str = "", more: str = ""
) -> None:
    """The school's mapping; `schedule`: a cron expression in UTC; `more`: lines at its end."""
    said = f'"{schedule}"' if schedule else "null"
    text = _MAPPING.format(name=name or client_id.replace("_", " ").title(), schedule=said)
    (include / "mappings" / f"{client_id}.yaml").write_text(text + more)


def files(rows: int, changed_share: float = 0) -> dict[str, bytes]:
    """A delivery of so many rows in four files; of the people and enrollments a share is changed."""
    people = max((rows - COURSES - SECTIONS) // (1 + _ENROLLMENTS_OF_ONE), 1)
    chance = random.Random(11)  # noqa: S311
    changed = set(chance.sample(range(people), round(people * changed_share)))
    return {
        "courses.csv": _text("course_id,title,code,status", (
            f"c{n},Course {n},C-{n:04},active" for n in range(COURSES))),
        "sections.csv": _text("section_id,name,course_id,status", (
            f"s{n},Section {n},c{n % COURSES},active" for n in range(SECTIONS))),
        "people.csv": _text("person_id,given_name,family_name,email,birth_date,status", (
            f"p{n},Given{n % 997},Family{n % 1993},p{n}{'.new' if n in changed else ''}@school.test,"
            f"20{n % 12:02}-{1 + n % 12:02}-{1 + n % 28:02},active" for n in range(people))),
        "enrollments.csv": _text("person_id,section_id,role,status", (
            f"p{n},s{(n * 7 + k) % SECTIONS},student,"
            f"{'withdrawn' if n in changed and not k else 'active'}"
            for n in range(people) for k in range(_ENROLLMENTS_OF_ONE))),
    }  # fmt: skip


def _text(head: str, lines: Iterator[str]) -> bytes:
    return "\n".join([head, *lines, ""]).encode()


def put(inbox: Path, delivery: dict[str, bytes]) -> None:
    """Lay a delivery's files into a school's inbox."""
    inbox.mkdir(parents=True, exist_ok=True)
    for name, data in delivery.items():
        (inbox / name).write_bytes(data)
