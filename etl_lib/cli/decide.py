"""`etl approve` and `etl refuse`: a person's word about a delivery that waits."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from etl_lib.cli.person import who
from etl_lib.database import database_url
from etl_lib.errors import NotNow
from etl_lib.metrics.holds import HeldDelivery, HoldStatus, decide, open_holds

Wanted = Annotated[str, typer.Argument(help="A client, or number or id of the run that waits.")]
Whose = Annotated[
    str | None,
    typer.Option("--client", help="Whose run, when several clients have one of this id."),
]
Comment = Annotated[str, typer.Option(help="Why; recorded with your name.")]
Show = Annotated[bool, typer.Option("--dry-run", help="Show what waits; decide nothing.")]


def approve(
    wanted: Wanted, client: Whose = None, comment: Comment = "", dry_run: Show = False
) -> None:
    """Approve what waits. Airflow's task goes on within seconds; after `etl run`, run it again."""
    _decide(wanted, client, HoldStatus.APPROVED, comment, dry_run)


def refuse(
    wanted: Wanted, client: Whose = None, comment: Comment = "", dry_run: Show = False
) -> None:
    """Refuse what waits: nothing is changed, and the run ends as refused."""
    _decide(wanted, client, HoldStatus.REFUSED, comment, dry_run)


def _decide(
    wanted: str, client: str | None, status: HoldStatus, comment: str, dry_run: bool
) -> None:
    url, by = database_url(), who()
    holds = open_holds(url, wanted, client)
    if not holds:
        raise NotNow.of("CANNOT_DECIDE", f"Nothing of `{wanted}` waits for approval.")
    for hold in holds:
        _show(hold)
        if dry_run:
            continue
        if not decide(url, hold.client_id, hold.hold_seq, status, by, comment):
            text = f"The hold of {hold.client_id} is not open any more."
            raise NotNow.of("CANNOT_DECIDE", text)
        typer.echo(f"{hold.client_id}, run {hold.run_id}: {status} by {by}.")


def _show(hold: HeldDelivery) -> None:
    console = Console()
    console.print(
        f"[bold]{hold.client_id}[/bold], run {hold.run_id}: {hold.words}", highlight=False
    )
    table = Table("feed", "entity", "new", "changed", "deleted", "unchanged", "rejected")
    for column in table.columns[2:]:
        column.justify = "right"
    for count in hold.counts:
        deleted = count.deleted_by_row + count.deleted_by_absence
        numbers = (count.inserted, count.updated, deleted, count.unchanged, count.rejected)
        table.add_row(count.feed, count.entity, *(f"{number:,}" for number in numbers))
    console.print(table)
    console.print(f"It lapses at {hold.lapses_at:%Y-%m-%d %H:%M %Z}.", highlight=False)
