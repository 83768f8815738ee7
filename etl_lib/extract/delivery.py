"""The extract stage: find the delivery, keep it, recognise the one already loaded, read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from etl_lib.config.entity import Model
from etl_lib.config.mapping import Mapping
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import AskTheSchool, Fault, NeedsApproval, NotReceived, Superseded
from etl_lib.extract import names
from etl_lib.extract.archive import delivery_id_of, fetch
from etl_lib.extract.archived import Archived, only_rejected
from etl_lib.extract.contents import Contents, Fetched
from etl_lib.extract.cut import perhaps_cut
from etl_lib.extract.manifests import MANIFEST, Decided, decide
from etl_lib.extract.match import Candidate, candidates, day_of, matches_of, pattern_of
from etl_lib.extract.pgp import Keys
from etl_lib.extract.scratch import Scratch, scratch
from etl_lib.extract.sources import Listing, RemoteFile, Source
from etl_lib.extract.tables import read_all
from etl_lib.manifest import (
    Delivery,
    Extracted,
    Member,
    Snapshot,
    delivery_folder,
    mapping_key,
)
from etl_lib.run import Run

_MOST_TOLD = 5
# Between two files of one upload: a large file is listed when it is whole, minutes after the one before.
_PERHAPS_MORE = timedelta(minutes=15)


class CurrentDelivery(Protocol):
    """What the ledger knows of the delivery that is loaded now."""

    @property
    def delivery_id(self) -> str: ...  # noqa: D102
    @property
    def delivery_seq(self) -> int: ...  # noqa: D102
    @property
    def row_contract(self) -> str: ...  # noqa: D102
    @property
    def delivered_on(self) -> date: ...  # noqa: D102


class DeliveryLedger(Protocol):
    """The record of deliveries, kept in the ETL database."""

    def current(self, client_id: str) -> CurrentDelivery | None:
        """The client's last loaded delivery."""
        ...

    def register(
        self, run: Run, delivery_id: str, delivered_on: date, received_at: datetime
    ) -> int:
        """The delivery's place in the order of deliveries."""
        ...


class SeenFile(Model):
    """A file as it was seen, and since when it has not changed."""

    name: str
    size_bytes: int
    modified_at: datetime
    unchanged_since: datetime


class Sighting(Model):
    """One look at a client's files: whether they are a whole delivery that lies still."""

    whole: bool
    files: tuple[SeenFile, ...]
    missing: tuple[str, ...]


class Known(Model):
    """The delivery that is loaded: its day, and the time of its newest file."""

    delivered_on: date
    sent_at: datetime

    def still_for(self, candidate: Candidate) -> timedelta | None:
        """So long the files must have lain still before they are a newer delivery; None: they are none."""
        if candidate.delivered_on and candidate.delivered_on < self.delivered_on:
            return None
        newer = [file.modified_at > self.sent_at for file in candidate.files()]
        return (timedelta(0) if all(newer) else _PERHAPS_MORE) if any(newer) else None


def anything_new(mapping: Mapping, source: Source, known: Known | None) -> bool:
    """Whether a file of some feed has come since the loaded delivery, whole or not."""
    files = {match.file for match in matches_of(mapping, source.list().files)}
    return any(known is None or file.modified_at > known.sent_at for file in files)


def look(
    resolved: ResolvedMapping,
    source: Source,
    previous: Sighting | None,
    loaded: Known | None = None,
) -> Sighting:
    """See whether a whole delivery lies still; `previous` is the look before, if there was one.

    A file lies still when its size and time have not changed for `stable_s` seconds, by our own
    watching or by the file's own time. `loaded`: a delivery newer than this one is looked for; one of
    which some files are as old as this one's may still be on its way, and has to lie still for longer.
    """
    mapping, now = resolved.mapping, datetime.now(UTC)
    files = source.list().files
    before = {
        (f.name, f.size_bytes, f.modified_at): f for f in (previous.files if previous else ())
    }
    seen = []
    for file in files:
        known = before.get((file.name, file.size_bytes, file.modified_at))
        since = known.unchanged_since if known else now
        seen.append(SeenFile(name=file.name, size_bytes=file.size_bytes, modified_at=file.modified_at,
                             unchanged_since=min(since, file.modified_at)))  # fmt: skip
    found = candidates(mapping, files)
    for_s = {f.name: now - f.unchanged_since for f in seen}

    def lies_still(candidate: Candidate) -> bool:
        more = loaded.still_for(candidate) if loaded else timedelta(0)
        if more is None:
            return False
        still = max(more, timedelta(seconds=mapping.delivery.stable_s))
        return all(for_s[file.name] >= still for file in candidate.files())

    whole = any(c.whole and lies_still(c) and is_marked(mapping, c, files) for c in found)
    missing = min((c.missing for c in found), key=len, default=tuple(mapping.feeds))
    return Sighting(whole=whole, files=tuple(seen), missing=missing)


def is_marked(mapping: Mapping, candidate: Candidate, files: Sequence[RemoteFile]) -> bool:
    """Whether a marker says that this candidate is complete: none asked for, or one that came last.

    A marker that is older than one of the files is left from the delivery before: the new one is
    still on its way.
    """
    rules = mapping.delivery
    if rules.marker is None:
        return True
    newest = max(file.modified_at for file in candidate.files())
    pattern = pattern_of(rules.marker)
    for file in files:
        match = pattern.fullmatch(file.name)
        if match is None or file.modified_at < newest:
            continue
        day = match.groupdict().get("date")
        if day is None or day_of(day, rules.date_format) in (candidate.delivered_on, None):
            return True
    return False


def extract(
    run: Run, resolved: ResolvedMapping, source: Source, ledger: DeliveryLedger | None, keys: Keys,
    snapshots: Sequence[Snapshot] = (),
) -> Extracted:  # fmt: skip
    """Archive and read the delivery that is due; see manifest.Extracted.

    `keys` looks up our private keys, only when a file is encrypted. `snapshots`: of the client's last
    load; lines that are in them need not be read. Identical to the loaded delivery under the same row
    contract: nothing is read, unless the source is the archive: what is asked for again is read again,
    and keeps its place in the order of deliveries. `ledger`: None reads a delivery of the archive
    whatever is loaded; with any other source that is a ValueError, for the ledger gives the delivery
    its place. Raises NotReceived when no delivery is whole, AskTheSchool with all faults of all files,
    Superseded or NeedsApproval for one that is older than the loaded one, TryAgain when files change
    meanwhile, FixTheSetup when there is no key.
    """
    archived = source if isinstance(source, Archived) else None
    current = ledger.current(run.client_id) if ledger else None
    listing = source.list()
    notes = _refused(resolved.mapping, listing)
    candidate = _choose(resolved.mapping, listing.files, current, notes)
    with scratch() as rooms:
        opened = _opened(run, resolved, candidate, source, listing, rooms, keys)
        told = _as_content(resolved.mapping, opened.resolved.mapping)
        first = _choose(told, listing.files, current, notes)
        if first != candidate:  # its manifest says changes: those that came before go before
            candidate = first
            opened = _opened(run, resolved, candidate, source, listing, rooms, keys)
        notes = [*notes, *opened.notes]
        resolved, members, fetched = opened.resolved, opened.members, opened.fetched
        delivery_id = delivery_id_of(members)
        day, received_at = opened.day, opened.received_at
        same = current is not None and delivery_id == current.delivery_id
        if current and same and _says_nothing_new(current, resolved) and not archived:
            delivery = _delivery(
                run, delivery_id, current.delivery_seq, day, received_at, fetched, members
            )
            return Extracted(
                resolved=resolved, delivery=delivery, nothing_new_since=current.delivered_on,
                notes=tuple(notes),
            )  # fmt: skip
        if current and _is_late(current, day, same, archived):
            _refuse_late(resolved.mapping, current, day, run)
        if archived:
            seq = archived.delivery.delivery_seq
        elif ledger:
            seq = ledger.register(run, delivery_id, day, received_at)
        else:
            raise ValueError("only a delivery of the archive has its place without a ledger")
        delivery = _delivery(run, delivery_id, seq, day, received_at, fetched, members)
        _keep_manifest(run, delivery, resolved, archived is None)
        tables = read_all(run, members, opened.paths, resolved, rooms.folder, snapshots)
        if current and not same and not run.wishes.approve:
            _refuse_cut(run, current, members, opened.paths)
        if archived and archived.lines is not None:
            resolved = _as_changes(resolved)
            tables, more = only_rejected(run, resolved, tables, archived.lines, rooms.folder)
            notes = [*notes, *more]
    return Extracted(resolved=resolved, delivery=delivery, tables=tables, notes=tuple(notes))


@dataclass(frozen=True)
class _Opened:
    """A candidate fetched, archived and unpacked; `resolved` as its day and its manifest make it."""

    resolved: ResolvedMapping
    day: date
    received_at: datetime
    fetched: Fetched
    members: tuple[Member, ...]
    paths: dict[str, Path]
    notes: tuple[Fault, ...]


def _opened(
    run: Run, resolved: ResolvedMapping, candidate: Candidate, source: Source, listing: Listing,
    rooms: Scratch, keys: Keys,
) -> _Opened:  # fmt: skip
    """Fetch a candidate's files and find its tables; raises AskTheSchool with all that is wrong."""
    received_at = max(file.modified_at for file in candidate.files())
    day = candidate.delivered_on or resolved.mapping.local_date(received_at)
    if isinstance(source, Archived):
        day = source.delivery.delivered_on
    mapping = resolved.mapping.at(day)
    fetched = fetch(source, _wanted_files(candidate, listing), run.archive, rooms)
    contents = Contents(fetched, mapping, rooms, keys)
    faults = contents.find_tables(candidate.matches)
    notes: tuple[Fault, ...] = ()
    if not faults and "oneroster" in mapping.sis.lower().replace(" ", ""):
        decided = _by_manifest(contents, listing)
        mapping, notes = decided.mapping, decided.notes
        faults += decided.faults
    faults += _missing(mapping, contents.members, fetched, faults)
    if faults:
        raise AskTheSchool(faults)
    resolved = resolved.model_copy(update={"mapping": mapping})
    return _Opened(
        resolved, day, received_at, fetched, tuple(contents.members), contents.paths, notes
    )


def _by_manifest(contents: Contents, listing: Listing) -> Decided:
    """What a OneRoster manifest, loose or in an archive, makes of the delivery; without one, nothing."""
    manifest = contents.manifest()
    if manifest is None:
        return Decided(contents.mapping)
    loose = (names.inner_name(file.name) for file in listing.files)
    with_tables = frozenset(member.feed for member in contents.members)
    decided = decide(contents.mapping, manifest, with_tables, [*contents.file_names(), *loose])
    contents.leave_out(decided.left_out)
    return decided


def _as_content(mapping: Mapping, decided: Mapping) -> Mapping:
    """The mapping with what a manifest said of each feed: full or changes."""
    feeds = {
        name: feed.model_copy(update={"content": decided.feeds[name].content})
        for name, feed in mapping.feeds.items()
    }
    return mapping.model_copy(update={"feeds": feeds})


def _choose(
    mapping: Mapping, files: Sequence[RemoteFile], current: CurrentDelivery | None,
    notes: Sequence[Fault] = (),
) -> Candidate:  # fmt: skip
    """The newest whole delivery; for feeds of changes the oldest that is not older than the loaded."""
    found = candidates(mapping, files)
    whole = [c for c in found if c.whole and is_marked(mapping, c, files)]
    if not whole:
        raise NotReceived([*_not_received(mapping, found, files), *notes])
    if all(feed.content == "full" for feed in mapping.feeds.values()) or current is None:
        only_full = all(feed.content == "full" for feed in mapping.feeds.values())
        return whole[-1] if only_full else whole[0]
    newer = [c for c in whole if c.delivered_on is None or c.delivered_on > current.delivered_on]
    return newer[0] if newer else whole[-1]


def _not_received(
    mapping: Mapping, found: Sequence[Candidate], files: Sequence[RemoteFile]
) -> list[Fault]:
    if not found or not any(c.whole for c in found):
        nearest = min(found, key=lambda c: len(c.missing), default=None)
        missing = (
            nearest.missing if nearest else tuple(n for n, f in mapping.feeds.items() if f.required)
        )
        names = ", ".join(sorted(file.name for file in files)[:10]) or "nothing"
        return [
                Fault("NOT_RECEIVED", f"The file of `{name}` (`{'` or `'.join(mapping.feeds[name].file)}`) "
                      f"has not come; in the folder: {names}.")
                for name in missing or list(mapping.feeds)[:1]
            ]  # fmt: skip
    text = (
        f"The file `{mapping.delivery.marker}` that says the delivery is complete has not come, "
        "or is older than the other files."
    )
    return [Fault("NOT_RECEIVED", text)]


def _refused(mapping: Mapping, listing: Listing) -> list[Fault]:
    """A word on files that are not touched, so that nobody waits for them; folders only when one has
    the name of a file that we wait for."""
    waited_for = {m.file.name for m in matches_of(mapping, [
        RemoteFile(one.name, 0, datetime.now(UTC)) for one in listing.refused if one.is_folder
    ])}  # fmt: skip
    found = [
        one
        for one in listing.refused
        if not one.is_folder or (one.name in waited_for and one.name != names.TEST_FOLDER)
    ]
    if not found:
        return []
    said = "; ".join(f"{names.shown(one.name)}: {one.why}" for one in found[:_MOST_TOLD])
    more = f"; and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
    text = f"{len(found)} in the folder were not touched ({said}{more})."
    return [Fault("FILE_NAME_REFUSED", text)]


def _says_nothing_new(current: CurrentDelivery, resolved: ResolvedMapping) -> bool:
    """Whether identical files bring nothing: not when they are read otherwise, or are to be loaded again."""
    is_wanted = resolved.mapping.change_detection != "off"
    return is_wanted and current.row_contract == resolved.row_contract


def _is_late(current: CurrentDelivery, day: date, same: bool, archived: Archived | None) -> bool:
    """Whether a newer delivery is loaded; those of the archive have a place in the order."""
    if archived:
        return archived.delivery.delivery_seq < current.delivery_seq
    return not same and day < current.delivered_on


def _refuse_late(mapping: Mapping, current: CurrentDelivery, day: date, run: Run) -> None:
    if run.wishes.overwrite_newer:
        return
    loaded = f"that of {current.delivered_on:%d %B %Y}"
    if run.wishes.from_archive:
        text = f"The delivery of {day:%d %B %Y} is older than {loaded}, which is loaded."
    else:
        text = f"The delivery of {day:%d %B %Y} came after {loaded} was loaded."
    if all(feed.content == "full" for feed in mapping.feeds.values()):
        hint = "It takes the place of the newer one only when the run says so: `overwrite_newer`."
        raise Superseded.of("SUPERSEDED", text, hint=hint if run.wishes.from_archive else "")
    if not run.wishes.approve:
        raise NeedsApproval.of("LATE_CHANGES", text)


def _refuse_cut(
    run: Run, current: CurrentDelivery, members: Sequence[Member], paths: dict[str, Path]
) -> None:
    folder = delivery_folder(current.delivery_seq, current.delivery_id)
    if faults := perhaps_cut(run.archive, f"{folder}/delivery.json", members, paths):
        raise NeedsApproval(faults)


def _as_changes(resolved: ResolvedMapping) -> ResolvedMapping:
    """The mapping for some rows of a delivery: that others are absent says nothing."""
    mapping = resolved.mapping
    feeds = {n: feed.model_copy(update={"content": "changes"}) for n, feed in mapping.feeds.items()}
    return resolved.model_copy(update={"mapping": mapping.model_copy(update={"feeds": feeds})})


def _wanted_files(candidate: Candidate, listing: Listing) -> list[RemoteFile]:
    """The delivery's files, and a manifest that lies beside them."""
    files = list(candidate.files())
    known = {file.name for file in files}
    loose = (f for f in listing.files if names.inner_name(f.name).lower() == MANIFEST)
    return [*files, *(file for file in loose if file.name not in known)]


def _missing(
    mapping: Mapping, members: Sequence[Member], fetched: Fetched, known: Sequence[Fault]
) -> list[Fault]:
    """Required feeds for which an archive holds no table; nothing when it could not be opened."""
    if known:
        return []
    there = {member.feed for member in members}
    return [
        Fault("FILE_MISSING", f"The file of `{name}` (`{feed.member or feed.file[0]}`) is not in the delivery.",
              ", ".join(fetched))
        for name, feed in mapping.feeds.items()
        if feed.required and name not in there
    ]  # fmt: skip


def _delivery(
    run: Run, delivery_id: str, delivery_seq: int, day: date, received_at: datetime,
    fetched: Fetched, members: Sequence[Member],
) -> Delivery:  # fmt: skip
    return Delivery(
        client_id=run.client_id,
        delivery_id=delivery_id,
        delivery_seq=delivery_seq,
        delivered_on=day,
        received_at=received_at,
        files=tuple(delivered for delivered, _ in fetched.values()),
        members=tuple(members),
    )


def _keep_manifest(run: Run, delivery: Delivery, resolved: ResolvedMapping, is_new: bool) -> None:
    """The archive also keeps what the delivery was and with which mapping it was read.

    A delivery that came out of the archive is described there already, by the run that took it in.
    """
    mapping = resolved.model_dump_json(by_alias=True).encode()
    run.archive.write_bytes(mapping_key(run.run_id), mapping)
    folder = delivery_folder(delivery.delivery_seq, delivery.delivery_id)
    if is_new or not run.archive.exists(f"{folder}/delivery.json"):
        run.archive.write_bytes(f"{folder}/delivery.json", delivery.model_dump_json().encode())
        run.archive.write_bytes(f"{folder}/mapping.json", mapping)
