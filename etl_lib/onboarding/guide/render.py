"""Guides as Markdown, and as one HTML file that needs nothing else and prints well."""

from __future__ import annotations

import base64
import re
from functools import cache
from pathlib import Path
from typing import Any

from etl_lib.onboarding.guide.blocks import (
    Block,
    Bullets,
    Code,
    Example,
    Guide,
    Heading,
    Table,
    Text,
)
from etl_lib.onboarding.guide.content import known_anchors

_SHORT, _ONE_LINE = 12, 30  # signs
_TEMPLATES = Path(__file__).with_name("templates")


def markdown(guide: Guide) -> str:
    """The guide as Markdown; examples are shown, not attached."""
    parts = [_as_markdown(block) for block in guide.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _as_markdown(block: Block) -> str:
    match block:
        case Heading(level, text, anchor):
            name = f'<a id="{anchor}"></a>\n\n' if anchor else ""
            return f"{name}{'#' * level} {text}"
        case Text(text, kind):
            return f"> {text}" if kind == "note" else text
        case Bullets(items, numbered):
            signs = [f"{n}." for n in range(1, len(items) + 1)] if numbered else ["-"] * len(items)
            return "\n".join(f"{sign} {item}" for sign, item in zip(signs, items, strict=True))
        case Table(header, rows, _):
            head = header or ("", "")
            lines = [head, tuple("---" for _ in head), *rows]
            return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
        case Code(text):
            return f"```\n{text}\n```"
        case Example(name, text=text):
            shown = text.replace("\r\n", "\n").rstrip("\n")
            return f"`{name}`:\n\n```csv\n{shown}\n```"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def html(guide: Guide) -> str:
    """The guide as one HTML file: styles inside, examples as data behind links, no script."""
    template = _environment().get_template("guide.html.j2")
    style = (_TEMPLATES / "guide.css").read_text(encoding="utf-8")
    page: str = template.render(guide=guide, anchors=known_anchors(guide), style=style)
    return page


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    inline = MarkdownIt("commonmark", {"html": False})

    def marked(text: str) -> Markup:
        """One line of Markdown as HTML; what is HTML in it is text."""
        return Markup(_broken_after_signs(inline.renderInline(text)))  # noqa: S704 (escaped by the renderer)

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "marked": marked,
        "kind": lambda block: type(block).__name__,
        "data": _data,
    }
    return environment


def _broken_after_signs(text: str) -> str:
    """Lets long names break at their `_`, and what is short nowhere: a date stays in one line."""

    def broken(match: re.Match[str]) -> str:
        shown = match[1]
        if "_" in shown and len(shown) > _SHORT:
            return f"<code>{shown.replace('_', '_<wbr>')}</code>"
        return (
            f'<code class="short">{shown}</code>'
            if len(shown) <= _ONE_LINE
            else f"<code>{shown}</code>"
        )

    return re.sub(r"<code>([^<]*)</code>", broken, text)


def _data(content: bytes) -> str:
    return f"data:text/csv;base64,{base64.b64encode(content).decode()}"
