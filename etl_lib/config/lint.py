"""Finds what a mapping's shape cannot tell: names that do not exist, and rules that contradict."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations

from etl_lib.config.entity import Entity, EntityField, whose_keys_are_held
from etl_lib.config.hooks import HOOK_PACKAGE, hook_file
from etl_lib.config.mapping import FILE_PART, ColumnRule, EntityFill, Feed, Mapping, ValueFormat
from etl_lib.config.pauses import faults_of_days
from etl_lib.config.school_days import faults_of_calendar
from etl_lib.errors import Fault

# Values that no school may send us, under any header: passwords and national identity numbers.
FORBIDDEN_COLUMN = re.compile(
    r"(?i:pass[_ -]?w(or)?d|social[_ -]?security|national[_ -]?id)"
    r"|(?<![A-Za-z])(?i:ssn|pwd|nino|sin)(?![A-Za-z])"  # SPBPERS_SSN, but neither CLASS_NBR nor since
    r"|(?<=[a-z])SSN(?![A-Za-z])"
)
# Whole-file expectations that our execution engine answers (validate/), by their GX names.
EXPECTATIONS = (
    "expect_column_max_to_be_between",
    "expect_column_min_to_be_between",
    "expect_column_value_lengths_to_be_between",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_unique",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_match_strftime_format",
    "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_not_match_regex",
    "expect_compound_columns_to_be_unique",
    "expect_table_columns_to_match_set",
    "expect_table_row_count_to_be_between",
)

_FORBIDDEN = "passwords and national ids are never read."
_SOME_INSTANT = datetime(2026, 11, 23, 14, 5, 6, tzinfo=UTC)
_AMBIGUOUS = datetime(
    2003, 2, 1, 4, 5, 6, tzinfo=UTC
)  # the first of February, or the second of January

PlaceOf = Callable[[Sequence[str | int]], str]
Finding = tuple[Sequence[str | int], str, str]  # key path, text, hint


def lint(mapping: Mapping, entities: dict[str, Entity], place_of: PlaceOf) -> list[Fault]:
    """All faults of the mapping, each with its place; empty when it is in order."""
    findings: list[Finding] = [
        (("values", key), text, "") for key, text in _bad_formats(mapping.values)
    ]
    for name, feed in mapping.feeds.items():
        findings += _feed(mapping, entities, name, feed, ("feeds", name))
        for index, layout in enumerate(feed.layouts):
            path = ("feeds", name, "layouts", index, "feed")
            findings += _feed(mapping, entities, name, layout.feed, path)
    findings += _examples(mapping)
    findings += _shared_columns(mapping)
    findings += _precedence(mapping, entities)
    findings += faults_of_days(mapping.approve_on, mapping.blackout, mapping.additions_only)
    findings += faults_of_calendar(mapping.calendar, mapping.rhythm, mapping.schedule)
    faults = [
        Fault("MAPPING_INVALID", f"{_dotted(path)}: {text}", place_of(path), hint)
        for path, text, hint in findings
    ]
    return list(dict.fromkeys(faults))


def _examples(mapping: Mapping) -> Iterator[Finding]:
    """Examples for feeds and columns that the mapping does not have."""
    for name, columns in mapping.examples.items():
        feed = mapping.feeds.get(name)
        if feed is None:
            near = _nearest(name, mapping.feeds)
            yield ("examples", name), f"there is no feed `{name}`.", near
            continue
        known = {
            c
            for one in (feed, *(layout.feed for layout in feed.layouts))
            for c in one.source_columns
        }
        for column in columns.keys() - known:
            yield (
                ("examples", name, column),
                f"`{name}` reads no column `{column}`.",
                _nearest(column, known),
            )


def _dotted(path: Sequence[str | int]) -> str:
    """The key path as a person writes it: the loader's `feed` inside a layout is not in the file."""
    return ".".join(
        str(p) for i, p in enumerate(path) if not (p == "feed" and path[i - 2] == "layouts")
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(known)}."


def _filled(mapping: Mapping, entities: dict[str, Entity]) -> list[Entity]:
    """The entities that a feed of the mapping fills, in any of its layouts."""
    forms = [f for feed in mapping.feeds.values() for f in (feed, *(x.feed for x in feed.layouts))]
    return [entities[name] for form in forms for name in form.entities if name in entities]


def _feed(
    mapping: Mapping,
    entities: dict[str, Entity],
    name: str,
    feed: Feed,
    path: tuple[str | int, ...],
) -> Iterator[Finding]:
    parts = {part for pattern in feed.file for part in FILE_PART.findall(pattern)}
    if not feed.format.header and not feed.columns:
        yield (*path, "columns"), "a file without header needs `columns` in their order.", ""
    for key, text in _bad_formats(feed.values):
        if (key, text) not in _bad_formats(mapping.values):  # said for every feed: reported once
            yield (*path, "values", key), text, ""
    for column, said in feed.columns.items():
        if any(FORBIDDEN_COLUMN.search(name) for name in (column, *said.aliases)):
            yield (*path, "columns", column), _FORBIDDEN, ""
    for kind, names in (feed.renames.entities if feed.renames else {}).items():
        for unknown in (one for one in names if one not in entities):
            here = (*path, "renames", "entities", kind)
            yield here, f"there is no entity `{unknown}`.", _nearest(unknown, entities)
    held = whose_keys_are_held(_filled(mapping, entities))
    if feed.renames and not feed.renames.named & held:
        text = "the client fills none of these entities, and nothing that it fills refers to one."
        yield (*path, "renames", "entities"), text, f"Leave the feed out: `{name}: null`."
    for index, wish in enumerate(feed.expectations):
        here = (*path, "expectations", index)
        if wish.expectation not in EXPECTATIONS:
            yield (
                (*here, "expectation"),
                "unknown expectation.",
                _nearest(wish.expectation, EXPECTATIONS),
            )
        if wish.entity not in feed.entities:
            yield (
                (*here, "entity"),
                "the feed does not fill it.",
                _nearest(wish.entity, feed.entities),
            )
        elif wish.entity in entities:
            wanted = wish.kwargs.get("column")
            known = entities[wish.entity].fields
            if wanted is not None and wanted not in known:
                yield (
                    (*here, "kwargs", "column"),
                    f"no field `{wanted}`.",
                    _nearest(str(wanted), known),
                )
    for entity_name, fill in feed.entities.items():
        here = (*path, "entities", entity_name)
        if entity_name not in entities:
            yield here, f"there is no entity `{entity_name}`.", _nearest(entity_name, entities)
            continue
        yield from _fill(mapping, entities, entities[entity_name], feed, fill, parts, here)


def _fill(
    mapping: Mapping, entities: dict[str, Entity], entity: Entity, feed: Feed, fill: EntityFill,
    parts: set[str], path: tuple[str | int, ...],
) -> Iterator[Finding]:  # fmt: skip
    for here, column in _sources(fill):
        part = FILE_PART.fullmatch(column)
        if part and part[1] not in parts:
            text = f"the file name has no part `{column}`."
            yield (*path, *here), text, _nearest(part[1], parts) if parts else ""
        if FORBIDDEN_COLUMN.search(column):
            yield (*path, *here), _FORBIDDEN, ""
        if not part and feed.columns and not feed.format.header and column not in feed.columns:
            text = f"`{column}` is not among the feed's columns."
            yield (*path, *here), text, _nearest(column, feed.columns)
    for name, rule in fill.columns.items():
        if name not in entity.fields:
            known = entity.fields
            yield (
                (*path, "columns", name),
                f"`{entity.entity}` has no field `{name}`.",
                _nearest(name, known),
            )
            continue
        place = (*path, "columns", name)
        yield from _rule(mapping, feed, entity.fields[name], rule, place)
        yield from _blank(entity, name, rule, place)
    made = set(fill.columns)
    natural_key = [name for name in entity.natural_key if entity.fields[name].required]
    if natural_key and made.issuperset(natural_key):
        made.add(entity.key)  # fields of the natural key that may be empty may also be left out
    if entity.key not in made:
        natural = f" or all of {', '.join(natural_key)}" if natural_key else ""
        yield (*path, "columns"), f"the key `{entity.key}`{natural} is not mapped.", ""
    for name, field in entity.fields.items():
        needed = field.required and fill.insert and name != entity.key and field.default is None
        if needed and name not in made:
            yield (*path, "columns"), f"the required field `{name}` is not mapped.", ""
    yield from _scope(entities, entity, feed, fill, path)
    if fill.hook and (problem := _hook_problem(fill.hook)):
        yield (*path, "hook"), problem, ""


def _sources(fill: EntityFill) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every column of the feed's own files that the fill reads, with the key that names it."""
    for key in ("where", "where_not", "deleted_when"):
        yield from (((key, column), column) for column in getattr(fill, key))
    yield from ((("extra",), column) for column in fill.extra)
    for name, rule in fill.columns.items():
        yield from ((("columns", name), column) for column in (*rule.source_columns, *rule.when))


def _rule(
    mapping: Mapping, feed: Feed, field: EntityField, rule: ColumnRule, path: tuple[str | int, ...]
) -> Iterator[Finding]:
    if field.type == "enum":
        results = {*rule.map.values(), rule.constant, rule.default} - {None}
        for value in sorted(str(v) for v in results if v not in field.values):
            yield path, f"`{value}` is not an allowed value.", _nearest(value, field.values)
    folded = [key.casefold() for key in rule.map]
    for key in sorted({k for k in folded if folded.count(k) > 1}):
        yield (*path, "map"), f"`{key}` stands twice (upper and lower case are the same).", ""
    for key, text in _bad_formats(rule):
        yield (*path, key), text, ""
    if rule.sensitive in ("hash", "mask") and (field.type != "text" or field.array):
        yield (*path, "sensitive"), f"`{rule.sensitive}` is for text fields only.", ""
    if rule.width and rule.pad:
        yield (*path, "width"), "`pad` puts back the zeros whose loss `width` would reject.", ""
    if rule.width and (field.type not in ("id", "text") or field.array):
        yield (*path, "width"), "it is for ids and text only.", ""
    elif rule.width and (rule.concat or rule.constant is not None):
        yield (*path, "width"), "it is the width of one column; this value is made of others.", ""
    if rule.lookup:
        other = mapping.feeds.get(rule.lookup.feed)
        if other is None:
            yield (
                (*path, "lookup", "feed"),
                f"there is no feed `{rule.lookup.feed}`.",
                _nearest(rule.lookup.feed, mapping.feeds),
            )
        elif rule.lookup.feed == path[1]:
            yield (*path, "lookup", "feed"), "a feed cannot look up in itself.", ""
        else:
            for part in ("key", "column"):
                name = getattr(rule.lookup, part)
                if FORBIDDEN_COLUMN.search(name):
                    yield (*path, "lookup", part), _FORBIDDEN, ""
                elif name not in other.source_columns:
                    text = f"the feed `{rule.lookup.feed}` does not read a column `{name}`."
                    yield (*path, "lookup", part), text, _nearest(name, other.source_columns)


def _blank(
    entity: Entity, name: str, rule: ColumnRule, path: tuple[str | int, ...]
) -> Iterator[Finding]:
    """`blank: keep` where there is never a blank to keep anything for."""
    if rule.blank != "keep":
        return
    path = (*path, "blank")
    if name == entity.key or (name in entity.natural_key and not entity.fields[name].required):
        yield path, f"`{name}` makes the key, which never stays without a value.", ""
    elif rule.default is not None or entity.fields[name].default is not None:
        yield path, "the default takes the place of a blank, so nothing is ever kept.", ""
    elif entity.fields[name].required:
        yield path, f"`{name}` is required: a row without it is rejected.", ""
    elif rule.constant is not None or rule.sensitive == "drop":
        yield path, "the value does not come from the file, so it is never a blank.", ""


def _scope(
    entities: dict[str, Entity],
    entity: Entity,
    feed: Feed,
    fill: EntityFill,
    path: tuple[str | int, ...],
) -> Iterator[Finding]:
    if fill.delete_absent and feed.content != "full":
        yield (
            (*path, "delete_absent"),
            "absence means nothing in a feed with `content: changes`.",
            "",
        )
    for scope in fill.scope_by:
        yield from _scope_findings(scope, entities, entity, fill, path)


def _scope_findings(
    scope: str,
    entities: dict[str, Entity],
    entity: Entity,
    fill: EntityFill,
    path: tuple[str | int, ...],
) -> Iterator[Finding]:
    first, _, second = scope.partition(".")
    if first not in entity.fields:
        yield (*path, "scope_by"), f"no field `{first}`.", _nearest(first, entity.fields)
    elif first not in fill.columns:
        yield (
            (*path, "scope_by"),
            f"the feed does not fill `{first}`.",
            _nearest(first, fill.columns),
        )
    elif second:
        reference = entity.fields[first].references
        target = entities.get(reference.entity) if reference else None
        if target is None or second not in target.fields:
            yield (*path, "scope_by"), f"`{first}` does not lead to a field `{second}`.", ""


def _shared_columns(mapping: Mapping) -> Iterator[Finding]:
    writers: dict[tuple[str, str], list[str]] = {}
    for feed_name, feed in mapping.feeds.items():
        for entity_name, fill in feed.entities.items():
            for field in fill.columns:
                if field != f"{entity_name}_id":
                    writers.setdefault((entity_name, field), []).append(feed_name)
    for (entity_name, field), feeds in writers.items():
        ranked = mapping.precedence.get(entity_name, ())
        if len(feeds) > 1 and any(feed not in ranked for feed in feeds):
            names = " and ".join(f"`{feed}`" for feed in feeds)
            path = ("feeds", feeds[-1], "entities", entity_name, "columns", field)
            yield (
                path,
                f"{names} both write it.",
                f"Say whose word counts: precedence: {{{entity_name}: [{', '.join(feeds)}]}}",
            )


def _precedence(mapping: Mapping, entities: dict[str, Entity]) -> Iterator[Finding]:
    for entity_name, feeds in mapping.precedence.items():
        if entity_name not in entities:
            yield (
                ("precedence", entity_name),
                "there is no such entity.",
                _nearest(entity_name, entities),
            )
        for feed in feeds:
            if feed not in mapping.feeds:
                yield (
                    ("precedence", entity_name),
                    f"there is no feed `{feed}`.",
                    _nearest(feed, mapping.feeds),
                )


def _bad_formats(values: ValueFormat | ColumnRule) -> list[tuple[str, str]]:
    """Key and fault of date and timestamp formats that strptime cannot use, or that contradict."""
    faults = []
    for key in ("date_formats", "timestamp_formats"):
        formats = [text for text in getattr(values, key) or () if _is_date_format(text)]
        for text in getattr(values, key) or ():
            if text not in formats:
                faults.append((key, f"`{text}` is not a strptime format."))
            elif ("%I" in text) != ("%p" in text):
                faults.append((key, f"`{text}`: %I and %p belong together, or %H stands alone."))
            elif not re.search("%[YyGcx]", text):
                faults.append((key, f"`{text}` has no year, so every date would be of 1900."))
        for one, other in combinations(dict.fromkeys(formats), 2):
            if contradict(one, other) or contradict(other, one):
                said = f"`{one}` and `{other}` read one text as different days; keep the right one."
                faults.append((key, said))
    return faults


def contradict(one: str, other: str) -> bool:
    """Whether a text of the first strptime format is another instant in the second."""
    text = _AMBIGUOUS.strftime(one)
    try:
        found = datetime.strptime(text, other)  # noqa: DTZ007 (only the format is tried)
    except ValueError:
        return False
    meant = datetime.strptime(text, one)  # noqa: DTZ007
    return found.replace(tzinfo=None) != meant.replace(tzinfo=None)


def _is_date_format(text: str) -> bool:
    try:
        datetime.strptime(_SOME_INSTANT.strftime(text), text)  # noqa: DTZ007 (formats without zone)
    except ValueError:
        return False
    return "%" in text


def _hook_problem(hook: str) -> str | None:
    """Why the dotted path is no function of the hook package; read as text, never imported."""
    package, *middle, function = hook.split(".")
    if (
        package != HOOK_PACKAGE
        or not middle
        or not all(p.isidentifier() for p in [*middle, function])
    ):
        return f"`{hook}` is not inside the package `{HOOK_PACKAGE}`."
    module = hook_file(".".join([package, *middle]))
    if not module.is_file():
        return f"there is no module `{'.'.join([package, *middle])}`."
    tree = ast.parse(module.read_text(encoding="utf-8"))
    if not any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body):
        return f"the module has no function `{function}`."
    return None
