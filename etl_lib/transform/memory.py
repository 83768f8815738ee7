"""Keeps the stage's memory flat: what Arrow has freed goes back to the system before the next large step."""

from __future__ import annotations

import pyarrow as pa


def give_back() -> None:
    """Hand freed memory back now, not a second later: of a million rows it is up to 100 MB a step."""
    pa.default_memory_pool().release_unused()
