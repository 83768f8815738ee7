"""What a feed's columns mean for a school: needed or not, what each says, how it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from etl_lib.config.entity import Entity, EntityField
from etl_lib.config.mapping import FILE_PART, ColumnRule, EntityFill, Feed
from etl_lib.config.project import ResolvedMapping
from etl_lib.config.words import Words
from etl_lib.extract.reader.columns import Expected
from etl_lib.onboarding.guide.blocks import code
from etl_lib.onboarding.guide.example import (
    chosen_pattern,
    columns_of,
    is_dropped,
    looked_up,
    written,
)
from etl_lib.onboarding.guide.invented import BEGINNINGS

_SHORT = 100  # a limit of length that nobody reaches is not worth a word


@dataclass(frozen=True)
class _Use:
    """A column as one field of an entity uses it."""

    entity: Entity
    fill: EntityFill
    name: str
    field: EntityField
    rule: ColumnRule

    @property
    def is_whole(self) -> bool:
        """Whether the column itself is the field's value, not a part of it or a way to it."""
        return bool(self.rule.from_ or self.rule.coalesce)


class Columns:
    """One feed's columns, in words."""

    def __init__(self, resolved: ResolvedMapping, feed_name: str, words: Words) -> None:
        self.resolved, self.name, self.say = resolved, feed_name, words
        self.feed: Feed = resolved.mapping.feeds[feed_name]
        self.required = Expected.of(self.feed, resolved).required

    def rows(self) -> tuple[tuple[str, ...], ...]:
        """A row for each column: name, needed, meaning, form."""
        taken = looked_up(self.resolved, self.name)
        names = sorted(columns_of(self.feed, taken), key=lambda name: not self._is_required(name))
        return tuple(
            (self._shown(name), self._need(name), self._meaning(name), self._form(name))
            for name in names
        )

    def rules(self) -> Iterator[str]:
        """Sentences on which rows are read, and which delete."""
        say = self.say
        fills = list(self.feed.entities.items())
        for entity_name, fill in fills:
            what = say.entity(self.resolved.entities[entity_name]).rstrip(".")
            for column, values in fill.where.items():
                if values == ("",):
                    continue
                key = "feed.only_rows" if len(fills) == 1 else "feed.for_rows"
                yield say(key, column=code(column), values=say.any_of(map(code, values)), what=what)
            for column, values in fill.where_not.items():
                shown = [code(value) for value in values if value]
                if shown and len(fills) == 1:
                    yield say("feed.not_rows", column=code(column), values=say.any_of(shown))
        dropped = [name for name in self.feed.source_columns if is_dropped(self.feed, name)]
        if dropped and self.feed.format.header:
            it = say("feed.it.one" if len(dropped) == 1 else "feed.it.many")
            yield say("feed.dropped", columns=say.all_of(map(code, dropped)), it=it)

    # --- name and need

    def _shown(self, name: str) -> str:
        others = [
            other for fill in self.feed.entities.values() for rule in fill.columns.values()
            if name in rule.from_ for other in rule.from_ if other != name
        ]  # fmt: skip
        if said := self.feed.columns.get(name):
            others += said.aliases
        also = (
            self.say("feed.also", names=", ".join(map(code, dict.fromkeys(others))))
            if others
            else ""
        )
        return f"{code(name)} {also}".strip()

    def _is_asked_for(self, name: str) -> bool:
        """Whether a row without a value in the column is read by no entity."""
        fills = self.feed.entities.values()
        return all(name in fill.where and "" not in fill.where[name] for fill in fills)

    def _is_required(self, name: str) -> bool:
        return any(name in group for group in self.required)

    def _need(self, name: str) -> str:
        say = self.say
        groups = [group for group in self.required if name in group]
        spare = [group for group in groups if len(set(group) & set(columns_of(self.feed))) > 1]
        if groups and len(spare) == len(groups):
            return say("feed.need.one_of", names=say.any_of(map(code, spare[0])))
        said = self.feed.columns.get(name)
        filled = bool(said and (said.filled or (said.values and "" not in said.values)))
        filled = filled or any(self._must_have_value(use) for use in self._uses(name))
        if groups:
            return say("feed.need.filled" if filled else "feed.need.always")
        return say("feed.need.no")

    def _must_have_value(self, use: _Use) -> bool:
        has_default = use.rule.default is not None or use.field.default is not None
        needed = use.field.required or (
            use.entity.key not in use.fill.columns
            and use.name in use.entity.natural_key
            and use.field.required
        )
        return needed and not has_default and (use.fill.insert or use.name == use.entity.key)

    # --- meaning

    def _uses(self, name: str) -> list[_Use]:
        return [
            _Use(entity, fill, field_name, entity.fields[field_name], rule)
            for entity_name, fill in self.feed.entities.items()
            for entity in [self.resolved.entities[entity_name]]
            for field_name, rule in fill.columns.items()
            if name
            in (*rule.source_columns, *(c for group in self._group(rule, name) for c in group))
        ]

    def _group(self, rule: ColumnRule, name: str) -> list[tuple[str, ...]]:
        """Alternative headers are one column."""
        return [rule.from_] if name in rule.from_ else []

    def _meaning(self, name: str) -> str:
        meanings = list(dict.fromkeys(self._meanings(name)))
        return " ".join(meanings) or self.say("feed.no_meaning")

    def _meanings(self, name: str) -> Iterator[str]:
        say, feed = self.say, self.feed
        if feed.renames:
            for part in ("old", "new", "type"):
                if name in feed.renames.rules[part].source_columns:
                    yield say(f"feed.renames.{part}")
        uses = self._uses(name)
        keys = {use.entity.entity for use in uses if use.name == use.entity.key and use.is_whole}
        for use in uses:
            if use.rule.sensitive == "drop":
                continue
            reference = use.field.references
            if reference and reference.entity in keys:
                continue  # the person of a role is the person of the row
            said = say.field(use.entity, use.name)
            if use.rule.concat:
                yield say("feed.part_of", what=said)
            elif use.rule.lookup:
                file = _file(self.resolved, use.rule.lookup.feed)
                yield say("feed.looks_up", column=code(use.rule.lookup.column), file=file)
            elif name in use.rule.coalesce[1:]:
                yield say("feed.next_of", first=code(use.rule.coalesce[0]), what=said)
            elif use.rule.coalesce and len(use.rule.coalesce) > 1:
                yield say("feed.first_of", what=said)
            else:
                yield said
            if use.rule.when:
                for column, values in use.rule.when.items():
                    yield say(
                        "feed.when", column=code(column), values=say.any_of(map(code, values))
                    )
        for other in self._takers(name):
            yield say("feed.looked_up", file=_file(self.resolved, other))
        fills = feed.entities.values()
        if not uses and any(name in (*f.where, *f.where_not, *f.deleted_when) for f in fills):
            deletes = all(name not in f.where and name not in f.where_not for f in fills)
            yield say("feed.marks" if deletes else "feed.decides")
        if any(name in fill.extra for fill in fills):
            yield say("feed.kept")

    def _takers(self, name: str) -> Iterator[str]:
        if self.feed.entities:
            return
        for other, feed in self.resolved.mapping.feeds.items():
            for fill in feed.entities.values():
                for rule in fill.columns.values():
                    if (
                        rule.lookup
                        and rule.lookup.feed == self.name
                        and name in (rule.lookup.key, rule.lookup.column)
                    ):
                        yield other

    # --- form

    def _form(self, name: str) -> str:
        parts = list(dict.fromkeys(self._forms(name)))
        text = "; ".join(parts) or self.say("form.any")
        return f"{text[:1].upper()}{text[1:]}."

    def _forms(self, name: str) -> Iterator[str]:
        say = self.say
        uses = self._uses(name)
        if any(use.field.array for use in uses):
            yield from (form for use in uses if use.field.array for form in self._of_type(use))
            return
        values = self._values(name)
        if values and not uses and set(values.values()) == {_DELETES}:
            yield say("form.only_deletes", values=say.any_of(map(code, values)))
            return
        if values:
            yield say("form.values", values=", ".join(self._valued(values)))
            yield from self._otherwise(name)
        for use in uses:
            if use.rule.sensitive == "drop":
                continue
            if not values and (use.is_whole or use.rule.concat):
                yield from self._of_type(use)
            yield from self._steps(use)

    def _of_type(self, use: _Use) -> Iterator[str]:
        say, field, rule, values = self.say, use.field, use.rule, self.feed.values
        if field.array:
            yield say("form.list", separator=rule.list_separator)
        elif field.type == "id" and use.is_whole and not (rule.split or rule.extract):
            yield say("form.id", n=255)
        elif field.type == "text" and field.code and use.is_whole:
            yield say("form.code", n=field.max_length)
        elif field.type == "text" and field.max_length <= _SHORT and use.is_whole:
            yield say("form.text", n=field.max_length)
        elif field.type == "integer":
            yield say("form.integer")
            yield from self._bounds(field)
        elif field.type == "decimal":
            sign = rule.decimal or values.decimal
            yield say(
                f"form.decimal_{sign}",
                example=f"{max(field.minimum or 0, 3)}{',' if sign == 'comma' else '.'}5",
            )
            yield from self._bounds(field)
        elif field.type == "boolean":
            true, false = (
                rule.true_tokens or values.true_tokens,
                rule.false_tokens or values.false_tokens,
            )
            yield say(
                "form.boolean", true=", ".join(map(code, true)), false=", ".join(map(code, false))
            )
        elif field.type in ("date", "timestamp"):
            formats = (
                rule.date_formats or values.date_formats
                if field.type == "date"
                else rule.timestamp_formats or values.timestamp_formats
            )
            examples = dict.fromkeys(code(written(BEGINNINGS[0], one)) for one in formats)
            yield say(f"form.{field.type}", examples=say.any_of(examples))

    def _bounds(self, field: EntityField) -> Iterator[str]:
        if field.minimum is not None and field.maximum is not None:
            yield self.say("form.between", low=field.minimum, high=self._number(field.maximum))
        elif field.minimum is not None:
            yield self.say("form.at_least", low=field.minimum)

    def _number(self, number: int) -> str:
        return f"{number:,}".replace(",", self.say("thousands")) if number > 9999 else str(number)

    def _steps(self, use: _Use) -> Iterator[str]:
        say, rule = self.say, use.rule
        if rule.split:
            keys = {0: "form.split_first", -1: "form.split_last"}
            key = keys.get(rule.split.index, "form.split")
            yield say(key, separator=rule.split.separator, n=rule.split.index + 1)
        if rule.extract:
            yield say("form.extract")
        if rule.pattern:
            yield say("form.pattern", pattern=rule.pattern.replace("`", "'"))
        if rule.width:
            yield say("form.width", n=rule.width)
        if rule.pad:
            yield say("form.padded", n=rule.pad)
        if rule.sensitive == "hash":
            yield say("form.hashed")
        if rule.sensitive == "mask":
            yield say("form.masked")
        if rule.blank == "keep":
            yield say("form.keeps")
            if tokens := self.feed.values.clear_tokens:
                yield say("form.clears", tokens=say.any_of(map(code, tokens)))

    def _values(self, name: str) -> dict[str, str]:
        """The allowed values with what each means; a value that deletes says so."""
        found: dict[str, str] = {}
        said = self.feed.columns.get(name)
        renames = self.feed.renames
        if renames and name in renames.type.source_columns:
            return dict.fromkeys(renames.entities, "")
        for use in self._uses(name):
            if not use.is_whole or use.rule.sensitive == "drop":
                continue
            if use.rule.map and not (use.rule.split or use.rule.extract):
                for key, ours in use.rule.map.items():
                    found.setdefault(key, ours or "")
            elif use.field.type == "enum" and not use.rule.map:
                for value in use.field.values:
                    found.setdefault(value, value)
        if said and said.values:
            found = {value: found.get(value, "") for value in said.values}
        for fill in self.feed.entities.values():
            for value in fill.deleted_when.get(name, ()):
                found[value] = _DELETES
        return found

    def _valued(self, values: Mapping[str, str]) -> Iterator[str]:
        for value, ours in values.items():
            if ours == _DELETES:
                meaning = self.say("form.deletes")
            elif not ours or ours not in self._known():
                meaning = ours
            else:
                meaning = self.say.value(ours)
            same = meaning.casefold() == value.casefold() or not meaning
            yield (
                code(value) if same else self.say("form.means", value=code(value), meaning=meaning)
            )

    def _known(self) -> set[str]:
        fields = (f for entity in self.resolved.entities.values() for f in entity.fields.values())
        return {value for field in fields for value in field.values} | {"true", "false"}

    def _otherwise(self, name: str) -> Iterator[str]:
        """What becomes of other values and of none; of the first field that says so."""
        say = self.say
        for use in self._uses(name):
            rule = use.rule
            if not (rule.map or use.field.type == "enum") or not use.is_whole or rule.split:
                continue
            default = rule.default if rule.default is not None else use.field.default
            meant = say.value(str(default)) if str(default) in self._known() else str(default)
            yield say(f"form.unmapped.{rule.on_unmapped}", default=meant)
            if (
                default is not None
                and not self._must_have_value(use)
                and not self._is_asked_for(name)
            ):
                yield say("form.empty_is", default=meant)
            return


_DELETES = "\0deletes"


def _file(resolved: ResolvedMapping, feed_name: str) -> str:
    return code(chosen_pattern(resolved.mapping.feeds[feed_name]))


def file_parts(feed: Feed) -> Sequence[str]:
    """The {parts} of the feed's file names, without the date."""
    names = [found[1] for pattern in feed.file for found in FILE_PART.finditer(pattern)]
    return [name for name in dict.fromkeys(names) if name != "date"]


def example_day(day: date, date_format: str) -> str:
    """A day as file names have it."""
    return code(day.strftime(date_format))
