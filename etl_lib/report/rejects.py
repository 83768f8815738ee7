"""Collects the rejected rows of a run out of the files that the stages have left."""

from __future__ import annotations

import pyarrow as pa

from etl_lib.arrow_file import read_table
from etl_lib.manifest import REJECT_COLUMNS, Extracted, Transformed, Validated
from etl_lib.metrics.ledger import RejectedRow
from etl_lib.storage import Storage

Rejects = dict[tuple[str, str | None], list[RejectedRow]]


def collect(
    workspace: Storage, extracted: Extracted | None, validated: Validated | None,
    transformed: Transformed | None,
) -> Rejects:  # fmt: skip
    """Rejected rows by (feed, entity); entity None: the row could not be read, so counts for all.

    Only the stages that have run leave files; one line per fault.
    """
    rejects: Rejects = {}
    for one in extracted.tables if extracted else ():
        for entity in (None,) if one.entities is None else one.entities:
            _add(rejects, workspace, (one.feed, entity), one.rejects_key)
    for feed in dict.fromkeys(one.feed for one in extracted.tables) if extracted else ():
        _add(rejects, workspace, (feed, None), f"load/rejects-{feed}.arrow")
    for fill in validated.fills if validated else ():
        _add(rejects, workspace, (fill.feed, fill.entity), fill.rejects_key)
    for done in transformed.fills if transformed else ():
        name = f"{done.feed}.{done.entity}"
        _add(rejects, workspace, (done.feed, done.entity), done.rejects_key)
        _add(rejects, workspace, (done.feed, done.entity), f"load/rejects-{name}.arrow")
    return rejects


def _add(
    rejects: Rejects, workspace: Storage, fill: tuple[str, str | None], rejects_key: str
) -> None:
    data = workspace.find_bytes(rejects_key)
    if data is None:
        return
    rows = read_table(pa.BufferReader(data), REJECT_COLUMNS)
    if rows.num_rows:
        columns = (rows[name].to_pylist() for name in REJECT_COLUMNS)
        rejects.setdefault(fill, []).extend(zip(*columns, strict=True))
