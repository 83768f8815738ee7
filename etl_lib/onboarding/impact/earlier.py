"""Gets the configuration of an earlier commit out of git, into a folder of its own."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from etl_lib.config.hooks import HOOK_PACKAGE, hook_folder
from etl_lib.config.project import Project
from etl_lib.errors import FixTheSetup

# Where a change goes: the first of these that the checkout has.
_MAIN = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


@dataclass(frozen=True)
class Side:
    """One state of the configuration: its project, and the folder of its hooks."""

    project: Project
    hooks: Path


def side_of(project: Project) -> Side:
    """The configuration as it lies in the folder; without hooks beside it, those of the installed code."""
    beside = project.include.parent / HOOK_PACKAGE
    return Side(project, beside if beside.is_dir() else hook_folder())


@dataclass(frozen=True)
class Earlier:
    """The configuration of a commit. `name` is how people call it: `origin/main`, or what they named."""

    side: Side
    commit: str
    name: str


def earlier(project: Project, against: str | None, folder: Path) -> Earlier:
    """Write `include/` and the hooks of a commit into `folder`, and give what it says.

    `against`: any name that git knows for a commit; without one it is where the checkout left the main
    branch, so that the changes are those that a merge would bring, uncommitted ones included.
    Raises FixTheSetup (COMMIT_UNKNOWN) where git has no such commit, or the commit no such folder.
    """
    top = Path(_git(project.include, "rev-parse", "--show-toplevel").decode().strip()).resolve()
    commit, name = _named(top, against) if against else _left_main(top)
    inside = project.include.relative_to(top)
    include = folder / inside.name
    if not _unpack(top, f"{commit}:{inside.as_posix()}", include):
        raise FixTheSetup.of("COMMIT_UNKNOWN", f"{name} ({commit[:10]}) has no `{inside}`.")
    hooks = (inside.parent / HOOK_PACKAGE).as_posix()
    _unpack(top, f"{commit}:{hooks}", folder / HOOK_PACKAGE)
    return Earlier(side_of(Project(include, project.environment_name)), commit, name)


def _named(top: Path, name: str) -> tuple[str, str]:
    if commit := _commit(top, name):
        return commit, name
    raise FixTheSetup.of("COMMIT_UNKNOWN", f"git knows no commit `{name}` here.")


def _left_main(top: Path) -> tuple[str, str]:
    """The newest commit that HEAD shares with the main branch."""
    for name in _MAIN:
        if main := _commit(top, name):
            found = _git_or_none(top, "merge-base", "HEAD", main)
            if found is None:
                text = f"HEAD and {name} have no commit in common."
                raise FixTheSetup.of("COMMIT_UNKNOWN", text)
            return found.decode().strip(), name
    raise FixTheSetup.of("COMMIT_UNKNOWN", f"There is none of {', '.join(_MAIN)}.")


def _commit(top: Path, name: str) -> str | None:
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    found = _git_or_none(top, *asked)
    return found.decode().strip() if found else None


def _unpack(top: Path, tree: str, target: Path) -> bool:
    """Write a folder of a commit; false where the commit does not have it."""
    if _git_or_none(top, "rev-parse", "--verify", "--quiet", "--end-of-options", tree) is None:
        return False
    with tarfile.open(fileobj=io.BytesIO(_git(top, "archive", "--format=tar", tree))) as archive:
        archive.extractall(target, filter="data")
    return True


def _git_or_none(folder: Path, *words: str) -> bytes | None:
    answer = _asked(folder, words)
    return None if answer.returncode else answer.stdout


def _git(folder: Path, *words: str) -> bytes:
    answer = _asked(folder, words)
    if answer.returncode:
        said = answer.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        raise FixTheSetup.of("COMMIT_UNKNOWN", f"`git {words[0]}`: {said}")
    return answer.stdout


def _asked(folder: Path, words: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
    # A hook of git's names its repository in variables, which would win over the folder.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, env=ours, check=False)
    except FileNotFoundError:
        raise FixTheSetup.of("COMMIT_UNKNOWN", "git is not installed.") from None
