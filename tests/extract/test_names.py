"""Which names are handled, and how one that is not is shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_lib.config import letters
from etl_lib.extract import names

ORDINARY = [
    "students.csv", "Schüler 2026.csv", "学生.csv", "a&b (1) [x].csv", "auxiliary.csv", "nullable.csv",
    "-rf.csv", "x" * 251 + ".csv",
]  # fmt: skip
HOSTILE = {
    "right to left": "students\u202evsc.exe", "isolate": "a\u2066.csv", "zero width": "stu\u200bdents.csv",
    "nul": "students.csv\0.exe", "escape": "a\x1b[2J.csv", "line end": "a\nb.csv", "c1": "a\x9b.csv",
    "lost byte": "a\udcff.csv", "line separator": "a\u2028.csv", "slash": "a/b.csv",
    "backslash": "a\\b.csv", "up": "..", "here": ".", "long": "x" * 256, "long letters": "ü" * 128,
    "device": "NUL.csv", "device alone": "con", "device number": "com1.csv",
}  # fmt: skip
HOSTILE_PATHS = [
    "../x.csv", "a/../../x.csv", "/etc/x.csv", "\\x.csv", "..\\x.csv", "C:\\x.csv", "c:x.csv",
    "\\\\server\\share\\x.csv", "a/\u202ex.csv", "aux/x.csv", "a/" * 600 + "x.csv",
]  # fmt: skip


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_name_is_taken_and_shown_as_it_is(name: str) -> None:
    assert names.why_refused(name) is None
    assert names.why_path_refused(f"folder/{name}") is None
    assert names.shown(name).startswith(f"`{name[:80]}")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_name_that_a_person_cannot_read_or_a_system_misunderstands_is_refused(name: str) -> None:
    assert names.why_refused(name)


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    assert names.why_path_refused(path)


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_shown_can_do_nothing_to_a_terminal(name: str) -> None:
    shown = names.shown(name)
    assert shown.isprintable()
    assert shown.encode()  # no half letters
    assert len(shown) < 1000


def test_the_way_a_name_is_written_makes_no_other_name() -> None:
    composed = "Schüler.csv"
    apart = unicodedata.normalize("NFD", composed)
    assert apart != composed
    assert names.same_as(apart.upper()) == names.same_as(composed)
    assert letters.composed(apart) == composed


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("students.csv.pgp", "students.csv"), ("export.zip.GPG", "export.zip"), ("a.csv.asc", "a.csv"),
        ("students.csv", "students.csv"), ("pgp", "pgp"),
    ],
)  # fmt: skip
def test_the_ending_of_encryption_comes_off(name: str, inner: str) -> None:
    assert names.inner_name(name) == inner
    assert names.is_encrypted(name) == (name != inner)
