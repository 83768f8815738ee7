"""Tells a file that may have been cut inside its last value, which no width of a row can show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from etl_lib.errors import Fault
from etl_lib.extract import names
from etl_lib.manifest import Delivery, Member
from etl_lib.storage import Storage

_TAIL_BYTES = 4  # a line's end in any encoding


def perhaps_cut(
    archive: Storage, last_key: str, members: Sequence[Member], paths: dict[str, Path]
) -> list[Fault]:
    """Files whose last line is open although that of the same file was closed last time.

    `last_key`: where the archive describes the loaded delivery. Members of archives and encrypted
    files are left to their own checksums. Nothing is said of a file that was not there last time, or whose bytes
    the archive no longer has.
    """
    described = archive.find_bytes(last_key)
    if described is None:
        return []
    last = Delivery.model_validate_json(described)
    keys = {file.name: file.archive_key for file in last.files}
    before = {m.feed: keys[m.file] for m in last.members if _is_plain(m)}
    faults = []
    for member in members:
        key = before.get(member.feed)
        if key is None or not _is_plain(member) or _ends_its_line(_tail(paths[member.shown])):
            continue
        if _ends_its_line(_tail_of_object(archive, key)):
            text = "The last line has no end, although that of the loaded delivery has one."
            faults.append(Fault("FILE_PERHAPS_CUT", text, member.shown))
    return faults


def _is_plain(member: Member) -> bool:
    """Whether the bytes in the archive are those of the table; packed and encrypted ones tell a cut."""
    packed = member.member is not None or member.file.lower().endswith(".gz")
    return not (packed or names.is_encrypted(member.file))


def _ends_its_line(tail: bytes) -> bool:
    return tail.rstrip(b"\0 \t\x1a").endswith((b"\n", b"\r"))


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
        return stream.read()


def _tail_of_object(archive: Storage, key: str) -> bytes:
    if not (size := archive.size_bytes(key)):
        return b""
    with archive.reading(key) as stream:
        stream.seek(max(size - _TAIL_BYTES, 0))
        return bytes(stream.read())
