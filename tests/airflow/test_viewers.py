"""Roles of Airflow's FAB auth manager: a role sees and works on the clients whose mappings name it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, expect

from etl_lib.config.project import Project
from etl_lib.load.tables import migrate_if_needed
from local_stack.airflow_api import AirflowApi
from local_stack.browser import signed_in
from local_stack.stack import Stack
from tests.airflow.conftest import RunningAirflow

# not at the same time as the demonstration, which needs the processors
pytestmark = pytest.mark.xdist_group("stack")

VIEWERS, OPERATORS = "Account managers north", "On-call north"
ALL = {"north_one", "north_two", "south_one"}
NORTH = {"north_one", "north_two"}


@dataclass
class Fab:
    """A running Airflow with two users besides nobody: vera looks, ole works."""

    stack: Stack
    mappings: Path
    vera: AirflowApi
    ole: AirflowApi
    everybody: AirflowApi

    def clients(self, api: AirflowApi) -> set[str]:
        """Clients in the view's list."""
        answer = api.client().get("/integrations/api/clients")
        answer.raise_for_status()
        return {one["client_id"] for one in answer.json()["clients"]}

    def dags(self, api: AirflowApi) -> set[str]:
        """DAGs in Airflow's own list."""
        return {dag["dag_id"] for dag in api.get("/dags", limit=100)["dags"]}


@pytest.fixture(scope="module")
def fab(
    tmp_path_factory: pytest.TempPathFactory, make_home: Callable[[str], Path]
) -> Iterator[Fab]:
    repo = Path(__file__).parents[2]
    project = tmp_path_factory.mktemp("fab_project")
    shutil.copytree(repo / "dags", project / "dags")
    ignored = shutil.ignore_patterns("samples", "mappings")
    shutil.copytree(repo / "include", project / "include", ignore=ignored)
    mappings = project / "include" / "mappings"
    mappings.mkdir()
    text = (repo / "include" / "mappings" / "lakeside.yaml").read_text()
    for client_id in NORTH:
        named = f"{text}viewers: {VIEWERS}\n"
        (mappings / f"{client_id}.yaml").write_text(named)
    with (mappings / "north_one.yaml").open("a") as mapping:
        mapping.write(f"operators: {OPERATORS}\n")
    (mappings / "south_one.yaml").write_text(text)
    bundle = {
        "name": "integrations",
        "classpath": "etl_lib.airflow_edge.bundle.SnapshotBundle",
        "kwargs": {"project": str(project), "refresh_interval": 1},
    }
    stack = Stack(make_home("fab"), repo, (), bundles=[bundle])
    stack.more_environ["ETL_INCLUDE"] = str(project / "include")
    assert stack.airflow is not None
    stack.airflow.fab = True
    stack.airflow.components = ("api-server", "dag-processor")
    with stack:
        migrate_if_needed(
            stack.etl_database_url, Project(project / "include", "development").entities
        )
        airflow = stack.airflow
        admin = AirflowApi(airflow.url, "admin", airflow.add_user("admin", "Admin"))
        admin.wait_for_dags(ALL)  # the bundle has made the roles by now
        users = {
            name: AirflowApi(airflow.url, name, airflow.add_user(name, role))
            for name, role in (("vera", VIEWERS), ("ole", OPERATORS))
        }
        yield Fab(stack, mappings, users["vera"], users["ole"], admin)


def test_a_role_sees_its_own_clients_in_the_view_and_in_airflow(fab: Fab) -> None:
    assert fab.clients(fab.everybody) == ALL
    assert fab.clients(fab.vera) == fab.dags(fab.vera) == NORTH
    assert fab.clients(fab.ole) == fab.dags(fab.ole) == {"north_one"}
    get = fab.vera.client().get
    for route in ("", "/runs", "/run?run_id=x", "/run/rejected.csv?run_id=x"):
        assert get(f"/integrations/api/clients/south_one{route}").status_code == 403
    assert get("/integrations/api/clients/north_two").status_code == 200
    assert get("/integrations/api/need").json()["total"] == 2
    trace = "/integrations/api/clients/south_one/trace"
    assert fab.vera.client().post(trace, json={"key": "k"}).status_code == 403


def test_who_works_on_a_client_may_answer_its_holds_and_nobody_else(fab: Fab) -> None:
    answer = "/api/v2/dags/{}/dagRuns/none/taskInstances/load/-1/hitlDetails"
    said = {"chosen_options": ["Approve"], "params_input": {}}
    hold = "/integrations/api/clients/{}/holds/1"
    for user, client_id, status, decided in (
        (fab.vera, "north_one", 403, 403),
        (fab.ole, "north_two", 403, 403),
        (fab.ole, "north_one", 404, 409),  # he may, but there is no such run, no such hold
    ):
        assert user.client().patch(answer.format(client_id), json=said).status_code == status
        verdict = user.client().post(hold.format(client_id), json={"approve": True})
        assert verdict.status_code == decided


def test_who_looks_may_not_act_and_who_works_may_on_his_own(fab: Fab) -> None:
    check = "/integrations/api/clients/{}/check-now"
    assert fab.vera.client().post(check.format("north_one")).status_code == 403
    assert fab.ole.client().post(check.format("north_two")).status_code == 403
    paused = fab.ole.client().post(check.format("north_one"))
    assert (paused.status_code, "paused" in paused.text) == (409, True)
    fab.everybody.unpause("north_one")
    begun = fab.ole.client().post(check.format("north_one"))
    assert begun.status_code == 201, begun.text
    assert fab.ole.run_state("north_one", begun.json()["run_id"]) == "queued"
    again = fab.ole.client().post(check.format("north_one"))
    assert (again.status_code, "at work" in again.text) == (409, True)
    acts = fab.ole.client().get("/integrations/api/clients/north_one").json()["acts"]
    assert [(act["kind"], act["by"]) for act in acts] == [("check_now", "ole")]


def test_a_viewer_of_two_clients_finds_them_in_the_browser(fab: Fab, browser: Browser) -> None:
    assert fab.stack.airflow is not None
    with signed_in(fab.stack.airflow.url, "vera", fab.vera.password, browser=browser) as page:
        page.goto(f"{fab.stack.airflow.url}/plugin/clients")
        expect(page.locator("tr[data-client]")).to_have_count(2)
        page.locator("tr[data-client=north_two] a").first.click()
        expect(page.locator(".etl-view h1")).to_contain_text("Lakeside")
        expect(page.get_by_role("button", name="Check now")).to_have_count(0)


def test_the_command_makes_the_roles_that_are_missing_and_no_others(fab: Fab) -> None:
    assert fab.stack.airflow is not None
    with (fab.mappings / "south_one.yaml").open("a") as mapping:
        mapping.write("viewers: Account managers south\n")
    told = []
    for _ in range(2):
        done = subprocess.run(
            [Path(sys.executable).parent / "etl", "roles"],
            env=fab.stack.airflow.environ(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        told.append(done.stdout.splitlines()[-1])
    assert told[1] == "3 roles named by mappings, 0 made now."
    with psycopg.connect(fab.stack.postgres.url("airflow")) as connection:
        found = connection.execute("SELECT name FROM ab_role WHERE name = 'Account managers south'")
        assert len(found.fetchall()) == 1


def test_a_role_that_was_taken_away_comes_back_and_no_dag_stays_lost(fab: Fab) -> None:
    url = fab.stack.postgres.url("airflow")
    with psycopg.connect(url) as connection:
        for link in ("ab_permission_view_role", "ab_user_role"):
            connection.execute(
                f"DELETE FROM {link} WHERE role_id = (SELECT id FROM ab_role WHERE name = %s)",
                (OPERATORS,),
            )
        connection.execute("DELETE FROM ab_role WHERE name = %s", (OPERATORS,))
    with (fab.mappings / "south_one.yaml").open("a") as mapping:
        mapping.write("# a change, so that every DAG is read again\n")

    def there() -> bool:
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT FROM ab_role WHERE name = %s", (OPERATORS,))
            return found.fetchone() is not None

    RunningAirflow.wait_until(there, 60)
    # a parse that was at work just then lost the DAGs; the next one, after the edit, has them again
    everything = {*ALL, "weekly-upkeep", "test-drops"}
    RunningAirflow.wait_until(lambda: fab.dags(fab.everybody) == everything, 60)
    assert fab.everybody.import_errors() == {}


def test_a_role_that_a_mapping_no_longer_names_loses_the_client(fab: Fab) -> None:
    mapping = fab.mappings / "north_two.yaml"
    mapping.write_text(mapping.read_text().replace(f"viewers: {VIEWERS}\n", ""))
    RunningAirflow.wait_until(lambda: fab.clients(fab.vera) == {"north_one"}, 90)
    assert fab.dags(fab.vera) == {"north_one"}


def test_an_edit_made_while_the_dags_are_parsed_is_not_overlooked(fab: Fab, tmp_path: Path) -> None:
    """Airflow's own comparison of times would find it at the next regular parse, in five minutes."""
    begun = tmp_path / "begun"
    dags = fab.mappings.parents[1] / "dags" / "integrations.py"
    slow = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(8)\n"
    dags.write_text(dags.read_text() + slow)
    RunningAirflow.wait_until(begun.exists, 60)
    with (fab.mappings / "north_two.yaml").open("a") as mapping:
        mapping.write(f"viewers: {VIEWERS}\n")
    RunningAirflow.wait_until(lambda: fab.clients(fab.vera) == NORTH, 90)


@pytest.mark.parametrize("path", ["/integrations/api/clients", "/integrations/api/docs"])
def test_nobody_reads_without_a_login(fab: Fab, path: str) -> None:
    assert fab.stack.airflow is not None
    assert httpx.get(fab.stack.airflow.url + path).status_code == 401
