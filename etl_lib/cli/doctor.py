"""`etl doctor`: is everything there that a client, or all of them, need, and what to do where it is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl_lib.cli.provision import must_be_client_id
from etl_lib.cli.quiet import quiet
from etl_lib.config.project import Project

if TYPE_CHECKING:
    from etl_lib.onboarding.doctor import Finding

_COLOURS = {"ok": "green", "wrong": "red", "left out": "dim"}


def doctor(
    client: Annotated[str | None, typer.Argument(help="The client; without it what all of them share.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:  # fmt: skip
    """Look whether all that is needed works; exit code 1 when something does not, with what to do."""
    from etl_lib.onboarding.doctor import examine

    if client is not None:
        must_be_client_id(client)
    console, found = Console(stderr=True), []
    with quiet(), console.status("looking …") as status:
        for finding in examine(Project.load(), client):
            found.append(finding)
            status.update(f"looking … {finding.name}")
    wrong = [one for one in found if one.outcome == "wrong"]
    if as_json:
        listed = {
            "client_id": client,
            "wrong": len(wrong),
            "findings": [_as_dict(f) for f in found],
        }
        typer.echo(json.dumps(listed, indent=2))
    else:
        _show(Console(), found, wrong)
    raise typer.Exit(1 if wrong else 0)


def _as_dict(finding: Finding) -> dict[str, Any]:
    fault = finding.fault
    return {
        "check": finding.name,
        "outcome": finding.outcome,
        "said": " ".join(filter(None, (finding.said, fault.hint if fault else ""))),
        "code": fault.code if fault else None,
        "where": fault.where if fault else "",
        "remedy": fault.message.remedy if fault else "",
        "who": fault.message.owner if fault else None,
    }


def _show(console: Console, found: list[Finding], wrong: list[Finding]) -> None:
    table = Table("check", "", "what was found")
    for finding in found:
        outcome = Text(finding.outcome, style=_COLOURS[finding.outcome])
        table.add_row(Text(finding.name), outcome, Text(finding.said))
    console.print(table)
    for finding in wrong:
        one = _as_dict(finding)
        where = f"{one['where']}: " if one["where"] else ""
        # whole lines, so that a path or a command can be copied
        console.print(Text(f"{finding.name} [{one['code']}]", style="red"))
        console.print(Text(f"  {where}{one['said']}"), soft_wrap=True)
        console.print(Text(f"  Next step ({one['who']}): {one['remedy']}"), soft_wrap=True)
    number = f"{len(wrong)} of {len(found)} are wrong." if wrong else "Nothing is wrong."
    console.print(f"[bold]{number}[/bold]", highlight=False)
