"""How much of a school's columns `etl new` maps by itself, and how much of it rightly, against hand-written truth.

Run as `python -m benchmarks.onboarding FOLDER...`. Each folder with files, and each zip beside others,
is one school. The truth lies in tests/onboarding/truth/<folder>.yaml: which header means which field.
"""

from __future__ import annotations

import fnmatch
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
import yaml

from benchmarks.results import Figure, Table, keep
from etl_lib.config.mapping import Feed
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.errors import EtlError
from etl_lib.extract.reader.columns import Expected
from etl_lib.onboarding.mapping.suggest import Suggestion, suggest
from etl_lib.onboarding.mapping.write import About, mapping_text

REPO = Path(__file__).parents[1]
TRUTH = REPO / "tests" / "onboarding" / "truth"
_AIM = 0.9
_CLIENT = "sample_school"
_HOW = (
    "Each folder is given to `etl new` without a word; what it writes is read back as a run would read it. A "
    "column counts as right when all that is made of it is what the truth says, as wrong when anything else is. "
    "Asked: stands in the file as a comment, below 0.90. The truth was written from headers and documentation."
)
Parts = frozenset[str]


@dataclass(frozen=True)
class Score:
    """One school: columns by what became of them; `wrong`: file, header and what was made of it."""

    name: str
    template: str
    columns: int
    with_field: int
    right: int
    asked: int
    wrong: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    took_s: float = 0.0
    refused: str = ""


@dataclass(frozen=True)
class Truth:
    """By file pattern and header the fields that are right; `may`: right, and right to leave out."""

    files: Mapping[str, Mapping[str, Parts]]
    may: Mapping[str, Mapping[str, Parts]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Truth:
        """The truth of one school."""
        data = yaml.safe_load(path.read_text(encoding="utf-8"))["files"]
        must = {f: {h: frozenset(v) for h, v in of.items() if h != "may"} for f, of in data.items()}
        may = {f: {h: frozenset(v) for h, v in of.get("may", {}).items()} for f, of in data.items()}
        return cls(must, may)

    def of(self, name: str, among: Mapping[str, Mapping[str, Parts]]) -> Mapping[str, Parts]:
        """What it says of a file."""
        return next((of for pattern, of in among.items() if fnmatch.fnmatch(name, pattern)), {})


def main(
    folders: Annotated[list[Path], typer.Argument(help="Folders of schools, or of one.")],
    kept: Annotated[bool, typer.Option("--keep/--no-keep", help="Write docs/benchmarks.md.")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="Name every column that is wrong or missed.")] = False,
) -> None:  # fmt: skip
    """Print the table; exit code 1 when a column is mapped wrongly without asking."""
    scores = []
    with TemporaryDirectory() as scratch:
        for name, folder in schools(folders, Path(scratch)):
            scores.append(score(name, folder))
    table = _table(scores)
    typer.echo(table.markdown)
    for one in scores if lines else ():
        typer.echo("\n".join(f"{one.name}: {text}" for text in (*one.wrong, *one.missed)))
    wanted, right = sum(s.with_field for s in scores), sum(s.right for s in scores)
    wrong = sum(len(s.wrong) for s in scores)
    share = right / wanted if wanted else 0.0
    typer.echo(
        f"{right} of {wanted} columns with a field mapped rightly without a question ({share:.1%}), {wrong} wrong."
    )
    if kept:
        figures = [
            Figure("Columns with a field, mapped rightly without a question", f"{share:.1%}", "90 %", share >= _AIM),
            Figure("Columns mapped wrongly without a question", str(wrong), "0", not wrong),
        ]  # fmt: skip
        keep("onboarding", "From sample files to a mapping", _HOW, figures, [table])
    raise typer.Exit(1 if wrong else 0)


def schools(folders: Sequence[Path], scratch: Path) -> Iterator[tuple[str, Path]]:
    """Name and folder of each school; of several zips in a folder each is one."""
    for folder in folders:
        for place in [folder, *sorted(p for p in folder.rglob("*") if p.is_dir())]:
            files = [
                p
                for p in place.iterdir()
                if p.is_file() and p.suffix.lower() in (".csv", ".txt", ".tsv", ".gz")
            ]
            zips = [p for p in place.iterdir() if p.suffix.lower() == ".zip"]
            if files:
                yield place.name, place
            for path in zips if len(zips) > 1 or not files else ():
                own = scratch / f"{path.stem}.zip.folder"
                own.mkdir(exist_ok=True)
                shutil.copy(path, own)
                yield path.name, own


def score(name: str, folder: Path, truth: Truth | None = None) -> Score:
    """What becomes of the columns of one school."""
    path = TRUTH / f"{name.removesuffix('.zip')}.yaml"
    truth = truth or (Truth.read(path) if path.is_file() else Truth({}))
    begun = time.monotonic()
    try:
        with TemporaryDirectory() as home:
            include = Path(home) / "include"
            shutil.copytree(
                REPO / "include", include, ignore=shutil.ignore_patterns("samples", "mappings")
            )
            (include / "mappings").mkdir()
            project = Project(include, "development")
            suggestion = suggest(folder, project)
            text = mapping_text(suggestion, About("A school", "Somebody", "UTC"))
            project.mapping_path(_CLIENT).write_text(text, encoding="utf-8")
            resolved = project.resolve(_CLIENT)
            took_s = time.monotonic() - begun
    except EtlError as error:
        return Score(
            name, "", 0, 0, 0, 0, took_s=time.monotonic() - begun, refused=error.faults[0].code
        )
    return _scored(name, suggestion, resolved, truth, took_s)


def _scored(
    name: str, suggestion: Suggestion, resolved: ResolvedMapping, truth: Truth, took_s: float
) -> Score:
    columns = with_field = right = asked = 0
    wrong: list[str] = []
    missed: list[str] = []
    for one in suggestion.feeds:
        feed = resolved.mapping.feeds[one.name]
        read = fields_by_header(feed, resolved, one.sample.headers)
        must, may = truth.of(one.sample.name, truth.files), truth.of(one.sample.name, truth.may)
        for header in one.sample.headers:
            columns += 1
            made = read.get(header, frozenset()) - {"filter", "deleted"}
            allowed = must.get(header, frozenset()) | may.get(header, frozenset())
            with_field += header in must
            if truth.files and made - allowed:
                wrong.append(
                    f"{one.sample.name}: `{header}` became {', '.join(sorted(made - allowed))}"
                )
            elif header in must and read.get(header):
                right += 1
            elif header in one.reading.open:
                asked += 1
                missed.append(f"{one.sample.name}: `{header}` is asked about")
            elif header in must:
                missed.append(f"{one.sample.name}: `{header}` is not mapped")
    return Score(name, suggestion.template or "none", columns, with_field, right, asked,
                 tuple(wrong), tuple(missed), took_s)  # fmt: skip


def fields_by_header(
    feed: Feed, resolved: ResolvedMapping, headers: Sequence[str]
) -> dict[str, Parts]:
    """By header every field that is made of it, as `entity.field`; `filter` and `deleted` where rows hang on it."""
    expected = Expected.of(feed, resolved)
    matched = dict(zip(headers, expected.match(headers), strict=True))
    found: dict[str, Parts] = {}
    for header, column in matched.items():
        if column is None:
            continue
        parts = set()
        for entity, fill in feed.entities.items():
            parts |= {
                f"{entity}.{n}"
                for n, rule in fill.columns.items()
                if _reads(rule.source_columns, column, matched)
            }
            parts |= {"filter"} if column in (*fill.where, *fill.where_not) else set()
            parts |= {"deleted"} if column in fill.deleted_when else set()
        found[header] = frozenset(parts)
    return found


def _reads(sources: Sequence[str], column: str, matched: Mapping[str, str | None]) -> bool:
    return column in sources and column in matched.values()


def _table(scores: Sequence[Score]) -> Table:
    rows = [
        (one.name, f"refused: {one.refused}" if one.refused else one.template, str(one.columns), str(one.with_field),
         str(one.right), str(one.asked), str(len(one.wrong)), f"{one.took_s:.1f}")
        for one in scores
    ]  # fmt: skip
    head = ("folder", "template", "columns", "with a field", "right", "asked", "wrong", "seconds")
    return Table("By folder", head, rows)


if __name__ == "__main__":
    typer.run(main)
