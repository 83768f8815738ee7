"""`etl preview`: what a mapping makes of files, before and after side by side, with nothing loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from etl_lib.config.project import Project
from etl_lib.errors import FixTheSetup
from etl_lib.messages import message

if TYPE_CHECKING:
    from etl_lib.onboarding.preview import FillView, Preview

_ROWS_IN_TERMINAL = 2


def preview(
    client: Annotated[str, typer.Argument(help="The client; the name of its mapping file.")],
    files: Annotated[Path, typer.Option(help="Folder with files of the school.")],
    html: Annotated[Path | None, typer.Option(help="Write a page with more rows to this file.")] = None,
    rows: Annotated[int, typer.Option(min=1, max=200, help="Rows of each feed on the page.")] = 5,
) -> None:  # fmt: skip
    """Show the first rows before and after, and for each field how many values were read, mapped, rejected, and why.

    Nothing is written to a database or an archive. Exit code 1 when rows are rejected or files are missing.
    """
    if not files.is_dir():
        raise FixTheSetup.of("SOURCE_UNAVAILABLE", f"There is no folder `{files}`.")
    project = Project.load()
    from etl_lib.onboarding.preview import preview as look

    found = look(project, client, files, max(rows, _ROWS_IN_TERMINAL))
    console = Console()
    for fill in found.fills:
        _show(console, fill)
    for file, columns in found.unread.items():
        console.print(f"{file}: not read: {', '.join(columns)}", highlight=False, markup=False)
    for fault in found.said:
        console.print(str(fault), style="red", highlight=False, markup=False)
    if html:
        html.write_text(page(found), encoding="utf-8")
        console.print(f"{html} written; it shows pupils' data.", highlight=False, markup=False)
    raise typer.Exit(1 if found.said or any(fill.rejected for fill in found.fills) else 0)


def page(found: Preview) -> str:
    """The preview as one self-contained HTML page."""
    from jinja2 import Environment, FileSystemLoader

    folder = Path(__file__).parents[1] / "onboarding"
    template = Environment(loader=FileSystemLoader(folder), autoescape=True).get_template(
        "preview.html.j2"
    )
    codes = {code for fill in found.fills for field in fill.fields for code in field.rejected}
    return template.render(preview=found, meanings={code: message(code).meaning for code in codes})


def _show(console: Console, fill: FillView) -> None:
    counts = f"{fill.read:,} read, {fill.accepted:,} accepted, {fill.rejected:,} rejected"
    left_out = f", {fill.left_out:,} left out" if fill.left_out else ""
    title = f"{fill.feed} → {fill.entity}: {counts}{left_out}"
    shown = fill.rows[:_ROWS_IN_TERMINAL]
    table = Table("field", "from", *(f"line {row.line}: before → after" for row in shown),
                  "in file", "ours", "rejected", title=title, title_justify="left")  # fmt: skip
    for column in table.columns[-3:-1]:
        column.justify = "right"
    places = {header: number for number, header in enumerate(fill.headers)}
    for number, field in enumerate(fill.fields):
        cells = []
        for row in shown:
            before = " ".join(
                row.before[at] for name, at in places.items() if name in _parts(field.origin)
            )
            after = "✗" if row.why else "" if row.aside else row.after[number]
            cells.append(escape(after if before == after else f"{before or '–'} → {after or '–'}"))
        why = ", ".join(f"{rows:,} {code}" for code, rows in field.rejected.items())
        table.add_row(field.name, escape(field.origin), *cells, f"{field.filled:,}", f"{field.made:,}",
                      f"[red]{why}[/red]" if why else "")  # fmt: skip
    notes = [(row.line, "; ".join(row.why) or row.aside) for row in shown]
    table.caption = "\n".join(f"line {line}: {note}" for line, note in notes if note) or None
    console.print(table)


def _parts(origin: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in origin.split(" or "))
