"""Reads S3 through boto3, and takes no answer that was cut for a whole one.

A connection that closes within the headers of an answer gives boto3 (and Arrow's own S3 file system) an
answer without a body: a listing of nothing, an object of no bytes. What a whole answer must hold is
therefore looked for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_NO_SUCH_KEY = ("404", "NoSuchKey")
_IN_PARTS_BYTES = 64 << 20  # a file from this size on is sent in parts
_SMALL_BYTES = 1 << 20  # asked for first: of a small object that is all
_BLOCK_BYTES = 4 << 20  # asked for at once: columns of one file lie side by side


class CutAnswerError(OSError):
    """S3 has not given all that it was asked for."""


def pages(client: Any, bucket: str, prefix: str, delimiter: str = "") -> Iterator[dict[str, Any]]:
    """Pages of the listing of all keys that begin with `prefix`, as boto3 gives them.

    Raises CutAnswerError, and what boto3 raises.
    """
    asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter}
    for page in client.get_paginator("list_objects_v2").paginate(**asked):
        yield _whole(page)


def versions(client: Any, bucket: str, prefix: str) -> Iterator[dict[str, str]]:
    """Key and version of all that a bucket with versioning keeps below `prefix`; raises as `pages`."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for one in (*_whole(page).get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield {"Key": one["Key"], "VersionId": one["VersionId"]}


def _whole(page: dict[str, Any]) -> dict[str, Any]:
    if "IsTruncated" not in page:  # "KeyCount" some servers leave out when it is nought
        raise CutAnswerError("a listing was cut")
    return page


def size_bytes(client: Any, bucket: str, key: str) -> int | None:
    """The object's size, or None when there is none of this key; raises as `pages`."""
    from botocore.exceptions import ClientError

    try:
        found = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _code(error) in _NO_SUCH_KEY:
            return None
        raise
    if "ContentLength" not in found:
        raise CutAnswerError("an answer about an object was cut")
    return int(found["ContentLength"])


def download(client: Any, bucket: str, key: str, target: BinaryIO) -> None:
    """Write one version of the object into `target`, and never less than all of it; raises as `pages`.

    One request, not boto3's `download_fileobj`: after an answer that was cut that waits for ever.
    """
    answer = client.get_object(Bucket=bucket, Key=key)
    written = 0
    for block in answer["Body"].iter_chunks(_BLOCK_BYTES):
        written += target.write(block)
    if written != answer.get("ContentLength"):
        raise CutAnswerError("an object was cut while it was read")


def read(client: Any, bucket: str, key: str) -> bytes:
    """The whole object, in one request; raises as `opened`."""
    return _body(_got(client, bucket, key))


def write(client: Any, bucket: str, key: str, data: bytes | BinaryIO) -> None:
    """Put an object, in one request; raises what boto3 raises."""
    client.put_object(Bucket=bucket, Key=key, Body=data)


def upload(client: Any, bucket: str, key: str, source: Path) -> None:
    """Put a file: a large one in parts, side by side. Raises what boto3 raises.

    One request costs 1.3 ms of CPU for a small file, boto3's `upload_file`, which decides between both, 2.3.
    """
    if source.stat().st_size > _IN_PARTS_BYTES:
        client.upload_file(str(source), bucket, key)
        return
    with source.open("rb") as stream:
        write(client, bucket, key, stream)


def opened(client: Any, bucket: str, key: str) -> io.BufferedReader | io.BytesIO:
    """The object for reading at any place, a small one after one request.

    Raises FileNotFoundError, and as `pages`, also while it is read.
    """
    data, size = _begin(client, bucket, key)
    if len(data) == size:
        return io.BytesIO(data)
    return io.BufferedReader(_Object(client, bucket, key, size), _BLOCK_BYTES)


def _begin(client: Any, bucket: str, key: str) -> tuple[bytes, int]:
    """An object's first bytes, of a small one all of them, and its size."""
    from botocore.exceptions import ClientError

    try:
        answer = _got(client, bucket, key, Range=f"bytes=0-{_SMALL_BYTES - 1}")
    except ClientError as error:
        if _code(error) == "InvalidRange" and size_bytes(client, bucket, key) == 0:
            return b"", 0
        raise
    data = _body(answer)
    _, _, size = answer.get("ContentRange", "").rpartition("/")
    return data, int(size or len(data))


def _got(client: Any, bucket: str, key: str, **asked: str) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    try:
        answer: dict[str, Any] = client.get_object(Bucket=bucket, Key=key, **asked)
    except ClientError as error:
        if _code(error) in _NO_SUCH_KEY:
            raise FileNotFoundError(key) from None
        raise
    return answer


def _body(answer: dict[str, Any]) -> bytes:
    data: bytes = answer["Body"].read()
    if len(data) != answer.get("ContentLength"):
        raise CutAnswerError("an object was cut while it was read")
    return data


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code"))


class _Object(io.RawIOBase):
    """An object's bytes, asked for as they are needed."""

    def __init__(self, client: Any, bucket: str, key: str, size: int) -> None:
        super().__init__()
        self._client, self._bucket, self._key, self._size = client, bucket, key, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(self._size - self._at, 0))
        if not wanted:
            return 0
        span = f"bytes={self._at}-{self._at + wanted - 1}"
        data = _body(_got(self._client, self._bucket, self._key, Range=span))
        if len(data) != wanted:
            raise CutAnswerError("an object was cut while it was read")
        buffer[:wanted] = data
        self._at += wanted
        return wanted
