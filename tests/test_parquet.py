"""Reading a Parquet file some rows at a time gives all of them, and does not keep them in memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_lib.parquet import batches


@pytest.mark.parametrize("group_rows", [1, 3, 7, 100])
def test_all_rows_come_in_their_order_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    monkeypatch.setattr("etl_lib.parquet.BATCH_ROWS", 5)
    table = pa.table({"number": range(50), "text": [str(n) for n in range(50)]})
    pq.write_table(table, tmp_path / "rows", row_group_size=group_rows)
    found = list(batches(tmp_path / "rows", ["number"]))
    assert pa.Table.from_batches(found) == table.select(["number"])
    assert all(0 < batch.num_rows <= 5 for batch in found)


def test_a_file_without_rows_gives_none(tmp_path: Path) -> None:
    pq.write_table(pa.table({"number": pa.array([], pa.int64())}), tmp_path / "rows")
    assert list(batches(tmp_path / "rows")) == []


def test_what_has_been_read_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_lib.parquet.BATCH_ROWS", 1000)
    numbers = pa.array(range(1_000_000))
    pq.write_table(
        pa.table({"number": numbers}), tmp_path / "rows", row_group_size=1000,
        use_dictionary=False, compression="none",
    )  # fmt: skip
    before, most = pa.total_allocated_bytes(), 0
    for batch in batches(tmp_path / "rows"):
        assert batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 1_000_000  # of 8,000,000 bytes of numbers
