"""`etl provision` on AWS, against moto: made, repeated, drifted, rotated, revoked; and shared parts that are wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from etl_lib.errors import FixTheSetup, NotNow
from etl_lib.onboarding.provision import Plan, PublicKey, Verb, Wish, public_keys
from tests.onboarding.provision import aws
from tests.onboarding.provision.aws import BUCKET, Account, make_account
from tests.onboarding.provision.judge import allows
from tests.onboarding.provision.made_keys import kept_key, line, new_key


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    aws.make_moto_whole(monkeypatch)
    with mock_aws():
        yield make_account()


@pytest.fixture
def key() -> PublicKey:
    return a_key()


def a_key() -> PublicKey:
    return public_keys(line(new_key()), "school.pub")[0]


def verbs(plan: Plan) -> dict[str, Verb]:
    return {step.what: step.verb for step in plan.steps}


def blobs(account: Account) -> set[str]:
    return {one["SshPublicKeyBody"].split()[1] for one in account.user()["SshPublicKeys"]}


def blob(key: PublicKey) -> str:
    return key.line.split()[1]


def made(account: Account, key: PublicKey) -> None:
    account.target().plan(Wish("lakeside", add=(key,))).apply()


def test_a_user_is_shown_then_made_and_afterwards_there_is_nothing_to_do(
    account: Account, key: PublicKey
) -> None:
    wish = Wish("lakeside", add=(key,))
    plan = account.target().plan(wish)
    assert {verb for what, verb in verbs(plan).items() if "bucket" not in what} == {Verb.MAKE}
    with pytest.raises(account.transfer.exceptions.ResourceNotFoundException):
        account.user()
    plan.apply()
    user = account.user()
    assert user["HomeDirectoryType"] == "LOGICAL"
    assert [(m["Entry"], m["Target"]) for m in user["HomeDirectoryMappings"]] == [
        ("/", f"/{BUCKET}/clients/lakeside")
    ]
    assert user["Role"] == account.role_arn
    tags = {tag["Key"]: tag["Value"] for tag in user["Tags"]}
    assert tags == {
        "client_id": "lakeside",
        "environment": "production",
        "managed_by": "etl provision",
    }
    policy = json.loads(user["Policy"])
    inbox = f"arn:aws:s3:::{BUCKET}/clients/lakeside/inbox/a.csv"
    assert allows(policy, "s3:PutObject", inbox)
    assert not allows(policy, "s3:PutObject", inbox.replace("inbox", "outbox"))
    assert not allows(policy, "s3:GetObject", inbox.replace("lakeside", "metro"))
    assert account.folders() == [
        "clients/lakeside/inbox/", "clients/lakeside/inbox/test/", "clients/lakeside/outbox/"
    ]  # fmt: skip
    assert blobs(account) == {blob(key)}
    for again in (wish, Wish("lakeside")):
        plan = account.target().plan(again)
        assert (plan.changes, plan.acts) == ((), ())
        assert verbs(plan)["user lakeside"] is Verb.RIGHT
    assert plan.address.host == f"{account.server_id}.server.transfer.us-east-1.amazonaws.com"


def test_keys_are_added_replaced_and_removed(account: Account, key: PublicKey) -> None:
    made(account, key)
    second, third = a_key(), a_key()
    account.target().plan(Wish("lakeside", add=(second,))).apply()
    assert blobs(account) == {blob(key), blob(second)}
    account.target().plan(Wish("lakeside", remove=key.fingerprint)).apply()
    assert blobs(account) == {blob(second)}
    plan = account.target().plan(Wish("lakeside", add=(third,), replace=True))
    assert verbs(plan)[f"key {second.words}"] is Verb.REMOVE
    plan.apply()
    assert blobs(account) == {blob(third)}
    with pytest.raises(FixTheSetup, match="last key would go"):
        account.target().plan(Wish("lakeside", remove=third.fingerprint))
    with pytest.raises(FixTheSetup, match="no key yet"):
        account.target().plan(Wish("metro"))


def test_drift_is_reported_part_by_part_and_put_right(account: Account, key: PublicKey) -> None:
    made(account, key)
    right = account.user()
    named = {"ServerId": account.server_id, "UserName": "lakeside"}
    wide = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
    }
    for changes, drifted in (
        ({"Policy": json.dumps(wide)}, ["policy"]),
        ({"Role": account.role_arn + "2"}, ["role"]),
        ({"HomeDirectoryMappings": [{"Entry": "/", "Target": f"/{BUCKET}"}]}, ["folder clients/lakeside as /"]),
        ({"HomeDirectoryType": "PATH"}, ["folder clients/lakeside as /"]),
    ):  # fmt: skip
        account.transfer.update_user(**named, **changes)
        plan = account.target().plan(Wish("lakeside"))
        assert [(step.what, step.verb) for step in plan.changes] == [
            (what, Verb.CHANGE) for what in drifted
        ]
        plan.apply()
        assert account.user() == right
    arn = right["Arn"]
    account.transfer.tag_resource(Arn=arn, Tags=[{"Key": "client_id", "Value": "metro"}])
    account.s3.delete_object(Bucket=BUCKET, Key="clients/lakeside/outbox/")
    account.transfer.import_ssh_public_key(**named, SshPublicKeyBody="ssh-dss AAAA")
    plan = account.target().plan(Wish("lakeside"))
    assert [step.what for step in plan.changes] == ["tags", "folder outbox", "keys"]
    plan.apply()
    assert account.user() == right
    assert "clients/lakeside/outbox/" in account.folders()


def test_a_policy_that_only_is_written_differently_has_not_drifted(
    account: Account, key: PublicKey
) -> None:
    made(account, key)
    text = json.dumps(json.loads(account.user()["Policy"]), indent=4, sort_keys=True)
    named = {"ServerId": account.server_id, "UserName": "lakeside"}
    account.transfer.update_user(**named, Policy=text)
    assert account.target().plan(Wish("lakeside")).changes == ()


def test_a_key_that_was_accepted_once_and_is_too_short_now_is_named(
    account: Account, key: PublicKey
) -> None:
    made(account, key)
    named = {"ServerId": account.server_id, "UserName": "lakeside"}
    account.transfer.import_ssh_public_key(**named, SshPublicKeyBody=line(kept_key("rsa", 2048)))
    plan = account.target().plan(Wish("lakeside"))
    assert plan.changes == ()
    assert "2,048 bits" in " ".join(step.words for step in plan.steps)


def test_the_access_is_revoked_and_the_files_stay(account: Account, key: PublicKey) -> None:
    made(account, key)
    made_metro = account.target().plan(Wish("metro", add=(a_key(),)))
    made_metro.apply()
    account.s3.put_object(Bucket=BUCKET, Key="clients/lakeside/inbox/a.csv", Body=b"x")
    plan = account.target().plan(Wish("lakeside", revoke=True))
    assert [step.verb for step in plan.changes] == [Verb.REMOVE, Verb.REMOVE]
    plan.apply()
    with pytest.raises(account.transfer.exceptions.ResourceNotFoundException):
        account.user()
    assert account.user("metro")["SshPublicKeys"]
    assert "clients/lakeside/inbox/a.csv" in account.folders()
    again = account.target().plan(Wish("lakeside", revoke=True))
    assert (again.changes, again.acts) == ((), ())


def test_what_somebody_changed_meanwhile_is_not_overwritten(
    account: Account, key: PublicKey
) -> None:
    made(account, key)
    for wish in (Wish("lakeside", add=(a_key(),)), Wish("lakeside", revoke=True)):
        plan = account.target().plan(wish)
        named = {"ServerId": account.server_id, "UserName": "lakeside"}
        account.transfer.import_ssh_public_key(**named, SshPublicKeyBody=a_key().line)
        before = account.user()
        with pytest.raises(NotNow, match="meanwhile"):
            plan.apply()
        assert account.user() == before


def opened(account: Account) -> None:
    account.s3.delete_public_access_block(Bucket=BUCKET)


def half_open(account: Account) -> None:
    block = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": False}
    account.s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=block)


def plain(account: Account) -> None:
    aws.encrypt(account.s3, {"SSEAlgorithm": "AES256"})


def other_key(account: Account) -> None:
    other = account.session.client("kms").create_key()["KeyMetadata"]["Arn"]
    aws.encrypt(account.s3, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": other})


def no_versions(account: Account) -> None:
    suspended = {"Status": "Suspended"}
    account.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=suspended)


def key_off(account: Account) -> None:
    account.session.client("kms").disable_key(KeyId=account.key_arn.rpartition("/")[2])


def no_trust(account: Account) -> None:
    iam = account.session.client("iam")
    trust = json.dumps(aws.TRUST).replace("transfer.amazonaws.com", "ec2.amazonaws.com")
    iam.update_assume_role_policy(RoleName="etl-production-school-files", PolicyDocument=trust)


def no_server(account: Account) -> None:
    account.transfer.delete_server(ServerId=account.server_id)


def no_role(account: Account) -> None:
    account.session.client("iam").delete_role(RoleName="etl-production-school-files")


WRONG = {
    opened: "not closed to the public (BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, Restrict",
    half_open: "not closed to the public (BlockPublicPolicy, RestrictPublicBuckets)",
    plain: "does not encrypt with KMS",
    other_key: "encrypts with another key than `alias/etl-production`",
    no_versions: "keeps no versions",
    key_off: "key `alias/etl-production` is switched off",
    no_trust: "may not take the role",
    no_server: "no Transfer Family server `etl-production` in us-east-1",
    no_role: "no IAM role `etl-production-school-files`",
}


@pytest.mark.parametrize("broken", WRONG, ids=lambda one: one.__name__)
def test_no_user_is_made_while_a_shared_part_is_wrong(
    account: Account, key: PublicKey, broken: Any
) -> None:
    broken(account)
    with pytest.raises(FixTheSetup) as caught:
        account.target().plan(Wish("lakeside", add=(key,)))
    assert [fault.code for fault in caught.value.faults] == ["SHARED_PARTS"]
    assert WRONG[broken] in caught.value.faults[0].text
    assert account.folders() == []


def test_everything_that_is_wrong_is_said_at_once(account: Account, key: PublicKey) -> None:
    for broken in (opened, plain, no_versions, no_role, no_server):
        broken(account)
    with pytest.raises(FixTheSetup) as caught:
        account.target().plan(Wish("lakeside", add=(key,)))
    assert len(caught.value.faults) == 5


def test_an_account_without_any_of_it_and_a_terminal_without_an_identity(
    account: Account, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.s3.delete_bucket(Bucket=BUCKET)
    with pytest.raises(FixTheSetup, match="no bucket"):
        account.target().plan(Wish("lakeside", add=(key,)))
    import boto3
    import botocore.session

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    stranger = account.target()
    inner = botocore.session.get_session()
    object.__setattr__(stranger, "session", boto3.Session(botocore_session=inner))
    with pytest.raises(FixTheSetup) as caught:
        stranger.plan(Wish("lakeside", add=(key,)))
    assert [fault.code for fault in caught.value.faults] == ["PROVISION_UNAVAILABLE"]
    assert "no identity there (NoCredentialsError)" in str(caught.value)
