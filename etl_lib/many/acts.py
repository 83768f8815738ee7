"""Approve, refuse, undo, freeze, unfreeze: each for everything that the order chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from etl_lib.config.project import Project
from etl_lib.errors import NotNow
from etl_lib.many.order import Order, chosen_clients, said
from etl_lib.many.proposal import Item, LeftOut, ManyAct, Proposal
from etl_lib.metrics import freezes
from etl_lib.metrics.acts import Act, record_act
from etl_lib.metrics.chosen import (
    StandingLoad,
    left_out_frozen,
    newest_runs,
    standing_loads,
)
from etl_lib.metrics.holds import HeldDelivery, HoldStatus, decide, open_holds_of
from etl_lib.pipeline import undo_all
from etl_lib.report import Outcome
from etl_lib.run import Run, Wishes


@dataclass(frozen=True)
class Desk:
    """Where acts are done: in which database and project, by whom, and how a run here begins.

    `seen` is called with each client before something that may take a while.
    """

    url: str
    project: Project
    by: str
    run_of: Callable[[str, Wishes], Run]
    seen: Callable[[str], None]


@dataclass(frozen=True)
class ActOnMany(ManyAct):
    """An act with its order and its desk."""

    order: Order
    desk: Desk

    def chosen(self) -> tuple[tuple[str, ...], list[LeftOut]]:
        """The clients that the order names, and those of which that cannot be said."""
        return chosen_clients(self.order, self.desk.project)

    def idle(self, clients: Iterable[str], found: Iterable[str], reason: str) -> list[LeftOut]:
        """A word about each client that was named and has nothing to act on."""
        if not self.order.names_clients:
            return []
        there = set(found)
        return [LeftOut(client_id, reason) for client_id in clients if client_id not in there]


class Decide(ActOnMany):
    """Approve or refuse every delivery that waits."""

    def look(self, *, trial: bool) -> Proposal:
        """The open holds; an approved one would not be loaded while its client is frozen."""
        order, url = self.order, self.desk.url
        clients, left_out = self.chosen()
        frozen = freezes.freezes(url) if order.act == "approve" else {}
        items, now = [], datetime.now(UTC)
        holds = [hold for hold in open_holds_of(url, clients) if self._is_meant(hold)]
        for hold in holds:
            key = _key(hold.client_id, "hold", hold.hold_seq)
            if hold.lapses_at <= now:
                left_out.append(LeftOut(hold.client_id, "its time is over: it lapses", key))
            elif freeze := frozen.get(hold.client_id):
                left_out.append(LeftOut(hold.client_id, freeze.words, key))
            else:
                items.append(self._item(hold, key))
        left_out += self.idle(clients, (hold.client_id for hold in holds), "nothing waits")
        return Proposal(tuple(items), tuple(left_out))

    def do(self, item: Item) -> str:
        """Decide the hold that was shown, which is about one plan."""
        approve = self.order.act == "approve"
        status = HoldStatus.APPROVED if approve else HoldStatus.REFUSED
        hold_seq = int(item.key.rsplit(" ", 1)[1])
        desk = self.desk
        if not decide(desk.url, item.client_id, hold_seq, status, desk.by, self.order.comment):
            raise NotNow.of("CANNOT_DECIDE", "It is not open any more.")
        again = ", run it again with `etl run`" if item.run_id.startswith("cli__") else ""
        return f"approved{again}" if approve else "refused"

    def _is_meant(self, hold: HeldDelivery) -> bool:
        order = self.order
        codes = {reason.get("code") for reason in hold.reasons}
        in_time = order.since is None or hold.opened_at >= order.since
        return in_time and (not order.code or order.code in codes)

    def _item(self, hold: HeldDelivery, key: str) -> Item:
        new = sum(count.inserted for count in hold.counts)
        changed = sum(count.updated for count in hold.counts)
        gone = sum(count.deleted_by_row + count.deleted_by_absence for count in hold.counts)
        would = f"load: {new:,} new, {changed:,} changed, {gone:,} deleted"
        return Item(
            client_id=hold.client_id, key=key, mark=hold.plan_digest, run=hold.run_seq, run_id=hold.run_id,
            status="awaiting_approval", why=_reasons(hold),
            what=would if self.order.act == "approve" else "refuse: nothing is changed",
        )  # fmt: skip


class Undo(ActOnMany):
    """Undo each client's last load since a moment."""

    def look(self, *, trial: bool) -> Proposal:
        """The last loads; on trial each is undone and rolled back, so that a refusal is seen."""
        order, url = self.order, self.desk.url
        assert order.since is not None
        clients, left_out = self.chosen()
        loads = standing_loads(url, clients, order.since, order.code)
        items = []
        for client_id, of_client in loads.items():
            last = of_client[0]
            key = _key(client_id, "run", last.run_seq)
            if not last.has_code:
                if earlier := next((load for load in of_client if load.has_code), None):
                    text = f"run {earlier.run_seq} said it, but run {last.run_seq} has loaded since"
                    left_out.append(LeftOut(client_id, text, key))
                continue
            try:
                what = self._tried(last) if trial else ""
            except Exception as refused:  # noqa: BLE001 (one client's trouble hides no other)
                left_out.append(LeftOut(client_id, said(refused), key))
                continue
            also = len(of_client) - 1
            before = f" ({also} more before it since then)" if also else ""
            items.append(
                Item(
                    client_id=client_id, key=key, mark="", run=last.run_seq, run_id=last.run_id,
                    status=last.status, why=f"{last.sentence}{before}", what=what,
                )
            )  # fmt: skip
        left_out += self.idle(clients, loads, "nothing loaded since then")
        return Proposal(tuple(items), tuple(left_out))

    def do(self, item: Item) -> str:
        """Undo the run that was shown: one transaction, one run of its own."""
        outcome = self._undo(item.client_id, str(item.run), dry_run=False)
        shown = f"run {item.run} ({item.run_id})"
        record_act(self.desk.url, item.client_id, Act.UNDO, self.desk.by, shown, run_id=item.run_id)
        return outcome.sentence

    def _tried(self, load: StandingLoad) -> str:
        self.desk.seen(load.client_id)
        outcome = self._undo(load.client_id, str(load.run_seq), dry_run=True)
        gone = sum(count.deleted_by_row for count in outcome.counts)
        back = sum(count.inserted + count.updated + count.unchanged for count in outcome.counts)
        return f"undo: {gone:,} rows taken away, {back:,} put back"

    def _undo(self, client_id: str, run: str, *, dry_run: bool) -> Outcome:
        wishes = Wishes(dry_run=dry_run, undo=run, by=self.desk.by)
        this_run = replace(self.desk.run_of(client_id, wishes), kind="undo")
        return undo_all(this_run, self.desk.project)[0]


class Freeze(ActOnMany):
    """Let nothing be loaded for the clients until somebody ends it."""

    def look(self, *, trial: bool) -> Proposal:
        """The clients that are not frozen; of those with a code or a moment, which ran so."""
        order, url = self.order, self.desk.url
        clients, left_out = self.chosen()
        newest = newest_runs(url, clients)
        frozen = freezes.freezes(url)
        meant: Iterable[str] = clients
        if order.code or order.since:
            meant = newest_runs(url, clients, order.since, order.code)
        items = []
        for client_id in meant:
            if freeze := frozen.get(client_id):
                left_out.append(LeftOut(client_id, freeze.words, client_id))
                continue
            run = newest.get(client_id)
            at_work = run is not None and run.ended_at is None
            items.append(
                Item(
                    client_id=client_id, key=client_id, mark="", run=run and run.run_seq,
                    run_id=run.run_id if run else "", status=run.status if run else "",
                    why=order.comment,
                    what="freeze" + (": the run at work will not be loaded" if at_work else ""),
                )
            )  # fmt: skip
        left_out += self.idle(clients, meant, "no such run")
        return Proposal(tuple(items), tuple(left_out))

    def do(self, item: Item) -> str:
        """Freeze the client, unless it is frozen."""
        desk = self.desk
        if not freezes.freeze(desk.url, item.client_id, desk.by, self.order.comment):
            raise NotNow.of("NOT_AS_SHOWN", "It was frozen meanwhile.")
        return "frozen"


class Unfreeze(ActOnMany):
    """End freezes."""

    def look(self, *, trial: bool) -> Proposal:
        """The freezes that hold, of those since a moment."""
        order, url = self.order, self.desk.url
        clients, left_out = self.chosen()
        frozen, missed = freezes.freezes(url), left_out_frozen(url)
        meant = [
            frozen[client_id]
            for client_id in clients
            if client_id in frozen
            and (order.since is None or frozen[client_id].frozen_at >= order.since)
        ]
        items = tuple(
            Item(
                client_id=freeze.client_id, key=freeze.client_id, mark=freeze.mark,
                why=freeze.words, what=_unfrozen(missed.get(freeze.client_id, 0)),
            )
            for freeze in meant
        )  # fmt: skip
        left_out += self.idle(clients, (f.client_id for f in meant), "not frozen")
        return Proposal(items, tuple(left_out))

    def do(self, item: Item) -> str:
        """End the freeze that was shown."""
        desk = self.desk
        if not freezes.unfreeze(desk.url, item.client_id, item.mark, desk.by, self.order.comment):
            raise NotNow.of("NOT_AS_SHOWN", "That freeze does not hold any more.")
        return item.what


def _unfrozen(missed: int) -> str:
    if not missed:
        return "unfreeze"
    runs = "1 run was" if missed == 1 else f"{missed:,} runs were"
    return f"unfreeze; {runs} left out meanwhile: `etl many rerun --code FROZEN`"


def _reasons(hold: HeldDelivery) -> str:
    """The first reason, and how many there are beside it."""
    first, *more = dict.fromkeys(str(reason["text"]) for reason in hold.reasons)
    return f"{first} ({len(more)} more)" if more else first


def _key(client_id: str, kind: str, number: int) -> str:
    return f"{client_id} {kind} {number}"
