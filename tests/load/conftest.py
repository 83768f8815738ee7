"""Small deliveries for load tests: rows as Python values in, canonical Parquet and manifests out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from etl_lib.arrow_file import write_table
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.load.tables import migrate_if_needed
from etl_lib.manifest import (
    Delivery,
    Extracted,
    Transformed,
    TransformedFill,
    Validated,
    ValidatedFill,
)
from etl_lib.metrics.ledger import Ledger
from etl_lib.run import Run, Wishes
from etl_lib.storage import Storage

ENTITIES = {
    "section": """
entity: section
description: A class.
fields:
  section_id: {type: id, required: true, description: Key.}
  name: {type: text, required: true, description: Name.}
  term_id: {type: id, description: Term.}
""",
    "person": """
entity: person
description: A person.
fields:
  person_id: {type: id, required: true, description: Key.}
  given_name: {type: text, description: Name.}
  family_name: {type: text, description: Name.}
  grade_levels: {type: text, array: true, description: Grades.}
  balance: {type: decimal, precision: 10, scale: 2, description: Money.}
  birth_date: {type: date, description: Day.}
  is_confidential: {type: boolean, description: Flag.}
""",
    "enrollment": """
entity: enrollment
description: An enrollment.
delete_absent: true
fields:
  enrollment_id: {type: id, required: true, description: Key.}
  section_id: {type: id, required: true, description: Section., references: {entity: section, on_unknown: reject}}
  person_id: {type: id, required: true, description: Person., references: {entity: person, on_unknown: reject}}
  observed_person_id: {type: id, description: Observed., references: {entity: person, on_unknown: keep}}
  status: {type: enum, values: [active, dropped], required: true, default: active, description: Status.}
""",
}
MAPPING = """
client: Test School
sis: Test
owner: Ana
feeds:
  sections:
    file: sections.csv
    entities:
      section: {columns: {section_id: id, name: name, term_id: term}}
  people:
    file: people.csv
    entities:
      person:
        columns: {person_id: id, given_name: given, family_name: family, grade_levels: grades,
                  balance: balance, birth_date: born, is_confidential: secret}
  enrollments:
    file: enrollments.csv
    entities:
      enrollment:
        scope_by: section_id.term_id
        columns: {enrollment_id: id, section_id: section, person_id: person,
                  observed_person_id: observed, status: status}
"""
_ARROW = {
    "id": pa.string(), "text": pa.string(), "enum": pa.string(), "integer": pa.int64(),
    "boolean": pa.bool_(), "date": pa.date32(), "timestamp": pa.timestamp("us", "UTC"),
}  # fmt: skip
Rows = Sequence[Mapping[str, Any]]
NO_WISHES = Wishes()


def make_project(
    folder: Path, mapping: str = MAPPING, client_id: str = "school"
) -> ResolvedMapping:
    """A project of its own in `folder`, resolved for one client."""
    return Project(make_include(folder, {client_id: mapping}), "test").resolve(client_id)


def make_include(
    folder: Path, mappings: Mapping[str, str], entities: Mapping[str, str] = ENTITIES
) -> Path:
    """The configuration of clients (client id to mapping) in `folder`; gives the include folder."""
    include = folder / "include"
    for name in ("entities", "templates", "mappings", "environments"):
        (include / name).mkdir(parents=True, exist_ok=True)
    for name, text in entities.items():
        (include / "entities" / f"{name}.yaml").write_text(text)
    (include / "base.yaml").write_text("timezone: UTC\n")
    (include / "environments" / "test.yaml").write_text(
        "environment: test\nstorage: {conn_id: s, bucket: b}\nclient_folders: {conn_id: c, bucket: d}\n"
    )
    for client_id, mapping in mappings.items():
        (include / "mappings" / f"{client_id}.yaml").write_text(mapping)
    return include


class School:
    """One client's deliveries, loaded one after the other into a real database."""

    def __init__(
        self, folder: Path, database_url: str, mapping: str = MAPPING, client_id: str = "school"
    ):
        self.folder, self.database_url, self.client_id = folder, database_url, client_id
        self.resolved = make_project(folder, mapping, client_id)
        self.number = 0
        migrate_if_needed(database_url, self.resolved.entities)

    def run(self, run_id: str, wishes: Wishes) -> Run:
        home = Storage.local(self.folder / "storage")
        return Run(
            client_id=self.client_id, dag_id=self.client_id, run_id=run_id,
            started_at=datetime(2026, 11, 23, 2, tzinfo=UTC), database_url=self.database_url,
            archive=home.at("archive"), workspace=home.at("staging", run_id), outbox=home.at("outbox"),
            wishes=wishes,
        )  # fmt: skip

    def prepare(
        self, feeds: Mapping[str, Rows], *, run_id: str | None = None, delivery_seq: int | None = None,
        rejected: Mapping[str, Rows] | None = None, wishes: Wishes = NO_WISHES, unreadable: Sequence[str] = (),
        defaulted: Sequence[str] = (),
    ) -> tuple[Run, Extracted, Validated, Transformed]:  # fmt: skip
        """Manifests and files as the earlier stages would leave them; rows by feed."""
        self.number += 1
        run = self.run(run_id or f"run_{self.number}", wishes)
        seq = delivery_seq or 20261123_000000 + self.number
        delivery = Delivery(
            client_id=self.client_id, delivery_id=f"delivery-{seq}", delivery_seq=seq,
            delivered_on=date(2026, 11, 23), received_at=run.started_at, files=(), members=(),
        )  # fmt: skip
        judged, made = [], []
        for fill in self.resolved.fills():
            if fill.feed_name not in feeds:
                continue
            rows = list(feeds[fill.feed_name])
            bad = list((rejected or {}).get(fill.feed_name, ()))
            rejects_key = f"validate/rejects-{fill.name}.arrow"
            self._rejects(run.workspace, rejects_key, bad)
            self._rejects(run.workspace, f"transform/rejects-{fill.name}.arrow", ())
            judged.append(
                ValidatedFill(
                    feed=fill.feed_name,
                    entity=fill.entity.entity,
                    rows_read=len(rows) + len(bad),
                    rows_filtered=0,
                    rows_rejected=len(bad),
                    rows_accepted=len(rows),
                    rejects_key=rejects_key,
                )
            )
            columns = [n for n in fill.rules.columns if any(n in r for r in rows) or not rows]
            arrays: dict[str, pa.Array] = {}
            for name in columns:
                field = fill.entity.fields[name]
                kind = (
                    pa.decimal128(field.precision, field.scale)
                    if field.type == "decimal"
                    else _ARROW[field.type]
                )
                arrays[name] = pa.array(
                    [r.get(name) for r in rows], pa.list_(kind) if field.array else kind
                )
            arrays["extra"] = pa.array([None] * len(rows), pa.string())
            arrays["_deleted"] = pa.array([r.get("_deleted", False) for r in rows], pa.bool_())
            arrays["_file"] = pa.array([f"{fill.feed_name}.csv"] * len(rows), pa.string())
            arrays["_line"] = pa.array(range(2, len(rows) + 2), pa.int64())
            key = f"transform/rows-{fill.name}.arrow"
            self._file(run.workspace, key, pa.table(arrays))
            made.append(
                TransformedFill(
                    feed=fill.feed_name,
                    entity=fill.entity.entity,
                    rows_in=len(rows),
                    rows_out=len(rows),
                    rows_rejected=0,
                    rows_duplicate=0,
                    rows_key=key,
                    rejects_key=f"transform/rejects-{fill.name}.arrow",
                    columns=tuple(columns),
                    defaulted={
                        name: (f"{fill.feed_name}.csv",) for name in defaulted if name in columns
                    },
                    has_unreadable_key=fill.feed_name in unreadable,
                )
            )
        Ledger(self.database_url).begin_run(run, "test")
        return (
            run,
            Extracted(resolved=self.resolved, delivery=delivery),
            Validated(
                fills=tuple(judged), expectations=0, expectations_failed=0, suite_results_key="x"
            ),
            Transformed(fills=tuple(made)),
        )

    def _rejects(self, workspace: Storage, key: str, rows: Rows) -> None:
        columns = {
            "file": pa.string(),
            "line": pa.int64(),
            "key": pa.string(),
            "column": pa.string(),
            "code": pa.string(),
        }
        self._file(
            workspace,
            key,
            pa.table({n: pa.array([r.get(n) for r in rows], k) for n, k in columns.items()}),
        )

    def _file(self, workspace: Storage, key: str, table: pa.Table) -> None:
        path = self.folder / "scratch.arrow"
        write_table(path, table)
        workspace.put_file(path, key)


@pytest.fixture
def school(tmp_path: Path, database_url: str) -> School:
    """A school with sections, people and enrollments, before its first delivery."""
    return School(tmp_path, database_url)


@pytest.fixture
def new_school(tmp_path: Path, database_url: str) -> Callable[..., School]:
    """Makes schools with a mapping or client id of their own in the same database."""

    def make(client_id: str, mapping: str = MAPPING) -> School:
        folder = tmp_path / client_id
        folder.mkdir()
        return School(folder, database_url, mapping, client_id)

    return make
