"""Opens zip and gzip archives without trusting them: no bombs, no odd names, nothing written outside."""

from __future__ import annotations

import copy
import errno
import fnmatch
import hashlib
import io
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from etl_lib.errors import AskTheSchool, TryAgain
from etl_lib.extract import names
from etl_lib.extract.kinds import kind_of_file

MOST_MEMBERS = 1_000
MOST_UNPACKED_BYTES = 20 * 1024**3
MOST_RATIO = 200  # real CSV packs 5 to 30 times; a bomb a thousand times
RATIO_FROM_BYTES = 64 * 1024**2
_CHUNK_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_LOCAL_HEADER_BYTES = 30
# Of a zip nothing larger is read at once: a list of members that is larger is made to fill memory.
_MOST_LIST_BYTES = 4 * 1024**2
# bzip2 and LZMA are unpacked by zipfile without any bound on memory, others not at all.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UTF8_NAME, _LOCKED = 0x800, 0x1 | 0x40
# What zipfile raises on bytes that it did not expect.
_MALFORMED = (zipfile.BadZipFile, EOFError, ValueError, OSError, IndexError, struct.error)
_PACKED_NAMES = (
    ".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".7z", ".rar", ".pgp", ".gpg", ".asc",
)  # fmt: skip


@dataclass(frozen=True)
class Packed:
    """A file whose name says how it is packed.

    `name`: without the ending of an encryption that has been taken off. `shown`: as people know it.
    """

    path: Path
    name: str
    shown: str

    @property
    def is_zip(self) -> bool:
        """Whether it is a zip archive."""
        return self.name.lower().endswith(".zip")

    @property
    def is_gzip(self) -> bool:
        """Whether it is one file in gzip."""
        return self.name.lower().endswith(".gz")

    def members(self) -> list[str]:
        """Names of the files in a zip archive, with folders; a system's litter is passed over.

        Raises AskTheSchool for an archive that is damaged, encrypted, too large to be honest, or
        that holds any name that no export has.
        """
        with self._zip() as archive:
            entries = {_name(entry): entry for entry in archive.infolist() if not _is_folder(entry)}
            return [name for name in entries if not names.is_path_passed_over(name)]

    def wanted(self, pattern: str) -> list[str]:
        """The members that a pattern takes; raises AskTheSchool when they are archives themselves."""
        inside = self.members()
        found = matching(inside, pattern)
        packed = [name for name in inside if name.lower().endswith(_PACKED_NAMES)]
        nested = [name for name in found if name in packed] or (packed if packed == inside else [])
        if nested:
            text = f"{names.shown(nested[0])} in the archive is an archive itself."
            raise self._refused(text)
        return found

    def unpack(self, member: str | None, target: Path) -> str:
        """Write one member of a zip, or a gzip's only content, to `target`; gives its sha256.

        Raises AskTheSchool when the content is damaged or grows beyond what an export can be.
        """
        digest = hashlib.sha256()
        try:
            with target.open("wb") as out:
                for chunk in self._chunks(member):
                    digest.update(chunk)
                    out.write(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            text = f"The archive is damaged or cut ({type(error).__name__})."
            raise AskTheSchool.of("FILE_ARCHIVE_UNREADABLE", text, self.shown) from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            text = "There is no room on the disk to unpack the archive."
            raise TryAgain.of("STORAGE_UNAVAILABLE", text, self.shown) from None
        if what := kind_of_file(target):
            raise self._refused(f"{names.shown(member or self.name)} is {what} itself.")
        return digest.hexdigest()

    def _chunks(self, member: str | None) -> Iterator[bytes]:
        if member is None:
            yield from self._gunzipped()
            return
        with self._zip() as archive:
            entry = next(e for e in archive.infolist() if _name(e) == member)
            # zipfile stops where the list says that the content ends, and what follows is lost
            unbounded = copy.copy(entry)
            unbounded.file_size = MOST_UNPACKED_BYTES
            try:
                opened = archive.open(unbounded)
            # RuntimeError: a password is asked for, or zipfile does not know the method of packing
            except (*_MALFORMED, RuntimeError):
                raise zipfile.BadZipFile from None
            written = 0
            with opened as stream:
                while written <= entry.file_size and (chunk := stream.read(_CHUNK_BYTES)):
                    written += len(chunk)
                    yield chunk
            if written != entry.file_size:
                raise zipfile.BadZipFile

    def _gunzipped(self) -> Iterator[bytes]:
        """The content of a gzip, which may consist of several, one after another.

        zlib itself and not the module gzip, which reads a header's name sign by sign for ever.
        """
        written = 0
        with self.path.open("rb") as stream:
            engine = zlib.decompressobj(wbits=31)
            while piece := stream.read(_PIECE_BYTES):
                if engine.eof:  # the next begins, perhaps after zeros that fill a block
                    piece = piece.lstrip(b"\0")
                while piece:
                    engine = zlib.decompressobj(wbits=31) if engine.eof else engine
                    chunk = engine.decompress(piece, _CHUNK_BYTES)
                    while chunk:
                        written += len(chunk)
                        self._refuse_bomb(written, stream.tell())
                        yield chunk
                        if engine.eof:  # it still holds a tail, which is no longer to be read
                            break
                        chunk = engine.decompress(engine.unconsumed_tail, _CHUNK_BYTES)
                    piece = engine.unused_data.lstrip(b"\0") if engine.eof else b""
            if not engine.eof:
                raise EOFError

    def _refuse_bomb(self, unpacked_bytes: int, packed_bytes: int) -> None:
        grown = unpacked_bytes > RATIO_FROM_BYTES and unpacked_bytes > MOST_RATIO * packed_bytes
        if grown or unpacked_bytes > MOST_UNPACKED_BYTES:
            raise self._refused("The archive unpacks to far more than its size allows.")

    def _refused(self, text: str) -> AskTheSchool:
        return AskTheSchool.of("FILE_ARCHIVE_REFUSED", text, self.shown)

    @contextmanager
    def _zip(self) -> Iterator[zipfile.ZipFile]:
        """The archive, opened and found honest."""
        with _Careful(self.path) as stream:
            try:
                archive = zipfile.ZipFile(stream)
            except _TooMuchAtOnceError:
                raise self._refused("The archive lists more files than we accept.") from None
            except _MALFORMED as error:
                text = f"This is no readable zip archive ({type(error).__name__})."
                raise AskTheSchool.of("FILE_ARCHIVE_UNREADABLE", text, self.shown) from None
            except RuntimeError:  # zipfile does not know this version of zip
                raise self._refused("The archive is of a kind that we cannot open.") from None
            with archive:
                self._check(archive.infolist())
                yield archive

    def _check(self, entries: Sequence[zipfile.ZipInfo]) -> None:
        """Raise AskTheSchool for what no honest archive of an export is, or has."""
        total = sum(entry.file_size for entry in entries)
        if len(entries) > MOST_MEMBERS or total > MOST_UNPACKED_BYTES:
            text = f"The archive holds {len(entries):,} files and {total / 1e9:.1f} GB unpacked."
            raise self._refused(text)
        odd = [(entry, why) for entry in entries if (why := _why_refused(entry))]
        if odd:
            entry, why = odd[0]
            more = f" {len(odd) - 1} more are refused." if len(odd) > 1 else ""
            raise self._refused(f"A name in the archive, {names.shown(_name(entry))}: {why}.{more}")
        if any(entry.flag_bits & _LOCKED for entry in entries):
            raise self._refused("The archive has a password.")
        if any(entry.compress_type not in _METHODS for entry in entries):
            raise self._refused(
                "The archive is packed in another way than the usual one (deflate)."
            )
        for entry in entries:
            self._refuse_bomb(entry.file_size, entry.compress_size)
        if _overlap(entries):
            raise self._refused("Files of the archive lie one over another.")
        files = [_name(entry) for entry in entries if not _is_folder(entry)]
        times = Counter(map(names.same_as, files))
        if twice := [name for name in files if times[names.same_as(name)] > 1]:
            raise self._refused(f"{names.shown(twice[0])} stands in the archive more than once.")


def matching(inside: Sequence[str], pattern: str) -> list[str]:
    """The members whose own name (folders aside) matches a pattern, in any case of letters."""
    wanted = names.same_as(pattern)
    return [n for n in inside if fnmatch.fnmatchcase(names.same_as(names.own_name(n)), wanted)]


def _name(entry: zipfile.ZipInfo) -> str:
    """A member's name; macOS writes UTF-8 and does not say so."""
    name = entry.orig_filename
    if not entry.flag_bits & _UTF8_NAME and not name.isascii():
        try:
            return name.encode("cp437").decode()
        except UnicodeError:
            return name
    return name


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith("/")


def _why_refused(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is a link" if kind == stat.S_IFLNK else "it is no ordinary file"
    return names.why_path_refused(_name(entry))


def _overlap(entries: Sequence[zipfile.ZipInfo]) -> bool:
    """Whether one packed stretch serves several members (the bombs of David Fifield, 2019)."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    return any(
        after.header_offset < entry.header_offset + _LOCAL_HEADER_BYTES + entry.compress_size
        for entry, after in pairwise(ordered)
    )


class _TooMuchAtOnceError(Exception):
    """A zip wants a larger part of itself read at once than an honest one needs."""


class _Careful(io.FileIO):
    """A file that gives a few megabytes at once and not more."""

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes; all of them only when they are few."""
        wanted = -1 if size is None else size
        most = _MOST_LIST_BYTES + 1
        data = super().read(most if wanted < 0 else min(wanted, most)) or b""
        if len(data) == most:
            raise _TooMuchAtOnceError
        return data
