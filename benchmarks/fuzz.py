"""Damages files at random for a given time and demands rows, rejects or words of the reader: `make fuzz`.

Every file is made from its number and the seed, so that what was found can be made again. Nothing
but EtlError may come out of the reader, every row must be accounted for, no file may take long, and
every accepted row must be made of one piece of its own file.
"""

from __future__ import annotations

import random
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.results import Figure, keep
from etl_lib.config.mapping import FileFormat
from etl_lib.errors import EtlError
from etl_lib.extract.reader.columns import Expected, folded
from etl_lib.extract.reader.encoding import open_text
from etl_lib.extract.reader.guess import guess
from etl_lib.extract.reader.table import open_table

SAMPLES = Path(__file__).parents[1] / "include" / "samples"
LONGEST_S = 10.0
TOKENS = (
    b'"', b'""', b"'", b",", b";", b"\t", b"|", b" ", b"\\", b'\\"', b"\n", b"\r", b"\r\n", b"\n\n",
    b"\x00", b"\x1a", b"\x0b", b"\xff", b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\xe2\x80",
    "\ufffd".encode(), "\u2028".encode(), "é".encode(), "é".encode("cp1252"), b",,,", b'","', b"\n,,,\n",
    b"Total: 3\n", b"=1+1", b"#REF!", b"0" * 300, b'"' + b"a\n" * 250, b"NULL",
)  # fmt: skip


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The file with one to eight faults of the kinds that real ones have, and others."""
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((0, 1, 3, 40, 400)))
        lines = data.splitlines(keepends=True)
        kind = chance.randrange(8)
        if kind <= 2:
            data = data[:at] + chance.choice(TOKENS) + data[end:]
        elif kind == 3:
            data = data[:at] + data[end:]
        elif kind == 4 and lines:
            line = chance.randrange(len(lines))
            lines.insert(chance.randrange(len(lines) + 1), lines[line])
            data = b"".join(lines)
        elif kind == 5 and len(lines) > 1:
            chance.shuffle(lines)
            data = b"".join(lines)
        elif kind == 6:
            encoding = chance.choice(("utf-16", "utf-16-le", "cp1252", "utf-8-sig"))
            data = data.decode("utf-8", "replace").encode(encoding, "replace")
        else:
            sign, other = chance.choice(
                ((b",", b";"), (b",", b"\t"), (b",", b" "), (b'"', b"'"), (b"\n", b"\r"))
            )
            data = data.replace(sign, other)
    return data[: 1 << 20]


def check(path: Path, columns: Sequence[str]) -> str:
    """Read a file told and untold; gives `read`, `rejects` or `refused`, raises what must not be."""
    verdict = "read"
    for told in (True, False):
        try:
            if told:
                form = FileFormat()
                expected = Expected({folded(c): c for c in columns}, tuple((c,) for c in columns))
            else:
                found = guess(path, path.name, path.with_suffix(".sample"))
                form, expected = found.form, found.expected
            opened = open_table(path, form, expected, path.name, path.with_suffix(".utf8"))
            rows = 0
            previous = 0
            for table in opened.reader.batches():
                rows += table.num_rows
                numbers = table["_line"].to_pylist()
                assert numbers == sorted(set(numbers)) and numbers[0] > previous, "lines in order"
                previous = numbers[-1]
                table.validate(full=True)
            reader = opened.reader
            assert reader.rows_read == rows + reader.rows_rejected, "rows do not add up"
            if reader.rows_rejected and verdict == "read":
                verdict = "rejects"
        except EtlError:
            verdict = "refused"
    return verdict


def header_of(data: bytes) -> list[str]:
    """The columns that a mapping of the undamaged file would expect."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.csv"
        path.write_bytes(data)
        text = open_text(path, None, path.with_suffix(".utf8"))
        first = text.sample().decode("utf-8", "replace").splitlines()[0]
    sign = max(",;\t|", key=first.count)
    return [cell.strip('" ') for cell in first.split(sign) if cell.strip('" ')][:12] or ["a"]


def main(
    seconds: Annotated[float, typer.Option(help="How long.")] = 600.0,
    seed: Annotated[int, typer.Option(help="Another seed makes other files.")] = 1,
    only: Annotated[int, typer.Option(help="Make and read this file alone; -1: all.")] = -1,
) -> None:
    """Damage and read files until time is up; exit code 1 when something came out that must not."""
    originals = sorted(
        p for p in SAMPLES.rglob("*") if p.suffix in (".csv", ".txt") and p.stat().st_size < 200_000
    )
    columns = {p: header_of(p.read_bytes()) for p in originals}
    verdicts: Counter[str] = Counter()
    faults: list[str] = []
    slowest = 0.0
    until = time.monotonic() + seconds
    number = max(only, 0)
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < until:
            chance = random.Random(f"{seed}/{number}")  # noqa: S311 (files to be made again)
            original = chance.choice(originals)
            path = Path(folder) / "fuzzed.csv"
            path.write_bytes(damaged(original.read_bytes(), chance))
            begun = time.monotonic()
            try:
                verdicts[check(path, columns[original])] += 1
            except Exception as error:  # noqa: BLE001 (whatever it is, it is what we look for)
                faults.append(f"{number}: {type(error).__name__}: {error}")
                typer.echo(f"file {number} of seed {seed}\n{traceback.format_exc()}", err=True)
            taken = time.monotonic() - begun
            if taken > LONGEST_S:
                faults.append(f"{number}: {taken:.0f} s")
            slowest = max(slowest, taken)
            number += 1
            if only >= 0 or len(faults) >= 20:
                break
    total = sum(verdicts.values()) + len(faults)
    typer.echo(f"{total:,} files, {dict(verdicts)}, slowest {slowest:.1f} s, {len(faults)} faults")
    for fault in faults:
        typer.echo(fault)
    if only < 0:
        how = (
            f"Sample files damaged at random for {seconds:.0f} s (seed {seed}), each read told its "
            "columns and told nothing."
        )
        ends = ", ".join(f"{verdicts[one]:,}" for one in ("read", "rejects", "refused"))
        keep("fuzz", "The reader, fuzzed", how, [
            Figure("Files", f"{total:,}"),
            Figure("Read whole, with rejects, refused", ends),
            Figure("Slowest file", f"{slowest:.1f} s", f"under {LONGEST_S:.0f} s", slowest <= LONGEST_S),
            Figure("Anything but rows, rejects and words", f"{len(faults)}", "0", not faults),
        ])  # fmt: skip
    raise typer.Exit(1 if faults else 0)


if __name__ == "__main__":
    typer.run(main)
