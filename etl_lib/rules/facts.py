"""What validate counts of a row that it accepts, kept with the row, so that it need not be judged again.

One bit for each question: has the field no value; does the row fail an expectation that may fail for
some. All else that is counted of an accepted row follows from its being accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from etl_lib.config.mapping import Expectation
from etl_lib.config.project import Fill
from etl_lib.manifest import FACTS, ROW_FILTERED
from etl_lib.rules.agreed import WHOLE_FILE, unexpected_rows
from etl_lib.rules.prepare import PreparedRows
from etl_lib.rules.snapshots import Numbers, SnapshotRows


@dataclass(frozen=True)
class Counted:
    """Of some accepted rows: by field those without a value, by wish those that it does not expect."""

    rows: int
    nulls: dict[str, int]
    unexpected: tuple[int, ...]


def wishes_of(fill: Fill) -> list[Expectation]:
    """The mapping's own expectations on the fill's entity."""
    return [one for one in fill.feed.expectations if one.entity == fill.entity.entity]


def row_wishes_of(fill: Fill) -> list[Expectation]:
    """Those that look at each row."""
    return [one for one in wishes_of(fill) if one.expectation not in WHOLE_FILE]


def facts_of(prepared: PreparedRows, fill: Fill) -> pa.BinaryArray:
    """The bits of each row, packed into bytes; only for rows that are accepted."""
    masks = [values.is_null() for values in prepared.values.values()]
    masks += [unexpected_rows(wish, prepared, fill) for wish in row_wishes_of(fill)]
    bits = np.stack([mask.to_numpy(zero_copy_only=False) for mask in masks], axis=1)
    packed = np.packbits(bits, axis=1)
    rows, width = packed.shape
    found = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), rows, [None, pa.py_buffer(np.ascontiguousarray(packed))]
    )
    return found.cast(pa.binary())


@dataclass(frozen=True)
class FactsAt:
    """Of so many rows, of how many each of the facts is true; nothing is said of no rows."""

    rows: int
    facts: tuple[int, ...]


def facts_at(snapshot: SnapshotRows, places: Iterable[Numbers]) -> FactsAt:
    """Of the rows at these places of a snapshot, but for those that a filter leaves out."""
    wanted = np.zeros(snapshot.rows, np.bool_)
    for some in places:
        wanted[some] = True
    totals, count, at = np.zeros(0, np.int64), 0, 0
    for rows in snapshot.batches([FACTS, ROW_FILTERED]):
        accepted = ~rows[ROW_FILTERED].to_numpy(zero_copy_only=False)
        here = rows[FACTS].filter(pa.array(wanted[at : at + rows.num_rows] & accepted))
        at += rows.num_rows
        if not len(here):
            continue
        kinds = here.dictionary_encode()
        packed = np.frombuffer(b"".join(kinds.dictionary.to_pylist()), np.uint8)
        bits = np.unpackbits(packed.reshape(len(kinds.dictionary), -1), axis=1).astype(np.int64)
        totals = np.bincount(kinds.indices.to_numpy()) @ bits + (totals if len(totals) else 0)
        count += len(here)
    return FactsAt(count, tuple(totals.tolist()))


def counted(rows: int, facts: Sequence[int], fields: Sequence[str], fill: Fill) -> Counted:
    """What so many rows with these facts are; `fields`: of `PreparedRows.values`, in its order."""
    wishes = row_wishes_of(fill)
    facts = facts if rows else [0] * (len(fields) + len(wishes))
    nulls = dict(zip(fields, facts, strict=False))
    return Counted(rows, nulls, tuple(facts[len(fields) : len(fields) + len(wishes)]))
