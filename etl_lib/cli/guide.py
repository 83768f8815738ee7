"""`etl guide`: what a school is told, made from its mapping; and whether the kept guides still agree."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from etl_lib.config.environment import ENVIRONMENT_VARIABLE
from etl_lib.config.project import Project
from etl_lib.errors import Fault, FixTheMapping

_CHECK = "With --all: exit code 2 when a kept guide is not what its mapping says; write nothing."


class Format(StrEnum):
    """How a guide is written."""

    HTML = "html"
    MD = "md"


def guide(
    client: Annotated[str, typer.Argument(help="The client; the name of its mapping file.")] = "",
    form: Annotated[Format, typer.Option("--format", help="One HTML file, or Markdown.")] = Format.HTML,
    out: Annotated[Path | None, typer.Option(help="The file; printed when not given.")] = None,
    language: Annotated[str, typer.Option(help="Instead of the client's own: en, es.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Write every kept guide: include/guides.")] = False,
    check: Annotated[bool, typer.Option("--check", help=_CHECK)] = False,
) -> None:  # fmt: skip
    """Write the onboarding guide for a school: files, columns, examples, access, report.

    It is for production, the place to which schools send, unless ETL_ENVIRONMENT says otherwise; kept
    guides always are.
    """
    from etl_lib.onboarding.guide.committed import OF_SCHOOLS, guide_of, stale, write_all
    from etl_lib.onboarding.guide.render import html, markdown

    if every == bool(client) or (check and not every):
        raise typer.BadParameter("Name one client, or --all, with --check if you like.")
    if every:
        project = Project.load(environment=OF_SCHOOLS)
        if not check:
            for path in write_all(project):
                typer.echo(f"{project.shown(path)} changed.")
            return
        _check(list(stale(project)), len(project.client_ids()))
        return
    project = Project.load(environment=os.environ.get(ENVIRONMENT_VARIABLE) or OF_SCHOOLS)
    made = guide_of(project, client, language or None, os.environ)
    text = html(made) if form is Format.HTML else markdown(made)
    if out is None:
        typer.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    typer.echo(f"{out} written.")


def _check(found: list[tuple[Fault, list[str]]], checked: int) -> None:
    from etl_lib.config.words import faults_of_languages

    if faults := faults_of_languages(Project.load()):
        raise FixTheMapping(faults)
    for fault, lines in found:
        typer.echo(str(fault))
        for line in lines:
            typer.echo(f"  {line[:200]}")
    if found:
        typer.echo("Look at what changed, then `etl guide --all`; tell the schools.", err=True)
        raise typer.Exit(2)
    typer.echo(f"{checked} guides agree with their mappings.")
