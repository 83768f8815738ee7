"""Erasing in a bucket that keeps versions (moto): every version and every deletion mark goes, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from etl_lib.errors import TryAgain
from etl_lib.onboarding.retire import Place
from etl_lib.storage import Storage

BUCKET = "school-files-production"


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        client.create_bucket(Bucket=BUCKET)
        yield client


def place(s3: Any, client_id: str) -> Place:
    return Place(client_id, Storage(BUCKET, s3).at("clients", client_id))


def versions(s3: Any) -> list[str]:
    answer = s3.list_object_versions(Bucket=BUCKET)
    return [one["Key"] for one in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ()))]


@pytest.mark.parametrize(("status", "count"), [("Enabled", 7), ("Suspended", 6)])
def test_every_version_goes(s3: Any, status: str, count: int) -> None:
    on = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=on)
    for client_id in ("lakeside", "lakeside_west"):
        for body in (b"1", b"2"):
            for name in ("inbox/", "inbox/a.csv", "outbox/b.csv"):
                s3.put_object(Bucket=BUCKET, Key=f"clients/{client_id}/{name}", Body=body)
        if count == 7:  # moto cannot remove a deletion mark where versions are suspended
            s3.delete_object(Bucket=BUCKET, Key=f"clients/{client_id}/inbox/a.csv")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})
    before = [key for key in versions(s3) if "lakeside_west" in key]
    ours = place(s3, "lakeside")
    assert ours.count() == count
    assert ours.erase() == count
    assert versions(s3) == before and len(before) == count
    assert (ours.count(), ours.erase()) == (0, 0)


def test_more_than_s3_takes_at_once(s3: Any) -> None:
    for number in range(1003):
        s3.put_object(Bucket=BUCKET, Key=f"clients/lakeside/inbox/{number}", Body=b"")
    assert place(s3, "lakeside").erase() == 1003
    assert versions(s3) == []


def test_a_bucket_that_is_not_there_stops_it(s3: Any) -> None:
    s3.delete_bucket(Bucket=BUCKET)
    for act in ("count", "erase"):
        with pytest.raises(TryAgain, match="STORAGE_UNAVAILABLE"):
            getattr(place(s3, "lakeside"), act)()
