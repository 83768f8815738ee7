"""OneRoster's `manifest.csv`: which files a delivery promises, and whether each is full or changes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from etl_lib.config.mapping import Mapping
from etl_lib.errors import AskTheSchool, Fault
from etl_lib.extract.names import own_name

MANIFEST = "manifest.csv"
_WORDS = ("absent", "bulk", "delta")
_MOST_BYTES = 1 << 20
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Manifest:
    """What a manifest says of each file: bulk, delta or absent, by its name without `.csv`, small letters.

    `shown` is the manifest's own name, `names` how it writes those of the files.
    """

    shown: str
    said: dict[str, str]
    names: dict[str, str]


def read_manifest(path: Path, shown: str) -> Manifest:
    """Read a OneRoster manifest.

    Raises AskTheSchool (FILE_MANIFEST) with every line that is not as the standard has it. Source:
    1EdTech OneRoster 1.1 CSV Tables, section 3.2 (propertyName, value).
    """
    rows = _rows(path, shown)
    said: dict[str, str] = {}
    names: dict[str, str] = {}
    faults = []
    for line, row in enumerate(rows, 1):
        name, value = (*(cell.strip() for cell in row), "", "")[:2]
        where = f"{shown}, line {line}"
        if not name.lower().startswith("file.") or not value:
            continue  # the standard's own sample data has files of which it says nothing
        file, value = name[len("file.") :], value.lower()
        if not _FILE_NAME.fullmatch(file):
            faults.append(Fault("FILE_MANIFEST", "The name of the file is none.", where))
        elif value not in _WORDS:
            text = f"What it says of `{file}` is none of {', '.join(_WORDS)}."
            faults.append(Fault("FILE_MANIFEST", text, where))
        elif said.setdefault(file.lower(), value) != value:
            text = f"It says two things of `{file}`."
            faults.append(Fault("FILE_MANIFEST", text, where))
        names.setdefault(file.lower(), file)
    if faults:
        raise AskTheSchool(faults)
    return Manifest(shown, said, names)


def _rows(path: Path, shown: str) -> list[list[str]]:
    """The manifest's lines as cells, its header among them."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError
        data = path.read_bytes()
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
        rows = list(csv.reader(text.splitlines(), strict=True))
        header = [cell.strip().lower() for cell in rows[0][:2]]
        if header != ["propertyname", "value"] or "\0" in text:
            raise ValueError
    except (ValueError, csv.Error, IndexError):
        text = "The manifest is no table of `propertyName` and `value`."
        raise AskTheSchool.of("FILE_MANIFEST", text, shown) from None
    return rows


@dataclass(frozen=True)
class Decided:
    """What a manifest makes of a delivery: the mapping, broken promises, what else is worth a word.

    `left_out`: feeds whose files are there although the manifest calls them absent; they are not read.
    """

    mapping: Mapping
    faults: tuple[Fault, ...] = ()
    notes: tuple[Fault, ...] = ()
    left_out: frozenset[str] = frozenset()


def decide(
    mapping: Mapping, manifest: Manifest, present: frozenset[str], names: Iterable[str]
) -> Decided:
    """What the manifest makes of a delivery.

    `present`: feeds that have a table. `names`: every file of the delivery, wanted or not. A feed
    that the manifest calls absent is not required and not read; a delta makes it a feed of changes.
    """
    feeds = dict(mapping.feeds)
    there = {_stem(name) for name in names}
    faults, notes, left_out, judged = [], [], set(), set()
    for name, feed in mapping.feeds.items():
        stems = [_stem(feed.member or ""), *(_stem(pattern) for pattern in feed.file)]
        file = next((stem for stem in stems if stem in manifest.said), None)
        if file is None:
            continue
        judged.add(file)
        said = manifest.said[file]
        if said == "absent":
            feeds[name] = feed.model_copy(update={"required": False})
            if name in present:
                left_out.add(name)
                text = f"The manifest calls `{manifest.names[file]}` absent, and it is there: not read."
                notes.append(Fault("MANIFEST_CONTRADICTED", text, manifest.shown))
            continue
        if said == "delta":
            feeds[name] = feed.model_copy(update={"content": "changes"})
        if name not in present:
            faults.append(_broken(manifest, file))
    for file, said in manifest.said.items():
        if file not in judged and said != "absent" and file not in there:
            faults.append(_broken(manifest, file))
    changed = mapping.model_copy(update={"feeds": feeds})
    return Decided(changed, tuple(faults), tuple(notes), frozenset(left_out))


def _broken(manifest: Manifest, file: str) -> Fault:
    text = f"The manifest promises `{manifest.names[file]}.csv`, and it is not in the delivery."
    return Fault("FILE_MISSING", text, manifest.shown)


def _stem(name: str) -> str:
    return own_name(name).lower().removesuffix(".csv")
