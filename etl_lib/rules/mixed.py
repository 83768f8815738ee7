"""Two formats in one column, found over the whole file; what both read differently is not trusted.

A cell that only another format reads is odd; a cell that only the declared one reads is a proof; a
cell that both read, as different values, is doubtful. In a mixed column the doubtful cells are
rejected, and those that are proofs or mean the same in both stay.

Two odd rows make a column mixed: a slip stands alone, a second export or a spreadsheet does not. Of
two formats in one column about as many cells are doubtful as are odd (of the days of a year, 132 of
365 can be read as month first too, 221 cannot), so every odd row stands for a wrong one. A single odd
row is a slip of that row, and costs its neighbours nothing, when PROOFS rows speak for the declared
format; with fewer it is as good a witness as they.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.config.entity import EntityField
from etl_lib.config.mapping import ColumnRule
from etl_lib.config.project import Fill
from etl_lib.rules.parse import (
    FIRST_YEAR,
    LAST_YEAR,
    decimal_sign,
    formats_of,
    instant,
    shape_of,
)
from etl_lib.rules.prepare import PreparedRows
from etl_lib.rules.text import all_false, any_of, over_distinct

ODD_ROWS, PROOFS = 2, 20
Judge = Callable[[str], bool]
_TO_TWELVE = "(?:0?[1-9]|1[0-2])"
_HOUR = re.compile(r"%H(\W?%M(?:\W?%S(?:\.%f)?)?)?")
_MARKS = {"point": (r"\.", ","), "comma": (",", r"\.")}


@dataclass(frozen=True)
class Rival:
    """Another format in which a field's column may be written too.

    `shape`: what doubtful texts look like, for the expectation. `code`: the code of doubtful cells.
    `on_cells`: the file's own texts are judged, not the field's values.
    """

    field: str
    shape: str
    odd: Judge
    proof: Judge
    doubtful: Judge
    code: str = "VALUE_MIXED_FORMATS"
    on_cells: bool = False
    odd_rows: int | None = ODD_ROWS  # so many need no look at the proofs; None: always look
    proofs: int = PROOFS

    def odd_count(self, prepared: PreparedRows, unread: pa.BooleanArray | None) -> int:
        """How many rows are odd; `unread` marks those that the declared format does not read."""
        if self.on_cells:
            return sum(self._count(cells.filter(_ends_oddly(cells)), self.odd)
                       for cells in prepared.cells.get(self.field, ()))  # fmt: skip
        if unread is None or not pc.any(unread).as_py():
            return 0
        return self._count(prepared.values[self.field].filter(unread), self.odd)

    def proof_count(self, prepared: PreparedRows) -> int:
        """How many rows only the declared format reads."""
        return sum(
            self._count(texts.filter(prepared.kept), self.proof) for texts in self._texts(prepared)
        )

    def doubtful_rows(self, prepared: PreparedRows) -> pa.BooleanArray:
        """Rows whose value is another one in the other format; never null."""

        def judged(texts: list[str]) -> list[object]:
            return [self.doubtful(text) for text in texts]

        masks = [over_distinct(texts, judged, pa.bool_()) for texts in self._texts(prepared)]
        return any_of(all_false(len(prepared.lines)), *(pc.fill_null(m, False) for m in masks))

    def _texts(self, prepared: PreparedRows) -> tuple[pa.StringArray, ...]:
        cells = prepared.cells.get(self.field, ())
        return cells if self.on_cells else (prepared.values[self.field],)

    @staticmethod
    def _count(texts: pa.StringArray, judge: Judge) -> int:
        found = texts.drop_null().value_counts().to_pylist()
        return sum(one["counts"] for one in found if judge(one["values"]))


def is_mixed(rival: Rival, odd: int, proofs: int) -> bool:
    """Whether so many odd rows, against so many proofs, make the column mixed."""
    certain = rival.odd_rows is not None and odd >= rival.odd_rows
    return certain or (odd > 0 and proofs < rival.proofs)


def rivals_of(name: str, fill: Fill) -> tuple[Rival, ...]:
    """Formats that may stand in the field's column beside the declared one."""
    of, rule = fill.entity.fields[name], fill.rules.columns.get(name)
    if of.array or rule is None or rule.constant is not None:
        return ()
    if of.type == "decimal":
        sign = decimal_sign(rule, fill.feed)
        return (_percent(name), _other_sign(name, *_MARKS[sign]))
    if of.type in ("date", "timestamp"):
        return tuple(
            rival
            for one in formats_of(of, rule, fill.feed)
            for rival in (_swapped(name, one), _twelve_hours(name, one, of))
            if rival is not None
        )
    return (_made_decimal(name),) if of.type == "id" and not _mends(rule) else ()


def _mends(rule: ColumnRule) -> bool:
    return bool(rule.split or rule.extract or rule.pattern or rule.map)


def _fits(pattern: str) -> Judge:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _ends_oddly(cells: pa.StringArray) -> pa.BooleanArray:
    return pc.fill_null(pc.ends_with(cells, ".0"), False)


def _swapped(name: str, declared: str) -> Rival | None:
    """Day and month in the other order."""
    if "%d" not in declared or "%m" not in declared:
        return None
    other = declared.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")

    def readings(text: str) -> tuple[object, object]:
        return instant(text, (declared,)), instant(text, (other,))

    def odd(text: str) -> bool:
        found = instant(text, (other,))
        return found is not None and FIRST_YEAR <= found.year <= LAST_YEAR

    def proof(text: str) -> bool:
        ours, theirs = readings(text)
        return ours is not None and theirs is None

    def doubtful(text: str) -> bool:
        ours, theirs = readings(text)
        return ours is not None and theirs is not None and ours != theirs

    shape = shape_of(declared, {"d": _TO_TWELVE, "m": _TO_TWELVE})
    return Rival(name, f"^{shape}$", odd, proof, doubtful)


def _twelve_hours(name: str, declared: str, of: EntityField) -> Rival | None:
    """Hours up to 12 with AM or PM beside hours up to 23; the day of a date does not depend on them."""
    if of.type != "timestamp" or not _HOUR.search(declared):
        return None
    others = tuple(_HOUR.sub(rf"%I\1{blank}%p", declared) for blank in ("", " "))

    def doubtful(text: str) -> bool:
        found = instant(text, (declared,))
        return found is not None and 1 <= found.hour <= 12

    def proof(text: str) -> bool:
        return instant(text, (declared,)) is not None and not doubtful(text)

    shape = shape_of(declared, {"H": _TO_TWELVE})
    return Rival(
        name, f"^{shape}$", lambda text: instant(text, others) is not None, proof, doubtful
    )


def _percent(name: str) -> Rival:
    """85% beside 0.85 or 85: nothing says of which the plain numbers are; zero is zero in both."""
    odd = _fits(r"[+-]?[0-9]*[.,]?[0-9]+ ?%")
    plain = r"[+-]?[0-9.,]*[1-9][0-9.,]*"
    return Rival(name, f"^{plain}$", odd, _fits(plain), _fits(plain))


def _other_sign(name: str, ours: str, theirs: str) -> Rival:
    """1,5 beside 1.234, which then may be a thousand; 0.234 and 1.25 can only be fractions."""
    thousands = rf"[+-]?[1-9][0-9]{{0,2}}(?:{theirs}[0-9]{{3}})+"
    fraction = rf"[+-]?(?:[0-9]*|[0-9]{{1,3}}(?:{ours}[0-9]{{3}})+){theirs}[0-9]+"
    doubtful = rf"[+-]?[1-9][0-9]{{0,2}}{ours}[0-9]{{3}}"
    odd = _fits(rf"(?!{thousands}$){fraction}")
    proof = _fits(rf"(?!{doubtful}$)[+-]?[0-9]*{ours}[0-9]+")
    return Rival(name, f"^{doubtful}$", odd, proof, _fits(doubtful))


def _made_decimal(name: str) -> Rival:
    """1234.0 in a column of ids: a program took them for numbers, unless ids such as 12.5 are there."""
    made = _fits(r"[0-9]+\.0")
    proof = _fits(r"[0-9]+\.[0-9]*[1-9]")
    return Rival(name, r"^[0-9]+\.0$", made, proof, made, "VALUE_SPREADSHEET_DAMAGE",
                 on_cells=True, odd_rows=None, proofs=1)  # fmt: skip
