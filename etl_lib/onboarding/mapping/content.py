"""What the values of a column tell: dates and their format, numbers, mails, codes, what is unique."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from etl_lib.extract.reader.shapes import shape_of
from etl_lib.rules.parse import FIRST_YEAR, LAST_YEAR, instant

# Texts that exports write where there is no value; an empty cell always means that.
NO_VALUE = frozenset(
    {"null", "n/a", "na", "-", "--", "(null)", "\\n", "nan", "<null>", "#n/a", "nil"}
)
YES = frozenset(
    {"true", "t", "yes", "y", "1", "si", "sí", "s", "ja", "j", "oui", "o", "x", "v", "sim", "wahr"}
)
NO = frozenset({"false", "f", "no", "n", "0", "nein", "non", "não", "nao", "falsch"})
MOST_CODES = 24  # a column of more different values is no list of codes
_LONGEST_CODE = 40
_LONG_LISTS = 200_000  # of more different values only so many are looked at
_MAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;]+")
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_POINT, _COMMA = re.compile(r"[+-]?\d+\.\d+"), re.compile(r"[+-]?\d+,\d+")
_GRADE_LEVEL = re.compile(
    r"(0?\d|1[0-3]|k|pk|tk|kg|kf|pk[34]|ps|ee|ug|it|other|grade 1?\d|1?\d(st|nd|rd|th)( grade)?|kindergarten)",
    re.I,
)
_LETTER_GRADE = re.compile(
    r"([A-F][+-]?|P|NP|S|U|W|WP|WF|I|IP|AU|CR|NC|PASS|FAIL|\d{1,3}(\.\d+)?)", re.I
)
_WORDS = re.compile(r"[^\W\d_]{2,}")

_TIMES = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S.%fZ", "T%H:%M:%SZ", "T%H:%M:%S%z", "T%H:%M:%S.%f%z",
          "T%H:%M:%S", "T%H:%M", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p")  # fmt: skip
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%Y%m%d",
         "%d-%b-%Y", "%d-%b-%y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%b %d, %Y", "%B %d, %Y", "%d %b %Y",
         "%d %B %Y", "%Y.%m.%d", "%m-%d-%y", "%d-%m-%y", "%b %d %Y")  # fmt: skip
_FORMATS = tuple(day + time for day in _DAYS for time in _TIMES)


@dataclass(frozen=True)
class Dates:
    """How a column writes days.

    `formats`: together they read every value. `unsure`: pairs of formats that read the same values as
    different days, the month first and the day first; nothing in the column says which is meant.
    """

    formats: tuple[str, ...]
    unsure: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Content:
    """A column's values, trimmed: how often each stands there.

    `blank`: cells without a value. `null_tokens`: the texts that stand for none, as they are written.
    """

    counts: Counter[str]
    blank: int
    null_tokens: tuple[str, ...] = ()

    @classmethod
    def of(cls, counts: Iterable[tuple[str, int]]) -> Content:
        """From the distinct cells, as they stand in the file, and their numbers."""
        found: Counter[str] = Counter()
        blank = 0
        tokens: set[str] = set()
        for cell, count in counts:
            value = cell.strip()
            if not value or value.casefold() in NO_VALUE:
                blank += count
                tokens |= {value} - {""}
            else:
                found[value] += count
        return cls(found, blank, tuple(sorted(tokens)))

    @property
    def filled(self) -> int:
        """How many cells hold a value."""
        return self.counts.total()

    @property
    def rows(self) -> int:
        """All cells."""
        return self.filled + self.blank

    @property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(self.counts)

    @cached_property
    def is_unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.filled > 0 and self.blank == 0 and self.distinct == self.filled

    @cached_property
    def values(self) -> Sequence[str]:
        """The different values, of very many the first."""
        return list(self.counts)[:_LONG_LISTS]

    def share(self, pattern: re.Pattern[str]) -> float:
        """Which part of the filled cells a pattern takes whole."""
        taken = sum(count for value, count in self.counts.items() if pattern.fullmatch(value))
        return taken / self.filled if self.filled else 0.0

    @cached_property
    def mails(self) -> float:
        """The share of mail addresses."""
        return self.share(_MAIL)

    @cached_property
    def integers(self) -> float:
        """The share of whole numbers."""
        return self.share(_INTEGER)

    @cached_property
    def decimal_sign(self) -> str | None:
        """`point` or `comma` where all values are numbers (whole ones are either), else None."""
        with_point, with_comma = self.share(_POINT), self.share(_COMMA)
        if self.filled and with_point + self.integers == 1.0:
            return "point"
        return "comma" if with_comma and with_comma + self.integers == 1.0 else None

    @cached_property
    def yes_no(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """The texts for yes and for no, or None when there are others."""
        folded = {value.casefold() for value in self.counts}
        if not folded or not folded <= YES | NO or len(folded) > 4:
            return None
        return tuple(sorted(folded & YES)), tuple(sorted(folded & NO))

    @cached_property
    def are_codes(self) -> bool:
        """Whether few different short texts stand in it again and again: then they are no person's."""
        few = 0 < self.distinct <= MOST_CODES and self.distinct * 2 <= self.filled
        return few and not self.mails and max(map(len, self.counts)) <= _LONGEST_CODE

    @cached_property
    def are_grade_levels(self) -> bool:
        """Whether all values are school grades, kindergarten to 13."""
        return self.filled > 0 and self.share(_GRADE_LEVEL) == 1.0

    @cached_property
    def are_letter_grades(self) -> bool:
        """Whether nearly all values are marks, and some of them letters."""
        return self.share(_LETTER_GRADE) > 0.9 and self.integers < 1.0

    @cached_property
    def has_words(self) -> bool:
        """Whether most values hold a word: names and titles do, codes and numbers do not."""
        looked = self.values[:2_000]
        return sum(bool(_WORDS.search(value)) for value in looked) * 2 > len(looked)

    @cached_property
    def dates(self) -> Dates | None:
        """How days are written, over the whole column; None when some value is no day."""
        by_shape: defaultdict[str, list[str]] = defaultdict(list)
        for value in self.values:
            by_shape[shape_of(value)].append(value)
        if not by_shape or len(by_shape) > 12 or not all("9" in shape for shape in by_shape):
            return None
        reading: list[tuple[str, ...]] = []
        for values in by_shape.values():
            formats = _formats_of(values)
            if not formats:
                return None
            reading.append(formats)
        known = {formats[0] for formats in reading if len(formats) == 1}
        chosen: list[str] = []
        unsure: list[tuple[str, str]] = []
        for formats in reading:
            settled = next((one for one in formats if one in known), None)
            if (
                settled is None
                and len(formats) > 1
                and month_first(formats[0]) != month_first(formats[1])
            ):
                unsure.append((formats[0], formats[1]))
            chosen.append(settled or formats[0])
        return Dates(tuple(dict.fromkeys(chosen)), tuple(dict.fromkeys(unsure)))


def _formats_of(values: Sequence[str]) -> tuple[str, ...]:
    """The formats that read all values as days of our time."""
    formats: Sequence[str] = _FORMATS
    for few in (values[:20], values):
        formats = [one for one in formats if all(_is_day(value, one) for value in few)]
    if any("%Y" in one for one in formats):
        formats = [one for one in formats if "%Y" in one]
    return tuple(formats)


def _is_day(value: str, strptime_format: str) -> bool:
    found = instant(value, (strptime_format,))
    return found is not None and max(FIRST_YEAR, 1901) <= found.year <= min(LAST_YEAR, 2099)


def month_first(strptime_format: str) -> bool:
    """Whether the month stands before the day."""
    return 0 <= strptime_format.find("%m") < strptime_format.find("%d")
