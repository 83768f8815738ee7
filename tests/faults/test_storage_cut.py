"""A stage file that S3 stops giving while it is read: for trying again, in words, and whole at the next try."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from etl_lib.arrow_file import read_table, write_table
from etl_lib.errors import TryAgain
from tests.faults.bench import ENVIRON, Bench
from tests.faults.proxy import Fault
from tests.faults.stage import storage_of

pytestmark = pytest.mark.xdist_group("faults")


def test_what_is_cut_while_it_is_read_is_for_trying_again(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.s3_proxy
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    school = replace(bench.school("none", storage="s3"), through_proxy=True)
    storage = storage_of(school.order("run", "extract")["storage"])
    rows = pa.table({"key": [f"{number * 7919 % 999_983:09}" for number in range(300_000)]})
    write_table(tmp_path / "rows", rows)
    size_bytes = (tmp_path / "rows").stat().st_size
    storage.put_file(tmp_path / "rows", "cut/rows")
    bench.s3_proxy.arm(Fault("cut", "down", at=size_bytes // 2, down=40))
    with pytest.raises(TryAgain, match="STORAGE_UNAVAILABLE"), storage.reading("cut/rows") as cut:
        read_table(cut)
    assert bench.s3_proxy.fault and bench.s3_proxy.fault.fired
    bench.s3_proxy.arm(None)
    with storage.reading("cut/rows") as whole:
        assert read_table(whole).equals(rows)
    storage.delete("cut/rows")
