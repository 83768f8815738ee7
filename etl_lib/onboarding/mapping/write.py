"""A Suggestion as the text of a mapping: small, ordered, with a comment only where a decision is owed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from etl_lib.config.letters import composed
from etl_lib.onboarding.mapping.fills import Proposal
from etl_lib.onboarding.mapping.meanings import Lexicon
from etl_lib.onboarding.mapping.suggest import (
    DEFAULT_DATE_FORMAT,
    FeedSuggestion,
    Suggestion,
    mapped_columns,
)

_SCHEMA = "# yaml-language-server: $schema=../schemas/mapping.schema.json"
_WIDTH = 110


@dataclass(frozen=True)
class About:
    """What no file says of a school: its name, who is responsible on our side, and where it is."""

    client: str
    owner: str
    timezone: str
    contacts: tuple[str, ...] = ()


def mapping_text(suggestion: Suggestion, about: About) -> str:
    """The mapping file's text; passes `etl check`. No value of a pupil is in it, only codes."""
    return composed("\n".join(_lines(suggestion, about)) + "\n")


def _lines(suggestion: Suggestion, about: About) -> Iterator[str]:
    yield _SCHEMA
    if suggestion.template:
        yield f"extends: {suggestion.template}"
    yield f"client: {_flow(about.client)}"
    if not suggestion.template:
        yield f"sis: {_flow(suggestion.sis)} # how people call the system that writes these files"
    yield f"owner: {_flow(about.owner)}"
    if about.contacts:
        yield f"contacts: {_flow(list(about.contacts))}"
    yield f"timezone: {about.timezone}"
    if suggestion.date_in_names != DEFAULT_DATE_FORMAT:
        yield f"delivery: {{date_format: {_flow(suggestion.date_in_names)}}}"
    values: dict[str, Any] = {}
    if suggestion.null_tokens:
        values["null_tokens"] = list(suggestion.null_tokens)
    if suggestion.date_formats:
        values["date_formats"] = list(suggestion.date_formats)
    if suggestion.decimal:
        values["decimal"] = suggestion.decimal
    if values:
        yield f"values: {_flow(values)}"
    ranked = _precedence(suggestion.feeds, suggestion.lexicon) if not suggestion.template else {}
    if ranked:
        yield "precedence: # whose word counts where both have one"
        yield from (f"  {entity}: {_flow(names)}" for entity, names in ranked.items())
    feeds = [list(_feed(feed, suggestion)) for feed in suggestion.feeds]
    absent = [
        f"  {name}: {{required: false}} # not among the samples" for name in suggestion.absent
    ]
    if any(feeds) or absent:
        yield "feeds:"
        yield from absent
        yield from (line for feed in feeds for line in feed)
    elif not suggestion.template:
        yield "feeds: {} # no column of the samples is known"
    for fault in suggestion.unread:
        yield f"# Not read: {_comment(str(fault))}"


def _feed(feed: FeedSuggestion, suggestion: Suggestion) -> Iterator[str]:
    """The feed's part of the file; nothing when the template says all of it.

    A feed of which only comments are left has no key of its own: `name:` alone would remove it.
    """
    lines = list(_keys_of_feed(feed, suggestion))
    if any(not _is_comment(line) for line in lines):
        yield f"  {feed.name}:"
        yield from lines
    else:
        yield from (f"  # {feed.name}: {line.strip().removeprefix('# ')}" for line in lines)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _keys_of_feed(feed: FeedSuggestion, suggestion: Suggestion) -> Iterator[str]:
    if feed.file:
        yield f"    file: {_flow(feed.file[0] if len(feed.file) == 1 else list(feed.file))}"
    if feed.member:
        yield f"    member: {_flow(feed.member)}"
    if feed.allow_empty:
        yield "    allow_empty: true # the sample has a header and no row"
    if feed.match and feed.match.aliases:
        yield "    columns:"
        for column, header in feed.match.aliases.items():
            yield f"      {_flow(column)}: {{aliases: {_flow(header)}}}"
    entities = list(_entities(feed, suggestion))
    if entities:
        yield "    entities:"
        yield from entities
    elif feed.is_own:
        yield "    entities: {} # nothing is sure enough yet; see below"
    if feed.is_own and feed.reading.unmapped:
        yield f"    # no field for: {_comment(', '.join(feed.reading.unmapped))}"
    yield from (line for line in _left_open(feed, suggestion.lexicon))


def _entities(feed: FeedSuggestion, suggestion: Suggestion) -> Iterator[str]:
    """The entities of which the mapping says something, each with what is open about it."""
    for entity in _written(feed, suggestion.lexicon):
        made = feed.reading.fills.get(entity, [])
        yield f"      {entity}:"
        if feed.is_own and (scope := _scope(entity, made, suggestion)):
            yield f"        scope_by: {scope}"
        yield "        columns:"
        for proposal in (*made, *(p for p in feed.more_codes if p.entity == entity)):
            yield from _proposal(proposal)
        for found in feed.reading.open.values():
            if found[0].entity == entity:
                yield from _asked(found[0])


def _written(feed: FeedSuggestion, lexicon: Lexicon) -> list[str]:
    """The entities for which there is more than a comment, in load order."""
    with_codes = {p.entity for p in feed.more_codes if p.rule}
    return [e for e in lexicon.entities if feed.reading.fills.get(e) or e in with_codes]


def _scope(entity: str, made: Sequence[Proposal], suggestion: Suggestion) -> str:
    """Within which term absence deletes, where that is known."""
    fields = {p.field for p in made}
    if entity in ("enrollment", "section_staff") and "section_id" in fields:
        sections = [
            p
            for feed in suggestion.feeds
            for p in feed.reading.fills.get("section", [])
            if p.field == "term_id"
        ]
        return "section_id.term_id" if sections else ""
    return "term_id" if entity == "program_enrollment" and "term_id" in fields else ""


def _proposal(proposal: Proposal) -> Iterator[str]:
    """The lines of one field; long maps stand below each other."""
    comment = f" # {_comment(proposal.owed)}" if proposal.owed else ""
    if proposal.rule == {}:  # the template has the rule; only codes are open
        yield from _open_codes(proposal)
        return
    one_line = f"          {proposal.field}: {_flow(proposal.rule)}"
    if len(one_line) <= _WIDTH or not isinstance(proposal.rule, dict):
        yield one_line + comment
    else:
        yield f"          {proposal.field}:{comment}"
        for key, value in proposal.rule.items():
            yield f"            {key}: {_flow(value)}"
    yield from _open_codes(proposal)


def _open_codes(proposal: Proposal) -> Iterator[str]:
    if proposal.unknown:
        said = ", ".join(_flow(value) for value in proposal.unknown)
        yield f"          # {proposal.field}: what do these codes mean? Until then their rows are rejected: {said}"


def _asked(proposal: Proposal, indent: str = "          ") -> Iterator[str]:
    why = f"{proposal.confidence:.2f}: {_comment(proposal.reason)}"
    yield f"{indent}# {proposal.field}: {_flow(proposal.rule)} # {why}"


def _left_open(feed: FeedSuggestion, lexicon: Lexicon) -> Iterator[str]:
    """What is open about entities of which the mapping says nothing yet."""
    written = _written(feed, lexicon)
    for proposal in feed.more_codes:
        if proposal.entity not in written:
            yield from (f"    {line.strip()}" for line in _open_codes(proposal))
    for found in feed.reading.open.values():
        if found[0].entity not in written:
            named = replace(found[0], field=f"{found[0].entity}.{found[0].field}")
            yield from _asked(named, indent="    ")


def _precedence(feeds: Sequence[FeedSuggestion], lexicon: Lexicon) -> Mapping[str, list[str]]:
    """For each entity of which several feeds write a field, those feeds: those about it, and that say more, first."""
    writers: dict[tuple[str, str], list[str]] = {}
    of: dict[str, list[str]] = {}
    for feed in feeds:
        for entity, made in feed.reading.fills.items():
            of.setdefault(entity, []).append(feed.name)
            for proposal in made:
                if proposal.field != f"{entity}_id":
                    writers.setdefault((entity, proposal.field), []).append(feed.name)
    shared = {entity for (entity, _), names in writers.items() if len(names) > 1}
    subjects = {feed.name: feed.reading.subject for feed in feeds}
    columns = {feed.name: len(mapped_columns(feed)) for feed in feeds}
    return {
        entity: sorted(of[entity], key=lambda name: (subjects[name] != entity, -columns[name]))
        for entity in lexicon.entities
        if entity in shared
    }


def _flow(value: Any) -> str:
    """A value as YAML on one line, quoted in double marks where it must be."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    text = (
        yaml.safe_dump(value, width=10**9, allow_unicode=True)
        .removesuffix("\n")
        .removesuffix("\n...")
    )
    if not isinstance(value, str) or (text == value and not set(value) & set(",[]{}#")):
        return text
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> str:
    """A text that can stand behind a hash: one line, nothing that is not seen."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
