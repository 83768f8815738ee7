"""Files as columns of cells in; what validate rejected, and the rows that transform made, out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from etl_lib.arrow_file import read_table, write_table
from etl_lib.config.project import Project
from etl_lib.manifest import Delivery, Extracted, ReadTable, TransformedFill, ValidatedFill
from etl_lib.run import Run
from etl_lib.storage import Storage
from etl_lib.transform import transform
from etl_lib.validate import validate

INCLUDE = Path(__file__).parents[2] / "include"
Cells = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Judged:
    """What became of the rows of one fill; lines count from 2, below the header."""

    rejected: dict[tuple[str, int], str]  # (file, line): code
    kept: dict[tuple[str, int], Any]  # (file, line): the field's value
    validated: ValidatedFill
    transformed: TransformedFill
    expectations: list[dict[str, Any]]


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Judged]:
    """`judged(entity, field, rule, {file: cells}, **feed)` through validate and transform."""

    def run(
        entity: str, field: str, rule: Any, files: Mapping[str, Cells], **feed: Any
    ) -> Judged:  # fmt: skip
        extracted = extracted_of(tmp_path, entity, field, rule, files, feed)
        home = Storage.local(tmp_path)
        work = Run("school", "school", "r", datetime(2026, 11, 23, tzinfo=UTC), "", home.at("a"),
                   home.at("w"), home.at("o"))  # fmt: skip
        validated = validate(work, extracted, {})
        transformed = transform(work, extracted, validated)
        (of_validate,), (of_transform,) = validated.fills, transformed.fills
        rejects = read_table(tmp_path / "w" / of_validate.rejects_key).to_pylist()
        rows = read_table(tmp_path / "w" / of_transform.rows_key).to_pylist()
        results = json.loads((tmp_path / "a" / validated.suite_results_key).read_text())
        (suite,) = results.values()
        return Judged(
            {(r["file"], r["line"]): r["code"] for r in rejects},
            {(r["_file"], r["_line"]): r.get(field) for r in rows},
            of_validate, of_transform, suite["results"],
        )  # fmt: skip

    return run


def extracted_of(
    folder: Path, entity: str, field: str, rule: Any, files: Mapping[str, Cells], feed: dict[str, Any]
) -> Extracted:  # fmt: skip
    """A delivery of one feed, `f`, that fills the entity; `feed`: what its mapping says besides, or instead."""
    include = folder / "include"
    shutil.copytree(INCLUDE, include, ignore=shutil.ignore_patterns("samples", "mappings"))
    (include / "mappings").mkdir()
    columns = {f"{entity}_id": "Id", "line_item_id": "Id", "person_id": "Id", field: rule}
    known = yaml.safe_load((include / "entities" / f"{entity}.yaml").read_text())["fields"]
    fill = {"columns": {name: one for name, one in columns.items() if name in known}}
    limits = {"hold": {"rejected_share": 1}, "fail": {"rejected_share": 1}}
    data = {"client": "C", "sis": "S", "owner": "O", "limits": limits,
            "feeds": {"f": {"file": "*.csv", "entities": {entity: fill}, **feed}}}  # fmt: skip
    (include / "mappings" / "school.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    (folder / "w").mkdir()
    tables = []
    for shown, cells in files.items():
        rows = len(next(iter(cells.values())))
        cells = {"Id": [f"{shown[0]}{n}" for n in range(rows)], **cells}
        table = pa.table({"_line": pa.array(range(2, rows + 2), pa.int64()),
                          **{n: pa.array(c, pa.string()) for n, c in cells.items()}})  # fmt: skip
        write_table(folder / "w" / shown, table)
        tables.append(
            ReadTable(feed="f", shown=shown, rows_key=shown, rejects_key="", rows_read=rows,
                      rows_accepted=rows, rows_rejected=0, columns=tuple(cells))
        )  # fmt: skip
    now = datetime(2026, 11, 23, tzinfo=UTC)
    delivery = Delivery(client_id="school", delivery_id="d", delivery_seq=1, received_at=now,
                        delivered_on=date(2026, 11, 23), files=(), members=())  # fmt: skip
    resolved = Project(include, "development").resolve("school")
    return Extracted(resolved=resolved, delivery=delivery, tables=tuple(tables))
