"""What a school's SFTP session may do in the bucket, as an IAM policy that narrows the server's role."""

from __future__ import annotations

import json
from typing import Any

LONGEST_POLICY = 2048  # signs; more Transfer Family does not take


def session_policy(bucket: str, client_id: str, kms_key_arn: str, region: str) -> dict[str, Any]:
    """The client's own prefix and nothing above it: inbox read, write and delete; outbox read only.

    Written out with the client's own prefix, without variables of Transfer Family: what stands in the
    user is all there is to know. Old versions of objects cannot be read or deleted.
    """
    home = f"clients/{client_id}"
    objects = f"arn:aws:s3:::{bucket}/{home}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ListOwnFolder",
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": f"arn:aws:s3:::{bucket}",
                # with the slash: without it a neighbour whose name begins alike would be listed
                "Condition": {"StringLike": {"s3:prefix": f"{home}/*"}},
            },
            {
                "Sid": "Inbox",
                "Effect": "Allow",
                "Action": [
                    "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
                ],
                "Resource": f"{objects}/inbox/*",
            },
            {
                "Sid": "Outbox",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"{objects}/outbox/*",
            },
            {
                "Sid": "BucketKey",
                "Effect": "Allow",
                "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                "Resource": kms_key_arn,
                "Condition": {"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}},
            },
        ],
    }  # fmt: skip


def as_text(policy: dict[str, Any]) -> str:
    """The policy as short as it can be written."""
    text = json.dumps(policy, separators=(",", ":"))
    if len(text) > LONGEST_POLICY:
        raise ValueError(f"the policy has {len(text)} signs, {LONGEST_POLICY} are allowed")
    return text
