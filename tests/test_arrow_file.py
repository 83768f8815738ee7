"""Reading a file some rows at a time gives all of them, and does not keep them in memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from etl_lib.arrow_file import batches, count_rows, read_schema, read_table, write_table, written

ROWS = pa.table({"number": range(50), "text": [str(n) for n in range(50)]})


@pytest.mark.parametrize("at_once", [1, 3, 7, 100])
def test_all_rows_come_in_their_order_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("etl_lib.arrow_file.BATCH_ROWS", 5)
    with written(tmp_path / "rows", ROWS.schema) as writer:
        for begin in range(0, 50, at_once):
            writer.write_table(ROWS.slice(begin, at_once))
    found = list(batches(tmp_path / "rows", ["number"]))
    assert pa.Table.from_batches(found) == ROWS.select(["number"])
    assert all(0 < batch.num_rows <= 5 for batch in found)
    assert len(found) <= 20, "few rows at a time come together"


def test_columns_come_in_the_order_in_which_they_are_asked_for(tmp_path: Path) -> None:
    write_table(tmp_path / "rows", ROWS.replace_schema_metadata({"form": "7"}))
    both = ROWS.select(["text", "number"])
    assert read_table(tmp_path / "rows", ["text", "number"]).equals(both)
    assert pa.Table.from_batches(batches(tmp_path / "rows", ["text", "number"])).equals(both)
    assert read_table(tmp_path / "rows", []).num_columns == 0
    assert read_schema(tmp_path / "rows").metadata == {b"form": b"7"}
    assert count_rows(tmp_path / "rows") == 50


def test_a_file_without_rows_gives_none(tmp_path: Path) -> None:
    write_table(tmp_path / "rows", ROWS.slice(0, 0))
    assert list(batches(tmp_path / "rows")) == []
    assert read_table(tmp_path / "rows", ["text"]) == ROWS.slice(0, 0).select(["text"])
    assert count_rows(tmp_path / "rows") == 0


def test_what_has_been_read_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_lib.arrow_file.BATCH_ROWS", 1000)
    write_table(tmp_path / "rows", pa.table({"number": pa.array(range(1_000_000))}))
    before, most = pa.total_allocated_bytes(), 0
    for batch in batches(tmp_path / "rows"):
        assert batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 1_000_000  # of 8,000,000 bytes of numbers
