"""Names as schools' old systems hold them, made readable."""

from __future__ import annotations

import re

import pandas as pd

_SMALL = frozenset({"da", "de", "del", "do", "dos", "el", "la", "las", "los", "y"})
_NAMES = ("given_name", "middle_name", "family_name")


def spanish_capitals(frame: pd.DataFrame) -> pd.DataFrame:
    """`IBÁÑEZ DE LA TORRE` becomes `Ibáñez de la Torre`; names that have small letters stay.

    Takes and gives canonical text columns; rows, index and other columns stay as they are.
    """
    changed = {
        column: frame[column].map(_readable, na_action="ignore").astype(frame[column].dtype)
        for column in _NAMES
        if column in frame.columns
    }
    return frame.assign(**changed)


def _readable(name: str) -> str:
    if name != name.upper():
        return name
    words = re.split(r"([ -])", name.lower())
    return "".join(
        word if place and word in _SMALL else word[:1].upper() + word[1:]
        for place, word in enumerate(words)
    )
