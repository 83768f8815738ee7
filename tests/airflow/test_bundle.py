"""Snapshots of the mappings: immutable, found again by version, with a stub for each broken mapping."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from etl_lib.config.project import Project


@pytest.fixture
def bundle(tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch):
    """A bundle over a copy of the project, keeping its snapshots in a folder of its own."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "store"))
    from etl_lib.airflow_edge.bundle import SnapshotBundle

    project = tmp_path / "project"
    shutil.copytree(repo / "dags", project / "dags")
    shutil.copytree(repo / "include", project / "include", ignore=shutil.ignore_patterns("samples"))
    environment = project / "include" / "environments" / "development.yaml"
    lines = (
        environment.read_text().splitlines()
    )  # pools are made in Airflow's database: there is none
    environment.write_text("\n".join(line for line in lines if not line.startswith("pools:")))

    def make(version: str | None = None) -> SnapshotBundle:
        made = SnapshotBundle(name="integrations", project=str(project), version=version)
        made.initialize()
        return made

    return make


def test_an_edit_makes_a_new_snapshot_and_the_old_one_stays(bundle) -> None:
    first = bundle()
    old = first.get_current_version().version
    base = first.project / "include" / "base.yaml"
    old_text = base.read_text()
    base.write_text(old_text + "\n# edited\n")
    first.refresh()
    assert first.get_current_version().version != old
    again = bundle(old)
    assert (again.path.parent / "include" / "base.yaml").read_text() == old_text


def test_files_that_are_the_same_make_no_snapshot(bundle) -> None:
    first = bundle()
    version = first.get_current_version().version
    (first.project / "include" / "base.yaml").touch()
    first.refresh()
    assert first.get_current_version().version == version


def test_a_broken_mapping_becomes_a_file_that_raises_the_linters_words(bundle) -> None:
    first = bundle()
    assert not list(first.path.glob("mapping_*.py"))
    mapping = first.project / "include" / "mappings" / "broken_school.yaml"
    mapping.write_text("client: Broken\nsis: x\nowner: Ana\nfeeds: {}\nscedule: 1\n")
    first.refresh()
    stub = first.path / "mapping_broken_school.py"
    from etl_lib.errors import FixTheMapping

    with pytest.raises(FixTheMapping, match="Did you mean `schedule`"):
        exec(compile(stub.read_text(), str(stub), "exec"), {})
    mapping.unlink()
    first.refresh()
    assert not list(first.path.glob("mapping_*.py"))


def test_an_edit_that_is_taken_back_is_parsed_again(bundle) -> None:
    first = bundle()
    before = {path.name: path.stat().st_mtime_ns for path in first.path.glob("*.py")}
    base = first.project / "include" / "base.yaml"
    old_text = base.read_text()
    base.write_text(old_text + "\n# edited\n")
    first.refresh()
    base.write_text(old_text)
    first.refresh()
    after = {path.name: path.stat().st_mtime_ns for path in first.path.glob("*.py")}
    assert after.keys() == before.keys()
    assert all(after[name] > before[name] for name in before)


def test_a_snapshot_stays_new_until_airflow_has_begun_to_parse_it(bundle) -> None:
    from etl_lib.airflow_edge.described import parsing_begins

    first = bundle()

    def is_touched_by_a_look() -> bool:
        before = [path.stat().st_mtime_ns for path in first.path.glob("*.py")]
        first.refresh()
        return [path.stat().st_mtime_ns for path in first.path.glob("*.py")] != before

    assert is_touched_by_a_look() and is_touched_by_a_look()
    parsing_begins(Project.load(first.path.parent / "include"))
    assert not is_touched_by_a_look()


def test_an_edit_while_a_snapshot_is_taken_is_described_as_it_is_kept(
    bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl_lib.airflow_edge import bundle as module
    from etl_lib.airflow_edge.described import described

    first = bundle()
    mappings = first.project / "include" / "mappings"
    text = (mappings / "lakeside.yaml").read_text()

    def edited_meanwhile(_: object) -> None:
        (mappings / "lakeside.yaml").write_text(f"{text}viewers: Another role\n")

    (mappings / "ashford.yaml").write_text((mappings / "ashford.yaml").read_text() + "# edited\n")
    monkeypatch.setattr(module, "ensure_roles", edited_meanwhile)
    for _ in range(2):  # the look that was at work, and the next
        first.refresh()
    kept = Project.load(first.path.parent / "include")
    assert "Another role" in kept.mapping_path("lakeside").read_text()
    assert set(described(kept, "lakeside").access_control) == {"Another role"}
