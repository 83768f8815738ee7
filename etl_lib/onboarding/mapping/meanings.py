"""What a column may mean: its name against the aliases of the entity files, its values against the field's type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from etl_lib.config.entity import Entity, EntityField
from etl_lib.config.lint import FORBIDDEN_COLUMN
from etl_lib.onboarding.mapping.codes import Codes
from etl_lib.onboarding.mapping.content import Content
from etl_lib.onboarding.mapping.shapes import Shapes
from etl_lib.onboarding.mapping.words import near, squeezed, without, words_of

SURE = 0.90  # from here on nobody is asked
_EXACT, _SAME_WORDS, _SAME_REST, _BARE, _SLIP, _ONE_MORE, _PART = (
    0.97,
    0.95,
    0.93,
    0.92,
    0.91,
    0.75,
    0.5,
)
_CONTRADICTED, _SECOND = 0.6, 0.85
# Words that make another thing of what they stand beside.
_SAYS_LITTLE = frozenset(
    words_of("id number code name title status type date level year start end begin group")
)
_YES_MEANS_ACTIVE = frozenset({"active", "enabled", "current"})
_TURNING = frozenset(words_of("""
    personal home parent guardian emergency secondary alternate alternative previous prior former old new
    mother father spouse sibling advisor counselor principal admin billing mailing permanent local due
    expected anticipated graduation admit entry exit transfer high cell phone fax work other second third
    highest lowest average total count sum gpa quality attempted earned activity change modified created
    updated last_modified history original housing aid financial ethnic race gender sex native language
    country state city zip street postal test placement sequence user version source system origin middle
    maximum minimum begin end start preferred official url link fee cost price request crosslist waitlist
    wait actual remaining remain available prerequisite day time hour week building report
"""))  # fmt: skip


@dataclass(frozen=True)
class Meaning:
    """A column as a field: how sure (0 to 1), why, and whether the name alone says which entity.

    `persona`: as what a column of a person names them (student, faculty, …), None when it does not.
    """

    entity: str
    field: str
    confidence: float
    reason: str
    specific: bool
    persona: str | None = None
    exact: bool = False


@dataclass(frozen=True)
class _Name:
    entity: str
    field: str
    text: str
    squeezed: str
    words: tuple[str, ...]
    rest: tuple[str, ...]  # the words without those for the entity itself
    rank: int


class Lexicon:
    """Every name of every field, as the entity files give them, ready to be compared with headers."""

    def __init__(self, entities: Mapping[str, Entity], codes: Codes) -> None:
        self.entities = entities
        self.codes = codes
        self.shapes = Shapes.of(entities)
        self.nouns = {name: _nouns(entity) for name, entity in entities.items()}
        self.personas = _personas(entities)
        self.nouns["person"] = self.nouns["person"] | self.personas.keys()
        self.vocabulary = frozenset(self._known_words())
        self.names = [
            self._name(entity, field_name, text, rank)
            for entity, field_name, texts in self._fields()
            for rank, text in enumerate(texts)
        ]
        self._known: dict[str, list[Meaning]] = {}
        self.claims: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        for name in self.names:
            self.claims[tuple(sorted(name.words))].add(name.entity)

    @cached_property
    def headers(self) -> tuple[str, ...]:
        """Every name of a column that is known."""
        return tuple(dict.fromkeys(name.text for name in self.names))

    def words(self, name: str) -> tuple[str, ...]:
        """The words of a name, those that are run together parted."""
        return words_of(name, self.vocabulary)

    def field(self, entity: str, name: str) -> EntityField:
        """A field of an entity."""
        return self.entities[entity].fields[name]

    def meanings(self, header: str, content: Content, prefix: str = "") -> list[Meaning]:
        """What the column may mean, the likeliest first; one meaning for each field.

        `prefix`: what all headers of the file begin with and that says nothing.
        """
        if FORBIDDEN_COLUMN.search(header):
            return []
        texts = [header]
        if not any(one.exact for one in self._by_name(header)):
            texts += [header[len(prefix) :]] if prefix and header.startswith(prefix) else []
            texts += [header.rpartition(".")[2]] if "." in header else []
        found: dict[tuple[str, str], Meaning] = {}
        for penalty, text in enumerate(texts):
            for meaning in self._by_name(text):
                lowered = replace(meaning, confidence=meaning.confidence - 0.01 * penalty)
                judged = self._judged(lowered, content, header)
                key = (meaning.entity, meaning.field)
                if key not in found or judged.confidence > found[key].confidence:
                    found[key] = judged
        if any(
            one.exact for one in found.values()
        ):  # whoever has the very name, others only may be
            found = {
                key: one if one.exact else replace(one, confidence=min(one.confidence, _SECOND))
                for key, one in found.items()
            }
        return sorted(found.values(), key=lambda one: -one.confidence)

    def _by_name(self, header: str) -> list[Meaning]:
        if header not in self._known:
            self._known[header] = list(self._looked_up(header))
        return self._known[header]

    def _looked_up(self, header: str) -> Iterator[Meaning]:
        whole, words = squeezed(header), self.words(header)
        persona = next((self.personas[word] for word in words if word in self.personas), None)
        for name in self.names:
            score, how = self._score(name, whole, words)
            if not score:
                continue
            has_noun = bool(set(words) & self.nouns[name.entity])
            alone = len(self.claims[tuple(sorted(name.words))]) == 1
            specific = (has_noun or alone) and words != ("id",)
            who = persona if name.entity == "person" else None
            if words == (
                "id",
            ):  # the row's own id, or the number on a card where the row has another
                score, exact = (_SAME_REST if name.field == f"{name.entity}_id" else _BARE), True
            else:
                exact = score == _EXACT
            yield Meaning(
                name.entity, name.field, score - 0.001 * min(name.rank, 15), how, specific, who,
                exact=exact,
            )  # fmt: skip

    def _score(self, name: _Name, whole: str, words: tuple[str, ...]) -> tuple[float, str]:
        if whole and whole == name.squeezed:
            return _EXACT, f"`{name.text}` is a name of it"
        if not words:
            return 0.0, ""
        if sorted(words) == sorted(name.words):
            return _SAME_WORDS, f"the words of `{name.text}`"
        nouns = self.nouns[name.entity]
        rest = without(words, nouns)
        if rest and sorted(rest) == sorted(name.rest):
            with_noun = len(rest) < len(words)
            return (_SAME_REST if with_noun else _BARE), f"the words of `{name.text}`"
        if near(whole, name.squeezed):
            return _SLIP, f"`{name.text}` but for a letter or two"
        more = set(rest) - set(name.rest)
        if set(name.rest) - _SAYS_LITTLE and set(name.rest) < set(rest) and len(more) == 1:
            (one,) = more
            if one in self.vocabulary or one in _TURNING or one.isdigit():
                return _PART, f"holds the words of `{name.text}`"
            return _ONE_MORE, f"`{name.text}` with one more word"
        return 0.0, ""

    def _judged(self, meaning: Meaning, content: Content, header: str) -> Meaning:
        """The meaning as the values make it: likelier, as it was, or hardly possible."""
        verdict, why = self.fits(meaning.entity, meaning.field, content, header)
        of = self.field(meaning.entity, meaning.field)
        words = set(self.words(header))
        if of.type == "enum" and content.yes_no and not words & _YES_MEANS_ACTIVE and verdict > 0:
            verdict, why = -1, "its codes may mean either"
        if (
            meaning.field == "person_id"
            and words <= self.personas.keys()
            and not _mostly_digits(content)
        ):
            verdict, why = -1, "the values are no ids"
        if verdict < 0:
            return replace(
                meaning,
                confidence=min(meaning.confidence, _CONTRADICTED if meaning.exact else _PART),
                reason=f"{meaning.reason}, but {why}",
            )
        if verdict > 0:
            certain = meaning.field == "email" and meaning.confidence >= _ONE_MORE - 0.02
            lifted = _BARE if certain else meaning.confidence
            return replace(
                meaning,
                confidence=max(min(meaning.confidence + 0.01, 0.99), lifted),
                reason=f"{meaning.reason}; {why}",
            )
        return meaning

    def fits(
        self, entity: str, field_name: str, content: Content, header: str = ""
    ) -> tuple[int, str]:
        """1: the values speak for the field, -1: against it, 0: neither; and why."""
        of = self.field(entity, field_name)
        if not content.filled:
            return 0, ""
        if of.type == "date":
            return (
                (1, "all values are dates") if content.dates else (-1, "not all values are dates")
            )
        if of.type == "integer":
            return (0, "") if content.integers == 1.0 else (-1, "not all values are whole numbers")
        if of.type == "decimal":
            return (0, "") if content.decimal_sign else (-1, "not all values are numbers")
        if of.type == "boolean":
            return (
                (1, "all values are yes or no")
                if content.yes_no
                else (-1, "the values are not yes or no")
            )
        if of.type == "enum":
            return self._fits_codes(entity, field_name, content, header)
        if of.type == "id" or of.code:
            return self._fits_code(field_name, of, content)
        return _fits_text(field_name, content)

    def _fits_codes(
        self, entity: str, field_name: str, content: Content, header: str
    ) -> tuple[int, str]:
        codes = self.codes.read(entity, field_name, content, header)
        if not codes.known:
            return -1, "none of its values is known"
        if not codes.unknown:
            return 1, "all its values are known"
        return (0, "") if codes.share >= 0.5 else (-1, "most of its values are not known")

    def _fits_code(self, name: str, of: EntityField, content: Content) -> tuple[int, str]:
        if content.mails > 0.5 and name not in ("username", "person_id"):
            return -1, "the values are mail addresses"
        if name == "grade_level":
            return (
                (1, "all values are grades")
                if content.are_grade_levels
                else (-1, "the values are no grades")
            )
        if name == "final_grade" and content.are_grade_levels and not content.are_letter_grades:
            return -1, "the values may be school grades"
        if (
            name in ("subject_code", "username", "reference_number")
            and _share_of_spaced(content) > 0.3
        ):
            return -1, "the values are several words"
        dates = content.dates
        if of.type == "id" and dates and content.integers < 1.0:
            return -1, "the values are dates"
        if name == "person_id" and content.has_words and _share_of_spaced(content) > 0.3:
            return -1, "the values are names"
        return 0, ""

    def _fields(self) -> list[tuple[str, str, list[str]]]:
        """Entity, field and names; names of a reference are names of the key that it refers to."""
        own: dict[tuple[str, str], list[str]] = {}
        referred: defaultdict[str, list[str]] = defaultdict(list)
        for name, entity in self.entities.items():
            for field_name, of in entity.fields.items():
                texts = [field_name, *of.aliases]
                target = of.references.entity if of.references else None
                if target and is_plain_reference(self.entities, name, field_name):
                    referred[target] += [text for text in texts if text != f"{target}_id"]
                else:
                    own[name, field_name] = texts
        taken = {squeezed(text) for texts in own.values() for text in texts}
        for target, texts in referred.items():
            own[target, f"{target}_id"] += [
                t for t in dict.fromkeys(texts) if squeezed(t) not in taken
            ]
        for name in self.entities:
            own[name, f"{name}_id"].append("id")
        return [(entity, field_name, texts) for (entity, field_name), texts in own.items()]

    def _known_words(self) -> set[str]:
        texts = [
            text
            for entity in self.entities.values()
            for field_name, of in entity.fields.items()
            for text in (field_name, *of.aliases, *entity.aliases)
        ]
        words = {
            word for text in texts for word in words_of(text) if len(word) > 2 and word.isalpha()
        }
        return words | self.personas.keys() | {"id"}

    def _name(self, entity: str, field_name: str, text: str, rank: int) -> _Name:
        words = self.words(text)
        special = (
            self.field(entity, field_name).references is not None
        )  # a parent is not what it is a parent of
        rest = () if special else without(words, self.nouns[entity])
        return _Name(entity, field_name, text, squeezed(text), words, rest, rank)


def is_plain_reference(entities: Mapping[str, Entity], entity: str, field_name: str) -> bool:
    """Whether a field refers to another entity without saying more: not to a parent, or an observed one."""
    reference = entities[entity].fields[field_name].references
    if reference is None or reference.entity == entity:
        return False
    return (
        field_name == f"{reference.entity}_id"
        or f"{reference.entity}_id" not in entities[entity].fields
    )


def _nouns(entity: Entity) -> frozenset[str]:
    texts = [entity.entity, *entity.aliases]
    found = {words_of(text) for text in texts}
    return frozenset(words[0] for words in found if len(words) == 1)


def _personas(entities: Mapping[str, Entity]) -> dict[str, str]:
    """Words for people by what they are: pupil is a student, teacher is faculty."""
    role = entities["person_role"].fields["role"]
    found: dict[str, str] = {}
    for value in role.values:
        for text in (value, *role.value_aliases.get(value, ())):
            words = words_of(text)
            if value != "other" and len(words) == 1 and len(words[0]) > 2:
                found.setdefault(words[0], value)
    return found


def _fits_text(name: str, content: Content) -> tuple[int, str]:
    if name == "email":
        if content.mails > 0.9:
            return 1, "the values are mail addresses"
        return (-1, "the values are no mail addresses") if content.mails < 0.5 else (0, "")
    if content.mails > 0.5:
        return -1, "the values are mail addresses"
    if name in ("given_name", "family_name", "full_name", "name", "title", "preferred_given_name"):
        if not content.has_words and content.distinct > 1:
            return -1, "the values are no words"
        if name == "full_name" and _share_of_spaced(content) < 0.3:
            return -1, "the values are single words"
    return 0, ""


def _mostly_digits(content: Content) -> bool:
    looked = content.values[:2_000]
    return sum(any(sign.isdigit() for sign in value) for value in looked) * 2 > len(looked)


def _share_of_spaced(content: Content) -> float:
    looked = content.values[:2_000]
    return sum(" " in value for value in looked) / len(looked) if looked else 0.0


def common_prefix(headers: Sequence[str]) -> str:
    """What all headers of a file begin with, up to a sign that parts words; empty when there is nothing."""
    first = [header.partition("_")[0] for header in headers if "_" in header]
    if len(first) < 3 or len(first) < 0.8 * len(headers) or len(set(first)) > 1:
        return ""
    return f"{first[0]}_"
