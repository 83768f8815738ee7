"""Invents an example delivery for a mapping: a few rows for every feed, which its own rules accept.

Row k of every file belongs to row k of every other, so that ids agree wherever they are written; ids made
of several columns agree part by part. What cannot be worked out stands under `examples` in the mapping.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from etl_lib.config.entity import EntityField
from etl_lib.config.mapping import FILE_PART, ColumnRule, EntityFill, Feed
from etl_lib.config.project import Fill, ResolvedMapping
from etl_lib.onboarding.guide.invented import (
    BEGINNINGS,
    ENDS,
    LIKELY,
    SELDOM,
    of_field,
    of_header,
    of_id,
    text_for,
)

ROWS = 3
_SOME_DAY = date(2026, 9, 1)
_Node = tuple[str, str]  # feed, column


@dataclass(frozen=True)
class ExampleFile:
    """A file that the school could send: its name, bytes, the same as text, and its rows, header first."""

    feed: str
    name: str
    content: bytes
    text: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Use:
    """A column as one field needs it; `part` is its place in a `concat`, -1: it is only looked up by."""

    fill: Fill
    name: str
    field: EntityField
    rule: ColumnRule
    part: int | None = None


def latest(resolved: ResolvedMapping) -> tuple[ResolvedMapping, date]:
    """The mapping in its newest layouts, and the first day on which all of them hold."""
    layouts = [one for feed in resolved.mapping.feeds.values() for one in feed.layouts]
    day = max((_SOME_DAY, *(one.effective_from for one in layouts)))
    return resolved.model_copy(update={"mapping": resolved.mapping.at(day)}), day


def example_files(resolved: ResolvedMapping) -> tuple[ExampleFile, ...]:
    """One file for every feed, in the order of the mapping; together they are a delivery."""
    newest, day = latest(resolved)
    return _Examples(newest, day).files()


def example_name(pattern: str, date_format: str, day: date, parts: dict[str, str]) -> str:
    """A file name that the pattern takes."""

    def filled(match: re.Match[str]) -> str:
        return day.strftime(date_format) if match[1] == "date" else parts.get(match[1], "1")

    name = FILE_PART.sub(filled, pattern).replace("*", "").replace("?", "1")
    return f"export{name}" if name.startswith(".") else name


def chosen_pattern(feed: Feed) -> str:
    """The pattern by which the guide names the feed's file: the first without a wildcard, else the member."""
    plain = [one for one in feed.file if not set(one) & set("*?")]
    if not plain and feed.member:
        return feed.member
    return plain[0] if plain else feed.file[0]


def columns_of(feed: Feed, looked_up: Collection[str] = ()) -> tuple[str, ...]:
    """The headers of the feed's file in the guide: of alternative names the first, none that is of no use.

    `looked_up`: columns that other feeds take out of it.
    """
    if not feed.format.header:
        return feed.source_columns
    named = {name for fill in feed.entities.values() for name in fill.source_columns}
    named |= {
        *looked_up,
        *(feed.renames.source_columns if feed.renames else ()),
    }
    named |= {
        name for name, said in feed.columns.items() if said.required or said.values or said.filled
    }
    others = {
        name for fill in feed.entities.values() for rule in fill.columns.values()
        for name in rule.from_[1:]
    }  # fmt: skip
    firsts = {
        rule.from_[0]
        for fill in feed.entities.values()
        for rule in fill.columns.values()
        if rule.from_
    }
    return tuple(
        name for name in feed.source_columns
        if name in named and (name not in others or name in firsts) and not is_dropped(feed, name)
    )  # fmt: skip


def looked_up(resolved: ResolvedMapping, feed_name: str) -> frozenset[str]:
    """Columns of the feed that other feeds take values from."""
    lookups = (
        rule.lookup for feed in resolved.mapping.feeds.values() for fill in feed.entities.values()
        for rule in fill.columns.values() if rule.lookup and rule.lookup.feed == feed_name
    )  # fmt: skip
    return frozenset(name for one in lookups for name in (one.key, one.column))


def is_dropped(feed: Feed, column: str) -> bool:
    """Whether nothing of the column is read but to throw it away."""
    uses = [
        rule for fill in feed.entities.values() for rule in fill.columns.values()
        if column in (*rule.source_columns, *rule.when)
    ]  # fmt: skip
    conditions = {
        name for fill in feed.entities.values()
        for name in (*fill.where, *fill.where_not, *fill.deleted_when, *fill.extra)
    }  # fmt: skip
    is_needed = column in feed.columns and feed.columns[column].required
    return bool(uses) and column not in conditions and not is_needed and all(
        rule.sensitive == "drop" for rule in uses
    )  # fmt: skip


class _Examples:
    """Classes of columns that hold the same ids, and the values of every row."""

    def __init__(self, resolved: ResolvedMapping, day: date) -> None:
        self.resolved, self.mapping, self.day = resolved, resolved.mapping, day
        self.fills = resolved.fills()
        self.parent: dict[object, object] = {}
        self.uses: dict[_Node, list[_Use]] = {}
        for feed_name, feed in self.mapping.feeds.items():
            self._join_feed(feed_name, feed)
        self.rooted: dict[object, list[_Node]] = {}
        for node in self.uses:
            self.rooted.setdefault(self._root(node), []).append(node)

    def files(self) -> tuple[ExampleFile, ...]:
        """See example_files."""
        found = []
        for name, feed in self.mapping.feeds.items():
            columns = columns_of(feed, looked_up(self.resolved, name))
            if feed.renames:
                rows: list[tuple[str, ...]] = []
            else:
                rows = list(
                    dict.fromkeys(
                        self._row(name, feed, columns, k) for k in range(self._rows(name))
                    )
                )
            parts = {p: self._value((name, f"{{{p}}}"), 0) for p in _parts(feed)}
            pattern = chosen_pattern(feed)
            file = example_name(pattern, self.mapping.delivery.date_format, self.day, parts)
            text = _written(feed, columns, rows)
            content = text.encode(feed.format.encoding or "utf-8", errors="replace")
            found.append(ExampleFile(name, file, content, text, (columns, *rows)))
        return tuple(found)

    # --- which columns hold the same ids

    def _join_feed(self, feed_name: str, feed: Feed) -> None:
        claimed: set[str] = set()
        for fill in (one for one in self.fills if one.feed_name == feed_name):
            for name, rule in fill.rules.columns.items():
                field = fill.entity.fields[name]
                for part, column in enumerate(rule.source_columns):
                    use = _Use(fill, name, field, rule, _part(rule, part))
                    self.uses.setdefault((feed_name, column), []).append(use)
                if rule.lookup:
                    other = rule.lookup.feed
                    self._join((feed_name, rule.lookup.by), (other, rule.lookup.key))
                    if not self.mapping.feeds[other].entities:
                        taken = _Use(fill, name, field, rule)
                        self.uses.setdefault((other, rule.lookup.column), []).append(taken)
        for entity_name, rules in feed.entities.items():
            entity = self.resolved.entities[entity_name]
            for name, rule in rules.columns.items():
                reference = entity.fields[name].references
                target = entity_name if name == entity.key else reference and reference.entity
                if target is None or (name != entity.key and target == entity_name):
                    continue
                if rule.concat:
                    for part, piece in enumerate(rule.concat):
                        self._join((feed_name, piece), (target, part, rule.separator))
                    continue
                if not (columns := (*rule.from_, *rule.coalesce)):
                    continue
                column = columns[0]
                if name == entity.key and column in claimed:
                    continue  # made from another entity's key, a course's own section for example
                if name == entity.key:
                    claimed.add(column)
                self._join((feed_name, column), target)
        for column in feed.source_columns:
            self.uses.setdefault((feed_name, column), [])

    def _join(self, one: object, other: object) -> None:
        self.parent[self._root(one)] = self._root(other)

    def _root(self, node: object) -> object:
        while (up := self.parent.get(node, node)) != node:
            node = up
        return node

    def _is_constant(self, node: _Node) -> bool:
        """Whether all rows must share the value: it stands in a file's name."""
        return any(
            FILE_PART.fullmatch(column) for _, column in self.rooted.get(self._root(node), ())
        )

    def _rows(self, feed_name: str) -> int:
        """Several, unless the key of what the feed brings is the same in every row."""
        for fill in (one for one in self.fills if one.feed_name == feed_name):
            rule = fill.rules.columns.get(fill.entity.key)
            columns = (*rule.from_[:1], *rule.concat) if rule else ()
            if columns and all(self._is_constant((feed_name, one)) for one in columns):
                return 1
        return ROWS

    # --- values

    def _row(self, feed_name: str, feed: Feed, columns: Sequence[str], row: int) -> tuple[str, ...]:
        given = self.mapping.examples.get(feed_name, {})
        return tuple(
            given[name][row % len(given[name])]
            if name in given
            else self._value((feed_name, name), row)
            for name in columns
        )

    def _value(self, node: _Node, row: int) -> str:
        """The value of a column in a row: one that every field made of it takes, in every feed."""
        row = 0 if self._is_constant(node) else row
        nodes = self.rooted.get(self._root(node), [node])
        uses = [use for one in nodes for use in self.uses.get(one, ())]
        is_joined = self._root(node) != node or len(nodes) > 1
        if not is_joined:
            nodes, uses = [node], self.uses.get(node, [])
        if self._is_spare(node, row):
            return ""
        for text in self._candidates(nodes, uses, row, is_joined):
            if all(self._takes(one, text) for one in nodes):
                return text
        return ""

    def _is_spare(self, node: _Node, row: int) -> bool:
        """Columns that are seldom filled, and may be empty; parents of a first row."""
        uses, (feed_name, column) = self.uses.get(node, ()), node
        feed = self.mapping.feeds[feed_name]
        if uses and all(column in use.rule.coalesce[1:] for use in uses):
            return True
        is_asked = any(
            column in fill.where or column in fill.extra for fill in feed.entities.values()
        )
        is_seldom = all(use.name in SELDOM or (row == 0 and _is_parent(use)) for use in uses)
        return (
            is_seldom
            and not is_asked
            and self._takes(node, "")
            and not self._is_key_of_lookup(node)
        )

    def _is_key_of_lookup(self, node: _Node) -> bool:
        return node[1] in looked_up(self.resolved, node[0])

    def _candidates(
        self, nodes: Sequence[_Node], uses: Sequence[_Use], row: int, is_joined: bool
    ) -> Iterator[str]:
        if own := self._own_parent(nodes[0], row):
            yield own
        if is_joined or any(use.name == use.fill.entity.key for use in uses):
            for _, column in nodes:
                yield from of_header(column, row)
            yield from of_id(_target(self._names(nodes[0]), uses), row)
        for use in uses:
            if use.rule.extract:
                yield text_for(use.rule.extract, row)
        yield from self._said(nodes, uses, row)
        for use in uses:
            if use.part is None:
                yield from of_field(use.fill.entity.entity, use.name, row)
                yield from _typed(use, self.mapping.feeds[use.fill.feed_name], row)
        for use in uses:
            if use.rule.pattern:
                yield text_for(use.rule.pattern, row)
        for _, column in nodes:
            yield from of_header(column, row)
        yield from _counted(uses, row)

    def _names(self, node: _Node) -> Iterable[object]:
        root = self._root(node)
        return [one for one in (*self.parent, root) if self._root(one) == root]

    def _own_parent(self, node: _Node, row: int) -> str:
        """Where a row names another of its own table (a parent): the first row's id, or nothing in that row."""
        uses = self.uses.get(node, ())
        if not uses or not all(map(_is_parent, uses)):
            return ""
        key = uses[0].fill.rules.columns.get(uses[0].fill.entity.key)
        return self._value((node[0], key.from_[0]), 0) if key and key.from_ else ""

    def _said(self, nodes: Sequence[_Node], uses: Sequence[_Use], row: int) -> Iterator[str]:
        """Values that the mapping itself names."""
        for feed_name, column in nodes:
            feed = self.mapping.feeds[feed_name]
            said = feed.columns.get(column)
            if said and said.values and not any(use.rule.map for use in uses):
                yield from said.values
            if not uses:
                yield from (
                    text for fill in feed.entities.values() for text in fill.where.get(column, ())
                )
        words = {
            key: value or ""
            for use in uses if use.part is None for key, value in use.rule.map.items()
        }  # fmt: skip
        ordered = sorted(
            words, key=lambda key: LIKELY.index(words[key]) if words[key] in LIKELY else 99
        )
        is_turned = any(use.name == "role" for use in uses)
        for key in _turned(ordered, row if is_turned else 0):
            for use in uses:
                if use.rule.split:
                    yield use.rule.split.separator.join(
                        [key, *of_id(use.fill.entity.entity, row)][:2]
                    )
            yield key
        for use in uses:
            if use.field.type == "enum" and not use.rule.map:
                likely = [value for value in LIKELY if value in use.field.values]
                yield from (*likely, *use.field.values)

    def _takes(self, node: _Node, text: str) -> bool:
        """Whether the column may hold the text, for all that is made of it."""
        feed = self.mapping.feeds[node[0]]
        said = feed.columns.get(node[1])
        if said and said.values and text.casefold() not in {v.casefold() for v in said.values}:
            return False
        if any(
            text.casefold() in {v.casefold() for v in fill.deleted_when.get(node[1], ())}
            for fill in feed.entities.values()
        ):
            return False
        if said and said.filled and not text:
            return False
        takers = [
            name for name, fill in feed.entities.items() if _passes(fill, node[1], text)
        ]  # fmt: skip
        if feed.entities and not takers:
            return False
        return all(
            _fits(use, feed, text) for use in self.uses.get(node, ())
            if use.fill.feed_name != node[0] or use.fill.entity.entity in takers
        )  # fmt: skip


def _part(rule: ColumnRule, place: int) -> int | None:
    if rule.lookup:
        return -1
    return place if rule.concat else None


def _is_parent(use: _Use) -> bool:
    """Whether the field names another record of its own table."""
    reference = use.field.references
    return reference is not None and reference.entity == use.fill.entity.entity


def _passes(fill: EntityFill, column: str, text: str) -> bool:
    """Whether a row with the text in the column is one that the entity takes."""

    def among(values: Sequence[str]) -> bool:
        return text.casefold() in {value.casefold() for value in values}

    return (column not in fill.where or among(fill.where[column])) and not (
        column in fill.where_not and among(fill.where_not[column])
    )


def _target(names: Iterable[object], uses: Sequence[_Use]) -> str:
    """The entity whose ids a class of columns holds, or a part of them: `section/1`."""
    found = [name for name in names if isinstance(name, str)]
    found += [
        use.fill.entity.entity
        for use in uses
        if use.name == use.fill.entity.key and use.part is None
    ]
    if found:
        return found[0]
    parts = sorted((n for n in names if isinstance(n, tuple) and len(n) == 3), key=str)
    return f"{parts[0][0]}/{parts[0][1]}" if parts else ""


def _turned(values: Sequence[str], row: int) -> tuple[str, ...]:
    """The values beginning with the row's own."""
    at = row % max(len(values), 1)
    return (*values[at:], *values[:at])


def _typed(use: _Use, feed: Feed, row: int) -> Iterator[str]:
    """Values of the field's type, written as the feed writes them."""
    field, rule, values = use.field, use.rule, feed.values
    if field.type in ("date", "timestamp"):
        formats = (
            rule.date_formats or values.date_formats
            if field.type == "date"
            else rule.timestamp_formats or values.timestamp_formats
        )
        yield from (written(day_for(use.name, row), one) for one in formats)
    elif field.type == "boolean":
        is_yes = "primary" in use.name and row == 0
        yield (
            (rule.true_tokens or values.true_tokens)
            if is_yes
            else (rule.false_tokens or values.false_tokens)
        )[0]
    elif field.type == "decimal":
        yield (
            f"{max(field.minimum or 0, 3)}"
            + ("," if (rule.decimal or values.decimal) == "comma" else ".")
            + "0"
        )
    elif field.type == "integer":
        low = field.minimum or 0
        yield from (str(number) for number in (low + row + 1, 10, 30, low))


def day_for(name: str, row: int) -> datetime:
    """An invented day for a field of this name; the rows lie in three terms, one after the other."""
    if "birth" in name:
        return datetime(2009, 5, 23 + row)  # noqa: DTZ001 (a calendar day)
    is_end = name.startswith(("end", "due"))
    return (ENDS if is_end else BEGINNINGS)[row]


def written(instant: datetime, strptime_format: str) -> str:
    """An instant as the format has it; fractions of a second with three digits."""
    return instant.replace(tzinfo=UTC).strftime(strptime_format.replace("%f", "000"))


def _counted(uses: Sequence[_Use], row: int) -> Iterator[str]:
    width = max((use.rule.width or 0 for use in uses), default=0)
    if width:
        yield str(row + 1).rjust(width, "0")
    yield f"A{row + 1}"
    yield str(row + 1)
    yield "A"
    yield ""


def _fits(use: _Use, feed: Feed, text: str) -> bool:
    """Whether the field takes the text: a plain reading of the steps of a rule, for choosing only."""
    rule, field = use.rule, use.field
    if rule.sensitive == "drop":
        return True
    if use.part == -1:
        return True
    tokens = {
        t.casefold()
        for t in (*(rule.null_tokens or feed.values.null_tokens), *feed.values.clear_tokens)
    }
    is_none = not text.strip() or text.strip().casefold() in tokens
    has_default = rule.default is not None or field.default is not None
    if is_none:
        is_key = use.name == use.fill.entity.key
        return (
            not (is_key or (field.required and use.fill.rules.insert and not has_default))
            and not use.rule.concat
        )
    if use.part is not None:
        return rule.separator == "" or rule.separator not in text
    if rule.width and len(text) < rule.width:
        return False
    value = _stepped(rule, text.strip())
    if value is None:
        return not field.required
    if rule.map or field.type == "enum":
        known = {v.casefold() for v in (*field.values, *rule.map)}
        return value.casefold() in known or rule.on_unmapped != "reject"
    if rule.pattern and not re.fullmatch(rule.pattern, value):
        return False
    return len(value) <= field.max_length and _has_type(use, feed, value)


def _stepped(rule: ColumnRule, value: str) -> str | None:
    if rule.split:
        parts = value.split(rule.split.separator)
        if not -len(parts) <= rule.split.index < len(parts):
            return None
        value = parts[rule.split.index]
    if rule.extract:
        match = re.search(rule.extract, value)
        if not match:
            return None
        value = match[1]
    value = (
        value.upper() if rule.case == "upper" else value.lower() if rule.case == "lower" else value
    )
    return value.rjust(rule.pad, "0") if rule.pad else value


def _has_type(use: _Use, feed: Feed, value: str) -> bool:
    field, rule, values = use.field, use.rule, feed.values
    if field.type == "integer":
        return re.fullmatch(r"[0-9]+", value) is not None and (
            (field.minimum or 0)
            <= int(value)
            <= (field.maximum if field.maximum is not None else int(value))
        )
    if field.type == "decimal":
        sign = "," if (rule.decimal or values.decimal) == "comma" else r"\."
        return re.fullmatch(rf"[0-9]+({sign}[0-9]+)?", value) is not None
    if field.type == "boolean":
        words = (
            *(rule.true_tokens or values.true_tokens),
            *(rule.false_tokens or values.false_tokens),
        )
        return value.casefold() in {word.casefold() for word in words}
    if field.type in ("date", "timestamp"):
        return any(value == written(day_for(use.name, row), one) for row in range(ROWS) for one in (
            *(rule.date_formats or values.date_formats),
            *(rule.timestamp_formats or values.timestamp_formats),
        ))  # fmt: skip
    return True


def _parts(feed: Feed) -> list[str]:
    names = [m[1] for pattern in feed.file for m in FILE_PART.finditer(pattern)]
    return [name for name in dict.fromkeys(names) if name != "date"]


def _written(feed: Feed, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The file as the feed's format has it; comma and UTF-8 where nothing was agreed."""
    form = feed.format
    lines = ["Export", *([""] * (form.skip_lines - 1))] if form.skip_lines else []
    buffer = io.StringIO()
    if form.widths:
        for row in ([columns] if form.header else []) + list(rows):
            cells = (
                cell[:width].ljust(width) for cell, width in zip(row, form.widths, strict=False)
            )
            buffer.write("".join(cells) + "\r\n")
    else:
        writer = csv.writer(
            buffer, delimiter=form.delimiter_character or ",", quotechar=form.quote_character or '"',
            lineterminator="\r\n",
        )  # fmt: skip
        if form.header:
            writer.writerow(columns)
        writer.writerows(rows)
    return "".join(f"{line}\r\n" for line in lines) + buffer.getvalue()
