"""`etl provision`: makes, changes and ends a client's SFTP access; what would be done is shown first."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl_lib.cli.person import who
from etl_lib.config.mapping import CLIENT_ID
from etl_lib.config.project import Project
from etl_lib.database import DATABASE_VARIABLE
from etl_lib.errors import FixTheMapping, FixTheSetup

if TYPE_CHECKING:
    from etl_lib.onboarding.provision import Plan, PublicKey, Wish

_COLOURS = {"make": "green", "put right": "yellow", "remove": "red", "note": "cyan"}
_KEY = "File with the school's public key; `-` reads it from standard input."


def provision(
    client: Annotated[str, typer.Argument(help="The client; the name of its mapping file.")],
    key: Annotated[str, typer.Option("--key", help=_KEY)] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Remove every other key.")] = False,
    remove_key: Annotated[str, typer.Option("--remove-key", help="Remove the key of this fingerprint.")] = "",
    revoke: Annotated[bool, typer.Option("--revoke", help="End the access; the files stay.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is there and what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:  # fmt: skip
    """Make the client's secure folder, or put it right; exit code 1 when you say no."""
    from etl_lib.onboarding.provision import Wish, target_of

    must_be_client_id(client)
    project = Project.load()
    if not revoke:
        project.resolve(client)  # a client without a mapping gets no access
    if revoke and (key or replace or remove_key):
        text = "`--revoke` ends the whole access; no key can be changed with it."
        raise FixTheSetup.of("PROVISION_REFUSED", text)
    wish = Wish(
        client, add=_keys(key), replace=replace, remove=_fingerprint(remove_key), revoke=revoke
    )
    plan = target_of(project, client).plan(wish)
    if as_json:
        typer.echo(json.dumps(plan_as_dict(plan), indent=2))
    else:
        show_plan(Console(), client, plan)
    if not plan.changes or dry_run:
        if not as_json:
            typer.echo("Nothing was changed." if plan.changes else "There is nothing to change.")
        return
    if not yes and not agreed("Do this?"):
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(1)
    plan.apply()
    recorded = _record(client, wish, plan)
    if not as_json:
        typer.echo("Done." if recorded else f"Done. Not recorded: {DATABASE_VARIABLE} is not set.")
        if not revoke:
            typer.echo(_way_in(plan))


def must_be_client_id(client: str) -> None:
    """Raise FixTheMapping (MAPPING_NOT_FOUND) for what no client can be called."""
    if not re.fullmatch(CLIENT_ID, client):
        raise FixTheMapping.of("MAPPING_NOT_FOUND", "This is no client's name.")


def agreed(question: str) -> bool:
    """Whether the person at the terminal says yes; without a terminal nobody can."""
    if not sys.stdin.isatty():
        typer.echo("There is nobody to ask: give `--yes` to do it.", err=True)
        return False
    return typer.confirm(question)


def show_plan(console: Console, client: str, plan: Plan) -> None:
    """The plan as a person reads it."""
    console.print(f"[bold]{client}[/bold] on {plan.target}", highlight=False, soft_wrap=True)
    table = Table(box=None, show_header=False)  # one line each: a fingerprint is there to be copied
    for step in plan.steps:
        words = f": {step.words}" if step.words else ""
        table.add_row(Text(step.verb, style=_COLOURS.get(step.verb, "")), Text(step.what + words))
    console.print(table)


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """The plan as JSON says it."""
    return {
        "target": plan.target,
        "steps": [{"what": s.what, "verb": s.verb, "words": s.words} for s in plan.steps],
        "changes": len(plan.changes),
        "login": {
            "host": plan.address.host, "port": plan.address.port, "user": plan.address.user,
            "host_key": plan.address.host_key,
        },
    }  # fmt: skip


def _keys(given: str) -> tuple[PublicKey, ...]:
    from etl_lib.onboarding.provision import public_keys

    if not given:
        return ()
    if given == "-":
        return public_keys(sys.stdin.read(1 << 20), "standard input")
    path = Path(given)
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return public_keys(stream.read(1 << 20), path.name)
    except OSError:
        # whoever pastes a key in the place of a file's name must not find it in a log
        shown = f"`{path.name}`" if len(path.name) <= 40 and " " not in given else "of that name"
        text = f"There is no file {shown} that can be read."
        raise FixTheSetup.of("PROVISION_REFUSED", text, hint="`--key` takes a file.") from None


def _fingerprint(given: str) -> str:
    given = given.strip()
    return f"SHA256:{given}" if re.fullmatch(r"[A-Za-z0-9+/]{43}", given) else given


def _record(client: str, wish: Wish, plan: Plan) -> bool:
    """Whether the act could be recorded; the words hold fingerprints and no more."""
    from etl_lib.load.tables import migrate_if_needed
    from etl_lib.metrics.acts import Act, record_act

    url = os.environ.get(DATABASE_VARIABLE)
    if not url:
        return False
    migrate_if_needed(url, Project.load().entities)
    text = "; ".join(f"{step.verb}: {step.what}" for step in plan.changes)
    record_act(url, client, Act.REVOKE if wish.revoke else Act.PROVISION, who(), text)
    return True


def _way_in(plan: Plan) -> str:
    way = plan.address
    at = f"{way.host}, port {way.port}" if way.host else "the server's address"
    key = f", host key {way.host_key}" if way.host_key else ""
    return f"The school logs in as {way.user} at {at}{key}."
