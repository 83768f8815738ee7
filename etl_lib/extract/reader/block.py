"""Looks over a block of text at once: where its lines are, and which of them are not surely plain rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_lib.extract.reader.dialect import Dialect

LONGEST_FIELD_BYTES = 1024 * 1024
_LF, _CR, _TAB, _BLANK, _DELETE = 10, 13, 9, 32, 127
Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_FEW_BYTES = 4096  # to be looked at line by line
_NOWHERE: Places = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Lines:
    """The lines of a block, by their place in it.

    `starts`, `ends`: bytes (without the line's end); `doubtful`: lines that a strict reader must look
    at, because they may be broken or not a row by themselves; `empty`: lines without any value.
    """

    starts: Places
    ends: Places
    doubtful: Mask
    empty: Mask

    def __len__(self) -> int:
        return len(self.starts)


def look_over(block: bytes, dialect: Dialect) -> Lines:
    """Find the lines, ended by LF, CRLF or CR, and which of them are plain.

    A plain line is a row by itself whatever stands around it, provided that no value is open where it
    begins: its quotation marks come in pairs at the edges of values, and it holds no control
    character, no byte that is not UTF-8, no sign for a lost letter, no bare CR, and no escape.
    """
    signs = np.frombuffer(block, dtype=np.uint8)
    feeds = np.flatnonzero(signs == _LF)
    below_blank = int(np.count_nonzero(signs < _BLANK))
    only_feeds = below_blank == len(feeds)
    returns = _NOWHERE if only_feeds else _bare_returns(signs, feeds)
    stops = np.sort(np.concatenate((feeds, returns))) if len(returns) else feeds
    if not block.endswith((b"\n", b"\r")) and block:
        stops = np.append(stops, len(block))
    starts, ends = _edges(signs, stops)
    doubtful = np.zeros(len(stops), dtype=np.bool_)

    def doubt(places: Places) -> None:
        doubtful[np.searchsorted(stops, places)] = True

    if len(returns):
        _doubt_pieces(doubtful, stops, feeds)
    doubt(_control(signs, below_blank, only_feeds))
    if not block.isascii():
        doubt(_not_utf8(block))
        if b"\xef" in block:
            doubt(_lost_letters_and_marks(signs))
    if dialect.backslash:
        doubt(np.flatnonzero(signs == ord("\\")))
    if dialect.quote:
        _doubt_quotes(signs, dialect, starts, stops, doubtful)
    doubtful |= ends - starts > LONGEST_FIELD_BYTES
    empty = _empty(block, signs, starts, ends, dialect)
    return Lines(starts, ends, doubtful & ~empty, empty)


def split(block: bytes) -> Lines:
    """The lines of a block that end with line feeds, not looked at: none is doubtful or empty yet."""
    signs = np.frombuffer(block, dtype=np.uint8)
    stops = np.flatnonzero(signs == _LF)
    if not block.endswith(b"\n"):
        stops = np.append(stops, len(block))
    nothing = np.zeros(len(stops), dtype=np.bool_)
    return Lines(*_edges(signs, stops), nothing, nothing.copy())


def _edges(signs: npt.NDArray[np.uint8], stops: Places) -> tuple[Places, Places]:
    """Where lines begin, and where they end: before the carriage return that may stand there."""
    starts = np.empty_like(stops)
    starts[:1] = 0
    starts[1:] = stops[:-1] + 1
    return starts, stops - ((stops > starts) & (signs[np.maximum(stops - 1, 0)] == _CR))


def _bare_returns(signs: npt.NDArray[np.uint8], feeds: Places) -> Places:
    """Carriage returns without a line feed behind them."""
    if np.count_nonzero(signs == _CR) == np.count_nonzero(signs[np.maximum(feeds - 1, 0)] == _CR):
        return _NOWHERE
    returns = np.flatnonzero(signs == _CR)
    following = np.append(signs, np.uint8(0))[returns + 1]
    bare: Places = returns[following != _LF]
    return bare


def _doubt_pieces(doubtful: Mask, stops: Places, feeds: Places) -> None:
    """Lines that end or begin at a bare carriage return: it may as well stand inside a value."""
    bare = ~np.isin(stops, feeds)
    bare[-1:] &= False  # the block's own end
    doubtful |= bare
    doubtful[1:] |= bare[:-1]


def _control(signs: npt.NDArray[np.uint8], below_blank: int, only_feeds: bool) -> Places:
    """Control characters that no text has."""
    allowed = below_blank
    if not only_feeds:
        allowed = sum(int(np.count_nonzero(signs == sign)) for sign in (_LF, _CR, _TAB))
    if below_blank == allowed and not np.count_nonzero(signs == _DELETE):
        return _NOWHERE
    odd = (signs < _BLANK) & (signs != _LF) & (signs != _TAB) & (signs != _CR)
    return np.flatnonzero(odd | (signs == _DELETE))


def _not_utf8(block: bytes) -> Places:
    """Where bytes are no UTF-8, the first of each line."""
    return np.array(list(_faults(block, 0, len(block))), dtype=np.int64)


def _faults(block: bytes, begin: int, end: int) -> Iterator[int]:
    """See _not_utf8, of whole lines: looked for in one half and the other, until few bytes are left."""
    if _is_utf8(block, begin, end):
        return
    middle = block.find(b"\n", (begin + end) // 2, end) + 1
    if middle not in (0, end) and end - begin > _FEW_BYTES:
        yield from _faults(block, begin, middle)
        yield from _faults(block, middle, end)
        return
    for line in block[begin:end].split(b"\n"):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            yield begin + error.start
        begin += len(line) + 1


def _is_utf8(block: bytes, begin: int, end: int) -> bool:
    """By Arrow, which makes no text of it: a tenth of the time that Python's decoding takes."""
    ends = pa.py_buffer(np.array([begin, end], np.int32))
    try:
        pa.StringArray.from_buffers(1, ends, pa.py_buffer(block)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _lost_letters_and_marks(signs: npt.NDArray[np.uint8]) -> Places:
    """Where U+FFFD stands, put by a program that could not read a letter, or a byte order mark.

    (Arrow drops such a mark in silence.) Both begin with a byte that few other letters have.
    """
    places = np.flatnonzero(signs == 0xEF)
    padded = np.append(signs, np.zeros(2, dtype=np.uint8))
    second, third = padded[places + 1], padded[places + 2]
    found: Places = places[(second == 0xBF) & (third == 0xBD) | (second == 0xBB) & (third == 0xBF)]
    return found


def _doubt_quotes(
    signs: npt.NDArray[np.uint8], dialect: Dialect, starts: Places, stops: Places, doubtful: Mask
) -> None:
    """Lines whose quotation marks do not come in pairs at the edges of values."""
    quote, delimiter = ord(dialect.quote or ""), ord(dialect.delimiter)
    places = np.flatnonzero(signs == quote)
    if dialect.quote == "'":
        other = np.flatnonzero(signs == ord('"'))
        doubtful[np.searchsorted(stops, other[:-1][np.diff(other) == 1])] = True
    if not len(places):
        return
    first = np.searchsorted(places, starts)  # by line: which of the marks is its first
    after_last = np.append(first[1:], len(places))
    doubtful |= (after_last - first) % 2 == 1
    line = np.searchsorted(stops, places)
    closes = (np.arange(len(places)) - first[line]) % 2 == 1
    padded = np.concatenate(([np.uint8(_LF)], signs, [np.uint8(_LF)]))
    before, after = padded[places], padded[places + 2]
    opens_well = (before == delimiter) | (before == quote) | (places == starts[line])
    closes_well = (after == delimiter) | (after == quote) | (after == _LF) | (after == _CR)
    well = np.where(closes, closes_well, opens_well)
    if not well.all():
        doubtful[line[~well]] = True


def _empty(
    block: bytes, signs: npt.NDArray[np.uint8], starts: Places, ends: Places, dialect: Dialect
) -> Mask:
    """Lines without any value: blank ones, and those of nothing but delimiters."""
    lengths = ends - starts
    empty: Mask = lengths == 0
    if not len(starts):
        return empty
    first = signs[np.minimum(starts, len(signs) - 1)]
    last = signs[np.maximum(ends - 1, 0)]
    nothing = np.zeros(256, dtype=np.bool_)
    nothing[[_BLANK, _TAB]] = True
    if dialect.delimiter:
        nothing[ord(dialect.delimiter)] = True
    middle = signs[np.minimum((starts + ends) // 2, len(signs) - 1)]
    for at in np.flatnonzero(nothing[first] & nothing[middle] & nothing[last] & ~empty):
        text = block[starts[at] : ends[at]]
        empty[at] = not text.strip(b" \t" + dialect.delimiter.encode())
    return empty


def lines_that_begin_with(block: bytes, lines: Lines, words: bytes) -> Places:
    """The places of the lines that begin with `words`; without a look at the rest of the block."""
    signs = np.frombuffer(block, dtype=np.uint8)
    found = np.flatnonzero(lines.ends - lines.starts >= len(words))
    for at, sign in enumerate(words):
        found = found[signs[lines.starts[found] + at] == sign]
    return found


def joined(block: bytes, lines: Lines, keep: Mask) -> bytes:
    """The kept lines with their ends, in order; runs of them are copied at once."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], keep, [False])).astype(np.int8)))
    pieces = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        stop = lines.starts[end] if end < len(lines) else len(block)
        pieces.append(block[lines.starts[begin] : stop])
    return b"".join(pieces)
