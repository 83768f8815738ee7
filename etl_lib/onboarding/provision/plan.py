"""What provisioning finds and would do, shown before it is done; and which keys a wish leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from etl_lib.errors import Fault, FixTheSetup
from etl_lib.onboarding.provision.keys import PublicKey


class Verb(StrEnum):
    """What becomes of one part of a client's access."""

    RIGHT = "is right"
    MAKE = "make"
    CHANGE = "put right"
    REMOVE = "remove"
    NOTE = "note"


@dataclass(frozen=True)
class Step:
    """One part of the access: `what` it is, what becomes of it, and more words."""

    what: str
    verb: Verb
    words: str = ""


@dataclass(frozen=True)
class Wish:
    """What is asked for: the client's access is made or put right, with these changes of its keys."""

    client_id: str
    add: tuple[PublicKey, ...] = ()
    replace: bool = False  # keys that are not added now go
    remove: str = ""  # a fingerprint
    revoke: bool = False


@dataclass(frozen=True)
class Address:
    """How a school reaches its folder; empty where it is not known."""

    host: str
    port: int
    user: str
    host_key: str  # fingerprint


@dataclass(frozen=True)
class Plan:
    """What is there and what would be done; `target` names the place where the users are."""

    target: str
    steps: tuple[Step, ...]
    address: Address
    acts: tuple[Callable[[], None], ...] = field(default=(), repr=False)

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that would change something."""
        return tuple(s for s in self.steps if s.verb not in (Verb.RIGHT, Verb.NOTE))

    def apply(self) -> None:
        """Do what was shown, and nothing else.

        Raises NotNow (NOT_AS_SHOWN) when somebody has changed the access since it was looked at.
        """
        for act in self.acts:
            act()


class Target(Protocol):
    """A place where SFTP users are made."""

    def plan(self, wish: Wish) -> Plan:
        """What is there and what the wish would change; changes nothing. Raises EtlError."""
        ...

    def check(self) -> str:
        """What all clients share here, in words, when it is right. Raises EtlError with all that is wrong."""
        ...


@dataclass(frozen=True)
class Settled:
    """Which keys stay, come and go."""

    keep: tuple[PublicKey, ...]
    add: tuple[PublicKey, ...]
    remove: tuple[PublicKey, ...]

    def steps(self) -> list[Step]:
        """A step for each key."""
        return [
            *(Step(f"key {k.words}", Verb.RIGHT, k.weakness) for k in self.keep),
            *(Step(f"key {k.words}", Verb.MAKE) for k in self.add),
            *(Step(f"key {k.words}", Verb.REMOVE) for k in self.remove),
        ]


def settled(present: Sequence[PublicKey], wish: Wish) -> Settled:
    """What becomes of the keys that are there under the wish.

    Raises FixTheSetup (PROVISION_REFUSED) with every reason why it cannot be done: no key would be
    left, a key that is to go is not there, or `replace` comes without a key.
    """
    faults: list[Fault] = []
    gone = {key for key in present if wish.replace and wish.add and key not in wish.add}
    if wish.replace and not wish.add:
        faults.append(_refused("Replacing the keys needs the new one.", "Add `--key FILE`."))
    if wish.remove:
        named = {key for key in present if key.fingerprint == wish.remove}
        if not named:
            known = ", ".join(key.fingerprint for key in present) or "none"
            text = f"The client has no key `{wish.remove[:60]}`."
            faults.append(_refused(text, f"Its keys: {known}."))
        if any(key.fingerprint == wish.remove for key in wish.add):
            faults.append(_refused("The same key is to be added and removed."))
        gone |= named
    keep = tuple(key for key in present if key not in gone)
    add = tuple(key for key in wish.add if key not in present)
    if not faults and not keep and not add:
        said = "Its last key would go." if present else "The client has no key yet."
        hint = "Add a key with `--key FILE`" + (
            ", or end the access with `--revoke`." if present else "."
        )
        faults.append(_refused(said, hint))
    if faults:
        raise FixTheSetup(faults)
    return Settled(keep, add, tuple(key for key in present if key in gone))


def _refused(text: str, hint: str = "") -> Fault:
    return Fault("PROVISION_REFUSED", text, hint=hint)
