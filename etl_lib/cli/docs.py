"""`etl docs`: the pages of docs/ that are made from the code, so that they cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from etl_lib.config.project import Project
from etl_lib.config.schema import json_schemas
from etl_lib.messages import CATALOGUE

_MADE = "<!-- Written by `etl docs`; changes belong into the source named below. -->\n"
_REF = "#/$defs/"


def docs(
    folder: Annotated[Path, typer.Option(help="Where the pages go.")] = Path("docs"),
) -> None:
    """Write the reference pages of messages, entities and mapping keys."""
    folder.mkdir(exist_ok=True)
    for name, text in reference_pages(Project.load()).items():
        (folder / name).write_text(text, encoding="utf-8")
        typer.echo(f"{folder / name} written.")


def reference_pages(project: Project) -> dict[str, str]:
    """Each page's file name and text, in Markdown."""
    return {
        "messages.md": _page("Messages", "etl_lib/messages.py", _messages()),
        "entities.md": _page("Entities", "include/entities/", _entities(project)),
        "mapping_keys.md": _page("Keys of a mapping", "etl_lib/config/mapping.py", _keys()),
    }


def _page(title: str, source: str, lines: Iterable[str]) -> str:
    opening = (f"# {title}", "", f"{_MADE}", f"Source: `{source}`.", "")
    return "\n".join((*opening, *lines)).rstrip() + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield f"| {' | '.join('---' for _ in names)} |"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
    yield ""


def _messages() -> Iterator[str]:
    yield "Every message has a code. It says what happened, what to do next, and who does it."
    yield ""
    rows = ((f"`{m.code}`", m.level, m.meaning, m.remedy, m.owner) for m in CATALOGUE.values())
    yield from _table(("code", "level", "what happened", "next step", "who"), rows)


def _entities(project: Project) -> Iterator[str]:
    yield "The canonical model: one table `core.<entity>` and one view `core.current_<entity>` each."
    yield "The key is `client_id` with `<entity>_id`."
    yield ""
    for name, entity in project.entities.items():
        yield f"## {name}"
        yield ""
        yield entity.description
        yield ""
        rows = []
        for field_name, field in entity.fields.items():
            kind = f"{field.type}{' list' if field.array else ''}"
            about = [field.description]
            if field.values:
                about.append(f"One of {', '.join(field.values)}.")
            if field.references:
                about.append(f"Refers to {field.references.entity}.")
            marks = ("required" if field.required else "", "sensitive" if field.sensitive else "")
            rows.append((f"`{field_name}`", kind, ", ".join(filter(None, marks)), " ".join(about)))
        yield from _table(("field", "type", "", "meaning"), rows)


def _keys() -> Iterator[str]:
    schema = json_schemas()["mapping"]
    yield "Later layers win: `include/base.yaml`, the template, the mapping, the environment."
    yield "`null` removes what an earlier layer gave. A key that is not listed here is a mistake."
    yield ""
    yield "## The mapping itself"
    yield ""
    yield from _properties(schema)
    for name, part in schema["$defs"].items():
        if "properties" not in part:
            continue
        yield f"## {name}"
        yield ""
        yield from (*str(part.get("description", "")).splitlines(), "")
        yield from _properties(part)


def _properties(part: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (f"`{name}`", _kind(prop), _default(prop), prop.get("description", ""))
        for name, prop in part["properties"].items()
    ]
    yield from _table(("key", "value", "default", "meaning"), rows)


def _default(prop: Mapping[str, Any]) -> str:
    value = prop.get("default")
    if value is None or isinstance(value, dict | list):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(prop: Mapping[str, Any]) -> str:
    """The value's type in words, with a link to the section of a nested one."""
    if "$ref" in prop:
        name = str(prop["$ref"]).removeprefix(_REF)
        return f"[{name}](#{name.lower()})"
    if "enum" in prop:
        return " or ".join(f"`{value}`" for value in prop["enum"])
    if "const" in prop:
        return f"`{prop['const']}`"
    if "anyOf" in prop:
        kinds = dict.fromkeys(_kind(p) for p in prop["anyOf"] if p.get("type") != "null")
        if {"text", "number", "true or false"} <= kinds.keys():  # any scalar is taken as text
            kinds = {k: None for k in kinds if k not in ("integer", "number", "true or false")}
        return " or ".join(kinds)
    if prop.get("type") == "array":
        inner = prop.get("items") or {}
        return f"list of {_kind(inner)}" if inner else "list"
    if prop.get("type") == "object":
        inner = prop.get("additionalProperties") or next(
            iter(prop.get("patternProperties", {}).values()), None
        )
        return f"names to {_kind(inner)}" if isinstance(inner, dict) else "names to values"
    words = {"string": "text", "boolean": "true or false"}
    return words.get(str(prop.get("type")), str(prop.get("type", "anything")))
