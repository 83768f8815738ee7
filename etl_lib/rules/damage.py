"""What a spreadsheet leaves of values that it took for something else, told by the declared type.

Only traces that no value of the type has: titles and names are judged by error signs alone, and a
value that the mapping itself names (in `map`, by `pattern`) is not damaged.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.config.entity import EntityField
from etl_lib.config.mapping import ColumnRule, Feed
from etl_lib.rules.parse import fixed_digits, formats_of
from etl_lib.rules.text import all_false, any_of

# Error signs (English and Spanish), the marks of a column too narrow, LibreOffice's codes.
_ERROR = (
    r"#(?:REF!|N/A|N/D|NAME\?|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!"
    r"|¡(?:REF|VALOR|NUM|NULO|DIV/0)!|¿NOMBRE\?)|#{4,}|Err:5[0-9]{2}"
)
_POWER = r"[+-]?[0-9](?:[.,][0-9]+)?[eE]\+[0-9]+"
_MONTH = "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|ene|abr|ago|dic)"
_DAY = rf"[0-9]{{1,2}}-{_MONTH}|{_MONTH}-(?:[0-9]{{1,2}}|[0-9]{{4}})"
_MIDNIGHT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]00:00:00"
# 8:05 AM, and 05:00.0 (minutes and seconds, all that is shown of a time with a fraction)
_CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})? ?[AaPp]\.? ?[Mm]\.?|[0-9]{2}:[0-9]{2}\.[0-9]"
_TIME = rf"{_CLOCK}|[0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}})?"
_SERIAL = r"(?:[2-5][0-9]{4}|60000)(?:[.,][0-9]+)?"  # days since 1900: from 1954 to 2064
# What a text must hold to be such a trace; of others nothing is known.
_SIGNS = {_ERROR: (b"#", b"Err:5"), _POWER: (b"+",), _DAY: (b"-",), _CLOCK: (b":",), _TIME: (b":",),
          _MIDNIGHT: (b":",)}  # fmt: skip
_NUMBERS = ("integer", "decimal")
_DATES = ("date", "timestamp")


def damage_pattern(of: EntityField, rule: ColumnRule | None, feed: Feed) -> str:
    """Regular expression of whole texts that a field of this type only has from a spreadsheet."""
    return f"^(?:{'|'.join(_traces(of, rule, feed))})$"


def _traces(of: EntityField, rule: ColumnRule | None, feed: Feed) -> list[str]:
    joined = bool(rule and rule.concat)  # its parts are texts of any kind: only sure signs count
    if of.type == "id" or (of.type == "text" and of.code):
        traces = [_ERROR, _POWER, _DAY, *(() if joined else (_CLOCK, _MIDNIGHT))]
    elif of.type in _NUMBERS:
        traces = [_ERROR, *(() if joined else (_POWER, _DAY, _TIME, _MIDNIGHT))]
    elif of.type in _DATES:
        traces = [_ERROR, _SERIAL, *(() if joined else (_POWER, _DAY, _TIME))]
        # 1012026 for 01012026: without its zero it would read as another day
        lengths = {fixed_digits(one) for one in formats_of(of, rule, feed)} - {None}
        traces += [f"[0-9]{{{length - 1}}}" for length in sorted(filter(None, lengths))]
    else:
        traces = [_ERROR]
    if rule and rule.width and rule.width > 1:
        traces.append(f"[0-9]{{1,{rule.width - 1}}}")
    return traces


def damaged(
    texts: tuple[pa.StringArray, ...], of: EntityField, rule: ColumnRule | None, feed: Feed
) -> pa.BooleanArray:
    """Rows of which a text fits `damage_pattern`, unless the rule names such texts itself; never null.

    `texts` are the cells as the file has them, one column for each part of the value.
    """
    pattern, signs = damage_pattern(of, rule, feed), _signs_of(_traces(of, rule, feed))
    return any_of(
        *(
            all_false(len(part))
            if signs and not _has(part, signs)
            else _damaged(part, pattern, rule)
            for part in texts
        )
    )


def _signs_of(traces: Collection[str]) -> list[bytes]:
    """One of these is in each text that shows one of the traces; none: nothing is known."""
    known = all(trace in _SIGNS for trace in traces)
    return [sign for trace in traces for sign in _SIGNS[trace]] if known else []


def _has(texts: pa.StringArray, signs: Collection[bytes]) -> bool:
    """Whether one of the signs may be in one of the texts: to look costs a tenth of a regular expression."""
    _, offsets, letters = texts.buffers()
    if letters is None:
        return False
    places = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    held = bytes(memoryview(letters)[places[0] : places[-1]])
    return any(sign in held for sign in signs)


def _damaged(texts: pa.StringArray, pattern: str, rule: ColumnRule | None) -> pa.BooleanArray:
    bad = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    if rule is None or not (rule.map or rule.pattern) or not pc.any(bad).as_py():
        return bad
    if rule.map:
        keys = pa.array(sorted(key.lower() for key in rule.map), pa.string())
        bad = pc.and_(bad, pc.invert(pc.is_in(pc.utf8_lower(texts), value_set=keys)))
    if rule.pattern:
        agreed = pc.match_substring_regex(texts, f"^(?:{rule.pattern})$")
        error = pc.match_substring_regex(texts, f"^(?:{_ERROR})$")
        bad = pc.and_(bad, pc.fill_null(pc.or_(pc.invert(agreed), error), False))
    return bad
