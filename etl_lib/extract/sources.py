"""Places from which a school's files come: a folder, an S3 prefix, a school's own SFTP server."""

from __future__ import annotations

import posixpath
import shutil
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from etl_lib.errors import EtlError, FixTheSetup, TryAgain
from etl_lib.storage import disk_full

# What upload programs write while they are not done, and names that could lead out of a folder.
_UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload", ".partial", ".swp")
_HOSTILE = ("\0", "/", "\\", "\u202e", "\u202d", "\u2066", "\u2067", "\u2068", "\n", "\r")
_LONGEST_NAME_BYTES = 255


@dataclass(frozen=True)
class RemoteFile:
    """A file as its place lists it."""

    name: str
    size_bytes: int
    modified_at: datetime


@runtime_checkable
class Source(Protocol):
    """A folder of files. Both methods raise TryAgain when the place does not answer."""

    def list(self) -> list[RemoteFile]:
        """The files directly in the folder, by name; unfinished and hostile names are left out."""
        ...

    def download(self, name: str, target: BinaryIO) -> None:
        """Write the file's bytes to `target`."""
        ...


def is_acceptable(name: str) -> bool:
    """Whether a name is one that a school's export would have, and safe to handle."""
    if not name or name.startswith(".") or name.lower().endswith(_UNFINISHED):
        return False
    if len(name.encode(errors="replace")) > _LONGEST_NAME_BYTES:
        return False
    return not any(sign in name for sign in _HOSTILE)


@dataclass(frozen=True)
class LocalSource:
    """A folder on this machine; links are not followed."""

    folder: Path

    def list(self) -> list[RemoteFile]:
        """See Source."""
        try:
            entries = sorted(self.folder.iterdir())
        except OSError as error:
            raise _away(f"The folder {self.folder}", error) from None
        found = []
        for path in entries:
            if path.is_symlink() or not path.is_file() or not is_acceptable(path.name):
                continue
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # replaced or taken away since it was listed
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
            found.append(RemoteFile(path.name, status.st_size, modified))
        return found

    def download(self, name: str, target: BinaryIO) -> None:
        """See Source."""
        try:
            with (self.folder / name).open("rb") as stream:
                shutil.copyfileobj(stream, target, 1 << 20)
        except FileNotFoundError:
            raise _gone(name) from None
        except OSError as error:
            raise _away(f"The folder {self.folder}", error) from None


@dataclass(frozen=True)
class S3Source:
    """A prefix of a bucket, through a boto3 client."""

    client: Any
    bucket: str
    prefix: str

    def list(self) -> list[RemoteFile]:
        """See Source."""
        prefix = self.prefix.strip("/") + "/"
        found = []
        try:
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    name = entry["Key"][len(prefix) :]
                    if is_acceptable(name):
                        found.append(RemoteFile(name, entry["Size"], entry["LastModified"]))
        except Exception as error:
            raise self._explained(error) from error
        return sorted(found, key=lambda file: file.name)

    def download(self, name: str, target: BinaryIO) -> None:
        """See Source."""
        try:
            self.client.download_fileobj(self.bucket, f"{self.prefix.strip('/')}/{name}", target)
        except Exception as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> EtlError:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("NoSuchKey", "404"):
                return TryAgain.of("DELIVERY_CHANGED", "A file was taken away while we read.")
            if code in (
                "NoSuchBucket",
                "AccessDenied",
                "403",
                "InvalidAccessKeyId",
                "SignatureDoesNotMatch",
            ):
                text = f"The bucket `{self.bucket}` refuses us: {code}."
                return FixTheSetup.of("SOURCE_UNAVAILABLE", text)
        if isinstance(error, BotoCoreError | ClientError | OSError):
            return _away(f"The bucket {self.bucket}", error)
        raise error


@dataclass(frozen=True)
class SftpSource:
    """A folder of an SFTP server; `connect` gives a context manager of a paramiko SFTPClient."""

    connect: Callable[[], AbstractContextManager[Any]]
    path: str

    def list(self) -> list[RemoteFile]:
        """See Source."""
        try:
            with self.connect() as sftp:
                entries = sftp.listdir_attr(self.path)
        except Exception as error:
            raise self._explained(error) from error
        return sorted(
            (
                RemoteFile(e.filename, e.st_size or 0, datetime.fromtimestamp(e.st_mtime or 0, UTC))
                for e in entries
                if stat.S_ISREG(e.st_mode or 0) and is_acceptable(e.filename)
            ),
            key=lambda file: file.name,
        )

    def download(self, name: str, target: BinaryIO) -> None:
        """See Source."""
        try:
            with self.connect() as sftp:
                sftp.getfo(posixpath.join(self.path, name), target)
        except FileNotFoundError:
            raise _gone(name) from None
        except Exception as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> EtlError:
        from paramiko import AuthenticationException, BadHostKeyException, SSHException

        if isinstance(error, BadHostKeyException):
            text = "The school's SFTP server shows another host key than the one we know."
            return FixTheSetup.of(
                "SOURCE_UNAVAILABLE", text, hint="Ask the school before trusting it."
            )
        if isinstance(error, AuthenticationException) and any(
            word in str(error) for word in ("saw EOF", "timeout")
        ):  # paramiko's word for a connection that was cut before the server had answered
            return _away("The school's SFTP server", error)
        if isinstance(error, AuthenticationException):
            return FixTheSetup.of("SOURCE_UNAVAILABLE", "The school's SFTP server refuses our key.")
        if isinstance(error, SSHException) and "known_hosts" in str(error):
            text = "The connection has no host key, so the server cannot be trusted."
            return FixTheSetup.of("SOURCE_UNAVAILABLE", text, hint="Put `host_key` in its extra.")
        if isinstance(error, PermissionError):
            return FixTheSetup.of(
                "SOURCE_UNAVAILABLE", f"We may not read `{self.path}` of the server."
            )
        if isinstance(error, FileNotFoundError):
            return FixTheSetup.of("SOURCE_UNAVAILABLE", f"The server has no folder `{self.path}`.")
        if isinstance(error, SSHException | OSError | EOFError):
            return _away("The school's SFTP server", error)
        raise error


def _gone(name: str) -> TryAgain:
    return TryAgain.of("DELIVERY_CHANGED", "The file was taken away while we read it.", name)


def _away(place: str, error: Exception) -> TryAgain:
    if full := disk_full(error, "The disk of this worker"):
        return full
    return TryAgain.of("SOURCE_UNAVAILABLE", f"{place} does not answer ({type(error).__name__}).")
