"""SFTP users of rclone's server (local stack, docker-compose): one file of public keys each."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from etl_lib.errors import FixTheSetup, NotNow
from etl_lib.onboarding.provision.keys import stored_keys
from etl_lib.onboarding.provision.plan import Address, Plan, Step, Verb, Wish, settled

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_REMEMBERED = "rclone lets in who came a few minutes ago: restart it (`docker compose restart sftp`) to end that"


@dataclass(frozen=True)
class KeyFolder:
    """A folder with `<client_id>.pub` for each client; `deploy/compose/sftp_login.py` reads it at a login."""

    folder: Path
    address: Address

    def plan(self, wish: Wish) -> Plan:
        """See Target. Raises FixTheSetup also when the folder cannot be written."""
        path = self.folder / f"{wish.client_id}.pub"
        target = f"the key files in {self.folder}"
        self.check()
        before = _text(path)
        if wish.revoke:
            steps = self._revoked(path, before)
            acts = (lambda: _replace(path, before, None),) if before is not None else ()
            return Plan(target, steps, self.address, acts)
        keys, other = stored_keys((before or "").splitlines())
        wanted = settled(keys, wish)
        steps = self._steps(path, before, other, wish) + tuple(wanted.steps())
        after = "".join(f"{key.line} {wish.client_id}\n" for key in (*wanted.keep, *wanted.add))
        if wanted.remove:
            steps = (*steps, Step("server", Verb.NOTE, _REMEMBERED))
        plan = Plan(target, steps, self.address, (lambda: _replace(path, before, after),))
        return plan if plan.changes else Plan(target, steps, self.address)

    def check(self) -> str:
        """See Target. Raises FixTheSetup when the folder cannot be written."""
        if not self.folder.is_dir() or not os.access(self.folder, os.W_OK):
            text = f"The folder {self.folder} is not there or cannot be written."
            hint = "Start the stack, or set ETL_SFTP_KEYS to the folder that the SFTP server reads."
            raise FixTheSetup.of("PROVISION_UNAVAILABLE", text, hint=hint)
        return f"key files in {self.folder}"

    def _steps(
        self, path: Path, before: str | None, other: list[int], wish: Wish
    ) -> tuple[Step, ...]:
        user = f"user {wish.client_id}"
        if before is None:
            made = "with the folders inbox, inbox/test and outbox, which its first login makes"
            return (Step(user, Verb.MAKE, made),)
        steps = [Step(user, Verb.RIGHT)]
        if other:
            lines = ", ".join(map(str, other))
            words = f"no public key on line {lines}: such lines go"
            steps.append(Step(f"file {path.name}", Verb.CHANGE, words))
        if path.stat().st_mode & _WRITABLE_BY_OTHERS:
            steps.append(Step(f"file {path.name}", Verb.CHANGE, "others may write it: no longer"))
        return tuple(steps)

    def _revoked(self, path: Path, before: str | None) -> tuple[Step, ...]:
        if before is None:
            return (Step("access", Verb.NOTE, f"There is no user {path.stem}."),)
        keys, _ = stored_keys(before.splitlines())
        return (
            Step(f"user {path.stem}", Verb.REMOVE, "its files stay"),
            *(Step(f"key {key.words}", Verb.REMOVE) for key in keys),
            Step("server", Verb.NOTE, _REMEMBERED),
        )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _replace(path: Path, before: str | None, after: str | None) -> None:
    """Put the file's new text (None: no file) in the place of the one that was looked at, whole or not at all."""
    if _text(path) != before:
        raise NotNow.of("NOT_AS_SHOWN", f"Somebody has changed {path.name} meanwhile.")
    if after is None:
        path.unlink(missing_ok=True)
        return
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(after)
        part.chmod(0o644)  # the SFTP server may be another user; public keys are no secret
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
