"""What holds for every file: a table reads back as it was written, and damage costs its own row only."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from etl_lib.config.letters import composed
from etl_lib.errors import EtlError
from etl_lib.extract.reader.guess import guess
from etl_lib.extract.reader.table import open_table
from tests.extract.conftest import Scanned, scan_file

NAMES = ("Person Id", "Given name", "Note", "Born")
# No control characters (rows with one are rejected), no lone surrogates, no sign of a lost letter, none that
# is written in another way (U+FB2A becomes two signs).
LETTERS = st.characters(
    blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffd\ufeff", max_codepoint=0x2FFFF
)
TEXTS = st.text(LETTERS, max_size=12).filter(
    lambda text: '""' not in text and "''" not in text and composed(text) == text
)
SIGNS = st.sampled_from(['"', "'", ",", ";", "|", " ", "\t", "a", "é", "語", "1", ".", ":"])
CELLS = st.one_of(TEXTS, st.lists(SIGNS, max_size=6).map("".join))
LONG_CELLS = st.lists(st.one_of(CELLS, st.just("\n")), max_size=3).map("".join)


@dataclass(frozen=True)
class Style:
    """How a table is written."""

    delimiter: str
    quote: str = '"'
    escape: str = "doubled"
    line_end: str = "\n"
    encoding: str = "utf-8"
    bom: bytes = b""
    always_quoted: bool = False

    def write(self, rows: Sequence[Sequence[str]]) -> bytes:
        """The table as bytes."""
        out = io.StringIO(newline="")
        writer = csv.writer(
            out, delimiter=self.delimiter, quotechar=self.quote, lineterminator=self.line_end,
            doublequote=self.escape == "doubled",
            escapechar=None if self.escape == "doubled" else "\\",
            quoting=csv.QUOTE_ALL if self.always_quoted else csv.QUOTE_MINIMAL,
        )  # fmt: skip
        writer.writerows(rows)
        return self.bom + out.getvalue().encode(self.encoding)


STYLES = st.builds(
    Style,
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]),
    always_quoted=st.booleans(),
).map(_with_mark := lambda s: s if s.encoding == "utf-8" else Style(
    s.delimiter, line_end=s.line_end, encoding=s.encoding, always_quoted=s.always_quoted,
    bom="\ufeff".encode(s.encoding)))  # fmt: skip


def rows_of(cells: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, ...]]]:
    """Rows with a number for their key and a day, so that none is empty and each can be told."""
    row = st.tuples(st.integers(1, 10**9).map(str), cells, cells, st.dates().map(str))
    return st.lists(row, min_size=1, max_size=12)


def read_back(data: bytes, **form: object) -> Scanned:
    """The bytes through the reader, told the columns and `form` and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(data)
        return scan_file(path, NAMES, **form)


def cells_of(found: Scanned) -> list[tuple[object, ...]]:
    return [row[1:] for row in found.rows]


@settings(max_examples=150, deadline=None)
@given(rows=rows_of(LONG_CELLS), style=STYLES)
def test_any_table_reads_back_as_it_was_written_or_the_row_is_rejected(
    rows: list[tuple[str, ...]], style: Style
) -> None:
    assume(not any(NAMES[1] in cell for row in rows for cell in row))
    found = read_back(style.write([NAMES, *rows]), quote='"', escape="doubled")
    read = cells_of(found)
    assert [row for row in rows if row in read] == read, "no row that was not written"
    if style.line_end == "\n" and not any("\n" in cell for row in rows for cell in row):
        assert len(read) == len(rows)


@settings(max_examples=100, deadline=None)
@given(rows=rows_of(TEXTS.filter(lambda t: "\\" not in t)), style=STYLES,
       quote=st.sampled_from(['"', "'"]), escape=st.sampled_from(["doubled", "backslash"]))  # fmt: skip
def test_a_dialect_that_is_declared_reads_back_every_row(
    rows: list[tuple[str, ...]], style: Style, quote: str, escape: str
) -> None:
    style = Style(style.delimiter, quote, escape, style.line_end, always_quoted=True)
    found = read_back(
        style.write([NAMES, *rows]), quote=quote, escape=escape,
        delimiter="tab" if style.delimiter == "\t" else style.delimiter,
    )  # fmt: skip
    assert cells_of(found) == rows
    assert found.rejected == []


GOOD = [(str(1000 + n), f"Ana {n}", f"note, {n}" if n % 3 else "plain", f"2010-01-{n + 1:02d}")
        for n in range(28)]  # fmt: skip
DAMAGE = st.sampled_from(
    [
        b'"',
        b",",
        b"\x00",
        b"\xff",
        b'""',
        b"\r",
        b"\n",
        b'",',
        b',"',
        b"\\",
        "\ufffd".encode(),
        b" ",
        b"'",
    ]
)


@settings(max_examples=400, deadline=None)
@given(row=st.integers(0, 27), place=st.floats(0, 1), sign=DAMAGE, cut=st.integers(0, 2))
@example(row=3, place=0.999, sign=b'"', cut=0)
@example(row=0, place=0.0, sign=b'"', cut=0)
def test_a_single_damaged_row_leaves_all_others_as_they_are(
    row: int, place: float, sign: bytes, cut: int
) -> None:
    lines = Style(",").write([NAMES, *GOOD]).splitlines(keepends=True)
    line = lines[row + 1].rstrip(b"\n")
    at = int(place * len(line))
    lines[row + 1] = line[:at] + sign + line[at + cut :] + b"\n"
    found = read_back(b"".join(lines))
    others = [one for n, one in enumerate(GOOD) if n != row]
    read = cells_of(found)
    assert [one for one in read if one in others] == others
    assert all(code.startswith("ROW_") for _, code in found.rejected)
    # A sign in the middle of a value changes the value and nothing else; every other row is rejected.
    for odd in [one for one in read if one not in GOOD]:
        assert ",".join(map(str, odd)).replace('"', "").encode() in (
            b"".join(lines).replace(b'"', b"")
        ), "made of the row's own text"


FILES = st.one_of(
    st.binary(max_size=400),
    st.lists(
        st.sampled_from(
            [b"Person Id", b"Given name", b"Note", b"Born", b",", b";", b"\t", b'"', b"'", b"\n", b"\r",
             b"\r\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\\", b"1", b"2010-01-01", b"Ana", "é".encode(),
             b" ", b",,,", b'""', b"\xff\xfe", b"\xc3", b"Total", "\u2028".encode(), b"\x0c", b"\x1a"]),
        max_size=60,
    ).map(b"".join),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(data=FILES)
def test_no_bytes_lead_to_anything_but_rows_rejects_or_words(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(data)
        for told in (True, False):
            try:
                if told:
                    scan_file(path, NAMES)
                else:
                    found = guess(path, path.name, path.with_suffix(".sample"))
                    opened = open_table(
                        path, found.form, found.expected, path.name, path.with_suffix(".utf8")
                    )
                    rows = sum(table.num_rows for table in opened.reader.batches())
                    assert opened.reader.rows_read == rows + opened.reader.rows_rejected
            except EtlError as error:
                assert all(re.match("FILE_", fault.code) for fault in error.faults)


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 300])
def test_where_a_block_ends_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    rows = [*GOOD[:9], ("7", 'a\n"b"\nc', "x", "2010-01-01"), *GOOD[9:]]
    data = (
        Style(",").write([NAMES, *rows])
        + b'8,"open,x,2010-01-01\n9,b,c\n'
        + b"10,Ana 9,plain,2010-01-02\n"
    )
    whole = read_back(data)
    monkeypatch.setattr("etl_lib.extract.reader.rows.BLOCK_BYTES", block_bytes)
    assert (read_back(data).rows, read_back(data).rejected) == (whole.rows, whole.rejected)
    assert len(whole.rows) == len(rows) + 1
    assert len(whole.rejected) == 2
