"""What a file is by its bytes, where it ought to be a table and is something else."""

from __future__ import annotations

from pathlib import Path

START_BYTES = 512
_TAR_MARK, _TAR_PLACE = b"ustar", 257
_BZIP2_MARK = b"1AY&SY"
_BEGINNINGS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"-----BEGIN PGP": "an encrypted or signed message",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Excel workbook",
    b"%PDF-": "a PDF",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "a database",
}
# Texts that are no tables, in any case of letters and behind blanks.
_TEXTS = {
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<table": "a web page",
    b"<?xml": "XML",
    b"{\\rtf": "a Word file",
    b"{": "JSON",
    b"[{": "JSON",
}


def kind_of(start: bytes) -> str | None:
    """What a file with this beginning (START_BYTES of it) is, in words; None: it may be a table."""
    if start[_TAR_PLACE : _TAR_PLACE + len(_TAR_MARK)] == _TAR_MARK:
        return "a tar archive"
    for sign, words in _BEGINNINGS.items():
        if start.startswith(sign) and (sign != b"BZh" or start[4:10] == _BZIP2_MARK):
            return words
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((words for sign, words in _TEXTS.items() if text.startswith(sign)), None)


def kind_of_file(path: Path) -> str | None:
    """The same of a file."""
    with path.open("rb") as stream:
        return kind_of(stream.read(START_BYTES))
