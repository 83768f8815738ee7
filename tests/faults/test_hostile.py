"""Hostile values as header, value, key, file name and client id: kept byte for byte or rejected, never run."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from etl_lib.config.project import Project
from etl_lib.errors import EtlError
from etl_lib.extract.names import is_passed_over, why_refused
from tests.faults.here import Here
from tests.faults.school import WITHOUT_MARKER, make_include

# Of the kinds in https://github.com/minimaxir/big-list-of-naughty-strings, in our own words; a copy of its
# blns.json may be named in NAUGHTY_STRINGS to try all of them.
OURS = [
    "", " ", "undefined", "NULL", "None", "nil", "NaN", "-1e1000", "1/0", "0x7f", "1,000", "١٢٣", "½",
    "ÅÍÎÏ˝ÓÔ", "田中さん", "👩🏽‍🏫", "\u202eabc", "\u200b", "\ufeff", "Z̮̞̠͙͔ͅ", "ﷺ", "İi", "ß", "test\u2028line",
    "'; DROP TABLE core.person; --", '" OR 1=1 --', "$$;SELECT 1;$$", "\\", "\\N", "\\.", "{}", "{a,b}", "%s %(x)s",
    "{{ 7*7 }}", "${HOME}", "$(touch /tmp/pwned)", "`id`", "; ls", "| cat /etc/passwd", "../../etc/passwd",
    "<script>alert(1)</script>", "javascript:alert(1)", "=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3",
    "__import__('os').system('id')", "!!python/object/apply:os.system [id]", "a,b", 'say "hi"', "two\nlines",
    "tab\there", "\x00", "\x1b[31m", "\x7f", "CON", "a" * 3000,
]  # fmt: skip


# Signs at a value's edges that are no part of it: every kind of blank, and the invisible.
EDGES = (
    " \t\n\r\x0b\x0c\x85\xa0\u1680\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
)


def naughty() -> list[str]:
    if path := os.environ.get("NAUGHTY_STRINGS"):
        return list(json.loads(Path(path).read_text(encoding="utf-8")))
    return OURS


def is_acceptable(name: str) -> bool:
    return not is_passed_over(name) and why_refused(name) is None


NAUGHTY = list(dict.fromkeys(naughty()))


def as_csv(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return buffer.getvalue().encode("utf-8", "surrogatepass")


def people(rows: list[list[str]], header: list[str] | None = None) -> dict[str, bytes]:
    head = header or ["id", "given", "family", "balance", "born"]
    return {"people.csv": as_csv([head, *rows])}


@pytest.fixture
def school(here: Here) -> Here:
    """A client of one feed, with no limit on what may be rejected."""
    feed = (
        WITHOUT_MARKER.split("  sections:")[0] + "  people:" + WITHOUT_MARKER.split("  people:")[1]
    )
    here.mapping = feed.split("  enrollments:")[0].replace(
        "rejected_share: 0.2}", "rejected_share: 1.0}\n  fail: {rejected_share: 1.0}"
    )
    return here


def test_a_value_is_read_back_byte_for_byte_or_its_row_is_rejected(
    school: Here, tmp_path: Path
) -> None:
    rows = [[f"p{n}", text, f"f{n}", "", ""] for n, text in enumerate(NAUGHTY)]
    outcome = school.load(people(rows))
    assert outcome.status.startswith("succeeded"), outcome.sentence
    kept = dict(school.query("SELECT person_id, given_name FROM core.person"))
    rejected = {key for (key,) in school.query("SELECT key FROM etl.rejected_row")}
    lines = {line for (line,) in school.query("SELECT line FROM etl.rejected_row")}
    wrong = [
        text for n, text in enumerate(NAUGHTY)
        if f"p{n}" in kept and kept[f"p{n}"] not in (text, text.strip(EDGES) or None)
    ]  # fmt: skip
    assert wrong == []
    assert len(kept) + len(lines) == len(NAUGHTY), "a row is neither there nor rejected"
    assert not rejected & kept.keys()
    assert not Path("/tmp/pwned").exists()
    assert school.one("SELECT count(*) FROM etl.run") == 1  # and nothing was dropped by them


def test_a_key_is_read_back_or_its_row_is_rejected(school: Here) -> None:
    texts = list(dict.fromkeys(NAUGHTY))
    outcome = school.load(people([[text, "Ana", str(n), "", ""] for n, text in enumerate(texts)]))
    assert outcome.status.startswith("succeeded"), outcome.sentence
    kept = {
        int(number): key
        for key, number in school.query("SELECT person_id, family_name FROM core.person")
    }
    assert [
        texts[n] for n, key in kept.items() if key not in (texts[n], texts[n].strip(EDGES))
    ] == []
    lines = school.one("SELECT count(DISTINCT line) FROM etl.rejected_row")
    duplicates = school.one("SELECT duplicates FROM etl.run_count")
    assert len(kept) + lines + duplicates == len(texts)


def test_a_header_is_no_trap(school: Here) -> None:
    head = ["id", "given", "family", "balance", "born", *NAUGHTY]
    cells = ["p1", "Ana", "Ruiz", "1.00", "2012-01-02", *("x" for _ in NAUGHTY)]
    outcome = school.load(people([cells], head))
    if outcome.status == "failed":
        assert all(code.startswith(("FILE_", "TOO_MANY")) for code in school.codes()), (
            school.codes()
        )
    else:
        assert school.query("SELECT person_id, given_name FROM core.person") == [("p1", "Ana")]


def test_a_file_name_is_taken_as_it_is_or_passed_over(school: Here) -> None:
    school.mapping = school.mapping.replace("file: people.csv", "file: 'people{part}.csv'")
    names = []
    for text in NAUGHTY:
        name = f"people{text}.csv"
        if "/" in name or "\0" in name or len(name.encode("utf-8", "replace")) > 200:
            assert not is_acceptable(name) or len(name) <= 255
            continue
        names.append(name)
    files = {
        name: as_csv([["id", "given", "family", "balance", "born"], [f"p{n}", "A", "B", "", ""]])
        for n, name in enumerate(names)
    }
    outcome = school.load(files)
    taken = [n for n, name in enumerate(names) if is_acceptable(name) and name != "people.csv"]
    assert outcome.status.startswith("succeeded"), outcome.sentence
    assert school.live("person") == len(taken)
    stored = {file for (file,) in school.query("SELECT source_file FROM core.person")}
    assert stored == {names[n] for n in taken}
    outside = [
        p for p in school.storage.parent.rglob("*") if p.is_file() and p.name in ("passwd", "pwned")
    ]
    assert outside == []


def test_a_client_id_is_a_client_id_or_no_client(tmp_path: Path) -> None:
    project = Project(make_include(tmp_path), "test")
    for text in NAUGHTY:
        if text.isidentifier() and text.isascii() and text.islower():
            continue
        with pytest.raises((EtlError, ValueError, OSError)):
            project.resolve(text)
