"""One file through the reader to an Arrow file, as a run does it: `python -m benchmarks.staged CSV FILE COLUMN...`.

Prints the rows read, accepted and rejected.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from etl_lib.config.mapping import FileFormat
from etl_lib.extract.reader.columns import Expected, folded
from etl_lib.extract.reader.table import open_table, write_rows
from etl_lib.manifest import Member


def main(source: Path, target: Path, columns: list[str]) -> None:
    """The file is told its columns, as by a mapping, and nothing else."""
    expected = Expected({folded(one): one for one in columns}, tuple((one,) for one in columns))
    with TemporaryDirectory() as scratch:
        opened = open_table(source, FileFormat(), expected, source.name, Path(scratch) / "utf8")
        member = Member(feed="people", file=source.name, sha256="")
        reader = opened.reader
        accepted = write_rows(reader, member, opened.wanted, target, lambda _: None)
    assert reader.rows_read == accepted + len(reader.rejected), "rows do not add up"
    sys.stdout.write(f"{reader.rows_read} {accepted} {len(reader.rejected)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
