"""The `etl` command in this process, against a real database and a folder of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl_lib.cli.main import main

REPO = Path(__file__).parents[2]
Etl = Callable[..., "Answer"]


@dataclass(frozen=True)
class Answer:
    """What a person at the terminal gets."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """What `--json` printed."""
        return dict(json.loads(self.out))


@pytest.fixture
def etl(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Etl:  # fmt: skip
    """Call `etl` with words, as typed in a shell."""
    monkeypatch.setenv("ETL_DATABASE_URL", database_url)
    monkeypatch.setenv("ETL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ETL_ENVIRONMENT", "development")

    def call(*words: str) -> Answer:
        monkeypatch.setattr("sys.argv", ["etl", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        captured = capsys.readouterr()
        return Answer(code if isinstance(code, int) else 0, captured.out, captured.err)

    return call


@dataclass(frozen=True)
class Kept:
    """What a test has loaded: a copy of its database and of its storage, and what it made of them."""

    database: str
    home: Path
    made: Any


@pytest.fixture(scope="session")
def kept() -> dict[str, Kept]:
    """What has been loaded once, for all tests of this process that begin with it."""
    return {}


@pytest.fixture
def once(
    kept: dict[str, Kept], make_home: Callable[[str], Path], postgres_url: str, database_url: str,
    etl: Etl, tmp_path: Path,
) -> Callable[[str, Callable[[], Any]], Any]:  # fmt: skip
    """`once(name, load)`: the test's database and storage as `load` leaves them, which runs the first time."""
    ours = str(psycopg.conninfo.conninfo_to_dict(database_url)["dbname"])

    def copy(source: str, target: str) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)".encode())
            # connections that this process keeps for its next look
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                (source,),
            )
            connection.execute(f"CREATE DATABASE {target} TEMPLATE {source}".encode())

    def do(name: str, load: Callable[[], Any]) -> Any:
        if found := kept.get(name):
            copy(found.database, ours)
            shutil.copytree(found.home, tmp_path / "home")
            return found.made
        found = Kept(f"kept_{len(kept)}", make_home("kept") / "home", load())
        copy(ours, found.database)
        shutil.copytree(tmp_path / "home", found.home)
        kept[name] = found
        return found.made

    return do


@dataclass
class Delivery:
    """A school's files, to be damaged."""

    folder: Path
    client_id: str
    database_url: str
    untouched: dict[str, bytes] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        return self.folder / name

    def replace(self, name: str, old: str, new: str) -> None:
        """Change every `old` of a file; fails when there is none."""
        text = self.path(name).read_text()
        assert old in text
        self.path(name).write_text(text.replace(old, new))

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(text.encode()).fetchall()

    def rows(self) -> int:
        """How many records of any entity the school has."""
        if self.query("SELECT to_regclass('core.person')") == [(None,)]:
            return 0
        names = ("organization", "term", "person", "course", "section", "enrollment", "result")
        text = " UNION ALL ".join(f"SELECT count(*) FROM core.{name}" for name in names)
        return sum(int(count) for (count,) in self.query(text))


@pytest.fixture
def lakeside(tmp_path: Path, database_url: str) -> Delivery:
    """The first night of a OneRoster school."""
    folder = tmp_path / "files"
    shutil.copytree(REPO / "include" / "samples" / "lakeside" / "night_1", folder)
    return Delivery(folder, "lakeside", database_url)


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the configuration, to be broken."""
    copy = tmp_path / "include"
    shutil.copytree(REPO / "include", copy, ignore=shutil.ignore_patterns("samples"))
    monkeypatch.setenv("ETL_INCLUDE", str(copy))
    return copy
