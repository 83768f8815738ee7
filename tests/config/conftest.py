"""A copy of the real include/ in which tests may break things."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from etl_lib.config.project import Project

INCLUDE = Path(__file__).parents[2] / "include"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The real entities, templates and environments, and no mapping."""
    include = tmp_path / "include"
    for name in ("entities", "templates", "environments"):
        shutil.copytree(INCLUDE / name, include / name)
    shutil.copy(INCLUDE / "base.yaml", include)
    (include / "mappings").mkdir()
    return Project(include, "development")


def write(project: Project, name: str, text: str) -> Path:
    """Write a file below include/."""
    path = project.include / name
    path.write_text(text, encoding="utf-8")
    return path
