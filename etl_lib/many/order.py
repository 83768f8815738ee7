"""What a person orders for many clients, and which clients his words choose."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from etl_lib.config.entity import Model
from etl_lib.config.project import Project
from etl_lib.errors import EtlError, FixTheMapping, FixTheSetup
from etl_lib.many.proposal import LeftOut
from etl_lib.messages import CATALOGUE

ActName = Literal["rerun", "approve", "refuse", "undo", "freeze", "unfreeze"]


class Order(Model):
    """One act for all that every given word chooses: `clients` AND `templates` AND `code` AND `since`.

    `everybody`: every client of the environment, said on purpose. `comment`: recorded with the act.
    `new_runs`: of a rerun, never clear but start new runs.
    """

    act: ActName
    clients: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    code: str = ""
    since: datetime | None = None
    everybody: bool = False
    comment: str = ""
    new_runs: bool = False

    @property
    def names_clients(self) -> bool:
        """Whether those chosen were named, so that each one that is left out is worth a word."""
        return bool(self.clients or self.templates)

    @property
    def words(self) -> str:
        """What is chosen, for people."""
        parts = [
            f"client {_listed(self.clients)}" if self.clients else "",
            f"template {_listed(self.templates)}" if self.templates else "",
            "every client" if self.everybody and not self.names_clients else "",
            f"code {self.code}" if self.code else "",
            f"since {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.since else "",
        ]
        return ", ".join(part for part in parts if part)


def must_choose(order: Order, project: Project) -> None:
    """Raise FixTheSetup (SELECTION_INVALID) with everything that the order names and that is not there."""
    if not (order.names_clients or order.code or order.everybody):
        text = "Nothing says which clients are meant."
        hint = "Name them with --template, --client or --code; --all means every client."
        raise FixTheSetup.of("SELECTION_INVALID", text, hint=hint)
    templates = [path.stem for path in (project.include / "templates").glob("*.yaml")]
    wrong = [
        *_unknown("client", order.clients, project.client_ids()),
        *_unknown("template", order.templates, templates),
        *_unknown("code", [order.code] if order.code else [], list(CATALOGUE)),
    ]
    if wrong:
        raise FixTheSetup.of("SELECTION_INVALID", " ".join(wrong))


def _unknown(kind: str, wanted: Iterable[str], known: Iterable[str]) -> Iterable[str]:
    there = sorted(known)
    for name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, there, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            yield f"There is no {kind} `{name}`.{hint}"


def chosen_clients(order: Order, project: Project) -> tuple[tuple[str, ...], list[LeftOut]]:
    """The clients that names and templates choose; and those whose mapping does not say its template.

    A client is of a template also when another template of its own extends that one.
    """
    wanted = [c for c in project.client_ids() if not order.clients or c in order.clients]
    if not order.templates:
        return tuple(wanted), []
    found, left_out = [], []
    for client_id in wanted:
        try:
            names = {layer.path.stem for layer in project.layers(client_id)[1:-2]}
        except FixTheMapping as error:
            left_out.append(LeftOut(client_id, f"its template cannot be read: {said(error)}"))
            continue
        if names & set(order.templates):
            found.append(client_id)
    return tuple(found), left_out


def said(error: Exception) -> str:
    """An error within a line of a list: the first fault and its code; without the text of one unforeseen."""
    if not isinstance(error, EtlError):
        return f"{type(error).__name__} [INTERNAL]"
    return f"{error.faults[0]} [{error.faults[0].code}]"


def _listed(names: Iterable[str]) -> str:
    return " or ".join(names)
