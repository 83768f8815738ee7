"""The extract stage: find the delivery, keep it, recognise the one already loaded, read it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from etl_lib.config.entity import Model
from etl_lib.config.mapping import Mapping
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import AskTheSchool, Fault, NeedsApproval, NotReceived, Superseded
from etl_lib.extract import packing
from etl_lib.extract.archive import delivery_id_of, fetch, sha256_of
from etl_lib.extract.manifests import MANIFEST, read_manifest, with_manifest
from etl_lib.extract.match import Candidate, candidates, pattern_of
from etl_lib.extract.reading import read_table
from etl_lib.extract.sources import RemoteFile, Source
from etl_lib.manifest import DeliveredFile, Delivery, Extracted, Member, ReadTable
from etl_lib.run import Progress, Run


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


def look(resolved: ResolvedMapping, source: Source, previous: Sighting | None) -> Sighting:
    """See whether a whole delivery lies still; `previous` is the look before, if there was one.

    A file lies still when its size and time have not changed for `stable_s` seconds, by our own
    watching or by the file's own time.
    """
    mapping, now = resolved.mapping, datetime.now(UTC)
    files = source.list()
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
    still = timedelta(seconds=mapping.delivery.stable_s)
    lies_still = {f.name for f in seen if now - f.unchanged_since >= still}
    whole = any(
        c.whole and all(f.name in lies_still for f in c.files()) for c in found
    ) and _marked(mapping, files)
    missing = min((c.missing for c in found), key=len, default=tuple(mapping.feeds))
    return Sighting(whole=whole, files=tuple(seen), missing=missing)


def _marked(mapping: Mapping, files: Sequence[RemoteFile]) -> bool:
    if mapping.delivery.marker is None:
        return True
    return any(pattern_of(mapping.delivery.marker).fullmatch(file.name) for file in files)


def extract(
    run: Run, resolved: ResolvedMapping, source: Source, ledger: DeliveryLedger
) -> Extracted:
    """Archive and read the delivery that is due; see manifest.Extracted.

    Identical to the loaded delivery under the same row contract: nothing is read. Raises
    NotReceived when no delivery is whole, AskTheSchool with all faults of all files, Superseded or
    NeedsApproval for one that is older than the loaded one, TryAgain when files change meanwhile.
    """
    current = ledger.current(run.client_id)
    candidate = _choose(resolved.mapping, source.list(), current)
    received_at = max(file.modified_at for file in candidate.files())
    day = candidate.delivered_on or resolved.mapping.local_date(received_at)
    resolved = resolved.model_copy(update={"mapping": resolved.mapping.at(day)})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fetched = fetch(source, _wanted_files(candidate, source), run.archive, folder)
        members, paths, faults = _members(candidate, fetched, resolved.mapping, folder)
        resolved, broken = _apply_manifest(resolved, fetched, members, paths, folder)
        faults += broken + _missing(resolved.mapping, members, fetched)
        if faults:
            raise AskTheSchool(faults)
        delivery_id = delivery_id_of(members)
        same = current is not None and delivery_id == current.delivery_id
        if current and same and current.row_contract == resolved.row_contract:
            delivery = _delivery(
                run, delivery_id, current.delivery_seq, day, received_at, fetched, members
            )
            return Extracted(
                resolved=resolved, delivery=delivery, nothing_new_since=current.delivered_on
            )
        if current and not same and day < current.delivered_on:
            _refuse_late(resolved.mapping, current, day, run)
        seq = ledger.register(run, delivery_id, day, received_at)
        delivery = _delivery(run, delivery_id, seq, day, received_at, fetched, members)
        _keep_manifest(run, delivery, resolved)
        tables = _read_all(run, members, paths, resolved, folder)
    return Extracted(resolved=resolved, delivery=delivery, tables=tables)


def _choose(
    mapping: Mapping, files: Sequence[RemoteFile], current: CurrentDelivery | None
) -> Candidate:
    """The newest whole delivery; for feeds of changes the oldest that is not older than the loaded."""
    found = candidates(mapping, files)
    whole = [c for c in found if c.whole]
    if not whole or not _marked(mapping, files):
        raise _not_received(mapping, found, files)
    if all(feed.content == "full" for feed in mapping.feeds.values()) or current is None:
        only_full = all(feed.content == "full" for feed in mapping.feeds.values())
        return whole[-1] if only_full else whole[0]
    newer = [c for c in whole if c.delivered_on is None or c.delivered_on > current.delivered_on]
    return newer[0] if newer else whole[-1]


def _not_received(
    mapping: Mapping, found: Sequence[Candidate], files: Sequence[RemoteFile]
) -> NotReceived:
    if not found or not any(c.whole for c in found):
        nearest = min(found, key=lambda c: len(c.missing), default=None)
        missing = (
            nearest.missing if nearest else tuple(n for n, f in mapping.feeds.items() if f.required)
        )
        names = ", ".join(sorted(file.name for file in files)[:10]) or "nothing"
        return NotReceived(
            [
                Fault("NOT_RECEIVED", f"The file of `{name}` (`{'` or `'.join(mapping.feeds[name].file)}`) "
                      f"has not come; in the folder: {names}.")
                for name in missing or list(mapping.feeds)[:1]
            ]
        )  # fmt: skip
    text = f"The file `{mapping.delivery.marker}` that says the delivery is complete has not come."
    return NotReceived.of("NOT_RECEIVED", text)


def _refuse_late(mapping: Mapping, current: CurrentDelivery, day: date, run: Run) -> None:
    text = f"The delivery of {day:%d %B %Y} came after that of {current.delivered_on:%d %B %Y} was loaded."
    if all(feed.content == "full" for feed in mapping.feeds.values()):
        raise Superseded.of("SUPERSEDED", text)
    if not run.wishes.approve:
        raise NeedsApproval.of("LATE_CHANGES", text)


def _wanted_files(candidate: Candidate, source: Source) -> list[RemoteFile]:
    """The delivery's files, and a manifest that lies beside them."""
    files = list(candidate.files())
    names = {file.name for file in files}
    files += [f for f in source.list() if f.name.lower() == MANIFEST and f.name not in names]
    return files


def _members(
    candidate: Candidate,
    fetched: dict[str, tuple[DeliveredFile, Path]],
    mapping: Mapping,
    folder: Path,
) -> tuple[list[Member], dict[str, Path], list[Fault]]:
    """Every table to read with its unpacked bytes, and what is wrong with archives and names."""
    members: list[Member] = []
    paths: dict[str, Path] = {}
    faults: list[Fault] = []
    for match in candidate.matches:
        feed = mapping.feeds[match.feed]
        delivered, path = fetched[match.file.name]
        try:
            inner: list[str | None] = [None]
            if packing.is_zip(delivered.name):
                names = packing.members(path, delivered.name)
                inner = list(packing.matching(names, feed.member or "*.csv"))
            for name in inner:
                shown = f"{delivered.name}/{name}" if name else delivered.name
                unpacked = paths.get(shown, path)
                packed = name is not None or delivered.name.lower().endswith(".gz")
                if packed and shown not in paths:
                    unpacked = folder / f"{len(paths)}.member"
                    packing.unpack(path, delivered.name, name, unpacked)
                paths.setdefault(shown, unpacked)
                digest = sha256_of(unpacked) if unpacked != path else delivered.sha256
                members.append(
                    Member(feed=match.feed, file=delivered.name, member=name, sha256=digest,
                           parts=dict(match.parts))
                )  # fmt: skip
        except AskTheSchool as error:
            faults += error.faults
    for feed_name, feed in mapping.feeds.items():
        shown_names = [m.shown for m in members if m.feed == feed_name]
        several = any(sign in p for p in feed.file for sign in "*?{") or "*" in (feed.member or "")
        loose = [m for m in members if m.feed == feed_name and m.member is None]
        if len(shown_names) > 1 and (not several or (loose and len(loose) < len(shown_names))):
            text = f"Several files claim to be the file of `{feed_name}`: {', '.join(shown_names)}."
            faults.append(Fault("FILE_NAME_AMBIGUOUS", text))
    return members, paths, list(dict.fromkeys(faults))


def _apply_manifest(
    resolved: ResolvedMapping, fetched: dict[str, tuple[DeliveredFile, Path]],
    members: Sequence[Member], paths: dict[str, Path], folder: Path,
) -> tuple[ResolvedMapping, list[Fault]]:  # fmt: skip
    """What a OneRoster manifest, loose or in an archive, makes of the mapping."""
    if "oneroster" not in resolved.mapping.sis.lower().replace(" ", ""):
        return resolved, []
    manifest: Path | None = None
    for name, (_, path) in fetched.items():
        if name.lower() == MANIFEST:
            manifest = path
        elif packing.is_zip(name):
            for inner in packing.matching(packing.members(path, name), MANIFEST):
                manifest = folder / "manifest"
                packing.unpack(path, name, inner, manifest)
    if manifest is None:
        return resolved, []
    present: dict[str, set[str]] = {}
    for member in members:
        present.setdefault(member.feed, set()).add(member.shown)
    mapping, faults = with_manifest(resolved.mapping, read_manifest(manifest), present, MANIFEST)
    return resolved.model_copy(update={"mapping": mapping}), faults


def _missing(
    mapping: Mapping, members: Sequence[Member], fetched: dict[str, tuple[DeliveredFile, Path]]
) -> list[Fault]:
    """Required feeds for which an archive holds no table."""
    there = {member.feed for member in members}
    return [
        Fault("FILE_MISSING", f"The file of `{name}` (`{feed.member or feed.file[0]}`) is not in the delivery.",
              ", ".join(fetched))
        for name, feed in mapping.feeds.items()
        if feed.required and name not in there
    ]  # fmt: skip


def _delivery(
    run: Run, delivery_id: str, delivery_seq: int, day: date, received_at: datetime,
    fetched: dict[str, tuple[DeliveredFile, Path]], members: Sequence[Member],
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


def _keep_manifest(run: Run, delivery: Delivery, resolved: ResolvedMapping) -> None:
    """The archive also keeps what the delivery was and with which mapping it was read."""
    folder = f"deliveries/{delivery.delivery_seq}-{delivery.delivery_id[:12]}"
    run.archive.write_bytes(f"{folder}/delivery.json", delivery.model_dump_json().encode())
    run.archive.write_bytes(
        f"{folder}/mapping.json", resolved.model_dump_json(by_alias=True).encode()
    )


def _read_all(
    run: Run,
    members: Sequence[Member],
    paths: dict[str, Path],
    resolved: ResolvedMapping,
    folder: Path,
) -> tuple[ReadTable, ...]:
    """Every table read; all faults of all files at once."""
    tables: list[ReadTable] = []
    faults: list[Fault] = []
    for number, member in enumerate(members):

        def progress(rows: int, shown: str = member.shown) -> None:
            run.progress(Progress("extract", shown, rows))

        try:
            tables.append(
                read_table(
                    paths[member.shown], member, number, resolved, run.workspace, folder, progress
                )
            )
        except AskTheSchool as error:
            faults += error.faults
    if faults:
        raise AskTheSchool(faults)
    return tuple(tables)
