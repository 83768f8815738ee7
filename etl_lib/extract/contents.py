"""What is inside a delivery's files: encryption and packing taken off, every table found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from etl_lib.config.mapping import Feed, Mapping
from etl_lib.errors import AskTheSchool, Fault
from etl_lib.extract import names, pgp
from etl_lib.extract.kinds import kind_of_file
from etl_lib.extract.manifests import MANIFEST, Manifest, read_manifest
from etl_lib.extract.match import Match
from etl_lib.extract.packing import Packed, matching
from etl_lib.extract.scratch import Scratch
from etl_lib.manifest import DeliveredFile, Member
from etl_lib.storage import sha256_of

# Each file without a name holds an open file of the process.
_MOST_SECRET_TABLES = 200
Fetched = dict[str, tuple[DeliveredFile, Path]]


@dataclass
class Contents:
    """A delivery's files, opened as they are asked for. `keys` are looked up when one is encrypted.

    `members` and `paths` (by `Member.shown`) are the tables found so far.
    """

    fetched: Fetched
    mapping: Mapping
    scratch: Scratch
    keys: pgp.Keys
    members: list[Member] = field(default_factory=list)
    paths: dict[str, Path] = field(default_factory=dict)
    _opened: dict[str, Packed | AskTheSchool] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)

    def find_tables(self, matches: tuple[Match, ...]) -> list[Fault]:
        """Find every table of the matched files; gives what is wrong with archives, keys and names."""
        faults = list(self._unencrypted())
        for match in matches:
            try:
                for member in self._members_of(match):
                    self._unpack(match, member)
            except AskTheSchool as error:
                faults += error.faults
        faults += [
            fault
            for name, feed in self.mapping.feeds.items()
            for fault in self._ambiguous(name, feed)
        ]
        return list(dict.fromkeys(faults))

    def manifest(self) -> Manifest | None:
        """A OneRoster manifest, loose or in an archive.

        Raises AskTheSchool when it cannot be read or there is more than one.
        """
        found: list[tuple[str, str | None]] = []
        for file in self.fetched:
            packed = self._packed(file)
            if packed.is_zip:
                found += [(file, inside) for inside in matching(packed.members(), MANIFEST)]
            elif packed.name.lower() == MANIFEST:
                found.append((file, None))
        if not found:
            return None
        shown = [f"{file}/{inside}" if inside else file for file, inside in found]
        if len(found) > 1:
            text = f"There are several manifests: {', '.join(shown)}."
            raise AskTheSchool.of("FILE_NAME_AMBIGUOUS", text)
        (file, inside), packed = found[0], self._packed(found[0][0])
        if inside is None:
            return read_manifest(packed.path, shown[0])
        target = self.scratch.new(secret=names.is_encrypted(file))
        packed.unpack(inside, target)
        return read_manifest(target, shown[0])

    def file_names(self) -> Iterator[str]:
        """Every file of the delivery, wanted or not, without the ending of encryption."""
        for file in self.fetched:
            packed = self._packed(file)
            yield packed.name
            if packed.is_zip:
                yield from packed.members()

    def leave_out(self, feeds: frozenset[str]) -> None:
        """Forget the tables of feeds."""
        self.members = [member for member in self.members if member.feed not in feeds]

    def _unencrypted(self) -> Iterator[Fault]:
        rules = self.mapping.delivery
        if rules.encryption == "allowed" and rules.signed_by is None:
            return
        for file in self.fetched:
            if not names.is_encrypted(file):
                text = "It was agreed that files come encrypted, and this one is not."
                yield Fault("FILE_NOT_ENCRYPTED", text, file)

    def _packed(self, file: str) -> Packed:
        """The file with its encryption taken off, once for all feeds that look into it."""
        if file not in self._opened:
            try:
                self._opened[file] = self._decrypted(file)
            except AskTheSchool as error:
                self._opened[file] = error
        found = self._opened[file]
        if isinstance(found, AskTheSchool):
            raise found
        return found

    def _decrypted(self, file: str) -> Packed:
        path = self.fetched[file][1]
        if not names.is_encrypted(file):
            return Packed(path, file, file)
        target = self.scratch.new(secret=True)
        pgp.decrypt(path, target, file, self.keys(), self.mapping.delivery)
        return Packed(target, names.inner_name(file), file)

    def _members_of(self, match: Match) -> list[str | None]:
        packed = self._packed(match.file.name)
        if not packed.is_zip:
            return [None]
        feed = self.mapping.feeds[match.feed]
        wanted = packed.wanted(feed.member or "*.csv")
        if len(wanted) > 1 and feed.member and not any(sign in feed.member for sign in "*?["):
            said = ", ".join(names.shown(name) for name in wanted)
            text = f"Several files claim to be the file of `{match.feed}`: {said}."
            raise AskTheSchool.of("FILE_NAME_AMBIGUOUS", text, packed.shown)
        if len(wanted) > _MOST_SECRET_TABLES and names.is_encrypted(match.file.name):
            text = f"The encrypted archive holds {len(wanted):,} tables."
            raise AskTheSchool.of("FILE_ARCHIVE_REFUSED", text, packed.shown)
        return list(wanted)

    def _unpack(self, match: Match, member: str | None) -> None:
        packed, delivered = self._packed(match.file.name), self.fetched[match.file.name][0]
        table = Member(
            feed=match.feed, file=delivered.name, member=member, sha256="", parts=dict(match.parts)
        )
        if table.shown not in self.paths:
            if member is not None or packed.is_gzip:
                path = self.scratch.new(secret=names.is_encrypted(delivered.name))
                self._digests[table.shown] = packed.unpack(member, path)
            else:
                path = packed.path
                if what := kind_of_file(path):
                    text = f"The file is {what}, not CSV."
                    raise AskTheSchool.of("FILE_NOT_A_TABLE", text, table.shown)
                same = path == self.fetched[match.file.name][1]
                self._digests[table.shown] = delivered.sha256 if same else sha256_of(path)
            self.paths[table.shown] = path
        self.members.append(table.model_copy(update={"sha256": self._digests[table.shown]}))

    def _ambiguous(self, feed_name: str, feed: Feed) -> Iterator[Fault]:
        """Two files for one feed that takes one, or whose names people take for the same."""
        found = [member for member in self.members if member.feed == feed_name]
        loose = [member for member in found if member.member is None]
        several = any(sign in p for p in feed.file for sign in "*?{") or "*" in (feed.member or "")
        mixed = bool(loose) and len(loose) < len(found)
        if len(found) > 1 and (not several or mixed):
            said = ", ".join(member.shown for member in found)
            text = f"Several files claim to be the file of `{feed_name}`: {said}."
            yield Fault("FILE_NAME_AMBIGUOUS", text)
            return
        by_name: dict[str, list[Member]] = {}
        for member in loose:
            by_name.setdefault(names.same_as(names.inner_name(member.file)), []).append(member)
        for alike in by_name.values():
            if len(alike) > 1:
                said = ", ".join(names.shown(member.file) for member in alike)
                text = f"The names of these files are the same but for the way they are written: {said}."
                yield Fault("FILE_NAME_AMBIGUOUS", text)
