"""Opens zip and gzip archives without trusting them: no bombs, no odd names, nothing written outside."""

from __future__ import annotations

import fnmatch
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from etl_lib.errors import AskTheSchool
from etl_lib.extract.sources import is_acceptable

MOST_MEMBERS = 1_000
MOST_UNPACKED_BYTES = 20 * 1024**3
MOST_RATIO = 200  # real CSV packs 5 to 30 times; a bomb a thousand times
_RATIO_FROM_BYTES = 64 * 1024**2
_CHUNK_BYTES = 1 << 20


def is_zip(name: str) -> bool:
    """Whether a file is a zip archive by its name."""
    return name.lower().endswith(".zip")


def members(path: Path, shown: str) -> list[str]:
    """Names of the files in a zip archive, as it gives them; folders and odd names are left out.

    Raises AskTheSchool for an archive that is damaged, encrypted or too large to be honest.
    """
    with _zip(path, shown) as archive:
        entries = [e for e in archive.infolist() if not e.is_dir()]
        total = sum(entry.file_size for entry in entries)
        if len(entries) > MOST_MEMBERS or total > MOST_UNPACKED_BYTES:
            text = f"The archive holds {len(entries):,} files and {total / 1e9:.1f} GB unpacked."
            raise AskTheSchool.of("FILE_ARCHIVE_REFUSED", text, shown)
        if any(entry.flag_bits & 0x1 for entry in entries):
            raise AskTheSchool.of("FILE_ARCHIVE_REFUSED", "The archive has a password.", shown)
        return [e.filename for e in entries if is_acceptable(e.filename.rsplit("/", 1)[-1])]


def matching(names: list[str], pattern: str) -> list[str]:
    """The members whose own name (folders aside) matches a pattern, in any case of letters."""
    return [n for n in names if fnmatch.fnmatch(n.rsplit("/", 1)[-1].lower(), pattern.lower())]


def unpack(path: Path, shown: str, member: str | None, target: Path) -> None:
    """Write one member of a zip, or a gzip's only content, or a plain file, to `target`.

    Raises AskTheSchool when the content is damaged or grows beyond what an export can be.
    """
    packed_bytes = path.stat().st_size
    written = 0
    try:
        with _opened(path, shown, member) as stream, target.open("wb") as out:
            while chunk := stream.read(_CHUNK_BYTES):
                written += len(chunk)
                bomb = written > _RATIO_FROM_BYTES and written > MOST_RATIO * packed_bytes
                if written > MOST_UNPACKED_BYTES or bomb:
                    text = "The archive unpacks to far more than its size allows."
                    raise AskTheSchool.of("FILE_ARCHIVE_REFUSED", text, shown)
                out.write(chunk)
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        text = f"The archive is damaged or cut ({type(error).__name__})."
        raise AskTheSchool.of("FILE_ARCHIVE_UNREADABLE", text, shown) from None


@contextmanager
def _opened(path: Path, shown: str, member: str | None) -> Iterator[IO[bytes]]:
    if member is not None:
        with _zip(path, shown) as archive, archive.open(member) as stream:
            yield stream
    elif shown.lower().endswith(".gz"):
        with gzip.open(path, "rb") as packed:
            yield cast(IO[bytes], packed)
    else:
        with path.open("rb") as plain:
            yield plain


@contextmanager
def _zip(path: Path, shown: str) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError) as error:
        text = f"This is no readable zip archive ({type(error).__name__})."
        raise AskTheSchool.of("FILE_ARCHIVE_UNREADABLE", text, shown) from None
    with archive:
        yield archive
