"""What a school may and may not do, as an evaluator of IAM policies that is not ours judges it."""

from __future__ import annotations

from typing import Any

import pytest

from etl_lib.onboarding.provision.policy import LONGEST_POLICY, as_text, session_policy
from tests.onboarding.provision.judge import allows, filled_in, terraform

BUCKET, REGION = "school-files-production", "us-east-1"
KEY = f"arn:aws:kms:{REGION}:123456789012:key/11111111-2222-3333-4444-555555555555"
POLICY = session_policy(BUCKET, "lakeside", KEY, REGION)
HOME = f"arn:aws:s3:::{BUCKET}/clients/lakeside"
VIA_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}

OBJECTS = {
    "inbox": ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"),
    "inbox/test": ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"),
    "outbox": ("s3:GetObject",),
}
ACTIONS = (
    *OBJECTS["inbox"], "s3:GetObjectVersion", "s3:DeleteObjectVersion", "s3:PutObjectAcl",
    "s3:PutObjectTagging", "s3:BypassGovernanceRetention",
)  # fmt: skip


@pytest.mark.parametrize("folder", ["inbox", "inbox/test", "outbox"])
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("name", ["", "students.csv", "test/students.csv"])
def test_own_files(folder: str, action: str, name: str) -> None:
    assert allows(POLICY, action, f"{HOME}/{folder}/{name}") is (action in OBJECTS[folder])


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "resource",
    [
        f"{HOME}/students.csv",
        f"{HOME}/",
        f"{HOME}/inbox2/students.csv",
        f"{HOME}_west/inbox/students.csv",
        f"arn:aws:s3:::{BUCKET}/clients/metro/inbox/students.csv",
        f"arn:aws:s3:::{BUCKET}/clients/metro/outbox/report.csv",
        f"arn:aws:s3:::{BUCKET}/archive/lakeside/inbox/x",
        "arn:aws:s3:::etl-production/clients/lakeside/inbox/x",
        f"arn:aws:s3:::{BUCKET}/x",
    ],
)
def test_nothing_of_anybody_else(action: str, resource: str) -> None:
    assert not allows(POLICY, action, resource)


@pytest.mark.parametrize(
    ("prefix", "may"),
    [
        ("clients/lakeside/", True),
        ("clients/lakeside/inbox/", True),
        ("clients/lakeside/outbox/rep", True),
        ("clients/lakeside", False),  # would list lakeside_west as well
        ("clients/lakeside_west/", False),
        ("clients/metro/", False),
        ("clients/", False),
        ("clients", False),
        ("", False),
        ("archive/", False),
    ],
)
def test_it_lists_its_own_folder_and_nothing_above(prefix: str, may: bool) -> None:
    bucket = f"arn:aws:s3:::{BUCKET}"
    assert allows(POLICY, "s3:ListBucket", bucket, {"s3:prefix": prefix}) is may
    assert not allows(POLICY, "s3:ListBucketVersions", bucket, {"s3:prefix": prefix})
    other = "arn:aws:s3:::school-files-staging"
    assert not allows(POLICY, "s3:ListBucket", other, {"s3:prefix": prefix})


def test_listing_without_a_prefix_and_everything_about_the_bucket_itself_is_forbidden() -> None:
    bucket = f"arn:aws:s3:::{BUCKET}"
    assert not allows(POLICY, "s3:ListBucket", bucket)
    for action in ("s3:ListAllMyBuckets", "s3:PutBucketPolicy", "s3:DeleteBucket", "iam:PassRole"):
        assert not allows(POLICY, action, bucket, {"s3:prefix": "clients/lakeside/"})


def test_the_key_is_used_through_s3_only() -> None:
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert allows(POLICY, action, KEY, VIA_S3)
        assert not allows(POLICY, action, KEY)
        assert not allows(POLICY, action, KEY, {"kms:ViaService": "ec2.us-east-1.amazonaws.com"})
        assert not allows(POLICY, action, KEY[:-1] + "6", VIA_S3)
    assert not allows(POLICY, "kms:ScheduleKeyDeletion", KEY, VIA_S3)


def test_the_longest_names_fit_into_what_transfer_family_takes() -> None:
    text = as_text(
        session_policy(
            "b" * 63, "c" * 48, KEY.replace("us-east-1", "ap-southeast-1"), "ap-southeast-1"
        )
    )
    assert len(text) < LONGEST_POLICY - 500
    with pytest.raises(ValueError, match="signs"):
        as_text({"Statement": "x" * LONGEST_POLICY})


def role_policy() -> dict[str, Any]:
    """The policy of Terraform's role, as IAM has it."""
    statements = []
    for one in terraform()["data"]["aws_iam_policy_document"]["school_files"]["statement"]:
        resources = [
            KEY if "aws_kms_key" in text else filled_in(text, "production")
            for text in one["resources"]
        ]
        statement = {"Effect": "Allow", "Action": one["actions"], "Resource": resources}
        for condition in one.get("condition", ()):
            statement["Condition"] = {
                condition["test"]: {condition["variable"]: condition["values"]}
            }
        statements.append(statement)
    return {"Version": "2012-10-17", "Statement": statements}


def test_the_role_of_terraform_allows_what_a_school_may_and_no_more_than_all_schools_may() -> None:
    role = role_policy()
    for folder, actions in OBJECTS.items():
        for action in actions:
            assert allows(role, action, f"{HOME}/{folder}/x")
    bucket = f"arn:aws:s3:::{BUCKET}"
    assert allows(role, "s3:ListBucket", bucket, {"s3:prefix": "clients/lakeside/"})
    assert allows(role, "kms:Decrypt", KEY, VIA_S3)
    assert not allows(role, "s3:ListBucket", bucket, {"s3:prefix": ""})
    assert not allows(role, "s3:GetObject", "arn:aws:s3:::etl-production/archive/lakeside/x")
    assert not allows(role, "s3:DeleteObjectVersion", f"{HOME}/inbox/x")
