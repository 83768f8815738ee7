"""Every error the product raises on purpose, grouped by who acts next.

Only the edges (`airflow_edge/`, `cli/`) turn them into retry, fail, skip or an exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from etl_lib.messages import Message, message


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what, where, and what to do.

    `text` never holds a pupil's value. `where` reads like `include/mappings/a.yaml:12:5` or
    `students.csv, line 7`. `hint` adds to the catalogue's remedy (the nearest valid name, say).
    """

    code: str
    text: str
    where: str = ""
    hint: str = ""

    @property
    def message(self) -> Message:
        """The catalogue entry of this fault's code."""
        return message(self.code)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{place}{self.text}{hint}"


class EtlError(Exception):
    """Root of the family: all the faults found at once. Children say how to recover."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        lines = [f"[{fault.code}] {fault}" for fault in self.faults]
        steps = (f"Next step ({f.message.owner}): {f.message.remedy}" for f in self.faults)
        return "\n".join([*lines, *dict.fromkeys(steps)])

    @classmethod
    def of(cls, code: str, text: str, where: str = "", hint: str = "") -> Self:
        """The error with a single fault."""
        return cls((Fault(code, text, where, hint),))


class FixTheMapping(EtlError):
    """Our configuration is wrong: a data engineer mends it; retrying cannot help."""


class AskTheSchool(EtlError):
    """The delivery cannot be loaded as it is: the school sends another; retrying cannot help."""


class NotReceived(AskTheSchool):
    """No complete delivery came by the deadline."""


class NotExpected(EtlError):
    """Nothing came, on a day on which the school sends nothing: no alarm, and no success."""


class Superseded(EtlError):
    """A newer delivery has been loaded; this older one must not overwrite it."""


class NeedsApproval(EtlError):
    """A person decides whether this delivery is loaded; nothing was changed."""


class Refused(EtlError):
    """The delivery is not loaded: a person has refused it, or nobody approved it in time."""


class Paused(EtlError):
    """Nothing is loaded for this client: the mapping says so for this day, or a person has frozen it."""


class NotNow(EtlError):
    """What a person asked for cannot begin at the moment; he asks again later."""


class CannotUndo(EtlError):
    """A run that a person asked to undo stays as it is; the message says what to do first or instead."""


class FixTheSetup(EtlError):
    """A connection, table or permission is missing: on-call mends it; retrying cannot help."""


class TryAgain(EtlError):
    """Something around us does not answer; the same call may succeed later."""


class RowsMoved(Exception):
    """Rows that were left out as unchanged may not be so any more: the run itself takes the delivery whole."""
