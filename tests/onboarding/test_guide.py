"""The guide for schools: every sentence in every language, what mappings say, kept guides, the HTML."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from etl_lib.config.environment import SftpAddress
from etl_lib.config.project import Project
from etl_lib.config.words import Words, _leaves, faults_of_languages
from etl_lib.errors import FixTheMapping
from etl_lib.onboarding.guide.blocks import Guide, Table
from etl_lib.onboarding.guide.committed import guide_of
from etl_lib.onboarding.guide.content import Place, build
from etl_lib.onboarding.guide.example import example_files
from etl_lib.onboarding.guide.render import html, markdown
from tests.cli.conftest import REPO, Etl

FINGERPRINT = "SHA256:kq3Xv9Zt1LrW8mYbUe0PdHsC7nJfAoQi2GxTV5K4R6w"
VARIABLES = {
    "ETL_SFTP_HOST": "sftp.test",
    "ETL_SFTP_PORT": "2222",
    "ETL_SFTP_FINGERPRINT": FINGERPRINT,
}
# What none of the sample schools has agreed to.
UNUSUAL = """
client: Unusual <b>School</b>
sis: Test
owner: Ana
account_number: "7"
timezone: America/Chicago
schedule: "15,45 4 * * 1-5"
language: en
delivery: {marker: "done_{date}.ok", encryption: required, signed_by: KEY}
calendar:
  sends_on: [tue, fri]
  holidays: {from: 2026-11-26, to: 2026-11-26, reason: Thanksgiving}
blackout: {from: 2026-12-24, to: 2027-01-02, reason: New system}
additions_only: {from: 2027-01-03, to: 2027-01-05, reason: Rollover}
values: {null_tokens: ["-", none], clear_tokens: ["<gone>"]}
feeds:
  people:
    file: "people_{date}.txt"
    extra_columns: refuse
    min_rows: 2
    format: {widths: [10, 10, 10, 10, 10, 10, 10, 10, 12, 10, 10, 10, 10], encoding: cp1252}
    columns: {Card: {values: [A, B, X]}, Name: {filled: true}, Note: {required: true}}
    entities:
      person:
        where: {Card: [A, B]}
        deleted_when: {Card: X}
        extra: [House]
        columns:
          person_id: {from: Nr, width: 6}
          given_name: {from: Name, split: {separator: " ", index: 0}}
          middle_name: {from: Name, split: {separator: " ", index: 1}}
          family_name: {from: Name, split: {separator: " ", index: -1}}
          full_name: {from: Name, sensitive: mask}
          email: {coalesce: [Mail, Mail2], blank: keep, pattern: "[^@]+@[^@]+"}
          master_id: {from: State, sensitive: hash, pad: 8}
          birth_date: {from: Born, sensitive: drop}
          pronouns: {from: Pronouns, sensitive: drop}
          username: {from: Login, extract: "([a-z]+)$"}
          grade_level: {from: Grade, map: {K: "0"}, on_unmapped: keep}
          is_confidential: Secret
          display_number: {from: Number, when: {Card: A}}
  staff:
    file: staff.csv
    extra_columns: refuse
    content: changes
    required: false
    allow_empty: true
    format: {header: false, delimiter: "|", skip_lines: 1, footer: "^End"}
    columns: {section: {}, person: {aliases: user}, kind: {}, share: {}}
    entities:
      section_staff:
        where_not: {kind: [X]}
        columns:
          section_id: section
          person_id: person
          role: {from: kind, map: {T: instructor}, on_unmapped: "null", default: other}
          responsibility_percent: share
"""


@pytest.fixture
def project() -> Project:
    return Project(REPO / "include", "production")


@pytest.fixture
def unusual(include: Path) -> Project:
    """A project with a client that has agreed to everything that is seldom."""
    key = (REPO / "tests" / "extract" / "gnupg" / "school_public.asc").read_text()
    mapping = yaml.safe_load(UNUSUAL)
    mapping["delivery"]["signed_by"] = key
    (include / "mappings" / "unusual.yaml").write_text(yaml.safe_dump(mapping, sort_keys=False))
    return Project(include, "production")


def column(guide: Guide, file: str, name: str) -> tuple[str, ...]:
    """A column's row in the table of the file."""
    anchors = [getattr(block, "anchor", "") for block in guide.blocks]
    at = anchors.index(f"file-{file}")
    table = next(block for block in guide.blocks[at:] if isinstance(block, Table))
    [row] = [row for row in table.rows if row[0].split()[0] == f"`{name}`"]
    return row[1:]


def test_every_language_has_every_sentence(project: Project) -> None:
    assert len(project.languages()) >= 2
    assert [str(fault) for fault in faults_of_languages(project)] == []


def test_a_sentence_that_is_missing_is_named_with_its_language(include: Path) -> None:
    path = include / "languages" / "es.yaml"
    text = path.read_text()
    assert "  school: escuela\n" in text and "{n} archivos" in text
    text = text.replace("  school: escuela\n", "").replace("{n} archivos", "archivos")
    path.write_text(text + "more: x\n")
    project = Project(include, "production")
    assert [str(fault) for fault in faults_of_languages(project)] == [
        "include/languages/es.yaml: `files.many_files` fills in other names than English does.",
        "include/languages/es.yaml: `values.school` is missing.",
        "include/languages/es.yaml: `more` is used by nothing.",
    ]
    with pytest.raises(FixTheMapping, match=r"values\.school"):
        guide_of(project, "lakeside", "es")


def test_every_sentence_is_said_to_some_school(
    unusual: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[str] = set()
    found = Words._at

    def watched(self: Words, key: str) -> Any:
        used.add(key)
        return found(self, key)

    monkeypatch.setattr(Words, "_at", watched)
    for client_id in unusual.client_ids():
        guide_of(unusual, client_id, "en", VARIABLES)
        guide_of(unusual, client_id, "en")
    english = Words.of(unusual, "en")
    resolved = unusual.resolve("unusual")
    build(resolved, english, Place(None, None))
    path = unusual.mapping_path("unusual")
    kept = yaml.safe_load(path.read_text())
    every_day = {"sends_on": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
    for change in (
        {"schedule": None},
        {"schedule": "0 4 * * *", "calendar": every_day},
        {"delivery": {"expected_by": None}},
        {"feeds": {"staff": {**kept["feeds"]["staff"], "format": {"delimiter": " "}}}},
    ):
        path.write_text(yaml.safe_dump({**kept, **change}))
        guide_of(unusual, "unusual", "en", VARIABLES)
    said = {re.sub(r"\.\d+$", "", key) for key, _ in _leaves(english.tree)}
    months_and_days = {key for key in said if key.startswith(("months", "weekdays"))}
    no_field_yet = {"form.timestamp"}  # the model may have one, the reader takes it
    mails = {key for key in said if key.startswith("mail.")}  # see tests/report/test_letter.py
    assert said - used - months_and_days - mails == no_field_yet


def test_columns_say_what_the_mapping_says(project: Project) -> None:
    guide = guide_of(project, "northgate")
    need, meaning, form = column(guide, "roles", "role")
    assert need == "**required**, never empty"
    assert meaning == "What the person is."
    assert "`counselor` (advisor)" in form and form.endswith(
        "a row with another value is left out."
    )
    assert column(guide, "users", "enabledUser")[2].endswith("empty counts as active.")
    assert "`tobedeleted` deletes the record" in column(guide, "users", "status")[2]
    text = markdown(guide)
    assert "Please leave out `pronouns`" in text and "| `pronouns` " not in text
    assert "26 November 2026 to 28 November 2026: Thanksgiving" in text
    assert "Every Monday, Tuesday, Wednesday, Thursday, Friday and Saturday" in text
    assert "We look for your files at 01:30" in text


def test_a_school_reads_its_own_language_the_newest_layout_and_its_own_formats(
    project: Project,
) -> None:
    guide = guide_of(project, "san_rafael", variables=VARIABLES)
    assert guide.language == "es"
    assert column(guide, "roster", "RSTS_DATE")[2] == "Día, `31.08.2026`."
    assert column(guide, "roster", "HORAS")[2] == "Número con coma decimal, `3,5`; al menos 0."
    assert "`WL` (en lista de espera)" in column(guide, "roster", "RSTS_CODE")[2]
    text = markdown(guide)
    assert "`roster_202710_20260902.csv`" in text and "a partir del 2 de septiembre de 2026" in text
    assert "sftp -P 2222 -i ~/.ssh/school_upload san_rafael@sftp.test" in text
    assert FINGERPRINT in text
    assert "Argos" in text and "PeopleSoft" not in text


def test_a_school_from_which_we_fetch_is_told_to_let_us_in(project: Project) -> None:
    text = markdown(guide_of(project, "westbrook"))
    assert "take the files from the folder `/outgoing`" in text
    assert "cd inbox" not in text


def test_what_only_a_strange_mapping_says_is_said_too(unusual: Project) -> None:
    guide = guide_of(unusual, "unusual", "en", VARIABLES)
    text = markdown(guide)
    for words in (
        "upload an empty file `done_20260901.ok` last", "Encrypt every file with OpenPGP",
        "columns of fixed width: 10, 10", "Do not add columns", "So do `-` and `none`",
        "Every Tuesday and Friday", "We look for your files by the schedule `15,45 4 * * 1-5`",
        "24 December 2026 to 2 January 2027: New system", "at least 2 rows",
        "We only read rows in which `Card` is `A` or `B`.", "Please leave out `Born` and `Pronouns`",
    ):  # fmt: skip
        assert words in text, words
    assert "always 6 characters, with leading zeros" in column(guide, "people", "Nr")[2]
    assert column(guide, "people", "Mail2")[1].startswith("Used when `Mail` is empty: ")
    assert "keep only a fingerprint" in column(guide, "people", "State")[2]


def test_the_page_needs_nothing_else_and_holds_the_examples(
    project: Project, unusual: Project
) -> None:
    page = html(guide_of(project, "lakeside", variables=VARIABLES))
    assert not re.search(r"<(script|link|img|iframe)|src=|url\(|@import", page)
    links = re.findall(r'href="([^"#]+)"', page)
    assert all(
        link.startswith(("data:text/csv;base64,", "mailto:", "https://winscp.net/"))
        for link in links
    )
    found = dict(re.findall(r'download="([^"]+)" href="data:text/csv;base64,([^"]+)"', page))
    wanted = {one.name: one.content for one in example_files(project.resolve("lakeside"))}
    assert {name: base64.b64decode(data) for name, data in found.items()} == wanted
    anchors = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors
    strange = html(guide_of(unusual, "unusual"))
    assert "Unusual &lt;b&gt;School&lt;/b&gt;" in strange and "<b>School" not in strange


@pytest.fixture
def kept(include: Path) -> Iterator[Path]:
    """The kept guide of a client, in a project to be changed."""
    yield include / "guides" / "lakeside.md"


def test_a_mapping_that_its_guide_no_longer_agrees_with_fails_the_check(
    etl: Etl,
    include: Path,
    kept: Path,
) -> None:
    assert etl("guide", "--all", "--check").code == 0
    mapping = include / "mappings" / "lakeside.yaml"
    mapping.write_text(mapping.read_text() + "delivery: {expected_by: '05:00'}\n")
    shutil.copy(kept, kept.with_name("gone.md"))
    before = kept.read_text()
    answer = etl("guide", "--all", "--check")
    assert answer.code == 2
    assert "include/guides/lakeside.md: The guide is not what the mapping says." in answer.out
    assert "  +| When | Monday to Friday, by 05:00 (America/Chicago) |" in answer.out
    assert "include/guides/gone.md: No mapping is behind this guide." in answer.out
    assert kept.read_text() == before
    assert etl("guide", "--all").code == 0
    wanted = before.replace("06:00", "05:00").replace("at 04:00", "at 03:00")
    assert kept.read_text() == wanted.replace("0 4 *", "0 3 *")
    assert not kept.with_name("gone.md").exists()
    assert etl("guide", "--all", "--check").code == 0


def test_the_command_writes_one_guide_as_asked(etl: Etl, tmp_path: Path) -> None:
    out = tmp_path / "new" / "guide.html"
    assert etl("guide", "lakeside", "--out", str(out), "--language", "es").code == 0
    assert out.read_text().startswith('<!doctype html>\n<html lang="es">')
    answer = etl("guide", "lakeside", "--format", "md")
    assert answer.out.startswith("# Sending your data: Lakeside Unified School District\n")
    assert etl("guide", "lakeside", "--language", "xx").code == 2
    assert etl("guide", "lakeside", "--all").code == 2


def test_a_language_that_is_not_there_is_a_mistake_of_the_mapping(include: Path, etl: Etl) -> None:
    mapping = include / "mappings" / "lakeside.yaml"
    mapping.write_text(mapping.read_text() + "language: fr\n")
    answer = etl("check", "lakeside")
    assert answer.code == 2
    assert "lakeside.yaml:8:1: language: there is no `include/languages/fr.yaml`." in answer.out
    assert "There are: en, es." in answer.out


def test_the_address_comes_from_the_environment_and_the_process(project: Project) -> None:
    assert "files.example.com" in markdown(guide_of(project, "lakeside"))
    place = Place(SftpAddress(host="h.test", port=1022, fingerprint=FINGERPRINT), "help@h.test")
    text = markdown(build(project.resolve("lakeside"), Words.of(project, "en"), place))
    assert "`h.test`, port `1022`" in text and "[help@h.test](mailto:help@h.test)" in text
    assert '-hostkey="ssh-ed25519 255 kq3Xv9' in text
