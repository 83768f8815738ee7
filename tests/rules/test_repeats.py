"""Values that stand more than once are found, all of them and no others, however they come in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_lib.rules import repeats
from etl_lib.rules.repeats import Repeats, digests, repeated, short_hashes


@given(st.lists(st.lists(st.text("ab\0é", max_size=3), max_size=20), max_size=5))
def test_it_marks_what_pandas_calls_duplicated(batches: list[list[str]]) -> None:
    values = Repeats()
    for batch in batches:
        values.add(pa.array(batch, pa.string()))
    every = pd.Series([text for batch in batches for text in batch], dtype=object)
    assert values.mask().tolist() == every.duplicated(keep=False).tolist()
    assert values.count() == every.duplicated(keep=False).sum()


@given(
    st.lists(st.lists(st.one_of(st.none(), st.text("ab\0é", max_size=3)), max_size=20), max_size=5)
)
def test_short_hashes_count_what_pandas_calls_duplicated(batches: list[list[str | None]]) -> None:
    columns = [short_hashes(pa.array(batch, pa.string())) for batch in batches]
    there = [text for batch in batches for text in batch if text is not None]
    every = pd.Series(there, dtype=object)
    found = repeated([column.drop_null().to_numpy() for column in columns])
    assert found == every.duplicated(keep=False).sum()


def test_values_that_share_half_of_their_hash_are_not_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def half_the_same(values: pa.StringArray) -> bytes:
        rows = [(7, int(text)) for text in values.to_pylist()]
        return np.array(rows, np.uint64).tobytes()

    monkeypatch.setattr(repeats, "digests", half_the_same)
    values = Repeats()
    values.add(pa.array(["1", "2", "3", "2"]))
    assert values.mask().tolist() == [False, True, False, True]


def test_a_hash_is_the_same_whatever_array_the_value_stands_in() -> None:
    texts = pa.array(["x", "Ana", "é", ""])
    assert digests(texts.slice(1, 2)) == digests(pa.array(["Ana", "é"]).cast(pa.binary()))
