"""A mapping's Python hook that goes wrong is named, and nothing is lost by it."""

from __future__ import annotations

import pandas as pd
import pytest

import etl_hooks.names
from tests.faults.here import Here
from tests.faults.school import PERSON_CANARY, night


def raises(frame: pd.DataFrame) -> pd.DataFrame:
    raise ValueError(f"cannot do {frame['given_name'].iloc[0]}")


def drops(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[1:]


def adds(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[:1]])


def swaps(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[::-1]


def renames(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={"given_name": "first"})


HOOKS = {
    "raises": (raises, "raised ValueError"),
    "drops rows": (drops, "rows and gave back"),
    "adds rows": (adds, "rows and gave back"),
    "swaps rows": (swaps, "the order of the rows"),
    "renames": (renames, "changed the columns"),
    "gives a list": (lambda frame: frame.to_dict("records"), "gave back list"),
    "gives nothing": (lambda frame: None, "gave back NoneType"),
}


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_goes_wrong_is_named_and_nothing_is_lost(
    here: Here, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hook, words = HOOKS[name]
    here.load(night(1, people=10))
    before = here.state()
    monkeypatch.setattr(etl_hooks.names, "spanish_capitals", hook)  # as if the function said that
    healthy = here.mapping
    here.mapping = healthy.replace(
        "      person:\n", "      person:\n        hook: etl_hooks.names.spanish_capitals\n"
    )
    outcome = here.load(night(2, people=10))
    assert outcome.status == "failed" and here.codes() == ["HOOK_FAILED"]
    assert words in outcome.sentence and "etl_hooks.names.spanish_capitals" in outcome.sentence
    assert PERSON_CANARY not in outcome.sentence
    assert here.state() == before
    here.mapping = healthy
    assert here.load(night(2, people=10)).status.startswith("succeeded")
    assert here.live("person") == 10 + 7 * 2
