"""The view in a real browser inside a running Airflow: an account manager finds out what happened."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from local_stack.browser import signed_in
from tests.airflow.conftest import BROKEN, GOOD, SILENT, RunningAirflow

ROUTES = ("clients", "days", f"clients/{GOOD}", f"clients/{GOOD}/run?run_id=x")


@pytest.fixture(scope="module")
def page(airflow: RunningAirflow) -> Iterator[Page]:
    """Signed in as somebody who may only look."""
    found = airflow.stack.airflow
    assert found is not None
    with signed_in(found.url, "viewer", found.password("viewer")) as page:
        yield page


def address(airflow: RunningAirflow, path: str) -> str:
    assert airflow.stack.airflow is not None
    return f"{airflow.stack.airflow.url}{path}"


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_reads_figures_without_airflows_login(airflow: RunningAirflow, route: str) -> None:
    assert httpx.get(address(airflow, f"/integrations/api/{route}")).status_code == 401


def test_an_account_manager_finds_the_school_that_needs_somebody_and_why(
    airflow: RunningAirflow, page: Page
) -> None:
    airflow.run(SILENT)
    page.goto(address(airflow, "/plugin/clients"))
    page.get_by_role("button", name=re.compile("not received")).click()
    expect(page).to_have_url(re.compile("status=not_received"))
    expect(page.locator("tr[data-client]")).to_have_count(1)
    row = page.locator(f"tr[data-client={SILENT}]")
    expect(row).to_contain_text("No complete delivery came.")
    row.get_by_role("link").nth(1).click()
    expect(page).to_have_url(re.compile("/plugin/result"))
    expect(page.locator(".iv")).to_contain_text("NOT_RECEIVED")
    expect(page.locator(".iv")).to_contain_text("school")


def test_a_search_is_kept_in_the_address(airflow: RunningAirflow, page: Page) -> None:
    page.goto(address(airflow, "/plugin/clients"))
    expect(page.locator("tr[data-client]")).to_have_count(3)
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
    expect(page.locator(".iv h1")).to_contain_text("Lakeside")


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
