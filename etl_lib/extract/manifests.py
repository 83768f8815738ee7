"""OneRoster's `manifest.csv`: which files a delivery promises, and whether each is full or changes."""

from __future__ import annotations

import csv
from pathlib import Path

from etl_lib.config.mapping import Mapping
from etl_lib.errors import Fault

MANIFEST = "manifest.csv"


def read_manifest(path: Path) -> dict[str, str]:
    """`file.<name>` of a OneRoster manifest to bulk, delta or absent, by file name without `.csv`.

    Source: 1EdTech OneRoster 1.1 CSV Tables, section 3.2 (propertyName, value).
    """
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as stream:
        rows = [row for row in csv.reader(stream) if len(row) >= 2]
    return {
        name.removeprefix("file.").lower(): value.strip().lower()
        for name, value in ((row[0].strip(), row[1]) for row in rows)
        if name.startswith("file.")
    }


def with_manifest(
    mapping: Mapping, promised: dict[str, str], present: dict[str, set[str]], shown: str
) -> tuple[Mapping, list[Fault]]:
    """The mapping as a delivery's manifest makes it, and every promise that the delivery breaks.

    `present`: names (lower case, without folder and `.csv`) of each feed's tables. A feed that the
    manifest calls absent is not required; a delta makes it a feed of changes.
    """
    feeds = dict(mapping.feeds)
    faults = []
    for name, feed in mapping.feeds.items():
        wanted = {_stem(feed.member or "")} | {_stem(pattern) for pattern in feed.file}
        said = next((promised[w] for w in wanted if w in promised), None)
        if said == "absent":
            feeds[name] = feed.model_copy(update={"required": False})
        elif said == "delta":
            feeds[name] = feed.model_copy(update={"content": "changes"})
        if said in ("bulk", "delta") and not present.get(name):
            text = f"The manifest promises the file of `{name}`, and it is not in the delivery."
            faults.append(Fault("FILE_MISSING", text, shown))
    return mapping.model_copy(update={"feeds": feeds}), faults


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].lower().removesuffix(".csv")
