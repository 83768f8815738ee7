"""S3 and SFTP over one folder, as on the local stack, without database and Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local_stack.objects import CLIENTS_BUCKET, STORAGE_BUCKET, ObjectStore, SftpServer, fingerprint


@dataclass(frozen=True)
class Served:
    """Both servers over one folder; a bucket is a folder in `objects.folder`."""

    objects: ObjectStore
    sftp: SftpServer

    def connection(self, **other: str) -> str:
        """The Airflow connection of either bucket; `other` replaces login or password."""
        given = {"login": self.objects.access_key, "password": self.objects.secret_key, **other}
        extra = {
            "endpoint_url": self.objects.endpoint_url,
            "region_name": "us-east-1",
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        }
        return json.dumps({"conn_type": "aws", **given, "extra": extra})

    def set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The variables that the stack gives to every process."""
        for name, value in (
            ("AIRFLOW_CONN_ETL_STORAGE", self.connection()),
            ("AIRFLOW_CONN_ETL_CLIENTS", self.connection()),
            ("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required"),
            ("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required"),
            ("ETL_SFTP_KEYS", str(self.sftp.key_folder)),
            ("ETL_SFTP_HOST", "127.0.0.1"),
            ("ETL_SFTP_PORT", str(self.sftp.port)),
            ("ETL_SFTP_FINGERPRINT", fingerprint(self.sftp.host_key)),
        ):
            monkeypatch.setenv(name, value)
        for name in ("AIRFLOW_HOME", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"):
            monkeypatch.delenv(name, raising=False)

    def s3(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.objects.endpoint_url, region_name="us-east-1",
            aws_access_key_id=self.objects.access_key, aws_secret_access_key=self.objects.secret_key,
            config=Config(
                s3={"addressing_style": "path"}, request_checksum_calculation="when_required"
            ),
        )  # fmt: skip

    def all_keys(self) -> list[str]:
        """Every object of both buckets, as `bucket/key`."""
        return sorted(
            f"{bucket}/{one['Key']}"
            for bucket in (CLIENTS_BUCKET, STORAGE_BUCKET)
            for page in self.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket)
            for one in page.get("Contents", ())
        )


@contextmanager
def serving(home: Path) -> Iterator[Served]:
    """Both servers, running."""
    state = home / "state"
    objects = ObjectStore(home / "objects", state)
    roots = home / "objects" / CLIENTS_BUCKET / "clients"
    sftp = SftpServer("clients", roots, (), state, ("inbox", "outbox"))
    sftp.key_folder.mkdir(parents=True)
    try:
        objects.start()
        sftp.start()
        yield Served(objects, sftp)
    finally:
        for server in (objects, sftp):
            if server.process:
                server.process.stop()
