"""The doctor on AWS (moto): what all share, a client's user, and where schools connect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from etl_lib.config.project import Project
from etl_lib.onboarding.doctor.examine import _access, _users
from etl_lib.onboarding.doctor.finding import Finding, looked
from etl_lib.onboarding.provision import Plan, Wish, public_keys, target_of
from tests.onboarding.provision import aws
from tests.onboarding.provision.aws import BUCKET, Account
from tests.onboarding.provision.made_keys import line, new_key

PRODUCTION = Project(Path(__file__).parents[2] / "include", "production")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    for name in ("AWS_PROFILE", "ETL_SFTP_KEYS", "ETL_SFTP_HOST"):
        monkeypatch.delenv(name, raising=False)
    aws.make_moto_whole(monkeypatch)
    with mock_aws():
        yield aws.make_account()


def users() -> list[Finding]:
    return looked("SFTP users", lambda: _users(PRODUCTION))


def access(client_id: str, plans: list[Plan]) -> list[Finding]:
    return looked("SFTP access", lambda: _access(PRODUCTION, client_id, plans))


def codes(found: list[Finding]) -> list[str]:
    return [one.fault.code if one.fault else one.outcome for one in found]


def test_the_shared_parts_are_those_that_the_environment_names(account: Account) -> None:
    [found] = users()
    assert (found.outcome, account.server_id in found.said) == ("ok", True)
    account.s3.delete_public_access_block(Bucket=BUCKET)
    account.transfer.delete_server(ServerId=account.server_id)
    assert codes(users()) == ["SHARED_PARTS", "SHARED_PARTS"]


def test_a_client_s_user_with_its_drift_and_the_address_for_schools(account: Account) -> None:
    assert codes(access("lakeside", [])) == ["ACCESS_NOT_RIGHT"]
    keys = public_keys(line(new_key()), "school.pub")
    target_of(PRODUCTION, "lakeside").plan(Wish("lakeside", add=keys)).apply()
    plans: list[Plan] = []
    assert codes(access("lakeside", plans)) == ["ok"]
    named_by_us = PRODUCTION.environment.sftp
    assert named_by_us is not None and plans[0].address.host == named_by_us.host
    named = {"ServerId": account.server_id, "UserName": "lakeside"}
    account.transfer.update_user(**named, Policy="{}")
    [found] = access("lakeside", [])
    assert found.fault is not None and "policy (put right)" in found.fault.text
