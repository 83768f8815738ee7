"""Header names as words."""

from __future__ import annotations

import pytest

from etl_lib.onboarding.mapping.words import near, squeezed, words_of

KNOWN = frozenset({"student", "school", "number", "date", "birth", "term", "code", "id"})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("STUDENT_NUMBER", ("student", "number")),
        ("StudentNbr", ("student", "number")),
        ("stu num", ("student", "number")),
        ("SCHOOLID", ("school", "id")),
        ("schoolID", ("school", "id")),
        ("dateofbirth", ("date", "birth")),
        ("DOB", ("birth", "date")),
        ("SEC.SHORT.TITLE", ("sec", "short", "title")),
        ("Correo electrónico", ("correo", "electronico")),
        ("classes", ("class",)),
        ("Address", ("address",)),
        ("E-Mail", ("email",)),
        ("**", ()),
    ],
)
def test_a_name_is_its_words_however_it_is_written(name: str, words: tuple[str, ...]) -> None:
    assert words_of(name, KNOWN) == words


def test_two_spellings_of_one_header_are_squeezed_to_the_same() -> None:
    assert squeezed("Prénom_Élève ") == squeezed("prenom-eleve") == "prenomeleve"


@pytest.mark.parametrize(
    ("one", "other", "slip"),
    [
        ("prefferedgivenname", "preferredgivenname", True),
        ("datalastmodified", "datelastmodified", True),
        ("instructor", "instructorid", False),  # short: two letters are another word
        ("startdate", "stardate", False),
        ("preferredgivenname", "preferredfamilyname", False),
    ],
)
def test_a_slip_is_a_letter_or_two_in_a_long_name(one: str, other: str, slip: bool) -> None:
    assert near(one, other) is slip
