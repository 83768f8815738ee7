"""A school's test: files in `inbox/test/` are read and judged like a delivery, and answered; nothing is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.database import connected
from etl_lib.errors import Fault
from etl_lib.extract import PgpKeys, RemoteFile, Source, trial_of
from etl_lib.load.tables import migrate_if_needed
from etl_lib.messages import Owner
from etl_lib.metrics.holds import Plan
from etl_lib.metrics.ledger import Ledger
from etl_lib.pipeline import run_all
from etl_lib.report import Outcome, Post, Reply
from etl_lib.run import Run, Wishes
from etl_lib.storage import Draft, Storage, scratch_folder

KEPT_FOR = timedelta(days=14)  # so long after the answer the files of a test stay


@dataclass(frozen=True)
class Drop:
    """The files of one school's test as they lie there; `source`: where."""

    client_id: str
    source: Source
    files: tuple[RemoteFile, ...]

    @classmethod
    def of(cls, client_id: str, source: Source) -> Self | None:
        """What lies there, or None. Raises TryAgain when the place does not answer."""
        files = source.list().files
        return cls(client_id, source, files) if files else None

    @property
    def run_id(self) -> str:
        """The test's run: another as soon as a file comes, goes or changes, so each is answered once."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(
                f"{file.name}\0{file.size_bytes}\0{file.modified_at.isoformat()}\n".encode()
            )
        return f"test__{digest.hexdigest()[:16]}"

    @property
    def newest_at(self) -> datetime:
        """When its newest file came."""
        return max(file.modified_at for file in self.files)

    def lies_still(self, resolved: ResolvedMapping, now: datetime) -> bool:
        """Whether nothing has come for as long as a delivery has to lie still."""
        still = timedelta(seconds=resolved.mapping.delivery.stable_s)
        return now - self.newest_at >= still


def answered_at(url: str, drops: Sequence[Drop], project: Project) -> dict[str, datetime]:
    """When each of the tests, by client, was answered; one that was not is left out."""
    migrate_if_needed(url, project.entities)
    with connected(url) as connection:
        rows = connection.execute(
            "SELECT client_id, ended_at FROM etl.run JOIN unnest(%s::text[], %s::text[]) "
            "AS wanted (client_id, run_id) USING (client_id, run_id) "
            "WHERE dag_id = client_id AND ended_at IS NOT NULL",
            ([one.client_id for one in drops], [one.run_id for one in drops]),
        ).fetchall()
    return dict(rows)


@dataclass(frozen=True)
class Answered:
    """What became of a test; `faults`: what stopped it, none when it came to a plan."""

    run: Run
    outcome: Outcome
    plan: Plan | None
    faults: tuple[Fault, ...]

    @property
    def is_ours(self) -> bool:
        """Whether it was stopped, and by nothing that the school could mend."""
        theirs = (Owner.SCHOOL, Owner.ACCOUNT_MANAGER)  # who asks the school
        return bool(self.faults) and not any(f.message.owner in theirs for f in self.faults)


def answer(
    project: Project, drop: Drop, url: str, archive: Storage, outbox: Storage,
    keys_of: Callable[[ResolvedMapping], PgpKeys], post: Post | None = None, by: str = "",
) -> Answered:  # fmt: skip
    """Read the test, plan what it would change, and put the report into `test/` of the school's outbox.

    `archive` is only read. What is kept is the run's record in the database at `url`: that of a dry run
    of kind `test`. Raises FixTheMapping for a broken mapping, and TryAgain when something does not answer
    or a file still changes: then the test is not answered yet.
    """
    resolved = project.resolve(drop.client_id)
    migrate_if_needed(url, project.entities)
    trial = trial_of(resolved, drop.source, Ledger(url).current(drop.client_id))
    name = f"{drop.newest_at.astimezone(resolved.mapping.zone):%Y-%m-%d_%H-%M-%S}"
    with scratch_folder() as folder:
        home = Storage.local(folder)
        run = Run(
            client_id=drop.client_id,
            dag_id=drop.client_id,
            run_id=drop.run_id,
            started_at=datetime.now(UTC),
            database_url=url,
            # a test's files are pupils' data that nobody has agreed to keep: all goes with the folder
            archive=Draft.over(archive, home.at("archive")),
            workspace=home.at("staging"),
            outbox=outbox.at("test"),
            # files of an earlier day are read all the same; that is a remark
            wishes=Wishes(dry_run=True, wait=False, overwrite_newer=True, by=by),
            kind="test",
        )
        outcome, plan = run_all(
            run, project, lambda: trial.resolved, trial.source,
            lambda: keys_of(trial.resolved), reply=Reply(post, name, trial.remarks),
        )  # fmt: skip
    return Answered(run, outcome, plan, () if plan else Ledger(url).stopped_by(run))


def clear_away(drop: Drop, folder: Storage, answered: datetime) -> int:
    """Remove the files of a test that was answered long ago from `folder`, where they lie; gives how many."""
    if datetime.now(UTC) - answered < KEPT_FOR:
        return 0
    now = Drop.of(drop.client_id, drop.source)
    gone = [file for file in drop.files if now and file in now.files]  # not what has come meanwhile
    for file in gone:
        folder.delete(file.name)
    return len(gone)
