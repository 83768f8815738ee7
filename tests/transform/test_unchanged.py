"""Rows are found in the last load's snapshot wherever they stand now, and the next snapshot keeps the file's order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_lib.arrow_file import write_table
from etl_lib.manifest import ROW_HASH, Snapshot
from etl_lib.rules.repeats import digests, halves
from etl_lib.rules.snapshots import SnapshotRows, places_of
from etl_lib.transform.unchanged import in_order

NOWHERE = Snapshot(feed="", entity="", key="", sha256="", basis="")
_ROWS = 60


@pytest.fixture(autouse=True, scope="module")
def _small_parts() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("etl_lib.arrow_file.BATCH_ROWS", 8)
        patch.setattr("etl_lib.rules.snapshots._AROUND", 4)
        yield


def hashes_of(texts: list[str]) -> bytes:
    return digests(pa.array(texts, pa.string()))


def snapshot_of(folder: Path, texts: list[str]) -> SnapshotRows:
    path = folder / "snapshot"
    values = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(texts), [None, pa.py_buffer(hashes_of(texts))]
    )
    write_table(path, pa.table({ROW_HASH: values}))
    return SnapshotRows(path, NOWHERE)


@st.composite
def nights(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """A file's rows, and those of the next night: some gone, some new, blocks moved."""
    before = [f"row {number}" for number in range(draw(st.integers(0, _ROWS)))]
    after = [row for row in before if draw(st.integers(0, 9))]
    for number in range(draw(st.integers(0, 30))):
        after.insert(draw(st.integers(0, len(after))), f"new {number}")
    if draw(st.booleans()):
        cut = draw(st.integers(0, len(after)))
        after = after[cut:] + after[:cut]
    return before, after


@given(nights())
def test_every_row_that_was_there_is_found_where_it_stood(
    tmp_path_factory: pytest.TempPathFactory, night: tuple[list[str], list[str]]
) -> None:
    before, after = night
    snapshot = snapshot_of(tmp_path_factory.mktemp("snapshot"), before)
    places = places_of(halves(hashes_of(after)), snapshot)
    known = {row: place for place, row in enumerate(before)}
    assert places.tolist() == [known.get(row, -1) for row in after]


@given(nights(), st.data())
def test_of_rows_that_are_there_twice_no_two_are_found_in_one_place(
    tmp_path_factory: pytest.TempPathFactory,
    night: tuple[list[str], list[str]],
    data: st.DataObject,
) -> None:
    before, after = night
    for _ in range(data.draw(st.integers(1, 9))):
        after.insert(
            data.draw(st.integers(0, len(after))), data.draw(st.sampled_from(before or ["x"]))
        )
    snapshot = snapshot_of(tmp_path_factory.mktemp("snapshot"), before)
    places = places_of(halves(hashes_of(after)), snapshot)
    found = [(place, row) for place, row in zip(places.tolist(), after, strict=True) if place >= 0]
    assert all(before[place] == row for place, row in found)
    assert len({place for place, _ in found}) == len(found)


@given(st.lists(st.booleans(), max_size=_ROWS), st.integers(1, 9), st.integers(1, 9))
def test_two_streams_of_rows_become_one_in_the_order_of_the_file(
    is_one: list[bool], one_part: int, other_part: int
) -> None:
    def stream(wanted: bool, part: int) -> object:
        numbers = np.flatnonzero(np.array(is_one, np.bool_) == wanted).astype(np.int32)
        for begin in range(0, len(numbers), part):
            some = numbers[begin : begin + part]
            yield pa.table({"number": some}), some

    together = [
        number
        for rows, numbers in in_order(stream(True, one_part), stream(False, other_part))
        for number, beside in zip(rows["number"].to_pylist(), numbers, strict=True)
        if number == beside
    ]
    assert together == list(range(len(is_one)))
