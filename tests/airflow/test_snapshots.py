"""Snapshots reach workers that share nothing with the machine where they are made but the bucket."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from etl_lib.errors import FixTheSetup, TryAgain
from local_stack.objects import STORAGE_BUCKET
from local_stack.stack import Stack
from local_stack.waiting import wait_until

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stack(make_home: Callable[[str], Path]) -> Iterator[Stack]:
    """The S3 server."""
    with Stack(make_home("bucket"), REPO, (), airflow=False, on_step=lambda _: None) as stack:
        yield stack


@pytest.fixture
def machine(tmp_path: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes the bundle as one machine has it: a project's folder and a store of its own."""
    for name, value in stack.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    from etl_lib.airflow_edge.bundle import SnapshotBundle

    def make(name: str, version: str | None = None, mappings: bool = False) -> Any:
        project = tmp_path / name
        if not project.is_dir():
            leave = () if mappings else ("mappings",)
            ignored = shutil.ignore_patterns("samples", *leave)
            shutil.copytree(REPO / "include", project / "include", ignore=ignored)
            if mappings:
                shutil.copytree(REPO / "dags", project / "dags")
                # Airflow's own database is not part of this
                environment = project / "include" / "environments" / "development.yaml"
                lines = environment.read_text().splitlines()
                environment.write_text("\n".join(x for x in lines if not x.startswith("pools:")))
        store = tmp_path / f"store_of_{name}"
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(store))
        return SnapshotBundle(name="integrations", project=str(project), version=version)

    return make


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_worker_fetches_the_version_of_its_run_though_the_mappings_have_changed(
    machine: Callable[..., Any],
) -> None:
    maker = machine("server", mappings=True)
    maker.initialize()
    old, whole = maker.get_current_version().version, files_of(maker.path.parent)
    assert any(name.startswith("include/mappings/") for name in whole)
    with (maker.project / "include" / "base.yaml").open("a") as base:
        base.write("\n# edited\n")
    maker.refresh()
    assert maker.get_current_version().version != old

    worker = machine("worker", old)
    assert not worker.path.exists()
    worker.initialize()
    assert files_of(worker.path.parent) == whole
    shutil.rmtree(worker.project)  # a second task on this worker asks nobody
    machine("worker", old).initialize()
    assert [path.name for path in worker.path.parent.parent.iterdir()] == [old]


def test_a_version_that_the_bucket_does_not_have_is_said_in_words(
    machine: Callable[..., Any],
) -> None:
    with pytest.raises(FixTheSetup, match=r"SNAPSHOT_MISSING.*0123456789abcdef"):
        machine("worker", "0123456789abcdef").initialize()


def test_a_snapshot_counts_only_when_it_lies_in_the_bucket(
    machine: Callable[..., Any], stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = machine("server", mappings=True)
    maker.initialize()
    before = maker.get_current_version().version
    with (maker.project / "include" / "base.yaml").open("a") as base:
        base.write("\n# edited\n")
    there = stack.environ()["AIRFLOW_CONN_ETL_STORAGE"]
    nobody = there.replace(stack.objects.endpoint_url, "http://127.0.0.1:9")
    assert nobody != there
    monkeypatch.setenv("AIRFLOW_CONN_ETL_STORAGE", nobody)
    with pytest.raises(TryAgain):
        maker.refresh()
    assert maker.get_current_version().version == before
    monkeypatch.setenv("AIRFLOW_CONN_ETL_STORAGE", there)
    maker.refresh()
    after = maker.get_current_version().version
    assert after != before
    machine("worker", after).initialize()


def test_a_snapshot_that_the_bucket_has_lost_is_put_there_again(
    machine: Callable[..., Any], stack: Stack
) -> None:
    maker = machine("server", mappings=True)
    maker.initialize()
    version = maker.get_current_version().version
    bucket = stack.objects.folder / STORAGE_BUCKET
    [kept] = bucket.rglob(f"{version}.tar.gz")
    kept.unlink()
    wait_until(lambda: not maker_sees(maker, version), 10)
    maker.refresh()
    assert maker.get_current_version().version == version
    machine("worker", version).initialize()


def maker_sees(maker: Any, version: str) -> bool:
    """Whether the server's listing, which is a second old, still has the version."""
    from etl_lib.airflow_edge.connections import bucket
    from etl_lib.config.project import Project

    place = Project.load(maker.project / "include").environment.storage
    found = bucket(place.conn_id, place.bucket).at("bundles", "integrations")
    return found.exists(f"{version}.tar.gz")
