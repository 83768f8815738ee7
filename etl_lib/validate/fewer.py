"""Compares how many rows a feed has with its last good delivery: a cut file is the commonest accident."""

from __future__ import annotations

from etl_lib.config.mapping import part_of
from etl_lib.config.project import Fill
from etl_lib.manifest import Hold


def far_fewer_rows(fill: Fill, rows_read: int, rows_of_last: int) -> list[Hold]:
    """The reason to ask a person when a full feed has shrunk over the limit; exactly at it passes.

    `rows_of_last` 0: the first delivery. A feed that had no more than `floor_rows` is never held.
    """
    limits, allowed = fill.feed.limits, fill.feed.limits.hold.rows_share_of_last
    enough = rows_read >= part_of(allowed, rows_of_last)
    if fill.feed.content != "full" or rows_of_last <= limits.floor_rows or enough:
        return []
    found = rows_read / rows_of_last
    text = (
        f"{fill.feed_name} has {rows_read:,} rows, the last delivery had {rows_of_last:,} "
        f"({found:.0%}); down to {allowed * 100:g}% pass without approval."
    )
    return [
        Hold(feed=fill.feed_name, entity=fill.entity.entity, limit="rows_share_of_last",
             allowed=allowed, found=found, text=text)
    ]  # fmt: skip
