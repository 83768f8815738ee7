"""Behaviours of the Canvas importer, each a folder of small deliveries, run through the real pipeline."""

from __future__ import annotations

import csv
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql

from etl_lib.cli.run import at_rest
from etl_lib.config.project import Project
from etl_lib.extract import LocalSource, keys_of_environment
from etl_lib.pipeline import run_all
from etl_lib.report import Outcome
from etl_lib.run import Run, Wishes, folder_name
from etl_lib.storage import Storage

REPO = Path(__file__).parents[2]
CASES = Path(__file__).parent / "canvas"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())
MAPPING = "extends: golden\n"
GREEN = ("succeeded", "succeeded_with_rejects")


@dataclass(frozen=True)
class World:
    """One database, one include folder with a mapping per case, one home for all files."""

    database_url: str
    project: Project
    home: Path


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Every case is a client of its own in the same database."""
    folder = tmp_path_factory.mktemp("golden")
    include = folder / "include"
    shutil.copytree(REPO / "include", include, ignore=shutil.ignore_patterns("samples", "mappings"))
    shutil.copy(CASES / "template.yaml", include / "templates" / "golden.yaml")
    (include / "mappings").mkdir()
    for name in NAMES:
        own = CASES / name / "mapping.yaml"
        text = own.read_text() if own.exists() else MAPPING
        text += f"client: {name}\nowner: Golden\n"
        (include / "mappings" / f"{name}.yaml").write_text(text)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE golden")
    url = postgres_url.replace("/postgres?", "/golden?")
    yield World(url, Project(include, "development"), folder)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE golden WITH (FORCE)")


def run_night(world: World, name: str, number: int, wishes: dict[str, Any]) -> tuple[Run, Outcome]:
    """One delivery through extract, validate, transform, load and report."""
    files = world.home / "files" / name / str(number)
    shutil.copytree(CASES / name / f"night_{number}", files, copy_function=shutil.copy)
    if (files / "zip.txt").exists():
        _pack(files)
    home, run_id = Storage.local(world.home / "etl"), f"night_{number}"
    run = Run(
        client_id=name, dag_id=name, run_id=run_id, started_at=datetime.now(UTC),
        database_url=world.database_url, archive=home.at("archive", name),
        workspace=home.at("staging", name, folder_name(run_id)), outbox=home.at("outbox", name),
        wishes=Wishes(wait=False, **wishes),
    )  # fmt: skip
    resolve = lambda: at_rest(world.project.resolve(name))  # noqa: E731
    outcome, _ = run_all(run, world.project, resolve, LocalSource(files), keys_of_environment)
    return run, outcome


def _pack(files: Path) -> None:
    """The files in one zip, as `zip.txt` lists its members: name in the zip, then the file."""
    members = [line.split() for line in (files / "zip.txt").read_text().splitlines()]
    with zipfile.ZipFile(files / "delivery.zip", "w") as archive:
        for member, source in members:
            archive.write(files / source, member)
    for path in list(files.iterdir()):
        if path.name != "delivery.zip":
            path.unlink()


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    with path.open(newline="") as lines:
        reader = csv.DictReader(lines)
        rows = list(reader)
    return list(reader.fieldnames or ()), rows


def stored(world: World, name: str, entity: str, columns: list[str]) -> list[dict[str, str]]:
    """The client's rows as text, by key; with a column `deleted` also those that are deleted."""
    wanted = [
        sql.SQL("deleted_at IS NOT NULL") if column == "deleted" else sql.Identifier(column)
        for column in columns
    ]
    query = sql.SQL('SELECT {} FROM core.{} WHERE client_id = %s{} ORDER BY {} COLLATE "C"').format(
        sql.SQL(", ").join(wanted),
        sql.Identifier(entity),
        sql.SQL("" if "deleted" in columns else " AND deleted_at IS NULL"),
        sql.Identifier(f"{entity}_id"),
    )
    with psycopg.connect(world.database_url) as connection:
        rows = connection.execute(query, (name,)).fetchall()
    return [dict(zip(columns, map(_text, row), strict=True)) for row in rows]


def _text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def rejected(world: World, run: Run) -> list[tuple[str, ...]]:
    query = (
        'SELECT DISTINCT file, line, "column", code FROM etl.rejected_row r JOIN etl.run USING (run_seq) '
        "WHERE r.client_id = %s AND run_id = %s"
    )
    with psycopg.connect(world.database_url) as connection:
        rows = connection.execute(query, (run.client_id, run.run_id)).fetchall()
    return sorted(tuple(map(_text, row)) for row in rows)


def messages(world: World, run: Run) -> set[str]:
    query = (
        "SELECT code FROM etl.run_message JOIN etl.run USING (run_seq) "
        "WHERE client_id = %s AND run_id = %s"
    )
    with psycopg.connect(world.database_url) as connection:
        return {code for (code,) in connection.execute(query, (run.client_id, run.run_id))}


def history(world: World, run: Run) -> dict[str, int]:
    """How many before-images of the run there are, by `<entity>.<action>`."""
    query = (
        "SELECT entity || '.' || action, count(*) FROM etl.history JOIN etl.run r USING (run_seq) "
        "WHERE r.client_id = %s AND run_id = %s GROUP BY 1"
    )
    with psycopg.connect(world.database_url) as connection:
        return dict(connection.execute(query, (run.client_id, run.run_id)).fetchall())


def nights_of(name: str) -> list[int]:
    return sorted(int(path.name[6:]) for path in (CASES / name).glob("night_*"))


@pytest.mark.parametrize("name", NAMES)
def test_canvas(name: str, world: World) -> None:
    for number in nights_of(name):
        expected = CASES / name / f"expected_{number}"
        said = (
            yaml.safe_load((expected / "run.yaml").read_text())
            if (expected / "run.yaml").exists()
            else {}
        )
        run, outcome = run_night(world, name, number, said.get("wishes", {}))
        wanted_rejects = []
        if (expected / "rejects.csv").exists():
            wanted_rejects = sorted(
                tuple(row.values()) for row in read_csv(expected / "rejects.csv")[1]
            )
        assert rejected(world, run) == wanted_rejects, f"night {number}"
        green = GREEN[1] if wanted_rejects else GREEN[0]
        assert outcome.status == said.get("status", green), (f"night {number}", outcome.sentence)
        assert set(said.get("messages", ())) == messages(world, run), f"night {number}"
        counts = {f"{count.feed}.{count.entity}": count.model_dump() for count in outcome.counts}
        for fill, wanted in said.get("counts", {}).items():
            assert {k: counts[fill][k] for k in wanted} == wanted, f"night {number}, {fill}"
        if "history" in said:
            assert history(world, run) == said["history"], f"night {number}"
        for path in sorted(expected.glob("*.csv")):
            if path.stem != "rejects":
                columns, rows = read_csv(path)
                assert stored(world, name, path.stem, columns) == rows, (
                    f"night {number}, {path.stem}"
                )
