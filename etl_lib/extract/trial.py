"""Reads a school's test like a delivery, as far as its files go: what a delivery lacks is a remark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from etl_lib.config.mapping import Mapping
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import Fault
from etl_lib.extract import names
from etl_lib.extract.delivery import CurrentDelivery, is_marked
from etl_lib.extract.manifests import MANIFEST
from etl_lib.extract.match import Candidate, candidates, matches_of, pattern_of
from etl_lib.extract.sources import Listing, Source

_MOST_TOLD = 10


@dataclass(frozen=True)
class Trial:
    """What is read of a test: under which mapping, which files, and what a real delivery would lack."""

    resolved: ResolvedMapping
    source: Source
    remarks: tuple[Fault, ...]


@dataclass(frozen=True)
class _Only:
    """A place of which only the files with these names are seen."""

    whole: Source
    names: frozenset[str]

    def list(self) -> Listing:
        """See Source."""
        found = self.whole.list()
        return Listing(tuple(f for f in found.files if f.name in self.names), found.refused)

    def download(self, name: str, target: BinaryIO) -> None:
        """See Source."""
        self.whole.download(name, target)


def trial_of(resolved: ResolvedMapping, source: Source, current: CurrentDelivery | None) -> Trial:
    """How the files of `source` are read as a test; `current`: the delivery that is loaded.

    Of files of several days those of the newest; every row is read, whether or not it was loaded
    before; pauses of the mapping stop nothing. When no file is one of ours the mapping asks for all
    that a delivery needs, so that extract says what it expected. Raises TryAgain when the place does
    not answer.
    """
    mapping = resolved.mapping
    listing = source.list()
    found = candidates(mapping, listing.files)
    rules = mapping.delivery.model_copy(update={"stable_s": 0, "marker": None})
    changes: dict[str, object] = {
        "delivery": rules, "change_detection": "off", "blackout": (), "additions_only": (),
    }  # fmt: skip
    if not found:
        return Trial(_with(resolved, changes), source, ())
    chosen = found[-1]
    changes["feeds"] = {
        name: feed.model_copy(update={"required": False}) if name in chosen.missing else feed
        for name, feed in mapping.feeds.items()
    }
    wanted = {file.name for file in chosen.files()}
    wanted |= {f.name for f in listing.files if names.inner_name(f.name).lower() == MANIFEST}
    remarks = (
        *_missing(mapping, chosen), *_left_out(mapping, listing, wanted),
        *_unmarked(mapping, chosen, listing), *_older(mapping, chosen, current),
    )  # fmt: skip
    return Trial(_with(resolved, changes), _Only(source, frozenset(wanted)), remarks)


def _with(resolved: ResolvedMapping, changes: dict[str, object]) -> ResolvedMapping:
    return resolved.model_copy(update={"mapping": resolved.mapping.model_copy(update=changes)})


def _missing(mapping: Mapping, chosen: Candidate) -> Iterator[Fault]:
    missing = [f"`{name}` (`{'` or `'.join(mapping.feeds[name].file)}`)" for name in chosen.missing]
    if missing:
        text = f"These required files are not in the test: {', '.join(missing)}."
        yield Fault("TEST_FEED_MISSING", text)


def _left_out(mapping: Mapping, listing: Listing, wanted: set[str]) -> Iterator[Fault]:
    known = {match.file.name for match in matches_of(mapping, listing.files)}
    marker = mapping.delivery.marker
    others = [
        file.name for file in listing.files
        if file.name not in wanted and not (marker and pattern_of(marker).fullmatch(file.name))
    ]  # fmt: skip
    for name in others[:_MOST_TOLD]:
        why = "its day is not the newest" if name in known else "no file is called so"
        yield Fault("TEST_FILE_LEFT_OUT", f"{names.shown(name)} was not read: {why}.")
    if len(others) > _MOST_TOLD:
        text = f"{len(others) - _MOST_TOLD} more files were not read."
        yield Fault("TEST_FILE_LEFT_OUT", text)


def _unmarked(mapping: Mapping, chosen: Candidate, listing: Listing) -> Iterator[Fault]:
    if not is_marked(mapping, chosen, listing.files):
        text = f"The file `{mapping.delivery.marker}` is not there, or is older than the others."
        yield Fault("TEST_NOT_MARKED", text)


def _older(mapping: Mapping, chosen: Candidate, current: CurrentDelivery | None) -> Iterator[Fault]:
    newest = max(file.modified_at for file in chosen.files())
    day = chosen.delivered_on or mapping.local_date(newest)
    if current and day < current.delivered_on:
        text = (
            f"The files are of {day:%d %B %Y}; those of {current.delivered_on:%d %B %Y} are loaded."
        )
        yield Fault("TEST_OLDER", text)
