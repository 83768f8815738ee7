"""S3 and SFTP over one folder, served by rclone: the local twin of AWS Transfer Family in front of S3."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from local_stack.processes import Process, answers, free_port

STORAGE_BUCKET = "etl-development"
CLIENTS_BUCKET = "school-files-development"
_RCLONE = Path(sys.executable).parent / "rclone"
_LOGIN = Path(__file__).parents[1] / "deploy" / "compose" / "sftp_login.py"
_START_LIMIT_S = 20
# short, so that an upload over SFTP is soon listed in S3; at 0s rclone takes seconds for every PUT
_LISTING_AGE = "1s"


def secret(path: Path, make: bytes | None = None) -> str:
    """The secret in a file that only its owner may read; made at the first call."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(make or secrets.token_hex(20).encode())
    return path.read_text()


def key_pair(path: Path) -> str:
    """An ed25519 key pair `path` and `path.pub`, made at the first call; gives the public line."""
    public = path.with_name(f"{path.name}.pub")
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        line = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        secret(path, private)
        # beside a key that somebody has put there: a file may hold several
        with public.open("ab") as out:
            out.write(line + b"\n")
    return public.read_text().strip()


def fingerprint(public_line: str) -> str:
    """How people compare a public key `ssh-ed25519 AAAA…`: `SHA256:` and 43 signs, as ssh-keygen -l has it."""
    digest = hashlib.sha256(base64.b64decode(public_line.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


@dataclass
class ObjectStore:
    """`rclone serve s3` over `folder`; a bucket is a folder in it."""

    folder: Path
    state: Path
    port: int = 0
    process: Process | None = None

    def start(self) -> None:
        """Serve on a free port with a key of its own."""
        for bucket in (STORAGE_BUCKET, CLIENTS_BUCKET):
            (self.folder / bucket).mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        command = [str(_RCLONE), "serve", "s3", str(self.folder), "--addr", f"127.0.0.1:{self.port}",
                   "--dir-cache-time", _LISTING_AGE]  # fmt: skip
        # the key pair goes through the environment: arguments are seen by every user of the machine
        # (in double quotes: rclone reads a list of pairs as CSV)
        environ = {
            **_rclone_environ(self.state),
            "RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"',
        }
        self.process = Process.start(
            "the S3 server", command, self.state / "logs" / "s3.log", environ
        )
        self.process.wait_until(answers(self.port), _START_LIMIT_S)

    @property
    def access_key(self) -> str:
        """The S3 access key."""
        return secret(self.state / "s3_access_key")

    @property
    def secret_key(self) -> str:
        """The S3 secret key."""
        return secret(self.state / "s3_secret_key")

    @property
    def endpoint_url(self) -> str:
        """Where the S3 server answers."""
        return f"http://127.0.0.1:{self.port}"


@dataclass
class SftpServer:
    """`rclone serve sftp`: each user has a key and a root folder of its own, and nothing else."""

    name: str
    roots: Path
    users: Sequence[str]
    state: Path
    folders: Sequence[str]
    port: int = 0
    process: Process | None = None

    def start(self) -> None:
        """Make keys and folders of all users, and serve on a free port."""
        self.key_folder.mkdir(parents=True, exist_ok=True)
        for user in self.users:
            self.add_user(user)
        key_pair(self._host_key_path)
        self.port = free_port()
        words = [
            sys.executable,
            "-I",
            str(_LOGIN),
            str(self.key_folder),
            str(self.roots),
        ]
        login = " ".join([*words, *self.folders])
        command = [str(_RCLONE), "serve", "sftp", "--addr", f"127.0.0.1:{self.port}",
                   "--key", str(self._host_key_path), "--auth-proxy", login,
                   "--dir-cache-time", _LISTING_AGE]  # fmt: skip
        log = self.state / "logs" / f"sftp_{self.name}.log"
        self.process = Process.start(
            f"the SFTP server ({self.name})", command, log, _rclone_environ(self.state)
        )
        self.process.wait_until(answers(self.port), _START_LIMIT_S)

    def add_user(self, user: str) -> None:
        """Make the user's key and folders, also while the server runs; those that are there stay."""
        key_pair(self.key_path(user))
        for folder in self.folders:
            (self.roots / user / folder).mkdir(parents=True, exist_ok=True)

    def key_path(self, user: str) -> Path:
        """The user's private key."""
        return self.key_folder / user

    @property
    def key_folder(self) -> Path:
        """Where the login looks for `<user>.pub`, one key a line."""
        return self.state / "keys" / self.name

    @property
    def host_key(self) -> str:
        """The server's public key, `ssh-ed25519 AAAA…`: clients check it."""
        return key_pair(self._host_key_path)

    @property
    def _host_key_path(self) -> Path:
        return self.state / "keys" / f"host_{self.name}"


def _rclone_environ(state: Path) -> dict[str, str]:
    """No configuration of the person who runs the stack."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(state),
        "RCLONE_CONFIG": str(state / "rclone.conf"),
    }
