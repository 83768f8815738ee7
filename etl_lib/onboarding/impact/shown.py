"""The blast radius in words: one sentence for all, a few for each client, a comment for a merge request."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from etl_lib.onboarding.impact.compare import Impact, State
from etl_lib.onboarding.impact.earlier import Earlier

_NAMED = 12  # clients named in one sentence
_LINES_IN_COMMENT = 300  # a comment has a limit of its own; clients below it keep their counts
_BESIDE = {
    State.NEW: "new",
    State.NO_SAMPLE: "touched, but without a sample nobody can say what changes",
    State.STILL_BROKEN: "broken before and now",
}
_MARKED = re.compile(
    r"[|*`\[\]~#\\\n]|(?<!\w)_|_(?!\w)"
)  # what a renderer of Markdown would take for its own


def summary(found: Sequence[Impact], earlier: Earlier) -> str:
    """`3 of 9 clients change: …`, and what is to be known about the others."""
    changing = [one.client_id for one in found if one.changes]
    verb = "changes" if len(changing) == 1 else "change"
    names = f": {_names(changing)}" if changing else ""
    count = f"{len(changing)} of {len(found)} clients {verb}{names}."
    beside = []
    for state, words in _BESIDE.items():
        if those := [one.client_id for one in found if one.state is state]:
            beside.append(f"{len(those)} {words}: {_names(those)}.")
    same = sum(one.state is State.SAME for one in found)
    if same:
        beside.append(f"{same} touched, with the same result.")
    untouched = sum(one.state is State.UNTOUCHED for one in found)
    beside.append(f"{untouched} not touched.")
    return " ".join([count, *beside, f"Compared with {earlier.name} ({earlier.commit[:10]})."])


def _names(clients: Sequence[str]) -> str:
    more = len(clients) - _NAMED
    return ", ".join([*clients[:_NAMED], *([f"and {more} more"] if more > 0 else [])])


def what_changes(impact: Impact) -> tuple[str, ...]:
    """Counts first: broken or mended, feeds, rejected rows, and for each entity how many rows and columns."""
    return tuple(_sentences(impact))


def _sentences(impact: Impact) -> Iterator[str]:
    if impact.state in (State.BROKEN, State.MENDED, State.GONE):
        yield {
            State.BROKEN: "broken by the change",
            State.MENDED: "was broken, and no longer is",
            State.GONE: "has no mapping any more",
        }[impact.state]
    for name in impact.feeds_gone:
        yield f"feed {name}: gives no rows any more"
    for name in impact.feeds_new:
        yield f"feed {name}: gives rows now"
    for code, (before, after) in impact.rejects.items():
        yield f"rejected, {code}: {before:,} → {after:,}"
    for entity, rows in impact.rows.items():
        counts = {"added": rows.added, "removed": rows.removed, "changed": rows.changed}
        said = ", ".join(f"{number:,} {word}" for word, number in counts.items() if number)
        columns = ", ".join(f"{name} {number:,}" for name, number in rows.columns.items())
        yield f"{entity}: {said}{f' ({columns})' if columns else ''}"
    if impact.lines and not (impact.rows or impact.rejects):
        yield "only in how rows are counted"


def as_json(found: Sequence[Impact], earlier: Earlier) -> str:
    """Everything, for programs; clients that are not touched only by their state."""
    whole = {
        "against": {"name": earlier.name, "commit": earlier.commit},
        "summary": summary(found, earlier),
        "clients": {one.client_id: _as_dict(one) for one in found},
    }
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _as_dict(one: Impact) -> dict[str, object]:
    kept = {name: value for name, value in asdict(one).items() if value and name != "client_id"}
    return {**kept, "changes": one.changes}


def markdown(found: Sequence[Impact], earlier: Earlier, rows: int) -> str:
    """A comment for a merge request; at most `rows` differing values for each client are shown."""
    from jinja2 import Environment, FileSystemLoader

    # Markdown is no HTML: what goes into it is escaped by `cell`, one value at a time.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    left = _LINES_IN_COMMENT
    shown = {}
    changing = [one for one in found if one.changes]
    for one in changing:
        shown[one.client_id] = one.telling[: min(rows, left)]
        left -= len(shown[one.client_id])
    return environment.get_template("comment.md.j2").render(
        summary=summary(found, earlier), changing=changing, shown=shown, what=what_changes
    )


def _cell(text: str) -> str:
    """Text that stands in a cell of a table as it is, whatever signs it has."""
    escaped = html.escape(text, quote=False)
    return _MARKED.sub(lambda sign: f"&#{ord(sign[0])};", escaped)
