"""Reads the public keys that schools send, and refuses with words what is none, or too weak, or private."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from etl_lib.errors import AskTheSchool, Fault

LEAST_RSA_BITS = 3072
_LONGEST_TEXT = 64 * 1024
_ACCEPTED = "ed25519, ecdsa (nistp256, nistp384, nistp521), or rsa with at least 3072 bits"
_PLAIN_KINDS = frozenset(
    {"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"}
)
# every kind of key that OpenSSH writes, so that options before it and other words are told apart
_ANY_KIND = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9-]+(?:@openssh\.com)?")
_PRIVATE = re.compile(
    r"PRIVATE KEY|PuTTY-User-Key-File|Private-Lines|openssh-key-v1", re.IGNORECASE
)
_PRIVATE_BLOB = base64.b64encode(b"openssh-key-v1\0")[:16].decode()
_RFC4716 = re.compile(
    r"---- ?BEGIN SSH2 PUBLIC KEY ?----(?P<body>.*?)---- ?END SSH2 PUBLIC KEY ?----", re.DOTALL
)
_PEM = re.compile(
    r"-----BEGIN (?:RSA |EC )?PUBLIC KEY-----.*?-----END (?:RSA |EC )?PUBLIC KEY-----", re.DOTALL
)


@dataclass(frozen=True)
class PublicKey:
    """A key as SSH sends it: `kind` is its name there, `blob` its bytes."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it: `SHA256:` and 43 signs."""
        digest = hashlib.sha256(self.blob).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    @property
    def line(self) -> str:
        """One line of a key file, without a comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def words(self) -> str:
        """Kind and fingerprint, for people."""
        return f"{self.kind} {self.fingerprint}"

    @property
    def weakness(self) -> str:
        """Why the key would not be accepted today; empty when it would."""
        return _weakness(self.kind, self.blob)


def public_keys(text: str, where: str) -> tuple[PublicKey, ...]:
    """Every public key of what a school has sent: OpenSSH lines, PuTTYgen's file (RFC 4716) or PEM.

    `where` names the file in messages. Raises AskTheSchool with all faults at once: KEY_PRIVATE for a
    private key, KEY_REFUSED for anything else that is not to be used. Nothing of the text is repeated.
    """
    if _PRIVATE.search(text) or _PRIVATE_BLOB in text:
        said = "This is a private key, or a file that holds one; it was not read any further."
        raise AskTheSchool.of("KEY_PRIVATE", said, where)
    if len(text) > _LONGEST_TEXT:
        raise AskTheSchool.of("KEY_REFUSED", "The file is too long to be a public key.", where)
    found: list[PublicKey] = []
    faults: list[Fault] = []
    for line, given in _parts(text):
        place = f"{where}, line {line}"
        try:
            key = given if isinstance(given, PublicKey) else _of_line(given)
        except ValueError as refused:
            faults.append(Fault("KEY_REFUSED", str(refused), place))
            continue
        if weakness := key.weakness:
            faults.append(Fault("KEY_REFUSED", weakness, place))
        elif key not in found:
            found.append(key)
    if not found and not faults:
        faults.append(Fault("KEY_REFUSED", "The file holds no public key.", where))
    if faults:
        raise AskTheSchool(faults)
    return tuple(found)


def stored_keys(lines: Sequence[str]) -> tuple[list[PublicKey], list[int]]:
    """The keys of a file of ours, and the numbers (from 1) of lines that are neither key nor comment."""
    keys: list[PublicKey] = []
    other: list[int] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            key = _of_line(line)
        except ValueError:
            other.append(number)
            continue
        if key not in keys:
            keys.append(key)
    return keys, other


def _parts(text: str) -> list[tuple[int, str | PublicKey]]:
    """What may be a key, with the line on which it begins; PuTTYgen's and PEM blocks are taken whole."""
    parts: list[tuple[int, str | PublicKey]] = []

    def put(found: re.Match[str]) -> str:
        line = text.count("\n", 0, found.start()) + 1
        try:
            parts.append((line, _of_block(found)))
        except ValueError as refused:
            # said where a line is read: a text that no key begins with
            parts.append((line, f"!{refused}"))
        return "\n" * found.group(0).count("\n")

    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    rest = _PEM.sub(put, _RFC4716.sub(put, text))
    for number, line in enumerate(rest.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            parts.append((number, line.strip()))
    return sorted(parts, key=lambda part: part[0])


def _of_block(found: re.Match[str]) -> PublicKey:
    if found.re is _PEM:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization as s

        try:
            key: Any = s.load_pem_public_key(found.group(0).encode())
            line = key.public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(f"The key is damaged or of another kind than {_ACCEPTED}.") from None
        return _of_line(line.decode())
    lines = found.group("body").split("\n")
    # headers such as `Comment: …` may run on after a backslash
    body, header = [], False
    for line in lines:
        header = header or ":" in line
        if not header:
            body.append(line.strip())
        header = header and line.rstrip().endswith("\\")
    return _of_blob(_decoded("".join(body)))


def _of_line(line: str) -> PublicKey:
    """The key of one OpenSSH line; raises ValueError with words for people."""
    if line.startswith("!"):
        raise ValueError(line[1:])
    words = line.split()
    kind = words[0]
    if not _ANY_KIND.fullmatch(kind):
        if any(_ANY_KIND.fullmatch(word) for word in words[1:]):
            raise ValueError("Options stand before the key; only the key itself is taken.")
        raise ValueError("The line is no public key; a mail program may have broken it in two.")
    if kind not in _PLAIN_KINDS:
        raise ValueError(f"Keys of the kind {kind} are not accepted, only {_ACCEPTED}.")
    if len(words) < 2:
        raise ValueError("The key ends after its kind; copy the whole line.")
    key = _of_blob(_decoded(words[1]))
    if key.kind != kind:
        raise ValueError(f"The line says {kind}, and the key in it is {key.kind}.")
    return key


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("The key is damaged: signs are missing or were added.") from None


def _of_blob(blob: bytes) -> PublicKey:
    length = int.from_bytes(blob[:4], "big")
    kind = blob[4 : 4 + length].decode("ascii", "replace")
    if not _ANY_KIND.fullmatch(kind):
        raise ValueError("The key is damaged: signs are missing or were added.")
    if kind not in _PLAIN_KINDS:
        raise ValueError(f"Keys of the kind {kind} are not accepted, only {_ACCEPTED}.")
    _load(kind, blob)
    return PublicKey(kind, blob)


def _load(kind: str, blob: bytes) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        return load_ssh_public_key(f"{kind} {base64.b64encode(blob).decode()}".encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("The key is damaged: signs are missing or were added.") from None


def _weakness(kind: str, blob: bytes) -> str:
    if kind != "ssh-rsa":
        return ""
    bits: int = _load(kind, blob).key_size
    if bits >= LEAST_RSA_BITS:
        return ""
    return (
        f"The RSA key has {bits:,} bits; at least {LEAST_RSA_BITS:,} are needed, or an ed25519 key."
    )
