"""What a school's codes mean: distinct values of a column to the allowed values of a field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from etl_lib.config.entity import Entity, EntityField
from etl_lib.config.project import ResolvedMapping
from etl_lib.extract.reader.columns import folded
from etl_lib.onboarding.mapping.content import NO, YES, Content
from etl_lib.onboarding.mapping.words import plain

_SHORT = 2  # a code of so few letters means another thing in the next school
_SIGNS = re.compile(r"[^\w]+|_+")


@dataclass(frozen=True)
class CodeMap:
    """Source values to ours as far as they are known; `unknown`: what a person must say.

    `as_is`: the values are ours already, and no map is needed. `short`: keys of `known` of so few letters
    that they may mean another thing; `guessed`: those of them for which nothing else speaks. `share`:
    of the rows that have a value those whose value is known.
    """

    known: dict[str, str]
    unknown: tuple[str, ...]
    as_is: bool
    share: float
    guessed: tuple[str, ...] = ()
    short: tuple[str, ...] = ()


@dataclass(frozen=True)
class Codes:
    """Words for values, by entity and field: from the entity files, and from the maps of templates.

    `sure`: those that mean the same everywhere. `of_columns`: by entity, field and a template's own
    column what its codes mean; they are sure where a school's column has that name.
    """

    words: Mapping[tuple[str, str], Mapping[str, str]]
    sure: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    of_columns: Mapping[tuple[str, str, str], Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, entities: Mapping[str, Entity], templates: Mapping[str, ResolvedMapping]) -> Codes:
        """Gather them; where two templates disagree about a code, it is not known."""
        words: dict[tuple[str, str], dict[str, str]] = {}
        sure: dict[tuple[str, str], frozenset[str]] = {}
        for name, entity in entities.items():
            for field_name, one in entity.fields.items():
                if one.type == "enum":
                    found = _of_templates(templates, name, field_name)
                    own = _of_entity(one)
                    words[name, field_name] = {**found, **own}
                    sure[name, field_name] = frozenset(
                        k for k in {**found, **own} if len(k) > _SHORT
                    )
        return cls(words, sure, _of_columns(templates))

    def read(self, entity: str, field_name: str, content: Content, header: str = "") -> CodeMap:
        """What the values of a column mean as values of the field."""
        of_column = self.of_columns.get((entity, field_name, folded(header)), {})
        known = {**self.words.get((entity, field_name), {}), **of_column}
        sure = self.sure.get((entity, field_name), frozenset()) | of_column.keys()
        found: dict[str, str] = {}
        short: list[str] = []
        unknown: list[str] = []
        rows = 0
        for value, count in content.counts.most_common():
            key = _key(value)
            if key in known:
                found[value], rows = known[key], rows + count
                if key not in sure:
                    short.append(value)
            else:
                unknown.append(value)
        allowed = set(found.values())
        as_is = not unknown and all(value.casefold() == mine for value, mine in found.items())
        # every code is known, and none for the same thing twice
        fits_well = not unknown and len(allowed) == len(found) > 1
        guessed = () if fits_well else tuple(short)
        share = rows / content.filled if content.filled else 0.0
        return CodeMap(_folded_once(found), tuple(unknown), as_is, share, guessed, tuple(short))


def _of_entity(one: EntityField) -> dict[str, str]:
    own = {_key(value): value for value in one.values}
    for value, aliases in one.value_aliases.items():
        for alias in aliases:
            own.setdefault(_key(alias), value)
    return own


def _of_columns(
    templates: Mapping[str, ResolvedMapping],
) -> dict[tuple[str, str, str], dict[str, str]]:
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for template in templates.values():
        for feed in template.mapping.feeds.values():
            for entity, fill in feed.entities.items():
                for name, rule in fill.columns.items():
                    for column in rule.from_:
                        mine = {_key(k): v for k, v in rule.map.items() if v is not None}
                        if mine and "_" in column:
                            found.setdefault((entity, name, folded(column)), {}).update(mine)
    return found


def _of_templates(
    templates: Mapping[str, ResolvedMapping], entity: str, field_name: str
) -> dict[str, str]:
    found: dict[str, str] = {}
    contradicted: set[str] = set()
    for template in templates.values():
        for feed in template.mapping.feeds.values():
            fill = feed.entities.get(entity)
            rule = fill.columns.get(field_name) if fill else None
            for source, mine in (rule.map if rule else {}).items():
                if mine is None:
                    continue
                if found.setdefault(_key(source), mine) != mine:
                    contradicted.add(_key(source))
    return {key: value for key, value in found.items() if key not in contradicted}


def _key(value: str) -> str:
    return _SIGNS.sub(" ", plain(value)).strip()


def _folded_once(found: Mapping[str, str]) -> dict[str, str]:
    """The map without keys that differ only in case: the mapping takes any case."""
    kept: dict[str, str] = {}
    seen: set[str] = set()
    for value, mine in found.items():
        if value.casefold() not in seen:
            seen.add(value.casefold())
            kept[value] = mine
    return kept


def yes_no_tokens(content: Content) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The texts for yes and no of a column when they are others than every mapping knows, else None."""
    if content.yes_no is None:
        return None
    true, false = content.yes_no
    usual = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}
    if set(true) <= usual[0] and set(false) <= usual[1]:
        return None
    return tuple(v for v in YES if v in true), tuple(v for v in NO if v in false)
