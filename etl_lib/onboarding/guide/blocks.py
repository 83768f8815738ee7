"""What a guide is made of, before it becomes HTML or Markdown. All text is Markdown of one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Heading:
    """A heading; `anchor` is where links lead."""

    level: Literal[1, 2, 3]
    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph; a `lead` is larger, a `note` stands out."""

    text: str
    kind: Literal["plain", "lead", "note"] = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list; numbered when the order counts."""

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells; a `facts` table has names in its first column and no header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kind: Literal["columns", "facts", "files", "codes"]


@dataclass(frozen=True)
class Code:
    """Lines to copy, as they are."""

    text: str


@dataclass(frozen=True)
class Example:
    """A file to download, the same as text, and its rows to look at."""

    name: str
    label: str
    content: bytes
    text: str
    rows: tuple[tuple[str, ...], ...]


Block = Heading | Text | Bullets | Table | Code | Example


@dataclass(frozen=True)
class Guide:
    """A whole guide."""

    title: str
    language: str
    contents: str
    blocks: tuple[Block, ...]


def code(text: str) -> str:
    """Text as it is typed."""
    return f"`{text.replace('`', chr(39))}`"
