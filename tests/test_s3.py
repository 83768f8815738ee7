"""Answers of S3 that end within their headers: never taken for an empty folder or an empty object."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from etl_lib.errors import TryAgain
from etl_lib.extract import S3Source
from etl_lib.s3 import _SMALL_BYTES
from etl_lib.storage import Storage

LISTING = (
    b'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>'
    b"<Contents><Key>school/people.csv</Key><Size>3</Size><LastModified>2026-01-01T00:00:00Z</LastModified>"
    b"</Contents></ListBucketResult>"
)
SIZE = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n"
LARGE = b"abc" * _SMALL_BYTES
Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(*answers)`: the address of a server that gives one answer to each connection, and closes it."""
    sockets = []

    def start(*answers: bytes) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def work() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        threading.Thread(target=work, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for one in sockets:
        one.close()


def storage(address: str) -> Storage:
    return Storage.s3("bucket", access_key="key", secret_key="secret", endpoint_url=address)


@pytest.mark.parametrize("at", [17, 30, 60])
def test_a_listing_that_ends_within_its_headers_is_no_empty_folder(serve: Serve, at: int) -> None:
    whole = SIZE % len(LISTING) + LISTING
    address = serve(whole[:at], whole, whole[:at], whole)
    source = S3Source(storage(address).client, "bucket", "school")
    with pytest.raises(TryAgain, match="SOURCE_UNAVAILABLE"):
        source.list()
    assert [file.name for file in source.list().files] == ["people.csv"]
    with pytest.raises(TryAgain, match="STORAGE_UNAVAILABLE"):
        storage(address).at("school").keys()
    assert storage(address).at("school").keys() == ["people.csv"]


def test_an_object_whose_answers_are_cut_is_never_read_as_an_empty_or_shorter_one(
    serve: Serve,
) -> None:
    small, large = SIZE % 3 + b"abc", begin_of(LARGE) + LARGE[:_SMALL_BYTES]
    for answer in (small[:30], small[:-2]):
        with pytest.raises(TryAgain, match="STORAGE_UNAVAILABLE"):
            storage(serve(answer)).read_bytes("people.csv")
    for answers in ([small[:30]], [small[:-2]], [large[:-2]], [large, small], [large, large[:30]]):
        with pytest.raises(TryAgain, match="STORAGE_UNAVAILABLE"):
            opened(storage(serve(*answers)))
    assert storage(serve(small)).read_bytes("people.csv") == b"abc"
    assert opened(storage(serve(small))) == b"abc"
    assert opened(storage(serve(large, SIZE % len(LARGE) + LARGE))) == LARGE


def opened(place: Storage) -> bytes:
    with place.reading("people.csv") as stream:
        return bytes(stream.read(len(LARGE)))


def begin_of(data: bytes) -> bytes:
    """The headers of an answer with the first bytes."""
    span = b"Content-Range: bytes 0-%d/%d" % (_SMALL_BYTES - 1, len(data))
    return (SIZE % _SMALL_BYTES).replace(b"200 OK", b"206 Partial Content\r\n" + span)


def test_an_object_is_empty_only_when_its_size_says_so(serve: Serve) -> None:
    said = b"<Error><Code>InvalidRange</Code></Error>"
    no_such_range = (SIZE % len(said)).replace(b"200 OK", b"416 No Such Range") + said
    assert opened(storage(serve(no_such_range, SIZE % 0))) == b""
    with pytest.raises(TryAgain, match="STORAGE_UNAVAILABLE"):
        opened(storage(serve(no_such_range, SIZE % 3)))


def test_a_download_whose_answer_is_cut_ends_at_once_and_leaves_no_shorter_file(
    serve: Serve,
) -> None:
    body = SIZE % 3 + b"abc"
    for at in (17, 30, 60, len(body) - 2):
        source = S3Source(storage(serve(body[:at])).client, "bucket", "school")
        with pytest.raises(TryAgain, match="SOURCE_UNAVAILABLE"):
            source.download("people.csv", io.BytesIO())
    target = io.BytesIO()
    S3Source(storage(serve(body)).client, "bucket", "school").download("people.csv", target)
    assert target.getvalue() == b"abc"
