"""What one check of the doctor says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from etl_lib.errors import EtlError, Fault


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WRONG = "wrong"
    LEFT_OUT = "left out"  # it does not concern this client or this machine; `said` has the reason


@dataclass(frozen=True)
class Finding:
    """What was looked at and how it is; with a fault of the catalogue where it is wrong."""

    name: str
    outcome: Outcome
    said: str
    fault: Fault | None = None

    @classmethod
    def ok(cls, name: str, said: str) -> Finding:
        """It is as it should be."""
        return cls(name, Outcome.OK, said)

    @classmethod
    def left_out(cls, name: str, why: str) -> Finding:
        """It was not looked at."""
        return cls(name, Outcome.LEFT_OUT, why)

    @classmethod
    def wrong(cls, name: str, fault: Fault) -> Finding:
        """Somebody has to do something."""
        return cls(name, Outcome.WRONG, fault.text, fault)


Check = Callable[[], Iterator[Finding]]


def looked(name: str, check: Check) -> list[Finding]:
    """What a check finds; an error that it raises is what it finds, whatever else happens."""
    found: list[Finding] = []
    try:
        found += check()
    except EtlError as error:
        found += wrongs(name, error.faults)
    except Exception as error:  # noqa: BLE001  one check that breaks must not hide the others
        text = f"The check itself failed ({type(error).__name__})."
        found.append(Finding.wrong(name, Fault("INTERNAL", text)))
    return found


def wrongs(name: str, faults: Sequence[Fault]) -> list[Finding]:
    """A finding for each fault."""
    return [Finding.wrong(name, fault) for fault in faults]
