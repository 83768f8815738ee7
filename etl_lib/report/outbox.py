"""Writes the school's own report: the rejected rows as CSV, and a short summary in plain text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from etl_lib.manifest import Counts, Delivery
from etl_lib.messages import message
from etl_lib.metrics.ledger import RejectedRow
from etl_lib.storage import Storage

HEADER = ("file", "line", "key", "column", "code", "reason", "remedy")
# A cell that starts so is run as a formula by spreadsheets:
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\n")


def delivery_name(delivery: Delivery) -> str:
    """How a delivery's reports are called: its day and the start of its id."""
    return f"{delivery.delivered_on:%Y-%m-%d}_{delivery.delivery_id[:8]}"


def write_reports(
    outbox: Storage,
    name: str,
    sentence: str,
    rejects: Iterable[RejectedRow],
    counts: Sequence[Counts],
) -> tuple[str, ...]:
    """Put `<name>_rejected.csv` (when any row was rejected) and `<name>_summary.txt`; gives their names.

    The CSV holds file, line, the row's own key, column, code, reason and remedy; no other value.
    Rows stand once per fault, in the order of the files.
    """
    rows = sorted(set(rejects), key=lambda row: (row[0], row[1], row[3] or "", row[4]))
    written = []
    if rows:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\r\n")
        writer.writerow(HEADER)
        for file, line, key, column, code in rows:
            known = message(code)
            cells = (
                file,
                str(line or ""),
                key or "",
                column or "",
                code,
                known.meaning,
                known.remedy,
            )
            writer.writerow([inert(cell) for cell in cells])
        written.append(f"{name}_rejected.csv")
        outbox.write_bytes(written[-1], b"\xef\xbb\xbf" + buffer.getvalue().encode())
    written.append(f"{name}_summary.txt")
    outbox.write_bytes(written[-1], _summary(name, sentence, counts, bool(rows)).encode())
    return tuple(written)


def inert(cell: str) -> str:
    """The cell as text that no spreadsheet runs."""
    return f"'{cell}" if cell.startswith(_FORMULA_START) else cell


def _summary(name: str, sentence: str, counts: Sequence[Counts], any_rows: bool) -> str:
    lines = [f"Delivery {name}", "", sentence, ""]
    for count in counts:
        lines.append(
            f"{count.feed} -> {count.entity}: {count.read:,} read, {count.inserted:,} new, "
            f"{count.updated:,} changed, {count.unchanged:,} unchanged, "
            f"{count.deleted_by_row + count.deleted_by_absence:,} removed, {count.rejected:,} rejected"
        )
    if any_rows:
        lines += ["", f"The rows to mend are listed in {name}_rejected.csv, each with its line."]
    return "\n".join(lines) + "\n"
