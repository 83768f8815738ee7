"""Docs cannot say what is not so: commands, options, paths, codes, statements and snippets are tried."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import typer

from etl_lib.cli.docs import reference_pages
from etl_lib.cli.main import app
from etl_lib.config.project import Project, faults_of_all
from etl_lib.load.tables import migrate_if_needed
from etl_lib.messages import CATALOGUE
from etl_lib.metrics.status import RunStatus
from tests.airflow_help import airflow_help

REPO = Path(__file__).parents[1]
PAGES = sorted([REPO / "README.md", *REPO.glob("docs/*.md")])
MADE = ("messages.md", "entities.md", "mapping_keys.md")
WRITTEN = [page for page in PAGES if page.name not in MADE]
_BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.M | re.S)
_INLINE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"^(?:dags|plugins|include|etl_lib|etl_hooks|docs|tests|demo|deploy)/[\w./-]*$")


def blocks(page: Path, language: str) -> Iterator[str]:
    for found, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if found == language:
            yield text


def commands(page: Path) -> Iterator[list[str]]:
    """Every command line of the page, in blocks and in the text."""
    lines = [line for text in blocks(page, "sh") for line in text.splitlines()]
    lines += _INLINE.findall(re.sub(_BLOCK, "", page.read_text(encoding="utf-8")))
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # a word with an apostrophe is no command
        if words:
            yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


@pytest.mark.parametrize("name", MADE)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    made = reference_pages(Project(REPO / "include", "development"))
    assert made.keys() == set(MADE)
    assert (REPO / "docs" / name).read_text(encoding="utf-8") == made[name], "run `etl docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_etl_command_and_option_exists(page: Path) -> None:
    top = typer.main.get_command(app)
    for words in commands(page):
        if words[0] != "etl" or len(words) < 2:
            continue
        command, rest = top, words[1:]
        while rest and (inner := getattr(command, "commands", None)):
            assert rest[0] in inner, words
            command, rest = inner[rest[0]], rest[1:]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        assert not {w for w in rest if w.startswith("--")} - known, words


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.M))
    for words in commands(page):
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_path_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    for link in links:
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
            anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
            assert anchor in anchors, link
    for inline in _INLINE.findall(text):
        if _PATH.match(inline):
            assert (REPO / inline).exists(), inline


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_code_and_status_is_one_of_ours(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    codes = re.findall(
        r"`((?:ROW|VALUE|FILE|MAPPING|DATABASE|STORAGE|SOURCE|CONNECTION)_[A-Z_]+)`", text
    )
    assert set(codes) <= CATALOGUE.keys()
    if page.name == "account_managers.md":
        ended = set(RunStatus) - {
            RunStatus.WAITING, RunStatus.RUNNING, RunStatus.REFUSED, RunStatus.UNDONE,
        }  # fmt: skip
        assert ended == {s for s in ended if f"`{s}`" in text}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_statement_runs(page: Path, database_url: str) -> None:
    migrate_if_needed(database_url, Project(REPO / "include", "development").entities)
    with psycopg.connect(database_url) as connection:
        for text in blocks(page, "sql"):
            for statement in filter(str.strip, text.split(";")):
                connection.execute(statement.encode())


def test_the_snippets_for_data_engineers_are_a_mapping_without_mistake(tmp_path: Path) -> None:
    include = tmp_path / "include"
    ignored = shutil.ignore_patterns("samples", "mappings")
    shutil.copytree(REPO / "include", include, ignore=ignored)
    (include / "mappings").mkdir()
    head = "client: Snippet\nsis: Test\nowner: Ana\n"
    page = REPO / "docs" / "data_engineers.md"
    snippets = list(blocks(page, "yaml"))
    assert len(snippets) > 1
    feeds = [text.removeprefix("feeds:\n") for text in snippets if text.startswith("feeds:")]
    rest = [text for text in snippets if not text.startswith("feeds:")]
    whole = head + "".join([*rest, "feeds:\n", *feeds])
    (include / "mappings" / "snippet.yaml").write_text(whole)
    [field] = blocks(page, "yml")  # of an entity
    person = include / "entities" / "person.yaml"
    indented = "".join(f"  {line}\n" for line in field.splitlines())
    person.write_text(person.read_text().replace("fields:\n", f"fields:\n{indented}", 1))
    project = Project(include, "development")
    [(_, faults)] = faults_of_all(project)
    assert [str(fault) for fault in faults] == []
    assert project.entities["person"].fields["preferred_language"].sensitive


def test_every_airflow_command_exists() -> None:
    found = [w for page in WRITTEN for w in commands(page) if w[0] == "airflow" and len(w) >= 3]
    names = [[w for w in words[1:] if not w.startswith("-")][:2] for words in found]
    for words, (code, text) in zip(found, airflow_help(names), strict=True):
        assert code == 0, words
        assert [w for w in words if w.startswith("--") and w not in text] == [], words


def test_every_message_says_what_to_do_and_who_does_it() -> None:
    for code, known in CATALOGUE.items():
        assert code == known.code
        assert len(known.meaning) > 10 and known.meaning.endswith(".")
        assert len(known.remedy) > 5 and known.remedy.endswith(".")
