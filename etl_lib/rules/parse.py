"""Text to typed values, exactly: what cannot be read with certainty is marked, never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.config.entity import EntityField
from etl_lib.config.mapping import ColumnRule, Feed
from etl_lib.rules.text import all_false, any_of, by_distinct, over_distinct

FIRST_YEAR, LAST_YEAR = 1900, 2200
Parsed = tuple[pa.Array, pa.BooleanArray, pa.BooleanArray]
_DIGITS = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "I": 2, "M": 2, "S": 2, "j": 3}
_ISO = "%Y-%m-%d"
_PLAIN_ISO = "^[12][0-9]{3}-[0-9]{2}-[0-9]{2}$"


def arrow_type(field: EntityField) -> pa.DataType:
    """The Arrow type of a field's canonical column; see manifest.TransformedFill."""
    scalar = {
        "integer": pa.int64(),
        "decimal": pa.decimal128(field.precision, field.scale),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }.get(field.type, pa.string())
    return pa.list_(scalar) if field.array else scalar


def parse(
    values: pa.StringArray, field: EntityField, rule: ColumnRule | None, feed: Feed
) -> Parsed:
    """Typed values, rows whose text has not the field's form, rows whose value is out of range.

    Rows kept, order kept; null stays null and is never bad; a bad row's value is null.
    """
    given = feed.values
    if field.array:
        separator = rule.list_separator if rule else ","
        return _lists(values, separator), all_false(len(values)), all_false(len(values))
    if field.type == "integer":
        return _integers(values, field)
    if field.type == "decimal":
        return _decimals(values, field, decimal_sign(rule, feed))
    if field.type == "boolean":
        true = _folded((rule and rule.true_tokens) or given.true_tokens)
        return _booleans(values, true, _folded((rule and rule.false_tokens) or given.false_tokens))
    if field.type == "date":
        return _dates(values, formats_of(field, rule, feed))
    if field.type == "timestamp":
        return _timestamps(values, formats_of(field, rule, feed))
    return values, all_false(len(values)), all_false(len(values))


def formats_of(field: EntityField, rule: ColumnRule | None, feed: Feed) -> tuple[str, ...]:
    """The strptime formats of a date or timestamp field: the rule's own, else the feed's."""
    if field.type == "date":
        return (rule and rule.date_formats) or feed.values.date_formats
    return (rule and rule.timestamp_formats) or feed.values.timestamp_formats


def decimal_sign(rule: ColumnRule | None, feed: Feed) -> str:
    """`point` or `comma`: the rule's own, else the feed's."""
    return (rule and rule.decimal) or feed.values.decimal


def _folded(tokens: tuple[str, ...]) -> frozenset[str]:
    return frozenset(token.strip().lower() for token in tokens)


def _where(keep: pa.BooleanArray, values: pa.Array) -> pa.Array:
    return pc.if_else(keep, values, pa.scalar(None, values.type))


def _integers(values: pa.StringArray, field: EntityField) -> Parsed:
    shaped = pc.fill_null(pc.match_substring_regex(values, r"^[+-]?[0-9]+$"), True)
    short = pc.fill_null(pc.match_substring_regex(values, r"^[+-]?0*[0-9]{1,18}$"), True)
    digits = pc.utf8_ltrim(_where(pc.and_(shaped, short), values), characters="+")
    typed = pc.cast(digits, pa.int64())
    outside = pc.and_(shaped, pc.invert(short))
    outside = any_of(outside, _outside(typed, field))
    return _where(pc.invert(outside), typed), pc.invert(shaped), outside


def _decimals(values: pa.StringArray, field: EntityField, sign: str) -> Parsed:
    mark = "," if sign == "comma" else r"\."
    shaped = pc.fill_null(
        pc.match_substring_regex(values, rf"^[+-]?([0-9]+({mark}[0-9]*)?|{mark}[0-9]+)$"), True
    )
    plain = pc.utf8_ltrim(_where(shaped, values), characters="+")
    if sign == "comma":
        plain = pc.replace_substring(plain, ",", ".")
    whole = field.precision - field.scale
    fitting = rf"^-?0*[0-9]{{0,{whole}}}(\.[0-9]{{0,{field.scale}}}0*)?$"
    fits = pc.fill_null(pc.match_substring_regex(plain, fitting), True)
    exact = _where(fits, plain)
    # the cast takes neither more digits after the point than the scale nor a bare point
    exact = pc.replace_substring_regex(exact, rf"(\.[0-9]{{0,{field.scale}}}?)0*$", r"\1")
    exact = pc.replace_substring_regex(exact, r"\.$", "")
    exact = pc.replace_substring_regex(exact, r"^(-?)\.", r"\g<1>0.".replace(r"\g<1>", r"\1"))
    typed = pc.cast(exact, pa.decimal128(field.precision, field.scale))
    outside = any_of(pc.and_(shaped, pc.invert(fits)), _outside(typed, field))
    return _where(pc.invert(outside), typed), pc.invert(shaped), outside


def _outside(typed: pa.Array, field: EntityField) -> pa.BooleanArray:
    """Rows below the field's minimum or above its maximum."""
    masks = [all_false(len(typed))]
    if field.minimum is not None:
        masks.append(pc.less(typed, _bound(field.minimum, typed.type)))
    if field.maximum is not None:
        masks.append(pc.greater(typed, _bound(field.maximum, typed.type)))
    return pc.fill_null(any_of(*masks), False)


def _bound(value: int, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(Decimal(value) if pa.types.is_decimal(kind) else value, kind)


def _booleans(values: pa.StringArray, true: frozenset[str], false: frozenset[str]) -> Parsed:
    def read(texts: list[str]) -> list[object]:
        return [True if t.lower() in true else False if t.lower() in false else None for t in texts]

    typed = over_distinct(values, read, pa.bool_())
    bad = pc.and_(values.is_valid(), pc.invert(typed.is_valid()))
    return typed, bad, all_false(len(values))


def _dates(values: pa.StringArray, formats: tuple[str, ...]) -> Parsed:
    def read(texts: pa.StringArray) -> pa.Date32Array:
        typed = _iso_dates(texts) if formats[0] == _ISO else None
        if typed is None:
            days = [_day(instant(text, formats)) for text in texts.to_pylist()]
            typed = pa.array(days, pa.date32())
        return typed

    return _dated(values, by_distinct(values, read))


def _iso_dates(texts: pa.StringArray) -> pa.Date32Array | None:
    """Dates by Arrow's own cast, which takes no time; None unless strptime would read each one in the same way."""
    if not pc.all(pc.match_substring_regex(texts, _PLAIN_ISO), min_count=0).as_py():
        return None
    try:
        return pc.cast(texts, pa.date32())
    except pa.ArrowInvalid:  # a day that no month has
        return None


def _timestamps(values: pa.StringArray, formats: tuple[str, ...]) -> Parsed:
    def read(texts: list[str]) -> list[object]:
        return [_utc(instant(text, formats)) for text in texts]

    return _dated(values, over_distinct(values, read, pa.timestamp("us", tz="UTC")))


def _dated(values: pa.StringArray, typed: pa.Array) -> Parsed:
    bad = pc.and_(values.is_valid(), pc.invert(typed.is_valid()))
    years = pc.year(typed)
    outside = pc.fill_null(pc.or_(pc.less(years, FIRST_YEAR), pc.greater(years, LAST_YEAR)), False)
    return _where(pc.invert(outside), typed), bad, outside


@lru_cache(maxsize=200_000)
def instant(text: str, formats: tuple[str, ...]) -> datetime | None:
    """The first format that reads the text whole; Python's strptime refuses 30 February."""
    for one in formats:
        exact = _without_gaps(one)
        if exact and not exact.fullmatch(text):
            continue
        try:
            return datetime.strptime(text, one)  # noqa: DTZ007 (zones are settled by the caller)
        except ValueError:
            continue
    return None


@lru_cache(maxsize=1_000)
def _without_gaps(strptime_format: str) -> re.Pattern[str] | None:
    """Which texts a format with numbers side by side may read; None for any other format.

    strptime takes 1012026 for the first of October in %m%d%Y: without a sign between them, numbers
    need all their digits.
    """
    literals, kinds = _pieces(strptime_format)
    near = {n for n in range(len(kinds)) if kinds[n] in _DIGITS}
    near = {n for n in near if (n + 1 in near and not literals[n + 1])
            or (n - 1 in near and not literals[n])}  # fmt: skip
    if not near:
        return None
    shapes = [f"[0-9]{{{_DIGITS[k]}}}" if n in near else ".+?" for n, k in enumerate(kinds)]
    texts = [re.sub(r"(\\?\s)+", r"\\s+", re.escape(text)) for text in literals]
    return re.compile("".join(t + s for t, s in zip(texts, [*shapes, ""], strict=True)))


def fixed_digits(strptime_format: str) -> int | None:
    """How many digits a text of the format has that a lost zero in front would make another text.

    None for a format with any other signs, or that begins with the year.
    """
    literals, kinds = _pieces(strptime_format)
    if any(literals) or not kinds or not set(kinds) <= _DIGITS.keys() or kinds[0] == "Y":
        return None
    return sum(_DIGITS[kind] for kind in kinds)


def shape_of(strptime_format: str, shapes: Mapping[str, str]) -> str:
    """What texts of a format look like, as a regular expression; `shapes` are those of some directives."""
    known = {"Y": "[0-9]{4}", "f": "[0-9]{1,6}", "y": "[0-9]{2}", **shapes}
    literals, kinds = _pieces(strptime_format)
    found = [known.get(k, ".+?" if k in "zZbBpaA" else "[0-9]{1,2}") for k in kinds]
    return "".join(re.escape(t) + s for t, s in zip(literals, [*found, ""], strict=True))


def _pieces(strptime_format: str) -> tuple[list[str], list[str]]:
    """The texts around the directives (one more than those), and the directives' letters."""
    pieces = re.split(r"%(.)", strptime_format)
    return pieces[::2], pieces[1::2]


def _day(instant: object) -> date | None:
    return instant.date() if isinstance(instant, datetime) else None


def _utc(instant: datetime | None) -> datetime | None:
    """An instant without a zone is taken as UTC; formats that write Z mean it."""
    if instant is None:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _lists(values: pa.StringArray, separator: str) -> pa.Array:
    def read(texts: list[str]) -> list[object]:
        return [[part for raw in text.split(separator) if (part := raw.strip())] for text in texts]

    return over_distinct(values, read, pa.list_(pa.string()))
