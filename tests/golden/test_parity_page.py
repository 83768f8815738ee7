"""The page on Canvas' behaviours names only what is there, and counts what it names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

REPO = Path(__file__).parents[2]
PAGE = REPO / "docs" / "canvas-parity.md"
CASES = {path.name for path in (REPO / "tests" / "golden" / "canvas").iterdir() if path.is_dir()}
STANCES = ("met", "refused", "not for us", "not yet")


def rows() -> list[tuple[str, str, list[str]]]:
    """Behaviour, what ours does, and the names of what shows it."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| behaviour", "| ---")):
            behaviour, ours, shown = (cell.strip() for cell in line.split("|")[1:-1])
            found.append((behaviour, ours, re.findall(r"`([^`]+)`", shown)))
    return found


def stance(ours: str) -> str:
    [found] = [one for one in STANCES if re.match(rf"{one}\b", ours)]
    return found


def test_every_behaviour_has_a_stance_and_every_one_met_is_shown() -> None:
    for behaviour, ours, shown in rows():
        assert stance(ours) != "met" or shown, behaviour
        assert stance(ours) == "met" or re.match(r"[a-z ]+: \w", ours), f"no reason: {behaviour}"


def test_every_name_is_a_golden_folder_or_a_test() -> None:
    for behaviour, _, shown in rows():
        for name in shown:
            file, _, function = name.partition("::")
            there = f"def {function}(" in (REPO / file).read_text() if function else name in CASES
            assert there, (behaviour, name)


def test_every_golden_folder_is_named() -> None:
    assert {name for *_, shown in rows() for name in shown if "::" not in name} == CASES


def test_the_counts_at_the_top_are_those_of_the_tables() -> None:
    counts = Counter(stance(ours) for _, ours, _ in rows())
    text = (
        f"**{sum(counts.values())} behaviours: {counts['met']} met, {counts['refused']} refused on "
        f"purpose, {counts['not for us']} not for us, {counts['not yet']} not yet.**"
    )
    assert text in PAGE.read_text(encoding="utf-8"), text
