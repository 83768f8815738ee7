"""Compares what the database says it would change with the limits of a feed, in words for a person."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil

from etl_lib.config.mapping import Limits, part_of
from etl_lib.manifest import Counts, Hold

# Rows of the client in the entity before the load, deleted ones aside. Asked with a number, the answer may
# stop there: to count a million rows costs more than to load a night's few.
RowsBefore = Callable[[int | None], int]


def over_hold_limits(counts: Counts, rows_before: RowsBefore, limits: Limits) -> list[Hold]:
    """Reasons why a person must approve these counts; exactly at a limit passes.

    Before the first load nothing can be changed by mistake, so only the share of rejected rows counts.
    """
    deleted = counts.deleted_by_row + counts.deleted_by_absence
    hold = limits.hold
    found = [
        _share("deleted_share", "delete", deleted, rows_before, hold.deleted_share, limits, counts),
        _share(
            "updated_share",
            "update",
            counts.updated,
            rows_before,
            hold.updated_share,
            limits,
            counts,
        ),
        _rejected(counts, limits),
    ]
    return [one for one in found if one is not None]


def _share(
    limit: str, verb: str, changed: int, rows_before: RowsBefore, allowed: float, limits: Limits,
    counts: Counts,
) -> Hold | None:  # fmt: skip
    if changed <= limits.floor_rows:
        return None
    rows = rows_before(ceil(changed / part_of(allowed, 1)) if allowed else None)
    if rows == 0 or changed <= part_of(allowed, rows):
        return None
    found = changed / rows
    text = (
        f"Would {verb} {changed:,} of {rows:,} rows of {counts.entity} ({found:.1%}); "
        f"up to {allowed * 100:g}% pass without approval."
    )
    return Hold(
        feed=counts.feed, entity=counts.entity, limit=limit, allowed=allowed, found=found, text=text
    )


def _rejected(counts: Counts, limits: Limits) -> Hold | None:
    hold = limits.hold
    least = max(Fraction(limits.floor_rows), part_of(hold.rejected_share, counts.read))
    over_share = counts.rejected > least
    over_rows = hold.rejected_rows is not None and counts.rejected > hold.rejected_rows
    if not (over_share or over_rows):
        return None
    found = counts.rejected / counts.read
    text = (
        f"{counts.rejected:,} of {counts.read:,} rows of {counts.feed} for {counts.entity} are faulty "
        f"({found:.1%}); up to {hold.rejected_share * 100:g}% pass without approval."
    )
    return Hold(feed=counts.feed, entity=counts.entity, limit="rejected_share",
                allowed=hold.rejected_share, found=found, text=text)  # fmt: skip


def over_fail_limit(counts: Counts, limits: Limits) -> str | None:
    """Why so many rows are faulty that nothing may be loaded, or None."""
    fail = limits.fail
    over_share = counts.rejected > part_of(fail.rejected_share, counts.read)
    over_rows = fail.rejected_rows is not None and counts.rejected > fail.rejected_rows
    if not (over_share or over_rows):
        return None
    return (
        f"{counts.rejected:,} of {counts.read:,} rows of {counts.feed} for {counts.entity} are faulty "
        f"({counts.rejected / counts.read:.1%})."
    )
