"""The canonical model: what one entity file (`include/entities/<entity>.yaml`) says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]

# A row is rejected when a value is unknown, or kept and counted as unresolved.
OnUnknown = Literal["reject", "keep"]

# Which entity stands before which as long as no reference says otherwise; those not named here follow.
_AS_READ = (
    "organization", "term", "program", "course", "section", "person", "person_role",
    "program_enrollment", "section_staff", "enrollment", "line_item", "result",
)  # fmt: skip


class Model(BaseModel):
    """Frozen, and no unknown key: past the loader nobody checks again."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(Model):
    """A field that holds the key of a row of another entity."""

    entity: Name
    on_unknown: OnUnknown


class EntityField(Model):
    """One column of an entity's table.

    `type` is one of id (text up to 255, case-sensitive, leading zeros kept), text, enum (one of
    `values`), integer, decimal (`precision`, `scale`), boolean, date, timestamp; `array: true`
    makes it an array of id or text.
    """

    type: Literal["id", "text", "enum", "integer", "decimal", "boolean", "date", "timestamp"]
    description: str = Field(description="What the field means; shown in guides for schools.")
    array: bool = False
    required: bool = False
    values: tuple[str, ...] = ()
    default: str | int | bool | None = None
    precision: int = Field(default=10, ge=1, le=38)
    scale: int = Field(default=3, ge=0, le=12)
    max_length: int = Field(default=4000, ge=1)
    minimum: int | None = None
    maximum: int | None = None
    references: Reference | None = None
    sensitive: bool = False
    code: bool = Field(
        default=False,
        description="Text that is a code, number or grade, never words: a spreadsheet may damage it.",
    )
    aliases: tuple[str, ...] = Field(
        default=(), description="Header names under which source systems know the field."
    )
    value_aliases: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Words and codes of source systems for each of `values`; used to propose a `map`.",
    )

    @model_validator(mode="after")
    def keys_fit_the_type(self) -> Self:
        """`values` belongs to enum, and an enum has some; arrays and codes have their types."""
        if (self.type == "enum") != bool(self.values):
            raise ValueError("a field of type enum has `values`, any other type has none")
        if self.array and self.type not in ("id", "text"):
            raise ValueError("only id and text fields can be arrays")
        if self.code and self.type != "text":
            raise ValueError("`code` says more about a text field; an id is always a code")
        if unknown := sorted(self.value_aliases.keys() - set(self.values)):
            raise ValueError(f"`value_aliases` of no allowed value: {', '.join(unknown)}")
        return self


class Entity(Model):
    """A table of the canonical model; its key is (client_id, <entity>_id)."""

    entity: Name
    description: str
    aliases: tuple[str, ...] = Field(
        default=(), description="Words for such records in the names of files and headers."
    )
    natural_key: tuple[Name, ...] = Field(
        default=(), description="Fields that make the key when the source has no stable id."
    )
    fields: dict[Name, EntityField]
    ordered: tuple[tuple[Name, Name], ...] = Field(
        default=(), description="Pairs of fields of which the first may not lie after the second."
    )
    unique_warn: tuple[Name, ...] = Field(
        default=(), description="Fields whose duplicates are worth a warning."
    )
    delete_absent: bool = Field(
        default=False, description="Rows that vanish from a full feed are deleted (softly)."
    )

    @property
    def key(self) -> str:
        """Name of the key column."""
        return f"{self.entity}_id"

    @cached_property
    def references(self) -> dict[str, Reference]:
        """References by the field that holds them."""
        return {n: f.references for n, f in self.fields.items() if f.references is not None}

    def referring_to(self, entity: str) -> list[str]:
        """The fields that refer to records of the entity."""
        return [name for name, reference in self.references.items() if reference.entity == entity]

    @model_validator(mode="after")
    def names_exist(self) -> Self:
        """The key is a field of ids, and every name used elsewhere in the file is one too."""
        if self.key not in self.fields:
            raise ValueError(f"fields must hold the key `{self.key}`")
        if self.fields[self.key].type != "id":
            raise ValueError(f"the key `{self.key}` must have the type id")
        used = {*self.natural_key, *self.unique_warn, *(n for pair in self.ordered for n in pair)}
        if unknown := sorted(used - self.fields.keys()):
            raise ValueError(f"not a field of this entity: {', '.join(unknown)}")
        return self


def whose_keys_are_held(entities: Iterable[Entity]) -> set[str]:
    """Names of the entities of whose keys their rows hold some: themselves, and what they refer to."""
    found: set[str] = set()
    for entity in entities:
        found |= {entity.entity, *(one.entity for one in entity.references.values())}
    return found


def in_load_order(entities: Mapping[str, Entity]) -> dict[str, Entity]:
    """The entities so that each stands after those it refers to; of a circle one has to come first.

    Required references are followed before others, so that a circle is never opened at one of them
    where it could be opened at another.
    """
    place = {name: number for number, name in enumerate(_AS_READ)}
    ordered: dict[str, Entity] = {}
    begun: set[str] = set()

    def put(name: str, follow: tuple[OnUnknown, ...]) -> None:
        if name in ordered or name in begun or name not in entities:
            return
        begun.add(name)
        for kind in follow:
            for reference in entities[name].references.values():
                if reference.on_unknown == kind:
                    put(reference.entity, follow)
        begun.remove(name)
        ordered[name] = entities[name]

    for name in sorted(entities, key=lambda name: (place.get(name, len(place)), name)):
        put(name, ("reject", "keep"))
    return ordered
