"""Plays a client's sample through the whole pipeline and compares rows, rejects and counts with the kept ones."""

from __future__ import annotations

import csv
import io
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from psycopg import sql

from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.database import connected
from etl_lib.errors import EtlError, Fault, FixTheMapping
from etl_lib.onboarding.guide.example import example_files, example_name, latest
from etl_lib.run import Run, Wishes
from etl_lib.storage import Storage

COUNTED = (
    "read", "inserted", "updated", "unchanged", "deleted_by_row", "rejected", "duplicates",
    "filtered", "deleted_by_absence", "restored",
)  # fmt: skip
REJECTS_HEADER = ("night", "file", "line", "column", "code")
_HEADER = """\
# What each night's load must count; `etl test CLIENT --accept` writes it.
# read = inserted + updated + unchanged + deleted_by_row + rejected + duplicates + filtered.
"""
_DELETED = "deleted"
# Every sample is played as if its first night were this one: no result may hang on today's date.
_FIRST_NIGHT = datetime(2026, 9, 1, 3, tzinfo=UTC)
Row = dict[str, str]


@dataclass(frozen=True)
class Night:
    """What one delivery made of a client: counts by fill, rejects, and all rows by entity and key.

    A row holds text by column, only for columns that have a value; `deleted` is `true` for a row
    that is deleted. `rejects` are (file, line, column, code) as text.
    """

    counts: Mapping[str, Mapping[str, int]]
    rejects: tuple[tuple[str, ...], ...]
    rows: Mapping[str, Mapping[str, Row]]


Played = dict[str, Night]


@dataclass(frozen=True)
class Difference:
    """One value that is not as it was: in which file, of which key, in which column."""

    file: str
    key: str
    column: str
    before: str
    after: str


def sample_folder(project: Project, client_id: str) -> Path:
    """Where the client's sample lies: `night_1`, `night_2`, … and `expected`."""
    return project.include / "samples" / client_id


def nights_of(sample: Path) -> list[Path]:
    """The folders of the sample's deliveries, in order."""
    return sorted(sample.glob("night_*"), key=lambda path: int(path.name.removeprefix("night_")))


def play(project: Project, client_id: str, database_url: str, home: Path) -> Played:
    """Load every night of the client's sample into an empty database; gives what each night made.

    `home`: an empty folder for files on the way. Raises FixTheMapping (SAMPLE_MISSING) without a sample,
    FixTheMapping for a mapping with mistakes, and the error of a night that was not loaded.
    """
    sample = sample_folder(project, client_id)
    if not nights_of(sample):
        text = f"`{client_id}` has no sample: there is no `{project.shown(sample)}/night_1`."
        raise FixTheMapping.of("SAMPLE_MISSING", text)
    return play_folders(project, client_id, nights_of(sample), database_url, home)


def play_folders(
    project: Project, client_id: str, nights: Sequence[Path], database_url: str, home: Path
) -> Played:
    """The same for any folders of files, one delivery each, by the folder's name."""
    resolved = _undisturbed(project.resolve(client_id))
    played: Played = {}
    for number, folder in enumerate(nights):
        at = _FIRST_NIGHT + timedelta(days=number)
        files = _copied(folder, home / "files" / folder.name, at)
        run = _run(client_id, folder.name, at, database_url, home)
        played[folder.name] = _load(project, resolved, run, files)
    return played


def _undisturbed(resolved: ResolvedMapping) -> ResolvedMapping:
    """The mapping for files at rest, without days on which something else holds."""
    mapping = resolved.mapping
    delivery = mapping.delivery.model_copy(update={"stable_s": 0})
    always: dict[str, Any] = {"delivery": delivery, "blackout": (), "additions_only": ()}
    return resolved.model_copy(update={"mapping": mapping.model_copy(update=always)})


def _copied(folder: Path, target: Path, at: datetime) -> Path:
    """The files with the time of their night: what git gives them says nothing."""
    shutil.copytree(folder, target)
    for path in target.iterdir():
        os.utime(path, (at.timestamp(), at.timestamp()))
    return target


def _run(client_id: str, night: str, at: datetime, database_url: str, home: Path) -> Run:
    storage = Storage.local(home / "etl")
    return Run(
        client_id=client_id, dag_id=client_id, run_id=night, started_at=at,
        database_url=database_url, archive=storage.at("archive", client_id),
        workspace=storage.at("staging", client_id, night), outbox=storage.at("outbox", client_id),
        wishes=Wishes(wait=False, approve=True, by="etl test"),
    )  # fmt: skip


def _load(project: Project, resolved: ResolvedMapping, run: Run, files: Path) -> Night:
    from etl_lib.extract import LocalSource, keys_of_environment
    from etl_lib.metrics.ledger import Ledger
    from etl_lib.metrics.status import GREEN
    from etl_lib.pipeline import run_all

    outcome, _ = run_all(run, project, lambda: resolved, LocalSource(files), keys_of_environment)
    if outcome.status not in GREEN:
        text = f"{run.run_id} of `{run.client_id}` was not loaded: {outcome.sentence}"
        stopped_by = Ledger(run.database_url).stopped_by(run)
        raise FixTheMapping([Fault("SAMPLE_NOT_LOADED", text), *stopped_by])
    counts = {
        f"{one.feed}.{one.entity}": {name: getattr(one, name) for name in COUNTED}
        for one in outcome.counts
    }
    return Night(counts, _rejects(run), _rows(project, run))


def _rejects(run: Run) -> tuple[tuple[str, ...], ...]:
    query = (
        'SELECT DISTINCT file, line, "column", code FROM etl.rejected_row r JOIN etl.run USING (run_seq) '
        "WHERE r.client_id = %s AND run_id = %s"
    )
    with connected(run.database_url) as connection:
        found = connection.execute(query, (run.client_id, run.run_id)).fetchall()
    found.sort(key=lambda row: (row[0], row[1], row[2] or "", row[3]))
    return tuple(tuple(_text(value) for value in row) for row in found)


def _rows(project: Project, run: Run) -> dict[str, dict[str, Row]]:
    """Every row of the client, deleted ones too, by entity and key."""
    found: dict[str, dict[str, Row]] = {}
    with connected(run.database_url) as connection:
        for name, entity in project.entities.items():
            columns = [*entity.fields, "extra"]
            query = sql.SQL(
                "SELECT {}, deleted_at IS NOT NULL FROM core.{} WHERE client_id = %s"
            ).format(sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(name))
            rows = connection.execute(query, (run.client_id,)).fetchall()
            if rows:
                found[name] = {
                    str(row[columns.index(entity.key)]): _as_text([*columns, _DELETED], row)
                    for row in rows
                }
    return found


def _as_text(columns: Sequence[str], row: Sequence[Any]) -> Row:
    texts = {name: _text(value) for name, value in zip(columns, row, strict=True)}
    if texts[_DELETED] == "false":
        del texts[_DELETED]
    return {name: text for name, text in texts.items() if text}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {inner}" for key, inner in sorted(value.items()))
    return str(value)


def expected(sample: Path) -> Played:
    """What is kept beside the sample; nights without anything kept are not in it."""
    folder = sample / "expected"
    counts = _kept_counts(folder)
    rejects: dict[str, list[tuple[str, ...]]] = {}
    for row in _kept_rows(folder / "rejects.csv"):
        rejects.setdefault(row["night"], []).append(tuple(row[n] for n in REJECTS_HEADER[1:]))
    return {
        night: Night(
            counts[night],
            tuple(rejects.get(night, ())),
            {
                path.stem: {_first(row): _filled(row) for row in _kept_rows(path)}
                for path in sorted((folder / night).glob("*.csv"))
            },
        )
        for night in counts
    }


def _kept_counts(folder: Path) -> dict[str, dict[str, dict[str, int]]]:
    path = folder / "counts.yaml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def _kept_rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _first(row: Row) -> str:
    return next(iter(row.values()))


def _filled(row: Row) -> Row:
    return {name: text for name, text in row.items() if text}


def accept(project: Project, client_id: str, played: Played) -> list[Path]:
    """Keep what was played as what is expected; gives the files that were written or removed.

    The words at the head of a `counts.yaml` stay. Files that say the same already are not touched.
    """
    folder = sample_folder(project, client_id) / "expected"
    counts = {night: one.counts for night, one in played.items()}
    files = {folder / "counts.yaml": _counts_file(folder / "counts.yaml", counts)}
    rejects = [(night, *row) for night, one in played.items() for row in one.rejects]
    if rejects:
        files[folder / "rejects.csv"] = _csv(REJECTS_HEADER, rejects)
    for night, one in played.items():
        for name, rows in one.rows.items():
            entity = project.entities[name]
            used = {column for row in rows.values() for column in row} - {entity.key}
            rest = (n for n in (*entity.fields, "extra", _DELETED) if n in used)
            columns = (entity.key, *rest)
            lines = [[rows[key].get(column, "") for column in columns] for key in sorted(rows)]
            files[folder / night / f"{name}.csv"] = _csv(columns, lines)
    changed = [path for path in sorted(folder.rglob("*")) if path.is_file() and path not in files]
    for path in changed:
        path.unlink()
    for path, text in files.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
            changed.append(path)
    return changed


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def _counts_file(path: Path, counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if _kept_counts(path.parent) == counts:
        return text
    words = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    return (words or _HEADER) + counts_text(counts)


def counts_text(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    """The counts of every night as YAML, one fill on two lines."""
    lines = []
    for night, fills in counts.items():
        lines.append(f"{night}:")
        for name, numbers in fills.items():
            cells = ", ".join(f"{key}: {numbers.get(key, 0)}" for key in COUNTED)
            lines.append(f"  {name}:\n    {{{cells}}}")
    return "\n".join(lines) + "\n"


def differences(before: Played, after: Played) -> Iterator[Difference]:
    """Every value in which two results differ: rows and rejects first, since they explain the counts."""
    for night in dict.fromkeys([*before, *after]):
        if night not in before or night not in after:
            yield Difference(night, "", "", *(("kept", "") if night in before else ("", "played")))
            continue
        was, now = before[night], after[night]
        for entity in dict.fromkeys([*was.rows, *now.rows]):
            file = f"{night}/{entity}.csv"
            yield from _of_rows(file, was.rows.get(entity, {}), now.rows.get(entity, {}))
        for side, other in ((was, now), (now, was)):
            for row in side.rejects:
                if row not in other.rejects:
                    file, line, column, code = row
                    said = (code, "") if side is was else ("", code)
                    yield Difference(f"{night}/rejects.csv", f"{file}, line {line}", column, *said)
        for fill in dict.fromkeys([*was.counts, *now.counts]):
            old, new = was.counts.get(fill, {}), now.counts.get(fill, {})
            for name in COUNTED:
                if old.get(name, 0) != new.get(name, 0):
                    numbers = (str(old.get(name, 0)), str(new.get(name, 0)))
                    yield Difference(f"{night}/counts.yaml", fill, name, *numbers)


def _of_rows(
    file: str, before: Mapping[str, Row], after: Mapping[str, Row]
) -> Iterator[Difference]:
    if bool(before) != bool(after):
        yield Difference(file, "", "", _so_many(before), _so_many(after))
        return
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was is None or now is None:
            yield Difference(file, key, "", *(("", "a row") if was is None else ("a row", "")))
            continue
        for column in dict.fromkeys([*was, *now]):
            if was.get(column, "") != now.get(column, ""):
                yield Difference(file, key, column, was.get(column, ""), now.get(column, ""))


def _so_many(rows: Mapping[str, Row]) -> str:
    return f"{len(rows)} row{'' if len(rows) == 1 else 's'}" if rows else ""


@dataclass(frozen=True)
class Verdict:
    """How one client's sample fared: what differs, or the words of what went wrong."""

    client_id: str
    played: Played
    differences: tuple[Difference, ...]
    error: str = ""


def judge(
    project: Project, client_id: str, database_url: str, another_url: str, home: Path
) -> Verdict:
    """Play the client's sample and compare it with what is kept; an EtlError becomes its words.

    The example files of the client's guide are loaded into the other empty database: schools take them
    for right, so they must be.
    """
    try:
        played = play(project, client_id, database_url, home / "sample")
        prove_examples(project, client_id, another_url, home / "example")
    except EtlError as error:
        return Verdict(client_id, {}, (), str(error))
    kept = expected(sample_folder(project, client_id))
    return Verdict(client_id, played, tuple(differences(kept, played)))


def prove_examples(project: Project, client_id: str, database_url: str, home: Path) -> None:
    """Load the example files of the guide; raises FixTheMapping (EXAMPLE_REJECTED) for rows left out."""
    resolved = project.resolve(client_id)
    folder = write_examples(resolved, home / "files_of_guide" / "example")
    night = play_folders(project, client_id, [folder], database_url, home)[folder.name]
    if night.rejects:
        faults = [
            Fault("EXAMPLE_REJECTED", f"{file}, line {line}, {column or 'the row'}: {code}.")
            for file, line, column, code in night.rejects
        ]
        raise FixTheMapping(faults)


def write_examples(resolved: ResolvedMapping, folder: Path) -> Path:
    """Write the example files of the client's guide as a delivery; gives the folder.

    Files that come only inside an archive are packed into one.
    """
    folder.mkdir(parents=True)
    packed = {}
    for example in example_files(resolved):
        feed = resolved.mapping.feeds[example.feed]
        if example.name == feed.member and example.name not in feed.file:
            packed[example.name] = example.content
        else:
            (folder / example.name).write_bytes(example.content)
    if packed:
        with zipfile.ZipFile(folder / "export.zip", "w") as archive:
            for name, content in packed.items():
                archive.writestr(name, content)
    if marker := resolved.mapping.delivery.marker:
        newest, day = latest(resolved)
        form = newest.mapping.delivery.date_format
        (folder / example_name(marker, form, day, {})).touch()
    return folder
