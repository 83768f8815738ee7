"""Sample files in, a Suggestion out: the template, the feeds, every field with its confidence, and what is open."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from etl_lib.config.letters import composed
from etl_lib.config.lint import contradict
from etl_lib.config.mapping import Feed
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.errors import Fault
from etl_lib.extract.match import pattern_of
from etl_lib.extract.reader.columns import folded
from etl_lib.onboarding.mapping.codes import Codes
from etl_lib.onboarding.mapping.content import Content, month_first
from etl_lib.onboarding.mapping.fills import (
    FileReading,
    Proposal,
    has_needed,
    of_column,
    read_files,
)
from etl_lib.onboarding.mapping.meanings import Lexicon
from etl_lib.onboarding.mapping.recognise import FeedMatch, Fingerprints, Recognised
from etl_lib.onboarding.mapping.samples import PART, Sample, read_samples
from etl_lib.onboarding.mapping.words import plain

# How dates stand in file names, the ones with the most digits first.
_DATES_IN_NAMES = {
    r"(?<!\d)20\d{12}(?!\d)": "%Y%m%d%H%M%S", r"(?<!\d)20\d{10}(?!\d)": "%Y%m%d%H%M",
    r"(?<!\d)20\d{6}(?!\d)": "%Y%m%d", r"(?<!\d)20\d\d-\d\d-\d\d(?!\d)": "%Y-%m-%d",
    r"(?<!\d)20\d\d_\d\d_\d\d(?!\d)": "%Y_%m_%d", r"(?<!\d)\d\d-\d\d-20\d\d(?!\d)": "%m-%d-%Y",
    r"(?<!\d)\d{4}20\d\d(?!\d)": "%m%d%Y",
}  # fmt: skip
DEFAULT_DATE_FORMAT = "%Y%m%d"
WORTH_GUESSING = 0.7
_ISO = "%Y-%m-%d"


@dataclass(frozen=True)
class FeedSuggestion:
    """One kind of file: its names, and what its columns mean.

    `match`: the feed of the template that takes it; `reading` then holds only what the mapping adds
    to the template. `aliases`: columns of the template to the school's headers. `more_codes`: by
    (entity, field) codes that the template's map lacks. `date_formats`: by (entity, field) formats
    that cannot stand beside those of the other columns.
    """

    name: str
    file: tuple[str, ...]
    member: str | None
    sample: Sample
    samples: tuple[str, ...]
    reading: FileReading
    match: FeedMatch | None = None
    more_codes: tuple[Proposal, ...] = ()
    allow_empty: bool = False

    @property
    def is_own(self) -> bool:
        """Whether the mapping itself says all of the feed."""
        return self.match is None


@dataclass(frozen=True)
class Suggestion:
    """A mapping as it may be written. `unread`: files and tables that are left out, and why."""

    template: str | None
    sis: str
    feeds: tuple[FeedSuggestion, ...]
    absent: tuple[str, ...]
    date_formats: tuple[str, ...]
    null_tokens: tuple[str, ...]
    date_in_names: str
    unread: tuple[Fault, ...]
    lexicon: Lexicon
    decimal: str = ""
    guessed: tuple[tuple[str, str, Proposal], ...] = ()

    @property
    def open_columns(self) -> list[tuple[FeedSuggestion, str, list[Proposal]]]:
        """Every column that a person must decide about, with what it may be."""
        return [
            (feed, column, found)
            for feed in self.feeds
            for column, found in feed.reading.open.items()
        ]

    @property
    def open_codes(self) -> list[tuple[FeedSuggestion, Proposal, str]]:
        """Every code of a mapped column that a person must say the meaning of."""
        return [
            (feed, proposal, code)
            for feed in self.feeds
            for proposal in (
                *(p for made in feed.reading.fills.values() for p in made),
                *feed.more_codes,
            )
            for code in proposal.unknown
        ]

    def with_code(
        self, feed_name: str, entity: str, field: str, code: str, value: str
    ) -> Suggestion:
        """The suggestion with one code mapped to a value of ours."""

        def told(one: Proposal) -> Proposal:
            if (one.entity, one.field) != (entity, field) or code not in one.unknown:
                return one
            rule = dict(one.rule) if isinstance(one.rule, dict) else {"from": one.rule}
            rule["map"] = {**rule.get("map", {}), code: value}
            return replace(one, rule=rule, unknown=tuple(c for c in one.unknown if c != code))

        feeds = []
        for feed in self.feeds:
            if feed.name == feed_name:
                fills = {name: [told(p) for p in made] for name, made in feed.reading.fills.items()}
                more = tuple(told(p) for p in feed.more_codes)
                feed = replace(feed, reading=replace(feed.reading, fills=fills), more_codes=more)
            feeds.append(feed)
        return replace(self, feeds=tuple(feeds))

    def counts(self) -> dict[str, int]:
        """Columns found, mapped without a question, asked about, not mapped."""
        columns = sum(len(feed.sample.headers) for feed in self.feeds)
        asked = len(self.open_columns)
        mapped = sum(len(mapped_columns(feed)) for feed in self.feeds)
        return {
            "found": columns,
            "mapped": mapped,
            "asked": asked,
            "unmapped": columns - mapped - asked,
        }

    def answered(
        self, feed_name: str, column: str, chosen: Proposal | None, *, guess: bool = False
    ) -> Suggestion:
        """The suggestion with one open column decided; None leaves it out."""
        feeds = [
            replace(feed, reading=_decided(feed.reading, self.lexicon, column, chosen, guess))
            if feed.name == feed_name else feed
            for feed in self.feeds
        ]  # fmt: skip
        more = ((feed_name, column, chosen),) if guess and chosen else ()
        return replace(self, feeds=tuple(feeds), guessed=(*self.guessed, *more))

    def with_best_guesses(self) -> Suggestion:
        """Every open column decided as it most likely is; they are listed in `guessed`.

        What is less than WORTH_GUESSING stays open: it would more likely be wrong than right.
        """
        done = self
        for feed, column, _ in self.open_columns:
            now = next(one for one in done.feeds if one.name == feed.name)
            candidates = now.reading.open.get(column)
            if candidates and candidates[0].confidence >= WORTH_GUESSING:
                done = done.answered(feed.name, column, candidates[0], guess=True)
        return done


def _decided(
    reading: FileReading, lexicon: Lexicon, column: str, chosen: Proposal | None, guess: bool
) -> FileReading:
    asked = {name: found for name, found in reading.open.items() if name != column}
    if chosen is None:
        return replace(reading, open=asked, unmapped=(*reading.unmapped, column))
    owed = f"guessed, {chosen.confidence:.2f}: {chosen.reason}" if guess else ""
    sure = replace(
        chosen,
        confidence=1.0,
        owed=owed,
        reason="decided by a person" if not guess else chosen.reason,
    )
    fills = {entity: list(found) for entity, found in reading.fills.items()}
    waiting = {entity: list(found) for entity, found in reading.waiting.items()}
    entity = chosen.entity
    if entity in fills:
        fills[entity] = [*(p for p in fills[entity] if p.field != chosen.field), sure]
    else:
        waiting[entity] = [*(p for p in waiting.get(entity, []) if p.field != chosen.field), sure]
        if has_needed(lexicon, entity, waiting[entity]):
            fills[entity] = [p for p in waiting.pop(entity) if p.is_sure]
    taken = {(p.entity, p.field) for found in fills.values() for p in found}
    asked = {
        name: [p for p in found if (p.entity, p.field) not in taken]
        for name, found in asked.items()
    }
    used = {c for found in fills.values() for p in found for c in p.columns}
    left = tuple(name for name, found in asked.items() if not found and name not in used)
    asked = {name: found for name, found in asked.items() if found and name not in used}
    return replace(
        reading, fills=fills, waiting=waiting, open=asked, unmapped=(*reading.unmapped, *left)
    )


def mapped_columns(feed: FeedSuggestion) -> set[str]:
    """The headers of a file that the mapping reads."""
    found = {c for made in feed.reading.fills.values() for p in made for c in p.columns}
    if feed.match:
        found |= {*feed.match.known, *feed.match.aliases.values()}
    return found


def suggest(folder: Path, project: Project) -> Suggestion:
    """Read the samples in a folder and suggest a mapping.

    Raises FixTheSetup when there is no such folder, AskTheSchool with all the reasons when none of
    its files can be read.
    """
    templates = {name: project.template(name) for name in project.template_names()}
    lexicon = Lexicon(project.entities, Codes.of(project.entities, templates))
    fingerprints = Fingerprints.of(project, lexicon, templates)
    samples = read_samples(folder, fingerprints.headers)
    recognised = fingerprints.recognise(samples.tables)
    unread = list(samples.unread)
    feeds = (
        [
            _of_template(match, recognised.resolved, lexicon)
            for match in _one_each(recognised, unread)
        ]
        if recognised
        else []
    )
    taken = {id(match.sample) for match in recognised.matches} if recognised else set()
    rest = [sample for sample in samples.tables if id(sample) not in taken]
    names = {
        *(recognised.resolved.mapping.feeds if recognised else ()),
        *(feed.name for feed in feeds),
    }
    feeds += _own_feeds(rest, lexicon, names, unread, recognised)
    formats = recognised.resolved.mapping.values.date_formats if recognised else ()
    feeds, date_formats = _with_dates(feeds, lexicon, samples.tables, formats)
    return Suggestion(
        template=recognised.template if recognised else None,
        sis=recognised.resolved.mapping.sis if recognised else "its own export",
        feeds=tuple(feeds),
        absent=recognised.absent if recognised else (),
        date_formats=date_formats,
        null_tokens=_null_tokens(feeds, recognised),
        date_in_names=_date_in_names(samples.tables),
        unread=tuple(unread),
        lexicon=lexicon,
        decimal=_decimal(feeds, lexicon),
    )


# --- files of a template ---------------------------------------------------------------------------


def _one_each(recognised: Recognised, unread: list[Fault]) -> list[FeedMatch]:
    """One match for each feed; several files of one feed are one sample.

    Beside a file with the feed's own name one of another kind is left out, though it has its columns:
    no pattern of names would take both and nothing else.
    """
    by_feed: dict[str, list[FeedMatch]] = {}
    for match in recognised.matches:
        by_feed.setdefault(match.feed, []).append(match)
    order = list(recognised.resolved.mapping.feeds)
    found = []
    for name in sorted(by_feed, key=order.index):
        several = by_feed[name]
        kinds = {_kind_of_name(match.sample.name) for match in several if match.by_name}
        if kinds:
            others = [m.sample for m in several if _kind_of_name(m.sample.name) not in kinds]
            several = [m for m in several if _kind_of_name(m.sample.name) in kinds]
            why = f"It has the columns of `{name}`, whose file is {several[0].sample.shown}; it is left out."
            unread += [Fault("FILE_COLUMN_UNKNOWN", why, sample.shown) for sample in others]
        sample = _merged([match.sample for match in several])
        found.append(replace(several[0], sample=sample, by_name=all(m.by_name for m in several)))
    return found


def _of_template(match: FeedMatch, resolved: ResolvedMapping, lexicon: Lexicon) -> FeedSuggestion:
    feed, sample = resolved.mapping.feeds[match.feed], match.sample
    names = sample.shown.split(" + ")
    by_name = match.by_name and all(_takes_date(feed, name) for name in names if _date_of(name))
    file, member = ((), None) if by_name else _patterns(names)
    return FeedSuggestion(
        name=match.feed, file=file, member=member, sample=sample, samples=tuple(names),
        reading=_more_columns(match, feed, lexicon), match=match,
        more_codes=tuple(_more_codes(match, feed, lexicon)),
        allow_empty=not sample.rows and not sample.rejected and not feed.allow_empty,
    )  # fmt: skip


def _takes_date(feed: Feed, name: str) -> bool:
    """Whether a pattern of the feed takes the file together with the date in its name.

    Else the deliveries of two days would be read as one.
    """
    dated = [pattern for pattern in feed.file if "{date}" in pattern]
    return any(pattern_of(pattern).fullmatch(name.partition("/")[0]) for pattern in dated)


def _more_columns(match: FeedMatch, feed: Feed, lexicon: Lexicon) -> FileReading:
    """Columns that the template does not read and that are plainly fields of what the feed fills."""
    sample = match.sample
    known = {*match.known, *match.aliases.values()}
    there = {folded(header) for header in match.known} | {
        folded(column) for column in match.aliases
    }
    filled = {
        (entity, name)
        for entity, fill in feed.entities.items()
        for name, rule in fill.columns.items()
        if rule.constant is not None or any(folded(c) in there for c in rule.source_columns)
    }
    fills: dict[str, list[Proposal]] = {}
    asked: dict[str, list[Proposal]] = {}
    unmapped = []
    for header in sample.headers:
        if header in known:
            continue
        candidates = [
            of_column(lexicon, m.entity, m.field, header, sample.columns[header], m.confidence, m.reason)
            for m in lexicon.meanings(header, sample.columns[header])
            if m.entity in feed.entities and (m.entity, m.field) not in filled and m.exact
            and m.specific and m.field != f"{m.entity}_id" and m.persona in (None, "student")
        ]  # fmt: skip
        if candidates and candidates[0].is_sure:
            best = candidates[0]
            fills.setdefault(best.entity, []).append(best)
            filled.add((best.entity, best.field))
        elif candidates:
            asked[header] = candidates[:3]
        else:
            unmapped.append(header)
    return FileReading(None, fills, {}, asked, tuple(unmapped))


def _more_codes(match: FeedMatch, feed: Feed, lexicon: Lexicon) -> list[Proposal]:
    """Codes in the samples that the template's maps lack and would reject."""
    by_name = {folded(header): header for header in match.known}
    by_name |= {folded(column): header for column, header in match.aliases.items()}
    found = []
    for entity, fill in feed.entities.items():
        for name, rule in fill.columns.items():
            of = lexicon.field(entity, name)
            header = next((by_name[folded(c)] for c in rule.from_ if folded(c) in by_name), None)
            if (
                of.type != "enum"
                or header is None
                or rule.split
                or rule.extract
                or rule.on_unmapped != "reject"
            ):
                continue
            content = match.sample.columns[header]
            mapped = {key.casefold() for key in rule.map} or {v.casefold() for v in of.values}
            wanted = {*fill.where.get(header, ())} and {
                v.casefold() for v in fill.where.get(header, ())
            }
            left_out = {v.casefold() for v in fill.where_not.get(header, ())}
            lacking = Counter({
                value: count for value, count in content.counts.items()
                if value.casefold() not in mapped | left_out and (not wanted or value.casefold() in wanted)
            })  # fmt: skip
            if lacking and len(lacking) <= 24:
                codes = lexicon.codes.read(entity, name, Content(lacking, 0))
                known = {v: mine for v, mine in codes.known.items() if v not in codes.guessed}
                told = {value.casefold() for value in known}
                unknown = tuple(v for v in lacking if v.casefold() not in told)
                safe = unknown if content.are_codes else ()
                found.append(
                    Proposal(entity, name, {"map": known} if known else {}, (header,), 0.95,
                             "codes that the template does not know", unknown=safe)
                )  # fmt: skip
    return [one for one in found if one.rule or one.unknown]


# --- files of their own ----------------------------------------------------------------------------


def _own_feeds(
    rest: Sequence[Sample], lexicon: Lexicon, names: set[str], unread: list[Fault],
    recognised: Recognised | None,
) -> list[FeedSuggestion]:  # fmt: skip
    """Feeds for files that no template takes; beside a template only for what its feeds do not fill."""
    groups = _grouped(rest)
    found = []
    for sample, reading in zip(groups, read_files(groups, lexicon), strict=True):
        shown = sample.shown.split(" + ")
        why = "No column of it is known; it is left out."
        if recognised:
            reading, why = _beside(reading, recognised)
        if not (reading.fills or (not recognised and (reading.waiting or reading.open))):
            unread.append(Fault("FILE_COLUMN_UNKNOWN", why, ", ".join(shown)))
            continue
        file, member = _patterns(shown)
        name = _feed_name(sample, reading.subject, names)
        names.add(name)
        empty = not sample.rows and not sample.rejected
        found.append(
            FeedSuggestion(name, file, member, sample, tuple(shown), reading, allow_empty=empty)
        )
    return sorted(found, key=lambda feed: _load_place(feed, lexicon))


def _beside(reading: FileReading, recognised: Recognised) -> tuple[FileReading, str]:
    """What a file brings beside a template, whose keys are its own; and why it brings nothing."""
    feeds = recognised.resolved.mapping.feeds
    fed = {entity for match in recognised.matches for entity in feeds[match.feed].entities}
    if reading.subject is None or reading.subject in fed:
        return replace(reading, fills={}), "The template has no feed for it."
    made_of_several = {
        entity
        for match in recognised.matches
        for entity, fill in feeds[match.feed].entities.items()
        if (rule := fill.columns.get(f"{entity}_id")) and rule.concat
    }
    fills = {entity: made for entity, made in reading.fills.items() if entity not in fed}
    if any(
        p.field == f"{entity}_id"
        for made in fills.values()
        for p in made
        for entity in made_of_several
    ):
        return replace(
            reading, fills={}
        ), "The template puts its keys together from columns that it may not have."
    return replace(reading, fills=fills, open={}), "The template has no feed for it."


def _load_place(feed: FeedSuggestion, lexicon: Lexicon) -> int:
    """Feeds stand in the mapping as their entities are loaded."""
    names = [*lexicon.entities, None]
    return names.index(feed.reading.subject)


def _grouped(samples: Sequence[Sample]) -> list[Sample]:
    """Files of one kind as one sample: the same columns, and names that differ in a date or one part."""
    groups: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        key = (_kind_of_name(sample.name), *sorted(map(folded, sample.headers)))
        groups.setdefault(key, []).append(sample)
    return [_merged(group) for group in groups.values()]


def _kind_of_name(name: str) -> str:
    """The first word of a file's name: students_anytown.csv and students_someville.csv are of a kind."""
    return re.split(r"[\W\d_]+", composed(name).lower(), maxsplit=1)[0]


def _merged(samples: Sequence[Sample]) -> Sample:
    """Several files of one kind as one table."""
    if len(samples) == 1:
        return samples[0]
    first = samples[0]
    by_fold = {folded(header): header for header in first.headers}
    tables: list[pa.Table] = []
    columns: dict[str, Content] = {}
    for sample in samples:
        names = [by_fold.get(folded(name), name) for name in sample.headers]
        part = pa.repeat(pa.scalar(len(tables)), sample.cells.num_rows)
        tables.append(sample.cells.rename_columns(names).append_column(PART, part))
        for name, content in zip(names, sample.columns.values(), strict=True):
            known = columns.get(name)
            columns[name] = Content(known.counts + content.counts, known.blank + content.blank,
                                    (*known.null_tokens, *content.null_tokens)) if known else content  # fmt: skip
    return Sample(
        shown=" + ".join(sample.shown for sample in samples), name=first.name, packed_in=first.packed_in,
        columns=columns, rows=sum(s.rows for s in samples), rejected=sum(s.rejected for s in samples),
        notes=first.notes, cells=pa.concat_tables(tables, promote_options="default"),
    )  # fmt: skip


def _feed_name(sample: Sample, subject: str | None, taken: set[str]) -> str:
    """A name for the feed out of the file's; in other letters than ours, the name of what the rows are."""
    stem = re.sub(r"\.[A-Za-z0-9]{1,4}$", "", sample.name)
    for pattern in _DATES_IN_NAMES:
        stem = re.sub(pattern, "", stem)
    if " + " in sample.shown:
        stem = _kind_of_name(sample.name) or stem
    snake = plain(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", stem))
    snake = re.sub(r"[^a-z0-9]+", "_", snake).strip("_")[:40]
    first = snake if re.match(r"[a-z]", snake) else f"{subject or 'file'}_{snake}".strip("_")
    name, number = first, 2
    while name in taken:
        name, number = f"{first}_{number}", number + 1
    return name


def _patterns(shown: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """File patterns, and the pattern inside the archive, for the names of a feed's samples."""
    files = [name.partition("/")[0] if ".zip/" in name.lower() else name for name in shown]
    members = [
        name.partition("/")[2].rpartition("/")[2] for name in shown if ".zip/" in name.lower()
    ]
    patterns = tuple(dict.fromkeys(_with_date(name) for name in files))
    if len(patterns) > 1:
        patterns = (_common(patterns),)
    if not members:
        return patterns, None
    inside = tuple(dict.fromkeys(_with_date(name).replace("{date}", "*") for name in members))
    return patterns, inside[0] if len(inside) == 1 else _common(inside)


def _with_date(name: str) -> str:
    found = _date_of(name)
    return name.replace(found[0], "{date}", 1) if found else name


def _date_of(name: str) -> tuple[str, str] | None:
    """The date in a file's name and its format."""
    for pattern, strptime_format in _DATES_IN_NAMES.items():
        for found in re.findall(pattern, name):
            try:
                datetime.strptime(found, strptime_format)  # noqa: DTZ007 (a calendar day)
            except ValueError:
                continue
            return found, strptime_format
    return None


def _common(names: Sequence[str]) -> str:
    """One pattern for several names: what they begin and end with, and a star."""
    start, end = names[0], names[0]
    for name in names[1:]:
        while not name.startswith(start):
            start = start[:-1]
        while not name.endswith(end):
            end = end[1:]
    shortest = min(map(len, names))
    return f"{start}*{end[max(0, len(start) + len(end) - shortest) :]}"


def _date_in_names(samples: Sequence[Sample]) -> str:
    found = Counter(
        dated[1] for sample in samples for name in sample.shown.split(" + ")
        if (dated := _date_of(name.partition("/")[0] if sample.packed_in else name))
    )  # fmt: skip
    return found.most_common(1)[0][0] if found else DEFAULT_DATE_FORMAT


# --- values ----------------------------------------------------------------------------------------


def _with_dates(
    feeds: Sequence[FeedSuggestion],
    lexicon: Lexicon,
    samples: Sequence[Sample],
    given: Sequence[str],
) -> tuple[list[FeedSuggestion], tuple[str, ...]]:
    """The feeds with every date column's format settled or asked about, and the formats of them all."""
    order = _month_before_day(samples)
    formats: list[str] = list(given)
    done = []
    for feed in feeds:
        fills, asked = dict(feed.reading.fills), dict(feed.reading.open)
        for entity, proposals in feed.reading.fills.items():
            kept = []
            for proposal in proposals:
                settled = _settled(proposal, feed.sample, lexicon, order, formats)
                if settled.is_sure:
                    kept.append(settled)
                else:
                    asked[settled.columns[0]] = [settled]
            fills[entity] = kept
        done.append(replace(feed, reading=replace(feed.reading, fills=fills, open=asked)))
        if feed.match:
            _add_formats_of_template(feed, lexicon, formats, order)
    wanted = tuple(dict.fromkeys(formats))
    if given:
        return done, wanted if set(wanted) != set(given) else ()
    return done, wanted if wanted and wanted != (_ISO,) else ()


def _settled(
    proposal: Proposal, sample: Sample, lexicon: Lexicon, order: bool | None, formats: list[str]
) -> Proposal:
    of = lexicon.field(proposal.entity, proposal.field)
    if of.type != "date" or len(proposal.columns) != 1:
        return proposal
    dates = sample.columns[proposal.columns[0]].dates
    if dates is None:
        return proposal
    chosen = list(dates.formats)
    if dates.unsure and order is None:
        both = " or ".join(dict.fromkeys(one for pair in dates.unsure for one in pair))
        return replace(proposal, confidence=0.7, reason=f"the month or the day first? every value reads as {both}",
                       rule={"from": proposal.columns[0], "date_formats": chosen})  # fmt: skip
    for pair in dates.unsure:
        right = next(one for one in pair if month_first(one) == order)
        chosen = [right if one in pair else one for one in chosen]
    fresh = [one for one in chosen if one not in formats]
    if any(contradict(one, other) or contradict(other, one) for one in fresh for other in formats):
        return replace(
            proposal,
            rule={"from": proposal.columns[0], "date_formats": list(dict.fromkeys(chosen))},
        )
    formats += dict.fromkeys(fresh)
    return proposal


def _add_formats_of_template(
    feed: FeedSuggestion, lexicon: Lexicon, formats: list[str], order: bool | None
) -> None:
    """Formats in which the samples write dates that the template reads and does not know.

    They take the place of those of the template that would read them as other days.
    """
    for content in _of_type(feed, lexicon, "date"):
        dates = content.dates
        if dates is None or (dates.unsure and order is None):
            continue
        pairs = {one: pair for pair in dates.unsure for one in pair}
        for one in dates.formats:
            right = next((x for x in pairs.get(one, (one,)) if month_first(x) == order), one)
            if right not in formats:
                formats[:] = [
                    x for x in formats if not (contradict(right, x) or contradict(x, right))
                ]
                formats.append(right)


def _of_type(feed: FeedSuggestion, lexicon: Lexicon, kind: str) -> Iterator[Content]:
    """The contents of the columns that a template reads as fields of a type."""
    assert feed.match is not None
    for header in feed.match.known:
        content = feed.sample.columns[header]
        names = {(m.entity, m.field) for m in lexicon.meanings(header, content) if m.exact}
        if names and all(lexicon.field(*name).type == kind for name in names):
            yield content


def _decimal(feeds: Sequence[FeedSuggestion], lexicon: Lexicon) -> str:
    """`comma` where numbers that a template reads are written with one, and none with a point."""
    found = [
        content
        for feed in feeds
        if feed.match
        for content in _of_type(feed, lexicon, "decimal")
        if content.filled
    ]
    signs = {content.decimal_sign for content in found if content.integers < 1.0}
    return "comma" if signs == {"comma"} else ""


def _month_before_day(samples: Sequence[Sample]) -> bool | None:
    """Whether these files write the month first, by columns that can be read in one way only; None: no telling."""
    votes: Counter[bool] = Counter()
    for sample in samples:
        for content in sample.columns.values():
            if (dates := content.dates) is None or dates.unsure:
                continue
            for one in dates.formats:
                if one[:2] in ("%m", "%d") and "%b" not in one and "%B" not in one:
                    votes[month_first(one)] += 1
    return votes.most_common(1)[0][0] if len(votes) == 1 else None


def _null_tokens(feeds: Sequence[FeedSuggestion], recognised: Recognised | None) -> tuple[str, ...]:
    """Texts that stand for no value in columns that are read."""
    known = (
        {t.casefold() for t in recognised.resolved.mapping.values.null_tokens}
        if recognised
        else set()
    )
    found = {
        token.casefold(): token
        for feed in feeds
        for column in mapped_columns(feed)
        if column in feed.sample.columns
        for token in feed.sample.columns[column].null_tokens
    }
    return tuple(sorted(token for fold, token in found.items() if fold not in known))
