"""Snapshots on their way to workers on other machines: through the bucket that holds archive and staging.

With the LocalExecutor every task runs where the snapshots are made, and nothing travels. With any other
executor a snapshot counts only when it lies in the bucket, as `bundles/<bundle>/<version>.tar.gz`; a
worker that lacks the version of its run takes it from there. Who may write there decides what workers run.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.configuration import conf

from etl_lib.config.project import Project
from etl_lib.errors import FixTheSetup

if TYPE_CHECKING:
    from etl_lib.storage import Storage


def travel() -> bool:
    """Whether tasks may run where the snapshots are not: under every executor but the LocalExecutor."""
    return conf.get("core", "executor", fallback="LocalExecutor") != "LocalExecutor"


def publish(folder: Path, project: Project, bundle: str) -> None:
    """Put the snapshot at `folder`, named after its version, where workers find it; once.

    Raises TryAgain when the bucket does not answer: the snapshot must not be used then.
    """
    storage = _storage(project, bundle)
    if storage.exists(_key(folder.name)):
        return
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "snapshot"
        with tarfile.open(packed, "w:gz", compresslevel=6) as archive:
            for path in sorted(folder.rglob("*")):
                inside = path.relative_to(folder)
                if path.is_file() and "__pycache__" not in inside.parts:
                    archive.add(path, str(inside))
        storage.put_file(packed, _key(folder.name))


def fetch(target: Path, project: Project, bundle: str) -> None:
    """Make the snapshot's folder `target` out of the bucket; several tasks may do it at once.

    Raises FixTheSetup when the bucket does not have the version, TryAgain when it does not answer.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".part-"))
    try:
        packed = scratch / "packed"
        try:
            _storage(project, bundle).get_file(_key(target.name), packed)
        except FileNotFoundError:
            text = f"The mappings of the version {target.name} lie neither here nor in the bucket."
            hint = "Was the run begun under the LocalExecutor? Start a new run of this client."
            raise FixTheSetup.of("SNAPSHOT_MISSING", text, hint=hint) from None
        with tarfile.open(packed) as archive:
            archive.extractall(scratch / "whole", filter="data")
        try:
            (scratch / "whole").rename(target)
        except OSError:
            if not target.is_dir():  # else another task was first
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _storage(project: Project, bundle: str) -> Storage:
    from etl_lib.airflow_edge.connections import bucket

    place = project.environment.storage
    return bucket(place.conn_id, place.bucket).at("bundles", bundle)


def _key(version: str) -> str:
    return f"{version}.tar.gz"
