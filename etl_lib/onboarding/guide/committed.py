"""The guides that are kept beside the mappings, so that a change of what a school was told shows in review."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from etl_lib.config.environment import sftp_address
from etl_lib.config.project import Project
from etl_lib.config.words import Words
from etl_lib.errors import Fault
from etl_lib.onboarding.guide.blocks import Guide
from etl_lib.onboarding.guide.content import Place, build
from etl_lib.onboarding.guide.render import markdown

# Schools are told of the place to which they send in earnest.
OF_SCHOOLS = "production"
_MOST_LINES = 12


def guide_of(
    project: Project,
    client_id: str,
    language: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> Guide:
    """The client's guide in its own language, or in another one.

    `variables`: of the process, whose ETL_SFTP_… win over the environment's file. Raises FixTheMapping
    for a mapping with mistakes and for a language that is not there or not whole.
    """
    resolved = project.resolve(client_id)
    words = Words.of(project, language or resolved.mapping.language)
    place = Place(sftp_address(project.environment, variables or {}), project.environment.support)
    return build(resolved, words, place)


def guide_path(project: Project, client_id: str) -> Path:
    """Where the client's guide is kept."""
    return project.include / "guides" / f"{client_id}.md"


def write_all(project: Project) -> list[Path]:
    """Write every client's guide, and remove those of clients that are gone; gives what has changed."""
    changed = []
    wanted = {guide_path(project, client): client for client in project.client_ids()}
    for path in sorted((project.include / "guides").glob("*.md")):
        if path not in wanted:
            path.unlink()
            changed.append(path)
    for path, client_id in wanted.items():
        text = markdown(guide_of(project, client_id))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def stale(project: Project, client_ids: Sequence[str] = ()) -> Iterator[tuple[Fault, list[str]]]:
    """Kept guides that are not what their mappings say, each with the lines that differ."""
    known = client_ids or project.client_ids()
    for client_id in known:
        path = guide_path(project, client_id)
        kept = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        now = markdown(guide_of(project, client_id)).splitlines()
        if kept != now:
            text = "The guide is not what the mapping says." if kept else "There is no guide."
            lines = [
                line for line in difflib.unified_diff(kept, now, "kept", "now", n=0, lineterm="")
                if not line.startswith(("---", "+++", "@@"))
            ]  # fmt: skip
            yield (
                Fault("GUIDE_STALE", text, project.shown(path)),
                lines[:_MOST_LINES] if kept else [],
            )
    if not client_ids:
        for path in sorted((project.include / "guides").glob("*.md")):
            if path.stem not in known:
                yield (
                    Fault("GUIDE_STALE", "No mapping is behind this guide.", project.shown(path)),
                    [],
                )
