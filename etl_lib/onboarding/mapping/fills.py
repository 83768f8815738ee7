"""Which entities a file fills, which column is which field, and how the keys are put together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from etl_lib.onboarding.mapping.codes import yes_no_tokens
from etl_lib.onboarding.mapping.content import Content
from etl_lib.onboarding.mapping.meanings import (
    SURE,
    Lexicon,
    Meaning,
    common_prefix,
    is_plain_reference,
)
from etl_lib.onboarding.mapping.samples import Sample
from etl_lib.onboarding.mapping.shapes import IN_PASSING, Part
from etl_lib.onboarding.mapping.words import words_of

_LIKELY = 0.75  # below it a column is no candidate for a key
_NEARLY_ALL = 0.98
# Bare names that may as well be those of the row itself.
_OF_ANYTHING = ("name", "title", "full_name", "code", "type", "status", "start_date", "end_date")
_PERSONA_OF = {"enrollment": "student", "result": "student", "section_staff": "faculty",
               "program_enrollment": "student"}  # fmt: skip
_ONLY_OF_STUDENTS: Sequence[Part] = (
    ("person", "grade_level"), ("program_enrollment", "class_standing"), ("program", "program_id"),
)  # fmt: skip
_TEACHING = ("faculty", "staff", "aide")
_TYPE_WORDS = ("district", "campus", "college", "department", "institution", "school")


@dataclass(frozen=True)
class Proposal:
    """How one field of an entity is made, as the mapping language writes it.

    `rule`: a column's name, a list, or the keys of a rule. `columns`: source columns that it reads.
    `unknown`: codes that a person must say the meaning of. `owed`: a word on a decision that the
    mapping makes in the school's place.
    """

    entity: str
    field: str
    rule: Any
    columns: tuple[str, ...]
    confidence: float
    reason: str
    unknown: tuple[str, ...] = ()
    owed: str = ""

    @property
    def is_sure(self) -> bool:
        """Whether it is written without asking."""
        return self.confidence >= SURE


@dataclass(frozen=True)
class FileReading:
    """What one kind of file means: proposals by entity, in load order, and what is left.

    `subject`: what one row is. `fills`: what is sure, of entities that have all they need. `waiting`: of
    entities that lack something, all that is likely. `open`: by column what it may be, the likeliest
    first. `repeated`: columns that say again what another file says.
    """

    subject: str | None
    fills: dict[str, list[Proposal]]
    waiting: dict[str, list[Proposal]]
    open: dict[str, list[Proposal]]
    unmapped: tuple[str, ...]
    repeated: tuple[str, ...] = ()


@dataclass
class _Table:
    """A file on the way: what its columns may mean, and what was chosen."""

    sample: Sample
    lexicon: Lexicon
    meanings: dict[str, list[Meaning]]
    subject: str | None = None
    subject_confidence: float = 1.0
    persona: str | None = None
    chosen: dict[Part, tuple[str, Meaning]] = field(default_factory=dict)
    staff: tuple[str, Meaning] | None = (
        None  # the column of another person's key: the teacher of a section
    )

    is_vague: bool = False  # few columns say what a row is, and the file's name does not

    @classmethod
    def of(cls, sample: Sample, lexicon: Lexicon) -> _Table:
        prefix = common_prefix(sample.headers)
        found = {
            name: lexicon.meanings(name, content, prefix)
            for name, content in sample.columns.items()
        }
        return cls(sample, lexicon, _beside_subjects(found, lexicon))

    # --- what one row is ---------------------------------------------------------------------------

    def best(self, part: Part, persona: str | None = None) -> tuple[str, Meaning] | None:
        """The likeliest column of a field; of a person's those of the persona, if one is given."""
        found = [
            (column, meaning)
            for column, meanings in self.meanings.items()
            for meaning in meanings
            if (meaning.entity, meaning.field) == part
            and meaning.confidence >= _LIKELY
            and (persona is None or meaning.persona in (None, persona))
        ]
        return max(found, key=lambda one: one[1].confidence, default=None)

    def key_columns(self, entity: str, persona: str | None = None) -> tuple[str, ...] | None:
        """The columns of the first recipe of an entity's key that the file has."""
        for recipe in self.lexicon.shapes.recipes.get(entity, ()):
            found = [self.best(part, persona if part[0] == "person" else None) for part in recipe]
            columns = [
                one[0]
                for part, one in zip(recipe, found, strict=True)
                if one and _tells(part, one[1])
            ]
            if len(columns) == len(recipe) == len(set(columns)):
                return tuple(columns)
        return None

    def may_be(self, entity: str) -> bool:
        """Whether a row can be one of the entity: its key is there, and is the row's own."""
        links = self.lexicon.shapes.links
        if entity in links:
            persona = _PERSONA_OF.get(entity)
            keys = [
                self.key_columns(one, persona if one == "person" else None) for one in links[entity]
            ]
            if entity == "person_role" and self.best(("person_role", "role")) is None:
                return False
            flat = [column for columns in keys if columns for column in columns]
            return all(keys) and len(set(flat)) == len(flat)
        own = self._own_key(entity)
        return own is not None and (
            self.sample.rows < 3 or self.sample.distinct_share(own) >= _NEARLY_ALL
        )

    def _own_key(self, entity: str) -> tuple[str, ...] | None:
        return self.key_columns(entity)

    def find_subject(self) -> None:
        """Settle what one row is: the file's name says it where the columns allow, else the columns."""
        words = self._name_words()
        self.persona = self._persona(words)
        for entity in self._named(words):
            if self.may_be(entity):
                self.subject = entity
                break
        else:
            self._subject_by_columns()
        if self.subject in _PERSONA_OF and self.persona is None:
            self.persona = _PERSONA_OF[self.subject]
        if self.subject == "section" and self.persona not in _TEACHING:
            teaches = {
                m.persona
                for found in self.meanings.values()
                for m in found[:1]
                if m.field == "person_id"
            }
            self.persona = next((one for one in _TEACHING if one in teaches), self.persona)
        if self.subject == "person" and self.persona is None:
            studies = [self.best(part) for part in _ONLY_OF_STUDENTS]
            if any(found and found[1].confidence >= SURE for found in studies):
                self.persona = "student"

    def _name_words(self) -> tuple[str, ...]:
        stem = re.sub(r"\.[A-Za-z0-9]{1,4}$", "", self.sample.name)
        return self.lexicon.words(stem)

    def _named(self, words: Sequence[str]) -> list[str]:
        """Entities that the name of the file speaks of, the last and longest word first."""
        found: list[tuple[int, int, str]] = []
        for name, entity in self.lexicon.entities.items():
            for text in (name, *entity.aliases):
                alias = words_of(text)
                for at in range(len(words) - len(alias) + 1):
                    if alias and tuple(words[at : at + len(alias)]) == alias:
                        found.append((at + len(alias), len(alias), name))
        personas = [
            (at + 1, 1, "person") for at, word in enumerate(words) if word in self.lexicon.personas
        ]
        return list(dict.fromkeys(name for _, _, name in sorted([*found, *personas], reverse=True)))

    def _persona(self, words: Sequence[str]) -> str | None:
        named = [self.lexicon.personas[word] for word in words if word in self.lexicon.personas]
        if named:
            return named[-1] if "student" not in named else "student"
        keys = {
            m.persona
            for meanings in self.meanings.values()
            for m in meanings[:1]
            if (m.entity, m.field) in (("person", "person_id"), ("person", "display_number"))
            and m.persona
        }
        if "student" in keys:
            return "student"
        return next(iter(keys)) if len(keys) == 1 else None

    def _subject_by_columns(self) -> None:
        scores: dict[str, float] = {}
        for entity in self.lexicon.entities:
            if not self.may_be(entity):
                continue
            score = 0.0
            for meanings in self.meanings.values():
                mine = [m for m in meanings if m.entity == entity and m.confidence >= SURE]
                score += max((1.0 if m.specific else 0.35 for m in mine), default=0.0)
            if entity in self.lexicon.shapes.links:
                score += 1.5 if entity != "person_role" else 0.0
            scores[entity] = score
        if not scores:
            return
        ranked = sorted(scores, key=lambda name: -scores[name])
        self.subject = ranked[0]
        self.is_vague = scores[ranked[0]] < _TELLS_ENOUGH
        margin = scores[ranked[0]] - (scores[ranked[1]] if len(ranked) > 1 else 0)
        self.subject_confidence = 1.0 if margin >= 1 else 0.97 if margin > 0.3 else 0.9

    # --- which column is which field ---------------------------------------------------------------

    def choose(self) -> None:
        """Give every column the field that it most likely is, no field to two columns."""
        offers = [
            (eff, -self._nearness(m.entity), column, m)
            for column, meanings in self.meanings.items()
            for m in meanings
            if (eff := self._effective(m, column)) >= _WORTH_ASKING - 0.02
        ]
        offers.sort(key=lambda one: (-one[0], -one[1], -self.sample.columns[one[2]].filled))
        taken: set[str] = set()
        for eff, _, column, meaning in offers:
            part = (meaning.entity, meaning.field)
            if column in taken or part in self.chosen:
                continue
            if part == ("person", "person_id") and self.is_other_person(meaning):
                if self.staff is None and meaning.persona in _TEACHING:
                    self.staff = (column, replace(meaning, confidence=eff))
                    taken.add(column)
                continue
            self.chosen[part] = (column, replace(meaning, confidence=round(eff, 3)))
            taken.add(column)

    def is_other_person(self, meaning: Meaning) -> bool:
        """Whether a column names another person than the one that the file is about."""
        return (
            meaning.persona is not None
            and self.persona is not None
            and meaning.persona != self.persona
        )

    def _nearness(self, entity: str) -> int:
        nearest = self.lexicon.shapes.nearest.get(self.subject or "", ())
        return nearest.index(entity) if entity in nearest else len(nearest)

    def _effective(self, meaning: Meaning, column: str) -> float:
        """How sure a meaning is in this file."""
        entity, confidence = meaning.entity, meaning.confidence
        if entity == "person" and self.is_other_person(meaning):
            is_key = meaning.field == "person_id"
            return confidence if is_key and self.key_columns("section") else 0.0
        if entity == self.subject:
            if meaning.specific:
                return confidence
            vague = self.is_vague and meaning.field in _OF_ANYTHING
            return min(confidence * self.subject_confidence, _SECOND if vague else 1.0)
        if not self._is_there(entity):
            return 0.0
        if meaning.specific:
            return confidence
        if meaning.field == f"{entity}_id":
            return 0.0  # a bare id is that of the row
        claimed = [m.entity for m in self.meanings[column] if m.confidence >= confidence - 0.05]
        nearer = [
            one
            for one in claimed
            if self._nearness(one) < self._nearness(entity) and self._is_there(one)
        ]
        if nearer or entity not in self.lexicon.shapes.nearest.get(self.subject or "", ()):
            return 0.0
        most = _SECOND if meaning.field in _OF_ANYTHING else 0.93
        return min(confidence, most) * self.subject_confidence

    def _is_there(self, entity: str) -> bool:
        """Whether the file can say anything about an entity at all."""
        if entity == self.subject:
            return True
        links = self.lexicon.shapes.links
        if entity in links:
            keys = [self.key_columns(one) for one in links[entity]]
            return (entity in IN_PASSING and all(keys)) and (
                entity != "section_staff" or self.subject in ("section", "section_staff")
            )
        return self.key_columns(entity) is not None or any(
            (part := self.best((entity, name))) is not None and part[1].specific
            for name in (
                "subject_code",
                "catalog_number",
                "section_code",
                "reference_number",
                "code",
            )
            if name in self.lexicon.entities[entity].fields
        )


_TELLS_ENOUGH = 3.0  # columns that name their entity, bare ones counting a third
_WORTH_ASKING, _SECOND, _ASKED = 0.6, 0.85, 0.89


@dataclass(frozen=True)
class Key:
    """How an entity's key is made of a file's columns."""

    parts: tuple[Part, ...]
    columns: tuple[str, ...]
    confidence: float
    reason: str

    @property
    def rule(self) -> Any:
        """As the mapping writes it."""
        if len(self.columns) == 1:
            return self.columns[0]
        return {"concat": list(self.columns), "separator": "-"}


def _tells(part: Part, meaning: Meaning) -> bool:
    """Whether a column can be (a part of) a key: a bare name or code is that of anything."""
    bare = part[1] in ("name", "code", "title")
    return meaning.specific or (meaning.exact and not bare)


def _beside_subjects(
    meanings: dict[str, list[Meaning]], lexicon: Lexicon
) -> dict[str, list[Meaning]]:
    """The meanings where `Course` beside `Subject` is the number's part of the code: ENG, 101."""
    number = ("course", "catalog_number")
    parts = {(m.entity, m.field) for found in meanings.values() for m in found[:1] if m.exact}
    if ("course", "subject_code") not in parts or number in parts:
        return meanings
    for column, found in meanings.items():
        own = next((m for m in found if (m.entity, m.field) == ("course", "course_id")), None)
        if own and lexicon.words(column) == ("course",):
            part = replace(
                own, field="catalog_number", reason="it stands beside the subject", exact=True
            )
            lower = [replace(m, confidence=min(m.confidence, _SECOND)) for m in found]
            meanings[column] = [replace(part, confidence=0.94), *lower]
    return meanings


def read_files(samples: Sequence[Sample], lexicon: Lexicon) -> list[FileReading]:
    """What each kind of file means, keys made alike in all of them; in the order of the samples."""
    tables = [_Table.of(sample, lexicon) for sample in samples]
    for table in tables:
        table.find_subject()
    _settle_own_ids(tables)
    for table in tables:
        table.choose()
    recipes = _recipes(tables, lexicon)
    subjects = _covered(tables, recipes)
    return [_Filled(table, recipes, subjects, tables).reading() for table in tables]


def _settle_own_ids(tables: Sequence[_Table]) -> None:
    """Of several ids of a file the one that other files refer to is its key."""
    for table in tables:
        if table.subject is None or table.subject not in table.lexicon.shapes.recipes:
            continue
        part = (table.subject, f"{table.subject}_id")
        rivals = [
            (column, m)
            for column, meanings in table.meanings.items()
            for m in meanings
            if (m.entity, m.field) == part and m.confidence >= SURE
        ]
        if len(rivals) < 2:
            continue
        referring = [
            set(other.sample.columns[found[0]].values)
            for other in tables
            if other is not table and (found := other.best(part)) and found[1].specific
        ]
        scored = {
            column: sum(
                bool(one) and one <= set(table.sample.columns[column].values) for one in referring
            )
            for column, _ in rivals
        }
        best = max(scored.values())
        if best and sum(score == best for score in scored.values()) == 1:
            for column, meaning in rivals:
                if scored[column] < best:
                    lower = replace(
                        meaning,
                        confidence=0.7,
                        reason=f"{meaning.reason}, but no other file refers to it",
                    )
                    table.meanings[column] = [
                        lower if m is meaning else m for m in table.meanings[column]
                    ]


def _recipes(tables: Sequence[_Table], lexicon: Lexicon) -> dict[str, tuple[Part, ...]]:
    """For each entity the recipe of its key that the most files have, the better one first."""
    found: dict[str, tuple[Part, ...]] = {}
    for entity, recipes in lexicon.shapes.recipes.items():
        wanting = [t for t in tables if t.subject and any(_has(t, recipe) for recipe in recipes)]
        if not wanting:
            continue
        counts = [sum(_has(t, recipe) for t in wanting) for recipe in recipes]
        own = next((t for t in wanting if t.subject == entity), None)
        if (
            own is not None
        ):  # the file whose rows they are must have it, and tell its rows apart by it
            counts = [
                count if _has(own, recipe) and _tells_apart(own, recipe) else 0
                for count, recipe in zip(counts, recipes, strict=True)
            ]
        if max(counts):
            found[entity] = recipes[counts.index(max(counts))]
    return found


def _has(table: _Table, recipe: Sequence[Part]) -> bool:
    columns = [table.chosen[part][0] for part in recipe if part in table.chosen]
    return len(columns) == len(recipe)


def _tells_apart(table: _Table, recipe: Sequence[Part]) -> bool:
    columns = [table.chosen[part][0] for part in recipe]
    return table.sample.rows < 3 or table.sample.distinct_share(columns) >= _NEARLY_ALL


def _covered(
    tables: Sequence[_Table], recipes: Mapping[str, tuple[Part, ...]]
) -> dict[str, _Table]:
    """Entities that have a file of their own, from which others take nothing in passing."""
    found: dict[str, _Table] = {}
    for table in tables:
        subject = table.subject
        if subject and subject in recipes and _has(table, recipes[subject]):
            found.setdefault(subject, table)
    return found


class _Filled:
    """Makes the proposals of one file from the meanings that were chosen."""

    def __init__(
        self, table: _Table, recipes: Mapping[str, tuple[Part, ...]], covered: Mapping[str, _Table],
        tables: Sequence[_Table],
    ) -> None:  # fmt: skip
        self.table, self.recipes, self.covered, self.tables = table, recipes, covered, tables
        self.lexicon = table.lexicon
        self.sample = table.sample
        self.subject = table.subject
        self.repeated: list[str] = []

    def reading(self) -> FileReading:
        """See FileReading."""
        made: dict[str, list[Proposal]] = {}
        if self.subject:
            for entity in self.lexicon.entities:
                if self._is_filled(entity) and (proposals := self._fill(entity)):
                    made[entity] = proposals
        whole = {e for e, found in made.items() if has_needed(self.lexicon, e, found)}
        fills = {e: [p for p in found if p.is_sure] for e, found in made.items() if e in whole}
        waiting = {e: found for e, found in made.items() if e not in whole}
        used = {c for found in fills.values() for p in found for c in p.columns}
        repeated = [c for c in dict.fromkeys(self.repeated) if c not in used]
        left = [c for c in self.sample.headers if c not in used and c not in repeated]
        asked = {c: found for c in left if (found := self._candidates(c, made, fills))}
        unmapped = tuple(c for c in left if c not in asked)
        return FileReading(self.subject, fills, waiting, asked, unmapped, tuple(repeated))

    # --- which entities ----------------------------------------------------------------------------

    def _is_filled(self, entity: str) -> bool:
        if entity == self.subject:
            return True
        if entity in self.lexicon.shapes.links:
            return self._is_link_filled(entity)
        key = self._key(entity)
        if key is None or key.confidence < SURE:
            return False
        persona = self.table.persona
        telling = [
            self.table.chosen[entity, name][0]
            for name in self.lexicon.shapes.telling[entity]
            if (entity, name) in self.table.chosen
            and self.table.chosen[entity, name][1].confidence >= SURE
        ]
        if entity == "person" and self._teaches_here() and not self._are_known(key.columns[0]):
            return True  # else their assignments would refer to nobody
        if entity == "person" and persona is None and not telling:
            return False
        if not [c for c in telling if c not in key.columns]:
            return False
        if entity in self.covered and self._says_again(entity, key):
            self.repeated += [
                c
                for (e, _), (c, _m) in self.table.chosen.items()
                if e == entity and c not in key.columns
            ]
            return False
        return True

    def _says_again(self, entity: str, key: Key) -> bool:
        """Whether the entity's own file has (nearly) all keys that stand here."""
        own = self.covered[entity]
        if own is self.table:
            return False
        columns = [own.chosen[part][0] for part in self.recipes[entity]]
        if len(columns) != 1 or len(key.columns) != 1:
            return True
        mine = set(self.sample.columns[key.columns[0]].values)
        theirs = set(own.sample.columns[columns[0]].values)
        return not mine or len(mine & theirs) >= 0.5 * len(mine)

    def _is_link_filled(self, entity: str) -> bool:
        if entity == "person_role":
            return (
                self._is_role_known() and self._key("person") is not None and self._person_is_here()
            )
        if entity == "section_staff":
            others = self.table.staff is not None and self._are_known(self.table.staff[0])
            return (self._teaches_here() or others) and self._key("section") is not None
        if entity == "program_enrollment":
            persona = self.table.persona in (None, "student")
            here = self.subject in ("person", "enrollment", "program_enrollment")
            return (
                here
                and persona
                and all(self._key(one) is not None for one in self.lexicon.shapes.links[entity])
            )
        return False

    def _teaches_here(self) -> bool:
        """Whether the file of sections has the id of the one who teaches."""
        chosen = ("person", "person_id") in self.table.chosen
        return self.subject == "section" and self.table.persona in _TEACHING and chosen

    def _are_known(self, column: str) -> bool:
        """Whether a file of people has most of these ids."""
        mine = set(self.sample.columns[column].values)
        return any(
            len(mine & set(table.sample.columns[table.chosen["person", "person_id"][0]].values)) * 2
            >= len(mine)
            for table in self.tables
            if table.subject == "person" and ("person", "person_id") in table.chosen
        )

    def _person_is_here(self) -> bool:
        return self.subject in ("person", "person_role") or self._is_filled("person")

    def _is_role_known(self) -> bool:
        chosen = self.table.chosen.get(("person_role", "role"))
        return self.table.persona is not None or (
            chosen is not None and chosen[1].confidence >= SURE
        )

    # --- keys --------------------------------------------------------------------------------------

    def _key(self, entity: str) -> Key | None:
        """How the key of an entity is made here, None when it cannot be."""
        recipe = self.recipes.get(entity)
        if recipe is None or not _has(self.table, recipe):
            return None
        found = [self.table.chosen[part] for part in recipe]
        confidence = min(meaning.confidence for _, meaning in found)
        reason = found[0][1].reason
        fallback = recipe != self.lexicon.shapes.recipes[entity][0]
        if fallback and len(recipe) == 1:
            confidence = min(confidence, 0.92)
            reason = f"no other id; {reason}"
        columns = tuple(column for column, _ in found)
        if entity == self.subject and self.sample.rows >= 3:
            share = self.sample.distinct_share(columns)
            if share < _NEARLY_ALL:
                confidence, reason = min(confidence, 0.8), f"{reason}, but it is not each row's own"
            elif len(columns) > 1 or share == 1.0:
                reason = f"{reason}; each row has its own"
        return Key(recipe, columns, confidence, reason)

    # --- proposals ---------------------------------------------------------------------------------

    def _fill(self, entity: str) -> list[Proposal]:
        made: list[Proposal] = []
        if entity in self.lexicon.shapes.links:
            made += self._link_keys(entity)
            if not made:
                return []
        else:
            key = self._key(entity)
            if key is None:
                return []
            made.append(
                self._proposal(
                    entity, f"{entity}_id", key.rule, key.columns, key.confidence, key.reason
                )
            )
        there = {p.field for p in made}
        made += [p for p in self._attributes(entity) if p.field not in there]
        made += self._references(entity, {p.field for p in made})
        made += self._owed(entity, {p.field for p in made if p.is_sure})
        order = list(self.lexicon.entities[entity].fields)
        return sorted(made, key=lambda p: order.index(p.field))

    def _link_keys(self, entity: str) -> list[Proposal]:
        made = []
        own = self.table.chosen.get((entity, f"{entity}_id"))
        if own and entity == self.subject and own[1].confidence >= SURE:
            made.append(
                self._proposal(
                    entity, f"{entity}_id", own[0], (own[0],), own[1].confidence, own[1].reason
                )
            )
        for target in self.lexicon.shapes.links[entity]:
            key = self._key(target)
            if target == "person" and entity == "section_staff" and self.table.staff:
                column, meaning = self.table.staff
                key = Key((), (column,), meaning.confidence, meaning.reason)
            if key is None:
                return []
            made.append(
                self._proposal(
                    entity, f"{target}_id", key.rule, key.columns, key.confidence, key.reason
                )
            )
        return made

    def _attributes(self, entity: str) -> list[Proposal]:
        made = []
        for (of, name), (column, meaning) in self.table.chosen.items():
            if of != entity or name == f"{entity}_id":
                continue
            if entity != self.subject and not self._belongs(entity, column):
                continue
            if (entity, name) == ("person", "display_number") and self._is_key_of_person(column):
                continue  # the same column twice says nothing more
            made.append(self._of_column(entity, name, column, meaning))
        return made

    def _is_key_of_person(self, column: str) -> bool:
        key = self._key("person")
        return key is not None and column in key.columns

    def _belongs(self, entity: str, column: str) -> bool:
        """Whether the column says one thing of each key: else it is not the entity's."""
        key = self._key(entity)
        if key is None or entity in self.lexicon.shapes.links:
            return True
        return self.sample.follows(key.columns, column) >= _NEARLY_ALL

    def _references(self, entity: str, there: set[str]) -> list[Proposal]:
        made = []
        for name, reference in self.lexicon.entities[entity].references.items():
            if name in there or not is_plain_reference(self.lexicon.entities, entity, name):
                continue
            key = self._key(reference.entity)
            if key is None or key.confidence < SURE:
                continue
            if entity != self.subject and not all(self._belongs(entity, c) for c in key.columns):
                continue
            if entity == "course" and reference.entity == "term":
                continue  # the file's term is that of the section
            made.append(
                self._proposal(entity, name, key.rule, key.columns, key.confidence, key.reason)
            )
        return made

    def _owed(self, entity: str, there: set[str]) -> list[Proposal]:
        """Required fields for which the file has no column: a constant or a name, with a word on it."""
        made = []
        if entity == "person_role" and "role" not in there and self.table.persona:
            made.append(self._constant(entity, "role", self.table.persona))
        if entity == "enrollment" and "role" not in there:
            made.append(self._constant(entity, "role", "student"))
        if entity == "section_staff" and "role" not in there:
            made.append(self._constant(entity, "role", "instructor"))
        if (
            entity == "enrollment"
            and "status" not in there
            and ("enrollment", "status") not in self.table.chosen
        ):
            owed = "the file does not say: whoever is in it counts as active"
            made.append(self._constant(entity, "status", "active", owed))
        if (
            entity == "organization"
            and "type" not in there
            and ("organization", "type") not in self.table.chosen
        ):
            made.append(
                self._constant(
                    entity, "type", self._kind_of_organization(), "the file does not say"
                )
            )
        name = self.lexicon.shapes.names.get(entity)
        if name and name not in there and (found := self._stand_in(entity)):
            made.append(self._proposal(entity, name, *found, SURE, "the file has no other name for it",
                                       owed="the file has no other name for it"))  # fmt: skip
        return made

    def _stand_in(self, entity: str) -> tuple[Any, tuple[str, ...]] | None:
        """What people may take for the name of something that has none in the file."""
        chosen = self.table.chosen
        if entity == "section" and ("course", "title") in chosen:
            column, meaning = chosen["course", "title"]
            if meaning.confidence >= SURE:
                return column, (column,)
        if entity == "section":
            parts = [
                ("course", "subject_code"),
                ("course", "catalog_number"),
                ("section", "section_code"),
            ]
            columns = [
                chosen[p][0] for p in parts if p in chosen and chosen[p][1].confidence >= SURE
            ]
            if len(columns) == 3:
                return {"concat": columns, "separator": " "}, tuple(columns)
        code = chosen.get((entity, "code"))
        if code and code[1].confidence >= SURE:
            return code[0], (code[0],)
        key = self._key(entity)
        return (key.rule, key.columns) if key else None

    def _kind_of_organization(self) -> str:
        key = self._key("organization")
        texts = [*(key.columns if key else ()), self.sample.name]
        words = {word for text in texts for word in self.lexicon.words(text)}
        return next((kind for kind in _TYPE_WORDS if kind in words), "school")

    def _constant(self, entity: str, name: str, value: str, owed: str = "") -> Proposal:
        return Proposal(
            entity, name, {"constant": value}, (), 1.0, "the file is about them", owed=owed
        )

    def _proposal(
        self, entity: str, name: str, rule: Any, columns: tuple[str, ...], confidence: float, reason: str,
        owed: str = "",
    ) -> Proposal:  # fmt: skip
        return Proposal(entity, name, rule, columns, round(confidence, 2), reason, owed=owed)

    def _of_column(self, entity: str, name: str, column: str, meaning: Meaning) -> Proposal:
        return of_column(self.lexicon, entity, name, column, self.sample.columns[column],
                         meaning.confidence, meaning.reason)  # fmt: skip

    def _candidates(
        self, column: str, made: Mapping[str, Sequence[Proposal]], fills: Mapping[str, Sequence[Proposal]]
    ) -> list[Proposal]:  # fmt: skip
        """What a column that is not mapped may be, likeliest first; only fields that are free."""
        taken = {(p.entity, p.field) for found in fills.values() for p in found}
        found = [
            replace(p, confidence=min(p.confidence, _ASKED))
            for proposals in made.values()
            for p in proposals
            if column in p.columns and (p.entity, p.field) not in taken
        ]
        seen = {(p.entity, p.field) for p in found}
        for meaning in self.table.meanings[column]:
            part = (meaning.entity, meaning.field)
            in_question = (
                meaning.confidence >= _WORTH_ASKING and part not in taken and part not in seen
            ) and not self.table.is_other_person(meaning)
            if in_question and meaning.entity in {*made, self.subject}:
                capped = replace(meaning, confidence=min(meaning.confidence, _SECOND))
                found.append(self._of_column(meaning.entity, meaning.field, column, capped))
        return sorted(found, key=lambda p: -p.confidence)[:3]


def has_needed(lexicon: Lexicon, entity: str, proposals: Sequence[Proposal]) -> bool:
    """Whether the sure ones of the proposals are enough to fill an entity: its key and all it requires."""
    of = lexicon.entities[entity]
    settled = {p.field for p in proposals if p.is_sure}
    natural = [name for name in of.natural_key if of.fields[name].required]
    defaults = {name for name, one in of.fields.items() if one.default is not None}
    if of.key not in settled and not (natural and settled.issuperset(natural)):
        return False
    return all(
        name in settled or name == of.key or name in defaults
        for name, one in of.fields.items()
        if one.required
    )


def of_column(
    lexicon: Lexicon, entity: str, name: str, column: str, content: Content, confidence: float,
    reason: str,
) -> Proposal:  # fmt: skip
    """The proposal of one column for one field, with the map or the tokens that its values need."""
    of = lexicon.field(entity, name)
    rule: Any = column
    unknown: tuple[str, ...] = ()
    if of.type == "enum" and content.filled:
        codes = lexicon.codes.read(entity, name, content, column)
        if codes.guessed or codes.unknown:
            confidence = min(confidence, 0.92 if codes.share >= 0.5 and not codes.guessed else 0.85)
        doubtful = codes.short if confidence < SURE else codes.guessed
        known = {value: mine for value, mine in codes.known.items() if value not in doubtful}
        if known and not codes.as_is:
            rule = {"from": column, "map": known}
        unknown = (*doubtful, *(codes.unknown if content.are_codes else ()))
    elif of.type == "boolean" and (tokens := yes_no_tokens(content)):
        true, false = tokens
        rule = {"from": column, "true_tokens": list(true), "false_tokens": list(false)}
        rule = {key: value for key, value in rule.items() if value}
    elif of.type == "decimal" and content.decimal_sign == "comma":
        rule = {"from": column, "decimal": "comma"}
    return Proposal(entity, name, rule, (column,), round(confidence, 2), reason, unknown)


def by_column(reading: FileReading) -> dict[str, list[Proposal]]:
    """The sure proposals of a file by the columns that they read."""
    found: defaultdict[str, list[Proposal]] = defaultdict(list)
    for made in reading.fills.values():
        for proposal in made:
            for column in proposal.columns:
                found[column].append(proposal)
    return dict(found)
