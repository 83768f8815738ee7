"""Two steps: show what an order would do, under a token; then do what was shown under it, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from etl_lib.errors import NotNow
from etl_lib.load.tables import migrate_if_needed
from etl_lib.many.acts import ActOnMany, Decide, Desk, Freeze, Undo, Unfreeze
from etl_lib.many.order import ActName, Order, must_choose, said
from etl_lib.many.proposal import Item, ManyAct, Proposal
from etl_lib.many.rerun import Rerun
from etl_lib.metrics import shown

Fate = Literal["done", "failed", "left_out"]
_ACTS: dict[ActName, type[ActOnMany]] = {
    "rerun": Rerun,
    "approve": Decide,
    "refuse": Decide,
    "undo": Undo,
    "freeze": Freeze,
    "unfreeze": Unfreeze,
}


@dataclass(frozen=True)
class Ended:
    """What has become of one item, and the words for it."""

    item: Item
    fate: Fate
    said: str


def show(desk: Desk, order: Order) -> tuple[Proposal, str]:
    """What the order would do now, and the token under which exactly that can be done; nothing is changed.

    The token is empty when there is nothing to do. Raises FixTheSetup (SELECTION_INVALID) when the
    order names what is not there, and what looking at Airflow or the database raises.
    """
    must_choose(order, desk.project)
    migrate_if_needed(desk.url, desk.project.entities)
    proposal = _ACTS[order.act](order, desk).look(trial=True)
    if not proposal.items:
        return proposal, ""
    items = [(item.client_id, item.model_dump(mode="json")) for item in proposal.items]
    return proposal, shown.keep(desk.url, order.act, order.model_dump(mode="json"), items, desk.by)


def apply(desk: Desk, token: str) -> Iterator[Ended]:
    """Do what was shown under the token, item by item, and say what became of each.

    Each is looked at again first: what does not stand any more as it was shown is left out, and what
    came since is not touched. A failed item does not stop the others. When it is broken off, the same
    token does the rest. Raises NotNow (NOT_AS_SHOWN) when nothing can be done under the token.
    """
    migrate_if_needed(desk.url, desk.project.entities)
    with shown.taken(desk.url, token) as kept:
        order = Order.model_validate(kept.ordered)
        for place, given in kept.items.items():
            item = Item.model_validate(given)
            of_client = order.model_copy(update={"clients": (item.client_id,)})
            act = _ACTS[order.act](of_client, desk)
            ended = _changed(item, act.look(trial=False)) or _done(act, item)
            shown.settle(desk.url, token, place, ended.fate, ended.said)
            yield ended
        shown.finish(desk.url, token, desk.by)


def _changed(item: Item, now: Proposal) -> Ended | None:
    """The word that the item is not any more what was shown; None while it is."""
    if any((one.key, one.mark) == (item.key, item.mark) for one in now.items):
        return None
    of_item = [out for out in now.left_out if out.key == item.key]
    of_client = [out for out in now.left_out if out.client_id == item.client_id]
    other = [
        f"now it would be run {one.run}"
        for one in now.items
        if one.client_id == item.client_id and one.run and one.key != item.key
    ]
    reasons = [
        *(out.reason for out in (*of_item, *of_client)),
        *other,
        "it does not stand any more",
    ]
    return Ended(item, "left_out", f"changed since it was shown: {reasons[0]}")


def _done(act: ManyAct, item: Item) -> Ended:
    try:
        return Ended(item, "done", act.do(item))
    except NotNow as error:
        return Ended(item, "left_out", f"changed since it was shown: {error.faults[0].text}")
    except Exception as error:  # noqa: BLE001 (whatever it is, the others must not wait for it)
        return Ended(item, "failed", said(error))
