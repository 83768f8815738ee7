"""The sentences of one language: `include/languages/<language>.yaml`, and what others say of our fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from etl_lib.config.entity import Entity
from etl_lib.config.project import Project
from etl_lib.config.yaml_file import read_yaml
from etl_lib.errors import Fault, FixTheMapping
from etl_lib.messages import CATALOGUE, Message, Owner

FIRST = "en"  # its entities and messages are the originals
# Codes that a school's report can hold, by what they speak of.
SCHOOLS_CODES = tuple(one for one in CATALOGUE.values() if one.owner is Owner.SCHOOL)


@dataclass(frozen=True)
class Words:
    """One language; `tree` is its file."""

    language: str
    tree: Mapping[str, Any]
    shown: str

    @classmethod
    def of(cls, project: Project, language: str) -> Words:
        """The language of the project. Raises FixTheMapping for one that is not there or not YAML."""
        path = language_file(project, language)
        if language not in project.languages():
            known = ", ".join(project.languages())
            text = f"There is no language `{language}`."
            raise FixTheMapping.of(
                "LANGUAGE_INCOMPLETE", text, "include/languages", f"There are: {known}."
            )
        return cls(language, read_yaml(path, project.shown(path)).data, project.shown(path))

    def __call__(self, key: str, **given: object) -> str:
        """The sentence under a dotted key, filled in; raises FixTheMapping for one that is not there."""
        found = self._at(key)
        if not isinstance(found, str):
            raise self._missing(key)
        return found.format(**given)

    def lines(self, key: str, **given: object) -> list[str]:
        """The sentences of a list."""
        found = self._at(key)
        if not isinstance(found, list):
            raise self._missing(key)
        return [str(one).format(**given) for one in found]

    def _at(self, key: str) -> Any:
        found: Any = self.tree
        for part in key.split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise self._missing(key)
            found = found[part]
        return found

    def _missing(self, key: str) -> FixTheMapping:
        return FixTheMapping.of("LANGUAGE_INCOMPLETE", f"`{key}` is missing.", self.shown)

    def day(self, day: date) -> str:
        """A day as people write it."""
        months = self.lines("months")
        return self("day", day=day.day, month=months[day.month - 1], year=day.year)

    def all_of(self, texts: Iterable[str], last: str = "list_and") -> str:
        """`a, b and c`."""
        *most, end = [*texts] or [""]
        return f"{', '.join(most)} {self(last)} {end}" if most else end

    def any_of(self, texts: Iterable[str]) -> str:
        """`a, b or c`."""
        return self.all_of(texts, "list_or")

    def entity(self, entity: Entity) -> str:
        """What an entity is."""
        return entity.description if self.language == FIRST else self(f"entities.{entity.entity}._")

    def field(self, entity: Entity, name: str) -> str:
        """What a field means."""
        if self.language == FIRST:
            return entity.fields[name].description
        return self(f"entities.{entity.entity}.{name}")

    def value(self, value: str) -> str:
        """What one of our values is called."""
        if value in ("true", "false"):
            return self("yes" if value == "true" else "no")
        return value.replace("_", " ") if self.language == FIRST else self(f"values.{value}")

    def message(self, known: Message) -> tuple[str, str]:
        """What happened, and what to do."""
        if self.language == FIRST:
            return known.meaning, known.remedy
        return self(f"codes.{known.code}.meaning"), self(f"codes.{known.code}.remedy")


def language_file(project: Project, language: str) -> Path:
    """Where the language's sentences stand."""
    return project.include / "languages" / f"{language}.yaml"


def faults_of_languages(project: Project) -> list[Fault]:
    """Sentences that a language lacks, or has for nothing, measured by English and the entity files."""
    first = Words.of(project, FIRST)
    wanted = dict(_leaves(first.tree))
    faults = []
    for language in project.languages():
        words = Words.of(project, language)
        found = dict(_leaves(words.tree))
        extra = {} if language == FIRST else dict.fromkeys(_originals(project), 0)
        for key in dict.fromkeys([*wanted, *extra]):
            if key not in found:
                faults.append(Fault("LANGUAGE_INCOMPLETE", f"`{key}` is missing.", words.shown))
            elif key in wanted and _blanks(wanted[key]) != _blanks(found[key]):
                text = f"`{key}` fills in other names than English does."
                faults.append(Fault("LANGUAGE_INCOMPLETE", text, words.shown))
        for key in found.keys() - wanted.keys() - extra.keys():
            faults.append(Fault("LANGUAGE_INCOMPLETE", f"`{key}` is used by nothing.", words.shown))
    return faults


def _originals(project: Project) -> Iterator[str]:
    """Keys of what English has elsewhere: entities, fields, values, codes."""
    for name, entity in project.entities.items():
        yield f"entities.{name}._"
        for field_name, field in entity.fields.items():
            yield f"entities.{name}.{field_name}"
            yield from (f"values.{value}" for value in field.values)
    for known in SCHOOLS_CODES:
        yield from (f"codes.{known.code}.meaning", f"codes.{known.code}.remedy")


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every sentence by its dotted key; those of a list by their number."""
    if isinstance(tree, Mapping):
        for key, inner in tree.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list):
        for number, inner in enumerate(tree):
            yield from _leaves(inner, f"{path}.{number}")
    else:
        yield path, str(tree)


def _blanks(text: str) -> set[str]:
    """The names in braces."""
    from string import Formatter

    return {name for _, name, _, _ in Formatter().parse(text) if name}
