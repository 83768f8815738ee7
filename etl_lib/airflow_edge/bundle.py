"""An Airflow DAG bundle of immutable snapshots: a run keeps the mappings it began with.

A snapshot is a copy of `dags/` and `include/` in a folder named after the hash of its content and of the
code that reads it, with the description of every client's DAG, so that parsing need not read the mappings
again. For each mapping with a mistake it also holds a file that raises the linter's words, so that Airflow's
import errors show them as long as the mistake stands and the other DAGs stay.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion

from etl_lib.airflow_edge.described import (
    Described,
    describe,
    keep_described,
    parsing_has_begun,
    to_be_parsed,
)
from etl_lib.airflow_edge.pools import ensure_pools
from etl_lib.airflow_edge.roles import ensure_roles
from etl_lib.airflow_edge.snapshots import fetch, publish, travel
from etl_lib.config.project import Project
from etl_lib.errors import EtlError

# What decides the DAGs; samples and schemas do not.
_PARTS = ("dags/*.py", "include/*.yaml", "include/*/*.yaml")
_CODE = Path(__file__).parents[1]  # a new release reads the same mappings anew
_STUB = '''"""Written by the bundle: the mistake in one mapping, for Airflow's list of import errors."""
# airflow dag
from etl_lib.errors import FixTheMapping

raise FixTheMapping.of("MAPPING_INVALID", {text!r})
'''


class SnapshotBundle(BaseDagBundle):
    """Snapshots of the project at `project` (the folder that holds `dags/` and `include/`)."""

    supports_versioning = True

    def __init__(self, *, project: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project = Path(project)
        self._current: str | None = self.version
        self._seen: tuple[tuple[str, int, int], ...] = ()
        self._roles: frozenset[str] = frozenset()
        self._pools: dict[str, int] = {}
        self._described: dict[str, tuple[str, Described]] = {}  # with what it was read from

    def initialize(self) -> None:
        """Make a snapshot of the files as they are now; a version that was asked for is there, or fetched."""
        if self.version is None:
            self.refresh()
        elif travel() and not self.path.parent.is_dir():
            fetch(self.path.parent, Project.load(self.project / "include"), self.name)
        super().initialize()

    @property
    def path(self) -> Path:
        """The DAG folder of the version asked for, or of the newest snapshot."""
        return Path(self.versions_dir) / (self._current or "none") / "dags"

    def get_current_version(self) -> BundleVersion:
        """The hash of the snapshot in use."""
        return BundleVersion(version=self._current or "")

    def refresh(self) -> None:
        """Take a snapshot when a file has changed; files that are the same cost a `stat` each."""
        if self.version is not None:
            return
        with self.lock():
            seen = tuple(self._stats())
            if seen == self._seen and self._current:
                ensure_roles(self._roles)  # one that was taken away would cost every DAG
                ensure_pools(self._pools)
                if not parsing_has_begun(self.path.parent):
                    # Airflow compares a file's time with the end of its last parse: one that was at
                    # work while the snapshot was made would hide it for min_file_process_interval
                    to_be_parsed(self.path.parent)
                self._hand_over(
                    self.path.parent
                )  # a rule of the bucket may have taken away what is old
                return
            self._current, self._seen = self._taken(), seen

    def _taken(self) -> str:
        """Take a snapshot, unless the files are those of one that is there; gives its version.

        All is read from the copy: a file that is edited meanwhile must not be described as it was
        before, and kept as it is after.
        """
        home = Path(self.versions_dir)
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".part-") as scratch:
            copy = Path(scratch) / "snapshot"
            for path in self._files():
                (copy / path.relative_to(self.project)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy / path.relative_to(self.project))
            project = Project.load(copy / "include")
            clients = self._described_by_client(project)
            self._roles = frozenset(r for one in clients.values() for r in one.access_control)
            ensure_roles(self._roles)
            self._pools = _pools_of(project)
            ensure_pools(self._pools)
            digest = _digest(copy)
            if not (home / digest).is_dir():
                _complete(copy, project, clients)
                copy.rename(home / digest)
            elif self._current not in (None, digest):
                to_be_parsed(home / digest)  # what was taken back
        if travel():
            snapshot = home / digest
            publish(
                snapshot, Project.load(snapshot / "include"), self.name
            )  # before a run can begin with it
        return digest

    def _hand_over(self, snapshot: Path) -> None:
        """Put the snapshot where workers on other machines find it, when there may be any."""
        if travel():
            publish(snapshot, Project.load(snapshot / "include"), self.name)

    def _files(self) -> Iterator[Path]:
        for part in _PARTS:
            yield from sorted(self.project.glob(part))

    def _stats(self) -> Iterator[tuple[str, int, int]]:
        for path in self._files():
            stat = path.stat()
            yield str(path), stat.st_mtime_ns, stat.st_size

    def _described_by_client(self, project: Project) -> dict[str, Described]:
        """Every client's DAG; of those whose files are the same as at the last look nothing is read again."""
        shared = hashlib.sha256()
        for path in sorted(project.include.glob("entities/*.yaml")):
            shared.update(path.read_bytes())
        found = {}
        for client_id in project.client_ids():
            try:
                source = f"{shared.hexdigest()} {project.digest(client_id)}"
            except EtlError:
                source = ""
            known = self._described.get(client_id)
            if known is None or not source or known[0] != source:
                known = source, describe(project, client_id)
            found[client_id] = known
        self._described = found
        return {client_id: one for client_id, (_, one) in found.items()}


def _pools_of(project: Project) -> dict[str, int]:
    """The environment's pools; none while its file has a mistake, which then is every client's."""
    try:
        return dict(project.environment.pools)
    except EtlError:
        return {}


def _digest(copy: Path) -> str:
    """The version of a copy of the files, read by this code."""
    digest = hashlib.sha256()
    files = [(copy, sorted(path for part in _PARTS for path in copy.glob(part)))]
    files.append((_CODE, sorted(_CODE.rglob("*.py"))))
    for home, paths in files:
        for path in paths:
            digest.update(str(path.relative_to(home)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _complete(copy: Path, project: Project, clients: dict[str, Described]) -> None:
    """Add to a copy of the files what makes it a snapshot: the descriptions, and a file for each mistake."""
    keep_described(copy, project.environment_name, clients)
    mistakes = {client_id: one.mistake for client_id, one in clients.items() if one.mistake}
    mistakes |= {name: str(fault) for name, fault in project.misnamed_mappings().items()}
    for name, text in mistakes.items():
        stub = copy / "dags" / f"mapping_{name}.py"
        stub.write_text(_STUB.format(text=text), encoding="utf-8")
