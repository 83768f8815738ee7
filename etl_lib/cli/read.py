"""`etl read`: one file through the reader of the pipeline, without loading anything."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etl_lib.config.mapping import FileFormat
from etl_lib.config.project import Project
from etl_lib.errors import AskTheSchool, Fault, FixTheMapping, FixTheSetup
from etl_lib.messages import message
from etl_lib.storage import scratch_folder

if TYPE_CHECKING:
    from etl_lib.extract.reader.table import OpenedTable


def read(
    file: Annotated[Path, typer.Argument(help="A CSV file.")],
    out: Annotated[Path, typer.Option(help="Folder for accepted.csv, rejected.csv and report.json.")],
    mapping: Annotated[str, typer.Option(help="A client, whose mapping says what to expect.")] = "",
    feed: Annotated[str, typer.Option(help="A feed of the mapping.")] = "",
) -> None:  # fmt: skip
    """Read a file as a run would; exit code 0: every row, 1: some rows rejected, 2: the file is refused.

    Without a mapping it is guessed how the file is written; the report says how surely.
    """
    if not file.is_file():
        raise FixTheSetup.of("SOURCE_UNAVAILABLE", f"There is no file `{file}`.")
    out.mkdir(parents=True, exist_ok=True)
    from etl_lib.extract.reader.guess import guess
    from etl_lib.extract.reader.table import open_table

    report: dict[str, Any] = {"file": file.name}
    opened: OpenedTable | None = None
    accepted = 0
    faults: tuple[Fault, ...] = ()
    with (
        scratch_folder() as scratch,
        (out / "accepted.csv").open("w", encoding="utf-8", newline="") as target,
    ):
        try:
            if mapping:
                form, expected, extra = _agreed(mapping, feed)
            else:
                found = guess(file, file.name, scratch / "sample")
                form, expected, extra = found.form, found.expected, "ignore"
                report |= {"confidence": found.confidence, "runner_up": found.runner_up}
            opened = open_table(file, form, expected, file.name, scratch / "utf8", extra)
            names = mapping or opened.dialect.header_line  # else the names are our own
            accepted = _write_accepted(opened, csv.writer(target), with_names=bool(names))
            opened.refuse_second_table(file.name)
        except AskTheSchool as error:
            faults = error.faults
    if opened:
        report = _told(opened) | report
    rejected = opened.reader.rejected if opened else []
    report |= {
        "rows_accepted": accepted, "rows_rejected": len(rejected),
        "rejected_by_code": dict(Counter(code for _, code in rejected)),
        "faults": [{"code": f.code, "text": str(f), "remedy": f.message.remedy} for f in faults],
    }  # fmt: skip
    (out / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    _write_rejected(rejected, out / "rejected.csv")
    for fault in faults:
        typer.echo(str(fault), err=True)
    typer.echo(f"{accepted:,} rows accepted, {len(rejected):,} rejected.")
    raise typer.Exit(2 if faults else 1 if rejected else 0)


def _write_accepted(opened: OpenedTable, writer: Any, with_names: bool) -> int:
    """The rows that could be read, with the mapping's names; gives how many they are."""
    accepted = 0
    if with_names:
        writer.writerow(opened.wanted.values())
    for table in opened.reader.batches():
        columns = [table[name].to_pylist() for name in opened.wanted.values()]
        writer.writerows(zip(*columns, strict=True))
        accepted += table.num_rows
    reader = opened.reader
    assert reader.rows_read == accepted + reader.rows_rejected, "rows do not add up"
    return accepted


def _write_rejected(rejected: Sequence[tuple[int, str]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(("line", "code", "reason", "remedy"))
        for line, code in rejected:
            writer.writerow((line, code, message(code).meaning, message(code).remedy))


def _told(opened: OpenedTable) -> dict[str, Any]:
    """What was found out of the way in which the file is written."""
    dialect = opened.dialect
    return {
        "encoding": opened.encoding, "written": dialect.said, "delimiter": dialect.delimiter,
        "quote": dialect.quote, "escape": "backslash" if dialect.backslash else "doubled",
        "header_line": dialect.header_line,
        "confidence": dialect.confidence, "runner_up": dialect.runner_up,
        "columns": list(opened.wanted.values()), "unknown_columns": list(opened.unknown),
        "notes": [*opened.notes, *opened.reader.notes()],
        "rows_read": opened.reader.rows_read,
    }  # fmt: skip


def _agreed(client_id: str, feed: str) -> tuple[FileFormat, Any, str]:
    """Format, columns and policy of a feed. Raises FixTheMapping for a feed that is not there."""
    from etl_lib.extract.reader.columns import Expected

    resolved = Project.load().resolve(client_id)
    found = resolved.mapping.feeds.get(feed)
    if found is None:
        known = ", ".join(resolved.mapping.feeds)
        text = f"`{client_id}` has no feed `{feed}`."
        raise FixTheMapping.of("MAPPING_INVALID", text, hint=f"There are: {known}.")
    return found.format, Expected.of(found, resolved), found.extra_columns
