"""Which student information system wrote the files: their names and headers against every template."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from etl_lib.config.mapping import FILE_PART, Feed
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.extract.match import pattern_of
from etl_lib.extract.reader.columns import Expected, folded
from etl_lib.onboarding.mapping.meanings import SURE, Lexicon, is_plain_reference
from etl_lib.onboarding.mapping.samples import Sample
from etl_lib.onboarding.mapping.words import near, squeezed

_ANY_ZIP = "*.zip"
_BY_NAME = 3.0  # what a file name that fits is worth, in columns that no other template knows
_USUAL = 0.2  # what a column is worth whose name any school may have
_LEAST_OWN = 2.0  # so many telling columns make a feed without a file name that fits
_LEAST_OF_ALL, _LEAST_TELLING = 3.0, 4
_MOST_FAMILIAR = 0.6  # of a file of usual names so many columns must be the feed's


@dataclass(frozen=True)
class FeedMatch:
    """A sample as the file of a template's feed.

    `by_name`: the template's own patterns take the file. `aliases`: columns of the template to the
    headers under which they come here. `known`: the headers that the feed reads under its own names;
    `telling`: how many of them are more than the usual names that any school may have.
    """

    feed: str
    sample: Sample
    by_name: bool
    known: tuple[str, ...]
    aliases: dict[str, str]
    score: float
    telling: int

    @property
    def is_familiar(self) -> bool:
        """Whether most of the file's columns are the feed's."""
        return len(self.known) >= _MOST_FAMILIAR * len(self.sample.headers)


@dataclass(frozen=True)
class Recognised:
    """A template, the files that are its feeds', and the required feeds that have none."""

    template: str
    resolved: ResolvedMapping
    matches: tuple[FeedMatch, ...]
    absent: tuple[str, ...]
    score: float

    def of(self, sample: Sample) -> FeedMatch | None:
        """The feed that takes a sample."""
        return next((match for match in self.matches if match.sample is sample), None)


@dataclass(frozen=True)
class Fingerprints:
    """What each template knows: made from the templates themselves, so that a new one needs no code."""

    templates: Mapping[str, ResolvedMapping]
    lexicon: Lexicon
    families: Mapping[str, str]
    _weights: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, project: Project, lexicon: Lexicon, templates: Mapping[str, ResolvedMapping]
    ) -> Fingerprints:
        """Of every template of the project; those that build on another are of one family with it."""
        families = {}
        for name in templates:
            layers = project.template_lineage(name)
            families[name] = layers[0]
        known: dict[str, set[str]] = {}
        for name, resolved in templates.items():
            for feed in resolved.mapping.feeds.values():
                for header in Expected.of(feed, resolved).names:
                    known.setdefault(header, set()).add(families[name])
        usual = {folded(name) for entity in project.entities.values() for name in entity.fields}
        usual |= {
            "id",
            "name",
            "title",
            "firstname",
            "lastname",
            "studentid",
            "userid",
            "emailaddress",
        }
        weights = {h: (_USUAL if h in usual else 1.0) / len(names) for h, names in known.items()}
        return cls(templates, lexicon, families, weights)

    @property
    def headers(self) -> tuple[str, ...]:
        """Every header name that a template or an entity file knows."""
        of_templates = (
            column
            for resolved in self.templates.values()
            for feed in resolved.mapping.feeds.values()
            for column in feed.source_columns
        )
        return tuple(dict.fromkeys([*of_templates, *self.lexicon.headers]))

    def recognise(self, samples: Sequence[Sample]) -> Recognised | None:
        """The template that explains the files best, None when none explains enough of them."""
        found = [self._try(name, resolved, samples) for name, resolved in self.templates.items()]
        likely = [one for one in found if self._is_likely(one, samples)]
        return max(likely, key=lambda one: one.score, default=None)

    def _is_likely(self, found: Recognised, samples: Sequence[Sample]) -> bool:
        if sum(match.telling for match in found.matches) < _LEAST_TELLING:
            return len(found.matches) == len(samples) and found.score >= _LEAST_OF_ALL
        return found.score >= _LEAST_OF_ALL and len(found.matches) * 2 >= len(samples)

    def _try(self, name: str, resolved: ResolvedMapping, samples: Sequence[Sample]) -> Recognised:
        matches = []
        for sample in samples:
            fitting = [
                match
                for feed_name, feed in resolved.mapping.feeds.items()
                if (match := self._match(feed_name, feed, resolved, sample))
            ]
            if fitting:
                matches.append(max(fitting, key=lambda match: match.score))
        if (
            sum(match.telling for match in matches) < _LEAST_TELLING
        ):  # only usual names: nearly all must fit
            matches = [match for match in matches if match.is_familiar]
        matches = list(_one_form_each(matches))
        fed = {match.feed for match in matches}
        absent = tuple(
            n for n, feed in resolved.mapping.feeds.items() if feed.required and n not in fed
        )
        score = sum(match.score for match in matches) - 0.5 * len(absent)
        return Recognised(name, resolved, tuple(matches), absent, score)

    def _match(
        self, name: str, feed: Feed, resolved: ResolvedMapping, sample: Sample
    ) -> FeedMatch | None:
        expected = Expected.of(feed, resolved)
        known = {
            header: column
            for header in sample.headers
            if (column := expected.names.get(folded(header)))
        }
        by_name = name_fits(feed, sample)
        score = sum(self._weights[folded(header)] for header in known)
        if not by_name and score < _LEAST_OWN:
            return None
        telling = sum(self._weights[folded(header)] > _USUAL for header in known)
        if telling < _LEAST_OWN and not by_name:
            return None
        aliases = self._aliases(feed, resolved, sample, set(known), set(known.values()))
        there = {*known.values(), *aliases}
        if any(not there & set(group) for group in expected.required):
            return None
        score += _BY_NAME if by_name else 0
        return FeedMatch(name, sample, by_name, tuple(known), aliases, score, telling)

    def _aliases(
        self, feed: Feed, resolved: ResolvedMapping, sample: Sample, used: set[str], there: set[str]
    ) -> dict[str, str]:
        """Columns of the feed that stand in the file under another name: a slip, or a name of the same field."""
        left = [header for header in sample.headers if header not in used]
        found: dict[str, str] = {}
        for column, parts in columns_to_fields(feed, resolved).items():
            if column in there or any(other in there for other in _alternatives(feed, column)):
                continue
            slips = [header for header in left if near(squeezed(header), squeezed(column))]
            names = slips or [
                header
                for header in left
                if any(
                    meaning.exact
                    and meaning.confidence >= SURE
                    and (meaning.entity, meaning.field) in parts
                    for meaning in self.lexicon.meanings(header, sample.columns[header])
                )
            ]
            if len(names) == 1:
                found[column] = names[0]
                left.remove(names[0])
        return found


def _one_form_each(matches: Sequence[FeedMatch]) -> Iterator[FeedMatch]:
    """Several samples of one feed only when they have the same columns; else the likelier one."""
    by_feed: dict[str, list[FeedMatch]] = {}
    for match in matches:
        by_feed.setdefault(match.feed, []).append(match)
    for found in by_feed.values():
        best = max(found, key=lambda match: match.score)
        wanted = Counter(map(folded, best.sample.headers))
        yield from (
            match for match in found if Counter(map(folded, match.sample.headers)) == wanted
        )


def name_fits(feed: Feed, sample: Sample) -> bool:
    """Whether the feed's own patterns take the sample's file, loose or inside its archive."""
    if sample.packed_in and feed.member:
        archive = any(pattern_of(pattern).fullmatch(sample.packed_in) for pattern in feed.file)
        return archive and fnmatch.fnmatchcase(sample.name.lower(), feed.member.lower())
    loose = [pattern for pattern in feed.file if pattern != _ANY_ZIP]
    return any(pattern_of(pattern).fullmatch(sample.name) for pattern in loose)


def columns_to_fields(feed: Feed, resolved: ResolvedMapping) -> dict[str, set[tuple[str, str]]]:
    """By column of a feed the fields that are made of it alone; of references the key referred to."""
    found: dict[str, set[tuple[str, str]]] = {}
    for entity, fill in feed.entities.items():
        for name, rule in fill.columns.items():
            for column in (*rule.from_, *rule.coalesce):
                if not FILE_PART.fullmatch(column):
                    found.setdefault(column, set()).add(_meant(resolved, entity, name))
    return found


def _meant(resolved: ResolvedMapping, entity: str, name: str) -> tuple[str, str]:
    reference = resolved.entities[entity].fields[name].references
    known = {**resolved.entities}
    if (
        reference is None
        or reference.entity not in known
        or not is_plain_reference(known, entity, name)
    ):
        return entity, name
    return reference.entity, f"{reference.entity}_id"


def _alternatives(feed: Feed, column: str) -> set[str]:
    """Columns any of which fills a field that this one fills."""
    found: set[str] = set()
    for fill in feed.entities.values():
        for rule in fill.columns.values():
            if column in rule.from_:
                found |= set(rule.from_)
    return found
