"""Takes the encryption off OpenPGP files (`.pgp`, `.gpg`, `.asc`), with our key and nobody else's.

The content goes from the decrypting process straight into a file without a name (see `scratch`), so
that none of it stays on the disk however the run ends; the archive keeps the encrypted bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from etl_lib.config.mapping import DeliveryRules
from etl_lib.errors import AskTheSchool, FixTheSetup, TryAgain
from etl_lib.extract import packing
from etl_lib.extract.scratch import handed_on

KEY_VARIABLE = "ETL_PGP_PRIVATE_KEY"
PASSPHRASE_VARIABLE = "ETL_PGP_PASSPHRASE"  # noqa: S105 (a name)
_PRIVATE_KEY = "-----BEGIN PGP PRIVATE KEY BLOCK-----"
_PROCESS = Path(__file__).with_name("pgp_process.py")
_LONGEST_S = 2 * 3600
_SYSTEM_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")


@dataclass(frozen=True)
class PgpKeys:
    """Our private keys. `place`: where they come from, in words, for messages; holds no secret."""

    place: str
    private_keys: tuple[str, ...] = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, place: str, private_key: object, passphrase: str | None) -> PgpKeys:
        """Keys as a connection holds them: one text, or a list of texts.

        Raises FixTheSetup (PGP_KEY_UNUSABLE) when there is no armored private key among them.
        """
        texts = private_key if isinstance(private_key, list | tuple) else [private_key]
        # a form field may have made one line of it
        keys = tuple(str(text).replace("\\n", "\n") for text in texts if text)
        if not keys or not all(_PRIVATE_KEY in key for key in keys):
            text = f"{place} holds no armored OpenPGP private key."
            raise FixTheSetup.of("PGP_KEY_UNUSABLE", text)
        return cls(place, keys, passphrase or None)


Keys = Callable[[], PgpKeys]
"""Looks our keys up, only when a file is encrypted; raises FixTheSetup when there are none."""


def keys_of_environment() -> PgpKeys:
    """The keys of a terminal: ETL_PGP_PRIVATE_KEY is the armored text or the path of its file."""
    value = os.environ.get(KEY_VARIABLE) or ""
    if not value:
        text = f"A file is encrypted, and the variable {KEY_VARIABLE} is not set."
        hint = f"Example: export {KEY_VARIABLE}=private.asc {PASSPHRASE_VARIABLE}=…"
        raise FixTheSetup.of("CONNECTION_MISSING", text, hint=hint)
    if _PRIVATE_KEY not in value:
        try:
            value = Path(value).read_text(encoding="ascii")
        except (OSError, ValueError):
            text = f"{KEY_VARIABLE} is neither an armored private key nor a readable file of one."
            raise FixTheSetup.of("PGP_KEY_UNUSABLE", text) from None
    place = f"The variable {KEY_VARIABLE}"
    return PgpKeys.of(place, value, os.environ.get(PASSPHRASE_VARIABLE))


def decrypt(path: Path, target: Path, shown: str, keys: PgpKeys, rules: DeliveryRules) -> None:
    """Write the content of an encrypted file to `target`, which nobody may read before this returns.

    Raises AskTheSchool when the file is not for us, damaged, or not signed as agreed; FixTheSetup
    when our key cannot be used. Key ids stand in the messages; they are no secret.
    """
    most = max(packing.RATIO_FROM_BYTES, packing.MOST_RATIO * path.stat().st_size)
    output, files = handed_on(target)
    order = {
        "input": str(path), "output": output, "keys": keys.private_keys,
        "passphrase": keys.passphrase, "signer": rules.signed_by,
        "most_bytes": min(most, packing.MOST_UNPACKED_BYTES),
    }  # fmt: skip
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_PROCESS)], input=json.dumps(order).encode(),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_LONGEST_S, check=False,
            pass_fds=files,
            env={name: os.environ[name] for name in _SYSTEM_VARIABLES if name in os.environ},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        text = "Decrypting took too long."
        raise TryAgain.of("STAGE_STOPPED", text, shown) from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        text = f"The decrypting process ended without an answer ({done.returncode})."
        raise TryAgain.of("STAGE_STOPPED", text, shown) from None
    if answer["said"] != "done":
        raise _explained(answer, shown, keys, rules)


def _explained(
    answer: dict[str, object], shown: str, keys: PgpKeys, rules: DeliveryRules
) -> AskTheSchool | FixTheSetup | TryAgain:
    said = str(answer["said"])
    ours = _ids(answer["ours"])
    if said == "other_key":
        theirs = _ids(answer["recipients"])
        text = (
            f"The file was encrypted for the key {theirs}; ours: {ours}." if theirs
            else f"The file was encrypted with a password and not for our key, {ours}."
        )  # fmt: skip
        return AskTheSchool.of("FILE_FOR_ANOTHER_KEY", text, shown)
    if said in _SETUP:
        return FixTheSetup.of("PGP_KEY_UNUSABLE", f"{keys.place} {_SETUP[said]}", shown)
    if said in _SIGNATURE:
        return AskTheSchool.of("FILE_SIGNATURE", _SIGNATURE[said], shown)
    if said == "too_large":
        text = "The message unpacks to far more than its size allows."
        return AskTheSchool.of("FILE_ARCHIVE_REFUSED", text, shown)
    if said == "disk_full":
        text = "There is no room on the disk to decrypt the file."
        return TryAgain.of("STORAGE_UNAVAILABLE", text, shown)
    if said == "not_encrypted":
        text = "The file has the ending of an encrypted one and is not encrypted."
        return AskTheSchool.of("FILE_NOT_ENCRYPTED", text, shown)
    return AskTheSchool.of("FILE_ENCRYPTION", _BROKEN.get(said, _BROKEN["damaged"]), shown)


_SETUP = {
    "no_private_key": "holds no private key that can be read.",
    "passphrase": "holds a private key that the passphrase does not open.",
    "key_expired": "holds a private key that has expired, was revoked, or is not for encryption.",
}
_SIGNATURE = {
    "signature": "The file is not signed with the key that was agreed, or was changed since.",
    "signature_packed": "The file's signature cannot be checked: the signed content is compressed, or "
    "there is none.",
}
_BROKEN = {
    "damaged": "The encrypted file is damaged or cut.",
    "old_cipher": "The file is encrypted with an old cipher, or without protection against changes.",
    "unknown_form": "The encrypted file is not written in a form that we can read.",
}


def _ids(found: object) -> str:
    ids = dict.fromkeys(str(one).upper() for one in found) if isinstance(found, list) else {}
    return ", ".join(ids)
