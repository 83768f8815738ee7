"""deploy/terraform/ can be read, refers to nothing that is not there, and has the names that provisioning uses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from etl_lib.config.project import Project
from tests.onboarding.provision.judge import TERRAFORM, filled_in, terraform

INCLUDE = TERRAFORM.parents[1] / "include"
ENVIRONMENTS = ("production", "staging")


@pytest.fixture(scope="module")
def blocks() -> dict[str, Any]:
    return terraform()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_names_are_those_of_the_environment(blocks: dict[str, Any], environment: str) -> None:
    project = Project(INCLUDE, environment).environment
    given = project.provisioning
    assert given is not None and given.kind == "transfer_family"
    resources = blocks["resource"]

    def name(text: str) -> str:
        return filled_in(text, environment)

    assert name(resources["aws_transfer_server"]["schools"]["tags"]["Name"]) == given.server
    assert name(resources["aws_iam_role"]["school_files"]["name"]) == given.role
    assert name(resources["aws_kms_alias"]["files"]["name"]) == given.kms_key
    assert name(blocks["locals"]["clients_bucket"]) == project.client_folders.bucket
    assert name(blocks["locals"]["storage_bucket"]) == project.storage.bucket
    assert blocks["variable"]["region"]["default"] == given.region


def test_what_provision_checks_is_what_terraform_makes(blocks: dict[str, Any]) -> None:
    resources = blocks["resource"]
    block = resources["aws_s3_bucket_public_access_block"]["files"]
    switches = {key: value for key, value in block.items() if "public" in key}
    assert len(switches) == 4 and all(value is True for value in switches.values())
    encryption = resources["aws_s3_bucket_server_side_encryption_configuration"]["files"]
    [rule] = encryption["rule"]
    [by_default] = rule["apply_server_side_encryption_by_default"]
    assert by_default["sse_algorithm"] == "aws:kms"
    [versions] = resources["aws_s3_bucket_versioning"]["files"]["versioning_configuration"]
    assert versions["status"] == "Enabled"
    server = resources["aws_transfer_server"]["schools"]
    assert (server["protocols"], server["identity_provider_type"]) == (["SFTP"], "SERVICE_MANAGED")
    trusted = blocks["data"]["aws_iam_policy_document"]["transfer_may_take"]["statement"][0]
    assert trusted["principals"][0]["identifiers"] == ["transfer.amazonaws.com"]
    both = [r for r in resources if r.startswith("aws_s3_bucket_")]
    assert {resources[r]["files"]["for_each"] for r in both} == {"${aws_s3_bucket.files}"}


def test_every_reference_leads_somewhere(blocks: dict[str, Any]) -> None:
    text = "\n".join(path.read_text() for path in TERRAFORM.glob("*.tf"))
    text = re.sub(r"#.*", "", text)
    used = 0
    for kind, name in re.findall(r"\b(var|local)\.(\w+)", text):
        assert name in blocks[{"var": "variable", "local": "locals"}[kind]], name
        used += 1
    for kind, name in re.findall(r"(?<![\w.\"/:-])(aws_\w+)\.(\w+)", text):
        assert name in blocks["resource"][kind], (kind, name)
        used += 1
    for kind, name in re.findall(r"\bdata\.(aws_\w+)\.(\w+)", text):
        assert name in blocks["data"][kind], (kind, name)
        used += 1
    assert used > 40
