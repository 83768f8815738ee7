"""The pictures of the README, taken of the running demonstration; its pupils are invented."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from local_stack.browser import signed_in

_DESK = {"width": 1440, "height": 900}
_PHONE = {"width": 390, "height": 844}


@dataclass(frozen=True)
class _Shot:
    """A picture: its address below the user interface and a text that is there once it is drawn.

    `press`: a link to press first.
    """

    address: str
    text: str
    theme: str = "light"
    size: dict[str, int] = field(default_factory=lambda: _DESK)
    press: str = ""


_SHOTS = {
    "clients": _Shot("/plugin/clients", "Lakeside"),
    "clients_dark": _Shot("/plugin/clients", "Lakeside", theme="dark"),
    "clients_phone": _Shot("/plugin/clients", "Lakeside", size=_PHONE),
    "one_client": _Shot("/dags/ashford/plugin/integration", "Account 9"),
    "one_run": _Shot(
        "/plugin/clients?search=ashford", "Ashford", press="tr[data-client] td:nth-child(3) a"
    ),
    "guide": _Shot("/integrations/api/clients/lakeside/guide", "Sending your data"),
    "guide_spanish": _Shot(
        "/integrations/api/clients/san_rafael/guide#file-sections", "Cómo enviarnos sus datos"
    ),
    "integrations": _Shot("/dags", "Lakeside"),
    "one_integration": _Shot("/dags/lakeside", "Last "),
}


def take_pictures(url: str, user: str, password: str, folder: Path) -> list[Path]:
    """Write one PNG for each page into `folder`; gives the files. Raises StackError without a browser."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    with signed_in(url, user, password) as page:
        for name, shot in _SHOTS.items():
            page.set_viewport_size({"width": shot.size["width"], "height": shot.size["height"]})
            page.evaluate(f"localStorage.setItem('theme', '{shot.theme}')")
            page.goto(f"{url}{shot.address}")
            page.get_by_text(shot.text).first.wait_for()
            if shot.press:
                page.locator(shot.press).first.click()
                page.get_by_role("list", name="Stages").wait_for()
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(1500)  # charts grow for a second
            taken.append(folder / f"{name}.png")
            page.screenshot(path=taken[-1])
    return taken
