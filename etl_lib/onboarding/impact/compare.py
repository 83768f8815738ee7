"""What a change of the configuration does to clients: which it touches, and what of their samples differs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from etl_lib.config.hooks import hooks_of
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import EtlError
from etl_lib.onboarding.golden import (
    Difference,
    Played,
    differences,
    nights_of,
    play_folders,
    sample_folder,
)
from etl_lib.onboarding.impact.earlier import Side

_COUNTS = "counts.yaml"
_REJECTS = "rejects.csv"


class State(StrEnum):
    """What a change does to one client."""

    UNTOUCHED = "untouched"  # nothing that makes its mapping differs
    SAME = "same"  # something differs, and its sample gives the same
    CHANGED = "changed"
    BROKEN = "broken"  # its mapping has mistakes now, or its sample is no longer loaded
    MENDED = "mended"  # the other way round
    STILL_BROKEN = "still broken"
    NEW = "new"
    GONE = "gone"
    NO_SAMPLE = "no sample"  # something differs, and nobody can say what comes of it


#: What is counted as a change of a client's result.
CHANGES = (State.CHANGED, State.BROKEN, State.MENDED, State.GONE)


@dataclass(frozen=True)
class Rows:
    """Records of one entity that differ, by their keys; `columns`: in how many of the changed ones each differs."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One value that differs, and in which nights it does."""

    nights: tuple[str, ...]
    file: str
    key: str
    column: str
    before: str
    after: str

    @property
    def where(self) -> str:
        """The file or entity and its nights, as people read it."""
        return f"{self.file}, {' and '.join(self.nights)}"


@dataclass(frozen=True)
class Impact:
    """What a change does to one client.

    `rejects`: rejected rows by code, before and after; `feeds_gone`: gave rows and no longer do.
    `lines`: every value that differs, rows first, then rejects, then counts. `words`: why it is broken.
    """

    client_id: str
    state: State
    rows: Mapping[str, Rows] = field(default_factory=dict)
    rejects: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    feeds_gone: tuple[str, ...] = ()
    feeds_new: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    words: str = ""

    @property
    def changes(self) -> bool:
        """Whether the client's result is another one than before."""
        return self.state in CHANGES

    @property
    def telling(self) -> tuple[Line, ...]:
        """The lines worth reading: those of the counts only where nothing else says what happened."""
        said = tuple(line for line in self.lines if line.file != _COUNTS)
        return said or self.lines


@dataclass(frozen=True)
class Job:
    """One sample to be played as one state of the configuration has it."""

    side: Side
    client_id: str
    nights: tuple[Path, ...]
    database_url: str
    home: Path


def scope(before: Side, after: Side) -> dict[str, Impact | tuple[Path, ...]]:
    """For every client what is known without loading anything, or the nights that must be played.

    The nights are those that lie in the folder now: what counts is what the change makes of the same files.
    """
    was, now = _resolved(before), _resolved(after)
    found: dict[str, Impact | tuple[Path, ...]] = {}
    for client_id in sorted(was.keys() | now.keys()):
        old, new = was.get(client_id), now.get(client_id)
        if state := _without_playing(old, new):
            words = str(new) if isinstance(new, EtlError) else ""
            found[client_id] = Impact(client_id, state, words=words)
            continue
        found[client_id] = _nights(client_id, before, after) or Impact(client_id, State.NO_SAMPLE)
    return found


@dataclass(frozen=True)
class _Contract:
    """What decides the result of a mapping that has no mistakes."""

    digest: str


def _resolved(side: Side) -> dict[str, _Contract | EtlError]:
    found: dict[str, _Contract | EtlError] = {}
    with hooks_of(side.hooks):
        for client_id in side.project.client_ids():
            try:
                resolved: ResolvedMapping = side.project.resolve(client_id)
                found[client_id] = _Contract(resolved.outcome_contract)
            except EtlError as error:
                found[client_id] = error
    return found


def _without_playing(
    old: _Contract | EtlError | None, new: _Contract | EtlError | None
) -> State | None:
    if old is None:
        return State.BROKEN if isinstance(new, EtlError) else State.NEW
    if new is None:
        return State.GONE
    if isinstance(new, EtlError):
        return State.STILL_BROKEN if isinstance(old, EtlError) else State.BROKEN
    if isinstance(old, EtlError):
        return State.MENDED
    return State.UNTOUCHED if old == new else None


def _nights(client_id: str, before: Side, after: Side) -> tuple[Path, ...]:
    for side in (after, before):
        if found := nights_of(sample_folder(side.project, client_id)):
            return tuple(found)
    return ()


def play_side(job: Job) -> Played | str:
    """What the sample gives with the mapping and the hooks of one side, or the words of why it was not loaded."""
    project, nights = job.side.project, job.nights
    try:
        with hooks_of(job.side.hooks):
            return play_folders(project, job.client_id, nights, job.database_url, job.home)
    except EtlError as error:
        return str(error)


def impact_of(client_id: str, before: Played | str, after: Played | str) -> Impact:
    """What the change does to a client, from its sample played before and after."""
    if isinstance(after, str):
        state = State.STILL_BROKEN if isinstance(before, str) else State.BROKEN
        return Impact(client_id, state, words=after)
    if isinstance(before, str):
        return Impact(client_id, State.MENDED)
    lines = _lines(before, after)
    was, now = _feeds(before), _feeds(after)
    return Impact(
        client_id,
        State.CHANGED if lines else State.SAME,
        _rows(before, after),
        _rejects(before, after),
        tuple(name for name in was if name not in now),
        tuple(name for name in now if name not in was),
        lines,
    )


def _lines(before: Played, after: Played) -> tuple[Line, ...]:
    """Every difference once, with the nights in which it shows."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for one in differences(before, after):
        night, _, file = one.file.partition("/")
        found[_without_night(one, file)].append(night)
    lines = [Line(tuple(nights), *what) for what, nights in found.items()]
    return tuple(sorted(lines, key=lambda line: (line.file == _COUNTS, line.file == _REJECTS)))


def _without_night(one: Difference, file: str) -> tuple[str, str, str, str, str]:
    table = file if file == _REJECTS else file.removesuffix(".csv")
    return table, one.key, one.column, one.before, one.after


def _rows(before: Played, after: Played) -> dict[str, Rows]:
    added: dict[str, set[str]] = defaultdict(set)
    removed: dict[str, set[str]] = defaultdict(set)
    changed: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for night in before.keys() & after.keys():
        was, now = before[night].rows, after[night].rows
        for entity in dict.fromkeys([*was, *now]):
            old, new = was.get(entity, {}), now.get(entity, {})
            added[entity] |= new.keys() - old.keys()
            removed[entity] |= old.keys() - new.keys()
            for key in old.keys() & new.keys():
                for column in old[key].keys() | new[key].keys():
                    if old[key].get(column) != new[key].get(column):
                        changed[entity][column].add(key)
    found = {}
    for entity in added.keys() | removed.keys() | changed.keys():
        columns = {name: len(keys) for name, keys in sorted(changed[entity].items())}
        keys = set[str]().union(*changed[entity].values())
        rows = Rows(len(added[entity]), len(removed[entity]), len(keys), columns)
        if rows != Rows():
            found[entity] = rows
    return dict(sorted(found.items()))


def _rejects(before: Played, after: Played) -> dict[str, tuple[int, int]]:
    was, now = (
        Counter(code for night in played.values() for *_, code in night.rejects)
        for played in (before, after)
    )
    codes = sorted(was.keys() | now.keys())
    return {code: (was[code], now[code]) for code in codes if was[code] != now[code]}


def _feeds(played: Played) -> list[str]:
    """The feeds that gave any row."""
    return sorted(
        {
            fill.partition(".")[0]
            for night in played.values()
            for fill, counts in night.counts.items()
            if counts.get("read")
        }
    )
