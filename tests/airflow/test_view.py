"""The view in a real browser inside a running Airflow: an account manager finds out what happened."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from local_stack.airflow_api import AirflowApi
from local_stack.browser import signed_in
from tests.airflow.conftest import BROKEN, GOOD, PATIENT, SCHOOLS, SILENT, RunningAirflow

# shares one running stack: stays in one of the parallel processes
pytestmark = pytest.mark.xdist_group("airflow")

ROUTES = (
    "clients",
    "need",
    "days",
    f"clients/{GOOD}",
    f"clients/{GOOD}/run?run_id=x",
    f"clients/{GOOD}/guide",
    "docs",
)
AXE = (
    Path(__file__).parents[2]
    / "etl_lib"
    / "view"
    / "ui"
    / "node_modules"
    / "axe-core"
    / "axe.min.js"
)
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def page(airflow: RunningAirflow, browser: Browser) -> Iterator[Page]:
    """Signed in as somebody who may only look."""
    found = airflow.stack.airflow
    assert found is not None
    with signed_in(found.url, "viewer", found.password("viewer"), browser=browser) as page:
        yield page


def address(airflow: RunningAirflow, path: str) -> str:
    assert airflow.stack.airflow is not None
    return f"{airflow.stack.airflow.url}{path}"


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_reads_figures_without_airflows_login(airflow: RunningAirflow, route: str) -> None:
    assert httpx.get(address(airflow, f"/integrations/api/{route}")).status_code == 401


@pytest.mark.parametrize(("user", "may"), [("viewer", False), ("admin", True)])
def test_only_who_may_start_the_integration_may_act(
    airflow: RunningAirflow, user: str, may: bool
) -> None:
    found = airflow.stack.airflow
    assert found is not None
    client = AirflowApi(found.url, user, found.password(user)).client()
    about = f"/integrations/api/clients/{PATIENT}"
    assert client.get(about).json()["may_act"] is may
    note = client.post(f"{about}/acts", json={"kind": "note", "text": "a word"})
    assert note.status_code == (204 if may else 403)
    rows = client.get(f"{about}/run/rejected.csv", params={"run_id": "x"})
    assert rows.status_code == (404 if may else 403)
    notes = [act for act in client.get(about).json()["acts"] if act["kind"] == "note"]
    assert [(act["by"], act["text"]) for act in notes] in ([], [("admin", "a word")])
    assert bool(notes) is may


def test_an_account_manager_finds_the_school_that_needs_somebody_and_why(
    airflow: RunningAirflow, page: Page
) -> None:
    airflow.run(SILENT)
    page.goto(address(airflow, "/plugin/clients"))
    page.get_by_role("button", name=re.compile("not received")).click()
    expect(page).to_have_url(re.compile("status=not_received"))
    expect(page.locator(f"tr[data-client={GOOD}]")).to_have_count(0)
    row = page.locator(f"tr[data-client={SILENT}]")
    expect(row).to_contain_text("No complete delivery came.")
    row.get_by_role("link").nth(1).click()
    expect(page).to_have_url(re.compile("/plugin/result"))
    expect(page.locator(".etl-view")).to_contain_text("NOT_RECEIVED")
    expect(page.locator(".etl-view")).to_contain_text("school")


def test_a_search_is_kept_in_the_address(airflow: RunningAirflow, page: Page) -> None:
    page.goto(address(airflow, "/plugin/clients"))
    expect(page.locator("tr[data-client]")).to_have_count(len(SCHOOLS))
    page.get_by_role("searchbox").fill("no such school")
    expect(page.get_by_text("No integration fits")).to_be_visible()
    page.get_by_role("searchbox").fill(SILENT)
    expect(page.locator("tr[data-client]")).to_have_count(1)
    page.reload()
    expect(page.locator("tr[data-client]")).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_have_value(SILENT)


def test_a_run_goes_from_running_to_its_end_before_ones_eyes(
    airflow: RunningAirflow, page: Page
) -> None:
    airflow.deliver("night_2")
    page.goto(address(airflow, "/plugin/clients"))
    row = page.locator(f"tr[data-client={GOOD}]")
    expect(row).to_be_visible()
    page.evaluate("window.notReloaded = true")
    run_id = airflow.api.trigger(GOOD)
    airflow.api.unpause(GOOD)
    expect(row).to_contain_text(re.compile("running|waiting"), timeout=40_000)
    airflow.ended(GOOD, run_id)
    expect(row).to_contain_text(re.compile("loaded|nothing new"), timeout=5_000)
    assert page.evaluate("window.notReloaded") is True
    row.get_by_role("link").first.click()
    expect(page.locator(".etl-view h1")).to_contain_text("Lakeside")


def test_a_broken_mapping_is_shown_as_failed_with_the_linters_words(
    airflow: RunningAirflow, page: Page
) -> None:
    mapping = airflow.project / "include" / "mappings" / f"{BROKEN}.yaml"
    text = mapping.read_text()
    if "scedule" not in text:
        mapping.write_text(text + "scedule: daily\n")
    try:
        page.goto(address(airflow, "/plugin/clients"))
        expect(page.locator(f"tr[data-client={BROKEN}]")).to_contain_text(
            "The mapping has a mistake."
        )
    finally:
        mapping.write_text(text)


@pytest.fixture(scope="module")
def worker(airflow: RunningAirflow, browser: Browser) -> Iterator[Page]:
    """Signed in as somebody who may act."""
    found = airflow.stack.airflow
    assert found is not None
    with signed_in(found.url, "admin", found.password("admin"), browser=browser) as page:
        yield page


def test_a_failure_that_somebody_takes_is_marked_for_the_others(
    airflow: RunningAirflow, page: Page, worker: Page
) -> None:
    airflow.run(SILENT)
    page.goto(address(airflow, f"/dags/{SILENT}/plugin/integration"))
    expect(page.locator(".etl-view h1")).to_be_visible()
    expect(page.get_by_role("button", name="I am on it")).to_have_count(0)
    worker.goto(address(airflow, f"/dags/{SILENT}/plugin/integration"))
    worker.get_by_label("Note").fill("I call the school.")
    worker.get_by_role("button", name="I am on it").click()
    expect(worker.get_by_text("others see that you are on it")).to_be_visible()
    page.goto(address(airflow, "/plugin/clients"))
    row = page.locator(f"tr[data-client={SILENT}]")
    expect(row).to_contain_text("admin is on it")
    expect(row).to_contain_text("I call the school.")


def test_check_now_starts_a_run_that_can_be_followed(airflow: RunningAirflow, worker: Page) -> None:
    airflow.api.unpause(SILENT)
    worker.goto(address(airflow, f"/dags/{SILENT}/plugin/integration"))
    worker.get_by_role("button", name="Check now").click()
    worker.get_by_role("link", name="See the run").click()
    expect(worker).to_have_url(re.compile("/plugin/result"))
    expect(worker.locator(".etl-view")).to_contain_text("not received", timeout=60_000)


def test_one_record_is_followed_through_its_deliveries(airflow: RunningAirflow, page: Page) -> None:
    airflow.deliver("night_1")
    airflow.run(GOOD)
    page.goto(address(airflow, f"/dags/{GOOD}/plugin/integration"))
    page.get_by_label("Key of the record").fill("lks-s03")
    page.get_by_role("button", name="What became of it?").click()
    found = page.get_by_role("region", name="What each run did with it")
    expect(found).to_contain_text("users.csv, line 12")
    expect(page.get_by_text("It is there as person")).to_be_visible()


def test_the_guide_for_the_school_is_one_click_from_its_page(
    airflow: RunningAirflow, page: Page
) -> None:
    page.goto(address(airflow, f"/dags/{GOOD}/plugin/integration"))
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Guide for the school").click()
    guide = opened.value
    expect(guide.get_by_role("heading", level=1)).to_contain_text("Sending your data")
    assert guide.evaluate("getComputedStyle(document.body).display") == "grid", "styles are refused"
    expect(guide.get_by_text(f"user {GOOD}", exact=False).first).to_be_visible()
    expect(guide.get_by_text(re.compile("SHA256:[A-Za-z0-9+/]{43}")).first).to_be_visible()
    with guide.expect_download() as download:
        guide.get_by_role("link", name="Download users.csv").click()
    assert download.value.suggested_filename == "users.csv"
    assert Path(download.value.path()).read_text().startswith("status,sourcedId,")
    guide.close()


def test_the_home_page_says_how_many_need_somebody(airflow: RunningAirflow, page: Page) -> None:
    page.goto(address(airflow, "/"))
    expect(
        page.get_by_text(re.compile("integrations need somebody|Nobody is needed"))
    ).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("where", ["/plugin/clients", f"/dags/{GOOD}/plugin/integration", "run"])
def test_nothing_keeps_anybody_from_using_it(
    airflow: RunningAirflow, page: Page, where: str, theme: str
) -> None:
    if where == "run":
        [(run_id,)] = airflow.query(
            "SELECT run_id FROM etl.run WHERE client_id = %s AND read > 0 LIMIT 1", GOOD
        )
        where = f"/dags/{GOOD}/runs/{quote(str(run_id), safe='')}/plugin/result"
    page.evaluate(f"localStorage.setItem('theme', '{theme}')")
    page.goto(address(airflow, where))
    expect(page.locator(".etl-view h1")).to_be_visible()
    page.wait_for_timeout(500)
    page.evaluate(AXE.read_text())
    answer = page.evaluate("axe.run('.etl-view', {resultTypes: ['violations']})")
    serious = [
        f"{one['id']}: {one['nodes'][0]['html'][:160]} {one['nodes'][0]['failureSummary']}"
        for one in answer["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert theme in page.locator("html").get_attribute("class").split()
    page.evaluate("localStorage.setItem('theme', 'light')")


def test_on_a_phone_each_school_says_what_happened_without_scrolling_sideways(
    airflow: RunningAirflow, page: Page
) -> None:
    page.set_viewport_size(PHONE)
    try:
        page.goto(address(airflow, "/plugin/clients"))
        row = page.locator(f"tr[data-client={SILENT}]")
        expect(row).to_contain_text("No complete delivery came.")
        wide = page.locator(".etl-view").evaluate(
            "view => [...view.querySelectorAll('table')].map(t => t.scrollWidth - t.parentElement.clientWidth)"
        )
        assert max(wide) <= 0
    finally:
        page.set_viewport_size(DESK)


def test_the_list_is_used_with_the_keyboard_alone(airflow: RunningAirflow, page: Page) -> None:
    page.goto(address(airflow, "/plugin/clients?sort=client"))
    expect(page.locator("tr[data-client]")).to_have_count(len(SCHOOLS))
    page.locator("body").press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    second = page.locator("tr[data-client]").nth(1)
    expect(second.get_by_role("link").first).to_be_focused()
    client = second.get_attribute("data-client")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/dags/{client}/plugin/integration"))
