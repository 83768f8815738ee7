"""A client whose runs happen in the test's own process, for faults that need none of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from etl_lib.config.project import Project
from etl_lib.extract import LocalSource, keys_of_environment
from etl_lib.pipeline import run_all
from etl_lib.report import Outcome
from etl_lib.run import Run
from tests.faults.bench import state_of
from tests.faults.school import CLIENT, WITHOUT_MARKER, Files, make_include, put
from tests.faults.stage import run_of


@dataclass
class Here:
    """Deliver files, run all stages, look at the tables; `mapping` is the client's."""

    home: Path
    database_url: str
    mapping: str = WITHOUT_MARKER
    client_id: str = CLIENT
    number: int = 0

    @property
    def inbox(self) -> Path:
        return self.home / "inbox"

    @property
    def storage(self) -> Path:
        return self.home / "storage"

    def run(self, run_id: str = "", approve: bool = False) -> Run:
        run: Run = run_of(
            {"client_id": self.client_id, "run_id": run_id or f"run_{self.number}",
             "wishes": {"approve": approve}, "storage": {"folder": str(self.storage)},
             "database_url": self.database_url}
        )  # fmt: skip
        return run

    def load(self, files: Files, *, at: datetime | None = None, approve: bool = False) -> Outcome:
        """One run over the files; `at`: when they came."""
        self.number += 1
        put(files, self.inbox)
        if at:
            for path in self.inbox.iterdir():
                os.utime(path, (at.timestamp(), at.timestamp()))
        include = make_include(self.home, {self.client_id: self.mapping})
        project = Project(include, "test")
        resolve: Callable[[], Any] = lambda: project.resolve(self.client_id)  # noqa: E731
        outcome, _ = run_all(
            self.run(approve=approve),
            project,
            resolve,
            LocalSource(self.inbox),
            keys_of_environment,
        )
        return outcome

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(text.encode()).fetchall()

    def one(self, text: str) -> Any:
        return self.query(text)[0][0]

    def state(self) -> str:
        """See bench.state_of."""
        with psycopg.connect(self.database_url) as connection:
            return state_of(connection, self.client_id)

    def live(self, entity: str) -> int:
        """Rows of the entity that are not deleted."""
        return int(self.one(f"SELECT count(*) FROM core.current_{entity}"))

    def codes(self) -> list[str]:
        """What the last run said."""
        return [code for (code,) in self.query(
            "SELECT code FROM etl.run_message JOIN etl.run USING (run_seq) WHERE run_id = "
            f"'run_{self.number}' ORDER BY message_seq"
        )]  # fmt: skip
