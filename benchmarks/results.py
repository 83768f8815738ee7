"""Keeps the results of each benchmark with the machine they were measured on, and writes the page."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

_FOLDER = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

Written by `make bench`; nothing here is typed. Figures of one machine tell ratios and orders of size.
"""


@dataclass(frozen=True)
class Figure:
    """One line of a result: what, how much, what it must reach, and whether it does."""

    what: str
    found: str
    target: str = ""
    reached: bool | None = None


@dataclass(frozen=True)
class Table:
    """A table of its own beside the figures: title, heads, rows, and a note on how to read it."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    @property
    def markdown(self) -> str:
        """As the page shows it."""
        lines = [
            f"**{self.title}**", "", *([self.note, ""] if self.note else []),
            f"| {' | '.join(self.heads)} |", f"|{' --- |' * len(self.heads)}",
            *(f"| {' | '.join(row)} |" for row in self.rows),
        ]  # fmt: skip
        return "\n".join([*lines, ""])


def machine() -> str:
    """What the figures were measured on."""
    memory_gb = psutil.virtual_memory().total / 1e9
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory_gb:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def keep(
    name: str, title: str, how: str, figures: Sequence[Figure], tables: Sequence[Table] = ()
) -> None:
    """Keep the result of one benchmark and write the page of all of them."""
    found = {
        "title": title, "how": how, "machine": machine(),
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "figures": [asdict(figure) for figure in figures], "tables": [asdict(table) for table in tables],
    }  # fmt: skip
    _FOLDER.mkdir(exist_ok=True)
    (_FOLDER / f"{name}.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    parts = [_HEAD, *(_section(json.loads(p.read_text())) for p in sorted(_FOLDER.glob("*.json")))]
    PAGE.write_text("\n".join(parts))


def _section(found: dict[str, Any]) -> str:
    lines = [
        f"## {found['title']}", "", f"{found['how']}", "",
        f"Measured {found['measured_at']} on {found['machine']}.", "",
        "| What | Found | Target | |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for one in found["figures"]:
        reached = {True: "reached", False: "**missed**", None: ""}[one["reached"]]
        lines.append(f"| {one['what']} | {one['found']} | {one['target']} | {reached} |")
    tables = [Table(**one).markdown for one in found.get("tables", ())]
    return "\n".join([*lines, "", *tables])
