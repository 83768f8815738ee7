"""An AWS account in this process (moto) with what Terraform makes; and the two calls that moto lacks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import pytest
from moto.transfer import models
from moto.transfer.exceptions import TransferError
from moto.transfer.models import transfer_backends
from moto.transfer.responses import TransferResponse

from etl_lib.onboarding.provision import Address
from etl_lib.onboarding.provision.transfer import TransferFamily

REGION, BUCKET, NAME = "us-east-1", "school-files-production", "etl-production"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "transfer.amazonaws.com"},
        }
    ],
}


def update_user(self: TransferResponse) -> str:
    """UpdateUser, as AWS documents it: what is given takes the place of what was."""
    asked = json.loads(self.body)
    backend = transfer_backends[self.current_account][self.region]
    _, user = backend.describe_user(asked["ServerId"], asked["UserName"])
    for parameter, attribute in (
        ("Role", "role"), ("Policy", "policy"), ("HomeDirectoryType", "home_directory_type"),
    ):  # fmt: skip
        if parameter in asked:
            setattr(user, attribute, asked[parameter])
    if "HomeDirectoryMappings" in asked:
        user.home_directory_mappings = [
            {"entry": one["Entry"], "target": one["Target"], "type": None}
            for one in asked["HomeDirectoryMappings"]
        ]
    return json.dumps({"ServerId": asked["ServerId"], "UserName": asked["UserName"]})


def tag_resource(self: TransferResponse) -> str:
    """TagResource of a user."""
    asked = json.loads(self.body)
    _, server_id, name = asked["Arn"].rsplit("/", 2)
    backend = transfer_backends[self.current_account][self.region]
    _, user = backend.describe_user(server_id, name)
    tags = {tag["Key"]: tag["Value"] for tag in [*user.tags, *asked["Tags"]]}
    user.tags = [{"Key": key, "Value": value} for key, value in tags.items()]
    return "{}"


class NotThere(TransferError):
    """What AWS says of a user that is not there; moto has a code of its own for it."""

    def __init__(self, user_name: str, server_id: str) -> None:
        super().__init__("ResourceNotFoundException", f"Unknown user {user_name} of {server_id}")


def make_moto_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give moto the calls and the code that it lacks."""
    for call in (update_user, tag_resource):
        monkeypatch.setattr(TransferResponse, call.__name__, call, raising=False)
    monkeypatch.setattr(models, "UserNotFound", NotThere)


@dataclass
class Account:
    """The shared parts, to be looked at and broken."""

    session: Any
    server_id: str
    role_arn: str
    key_arn: str

    @property
    def transfer(self) -> Any:
        return self.session.client("transfer")

    @property
    def s3(self) -> Any:
        return self.session.client("s3")

    def target(self) -> TransferFamily:
        names = {"server": NAME, "role": f"{NAME}-school-files", "kms_key": f"alias/{NAME}"}
        return TransferFamily(
            "production", REGION, BUCKET, names, Address("", 22, "lakeside", ""), self.session
        )

    def user(self, name: str = "lakeside") -> dict[str, Any]:
        answer = self.transfer.describe_user(ServerId=self.server_id, UserName=name)
        return dict(answer["User"])

    def folders(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())
        return [one["Key"] for one in listed]


@cache
def the_session() -> Any:
    """One for all tests: each new one reads the descriptions of all services anew."""
    return boto3.Session("testing", "testing", region_name=REGION)


def make_account() -> Account:
    """What deploy/terraform/ would make."""
    session = the_session()
    kms, s3, iam, transfer = map(session.client, ("kms", "s3", "iam", "transfer"))
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/{NAME}", TargetKeyId=key["KeyId"])
    s3.create_bucket(Bucket=BUCKET)
    encrypt(s3, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]})
    s3.put_public_access_block(
        Bucket=BUCKET,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True, "IgnorePublicAcls": True,
            "BlockPublicPolicy": True, "RestrictPublicBuckets": True,
        },
    )  # fmt: skip
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    role = iam.create_role(
        RoleName=f"{NAME}-school-files", AssumeRolePolicyDocument=json.dumps(TRUST)
    )["Role"]
    transfer.create_server(Tags=[{"Key": "Name", "Value": "another"}], Protocols=["SFTP"])
    server = transfer.create_server(
        Tags=[{"Key": "Name", "Value": NAME}], Protocols=["SFTP"], Domain="S3",
        IdentityProviderType="SERVICE_MANAGED", EndpointType="PUBLIC",
    )  # fmt: skip
    return Account(session, server["ServerId"], role["Arn"], key["Arn"])


def encrypt(s3: Any, by_default: dict[str, str]) -> None:
    rules = [{"ApplyServerSideEncryptionByDefault": by_default}]
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": rules})
