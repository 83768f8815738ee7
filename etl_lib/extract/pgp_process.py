"""Decrypts one OpenPGP message, as a process of its own: run by path, knows nothing of the project.

A process of its own because the library holds Python's lock from the first byte to the last, so that
nothing in the same process could bound what it writes; here the kernel does (RLIMIT_FSIZE). Keys come
through standard input, never on the command line or in the environment, which others can read.

In: JSON with `input` and `output` (paths), `keys` (texts of private keys), `passphrase`, `signer`
(text of a public key, or null), `most_bytes`. Out: JSON with `said` (`done`, or why not), `recipients`
(key ids the message was encrypted for; zeros: the sender hides it) and `ours`.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from pysequoia import Cert, PyDecryptor, Tsk, decrypt_file
from pysequoia.packet import Packet, PacketPile, Tag

_HEAD_BYTES = 1 << 16
_ARMOR = b"-----BEGIN PGP MESSAGE-----"
# Packet tags of RFC 9580, section 5
_PKESK, _SKESK, _MARKER, _PADDING = 1, 3, 10, 21
_ENCRYPTED = (9, 18, 20)
_HIDDEN = "0" * 16
# What the library says, as its versions in requirements.in say it; anything else means: damaged.
_SAID = {
    "No key to decrypt": "other_key",
    "Policy rejected": "old_cipher",
    "No session key decrypted": "old_cipher",
    "Malformed OpenPGP message": "unknown_form",
    "Unexpected message structure": "signature_packed",
    "no valid signatures found": "signature",
    "File too large": "too_large",
    "No space left": "disk_full",
}


class Head(NamedTuple):
    """How a message begins."""

    recipients: list[str]
    is_encrypted: bool


class OurKey(NamedTuple):
    """One key of ours that may decrypt: its id and the packets that make it a whole key."""

    key_id: str
    packets: list[Packet]


def head_of(data: bytes) -> Head:
    """The recipients that a message names at its beginning (binary or armored)."""
    recipients: list[str] = []
    for tag, body in _packets(_dearmored(data)):
        if tag in _ENCRYPTED:
            return Head(recipients, True)
        if tag == _PKESK and len(body) > 10:
            recipients.append(_key_id(body))
        elif tag not in (_SKESK, _PKESK, _MARKER, _PADDING):
            break
    return Head(recipients, False)


def _key_id(body: bytes) -> str:
    if body[0] == 3:
        return body[1:9].hex()
    fingerprint = body[3 : 2 + body[1]]  # version 6: a length, the key's version, its fingerprint
    return (fingerprint[:8] if body[2] == 6 else fingerprint[-8:]).hex() or _HIDDEN


def _dearmored(data: bytes) -> bytes:
    if data[:1] and data[0] & 0x80:
        return data
    _, found, text = data.partition(_ARMOR)
    lines = text.replace(b"\r", b"").split(b"\n")
    if not found or b"" not in lines[1:]:
        return b""
    body = b"".join(lines[lines.index(b"", 1) + 1 : -1]).partition(b"=")[0].partition(b"-")[0]
    return base64.b64decode(body[: len(body) // 4 * 4])


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each packet, until one whose length is not known at its beginning."""
    place = 0
    while place + 6 <= len(data) and data[place] & 0x80:
        first = data[place]
        place += 1
        if first & 0x40:
            tag = first & 0x3F
            size = data[place]
            if 224 <= size < 255:
                yield tag, b""
                return
            width = 1 if size < 192 else 2 if size < 224 else 5
            length = (
                size if width == 1
                else ((size - 192) << 8) + data[place + 1] + 192 if width == 2
                else int.from_bytes(data[place + 1 : place + 5])
            )  # fmt: skip
        else:
            tag = first >> 2 & 0x0F
            if first & 3 == 3:
                yield tag, b""
                return
            width = 1 << (first & 3)
            length = int.from_bytes(data[place : place + width])
        place += width
        yield tag, data[place : place + length]
        place += length


def our_keys(text: str) -> list[OurKey]:
    """Every key of a text (one or more armored blocks), each subkey with its primary key.

    The library's own choice among several subkeys is the first; a key that was renewed has more.
    """
    found: list[OurKey] = []
    for block in _blocks(text):
        main: list[Packet] = []
        subkeys: list[list[Packet]] = []
        for packet in PacketPile.from_bytes(block):
            if packet.tag in (Tag.SecretKey, Tag.PublicKey):
                found += _keys(main, subkeys)
                main, subkeys = [packet], []
            elif packet.tag in (Tag.SecretSubkey, Tag.PublicSubkey):
                subkeys.append([packet])
            else:
                (subkeys[-1] if subkeys else main).append(packet)
        found += _keys(main, subkeys)
    return found


def _blocks(text: str) -> Iterator[bytes]:
    begin = "-----BEGIN PGP PRIVATE KEY BLOCK-----"
    for part in text.split(begin)[1:]:
        yield (begin + part).encode()


def _keys(main: list[Packet], subkeys: list[list[Packet]]) -> Iterator[OurKey]:
    for subkey in subkeys:
        if subkey[0].tag == Tag.SecretSubkey:
            yield OurKey(subkey[0].key_id or "", [*main, *subkey])
    if main and main[0].tag == Tag.SecretKey:
        yield OurKey(main[0].key_id or "", main)


def _decryptor(key: OurKey, passphrase: str | None) -> PyDecryptor:
    tsk = Tsk.from_packets(key.packets)
    try:
        return tsk.decryptor()
    except RuntimeError as error:
        if passphrase is None or "encrypted" not in _first_line(error):
            raise
    return tsk.decryptor(passphrase)


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """Do what the order says; see above."""
    with open(order["input"], "rb") as stream:  # noqa: PTH123
        head = head_of(stream.read(_HEAD_BYTES))
    result: dict[str, Any] = {"recipients": head.recipients, "ours": []}
    try:
        ours = [key for text in order["keys"] for key in our_keys(text)]
    except (RuntimeError, ValueError):
        ours = []
    result["ours"] = [key.key_id for key in ours]
    if not ours:
        return result | {"said": "no_private_key"}
    if not head.is_encrypted:
        return result | {"said": "not_encrypted"}
    fitting = [k for k in ours if k.key_id in head.recipients or _HIDDEN in head.recipients]
    said = "other_key"
    for key in fitting:
        try:
            decryptor = _decryptor(key, order["passphrase"])
        except RuntimeError as error:
            expired = "No suitable" in _first_line(error)
            said = "key_expired" if expired else "passphrase"
            continue
        said = _decrypt(order, decryptor)
        if said != "other_key":
            break
    return result | {"said": said}


def _decrypt(order: dict[str, Any], decryptor: PyDecryptor) -> str:
    signer = Cert.from_bytes(order["signer"].encode()) if order["signer"] else None
    try:
        decrypt_file(
            input=order["input"],
            output=order["output"],
            decryptor=decryptor,
            store=(lambda _: [signer]) if signer else None,
        )
    except (RuntimeError, OSError) as error:
        text = _first_line(error)
        return next((said for part, said in _SAID.items() if part in text), "damaged")
    return "done"


def _first_line(error: Exception) -> str:
    """Without the stack of calls that the library appends."""
    return str(error).split("\n", 1)[0]


def main() -> None:
    """One order in, one answer out."""
    order = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no picture of keys or content on the disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (order["most_bytes"], order["most_bytes"]))
    json.dump(answer(order), sys.stdout)


if __name__ == "__main__":
    main()
