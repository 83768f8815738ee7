"""From a file's bytes to UTF-8 text: which encoding it has, and a copy in UTF-8 where it has another."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SAMPLE_BYTES = 256 * 1024
_CHUNK_BYTES = 4 * 1024 * 1024
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MULTIBYTE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")
# Windows-1252: letters of Western Europe (without 0xFF, seldom a letter and often damage), and the
# typographic signs that word processors put into text.
_LETTERS_1252 = frozenset(
    [*range(0xC0, 0xFF), 0x8A, 0x8C, 0x8E, 0x9A, 0x9C, 0x9E, 0x9F, 0xAA, 0xBA]
)
_LETTERS_1252 -= {0xD7, 0xF7}
_SIGNS_1252 = frozenset([0x80, 0x85, *range(0x91, 0x98), 0xA0, 0xA1, 0xB0, 0xBF])
_ASCII_LETTER = [byte < 0x80 and chr(byte).isalpha() for byte in range(256)]
_NO_SUCH_BYTE = "etl-no-such-byte"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Bytes that an encoding does not have, as a sign that becomes a byte which UTF-8 does not have."""
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error(_NO_SUCH_BYTE, _mark)


@dataclass(frozen=True)
class Text:
    """A file as text: `path` holds UTF-8 from the byte `begins_at` on.

    `encoding` is that of the original; `notes` what is worth telling of how it was found out.
    Bytes that the encoding does not have are no UTF-8 in `path` either, so that their rows are known.
    """

    path: Path
    begins_at: int
    encoding: str
    notes: tuple[str, ...]

    def sample(self) -> bytes:
        """The text's beginning, up to SAMPLE_BYTES."""
        with self.path.open("rb") as stream:
            stream.seek(self.begins_at)
            return stream.read(SAMPLE_BYTES)


def open_text(path: Path, declared: str | None, scratch: Path) -> Text:
    """The file as UTF-8: itself, or a copy at `scratch` where it has another encoding or bare CRs.

    A byte order mark is certain, what the mapping declares comes next, then UTF-8; Windows-1252 only
    on evidence. A file that ends its lines with carriage returns alone gets line feeds instead.
    """
    encoding, bom_bytes, notes = _encoding_of(path, declared)
    with path.open("rb") as stream:
        sample = stream.read(SAMPLE_BYTES)
    only_cr = b"\r" in sample and b"\n" not in sample and not encoding.startswith("utf-16")
    if encoding == "utf-8" and not only_cr:
        return Text(path, bom_bytes, encoding, tuple(notes))
    if only_cr:
        notes.append("lines end with carriage returns")
    decoder = codecs.getincrementaldecoder(encoding)(errors=_NO_SUCH_BYTE)
    with path.open("rb") as stream, scratch.open("wb") as out:
        stream.seek(bom_bytes)
        while chunk := stream.read(_CHUNK_BYTES):
            data = chunk if encoding == "utf-8" else _utf8(decoder.decode(chunk))
            out.write(data.replace(b"\r", b"\n") if only_cr else data)
        if encoding != "utf-8":
            out.write(_utf8(decoder.decode(b"", final=True)))
    return Text(scratch, 0, encoding, tuple(notes))


def is_utf8_instead(path: Path, declared: str | None) -> bool:
    """Whether a file that was agreed to have one byte a letter is surely UTF-8.

    Letters of UTF-8 would come out as two or three other ones, in silence; text in a one-byte
    encoding is never by chance UTF-8 from its first foreign letter to its last.
    """
    if declared is None or codecs.lookup(declared).name.startswith("utf"):
        return False
    sample = _foreign_sample(path)[1:]
    if not sample:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


def _encoding_of(path: Path, declared: str | None) -> tuple[str, int, list[str]]:
    """The encoding, the length of the byte order mark, and what is worth telling."""
    with path.open("rb") as stream:
        start = stream.read(1024)
    for bom, name in _BOMS:
        if start.startswith(bom):
            return name, len(bom), [f"encoding {name} (byte order mark)"]
    if declared:
        return codecs.lookup(declared).name, 0, [f"encoding {declared} (as agreed)"]
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[0::2])):
        if len(start) > 3 and zeros.count(0) * 2 > len(zeros):
            return name, 0, [f"encoding {name} (every second byte is zero)"]
    foreign = _foreign_sample(path)
    if _is_windows_1252(foreign):
        high = sum(byte >= 0x80 for byte in foreign)
        said = f"encoding cp1252 (not UTF-8, and all {high:,} bytes in question are letters there)"
        return "cp1252", 0, [said]
    return "utf-8", 0, []


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _foreign_sample(path: Path) -> bytes:
    """What follows the first byte that is not ASCII, with the byte before it; b"" when there is none."""
    before = b" "
    for chunk in _chunks(path):
        if not chunk.isascii():
            first = re.search(rb"[\x80-\xff]", chunk)
            assert first is not None
            at = first.start()
            return (chunk[max(at - 1, 0) : at] or before) + chunk[at : at + SAMPLE_BYTES]
        before = chunk[-1:]
    return b""


def _is_windows_1252(sample: bytes) -> bool:
    """Whether bytes that are no UTF-8 can only be Windows-1252 (of which Latin-1's letters are a part).

    Evidence: no sequence of UTF-8 at all; every byte is a letter or a typographic sign there; most
    of the letters stand beside an ASCII letter, as in a word.
    """
    if _MULTIBYTE.search(sample):
        return False
    high = [at for at, byte in enumerate(sample) if byte >= 0x80]
    if not high or not all(sample[at] in _LETTERS_1252 | _SIGNS_1252 for at in high):
        return False
    beside = (sample[max(at - 1, 0) : at + 2] for at in high)
    in_words = sum(any(_ASCII_LETTER[byte] for byte in three) for three in beside)
    return in_words * 2 > len(high)
