"""A school's inbox and what our side remembers of it: extract without a database."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from etl_lib.arrow_file import read_table
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import FixTheSetup
from etl_lib.extract import LocalSource, PgpKeys, Source, extract
from etl_lib.manifest import Extracted
from etl_lib.run import Run, Wishes
from etl_lib.storage import Storage
from tests.extract.conftest import resolved_school

NO_WISHES = Wishes()
PEOPLE = b"Id,Name,Last\n1,Ana,Ruiz\n2,Bo,Li\n"


@dataclass(frozen=True)
class Loaded:
    """The delivery that is in the tables."""

    delivery_id: str
    delivery_seq: int
    row_contract: str
    delivered_on: date


@dataclass
class School:
    """A folder of files and what our side remembers of the school."""

    home: Path
    current: Loaded | None = None
    keys: PgpKeys | None = None
    rules: dict[str, object] = field(default_factory=dict)  # of `delivery` in the mapping
    sis: str = "S"
    registered: list[str] = field(default_factory=list)

    def put(self, name: str, data: bytes = PEOPLE) -> Path:
        path = self.home / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def resolved(self, **feed: object) -> ResolvedMapping:
        resolved = resolved_school(self.home, **feed)
        rules = resolved.mapping.delivery.model_copy(update=self.rules)
        changed = {"delivery": rules, "sis": self.sis}
        return resolved.model_copy(update={"mapping": resolved.mapping.model_copy(update=changed)})

    @property
    def source(self) -> LocalSource:
        return LocalSource(self.home / "inbox")

    def run(self, wishes: Wishes = NO_WISHES) -> Run:
        storage = Storage.local(self.home / "storage")
        return Run(
            client_id="school", dag_id="school", run_id="r", started_at=datetime(2026, 11, 24, tzinfo=UTC),
            database_url="", archive=storage.at("archive"), workspace=storage.at("work"),
            outbox=storage.at("outbox"), wishes=wishes,
        )  # fmt: skip

    def extract(self, source: Source | None = None, **feed: object) -> Extracted:
        return extract(
            self.run(), self.resolved(**feed), source or self.source, Ledger(self), self.our_keys
        )

    def our_keys(self) -> PgpKeys:
        if self.keys is None:
            raise FixTheSetup.of("CONNECTION_MISSING", "The connection `etl_pgp` does not exist.")
        return self.keys

    def remember(self, extracted: Extracted) -> None:
        """The delivery is loaded."""
        contract = extracted.resolved.row_contract
        day = extracted.delivery.delivered_on
        self.current = Loaded(extracted.delivery.delivery_id, 1, contract, day)

    def archived(self) -> set[bytes]:
        folder = self.home / "storage" / "archive" / "files"
        return {path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else set()

    def rows(self, extracted: Extracted) -> list[dict[str, object]]:
        work = self.home / "storage" / "work"
        tables = [read_table(work / table.rows_key) for table in extracted.tables]
        return [row for table in tables for row in table.to_pylist()]


@dataclass(frozen=True)
class Ledger:
    """What extract asks of the ledger, in memory."""

    school: School

    def current(self, client_id: str) -> Loaded | None:
        return self.school.current

    def register(self, run: Run, delivery_id: str, day: date, received_at: datetime) -> int:
        self.school.registered.append(delivery_id)
        return len(self.school.registered)


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), data)
    return buffer.getvalue()
