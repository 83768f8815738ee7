"""A look over a block finds every line that is no text, wherever it stands and however many there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_lib.extract.reader.block import look_over
from etl_lib.extract.reader.dialect import Dialect

TEXTS = [b"a,b", b"Zo\xc3\xab,\xe6\x9d\x8e", b"\xf0\x9f\x98\x80,x", b"7,8", b"\xc2\x85,x"]
NO_TEXTS = [
    b"a,\xff",
    b"Zo\xeb,b",
    b"\xc0\x80,x",
    b"\xed\xa0\x80,x",
    b"a,\xc3",
    b"\xf4\x90\x80\x80",
]


@pytest.fixture(autouse=True, scope="module")
def _few_bytes() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("etl_lib.extract.reader.block._FEW_BYTES", 16)
        yield


@given(st.lists(st.sampled_from(TEXTS + NO_TEXTS), min_size=1, max_size=60), st.booleans())
def test_the_lines_that_are_no_utf8_are_doubted_and_no_others(
    lines: list[bytes], ended: bool
) -> None:
    found = look_over(b"\n".join(lines) + (b"\n" if ended else b""), Dialect(","))
    assert found.doubtful.tolist() == [line in NO_TEXTS for line in lines]
