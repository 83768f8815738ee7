"""How a command tells what became of its run: on the terminal, as JSON, and by its exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from etl_lib.metrics.status import GREEN, RunStatus
from etl_lib.report import Outcome
from etl_lib.run import Run

if TYPE_CHECKING:
    from etl_lib.metrics.holds import Plan

COUNT_COLUMNS = (
    "read", "inserted", "updated", "unchanged", "deleted_by_row", "rejected", "duplicates",
    "filtered", "deleted_by_absence", "restored", "unresolved",
)  # fmt: skip
_ALWAYS = ("read", "inserted", "updated", "unchanged", "rejected")


def tell(
    run: Run, outcome: Outcome, plan: Plan | None, as_json: bool,
    messages: Sequence[dict[str, Any]] | None = None,
) -> None:  # fmt: skip
    """Print the outcome; of a dry run also the samples of its plan, and the run's `messages` before it.

    `messages`: each with code, text and place; None where the command never tells them.
    """
    samples = plan.samples if plan and run.wishes.dry_run else []
    if as_json:
        more = {} if messages is None else {"messages": [_told(one) for one in messages]}
        typer.echo(json.dumps({**_as_dict(run, outcome, samples), **more}, indent=2))
        return
    console = Console()
    for one in messages or ():
        console.print(str(one["text"]), highlight=False, markup=False)
    _show(console, outcome, samples)


def _told(message: dict[str, Any]) -> dict[str, Any]:
    return {name: message[name] for name in ("code", "text", "place")}


_SAYS_NO = (RunStatus.AWAITING_APPROVAL, RunStatus.REFUSED, RunStatus.SUPERSEDED)


def exit_code(status: RunStatus) -> int:
    """0 for a green run, 1 for one that waits for a person, 2 for bad input or set-up."""
    if status in GREEN:
        return 0
    return 1 if status in _SAYS_NO else 2


def _as_dict(run: Run, outcome: Outcome, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The outcome as JSON says it; counts as integers."""
    return {
        "client_id": run.client_id,
        "run_id": run.run_id,
        "dry_run": run.wishes.dry_run,
        "status": outcome.status,
        "sentence": outcome.sentence,
        "counts": [count.model_dump() for count in outcome.counts],
        "outbox_files": list(outcome.outbox_files),
        "samples": samples,
    }


def _show(console: Console, outcome: Outcome, samples: list[dict[str, Any]]) -> None:
    """The outcome as a person reads it: counts, changed rows of a dry run, status and sentence."""
    if outcome.counts:
        # a column of zeros says nothing, and a terminal has room for few
        shown = [
            name
            for name in COUNT_COLUMNS
            if name in _ALWAYS or any(getattr(count, name) for count in outcome.counts)
        ]
        table = Table("feed", "entity", *(name.replace("_", " ") for name in shown))
        for column in table.columns[2:]:
            column.justify = "right"
        for count in outcome.counts:
            numbers = [f"{getattr(count, name):,}" for name in shown]
            table.add_row(count.feed, count.entity, *numbers)
        console.print(table)
    if samples:
        table = Table("entity", "would", "key (masked)", "columns")
        for sample in samples:
            columns = ", ".join(sample["columns"])
            table.add_row(sample["entity"], sample["action"], sample["key"], columns)
        console.print(table)
    console.print(f"[bold]{outcome.status}[/bold]: {outcome.sentence}", highlight=False)
    for name in outcome.outbox_files:
        console.print(f"written for the school: {name}", highlight=False)
