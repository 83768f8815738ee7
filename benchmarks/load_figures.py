"""What the measured loads come to: ratios of CPU, growth, the tables; pure, so that it can be tested."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.delivered import School
from benchmarks.results import Figure, Table

OURS, COPY = "etl run", "COPY + MERGE"
FORKED = "etl run, as a task of Airflow runs it"
DLT, DLT_FILE = "dlt, Parquet through ADBC", "dlt, the file handed to COPY"
SLING = "sling"
INSERT_ROWS, SINGER, TO_SQL = (
    "insert_rows of Airflow's hook",
    "singer, tap to target",
    "pandas to_sql",
)
FIRST, NIGHT, SAME = "first load", "night, 1 % changed", "unchanged file"
CASES = (FIRST, NIGHT, SAME)
SMALL, MIDDLE, LARGE = 100_000, 1_000_000, 5_000_000
ROUNDS = {10_000: 5, SMALL: 5, MIDDLE: 5, LARGE: 2}
_MEMORY_MB, _GROWTH, _WAL = 512, 1.10, 3.0


@dataclass(frozen=True)
class Spent:
    """CPU seconds of client and server, duration and memory of the client; WAL up to the last checkpoint."""

    client_s: float
    server_s: float
    wall_s: float
    peak_mb: float
    wal_bytes: int
    image_bytes: int | None  # None: not known any more

    @property
    def cpu_s(self) -> float:
        """Of client and server together."""
        return self.client_s + self.server_s


@dataclass(frozen=True, kw_only=True)
class Load(Spent):
    """One load by one system: where it belongs, and what it took."""

    rows: int
    round: int
    system: str
    case: str


@dataclass(frozen=True)
class Share:
    """CPU seconds of one run of ours with a clock in it, and those of Great Expectations."""

    rows: int
    case: str
    client_s: float
    import_s: float
    judge_s: float


@dataclass(frozen=True)
class Measured:
    """All that is known so far."""

    loads: Sequence[Load]
    shares: Sequence[Share]
    schools: Sequence[School]

    def of(self, rows: int, system: str, case: str) -> list[Load]:
        """The rounds of one system in one case."""
        return [
            one for one in self.loads if (one.rows, one.system, one.case) == (rows, system, case)
        ]

    def ratio(self, rows: int, case: str, peers: Iterable[str], ours: str = OURS) -> float | None:
        """CPU of ours against the cheapest of the peers: median over the rounds that have both."""
        ratios = (self._ratio(rows, case, peer, ours) for peer in peers)
        return max((one for one in ratios if one is not None), default=None)

    def _ratio(self, rows: int, case: str, peer: str, ours: str) -> float | None:
        theirs = {one.round: one.cpu_s for one in self.of(rows, peer, case)}
        ratios = [
            one.cpu_s / theirs[one.round]
            for one in self.of(rows, ours, case)
            if one.round in theirs
        ]
        return statistics.median(ratios) if ratios else None

    def middle(
        self, rows: int, system: str, case: str, what: Callable[[Load], float | None]
    ) -> float | None:
        """The median of the rounds that know it; None when there are none."""
        values = [what(one) for one in self.of(rows, system, case)]
        found = [value for value in values if value is not None]
        return statistics.median(found) if found else None

    @property
    def sizes(self) -> list[int]:
        """The sizes that were measured."""
        return sorted({one.rows for one in self.loads})


# Size, case, peers (of several the cheapest one), at most, and what was hoped for.
_RATIOS: tuple[tuple[int, str, tuple[str, ...], float, float | None], ...] = (
    (MIDDLE, FIRST, (COPY,), 1.9, 1.4),
    (MIDDLE, FIRST, (DLT, DLT_FILE), 1.1, 0.85),
    (MIDDLE, NIGHT, (COPY,), 0.6, 0.45),
    (MIDDLE, NIGHT, (DLT, DLT_FILE), 0.25, 0.2),
    (MIDDLE, NIGHT, (SLING,), 0.15, 0.12),
    (MIDDLE, SAME, (COPY,), 0.05, 0.03),
    (SMALL, FIRST, (INSERT_ROWS,), 0.25, None),
    (SMALL, FIRST, (SINGER,), 0.1, None),
    (SMALL, FIRST, (TO_SQL,), 0.06, None),
)


def figures_of(measured: Measured) -> list[Figure]:
    """What must be reached, as far as it was measured, and what else is reported."""
    figures = []
    for rows, case, peers, at_most, hoped in _RATIOS:
        ratio = measured.ratio(rows, case, peers)
        if ratio is not None:
            against = "dlt at its fastest" if len(peers) > 1 else peers[0]
            what = f"{_title(rows, case)}: CPU against {against}"
            figures.append(_at_most(what, ratio, at_most, hoped))
            forked = measured.ratio(rows, case, peers, FORKED)
            if forked is not None:
                said = "The same as a task of Airflow runs it, the libraries loaded before"
                figures.append(Figure(said, _times(forked), "reported", None))
    return [
        *figures, *_memory(measured), *_growth(measured), *_written(measured), *_judging(measured),
    ]  # fmt: skip


def _at_most(what: str, ratio: float, at_most: float, hoped: float | None = None) -> Figure:
    target = f"at most {at_most:g}x" + (f" (hoped for {hoped:g}x)" if hoped else "")
    return Figure(what, _times(ratio), target, ratio <= at_most)


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio >= 0.1 else f"{ratio:.3f}x"


def _title(rows: int, case: str) -> str:
    return f"{case[0].upper()}{case[1:]}, {rows:,} rows"


def _memory(measured: Measured) -> list[Figure]:
    found = []
    for rows in (MIDDLE, LARGE):
        peaks = [one.peak_mb for case in CASES for one in measured.of(rows, OURS, case)]
        if peaks:
            peak = max(peaks)
            found.append(
                Figure(
                    f"Peak memory of the client, {rows:,} rows", f"{peak:.0f} MB",
                    f"at most {_MEMORY_MB} MB", peak <= _MEMORY_MB,
                )
            )  # fmt: skip
    return found


def _growth(measured: Measured) -> list[Figure]:
    """A start costs the same for any file, so growth shows in what each further row costs."""
    points = [
        (rows, cpu_s)
        for rows in (SMALL, MIDDLE, LARGE)
        if (cpu_s := measured.middle(rows, OURS, FIRST, lambda one: one.cpu_s)) is not None
    ]
    figures = [
        Figure(
            f"{_title(rows, FIRST)}: CPU per million rows",
            f"{1e6 * cpu_s / rows:.2f} s", "reported",
        )
        for rows, cpu_s in points
    ]  # fmt: skip
    if len(points) == 3:
        (small, small_s), (middle, middle_s), (large, large_s) = points
        early = (middle_s - small_s) / (middle - small)
        ratio = (large_s - middle_s) / (large - middle) / early
        what = f"Growth: a further row's CPU from {middle:,} to {large:,} rows, against {small:,} to {middle:,}"
        figures.append(_at_most(what, ratio, _GROWTH))
    return figures


def _written(measured: Measured) -> list[Figure]:
    figures = []
    for school in measured.schools:
        wal = measured.middle(school.rows, OURS, NIGHT, lambda one: one.wal_bytes)
        images = measured.middle(school.rows, OURS, NIGHT, lambda one: one.image_bytes)
        if school.rows != MIDDLE or wal is None or images is None:
            continue
        size = school.changed_bytes
        what = f"{_title(school.rows, NIGHT)}: WAL against the {size / 1e6:.2f} MB of the changed lines"
        figures.append(_at_most(what, wal / size, _WAL))
        text = f"{(wal - images) / size:.2f}x, and {images / 1e6:.1f} MB of images"
        figures.append(
            Figure("The same without images of whole pages, which the first change of a page "
                   "after a checkpoint costs anybody", text, "reported")
        )  # fmt: skip
        theirs = measured.middle(school.rows, COPY, NIGHT, lambda one: one.wal_bytes)
        if theirs:
            figures.append(
                Figure(
                    "The same against the WAL of COPY + MERGE", f"{wal / theirs:.2f}x", "reported"
                )
            )
    return figures


def _judging(measured: Measured) -> list[Figure]:
    return [
        Figure(
            f"{_title(one.rows, one.case)}: Great Expectations' share of the client's CPU",
            f"import {one.import_s:.2f} s (beyond pandas), "
            f"judging {one.judge_s:.2f} s, of {one.client_s:.2f} s: "
            f"{100 * (one.import_s + one.judge_s) / one.client_s:.0f} %",
            "reported",
        )
        for one in measured.shares
    ]


def tables_of(measured: Measured) -> list[Table]:
    """A table of each size: all systems in all cases, medians of their rounds."""
    return [_table(measured, rows) for rows in measured.sizes]


_HEADS = (
    "Case", "System", "CPU s", "client", "server", f"{OURS} against it", "wall s", "peak memory",
    "WAL MB", "of it page images",
)  # fmt: skip


def _table(measured: Measured, rows: int) -> Table:
    there = [one for one in measured.loads if one.rows == rows]
    rounds = max(one.round for one in there)
    systems = list(dict.fromkeys(one.system for one in there))
    lines = [
        _line(measured, rows, case, system)
        for case in CASES
        for system in systems
        if measured.of(rows, system, case)
    ]
    return Table(f"{rows:,} rows; medians, rounds: {rounds}", _HEADS, lines)


def _line(measured: Measured, rows: int, case: str, system: str) -> list[str]:
    def middle(what: Callable[[Load], float]) -> float:
        return measured.middle(rows, system, case, what) or 0.0

    images = measured.middle(rows, system, case, lambda one: one.image_bytes)

    ratio = measured.ratio(rows, case, (system,))
    peak_mb = max(one.peak_mb for one in measured.of(rows, system, case))
    return [
        case, system, f"{middle(lambda one: one.cpu_s):.2f}",
        f"{middle(lambda one: one.client_s):.2f}", f"{middle(lambda one: one.server_s):.2f}",
        "" if ratio is None or system == OURS else f"{ratio:.2f}x",
        f"{middle(lambda one: one.wall_s):.1f}", f"{peak_mb:.0f} MB",
        f"{middle(lambda one: one.wal_bytes) / 1e6:.1f}", "not known" if images is None else f"{images / 1e6:.1f}",
    ]  # fmt: skip
