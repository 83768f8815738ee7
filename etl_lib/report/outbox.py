"""Writes the school's own report: the rejected rows as CSV, and a short summary in plain text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from etl_lib.errors import Fault
from etl_lib.manifest import Counts, Delivery
from etl_lib.messages import Owner, message
from etl_lib.metrics.ledger import RejectedRow
from etl_lib.storage import Storage

REJECTED_HEADER = ("file", "line", "key", "column", "code", "reason", "remedy")
# A cell that starts so is run as a formula by spreadsheets:
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\n")


def delivery_name(delivery: Delivery) -> str:
    """How a delivery's reports are called: its day and the start of its id."""
    return f"{delivery.delivered_on:%Y-%m-%d}_{delivery.delivery_id[:8]}"


def write_reports(
    outbox: Storage, client: str, name: str, sentence: str, rejects: Iterable[RejectedRow],
    counts: Sequence[Counts], faults: Sequence[Fault] = (), what: str = "delivery",
    files: Sequence[str] = (),
) -> tuple[str, ...]:  # fmt: skip
    """Put `<name>_rejected.csv` (when any row was rejected) and `<name>_summary.txt`; gives their names.

    The CSV holds file, line, the row's own key, column, code, reason and remedy; no other value.
    Rows stand once per fault, in the order of the files. The summary says what became of the
    delivery, of each feed, and what the school can do about `faults`; `what` was sent, and, where that
    is worth a line, as what its `files` were read.
    """
    rows = sorted(set(rejects), key=lambda row: (row[0], row[1], row[3] or "", row[4]))
    written = []
    if rows:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\r\n")
        writer.writerow(REJECTED_HEADER)
        writer.writerows(rejected_cells(rows))
        written.append(f"{name}_rejected.csv")
        outbox.write_bytes(written[-1], b"\xef\xbb\xbf" + buffer.getvalue().encode())
    written.append(f"{name}_summary.txt")
    lines = [f"{client}: {what} {name}", "", sentence, *_steps(dict.fromkeys(faults))]
    lines += ["", *files] if files else []
    lines += ["", *map(_line, counts)]
    if rows:
        lines += ["", f"The rows to mend are listed in {name}_rejected.csv, each with its line."]
    outbox.write_bytes(written[-1], ("\n".join(lines).strip() + "\n").encode())
    return tuple(written)


def rejected_cells(rows: Iterable[RejectedRow]) -> Iterator[list[str]]:
    """Rejected rows as lines of the school's CSV: REJECTED_HEADER, all text, inert."""
    for file, line, key, column, code in rows:
        known = message(code)
        cells = (
            file, str(line or ""), key or "", column or "", code, known.meaning, known.remedy,
        )  # fmt: skip
        yield [inert(cell) for cell in cells]


def inert(cell: str) -> str:
    """The cell as text that no spreadsheet runs."""
    return f"'{cell}" if cell.startswith(_FORMULA_START) else cell


def _steps(faults: Iterable[Fault]) -> Iterator[str]:
    """What the school can do; faults that others mend are theirs."""
    for fault in faults:
        if fault.message.owner is Owner.SCHOOL:
            yield f"- {fault} {fault.message.remedy}"


def _line(count: Counts) -> str:
    """The counts of one feed; those that are seldom only when there are any."""
    always = {
        "read": count.read,
        "new": count.inserted,
        "changed": count.updated,
        "unchanged": count.unchanged,
        "removed": count.deleted_by_row + count.deleted_by_absence,
        "rejected": count.rejected,
    }
    seldom = {"identical twice": count.duplicates, "left out by agreement": count.filtered}
    said = {**always, **{word: number for word, number in seldom.items() if number}}
    numbers = ", ".join(f"{number:,} {word}" for word, number in said.items())
    return f"{count.feed} -> {count.entity}: {numbers}"
