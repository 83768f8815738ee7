"""Calls a mapping's Python hook on a pandas frame and holds it to its contract."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from typing import cast

import pandas as pd

from etl_lib.errors import FixTheMapping

Hook = Callable[[pd.DataFrame], pd.DataFrame]


def load_hook(path: str) -> Hook:
    """The function at `etl_hooks.<module>.<function>`; raises FixTheMapping when there is none."""
    module, _, name = path.rpartition(".")
    if not module.startswith("etl_hooks."):
        raise FixTheMapping.of("HOOK_FAILED", f"`{path}` is not inside the package etl_hooks.")
    try:
        return cast(Hook, getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, SyntaxError) as error:
        raise FixTheMapping.of(
            "HOOK_FAILED", f"`{path}` cannot be imported: {type(error).__name__}."
        ) from None


def call_hook(path: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The hook's answer: same rows, same order, same columns.

    Raises FixTheMapping (HOOK_FAILED) for an exception in the hook, named by type and line only
    (its text may hold values), and for an answer that is no frame, or has other rows or columns.
    """
    hook = load_hook(path)
    try:
        answer = hook(frame.copy(deep=False))
    except Exception as error:  # noqa: BLE001 (foreign code: whatever it raises is its fault)
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = f"`{path}` raised {type(error).__name__} at line {last.lineno} of {last.name}."
        raise FixTheMapping.of("HOOK_FAILED", text) from None
    if not isinstance(answer, pd.DataFrame):
        text = f"`{path}` gave back {type(answer).__name__}, not a pandas DataFrame."
    elif len(answer) != len(frame):
        text = f"`{path}` was given {len(frame)} rows and gave back {len(answer)}."
    elif list(answer.columns) != list(frame.columns):
        odd = sorted(set(map(str, answer.columns)) ^ set(map(str, frame.columns)))
        text = f"`{path}` changed the columns: {', '.join(odd) or 'their order'}."
    elif not answer.index.equals(frame.index):
        text = f"`{path}` changed the order of the rows."
    else:
        return answer
    raise FixTheMapping.of("HOOK_FAILED", text)
