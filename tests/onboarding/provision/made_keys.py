"""Keys as schools make them, made anew for every test run."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa


def new_key(kind: str = "ed25519", size: int = 3072) -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(65537, size)
    curves = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
    if kind in curves:
        return ec.generate_private_key(curves[kind]())
    return ed25519.Ed25519PrivateKey.generate()


@cache
def kept_key(kind: str, size: int = 3072) -> Any:
    """One key of a kind for all tests: RSA takes long to make."""
    return new_key(kind, size)


def line(key: Any, comment: str = "") -> str:
    text = key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode()
    return f"{text} {comment}".strip() + "\n"


def pem(key: Any) -> str:
    public = key.public_key()
    return str(public.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo).decode())


def private(key: Any, form: str) -> str:
    formats = {
        "openssh": s.PrivateFormat.OpenSSH,
        "pkcs8": s.PrivateFormat.PKCS8,
        "pkcs1": s.PrivateFormat.TraditionalOpenSSL,
    }
    return str(key.private_bytes(s.Encoding.PEM, formats[form], s.NoEncryption()).decode())


def puttygen(key: Any) -> str:
    """The public file that PuTTYgen saves: RFC 4716, folded at 64 signs, with a comment that runs on."""
    body = line(key).split()[1]
    folded = "\r\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    head = '---- BEGIN SSH2 PUBLIC KEY ----\r\nComment: "a long comment that \\\r\nruns on"\r\n'
    return f"{head}{folded}\r\n---- END SSH2 PUBLIC KEY ----\r\n"
