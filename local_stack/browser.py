"""A real browser for pictures and tests: the machine's Chromium, or the one that Playwright brings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, sync_playwright

from local_stack.processes import StackError

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# a machine without a way out: no look-ups of its own at every start
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
              "--disable-component-update", "--disable-sync"]  # fmt: skip


def browser_path() -> Path | None:
    """The browser that is there, or None."""
    for name in _NAMES:
        if found := shutil.which(name):
            return Path(found)
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return own if own.exists() else None


def ensure_browser() -> Path:
    """The browser; installed when there is none and this user may. Raises StackError with what to do."""
    if found := browser_path():
        return found
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        attempts.insert(0, ["apt-get", "install", "-y", "-q", "chromium"])
        attempts.insert(0, ["apt-get", "update", "-q"])
    for command in attempts:
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        if found := browser_path():
            return found
    raise StackError("There is no browser. Install Chromium (Debian: `apt-get install chromium`).")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser without a window. Raises StackError when there is none."""
    executable = ensure_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def signed_in(
    url: str, user: str, password: str, *, width: int = 1440, browser: Browser | None = None
) -> Iterator[Page]:
    """A page of the Airflow at `url`, with the user signed in, in a browser of its own or in `browser`.

    `width` is the window's, in px. Raises StackError when the browser or the sign-in fails.
    """
    with ExitStack() as opened:
        browser = browser or opened.enter_context(chromium())
        page = browser.new_page(viewport={"width": width, "height": 900})  # its own cookies
        try:
            page.goto(f"{url}/auth/login")
            page.locator("input[name=username]").fill(user)
            page.locator("input[name=password]").fill(password)
            page.locator("button[type=submit], input[type=submit]").first.click()
            page.wait_for_url(lambda address: "/login" not in address)
            yield page
        except Error as error:
            raise StackError(f"The browser: {error.message.splitlines()[0]}") from error
        finally:
            page.close()


if __name__ == "__main__":
    try:
        print(ensure_browser())
    except StackError as error:
        sys.exit(str(error))
