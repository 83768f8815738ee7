"""Deliveries out of the archive, to be run again: whole, or only the rows that a run has rejected."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.arrow_file import batches, read_schema, written
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import Fault, FixTheSetup
from etl_lib.extract.sources import Listing, RemoteFile
from etl_lib.manifest import Delivery, ReadTable, delivery_folder, mapping_key
from etl_lib.run import Run
from etl_lib.storage import Storage

if TYPE_CHECKING:  # reading a file needs no database
    from etl_lib.metrics.archived import KnownDelivery, RejectedLines

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Archived:
    """A delivery as it lies in the archive; a Source of its files.

    `mapping`: that with which the run by which it is known had read it. `lines`: only these rows are
    run again, None for all.
    """

    delivery: Delivery
    mapping: ResolvedMapping
    storage: Storage
    lines: RejectedLines | None = None

    def list(self) -> Listing:
        """See Source: the files with the sizes and times with which they came."""
        files = self.delivery.files
        return Listing(tuple(RemoteFile(f.name, f.size_bytes, f.modified_at) for f in files))

    def download(self, name: str, target: BinaryIO) -> None:
        """See Source; raises FixTheSetup (ARCHIVE_LOST) when the bytes are not those that came."""
        file = next(one for one in self.delivery.files if one.name == name)
        digest = hashlib.sha256()
        try:
            with self.storage.reading(file.archive_key) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    target.write(chunk)
        except FileNotFoundError:
            raise _lost(f"`{file.archive_key}` is not there.", name) from None
        if digest.hexdigest() != file.sha256:
            raise _lost(f"`{file.archive_key}` is no longer what came.", name)

    def under(self, resolved: ResolvedMapping) -> ResolvedMapping:
        """A mapping in the layout of the delivery's day.

        How the files had to come (marker, encryption, dates in their names) is a matter of then.
        """
        rules = self.mapping.mapping.delivery.model_copy(update={"marker": None, "stable_s": 0})
        mapping = resolved.mapping.at(self.delivery.delivered_on)
        mapping = mapping.model_copy(update={"delivery": rules})
        return resolved.model_copy(update={"mapping": mapping})


def recall(archives: Sequence[Storage], known: KnownDelivery, lines: RejectedLines | None) -> Archived:  # fmt: skip
    """The delivery out of the first archive that holds it; raises FixTheSetup (ARCHIVE_LOST) when none does."""
    folder = delivery_folder(known.delivery_seq, known.delivery_id)
    for archive in archives:
        with suppress(FileNotFoundError):
            delivery = Delivery.model_validate_json(archive.read_bytes(f"{folder}/delivery.json"))
            described = archive.find_bytes(mapping_key(known.run_id))
            described = described or archive.read_bytes(f"{folder}/mapping.json")
            mapping = ResolvedMapping.model_validate_json(described)
            return Archived(delivery, mapping, archive, lines)
    raise _lost(f"`{folder}` is not there.")


def only_rejected(
    run: Run, resolved: ResolvedMapping, tables: Sequence[ReadTable], lines: RejectedLines, folder: Path
) -> tuple[tuple[ReadTable, ...], list[Fault]]:  # fmt: skip
    """The tables beside tables of their rejected rows, for each entity its own; and what is worth a word.

    Also for entities without any such row: the load then knows that their records are fed.
    """
    found = [table.model_copy(update={"entities": ()}) for table in tables]
    missing = 0
    for number, table in enumerate(tables):
        for entity in resolved.mapping.feeds[table.feed].entities:
            wanted = {
                *lines.get((table.feed, entity, table.shown), ()),
                *lines.get((table.feed, None, table.shown), ()),
            }
            some = _some_rows(run, table, wanted, f"{number}-{entity}", folder)
            found.append(some.model_copy(update={"entities": (entity,)}))
            missing += len(wanted) - some.rows_read
    shown = {(table.feed, table.shown) for table in tables}
    missing += sum(len(of) for (feed, _, file), of in lines.items() if (feed, file) not in shown)
    if not missing:
        return tuple(found), []
    text = f"{missing:,} of the rejected rows are no rows under this mapping."
    return tuple(found), [Fault("FROM_ARCHIVE", text)]


def _some_rows(
    run: Run, table: ReadTable, lines: Collection[int], name: str, folder: Path
) -> ReadTable:
    """The rows of a table that stand on these lines, as a table of its own."""
    wanted = pa.array(sorted(lines), pa.int64())
    accepted = _filtered(run, table.rows_key, "_line", wanted, f"extract/rows-{name}.arrow", folder)
    rejected = _filtered(
        run, table.rejects_key, "line", wanted, f"extract/rejects-{name}.arrow", folder
    )
    return table.model_copy(
        update={
            "rows_key": f"extract/rows-{name}.arrow",
            "rejects_key": f"extract/rejects-{name}.arrow",
            "rows_read": accepted + rejected,
            "rows_accepted": accepted,
            "rows_rejected": rejected,
        }
    )


def _filtered(
    run: Run, key: str, column: str, lines: pa.Int64Array, new_key: str, folder: Path
) -> int:
    """Write the rows of a file of the workspace that stand on these lines to another; gives how many."""
    path, rows = folder / "some.arrow", 0
    with (
        run.workspace.reading(key) as stream,
        written(path, read_schema(stream)) as writer,
    ):
        for batch in batches(stream):
            some = batch.filter(pc.is_in(batch[column], value_set=lines))
            writer.write_table(pa.Table.from_batches([some]))
            rows += some.num_rows
    run.workspace.put_file(path, new_key)
    return rows


def _lost(text: str, where: str = "") -> FixTheSetup:
    return FixTheSetup.of("ARCHIVE_LOST", text, where)
