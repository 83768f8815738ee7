"""Where bytes lie between stages: the archive, the staging area and a client's outbox, on S3 or on disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from etl_lib import s3
from etl_lib.errors import TryAgain

if TYPE_CHECKING:
    from botocore.config import Config

_DELETED_AT_ONCE = 1000  # more S3 does not take
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SCRATCH = "etl-scratch-"


@dataclass(frozen=True)
class Storage:
    """A folder on disk or a prefix of a bucket, addressed by keys such as `staging/a/rows.arrow`.

    Objects appear whole or not at all. Every method raises TryAgain (STORAGE_UNAVAILABLE) when the
    storage does not answer, and FileNotFoundError where a key that is read does not exist.

    `root`: the folder, or bucket/prefix. `client`: of boto3; None on disk.
    """

    root: str
    client: Any = None

    @classmethod
    def local(cls, folder: Path) -> Storage:
        """A folder on this machine, made when it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(str(folder.resolve()))

    @classmethod
    def s3(
        cls, bucket: str, *, access_key: str | None = None, secret_key: str | None = None,
        session_token: str | None = None, endpoint_url: str | None = None, region: str | None = None,
        config: Config | None = None,
    ) -> Storage:  # fmt: skip
        """A bucket; without keys the machine's own AWS identity is used. `config`: more settings of botocore."""
        import boto3  # a seventh of a second that local folders do not pay
        from botocore.config import Config

        client = boto3.client(
            "s3",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=session_token,
            endpoint_url=endpoint_url,
            region_name=region or "us-east-1",
            config=Config(connect_timeout=10, read_timeout=60).merge(config or Config()),
        )
        return cls(bucket, client)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder on this machine."""
        return self.client is None

    def at(self, *parts: str) -> Storage:
        """A folder below this one; `..` and absolute parts are refused with ValueError."""
        return Storage(self._path("/".join(parts)), self.client)

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        return self.size_bytes(key) is not None

    def size_bytes(self, key: str) -> int | None:
        """The object's size, or None when there is none of this key."""
        with _answering(self.root):
            if not self.is_local:
                return s3.size_bytes(self.client, *self._place(key))
            path = Path(self._path(key))
            return path.stat().st_size if path.is_file() else None

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of all objects below `prefix`, sorted; empty when there are none."""
        folder = self._path(prefix) if prefix else self.root
        with _answering(self.root):
            if self.is_local:
                paths = [str(p) for p in Path(folder).rglob("*") if p.is_file()]
            else:
                bucket, _, below = folder.partition("/")
                found = s3.pages(self.client, bucket, f"{below}/" if below else "")
                paths = [f"{bucket}/{o['Key']}" for page in found for o in page.get("Contents", ())]
        return sorted(p.removeprefix(f"{self.root}/") for p in paths if not _is_part(p))

    def holds_files(self) -> bool:
        """Whether anything lies here; in a bucket the empty object that shows the folder is nothing."""
        if self.is_local:
            return bool(self.keys())
        bucket, _, folder = self.root.partition("/")
        asked = {"Bucket": bucket, "Prefix": f"{folder}/", "MaxKeys": 2}
        with _answering(self.root):
            found = self.client.list_objects_v2(**asked).get("Contents", ())
        return any(one["Key"] != f"{folder}/" for one in found)

    @contextmanager
    def reading(self, key: str) -> Iterator[pa.NativeFile]:
        """The object opened for reading at any place."""
        with _answering(self.root):
            if self.is_local:
                stream: pa.NativeFile = pa.OSFile(self._path(key))
            else:
                stream = pa.PythonFile(s3.opened(self.client, *self._place(key)), mode="r")
        with stream:
            try:
                yield stream
            except Exception as error:
                if not (isinstance(error, s3.CutAnswerError) or _of_boto(error)):
                    raise
                raise _does_not_answer(self.root, error) from error

    def read_bytes(self, key: str) -> bytes:
        """The whole object; for small ones."""
        with _answering(self.root):
            if self.is_local:
                return Path(self._path(key)).read_bytes()
            return s3.read(self.client, *self._place(key))

    def find_bytes(self, key: str) -> bytes | None:
        """The whole object, or None when there is none of this key; for small ones."""
        try:
            return self.read_bytes(key)
        except FileNotFoundError:
            return None

    def write_bytes(self, key: str, data: bytes) -> None:
        """Write a small object, replacing one of the same key."""
        with _answering(self.root):
            if self.is_local:
                _write(io.BytesIO(data), Path(self._path(key)))
            else:
                s3.write(self.client, *self._place(key), data)

    def put_file(self, source: Path, key: str) -> None:
        """Move a finished local file to `key`, in the place of an object of the same key."""
        with _answering(self.root):
            if self.is_local:
                _move(source, Path(self._path(key)))
            else:
                s3.upload(self.client, *self._place(key), source)
                source.unlink()

    def get_file(self, key: str, target: Path) -> None:
        """Copy the object to a local file."""
        if self.is_local:
            with _answering(self.root):
                shutil.copyfile(self._path(key), target)
            return
        with self.reading(key) as stream, target.open("wb") as out, _answering(self.root):
            shutil.copyfileobj(stream, out, 1 << 20)

    def delete(self, key: str) -> None:
        """Remove one object; nothing happens when there is none of this key."""
        with _answering(self.root):
            if self.is_local:
                Path(self._path(key)).unlink(missing_ok=True)
                return
            bucket, name = self._place(key)
            self.client.delete_object(Bucket=bucket, Key=name)

    def delete_all(self) -> None:
        """Remove everything below this folder; nothing happens when there is nothing."""
        if self.is_local:
            with _answering(self.root):
                # a repeated report may be at it as well: what is gone is gone
                shutil.rmtree(self.root, onerror=_unless_gone)
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

    def _place(self, key: str) -> tuple[str, str]:
        """Bucket and the object's whole key in it."""
        bucket, _, name = self._path(key).partition("/")
        return bucket, name


@dataclass(frozen=True)
class Draft(Storage):
    """A storage that also reads what `below` holds; whatever is written or deleted stays in itself."""

    below: Storage | None = None

    @classmethod
    def over(cls, below: Storage, own: Storage) -> Draft:
        """What is written over `below` goes to `own`."""
        return cls(own.root, own.client, below)

    def size_bytes(self, key: str) -> int | None:
        """See Storage."""
        own = super().size_bytes(key)
        return own if own is not None or self.below is None else self.below.size_bytes(key)

    @contextmanager
    def reading(self, key: str) -> Iterator[pa.NativeFile]:
        """See Storage."""
        with self._holder(key).reading(key) as stream:
            yield stream

    def read_bytes(self, key: str) -> bytes:
        """See Storage."""
        return self._holder(key).read_bytes(key)

    def get_file(self, key: str, target: Path) -> None:
        """See Storage."""
        self._holder(key).get_file(key, target)

    def _holder(self, key: str) -> Storage:
        own = Storage(self.root, self.client)
        return own if self.below is None or own.exists(key) else self.below


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
        if full := disk_full(error, f"The disk of `{root}`"):
            raise full from error
        raise _does_not_answer(root, error) from error


def _does_not_answer(root: str, error: Exception) -> TryAgain:
    return TryAgain.of("STORAGE_UNAVAILABLE", f"`{root}` does not answer: {type(error).__name__}.")


def _of_boto(error: Exception) -> bool:
    """Whether it is one of boto3's own errors; told by name, since boto3 may not be imported."""
    homes = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(homes & {"boto3", "botocore", "s3transfer", "urllib3"})


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def disk_full(error: BaseException, disk: str) -> TryAgain | None:
    """What to raise for an error that says that a disk of ours has no room; None for any other."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return TryAgain.of("DISK_FULL", f"{disk} is full.")
    return None


# --- files of a process at work: locked, so that those of a killed one are known and removed -----------


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for this process's files, removed at the end of the block.

    A process that is killed cannot remove its folder, and pupils' data lies in it; so whoever makes
    one first removes those whose owner is gone.
    """
    place = Path(tempfile.gettempdir())
    for old in place.glob(f"{_SCRATCH}*"):
        _remove_abandoned(old)
    folder, descriptor = _locked_folder(place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked_folder(place: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=place))
        with contextlib.suppress(OSError):  # swept before it was locked: make another
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError:  # to another disk
        with source.open("rb") as stream:
            _write(stream, target)
        source.unlink()


def _write(stream: BinaryIO, target: Path) -> None:
    """Copy the stream so that the target appears whole; unfinished copies of killed processes go."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for old in target.parent.glob("*.part"):
        _remove_abandoned(old)
    part = Path(f"{target}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            shutil.copyfileobj(stream, out, 1 << 20)
            out.flush()
            part.replace(target)  # while it is locked: nobody takes it for abandoned
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _unless_gone(_: Any, __: str, what: Any) -> None:
    if not isinstance(what[1], FileNotFoundError):
        raise what[1]


def _is_part(path: str) -> bool:
    return path.endswith(".part")


def _remove_abandoned(path: Path) -> None:
    """Remove a file or folder of ours that no process has locked."""
    with contextlib.suppress(OSError):  # another's, or gone already, or at work
        if path.is_symlink() or path.stat().st_uid != os.getuid():
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
