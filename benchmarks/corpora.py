"""Every file of given folders through the reader: none may end in a traceback, hang, or leave a row out of account.

Run as `python -m benchmarks.corpora FOLDER...`; the inputs of Python's own tests of its csv module are added.
"""

from __future__ import annotations

import ast
import gzip
import importlib.util
import multiprocessing
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.results import Figure, Table, keep
from etl_lib.errors import AskTheSchool, EtlError, Fault
from etl_lib.extract.reader.guess import guess
from etl_lib.extract.reader.table import open_table
from etl_lib.messages import message

_LIMIT_S, _MOST_BYTES = 60, 200_000_000
_TABLES = {".csv", ".tsv", ".txt", ".tab", ".psv", ".dat", ".data", ".upl", ""}
_KINDS = ("read wholly", "read with rejects", "refused", "exceptions", "hangs")
_HOW = (
    "Each file by itself, told nothing, in a process beside, which is ended after {limit_s} s; gzip and zip "
    "unpacked first. A file is read wholly, or read with rows rejected, or refused with a code; every row that "
    "was read is accepted or rejected, or it counts as an exception."
)


@dataclass(frozen=True)
class Outcome:
    """What became of a file: one of the kinds, and what the reader says, which quotes no value."""

    kind: str
    rows: int = 0
    rejected: dict[str, list[int]] = field(default_factory=dict)  # code to lines
    said: tuple[str, ...] = ()

    @property
    def codes(self) -> frozenset[str]:
        """What is wrong with it or its rows."""
        faults = {text.split(":")[0] for text in self.said} if self.kind == "refused" else set()
        return frozenset(faults | self.rejected.keys())

    @property
    def ugliness(self) -> tuple[int, int]:
        """How many different things are wrong with it, and with how many rows."""
        return len(self.codes) + len(self.said), sum(map(len, self.rejected.values()))


def main(
    folders: Annotated[list[Path], typer.Argument(help="Each is a corpus of its own.")],
    ugliest: Annotated[int, typer.Option(help="Show so many, and what is said of them.")] = 10,
    everything: Annotated[
        bool, typer.Option(help="Also files whose name says that they are no table.")
    ] = False,
    kept: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Write docs/benchmarks.md.")
    ] = False,
) -> None:
    """Read them all; exit code 1 for a traceback or a hang."""
    found: dict[str, dict[str, Outcome]] = defaultdict(dict)
    with TemporaryDirectory() as scratch, closing(Reader()) as reader:
        for corpus, name, path in _files(folders, Path(scratch), everything):
            found[corpus][name] = outcome = reader.read(path, Path(name).name)
            if outcome.kind in ("exceptions", "hangs"):
                typer.echo(f"{corpus}/{name}: {outcome.kind}: {'; '.join(outcome.said)}")
    tables = [_table(found), _ugliest(found, ugliest)]
    for table in tables:
        typer.echo(table.markdown)
    kinds = Counter(one.kind for outcomes in found.values() for one in outcomes.values())
    if kept:
        figures = [
            Figure(
                "Files that end in a traceback", f"{kinds['exceptions']} of {kinds.total():,}", "0",
                not kinds["exceptions"],
            ),
            Figure(f"Files that take more than {_LIMIT_S} s", f"{kinds['hangs']}", "0", not kinds["hangs"]),
        ]  # fmt: skip
        keep("corpora", "Files of others", _HOW.format(limit_s=_LIMIT_S), figures, tables)
    raise typer.Exit(1 if kinds["exceptions"] or kinds["hangs"] else 0)


# --- files -----------------------------------------------------------------------------------------


def _files(
    folders: Sequence[Path], scratch: Path, everything: bool
) -> Iterator[tuple[str, str, Path]]:
    """Corpus, name and path of each table, unpacked where it is packed."""
    for folder in folders:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            for name, at in _unpacked(path, str(path.relative_to(folder)), scratch):
                if everything or Path(name).suffix.lower() in _TABLES:
                    yield f"{folder.resolve().parent.name}/{folder.name}", name, at
    for number, content in enumerate(_cases_of_python(), 1):
        at = scratch / f"case-{number}.csv"
        at.write_bytes(content)
        yield "Python's test_csv", f"case-{number}.csv", at


def _unpacked(path: Path, name: str, scratch: Path) -> Iterator[tuple[str, Path]]:
    target = scratch / "unpacked"
    if path.suffix == ".gz":
        try:
            with gzip.open(path) as packed:
                target.write_bytes(packed.read(_MOST_BYTES))
        except (OSError, EOFError):
            return  # no archive after all: not a table
        yield name.removesuffix(".gz"), target
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.is_dir() and member.file_size < _MOST_BYTES:
                    target.write_bytes(archive.read(member))
                    yield f"{name}/{member.filename}", target
    else:
        yield name, path


def _cases_of_python() -> Iterator[bytes]:
    """What Python's tests give to its csv reader and sniffer, as files."""
    spec = importlib.util.find_spec("test.test_csv")
    if spec is None or spec.origin is None:  # some builds of Python come without their tests
        return
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    seen: set[str] = set()
    for node in ast.walk(tree):
        text = _lines_given(node) or _sample(node)
        if text and text not in seen:
            seen.add(text)
            yield text.encode("utf-8", errors="surrogatepass")


def _lines_given(node: ast.AST) -> str:
    """The lines of a call of `_read_test` or of `csv.reader` on a list of texts."""
    if not (isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Attribute)):
        return ""
    if node.func.attr not in ("_read_test", "reader", "readerAssertEqual", "read_test"):
        return ""
    try:
        given = ast.literal_eval(node.args[0])
    except ValueError:
        return ""
    lines = [given] if isinstance(given, str) else given
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        return ""
    return "".join(line if line.endswith(("\n", "\r")) else f"{line}\n" for line in lines)


def _sample(node: ast.AST) -> str:
    """A text of several lines that is bound to a name, as those for the sniffer are."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        text = node.value.value
        if isinstance(text, str) and text.count("\n") > 1:
            return text
    return ""


# --- reading ---------------------------------------------------------------------------------------


class Reader:
    """Reads files in a process beside this one; a new one takes over from a process that hangs or died."""

    def __init__(self, limit_s: float = _LIMIT_S) -> None:
        self._limit_s = limit_s
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()  # it has imported all that it needs

    def read(self, path: Path, shown: str) -> Outcome:
        """What becomes of the file."""
        self._pipe.send((path, shown))
        try:
            if self._pipe.poll(self._limit_s):
                outcome = self._pipe.recv()
                assert isinstance(outcome, Outcome)
                return outcome
            outcome = Outcome("hangs")
        except EOFError:
            outcome = Outcome("exceptions", said=("the process died",))
        self.close()
        self._start()
        return outcome

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection) -> None:
    pipe.send("ready")
    while True:
        path, shown = pipe.recv()
        pipe.send(_outcome(path, shown))


def _outcome(path: Path, shown: str) -> Outcome:
    with TemporaryDirectory() as scratch:
        try:
            return _read(path, shown, Path(scratch))
        except AskTheSchool as error:
            return Outcome("refused", said=tuple(_words(fault) for fault in error.faults))
        except EtlError as error:  # of the family, but no refusal of a file
            return Outcome("exceptions", said=(type(error).__name__,))
        except Exception as error:  # noqa: BLE001 (these are what is looked for)
            return Outcome("exceptions", said=(f"{type(error).__name__}: {error}",))


def _read(path: Path, shown: str, scratch: Path) -> Outcome:
    found = guess(path, shown, scratch / "sample")
    opened = open_table(path, found.form, found.expected, shown, scratch / "utf8")
    accepted = sum(table.num_rows for table in opened.reader.batches())
    reader = opened.reader
    assert reader.rows_read == accepted + len(reader.rejected), (
        f"{reader.rows_read} rows read, {accepted} accepted, {len(reader.rejected)} rejected"
    )
    rejected: dict[str, list[int]] = defaultdict(list)
    for line, code in reader.rejected:
        rejected[code].append(line)
    kind = "read with rejects" if rejected else "read wholly"
    return Outcome(kind, reader.rows_read, dict(rejected), (*opened.notes, *reader.notes()))


def _words(fault: Fault) -> str:
    return f"{fault.code}: {fault} Next step ({fault.message.owner}): {fault.message.remedy}"


# --- tables ----------------------------------------------------------------------------------------


def _table(found: Mapping[str, Mapping[str, Outcome]]) -> Table:
    rows = []
    for corpus, outcomes in found.items():
        kinds = Counter(one.kind for one in outcomes.values())
        read = sum(one.rows for one in outcomes.values())
        rejected = sum(len(lines) for one in outcomes.values() for lines in one.rejected.values())
        rows.append(
            (
                corpus, f"{len(outcomes):,}", *(f"{kinds[kind]:,}" for kind in _KINDS), f"{read:,}", f"{rejected:,}",
            )
        )  # fmt: skip
    heads = ("Corpus", "Files", *(kind.capitalize() for kind in _KINDS), "Rows read", "Rejected")
    return Table("What became of the files", heads, rows)


def _ugliest(found: Mapping[str, Mapping[str, Outcome]], count: int) -> Table:
    """Those with the most different things wrong; of files with the same things the one with most rows."""
    every = [
        (f"{corpus}/{name}", one) for corpus, outcomes in found.items() for name, one in outcomes.items()
    ]  # fmt: skip
    distinct: dict[frozenset[str], tuple[str, Outcome]] = {}
    for name, one in sorted(every, key=lambda pair: pair[1].ugliness, reverse=True):
        distinct.setdefault(one.codes, (name, one))
    rows = [
        (f"`{name}`", _cell("<br>".join(_account(one)))) for name, one in list(distinct.values())[:count]
    ]  # fmt: skip
    return Table("The ugliest files, and what the reader says", ("File", "The reader says"), rows)


def _account(one: Outcome) -> Iterator[str]:
    if one.kind != "refused":
        yield f"{one.rows:,} rows read, {sum(map(len, one.rejected.values())):,} rejected."
    yield from one.said
    for code, lines in one.rejected.items():
        where = ", ".join(map(str, lines[:5])) + (", ..." if len(lines) > 5 else "")
        said = message(code)
        rows = f"{len(lines)} rows, lines" if len(lines) > 1 else "1 row, line"
        yield f"{code} ({rows} {where}): {said.meaning} {said.remedy}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    typer.run(main)
