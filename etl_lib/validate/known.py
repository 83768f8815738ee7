"""Counts over rows that were not read, since the last load had the same lines: as they were judged then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from etl_lib.config.project import Fill
from etl_lib.manifest import FACTS, KnownRows
from etl_lib.rules.facts import Counted, counted
from etl_lib.rules.snapshots import known_places, read_snapshot
from etl_lib.rules.unchanged import RowsMoved
from etl_lib.run import Run
from etl_lib.storage import scratch_folder


def count_known(run: Run, known: KnownRows, fill: Fill, fields: Sequence[str]) -> Counted:
    """What rules.facts tells of the rows; `fields`: those of `PreparedRows.values` in such a file.

    Raises RowsMoved when the snapshot is gone.
    """
    facts: Counter[bytes] = Counter()
    with scratch_folder() as scratch:
        snapshot = read_snapshot(run.archive, known.snapshot, scratch / "snapshot")
        if snapshot is None:
            raise RowsMoved
        is_known = np.zeros(snapshot.rows, np.bool_)
        for _, places in known_places(run.workspace, known):
            is_known[places] = True
        at = 0
        for rows in snapshot.batches([FACTS]):
            here = is_known[at : at + rows.num_rows]
            at += rows.num_rows
            kinds = rows[FACTS].dictionary_encode()
            totals = np.bincount(kinds.indices.to_numpy()[here], minlength=len(kinds.dictionary))
            facts.update(dict(zip(kinds.dictionary.to_pylist(), totals.tolist(), strict=True)))
    return counted(facts, fields, fill)
