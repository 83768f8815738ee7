"""The tables that the demonstration prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from etl_lib.metrics.read import RunSummary
from etl_lib.metrics.status import GREEN, RunStatus

_COUNTS = (
    "read", "inserted", "updated", "unchanged", "deleted", "rejected", "duplicates", "filtered",
)  # fmt: skip


def described(runs: Sequence[tuple[str, str]], found: Mapping[str, RunSummary]) -> Table:
    """Where each run stands now."""
    table = Table("client", "status", "stage", "rows so far", "seconds", box=None)
    for client_id, _ in runs:
        if (run := found.get(client_id)) is None:
            table.add_row(client_id, "queued", "", "", "")
            continue
        rows = f"{run.rows:,}" + (f" of {run.rows_total:,}" if run.rows_total else "")
        table.add_row(client_id, _said(run), run.stage, rows, f"{run.duration_s:.0f}")
    return table


def results(title: str, runs: Sequence[RunSummary]) -> Table:
    """What became of the runs, one row for each client."""
    table = Table("client", "status", "files", *_COUNTS, "seconds", title=title.replace("_", " "))
    for column in table.columns[2:]:
        column.justify = "right"
    for run in runs:
        counts = [f"{getattr(run, name):,}" for name in _COUNTS]
        table.add_row(run.client_id, _said(run), str(run.files), *counts, f"{run.duration_s:.1f}")
    return table


def _said(run: RunSummary) -> str:
    words = run.status.replace("_", " ")
    if run.status in GREEN and run.status != RunStatus.NOTHING_NEW:
        return f"[green]{words}[/green]"
    plain = (RunStatus.RUNNING, RunStatus.WAITING, RunStatus.NOTHING_NEW, RunStatus.NOT_EXPECTED)
    return words if run.status in plain else f"[red]{words}[/red]"
