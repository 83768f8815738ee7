"""One night of the sample schools: upload over SFTP, trigger, watch, compare with what was expected."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from demo.words import described, results
from etl_lib.metrics.read import RunSummary, counts_of, runs_by_id
from etl_lib.metrics.status import GREEN, RunStatus
from local_stack import Stack
from local_stack.airflow_api import AirflowApi
from local_stack.sftp_client import upload
from sample_data.metro import expected_counts, write_metro

NIGHTS = ("night_1", "night_2")
_METRO_ENROLLMENTS = 100_000
_POLL_S = 1.0
_ENDED = frozenset({"success", "failed"})


@dataclass(frozen=True)
class Expected:
    """How a client's run of a night is to end; counts by `<feed>.<entity>`, None: do not count."""

    status: frozenset[RunStatus]
    counts: dict[str, dict[str, int]] | None


@dataclass(frozen=True)
class Result:
    """What became of a client's night, and how that differs from what was expected."""

    night: str
    summary: RunSummary | None
    client_id: str
    differences: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: the numbers of the table, and the differences."""
        row = {} if self.summary is None else asdict(self.summary)
        where = {"client_id": self.client_id, "night": self.night}
        return {**row, **where, "differences": list(self.differences)}


class Nights:
    """The sample schools' nights on a running stack, as the user `admin` of its Airflow."""

    def __init__(self, stack: Stack, api: AirflowApi, samples: Path, console: Console) -> None:
        self.stack, self.api, self.samples, self.console = stack, api, samples, console
        self.url = stack.etl_database_url

    def play(self, night: str, expected: dict[str, Expected]) -> list[Result]:
        """One night of the given clients; returns when every run has ended."""
        for client_id in expected:
            names = self._upload(client_id, night)
            self.console.print(f"  {client_id}: {len(names)} files over SFTP", highlight=False)
        runs = [(client_id, self.api.trigger(client_id)) for client_id in expected]
        for client_id in expected:
            self.api.unpause(client_id)
        self._watch(runs)
        found = runs_by_id(self.url, runs)
        return [
            Result(night, found.get(c), c, tuple(self._differences(found.get(c), expected[c])))
            for c, _ in runs
        ]

    def expectations(self, client_ids: Iterable[str], night: str) -> dict[str, Expected]:
        """How the clients' runs are to end: as worked out by hand, or as nothing new where it was loaded."""
        wanted = {}
        for client_id in client_ids:
            loaded = self._loads(client_id)
            if night == "night_1" and loaded >= len(NIGHTS):
                continue  # the first night lies behind this client: an older delivery changes nothing
            if loaded > NIGHTS.index(night):
                # after a change of the mapping the same files are read again, and change no row
                wanted[client_id] = Expected(GREEN, None)
                continue
            counts = self._counts(client_id, night)
            rejected = sum(fill.get("rejected", 0) for fill in counts.values())
            status = RunStatus.SUCCEEDED_WITH_REJECTS if rejected else RunStatus.SUCCEEDED
            wanted[client_id] = Expected(frozenset({status}), counts)
        return wanted

    def _counts(self, client_id: str, night: str) -> dict[str, dict[str, int]]:
        if client_id == "metro":  # larger here than its sample
            return expected_counts(int(night[-1]), _METRO_ENROLLMENTS)
        path = self.samples / client_id / "expected" / "counts.yaml"
        return dict(yaml.safe_load(path.read_text(encoding="utf-8"))[night])

    def _loads(self, client_id: str) -> int:
        from etl_lib.metrics.read import loads_of

        return loads_of(self.url, client_id)

    def _upload(self, client_id: str, night: str) -> list[str]:
        folder = self.samples / client_id / night
        if client_id == "metro":
            folder = self.stack.home / "generated" / night
            write_metro(folder, int(night[-1]), _METRO_ENROLLMENTS)
        if client_id in self.stack.school_servers:
            return upload(self.stack.school_access(client_id), folder, "outgoing")
        return upload(self.stack.client_access(client_id), folder, "inbox")

    def _watch(self, runs: Sequence[tuple[str, str]]) -> None:
        """Show every run's stage and rows until all have ended."""
        open_runs, started = set(runs), time.monotonic()
        with Live(console=self.console, refresh_per_second=4, transient=True) as live:
            while open_runs:
                live.update(self._progress(runs))
                time.sleep(_POLL_S)
                states = {run: self.api.run_state(*run) for run in open_runs}
                for run in [run for run, state in states.items() if state in _ENDED]:
                    open_runs.remove(run)
                    took_s = time.monotonic() - started
                    self.console.print(
                        f"  {run[0]}: {states[run]} after {took_s:.0f} s", highlight=False
                    )

    def _progress(self, runs: Sequence[tuple[str, str]]) -> Table:
        return described(runs, runs_by_id(self.url, runs))

    def _differences(self, found: RunSummary | None, expected: Expected) -> Iterable[str]:
        if found is None:
            yield "the run left no record"
            return
        if found.status not in expected.status:
            wanted = " or ".join(sorted(expected.status))
            yield f"ended as {found.status} instead of {wanted}: {found.sentence}"
            return
        if expected.counts is None:
            if changed := found.inserted + found.updated + found.deleted:
                yield f"{changed:,} rows changed although the same files had been loaded"
            return
        counted = counts_of(self.url, found.run_seq)
        for fill in sorted(counted.keys() | expected.counts.keys()):
            for name, value in expected.counts.get(fill, {}).items():
                if (got := counted.get(fill, {}).get(name, 0)) != value:
                    yield f"{fill}: {got:,} {name.replace('_', ' ')} instead of {value:,}"


def shown(console: Console, night: str, found: Sequence[Result]) -> None:
    """Print the night's table, and every difference from what was expected."""
    console.print(results(night, [r.summary for r in found if r.summary]))
    for result in found:
        for difference in result.differences:
            console.print(f"[red]{result.client_id}: {difference}[/red]", highlight=False)
