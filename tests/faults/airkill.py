"""Signal 9 to the processes of a running Airflow's tasks, and to their supervisors."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from local_stack.airflow_api import AirflowApi
from local_stack.objects import CLIENTS_BUCKET, STORAGE_BUCKET
from local_stack.stack import Stack
from tests.airflow_tasks import Watch, scheduler_of
from tests.faults.bench import REPO, STAGES, Bench, Reader, School, forget, settled, twin
from tests.faults.campaign import Alternating, Tally, campaign
from tests.faults.school import MAPPING, marked, night

MOST = 30  # instants: each takes up to a minute, as Airflow waits before it repeats a task
TOGETHER = 5  # clients that run at once
_MAPPING = (
    MAPPING
    + "retries: 3\nsource: {type: s3, conn_id: etl_clients, path: 'clients/{client_id}/inbox'}\n"
)
_ENVIRONMENT = f"""
environment: development
storage: {{conn_id: etl_storage, bucket: {STORAGE_BUCKET}}}
client_folders: {{conn_id: etl_clients, bucket: {CLIENTS_BUCKET}}}
"""
_SILENT_S = 15  # a task whose supervisor is silent for so long is dead to Airflow
_RUN_LIMIT_S = (
    900  # two kills, each with the silence and the pause, on a machine at work on much else
)
_RECORD_LIMIT_S = 30  # until the scheduler's listener has told the record
_ENDED = ("success", "failed")


@dataclass(frozen=True)
class Plan:
    """What is killed: the stage's process or its supervisor, `share` of its usual time after it was seen."""

    stage: str
    supervisor: bool
    share: float
    again: float | None  # for the second try, when that is killed as well

    def __str__(self) -> str:
        whom = "the supervisor of " if self.supervisor else ""
        twice = f" and again at {self.again:.3f}" if self.again is not None else ""
        return f"{whom}{self.stage} at {self.share:.3f}{twice}"


@dataclass
class Airborne:
    """Clients whose stages a running Airflow runs: each gets two nights in turn."""

    api: AirflowApi
    watch: Watch
    places: Sequence[Alternating]
    lasts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 1.0))

    def first_nights(self) -> None:
        """Load both nights undisturbed, as the trials begin where these end."""
        for _ in range(2):
            with ThreadPoolExecutor(len(self.places)) as pool:
                list(pool.map(self._undisturbed, self.places))
        for place in self.places:
            assert place.school.night("").state == place.nights[-1].state

    def _undisturbed(self, place: Alternating) -> None:
        place.next()
        client_id = place.school.client_id
        run_id = self.api.trigger(client_id)
        wrong = self._ended(place.school, run_id)
        assert not wrong, wrong
        self._learn(client_id, run_id, None)

    def trial(self, place: Alternating, plan: Plan) -> tuple[bool, list[str]]:
        """One delivery of a client's, disturbed as planned: whether that met the stage, and what was wrong."""
        school = place.school
        _, expected, states = place.next()
        with Reader(school) as reader:
            run_id = self.api.trigger(school.client_id)
            killed = self._kill(school.client_id, run_id, plan)
            found = self._ended(school, run_id)
        self._learn(school.client_id, run_id, plan)
        found += school.differences(run_id, expected) + reader.faults(states)
        alive = [p for p in killed if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        return bool(killed), found + [f"{len(alive)} processes left"] * bool(alive)

    def _kill(self, client_id: str, run_id: str, plan: Plan) -> list[psutil.Process]:
        """Kill as planned; gives the processes of the tasks that were at work then."""
        met: list[psutil.Process] = []
        tried: set[str] = set()
        for share in [plan.share] if plan.again is None else [plan.share, plan.again]:
            task_id = self._begun(client_id, run_id, plan.stage, tried)
            if not task_id:  # the try before was done before it could be killed
                break
            time.sleep(share * self.lasts[plan.stage])
            task = self.watch.tasks[task_id]
            with suppress(psutil.NoSuchProcess):
                if task.process.status() != psutil.STATUS_ZOMBIE:
                    (task.supervisor if plan.supervisor else task.process).kill()
                    met.append(task.process)
        return met

    def _begun(self, client_id: str, run_id: str, stage: str, tried: set[str]) -> str:
        """Airflow's id of the stage's next try, once its process lives; empty when the run ends without one."""
        asked_at = 0.0
        task_id = ""
        while True:
            if task_id in self.watch.tasks:
                tried.add(task_id)
                return task_id
            if time.monotonic() - asked_at > 0.5:
                asked_at = time.monotonic()
                if self.api.run_state(client_id, run_id) in _ENDED:
                    return ""
                found = self.api.task_tries(client_id, run_id).get(stage, "")
                task_id = found if found not in tried else ""
            time.sleep(0.003)

    def _ended(self, school: School, run_id: str) -> list[str]:
        """Wait until Airflow has ended the run, and the record knows it; what is wrong with that."""
        client_id = school.client_id
        until = time.monotonic() + _RUN_LIMIT_S
        while (state := self.api.run_state(client_id, run_id)) not in _ENDED:
            if time.monotonic() > until:
                return [f"Airflow has not ended the run: {self.api.task_states(client_id, run_id)}"]
            time.sleep(0.3)
        found = [] if state == "success" else [f"Airflow's run is {state}"]
        query = "SELECT ended_at IS NOT NULL FROM etl.run WHERE client_id = %s AND run_id = %s"
        until = time.monotonic() + _RECORD_LIMIT_S
        while school.query(query, (client_id, run_id)) != [(True,)]:
            if time.monotonic() > until:
                return [*found, "the record does not know the end"]
            time.sleep(0.1)
        return found

    def _learn(self, client_id: str, run_id: str, plan: Plan | None) -> None:
        """How long stages take now, from those that were not disturbed."""
        for stage, task_id in self.api.task_tries(client_id, run_id).items():
            lasted_s = self.watch.lasted_s(task_id)
            if lasted_s and (plan is None or stage != plan.stage):
                self.lasts[stage] = 0.7 * self.lasts[stage] + 0.3 * lasted_s


@contextmanager
def airborne(bench: Bench, together: int) -> Iterator[Airborne]:
    """A stack of its own with so many clients, each with both nights loaded; stopped at the end."""
    home = bench.home / "airborne"
    names = [f"killed{number}" for number in range(together)]
    clients = dict.fromkeys(names, _MAPPING)
    bundle = {"name": "integrations", "classpath": "etl_lib.airflow_edge.bundle.SnapshotBundle",
              "kwargs": {"project": str(home), "refresh_interval": 5}}  # fmt: skip
    stack = Stack(home, REPO, names, bundles=[bundle], on_step=lambda _: None)
    forget(home)  # of a campaign before this one
    scratch = home / "scratch"
    scratch.mkdir(parents=True)
    shutil.copytree(REPO / "dags", home / "dags")
    stack.more_environ |= {
        "ETL_INCLUDE": str(home / "include"),
        "TMPDIR": str(scratch),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(_SILENT_S),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    }
    inner = Bench(home, "", bench.zygote, clients=clients, objects=stack.objects)
    (inner.include / "environments" / "development.yaml").write_text(_ENVIRONMENT)
    with ExitStack() as opened:
        opened.enter_context(stack)
        assert stack.airflow
        inner.postgres_url = stack.postgres.url("postgres")
        schools = [inner.school("etl", "s3", "s3", name) for name in names]
        oracle = twin(schools[0], inner.fresh_database("oracle"))
        deliveries = [marked(night(1)), marked(night(2))]
        nights = settled(oracle, deliveries)
        api = AirflowApi(stack.airflow.url, "admin", stack.airflow.password("admin"))
        api.wait_for_dags(set(names))
        for name in names:
            api.unpause(name)
        watch = opened.enter_context(Watch(scheduler_of(stack)))
        places = [Alternating(school, nights, marked) for school in schools]
        found = Airborne(api, watch, places)
        found.first_nights()
        yield found


def _plans(count: int, seed: int) -> Iterator[Plan]:
    """The stages in turn, each of them of every client; a third of the kills meet the supervisor."""
    chance = random.Random(f"airflow kill {seed}")
    for number in range(count):
        yield Plan(
            stage=STAGES[(number + number // TOGETHER) % len(STAGES)],
            supervisor=chance.random() < 0.33,
            share=chance.random() * 1.05,
            again=chance.random() if chance.random() < 0.125 else None,
        )


@campaign(
    "airflow kill",
    "a running Airflow's own task process, or its supervisor, gets signal 9; Airflow repeats the task "
    f"(at most {MOST} instants)",
)
def airflow_kill(bench: Bench, count: int, seed: int) -> Tally:
    """At seeded instants of every stage, of several clients at once; one in eight is killed twice."""
    tally = Tally()
    plans = list(_plans(min(count, MOST), seed))
    with airborne(bench, min(len(plans), TOGETHER)) as air:
        for first in range(0, len(plans), TOGETHER):
            batch = list(zip(air.places, plans[first : first + TOGETHER], strict=False))
            with ThreadPoolExecutor(TOGETHER) as pool:
                made = list(pool.map(lambda one: air.trial(*one), batch))
            for number, ((place, plan), (struck, found)) in enumerate(
                zip(batch, made, strict=True), first
            ):
                # when all are at rest: what is left of one cannot be told from what another has at work
                what = f"airflow kill {seed}/{number} {plan}"
                tally.add(struck, found + place.school.leftovers(), what)
    return tally
