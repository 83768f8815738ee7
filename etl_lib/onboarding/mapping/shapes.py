"""How records of each entity stand in files: what the tables here know, and what any other entity's file tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from etl_lib.config.entity import Entity

Part = tuple[str, str]  # entity and field
# What a key is made of where the source has none, the best first.
_RECIPES: Mapping[str, tuple[tuple[Part, ...], ...]] = {
    "organization": ((("organization", "organization_id"),), (("organization", "code"),), (("organization", "name"),)),
    "term": ((("term", "term_id"),), (("term", "code"),), (("term", "name"),)),
    "program": ((("program", "program_id"),), (("program", "code"),), (("program", "name"),)),
    "course": (
        (("course", "course_id"),),
        (("course", "subject_code"), ("course", "catalog_number")),
        (("course", "code"),),
    ),
    "section": (
        (("section", "section_id"),),
        (("term", "term_id"), ("section", "reference_number")),
        (("section", "reference_number"),),
        (("term", "term_id"), ("course", "subject_code"), ("course", "catalog_number"), ("section", "section_code")),
        (("term", "term_id"), ("course", "course_id"), ("section", "section_code")),
        (("term", "term_id"), ("course", "code"), ("section", "section_code")),
        (("course", "subject_code"), ("course", "catalog_number"), ("section", "section_code")),
        (("course", "course_id"), ("section", "section_code")),
        (("course", "code"), ("section", "section_code")),
    ),
    "person": (
        (("person", "person_id"),),
        (("person", "display_number"),),
        (("person", "master_id"),),
        (("person", "username"),),
    ),
    "line_item": ((("line_item", "line_item_id"),), (("section", "section_id"), ("line_item", "title"))),
}  # fmt: skip
# Entities that join others, and the entities whose keys they join.
_LINKS: Mapping[str, tuple[str, ...]] = {
    "enrollment": ("section", "person"),
    "section_staff": ("section", "person"),
    "result": ("line_item", "person"),
    "program_enrollment": ("person", "program"),
    "person_role": ("person",),
}
# Of each subject the entities that a bare name (status, credits, title) belongs to, the nearest first.
_NEAREST: Mapping[str, tuple[str, ...]] = {
    "organization": ("organization",),
    "term": ("term",),
    "program": ("program",),
    "course": ("course",),
    "section": ("section", "course", "section_staff", "term"),
    "person": ("person", "program_enrollment", "program", "person_role"),
    "person_role": ("person_role", "person"),
    "program_enrollment": ("program_enrollment", "program", "person", "term"),
    "section_staff": ("section_staff", "section", "person", "course", "term"),
    "enrollment": (
        "enrollment",
        "section",
        "course",
        "program_enrollment",
        "program",
        "person",
        "term",
    ),
    "line_item": ("line_item", "section", "course"),
    "result": ("result", "line_item", "person"),
}
# What a file must say of an entity beyond its key to fill it in passing.
_TELLING: Mapping[str, tuple[str, ...]] = {
    "organization": ("name",),
    "term": ("name", "start_date"),
    "program": ("name", "degree", "code"),
    "course": ("title",),
    "section": (
        "name",
        "section_code",
        "start_date",
        "capacity",
        "location",
        "instruction_mode",
        "type",
    ),
    "person": ("given_name", "family_name", "full_name", "email"),
    "line_item": ("title", "category", "score_max"),
}
_NAME_FIELDS: Mapping[str, str] = {"section": "name", "course": "title", "organization": "name", "term": "name",
                "program": "name", "line_item": "title"}  # fmt: skip
# Entities that join others, of which a file about something else may hold some.
IN_PASSING = frozenset(_LINKS)


@dataclass(frozen=True)
class Shapes:
    """By entity: recipes of its key, the best first; entities whose keys it joins; entities that bare
    names belong to in a file of its rows; fields that tell of it in passing; the field of its name.
    """

    recipes: Mapping[str, tuple[tuple[Part, ...], ...]]
    links: Mapping[str, tuple[str, ...]]
    nearest: Mapping[str, tuple[str, ...]]
    telling: Mapping[str, tuple[str, ...]]
    names: Mapping[str, str]

    @classmethod
    def of(cls, entities: Mapping[str, Entity]) -> Shapes:
        """For every entity that there is, also one that nobody has met when this was written."""
        links = {name: _LINKS.get(name) or _joined(one) for name, one in entities.items()}
        links = {name: joined for name, joined in links.items() if joined and name not in _RECIPES}
        return cls(
            recipes={
                n: _RECIPES.get(n) or _of_key(one) for n, one in entities.items() if n not in links
            },
            links=links,
            nearest={n: _NEAREST.get(n) or (n, *_targets(one)) for n, one in entities.items()},
            telling={n: _TELLING.get(n) or tuple(_said(one)) for n, one in entities.items()},
            names={
                n: name
                for n, one in entities.items()
                if (name := _NAME_FIELDS.get(n) or _name(n, one))
            },
        )


def _joined(entity: Entity) -> tuple[str, ...]:
    """The entities whose keys make the natural key."""
    references = entity.references
    return tuple(
        references[name].entity
        for name in entity.natural_key
        if name in references
        and name == f"{references[name].entity}_id"
        and entity.fields[name].required
    )


def _of_key(entity: Entity) -> tuple[tuple[Part, ...], ...]:
    natural = tuple((entity.entity, name) for name in entity.natural_key)
    own = ((entity.entity, entity.key),)
    return (own, natural) if natural else (own,)


def _targets(entity: Entity) -> Iterator[str]:
    return (
        one
        for one in dict.fromkeys(r.entity for r in entity.references.values())
        if one != entity.entity
    )


def _said(entity: Entity) -> Iterator[str]:
    """Fields that a row must have and that are no id: whoever gives them speaks of the record."""
    for name, one in entity.fields.items():
        if one.required and one.default is None and name != entity.key and one.references is None:
            yield name


def _name(name: str, entity: Entity) -> str:
    known = name in _RECIPES or name in _LINKS
    return next((one for one in ("name", "title") if one in entity.fields and not known), "")
