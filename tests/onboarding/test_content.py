"""What the values of a column tell."""

from __future__ import annotations

from collections import Counter

import pytest

from etl_lib.onboarding.mapping.codes import Codes
from etl_lib.onboarding.mapping.content import Content, Dates


def column(*values: str) -> Content:
    return Content.of(Counter(values).items())


@pytest.mark.parametrize(
    ("values", "dates"),
    [
        (("2026-09-01", "2026-09-30"), Dates(("%Y-%m-%d",))),
        (("1/5/2026", "12/25/2026"), Dates(("%m/%d/%Y",))),
        (("1/5/2026", "25/12/2026"), Dates(("%d/%m/%Y",))),
        (("1/5/2026", "2/6/2026"), Dates(("%m/%d/%Y",), (("%m/%d/%Y", "%d/%m/%Y"),))),
        (("19-Dec-2026",), Dates(("%d-%b-%Y",))),
        (("20260901", "20261231"), Dates(("%Y%m%d",))),
        (("2026-09-01 00:00:00", ""), Dates(("%Y-%m-%d %H:%M:%S",))),
        (("2026-09-01T10:00:00.000Z", "2026-09-01"), Dates(("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d"))),
        (("2026-02-30",), None),
        (("2026-09-01", "soon"), None),
        (("12345",), None),
        ((), None),
    ],
    ids=str,
)
def test_the_format_of_dates_is_that_of_the_whole_column(
    values: tuple[str, ...], dates: Dates | None
) -> None:
    assert column(*values).dates == dates


def test_blanks_and_their_tokens_are_no_values() -> None:
    found = column("a", " ", "NULL", "n/a", "a")
    assert (found.filled, found.blank, found.null_tokens) == (2, 3, ("NULL", "n/a"))


@pytest.mark.parametrize(
    ("values", "sign"),
    [(("1.50", "2"), "point"), (("1,50", "2"), "comma"), (("1", "2"), "point"), (("1", "x"), None)],
)
def test_numbers_tell_their_decimal_sign(values: tuple[str, ...], sign: str | None) -> None:
    assert column(*values).decimal_sign == sign


def test_codes_come_again_and_names_do_not() -> None:
    assert column(*"RRRRWW").are_codes
    assert not column("Ana", "Bo", "Cleo").are_codes
    assert not column(*["a@b.example"] * 9).are_codes


def test_a_code_is_known_by_its_words_and_others_are_asked_about() -> None:
    codes = Codes(
        {("e", "f"): {"web registered": "active", "d": "dropped"}}, {("e", "f"): frozenset()}
    )
    found = codes.read("e", "f", column("**Web Registered**", "D", "D", "XX"))
    assert found.known == {"**Web Registered**": "active", "D": "dropped"}
    assert found.unknown == ("XX",)
    assert found.share == 0.75
    assert not found.as_is
