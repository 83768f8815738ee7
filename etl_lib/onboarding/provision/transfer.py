"""SFTP users of AWS Transfer Family: each with a folder, a policy and keys of its own; drift is put right."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from etl_lib.errors import EtlError, Fault, FixTheSetup, NotNow
from etl_lib.onboarding.provision.keys import PublicKey, stored_keys
from etl_lib.onboarding.provision.plan import Address, Plan, Step, Verb, Wish, settled
from etl_lib.onboarding.provision.policy import as_text, session_policy

_FOLDERS = ("inbox", "inbox/test", "outbox")
_BLOCKS = (
    "BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets",
)  # fmt: skip


@dataclass(frozen=True)
class Shared:
    """What Terraform has made for all clients, as ids."""

    server_id: str
    role_arn: str
    kms_key_arn: str
    host_key: str


@dataclass(frozen=True)
class User:
    """A user as AWS has it; `keys` by fingerprint with AWS' own id of each, `other` ids of what is none."""

    role: str
    home: tuple[tuple[str, str], ...]
    policy: Any
    tags: Mapping[str, str]
    arn: str
    keys: tuple[tuple[PublicKey, str], ...]
    other: tuple[str, ...]


@dataclass(frozen=True)
class TransferFamily:
    """Users on one server before one bucket. `names`: server, role and kms_key of the environment's file.

    `session` is a boto3 session with the rights of the person who calls; see deploy/terraform/README.md.
    """

    environment: str
    region: str
    bucket: str
    names: Mapping[str, str]
    address: Address
    session: Any = field(repr=False)

    def plan(self, wish: Wish) -> Plan:
        """See Target. Raises FixTheSetup with everything that is wrong with the shared parts."""
        with _explained():
            shared = self.shared() if not wish.revoke else None
            server_id = shared.server_id if shared else self._server()["ServerId"]
            user = self._user(server_id, wish.client_id)
            address = self._address(server_id, shared.host_key if shared else "")
            target = f"Transfer Family server {server_id} in {self.region}, bucket {self.bucket}"
            if shared is None:
                return self._revoking(wish, server_id, user, target, address)
            present = [key for key, _ in user.keys] if user else []
            wanted = settled(present, wish)
            wish_for = self._wanted(shared, wish.client_id)
            steps, acts = self._user_steps(wish.client_id, server_id, user, wish_for)
            more, folders = self._folders(wish.client_id)
            about_keys = wanted.steps()
            if user and user.other:
                words = f"{len(user.other)} that cannot be read as a public key"
                about_keys.append(Step("keys", Verb.REMOVE, words))
            keys_acts = self._key_acts(server_id, wish.client_id, user, wanted.add, wanted.remove)
            shared_step = Step(
                "bucket, server, role",
                Verb.RIGHT,
                "encrypted with KMS, closed to the public, versioned",
            )
            plan = Plan(
                target,
                (shared_step, *steps, *more, *about_keys),
                address,
                (self._guard(server_id, wish.client_id, user), *acts, *folders, *keys_acts),
            )
            return plan if plan.changes else replace(plan, acts=())

    def check(self) -> str:
        """See Target. Raises FixTheSetup (SHARED_PARTS)."""
        server_id = self.shared().server_id
        return f"Transfer Family server {server_id} with its role, and the bucket {self.bucket} with its key"

    # --- the shared parts ---------------------------------------------------------------------------

    def shared(self) -> Shared:
        """The parts that all clients share; raises FixTheSetup (SHARED_PARTS) with all that is wrong."""
        faults: list[Fault] = []
        server: dict[str, Any] = {}
        role_arn = key_arn = ""
        with _collecting(faults):
            server = self._server()
            faults += _server_faults(server, self.names["server"])
        with _collecting(faults):
            role_arn = self._role(faults)
        with _collecting(faults):
            key_arn = self._kms_key(faults)
        with _collecting(faults):
            faults += self._bucket_faults(key_arn)
        if faults:
            raise FixTheSetup(list(dict.fromkeys(faults)))
        return Shared(server["ServerId"], role_arn, key_arn, server.get("HostKeyFingerprint", ""))

    def _server(self) -> dict[str, Any]:
        name = self.names["server"]
        ids = [name] if name.startswith("s-") else self._server_ids()
        for server_id in ids:
            try:
                found: dict[str, Any] = self._transfer.describe_server(ServerId=server_id)["Server"]
            except self._transfer.exceptions.ResourceNotFoundException:
                continue
            tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags") or ()}
            if name in (server_id, tags.get("Name")):
                return found
        raise _shared(f"There is no Transfer Family server `{name}` in {self.region}.")

    def _server_ids(self) -> list[str]:
        ids: list[str] = []
        more: dict[str, str] = {}
        while True:
            answer = self._transfer.list_servers(**more)
            ids += [server["ServerId"] for server in answer["Servers"]]
            if not answer.get("NextToken"):
                return ids
            more = {"NextToken": answer["NextToken"]}

    def _role(self, faults: list[Fault]) -> str:
        iam, name = self._client("iam"), self.names["role"]
        try:
            role = iam.get_role(RoleName=name)["Role"]
        except iam.exceptions.NoSuchEntityException:
            raise _shared(f"There is no IAM role `{name}`.") from None
        trusted = json.dumps(role["AssumeRolePolicyDocument"])
        if "transfer.amazonaws.com" not in trusted:
            faults += _shared(f"Transfer Family may not take the role `{name}`.").faults
        return str(role["Arn"])

    def _kms_key(self, faults: list[Fault]) -> str:
        kms, name = self._client("kms"), self.names["kms_key"]
        try:
            key = kms.describe_key(KeyId=name)["KeyMetadata"]
        except kms.exceptions.NotFoundException:
            raise _shared(f"There is no KMS key `{name}` in {self.region}.") from None
        if not key["Enabled"]:
            faults += _shared(f"The KMS key `{name}` is switched off.").faults
        return str(key["Arn"])

    def _bucket_faults(self, key_arn: str) -> list[Fault]:
        """What is wrong with the bucket: not there, not encrypted with our key, open, or without versions."""
        s3, bucket = self._s3, self.bucket
        if _missing(lambda: s3.head_bucket(Bucket=bucket), "404", "NoSuchBucket"):
            return list(_shared(f"There is no bucket `{bucket}`.").faults)
        found: list[str] = []
        rules = _answer(
            lambda: s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"][
                "Rules"
            ],
            "ServerSideEncryptionConfigurationNotFoundError",
        )
        by_default = (rules or [{}])[0].get("ApplyServerSideEncryptionByDefault", {})
        if by_default.get("SSEAlgorithm") != "aws:kms":
            found.append("does not encrypt with KMS")
        elif key_arn and not self._same_key(by_default.get("KMSMasterKeyID", ""), key_arn):
            found.append(f"encrypts with another key than `{self.names['kms_key']}`")
        block = _answer(
            lambda: s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"],
            "NoSuchPublicAccessBlockConfiguration",
        )
        if open_ways := [name for name in _BLOCKS if not (block or {}).get(name)]:
            found.append(f"is not closed to the public ({', '.join(open_ways)})")
        if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
            found.append("keeps no versions")
        return [_shared(f"The bucket `{bucket}` {what}.").faults[0] for what in found]

    def _same_key(self, given: str, key_arn: str) -> bool:
        if given == key_arn or key_arn.endswith(f":key/{given}"):
            return True
        kms = self._client("kms")
        try:
            return bool(kms.describe_key(KeyId=given)["KeyMetadata"]["Arn"] == key_arn)
        except kms.exceptions.NotFoundException:
            return False

    # --- the client's user -----------------------------------------------------------------------------

    def _wanted(self, shared: Shared, client_id: str) -> dict[str, Any]:
        policy = session_policy(self.bucket, client_id, shared.kms_key_arn, self.region)
        return {
            "Role": shared.role_arn,
            "HomeDirectoryType": "LOGICAL",
            "HomeDirectoryMappings": [
                {"Entry": "/", "Target": f"/{self.bucket}/clients/{client_id}"}
            ],
            "Policy": as_text(policy),
        }

    def _tags(self, client_id: str) -> dict[str, str]:
        return {
            "client_id": client_id,
            "environment": self.environment,
            "managed_by": "etl provision",
        }

    def _user(self, server_id: str, client_id: str) -> User | None:
        try:
            answer = self._transfer.describe_user(ServerId=server_id, UserName=client_id)["User"]
        except self._transfer.exceptions.ResourceNotFoundException:
            return None
        keys: list[tuple[PublicKey, str]] = []
        other: list[str] = []
        for one in answer.get("SshPublicKeys") or ():
            found, _ = stored_keys([one["SshPublicKeyBody"].strip()])
            if found and found[0] not in [key for key, _ in keys]:
                keys.append((found[0], one["SshPublicKeyId"]))
            else:
                other.append(one["SshPublicKeyId"])
        mappings = answer.get("HomeDirectoryMappings") or ()
        logical = answer.get("HomeDirectoryType") == "LOGICAL"
        return User(
            role=answer.get("Role", ""),
            home=tuple((one["Entry"], one["Target"]) for one in mappings) if logical else (),
            policy=_json(answer.get("Policy")),
            tags={tag["Key"]: tag["Value"] for tag in answer.get("Tags") or ()},
            arn=answer["Arn"],
            keys=tuple(keys),
            other=tuple(other),
        )

    def _user_steps(
        self, client_id: str, server_id: str, user: User | None, wanted: dict[str, Any]
    ) -> tuple[list[Step], list[Callable[[], None]]]:
        """The user, its folder, policy and tags: what is right, and what has drifted."""
        tags = self._tags(client_id)
        as_list = [{"Key": name, "Value": value} for name, value in tags.items()]
        named = {"ServerId": server_id, "UserName": client_id}
        home = f"folder clients/{client_id} as /"
        if user is None:
            steps = [
                Step(f"user {client_id}", Verb.MAKE),
                Step(home, Verb.MAKE),
                Step("policy", Verb.MAKE, "inbox read, write, delete; outbox read; nothing else"),
                Step("tags", Verb.MAKE, ", ".join(f"{n}={v}" for n, v in tags.items())),
            ]
            return steps, [lambda: self._transfer.create_user(**named, **wanted, Tags=as_list)]
        drifted = {
            "role": user.role != wanted["Role"],
            home: user.home != (("/", wanted["HomeDirectoryMappings"][0]["Target"]),),
            "policy": user.policy != json.loads(wanted["Policy"]),
        }
        lacking = {name: value for name, value in tags.items() if user.tags.get(name) != value}
        words = "is not as it must be: somebody has changed it, or we have since"
        steps = [Step(f"user {client_id}", Verb.RIGHT)]
        steps += [
            Step(what, Verb.CHANGE, words) if wrong else Step(what, Verb.RIGHT)
            for what, wrong in drifted.items()
        ]
        steps.append(
            Step("tags", Verb.CHANGE, ", ".join(lacking)) if lacking else Step("tags", Verb.RIGHT)
        )
        acts: list[Callable[[], None]] = []
        if any(drifted.values()):
            acts.append(lambda: self._transfer.update_user(**named, **wanted))
        if lacking:
            acts.append(lambda: self._transfer.tag_resource(Arn=user.arn, Tags=as_list))
        return steps, acts

    def _folders(self, client_id: str) -> tuple[list[Step], list[Callable[[], None]]]:
        """Empty objects that let the school see its folders before there is a file in them."""
        steps: list[Step] = []
        acts: list[Callable[[], None]] = []
        for folder in _FOLDERS:
            key = f"clients/{client_id}/{folder}/"
            head = {"Bucket": self.bucket, "Key": key}
            if not _missing(lambda head=head: self._s3.head_object(**head), "404", "NoSuchKey"):  # type: ignore[misc]
                steps.append(Step(f"folder {folder}", Verb.RIGHT))
                continue
            steps.append(Step(f"folder {folder}", Verb.MAKE))
            acts.append(lambda head=head: self._s3.put_object(**head, Body=b""))  # type: ignore[misc]
        return steps, acts

    def _key_acts(
        self, server_id: str, client_id: str, user: User | None,
        add: Sequence[PublicKey], remove: Sequence[PublicKey],
    ) -> list[Callable[[], None]]:  # fmt: skip
        """New keys first: an access never stands without one."""
        named = {"ServerId": server_id, "UserName": client_id}
        ids = [] if user is None else [i for key, i in user.keys if key in remove] + [*user.other]
        return [
            *(
                lambda key=key: self._transfer.import_ssh_public_key(
                    **named, SshPublicKeyBody=f"{key.line} {client_id}"
                )
                for key in add
            ),
            *(
                lambda key_id=key_id: self._transfer.delete_ssh_public_key(
                    **named, SshPublicKeyId=key_id
                )
                for key_id in ids
            ),
        ]

    def _revoking(
        self, wish: Wish, server_id: str, user: User | None, target: str, address: Address
    ) -> Plan:
        if user is None:
            note = Step("access", Verb.NOTE, f"There is no user {wish.client_id}.")
            return Plan(target, (note,), address)
        named = {"ServerId": server_id, "UserName": wish.client_id}
        steps = (
            Step(f"user {wish.client_id}", Verb.REMOVE, "its files stay"),
            *(Step(f"key {key.words}", Verb.REMOVE) for key, _ in user.keys),
        )
        guard = self._guard(server_id, wish.client_id, user)
        return Plan(target, steps, address, (guard, lambda: self._transfer.delete_user(**named)))

    def _guard(self, server_id: str, client_id: str, seen: User | None) -> Callable[[], None]:
        """Does nothing while the user is as it was looked at."""

        def same() -> None:
            if self._user(server_id, client_id) != seen:
                raise NotNow.of(
                    "NOT_AS_SHOWN", f"Somebody has changed the user {client_id} meanwhile."
                )

        return same

    def _address(self, server_id: str, host_key: str) -> Address:
        own = f"{server_id}.server.transfer.{self.region}.amazonaws.com"
        given = self.address
        return replace(given, host=given.host or own, host_key=given.host_key or host_key)

    # --- AWS ---------------------------------------------------------------------------------------------

    def _client(self, service: str) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=10,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 4},
        )
        return self.session.client(service, region_name=self.region, config=config)

    @cached_property
    def _transfer(self) -> Any:
        return _Explaining(self._client("transfer"))

    @cached_property
    def _s3(self) -> Any:
        return _Explaining(self._client("s3"))


class _Explaining:
    """A boto3 client whose errors, also those of an act that is done later, are said in words."""

    def __init__(self, client: Any) -> None:
        self._inner = client
        self.exceptions = client.exceptions

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)

        def said(**arguments: Any) -> Any:
            with _explained(_KNOWN_TO_CALLERS):
                return call(**arguments)

        return said


_KNOWN_TO_CALLERS = frozenset(
    {
        "ResourceNotFoundException", "404", "NoSuchBucket", "NoSuchKey",
        "ServerSideEncryptionConfigurationNotFoundError", "NoSuchPublicAccessBlockConfiguration",
    }
)  # fmt: skip


def _server_faults(server: Mapping[str, Any], name: str) -> list[Fault]:
    found = []
    if server.get("State") not in ("ONLINE", None):
        found.append(f"is {server['State'].lower()}")
    if server.get("IdentityProviderType") != "SERVICE_MANAGED":
        found.append("does not keep its users itself (SERVICE_MANAGED)")
    if set(server.get("Protocols") or ()) != {"SFTP"}:
        found.append("speaks other protocols than SFTP")
    return [_shared(f"The server `{name}` {what}.").faults[0] for what in found]


def _missing(ask: Callable[[], Any], *codes: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        ask()
    except ClientError as error:
        if _code(error) in codes:
            return True
        raise
    return False


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _answer(ask: Callable[[], Any], *nothing: str) -> Any:
    """What AWS answers; None for an error that means: there is none."""
    found: list[Any] = []
    return None if _missing(lambda: found.append(ask()), *nothing) else found[0]


def _json(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return text


def _shared(text: str) -> FixTheSetup:
    return FixTheSetup.of("SHARED_PARTS", text)


def _refuses(call: str, code: str) -> FixTheSetup:
    text = f"AWS refuses {call} ({code})."
    return FixTheSetup.of("PROVISION_UNAVAILABLE", text)


@contextmanager
def _collecting(faults: list[Fault]) -> Iterator[None]:
    """Put the faults of a block that fails beside the others."""
    try:
        with _explained():
            yield
    except EtlError as error:
        faults += error.faults


@contextmanager
def _explained(known: Collection[str] = ()) -> Iterator[None]:
    """What boto3 says, in words and without the request; errors with a `known` code pass as they are."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        if _code(error) in known:
            raise
        raise _refuses(error.operation_name, _code(error)) from None
    except BotoCoreError as error:
        text = (
            f"AWS does not answer, or this terminal has no identity there ({type(error).__name__})."
        )
        hint = "Sign in first (`aws sso login`, or AWS_PROFILE)."
        raise FixTheSetup.of("PROVISION_UNAVAILABLE", text, hint=hint) from None
