"""`etl many`: one act for many clients, shown first and then done exactly as it was shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl_lib.cli.person import who
from etl_lib.cli.run import local_run
from etl_lib.config.project import Project
from etl_lib.database import database_url
from etl_lib.errors import FixTheSetup
from etl_lib.many import ActName, Desk, Ended, Item, LeftOut, Order, Proposal, apply, show
from etl_lib.metrics.status import in_words

many = typer.Typer(
    help="One act for many clients: shown first, then done exactly as shown, with `etl many apply`.",
    no_args_is_help=True,
)
_FAILED_SINCE = "24h"
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_NAMED_AT_MOST = 12  # clients that are left out for one reason

_TEMPLATE = "Clients of this template, also through another one; may be repeated."
Templates = Annotated[list[str] | None, typer.Option("--template", help=_TEMPLATE)]
Clients = Annotated[
    list[str] | None, typer.Option("--client", help="This client; may be repeated.")
]
Code = Annotated[
    str | None, typer.Option("--code", help="Only where a message of this code was said.")
]
Everybody = Annotated[bool, typer.Option("--all", help="Every client of the environment.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
_WOULD_BE = "Show which waiting deliveries would be"
_NEW_RUNS = "Never clear: start new runs, which read mapping and files anew."
_SINCE = "30m, 2h, 3d, 23:15 (the last time it was), or a date with a time."
Since = Annotated[str | None, typer.Option("--since", help=_SINCE)]
Comment = Annotated[str, typer.Option(help="Why; recorded with your name.")]


@many.command()
def rerun(
    code: Code = None,
    since: Annotated[str, typer.Option("--since", help=f"Ended since: {_SINCE}")] = _FAILED_SINCE,
    template: Templates = None,
    client: Clients = None,
    everybody: Everybody = False,
    new_runs: Annotated[bool, typer.Option("--new-runs", help=_NEW_RUNS)] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show which failed runs would run again in Airflow, and how; changes nothing."""
    order = _order("rerun", template, client, code, since, everybody, "")
    _show(order.model_copy(update={"new_runs": new_runs}), as_json)


def _decision(act: ActName) -> Callable[..., None]:
    """The command that shows for which waiting deliveries something would be decided."""

    def show_decisions(
        template: Templates = None, client: Clients = None, code: Code = None, since: Since = None,
        everybody: Everybody = False, comment: Comment = "", as_json: AsJson = False,
    ) -> None:  # fmt: skip
        _show(_order(act, template, client, code, since, everybody, comment), as_json)

    return show_decisions


many.command("approve", help=f"{_WOULD_BE} approved; changes nothing.")(_decision("approve"))
many.command("refuse", help=f"{_WOULD_BE} refused; changes nothing.")(_decision("refuse"))


@many.command()
def undo(
    since: Annotated[str, typer.Option("--since", help=_SINCE)],
    template: Templates = None, client: Clients = None, code: Code = None,
    everybody: Everybody = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show what undoing each client's last load since then would put back; changes nothing."""
    _show(_order("undo", template, client, code, since, everybody, ""), as_json)


@many.command()
def freeze(
    reason: Annotated[str, typer.Option(help="Why; shown with your name wherever the client is.")],
    template: Templates = None, client: Clients = None, code: Code = None, since: Since = None,
    everybody: Everybody = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show for which clients nothing more would be loaded until they are unfrozen; changes nothing."""
    if not reason.strip():
        raise FixTheSetup.of("SELECTION_INVALID", "A freeze needs its reason: --reason.")
    _show(_order("freeze", template, client, code, since, everybody, reason), as_json)


@many.command()
def unfreeze(
    template: Templates = None, client: Clients = None,
    since: Annotated[str | None, typer.Option("--since", help=f"Frozen since: {_SINCE}")] = None,
    everybody: Everybody = False, comment: Comment = "", as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show which freezes would end; changes nothing."""
    _show(_order("unfreeze", template, client, None, since, everybody, comment), as_json)


@many.command("apply")
def do_it(
    token: Annotated[str, typer.Argument(help="As the act that was shown has named it.")],
    as_json: AsJson = False,
) -> None:
    """Do what was shown under a token, and nothing else; exit code 1 when not all of it was done."""
    console, ended = Console(), []
    for one in apply(_desk(console), token):
        ended.append(one)
        if not as_json:
            _print_ended(console, one)
    fates = {fate: [e for e in ended if e.fate == fate] for fate in ("done", "failed", "left_out")}
    if as_json:
        lists = {fate: [_ended_as_dict(one) for one in ones] for fate, ones in fates.items()}
        typer.echo(json.dumps({"token": token, **lists}, indent=2))
    else:
        numbers = ", ".join(f"{len(ones):,} {f.replace('_', ' ')}" for f, ones in fates.items())
        console.print(f"[bold]{numbers}.[/bold]", highlight=False)
    raise typer.Exit(0 if len(fates["done"]) == len(ended) else 1)


def moment(text: str, now: datetime | None = None) -> datetime:
    """The instant that a person means: `90m` ago, the last `23:15`, or a date; without a zone, of this machine.

    Raises FixTheSetup (SELECTION_INVALID) for anything else, and for an instant that is still to come.
    """
    now = (now or datetime.now(UTC)).astimezone()
    text = text.strip()
    if not text:  # a variable of a shell that is not set, say
        hint = f"For --since: {_SINCE}"
        raise FixTheSetup.of("SELECTION_INVALID", "A moment is missing after --since.", hint=hint)
    try:
        if ago := re.fullmatch(r"(\d{1,6}) ?([mhd])", text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        if clock := re.fullmatch(r"(\d{1,2}):(\d\d)", text):
            today = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            return today if today <= now else today - timedelta(days=1)
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC)  # OverflowError: before the first year
    except (ValueError, OverflowError):
        wrong = f"`{text}` is no moment."
        raise FixTheSetup.of("SELECTION_INVALID", wrong, hint=f"For --since: {_SINCE}") from None
    if found > now:
        raise FixTheSetup.of("SELECTION_INVALID", f"`{text}` is still to come.")
    return found


def _order(
    act: ActName, template: list[str] | None, client: list[str] | None, code: str | None,
    since: str | None, everybody: bool, comment: str,
) -> Order:  # fmt: skip
    if code is not None and not code.strip():  # a variable of a shell that is not set, say
        raise FixTheSetup.of("SELECTION_INVALID", "A message's code is missing after --code.")
    return Order(
        act=act, templates=_given(template), clients=_given(client), code=(code or "").strip(),
        since=None if since is None else moment(since), everybody=everybody, comment=comment.strip(),
    )  # fmt: skip


def _given(names: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names or ()))


def _desk(console: Console) -> Desk:
    def seen(client_id: str) -> None:
        if console.is_terminal:
            console.print(f"trying {client_id} …", style="dim", highlight=False)

    return Desk(
        url=database_url(), project=Project.load(), by=who(), seen=seen,
        run_of=local_run,
    )  # fmt: skip


def _show(order: Order, as_json: bool) -> None:
    console = Console()
    proposal, token = show(_desk(Console(stderr=True)), order)
    if as_json:
        typer.echo(json.dumps(_shown_as_dict(order, proposal, token), indent=2))
        return
    console.print(f"[bold]{order.act}[/bold]: {order.words}", highlight=False)
    if proposal.items:
        console.print(_table(proposal.items))
    for line in left_out_lines(proposal.left_out):
        console.print(line, style="yellow", highlight=False, markup=False)
    if not token:
        console.print("There is nothing to do.")
        return
    number = f"{len(proposal.items):,} in all"
    console.print(f"Nothing was changed. To do exactly this, {number}, within the hour:")
    typer.echo(f"    etl many apply {token}")


def _table(items: Sequence[Item]) -> Table:
    table = Table("client", "run", "status", "why", "what would happen")
    table.columns[1].justify = "right"
    for item in items:
        status = in_words(item.status)
        run = str(item.run) if item.run else item.run_id
        # as text: a reason in [brackets] is no markup
        cells = (item.client_id, run, status, item.why, item.what)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def left_out_lines(left_out: Iterable[LeftOut]) -> list[str]:
    """A line for each reason, with how many and which clients it is about."""
    by_reason: dict[str, list[str]] = {}
    for one in left_out:
        by_reason.setdefault(one.reason, []).append(one.client_id)
    return [
        f"Left out, {reason}: {_named(list(dict.fromkeys(clients)))}."
        for reason, clients in by_reason.items()
    ]


def _named(clients: list[str]) -> str:
    more = len(clients) - _NAMED_AT_MOST
    return ", ".join(clients[:_NAMED_AT_MOST]) + (f" and {more:,} more" if more > 0 else "")


def _print_ended(console: Console, one: Ended) -> None:
    run = f" run {one.item.run}" if one.item.run else ""
    colour = {"done": "green", "failed": "red", "left_out": "yellow"}[one.fate]
    fate = one.fate.replace("_", " ")
    console.print(
        f"{fate}: {one.item.client_id}{run}: {one.said}", style=colour, highlight=False, markup=False
    )  # fmt: skip


def _shown_as_dict(order: Order, proposal: Proposal, token: str) -> dict[str, Any]:
    return {
        "act": order.act,
        "chosen": order.words,
        "token": token or None,
        "items": [item.model_dump(mode="json", exclude={"mark"}) for item in proposal.items],
        "left_out": [
            {"client_id": out.client_id, "reason": out.reason} for out in proposal.left_out
        ],
    }


def _ended_as_dict(one: Ended) -> dict[str, Any]:
    item = one.item
    return {"client_id": item.client_id, "run": item.run, "run_id": item.run_id, "said": one.said}
