"""Reads a delivery once more, out of the archive, as it was read when it came."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import FixTheSetup
from etl_lib.extract import packing
from etl_lib.extract.delivery import read_all
from etl_lib.manifest import Delivery, Extracted, delivery_folder
from etl_lib.run import Run
from etl_lib.storage import Storage


@dataclass(frozen=True)
class KeptDelivery:
    """A delivery as an archive holds it, with the mapping that it was last read with."""

    archive: Storage
    delivery: Delivery
    resolved: ResolvedMapping


def kept_delivery(
    archives: Sequence[Storage], delivery_seq: int, delivery_id: str
) -> KeptDelivery:  # fmt: skip
    """The delivery in the first archive that has it; raises FixTheSetup (ARCHIVE_LOST) when none has."""
    folder = delivery_folder(delivery_seq, delivery_id)
    for archive in archives:
        if not archive.exists(f"{folder}/mapping.json"):
            continue
        delivery = Delivery.model_validate_json(archive.read_bytes(f"{folder}/delivery.json"))
        resolved = ResolvedMapping.model_validate_json(archive.read_bytes(f"{folder}/mapping.json"))
        return KeptDelivery(archive, delivery, resolved)
    raise FixTheSetup.of("ARCHIVE_LOST", f"The archive holds no `{folder}`.")


def read_again(run: Run, kept: KeptDelivery) -> Extracted:
    """What extract made of the delivery, in the workspace of `run`; nothing else is written.

    Raises FixTheSetup (ARCHIVE_LOST) for a file that the archive no longer has, and what reading raises.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = _unpacked(kept, folder)
        tables = read_all(run, kept.delivery.members, paths, kept.resolved, folder)
    return Extracted(resolved=kept.resolved, delivery=kept.delivery, tables=tables)


def _unpacked(kept: KeptDelivery, folder: Path) -> dict[str, Path]:
    """Each member's bytes on this machine, by the name under which people know it."""
    originals: dict[str, Path] = {}
    for number, file in enumerate(kept.delivery.files):
        originals[file.name] = folder / f"{number}.original"
        try:
            kept.archive.get_file(file.archive_key, originals[file.name])
        except FileNotFoundError:
            text = f"The archive no longer has `{file.archive_key}`."
            raise FixTheSetup.of("ARCHIVE_LOST", text, file.name) from None
    paths: dict[str, Path] = {}
    for member in kept.delivery.members:
        path = originals[member.file]
        if member.shown not in paths:
            if member.member is not None or member.file.lower().endswith(".gz"):
                packed, path = path, folder / f"{len(paths)}.member"
                packing.unpack(packed, member.file, member.member, path)
            paths[member.shown] = path
    return paths
