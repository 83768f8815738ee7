"""Matches a file's header with the columns that the mapping expects; never by position."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from etl_lib.config.mapping import FILE_PART, EntityFill, Feed
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import Fault

_MOST_NAMES = 12
# Blanks, what parts words, and signs that nobody sees: BOM, joiners, marks that turn the direction.
_IGNORED = re.compile(
    r"[\s\u00a0\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff_\-.#/]+"
)


@lru_cache(4096)  # a search for the header sees the same cells a dozen times
def folded(header: str) -> str:
    """A header without case, blanks, punctuation between words, BOM and NBSP, however its letters are written."""
    plain = _IGNORED.sub("", unicodedata.normalize("NFKC", header)).strip("\"'*").casefold()
    # İ and ı are I and i to everybody else's software
    return unicodedata.normalize("NFKC", plain.replace("ı", "i").replace("\u0307", ""))


@dataclass(frozen=True)
class Expected:
    """A feed's columns: `names` by folded spelling (aliases included), and which must be there.

    `required`: of each group at least one. `optional`: by field the columns that may fill it.
    """

    names: dict[str, str]
    required: tuple[tuple[str, ...], ...]
    optional: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, feed: Feed, resolved: ResolvedMapping) -> Expected:
        """What the mapping says; a column is required when a required field hangs on it alone."""
        names: dict[str, str] = {}
        for column in feed.source_columns:
            for spelling in (column, *_aliases(feed, column)):
                names.setdefault(folded(spelling), column)
        groups: list[tuple[str, ...]] = [
            (name,) for name, said in feed.columns.items() if said.required
        ]
        optional = {name for name, said in feed.columns.items() if said.required is False}
        for entity_name, fill in feed.entities.items():
            groups += _required_groups(resolved, entity_name, fill, optional)
        required = tuple(dict.fromkeys(groups))
        return cls(names, required, tuple(_optional(feed, {c for group in groups for c in group})))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The mapping's columns, in their order."""
        return tuple(dict.fromkeys(self.names.values()))

    def match(self, header: Sequence[str]) -> list[str | None]:
        """For each cell of a header the mapping's column, None for one that is not expected."""
        return [self.names.get(folded(cell)) for cell in header]

    def notes(self, header: Sequence[str]) -> list[str]:
        """The fields for which a header has no column; they stay as they are."""
        there = set(self.match(header))
        missing = [field for field, columns in self.optional if not there & set(columns)]
        if not missing:
            return []
        shown = ", ".join(f"`{name}`" for name in missing[:_MOST_NAMES])
        more = f" and {len(missing) - _MOST_NAMES} more" if len(missing) > _MOST_NAMES else ""
        return [f"no column for {shown}{more}"]

    def faults(self, header: Sequence[str], where: str, extra: str) -> list[Fault]:
        """Everything that is wrong with a header; empty when it can be used."""
        found = self.match(header)
        faults = []
        for group in self.required:
            if not set(group) & set(found):
                near = difflib.get_close_matches(group[0], [c for c in header if c.strip()], 1, 0.6)
                hint = f"Is it the column `{near[0].strip()}`?" if near else ""
                wanted = "` or `".join(group)
                text = f"The required column `{wanted}` is missing."
                faults.append(Fault("FILE_COLUMN_MISSING", text, where, hint))
        for again in dict.fromkeys(c for c in found if c is not None and found.count(c) > 1):
            text = f"The column `{again}` stands {found.count(again)} times in the header."
            faults.append(Fault("FILE_COLUMN_REPEATED", text, where))
        if extra == "refuse":
            for cell, column in zip(header, found, strict=True):
                if column is None:
                    text = f"The column `{cell.strip()}` was not agreed upon."
                    faults.append(Fault("FILE_COLUMN_UNKNOWN", text, where))
        return faults


def _optional(feed: Feed, required: set[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Fields that hang on columns which may be absent, and those columns."""
    seen: set[str] = set()
    for fill in feed.entities.values():
        for name, rule in fill.columns.items():
            columns = tuple(c for c in rule.source_columns if not FILE_PART.fullmatch(c))
            if columns and name not in seen and not required & set(columns):
                seen.add(name)
                yield name, columns


def _aliases(feed: Feed, column: str) -> tuple[str, ...]:
    said = feed.columns.get(column)
    return said.aliases if said else ()


def _required_groups(
    resolved: ResolvedMapping, entity_name: str, fill: EntityFill, optional: set[str]
) -> list[tuple[str, ...]]:
    entity = resolved.entities[entity_name]
    needed = {name for name, field in entity.fields.items() if field.required}
    needed = {n for n in needed if fill.insert or n == entity.key}
    if entity.key not in fill.columns:
        needed |= {n for n in entity.natural_key if entity.fields[n].required}
    groups: list[tuple[str, ...]] = []
    for name in sorted(needed & fill.columns.keys()):
        rule, field = fill.columns[name], entity.fields[name]
        if rule.default is not None or field.default is not None or rule.constant is not None:
            continue
        wanted: list[tuple[str, ...]] = [
            (c,) for c in (*rule.concat, *((rule.lookup.by,) if rule.lookup else ()))
        ]
        if alternatives := (*rule.from_, *rule.coalesce):
            wanted.append(tuple(alternatives))
        groups += [
            group
            for group in wanted
            if not any(FILE_PART.fullmatch(c) for c in group) and not set(group) <= optional
        ]
    return groups
