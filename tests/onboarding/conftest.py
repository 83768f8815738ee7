"""A project of its own for each test, and the sets of sample files."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from etl_lib.config.project import Project
from tests.cli.conftest import etl, include

__all__ = ["etl", "include"]
REPO = Path(__file__).parents[2]
SETS = Path(__file__).parent / "sets"
# Public files that may not be copied into the project; what is parametrised with them is not collected without.
SHARED = REPO.parent / "shared" / "data"
Rows = Sequence[Sequence[str]]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The entities and templates, and no client."""
    include = tmp_path / "project" / "include"
    shutil.copytree(REPO / "include", include, ignore=shutil.ignore_patterns("samples", "mappings"))
    (include / "mappings").mkdir()
    return Project(include, "development")


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Path]:
    """`files(name=rows)` writes CSV files into a folder and gives it; `__` in a name is a dot."""

    def write(**tables: Rows) -> Path:
        folder = tmp_path / "files"
        folder.mkdir(exist_ok=True)
        for name, rows in tables.items():
            with (folder / name.replace("__", ".")).open("w", newline="", encoding="utf-8") as out:
                csv.writer(out, lineterminator="\n").writerows(rows)
        return folder

    return write
