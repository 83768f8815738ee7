"""Keeps the original bytes of a delivery under their hash, for ever, before anything else is done."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from etl_lib.errors import TryAgain
from etl_lib.extract.scratch import Scratch
from etl_lib.extract.sources import RemoteFile, Source
from etl_lib.manifest import DeliveredFile, Member
from etl_lib.storage import Storage, sha256_of

_CHUNK_BYTES = 1 << 20


def fetch(
    source: Source, files: Sequence[RemoteFile], archive: Storage, scratch: Scratch
) -> dict[str, tuple[DeliveredFile, Path]]:
    """Copy files into the archive; gives each with its local copy, by name.

    Local copies are named by number, so that no name of a school's becomes a path. Raises TryAgain
    (DELIVERY_CHANGED) when a file was replaced or still growing while it was read.
    """
    fetched = {}
    for file in files:
        path = scratch.new("original")
        with path.open("wb") as target:
            source.download(file.name, target)
        if path.stat().st_size != file.size_bytes:
            raise _changed(file.name)
        digest = sha256_of(path)
        key = f"files/{digest}"
        # by size as well: some stores list an object whose upload was cut
        if archive.size_bytes(key) != file.size_bytes:
            archive.put_file(_twin(path), key)
        delivered = DeliveredFile(
            name=file.name, size_bytes=file.size_bytes, modified_at=file.modified_at,
            sha256=digest, archive_key=key,
        )  # fmt: skip
        fetched[file.name] = (delivered, path)
    now = {file.name: file for file in source.list().files}
    for file in files:
        if now.get(file.name) != file:
            raise _changed(file.name)
    return fetched


def _twin(path: Path) -> Path:
    """The same bytes under a second name; both are only read from now on."""
    twin = path.with_suffix(".twin")
    try:
        twin.hardlink_to(path)
    except OSError:  # a disk that knows no second names
        shutil.copyfile(path, twin)
    return twin


def _changed(name: str) -> TryAgain:
    return TryAgain.of("DELIVERY_CHANGED", "The file was still changing while we read it.", name)


def delivery_id_of(members: Sequence[Member]) -> str:
    """sha256 over the sorted (feed, member, content sha256) of a delivery."""
    digest = hashlib.sha256()
    for feed, shown, content in sorted((m.feed, m.shown, m.sha256) for m in members):
        digest.update(f"{feed}\0{shown}\0{content}\n".encode())
    return digest.hexdigest()
