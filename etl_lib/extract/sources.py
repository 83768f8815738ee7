"""Places from which a school's files come: a folder, an S3 prefix, a school's own SFTP server."""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from etl_lib import s3
from etl_lib.errors import AskTheSchool, EtlError, FixTheSetup, TryAgain
from etl_lib.extract import names
from etl_lib.storage import disk_full

_LINK = "it is a link"
_FOLDER = "it is a folder"
_NO_FILE = "it is no ordinary file"
# O_NOFOLLOW: between the look and the reading a file may have been replaced by a link. O_NONBLOCK:
# nor does a pipe in its place make us wait for ever.
_READ_NO_LINK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class RemoteFile:
    """A file as its place lists it."""

    name: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class RefusedFile:
    """Something in the folder that we do not touch. `name` is not safe to print: see `names.shown`."""

    name: str
    why: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder; schools have those for themselves."""
        return self.why == _FOLDER


@dataclass(frozen=True)
class Listing:
    """What lies in a folder: files that may be a delivery's, by name, and what is not touched."""

    files: tuple[RemoteFile, ...]
    refused: tuple[RefusedFile, ...] = ()


@runtime_checkable
class Source(Protocol):
    """A folder of files. Both methods raise TryAgain when the place does not answer."""

    def list(self) -> Listing:
        """What lies directly in the folder; hidden and unfinished files are passed over."""
        ...

    def download(self, name: str, target: BinaryIO) -> None:
        """Write the file's bytes to `target`."""
        ...


def _listing(found: Iterable[RemoteFile | RefusedFile]) -> Listing:
    """Sorts what a place has found: names that are passed over go, names that are refused are kept apart."""
    files, refused = [], []
    for one in found:
        if names.is_passed_over(one.name):
            continue
        if why := names.why_refused(one.name):
            refused.append(RefusedFile(one.name, why))
        elif isinstance(one, RefusedFile):
            refused.append(one)
        else:
            files.append(one)
    by_name = attrgetter("name")
    return Listing(tuple(sorted(files, key=by_name)), tuple(sorted(refused, key=by_name)))


@dataclass(frozen=True)
class LocalSource:
    """A folder on this machine; links are not followed."""

    folder: Path

    def list(self) -> Listing:
        """See Source."""
        try:
            with os.scandir(self.folder) as entries:
                return _listing([_local(entry) for entry in entries])
        except OSError as error:
            raise _away(f"The folder {self.folder}", error) from None

    def download(self, name: str, target: BinaryIO) -> None:
        """See Source."""
        try:
            with os.fdopen(os.open(self.folder / name, _READ_NO_LINK), "rb") as stream:
                shutil.copyfileobj(stream, target, 1 << 20)
        except FileNotFoundError:
            raise _gone(name) from None
        except OSError as error:
            raise _away(f"The folder {self.folder}", error) from None


def _local(entry: os.DirEntry[str]) -> RemoteFile | RefusedFile:
    status = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        return RefusedFile(entry.name, _why_no_file(status.st_mode))
    return RemoteFile(entry.name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _why_no_file(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return _LINK
    return _FOLDER if stat.S_ISDIR(mode) else _NO_FILE


@dataclass(frozen=True)
class S3Source:
    """A prefix of a bucket, through a boto3 client."""

    client: Any
    bucket: str
    prefix: str

    def list(self) -> Listing:
        """See Source."""
        prefix = self.prefix.strip("/") + "/"
        found: list[RemoteFile | RefusedFile] = []
        try:
            for page in s3.pages(self.client, self.bucket, prefix, delimiter="/"):
                for entry in page.get("Contents", ()):
                    name = entry["Key"][len(prefix) :]
                    found.append(RemoteFile(name, entry["Size"], entry["LastModified"]))
                for entry in page.get("CommonPrefixes", ()):
                    found.append(RefusedFile(entry["Prefix"][len(prefix) : -1], _FOLDER))
        except Exception as error:
            raise self._explained(error) from error
        return _listing(found)

    def download(self, name: str, target: BinaryIO) -> None:
        """See Source."""
        try:
            s3.download(self.client, self.bucket, f"{self.prefix.strip('/')}/{name}", target)
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

    def list(self) -> Listing:
        """See Source."""
        try:
            with self.connect() as sftp:
                entries = sftp.listdir_attr(self.path)
        except Exception as error:
            raise self._explained(error) from error
        return _listing([_remote(entry) for entry in entries])

    def download(self, name: str, target: BinaryIO) -> None:
        """See Source."""
        try:
            path = posixpath.join(self.path, name)
            with self.connect() as sftp:
                if not stat.S_ISREG(sftp.lstat(path).st_mode or 0):
                    raise _away("The file", OSError())  # replaced by a link since we looked
                sftp.getfo(path, target)
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
        if isinstance(error, UnicodeDecodeError):
            text = f"The name of a file in `{self.path}` is not written in UTF-8."
            return AskTheSchool.of("FILE_NAME_REFUSED", text)
        if isinstance(error, PermissionError):
            return FixTheSetup.of(
                "SOURCE_UNAVAILABLE", f"We may not read `{self.path}` of the server."
            )
        if isinstance(error, FileNotFoundError):
            return FixTheSetup.of("SOURCE_UNAVAILABLE", f"The server has no folder `{self.path}`.")
        if isinstance(error, SSHException | OSError | EOFError):
            return _away("The school's SFTP server", error)
        raise error


def _remote(entry: Any) -> RemoteFile | RefusedFile:
    """A file of an SFTP folder; its attributes are the link's own, not those of where it leads."""
    if not stat.S_ISREG(entry.st_mode or 0):
        return RefusedFile(entry.filename, _why_no_file(entry.st_mode or 0))
    modified = datetime.fromtimestamp(entry.st_mtime or 0, UTC)
    return RemoteFile(entry.filename, entry.st_size or 0, modified)


def _gone(name: str) -> TryAgain:
    return TryAgain.of("DELIVERY_CHANGED", "The file was taken away while we read it.", name)


def _away(place: str, error: Exception) -> TryAgain:
    if full := disk_full(error, "The disk of this worker"):
        return full
    return TryAgain.of("SOURCE_UNAVAILABLE", f"{place} does not answer ({type(error).__name__}).")
