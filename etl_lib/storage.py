"""Where bytes lie between stages: the archive, the staging area and a client's outbox, on S3 or on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow import fs

from etl_lib.errors import TryAgain

_DELETED_AT_ONCE = 1000  # more S3 does not take


@dataclass(frozen=True)
class Storage:
    """A folder of a file system, addressed by keys such as `staging/a/rows.parquet`.

    Objects appear whole or not at all. Every method raises TryAgain (STORAGE_UNAVAILABLE) when the
    storage does not answer, and FileNotFoundError where a key that is read does not exist.
    """

    filesystem: fs.FileSystem
    root: str
    client: Any = None  # boto3: pyarrow's own copy to S3 hides an upload that failed

    @classmethod
    def local(cls, folder: Path) -> Storage:
        """A folder on this machine, made when it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(fs.LocalFileSystem(), str(folder.resolve()))

    @classmethod
    def s3(
        cls, bucket: str, *, access_key: str | None = None, secret_key: str | None = None,
        session_token: str | None = None, endpoint_url: str | None = None, region: str | None = None,
    ) -> Storage:  # fmt: skip
        """A bucket; without keys the machine's own AWS identity is used."""
        import boto3  # a seventh of a second that local folders do not pay

        scheme, _, host = (endpoint_url or "").rpartition("://")
        filesystem = fs.S3FileSystem(
            access_key=access_key,
            secret_key=secret_key,
            session_token=session_token,
            endpoint_override=host or None,
            scheme=scheme or "https",
            region=region or "us-east-1",
            connect_timeout=10,
            request_timeout=60,
        )
        client = boto3.client(
            "s3",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=session_token,
            endpoint_url=endpoint_url,
            region_name=region or "us-east-1",
        )
        return cls(filesystem, bucket, client)

    def at(self, *parts: str) -> Storage:
        """A folder below this one; `..` and absolute parts are refused with ValueError."""
        return Storage(self.filesystem, self._path("/".join(parts)), self.client)

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        with _answering(self.root):
            return bool(self.filesystem.get_file_info(self._path(key)).type == fs.FileType.File)

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of all objects below `prefix`, sorted; empty when there are none."""
        folder = self._path(prefix) if prefix else self.root
        with _answering(self.root):
            selector = fs.FileSelector(folder, recursive=True, allow_not_found=True)
            found = self.filesystem.get_file_info(selector)
        paths = [info.path for info in found if info.type == fs.FileType.File]
        return sorted(str(PurePosixPath(path).relative_to(self.root)) for path in paths)

    @contextmanager
    def reading(self, key: str) -> Iterator[pa.NativeFile]:
        """The object opened for reading at any place."""
        with _answering(self.root):
            stream = self.filesystem.open_input_file(self._path(key))
        with stream:
            yield stream

    def read_bytes(self, key: str) -> bytes:
        """The whole object; for small ones."""
        with self.reading(key) as stream, _answering(self.root):
            return bytes(stream.read())

    def write_bytes(self, key: str, data: bytes) -> None:
        """Write a small object, replacing one of the same key."""
        with tempfile.NamedTemporaryFile() as scratch:
            scratch.write(data)
            scratch.flush()
            self.put_file(Path(scratch.name), key)

    def put_file(self, source: Path, key: str) -> None:
        """Copy a finished local file to `key`, replacing an object of the same key."""
        target = self._path(key)
        if isinstance(self.filesystem, fs.LocalFileSystem):
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            part = Path(f"{target}.{os.getpid()}.part")
            shutil.copyfile(source, part)
            part.replace(target)
            return
        with _answering(self.root):
            bucket, _, name = target.partition("/")
            self.client.upload_file(str(source), bucket, name)

    def get_file(self, key: str, target: Path) -> None:
        """Copy the object to a local file."""
        with self.reading(key) as stream, target.open("wb") as out, _answering(self.root):
            shutil.copyfileobj(stream, out, 1 << 20)

    def delete_all(self) -> None:
        """Remove everything below this folder; nothing happens when there is nothing."""
        if isinstance(self.filesystem, fs.LocalFileSystem):
            with _answering(self.root):
                self.filesystem.delete_dir_contents(self.root, missing_dir_ok=True)
            return
        bucket, _, folder = self.root.partition("/")
        names = [{"Key": f"{folder}/{key}"} for key in self.keys()]
        with _answering(self.root):
            for first in range(0, len(names), _DELETED_AT_ONCE):
                some = names[first : first + _DELETED_AT_ONCE]
                answer = self.client.delete_objects(Bucket=bucket, Delete={"Objects": some})
                if failed := len(answer.get("Errors", ())):
                    raise OSError(f"{failed} objects could not be deleted")

    def _path(self, key: str) -> str:
        pure = PurePosixPath(key)
        if pure.is_absolute() or ".." in pure.parts or "\0" in key:
            raise ValueError(f"not a key below {self.root}")
        return f"{self.root}/{pure}"


@contextmanager
def _answering(root: str) -> Iterator[None]:
    """A storage that fails is for trying again; a key that is not there is the caller's matter."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        if not (isinstance(error, OSError) or _of_boto(error)):
            raise
        text = f"`{root}` does not answer: {type(error).__name__}."
        raise TryAgain.of("STORAGE_UNAVAILABLE", text) from error


def _of_boto(error: Exception) -> bool:
    """Whether it is one of boto3's own errors; told by name, since boto3 may not be imported."""
    homes = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(homes & {"boto3", "botocore", "s3transfer"})
