"""Which file belongs to which feed, and which files make one delivery."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from etl_lib.config.letters import composed
from etl_lib.config.mapping import FILE_PART, Mapping
from etl_lib.extract import names
from etl_lib.extract.sources import RemoteFile


@dataclass(frozen=True)
class Match:
    """A file that a feed's pattern takes; `parts` are the {parts} of its name."""

    feed: str
    file: RemoteFile
    parts: tuple[tuple[str, str], ...]
    delivered_on: date | None

    @property
    def is_pattern(self) -> bool:
        """Whether several files may belong to the feed at once."""
        return bool(self.parts)


@dataclass(frozen=True)
class Candidate:
    """Files of one day (None: their names carry none) that may be a delivery."""

    delivered_on: date | None
    matches: tuple[Match, ...]
    missing: tuple[str, ...]  # required feeds without a file

    @property
    def whole(self) -> bool:
        """Every required feed has a file."""
        return not self.missing

    def files(self) -> tuple[RemoteFile, ...]:
        """The files, each once, by name."""
        return tuple(sorted({m.file for m in self.matches}, key=lambda file: file.name))


def pattern_of(pattern: str) -> re.Pattern[str]:
    """A file pattern as a regular expression: `*`, `?`, `{date}` and other {parts}; any case."""
    text = ""
    for piece in re.split(r"(\{[a-z][a-z0-9_]*\}|\*|\?)", pattern):
        if part := FILE_PART.fullmatch(piece):
            text += f"(?P<{part[1]}>[^/]+?)"
        else:
            text += {"*": ".*", "?": "."}.get(piece) or re.escape(piece)
    return re.compile(text, re.IGNORECASE)


def matches_of(mapping: Mapping, files: Sequence[RemoteFile]) -> list[Match]:
    """Every (feed, file) whose pattern fits; a date that cannot be read does not fit.

    An encrypted file fits by the name that it has without: `*.csv` takes `a.csv.pgp`.
    """
    found = []
    for feed_name, feed in mapping.feeds.items():
        taken: set[str] = set()
        for pattern in feed.file:
            compiled = pattern_of(composed(pattern))
            for file in files:
                if file.name in taken or not (match := _match(compiled, file.name)):
                    continue
                parts = match.groupdict()
                day = None
                if "date" in parts:
                    day = day_of(parts["date"], mapping.delivery.date_format)
                    if day is None:
                        continue
                taken.add(file.name)
                found.append(Match(feed_name, file, tuple(sorted(parts.items())), day))
    return found


def _match(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    """A name that the pattern takes, also when the ending of encryption follows it."""
    name = composed(name)
    return pattern.fullmatch(name) or pattern.fullmatch(names.inner_name(name))


def candidates(mapping: Mapping, files: Sequence[RemoteFile]) -> list[Candidate]:
    """Deliveries that the files may be, oldest first; files without a date belong to every one."""
    found = matches_of(mapping, files)
    days: list[date | None] = []
    days += sorted({m.delivered_on for m in found if m.delivered_on is not None})
    result = []
    for day in days or [None]:
        of_day = tuple(m for m in found if m.delivered_on in (day, None))
        fed = {m.feed for m in of_day}
        missing = tuple(n for n, f in mapping.feeds.items() if f.required and n not in fed)
        if of_day:
            result.append(Candidate(day, of_day, missing))
    return result


def day_of(text: str, date_format: str) -> date | None:
    """The {date} of a file name, or None when it is none."""
    try:
        return datetime.strptime(text, date_format).date()  # noqa: DTZ007 (a calendar day)
    except ValueError:
        return None
