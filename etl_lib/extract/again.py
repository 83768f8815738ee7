"""Reads a delivery once more, out of the archive, as it was read when it came."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import BinaryIO

from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import FixTheSetup
from etl_lib.extract.delivery import extract
from etl_lib.extract.pgp import Keys
from etl_lib.extract.sources import Listing, RemoteFile
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


def read_again(run: Run, kept: KeptDelivery, keys: Keys) -> Extracted:
    """What extract makes of the delivery, in the workspace and the archive of `run`; nothing is recorded.

    `keys`: of encrypted files, asked for when there are any.

    Raises FixTheSetup (ARCHIVE_LOST) for a file that the archive no longer has, and what extract raises.
    """
    rules = kept.resolved.mapping.delivery.model_copy(update={"marker": None})  # it is not archived
    mapping = kept.resolved.mapping.model_copy(update={"delivery": rules})
    resolved = kept.resolved.model_copy(update={"mapping": mapping})
    known = _KnownDelivery(kept.delivery.delivery_seq)
    return extract(run, resolved, ArchivedSource(kept), known, keys)


@dataclass(frozen=True)
class ArchivedSource:
    """The files of a kept delivery as the place they came from would list them."""

    kept: KeptDelivery

    def list(self) -> Listing:
        """See Source."""
        files = self.kept.delivery.files
        return Listing(tuple(RemoteFile(f.name, f.size_bytes, f.modified_at) for f in files))

    def download(self, name: str, target: BinaryIO) -> None:
        """See Source; raises FixTheSetup (ARCHIVE_LOST) as well."""
        key = next(f.archive_key for f in self.kept.delivery.files if f.name == name)
        try:
            with self.kept.archive.reading(key) as stream:
                shutil.copyfileobj(stream, target, 1 << 20)
        except FileNotFoundError:
            raise FixTheSetup.of(
                "ARCHIVE_LOST", f"The archive no longer has `{key}`.", name
            ) from None


@dataclass(frozen=True)
class _KnownDelivery:
    """A ledger in which the delivery has its place already; nothing is written."""

    delivery_seq: int

    def current(self, client_id: str) -> None:
        """None: the delivery is read whatever is loaded."""

    def register(
        self, run: Run, delivery_id: str, delivered_on: date, received_at: datetime
    ) -> int:  # fmt: skip
        """The place that it has."""
        return self.delivery_seq
