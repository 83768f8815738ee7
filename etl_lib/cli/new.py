"""`etl new`: from a folder of sample files to a mapping, asking only what the files leave open."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from etl_lib.cli.person import who
from etl_lib.config.mapping import CLIENT_ID
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.errors import FixTheMapping

if TYPE_CHECKING:
    from etl_lib.onboarding.mapping.suggest import Suggestion
    from etl_lib.onboarding.mapping.write import About

_LEAVE_OUT = "none of these: leave it out"


def new(
    client: Annotated[str, typer.Argument(help="The new client's id: small letters, digits, _.")],
    samples: Annotated[Path, typer.Option("--from", help="Folder with sample files of the school.")],
    name: Annotated[str, typer.Option(help="The school's name as people write it.")] = "",
    owner: Annotated[str, typer.Option(help="Who is responsible on our side.")] = "",
    timezone: Annotated[str, typer.Option(help="The school's IANA time zone.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take the best guesses, and list them.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a mapping that is there.")] = False,
) -> None:  # fmt: skip
    """Write a mapping for a new client from sample files: what is sure is mapped, the rest is asked.

    Without a terminal, or when a question is left open, the candidates stand in the file as comments.
    A sample of invented values is laid down for `etl test`: the school's own files are never kept.
    """
    begun = time.monotonic()
    project = Project.load()
    path = project.mapping_path(client)
    if not re.fullmatch(CLIENT_ID, client):
        text = f"`{client}` is no client id."
        hint = "It has 2 to 48 small letters, digits and _, and begins with a letter."
        raise FixTheMapping.of("MAPPING_INVALID", text, hint=hint)
    if timezone and (fault := _is_timezone(timezone)) is not True:
        raise FixTheMapping.of("MAPPING_INVALID", str(fault))
    if path.exists() and not replace:
        text = f"`{client}` has a mapping already."
        raise FixTheMapping.of("MAPPING_EXISTS", text, project.shown(path))
    from etl_lib.onboarding.mapping.suggest import suggest
    from etl_lib.onboarding.mapping.write import About, mapping_text

    console = Console()
    suggestion = suggest(samples, project)
    counted = suggestion.counts()
    about = About(name or client.replace("_", " ").title(), owner or who(), timezone or "UTC")
    asks = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    if yes:
        suggestion = suggestion.with_best_guesses()
    elif asks:
        about, suggestion = walk_through(
            about, suggestion, asked=(not name, not owner, not timezone)
        )
    path.write_text(mapping_text(suggestion, about), encoding="utf-8")
    resolved = project.resolve(client)  # passes `etl check`, or says where it does not
    sample = _sample(project, resolved)
    _summary(console, suggestion, counted, project.shown(path), time.monotonic() - begun)
    if sample:
        console.print(
            f"A sample of invented values lies in {project.shown(sample)}.", highlight=False
        )
    _next_steps(console, client, samples)


def walk_through(
    about: About, suggestion: Suggestion, asked: tuple[bool, bool, bool]
) -> tuple[About, Suggestion]:
    """Ask what only a person knows, and about each column that is open; a question may be left open."""
    import questionary

    from etl_lib.onboarding.mapping.write import About

    texts = (
        "The school's name?",
        "Who is responsible on our side?",
        "Its time zone (America/Chicago)?",
    )
    given = (about.client, about.owner, about.timezone)
    checks = (_is_said, _is_said, _is_timezone)
    client, owner, timezone = (
        (questionary.text(text, default=known, validate=check).ask() or known) if ask else known
        for text, known, ask, check in zip(texts, given, asked, checks, strict=True)
    )
    about = About(client, owner, timezone)
    for feed, column, _ in suggestion.open_columns:
        now = next(one for one in suggestion.feeds if one.name == feed.name)
        candidates = now.reading.open.get(column)
        if not candidates:
            continue
        later = "decide later: it stays in the file as a comment"
        choices = [f"{p.entity}.{p.field}  ({p.confidence:.2f}: {p.reason})" for p in candidates]
        question = f"{now.samples[0]}: what is the column `{column}`?"
        answer = questionary.select(question, choices=[*choices, _LEAVE_OUT, later]).ask()
        if answer in choices:
            suggestion = suggestion.answered(feed.name, column, candidates[choices.index(answer)])
        elif answer == _LEAVE_OUT:
            suggestion = suggestion.answered(feed.name, column, None)
        elif answer is None:  # Ctrl-C: the rest stays open
            return about, suggestion
    return about, _codes_walked_through(suggestion)


def _codes_walked_through(suggestion: Suggestion) -> Suggestion:
    """Ask what each code means that nobody knows."""
    import questionary

    later = "decide later: until then its rows are rejected"
    for feed, proposal, code in suggestion.open_codes:
        values = suggestion.lexicon.field(proposal.entity, proposal.field).values
        question = f"{feed.samples[0]}: what does `{code}` mean in `{proposal.columns[0]}`?"
        answer = questionary.select(question, choices=[*values, later]).ask()
        if answer is None:
            break
        if answer in values:
            suggestion = suggestion.with_code(
                feed.name, proposal.entity, proposal.field, code, answer
            )
    return suggestion


def _is_said(text: str) -> bool | str:
    return bool(text.strip()) or "It is needed."


def _is_timezone(text: str) -> bool | str:
    from zoneinfo import available_timezones

    return (
        text in available_timezones()
        or f"`{text}` is not an IANA time zone such as America/Chicago."
    )


def _summary(
    console: Console, suggestion: Suggestion, counted: dict[str, int], shown: str, took_s: float
) -> None:
    """What was found and what is left to do."""
    from etl_lib.onboarding.mapping.suggest import mapped_columns

    table = Table(
        "file", "rows", "feed", "fills", "columns", "mapped", "open", title=suggestion.sis
    )
    for feed in suggestion.feeds:
        fills = _filled(feed, suggestion)
        more = f" and {len(feed.samples) - 1} more" if len(feed.samples) > 1 else ""
        table.add_row(
            f"{feed.samples[0]}{more}", f"{feed.sample.rows:,}", feed.name, ", ".join(fills),
            str(len(feed.sample.headers)), str(len(mapped_columns(feed))), str(len(feed.reading.open)),
        )  # fmt: skip
    console.print(table)
    for fault in suggestion.unread:
        console.print(f"Not read: {fault}", highlight=False)
    for feed, proposal, code in suggestion.open_codes:
        console.print(
            f"Open: {feed.name}: what does `{code}` mean in `{proposal.columns[0]}`? "
            "Until the map says it, its rows are rejected.", highlight=False,
        )  # fmt: skip
    for feed_name, column, proposal in suggestion.guessed:
        console.print(
            f"Guessed: {feed_name}: `{column}` is {proposal.entity}.{proposal.field} "
            f"({proposal.confidence:.2f}: {proposal.reason}).", highlight=False,
        )  # fmt: skip
    console.print(
        f"{counted['found']} columns found, {counted['mapped']} mapped, {counted['asked']} asked, "
        f"{counted['unmapped']} without a field, in {took_s:.1f} s. {shown} written.", highlight=False,
    )  # fmt: skip


def _sample(project: Project, resolved: ResolvedMapping) -> Path | None:
    """Invent the client's first night, unless it has a sample; gives its folder."""
    from etl_lib.onboarding.golden import nights_of, sample_folder, write_examples

    folder = sample_folder(project, resolved.mapping.client_id)
    return None if nights_of(folder) else write_examples(resolved, folder / "night_1")


def _next_steps(console: Console, client: str, samples: Path) -> None:
    """The commands that follow, in their order."""
    from shlex import quote

    table = Table.grid(padding=(0, 2))
    for words, why in (
        (f"preview {client} --files {quote(str(samples))}", "look at what becomes of the files"),
        (f"test {client} --accept", "keep what the sample gives"),
        (f"guide {client}", "the school's own instructions"),
        (f"provision {client} --key FILE", "its folder, for the key that it sends"),
    ):
        table.add_row("Next:", f"etl {words}", why)
    console.print(table, highlight=False)


def _filled(feed: object, suggestion: Suggestion) -> list[str]:
    from etl_lib.onboarding.mapping.suggest import FeedSuggestion

    assert isinstance(feed, FeedSuggestion)
    if feed.match and suggestion.template:
        project = Project.load()
        known = project.template(suggestion.template).mapping.feeds[feed.name].entities
        return list(dict.fromkeys([*known, *feed.reading.fills]))
    return list(feed.reading.fills)
