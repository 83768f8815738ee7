"""The cells of a table with their letters composed, whichever way the school's system writes them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.config.letters import composed


def composed_cells(rows: pa.Table) -> pa.Table:
    """The rows, each column of text as `letters.composed` has it; a column that is so already is not copied."""
    for place, name in enumerate(rows.column_names):
        column = rows.column(place)
        if pa.types.is_string(column.type) and not pc.all(pc.string_is_ascii(column)).as_py():
            rows = rows.set_column(place, name, _composed(column))
    return rows


def _composed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    other = pc.not_equal(pc.utf8_normalize(column, "NFC"), column)
    if not pc.any(other).as_py():
        return column
    texts = column.filter(other).to_pylist()
    replaced = pa.array([composed(text) for text in texts], pa.string())
    return pa.chunked_array(
        [pc.replace_with_mask(column.combine_chunks(), other.combine_chunks(), replaced)]
    )
