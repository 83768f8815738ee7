"""Asks another program's evaluator of IAM policies (Principal Mapper) what a policy allows."""

from __future__ import annotations

import collections
import collections.abc
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2

for _name in ("Mapping", "MutableMapping"):  # it was written for a Python that had them there
    setattr(collections, _name, getattr(collections.abc, _name))

from principalmapper.common import Policy  # noqa: E402
from principalmapper.querying.local_policy_simulation import (  # noqa: E402
    policy_has_matching_statement,
)
from principalmapper.util.case_insensitive_dict import CaseInsensitiveDict  # noqa: E402

TERRAFORM = Path(__file__).parents[3] / "deploy" / "terraform"


def allows(
    policy: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Whether the policy allows the action: a statement allows it, and none forbids it."""
    whole = Policy("arn:aws:iam::123456789012:policy/judged", "judged", dict(policy))
    given = CaseInsensitiveDict(dict(context or {}))
    allowed, denied = (
        policy_has_matching_statement(whole, effect, action, resource, given)
        for effect in ("Allow", "Deny")
    )
    return bool(allowed and not denied)


def terraform() -> dict[str, Any]:
    """All files of deploy/terraform/ as one: blocks by kind, type and name, texts without their quotes."""
    found: dict[str, Any] = {}
    for path in sorted(TERRAFORM.glob("*.tf")):
        parsed = _plain(hcl2.loads(path.read_text(encoding="utf-8")))
        for kind, blocks in parsed.items():
            if isinstance(blocks, list):
                for block in blocks:
                    _merge(found.setdefault(kind, {}), block)
    return found


def filled_in(text: str, environment: str, region: str = "us-east-1") -> str:
    """A text of Terraform with its variables and locals in it."""
    values = {"var.environment": environment, "var.region": region, "local.account": "123456789012"}
    local = terraform()["locals"]

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in values:
            return values[name]
        assert name.startswith("local."), name
        return filled_in(local[name.removeprefix("local.")], environment, region)

    return re.sub(r"\$\{([\w.]+)\}", value, text)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key.strip('"'): _plain(inner)
            for key, inner in value.items()
            if key not in ("__is_block__", "__comments__")
        }
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.strip('"') if isinstance(value, str) else value


def _merge(into: dict[str, Any], block: Mapping[str, Any]) -> None:
    for key, value in block.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
