"""The pictures of the README, taken of the running demonstration; its pupils are invented."""

from __future__ import annotations

from pathlib import Path

from local_stack.browser import signed_in

# name -> address below the user interface, and a text that is there once the page is drawn
_PAGES = {
    "clients": ("/plugin/clients", "Lakeside"),
    "one_client": ("/dags/ashford/plugin/integration", "Account 9"),
    "integrations": ("/dags", "Lakeside"),
    "one_integration": ("/dags/lakeside", "Last "),
}


def take_pictures(url: str, user: str, password: str, folder: Path) -> list[Path]:
    """Write one PNG for each page into `folder`; gives the files. Raises StackError without a browser."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    with signed_in(url, user, password) as page:
        for name, (address, text) in _PAGES.items():
            page.goto(f"{url}{address}")
            page.get_by_text(text).first.wait_for()
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(1500)  # charts grow for a second
            taken.append(folder / f"{name}.png")
            page.screenshot(path=taken[-1])
    return taken
