"""Where the functions lie that a mapping may name as a hook."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import etl_hooks

HOOK_PACKAGE = "etl_hooks"


def hook_folder() -> Path:
    """The folder from which this process takes its hooks."""
    return Path(etl_hooks.__path__[0])


def hook_file(module: str) -> Path:
    """The file that holds the module `etl_hooks.<name>`, whether there is one or not."""
    return hook_folder().joinpath(*module.split(".")[1:]).with_suffix(".py")


@contextmanager
def hooks_of(folder: Path) -> Iterator[None]:
    """Take the hooks from another folder inside the block; for comparing two states of them, never in a run."""
    ours, known = list(etl_hooks.__path__), _forget_modules()
    etl_hooks.__path__ = [str(folder)]
    try:
        yield
    finally:
        etl_hooks.__path__ = ours
        _forget_modules()
        sys.modules.update(known)


def _forget_modules() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.startswith(f"{HOOK_PACKAGE}.")]
    return {name: sys.modules.pop(name) for name in names}
