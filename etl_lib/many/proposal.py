"""What an act on many clients would do, item by item, and what it leaves out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from etl_lib.config.entity import Model


class Item(Model):
    """One thing that would be done.

    `key` names it within the act, `mark` says how it stood when it was shown: with another mark it is
    another thing, and is left alone.
    """

    client_id: str
    key: str
    mark: str
    what: str
    run: int | None = None
    run_id: str = ""
    status: str = ""
    why: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Something that was chosen and is not done, and why; `key` as of the item that it would be."""

    client_id: str
    reason: str
    key: str = ""


@dataclass(frozen=True)
class Proposal:
    """What would be done, and what would not."""

    items: tuple[Item, ...]
    left_out: tuple[LeftOut, ...]


class ManyAct(ABC):
    """One kind of act. `look` may be called again and changes nothing."""

    @abstractmethod
    def look(self, *, trial: bool) -> Proposal:
        """What the order would do now; `trial`: with what only a try-out, rolled back, can tell."""

    @abstractmethod
    def do(self, item: Item) -> str:
        """Do one item; gives what was done, in words.

        Raises NotNow when it is not any more what it was, another EtlError when it fails.
        """
