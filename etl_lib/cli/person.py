"""Who acts at this terminal: the one answer for all commands, as it is recorded."""

from __future__ import annotations

import getpass


def who() -> str:
    """The person at this terminal, as the machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "command line"
