"""Kernels over columns of text; what is costly is done once for each distinct value."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pyarrow as pa
import pyarrow.compute as pc

# Unicode's white space, and two signs without width that exports leave at the edges of cells.
_BLANKS = (
    " \t\r\n\v\f\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
)
_BLANKS += "\u2028\u2029\u202f\u205f\u3000\ufeff\u200b"


def trimmed(values: pa.StringArray) -> pa.StringArray:
    """The values without white space (NBSP and BOM included) at either end."""
    return pc.utf8_trim(values, characters=_BLANKS)


def over_distinct(
    values: pa.StringArray, work: Callable[[list[str]], list[object]], kind: pa.DataType
) -> pa.Array:
    """`work` on the list of distinct values, spread over all; null stays null. Gives type `kind`."""
    return by_distinct(values, lambda texts: pa.array(work(texts.to_pylist()), kind))


def by_distinct(values: pa.StringArray, work: Callable[[pa.StringArray], pa.Array]) -> pa.Array:
    """See over_distinct, with `work` on the distinct values as a column."""
    encoded = values.dictionary_encode()
    return work(encoded.dictionary).take(encoded.indices)


def none_of(values: pa.StringArray, tokens: Collection[str]) -> pa.StringArray:
    """Null where the value is empty or, in any case of letters, one of `tokens`."""
    empty = pc.equal(values, "")
    if tokens:
        empty = pc.or_(empty, pc.is_in(pc.utf8_lower(values), value_set=_lower(tokens)))
    return pc.if_else(pc.fill_null(empty, True), pa.scalar(None, pa.string()), values)


def is_one_of(values: pa.StringArray, tokens: Collection[str]) -> pa.BooleanArray:
    """True where the trimmed value is, in any case of letters, one of `tokens`; null counts as ""."""
    lower = pc.utf8_lower(pc.fill_null(trimmed(values), ""))
    return pc.is_in(lower, value_set=_lower(tokens))


def _lower(tokens: Collection[str]) -> pa.StringArray:
    """Tokens in small letters, made by the kernel that makes the cells' (Python's own has other İ and Σ)."""
    return pc.utf8_lower(pa.array([token.strip() for token in tokens], pa.string()))


def nulls(length: int) -> pa.StringArray:
    """A column without any value."""
    return pa.nulls(length, pa.string())


def all_false(length: int) -> pa.BooleanArray:
    """A mask that marks no row."""
    return pa.repeat(pa.scalar(False), length)


def all_true(length: int) -> pa.BooleanArray:
    """A mask that marks every row."""
    return pa.repeat(pa.scalar(True), length)


def any_of(*masks: pa.BooleanArray) -> pa.BooleanArray:
    """Rows that at least one mask marks."""
    result = masks[0]
    for mask in masks[1:]:
        result = pc.or_(result, mask)
    return result


def column(rows: pa.Table, name: str) -> pa.StringArray:
    """A column of text as one array."""
    found = rows.column(name)
    if not isinstance(found, pa.ChunkedArray):
        return found
    return found.chunk(0) if found.num_chunks == 1 else found.combine_chunks()
