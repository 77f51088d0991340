"""Actors of what holds configuration and keys: SSM, Secrets Manager, KMS, IAM, EventBridge."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from tests.soak.model import GONE, UNKNOWN, Actor, Values

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


class Ssm(Actor):
    """Three parameters with all their versions."""

    service = "ssm"
    versions_max = 5

    def moves(self) -> list[Callable[[], None]]:
        return [self.put, self.put, self.delete] if self.expected else [self.put]

    def put(self) -> None:
        name = f"/{self.name}/{self.rng.choice('abc')}"
        old = self.expected.get(name, [])
        if len(old) >= self.versions_max:
            return self._delete(name)
        word = self.word()
        done = self.call(
            "put_parameter",
            lambda _: {name: [*old, [len(old) + 1, word]]},
            Name=name,
            Value=word,
            Type="SecureString" if name.endswith("a") else "String",
            Overwrite=True,
        )
        assert done["Version"] == len(old) + 1
        return None

    def delete(self) -> None:
        self._delete(self.rng.choice(sorted(self.expected)))

    def _delete(self, name: str) -> None:
        self.call("delete_parameter", lambda _: {name: GONE}, Name=name)

    def read(self) -> Values:
        listed = self.ask("get_parameters_by_path", Path=f"/{self.name}")["Parameters"]
        return {row["Name"]: self._history(row) for row in listed}

    def _history(self, row: dict[str, Any]) -> list[list[Any]]:
        got = self.ask("get_parameter_history", Name=row["Name"], WithDecryption=True)
        return [[version["Version"], version["Value"]] for version in got["Parameters"]]


class Secretsmanager(Actor):
    """Two secrets: the current and the previous value with their version ids."""

    service = "secretsmanager"

    def moves(self) -> list[Callable[[], None]]:
        return [self.put, self.put, self.put, self.delete]

    def put(self) -> None:
        name, word = f"{self.name}-{self.rng.choice('ab')}", self.word()
        if name not in self.expected:
            self.call(
                "create_secret",
                lambda a: {name: [a["ARN"], [a["VersionId"], word], None]},
                Name=name,
                SecretString=word,
            )
        else:
            arn, current, _ = self.expected[name]
            self.call(
                "put_secret_value",
                lambda a: {name: [arn, [a["VersionId"], word], current]},
                SecretId=name,
                SecretString=word,
            )

    def delete(self) -> None:
        if not self.expected:
            return self.put()
        name = self.rng.choice(sorted(self.expected))
        return self.call(
            "delete_secret",
            lambda _: {name: GONE},
            SecretId=name,
            ForceDeleteWithoutRecovery=True,
        )

    def read(self) -> Values:
        names = [f"{self.name}-{letter}" for letter in "ab"]
        return {name: found for name in names if (found := self._secret(name))}

    def _secret(self, name: str) -> list[Any] | None:
        missing, stages = "ResourceNotFoundException", ("AWSCURRENT", "AWSPREVIOUS")
        current, previous = (
            self.found_or(None, missing, "get_secret_value", SecretId=name, VersionStage=stage)
            for stage in stages
        )
        values = [got and [got["VersionId"], got["SecretString"]] for got in (current, previous)]
        return current and [current["ARN"], *values]


class Kms(Actor):
    """Keys by their description, what was encrypted and signed with them."""

    service = "kms"
    sealed_max = 6
    kinds: ClassVar[dict[str, dict[str, str]]] = {
        "aes": {},
        "rsa": {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
    }
    signing: ClassVar = {"SigningAlgorithm": "RSASSA_PSS_SHA_256", "MessageType": "RAW"}

    def moves(self) -> list[Callable[[], None]]:
        missing = [kind for kind in self.kinds if f"key/{kind}" not in self.expected]
        if missing:
            return [lambda: self.create(missing[0])]
        moves: list[Callable[[], None]] = [self.toggle, self.describe]
        if self.expected["key/aes"][1]:
            moves += [self.seal, self.seal]
        return [*moves, self.sign, self.alias]

    def create(self, kind: str) -> None:
        done = self.call(
            "create_key",
            lambda a: {f"key/{kind}": [a["KeyMetadata"]["KeyId"], True, UNKNOWN]},
            Description=f"{self.name} {kind}",
            **self.kinds[kind],
        )
        # What a read has shown counts as acknowledged too.
        number = done["KeyMetadata"]["KeyId"]
        self.expected[f"key/{kind}"] = [number, True, self._public(kind, number)]

    def _public(self, kind: str, number: str) -> bytes | None:
        return self.ask("get_public_key", KeyId=number)["PublicKey"] if kind == "rsa" else None

    def toggle(self) -> None:
        number, enabled, public = self.expected["key/aes"]
        operation = "disable_key" if enabled else "enable_key"
        self.call(operation, lambda _: {"key/aes": [number, not enabled, public]}, KeyId=number)

    def describe(self) -> None:
        number, enabled, _ = self.expected["key/aes"]
        told = self.ask("describe_key", KeyId=number)["KeyMetadata"]
        assert told["Enabled"] == enabled, (told, self.expected)

    def seal(self) -> None:
        word = self.word()
        number = self.expected["key/aes"][0]
        sealed = self.names("sealed")
        forgotten = {f"sealed/{sealed[0]}": GONE} if len(sealed) >= self.sealed_max else {}
        # A ciphertext nobody was told of cannot be looked for.
        done = self.call(
            "encrypt",
            lambda a: {} if a is UNKNOWN else {f"sealed/{word}": word, **forgotten},
            KeyId=number,
            Plaintext=word.encode(),
        )
        for name in forgotten:
            del self.kept[name]
        self.kept[f"sealed/{word}"] = done["CiphertextBlob"]

    def sign(self) -> None:
        word = self.word()
        done = self.call(
            "sign",
            lambda a: {} if a is UNKNOWN else {"signed": word},
            KeyId=self.expected["key/rsa"][0],
            Message=word.encode(),
            **self.signing,
        )
        self.kept["signature"] = done["Signature"]

    def alias(self) -> None:
        kind = self.rng.choice(sorted(self.kinds))
        number, name = self.expected[f"key/{kind}"][0], f"alias/{self.name}"
        operation = "update_alias" if "alias" in self.expected else "create_alias"
        self.call(operation, lambda _: {"alias": number}, AliasName=name, TargetKeyId=number)

    def read(self) -> Values:
        found: Values = {}
        for kind, number in self._keys().items():
            told = self.ask("describe_key", KeyId=number)["KeyMetadata"]
            found[f"key/{kind}"] = [number, told["Enabled"], self._public(kind, number)]
        name = f"alias/{self.name}"
        aliases = self.ask("list_aliases", Limit=1000)["Aliases"]
        for alias in aliases:
            if alias["AliasName"] == name:
                found["alias"] = alias["TargetKeyId"]
        found |= {name: self._opened(name, found["key/aes"]) for name in self._sealed()}
        if "signed" in self.expected:
            found["signed"] = self._verified(found["key/rsa"][0])
        return found

    def _keys(self) -> dict[str, str]:
        """The ids of this client's keys; the descriptions of others' are asked for once."""
        told = self.kept.setdefault("descriptions", {})
        for row in self.ask("list_keys", Limit=1000)["Keys"]:
            number = row["KeyId"]
            if number not in told:
                told[number] = self.ask("describe_key", KeyId=number)["KeyMetadata"]["Description"]
        mine = {d.partition(" ")[2]: n for n, d in told.items() if d.startswith(f"{self.name} ")}
        return dict(sorted(mine.items()))

    def _sealed(self) -> list[str]:
        return [name for name in self.kept if name.startswith("sealed/")]

    def _opened(self, name: str, key: list[Any]) -> str:
        if not key[1]:
            return self.expected[name]  # a disabled key opens nothing, now or ever before
        return self.ask("decrypt", CiphertextBlob=self.kept[name])["Plaintext"].decode()

    def _verified(self, number: str) -> str:
        word, signature = self.expected["signed"], self.kept["signature"]
        where = {"KeyId": number, "Message": word.encode(), "Signature": signature}
        return word if self.ask("verify", **where, **self.signing)["SignatureValid"] else "invalid"


class Iam(Actor):
    """A user with access keys and an inline policy, a role."""

    service = "iam"
    keys_max = 2

    def moves(self) -> list[Callable[[], None]]:
        if "user" not in self.expected:
            return [self.create_user]
        if "role" not in self.expected:
            return [self.create_role]
        keys = self.expected["keys"]
        more = [self.create_key] if len(keys) < self.keys_max else [self.delete_key]
        return [*more, self.put_policy, self.toggle, self.delete_role, self.tag]

    def create_user(self) -> None:
        self.call(
            "create_user",
            lambda a: {"user": a["User"]["UserId"], "keys": {}, "tags": {}},
            UserName=self.name,
        )

    def create_role(self) -> None:
        self.call(
            "create_role",
            lambda a: {"role": a["Role"]["RoleId"]},
            RoleName=self.name,
            AssumeRolePolicyDocument=TRUST,
        )

    def delete_role(self) -> None:
        self.call("delete_role", lambda _: {"role": GONE}, RoleName=self.name)

    def create_key(self) -> None:
        old = self.expected["keys"]

        def changes(answer: Any) -> Values:
            if answer is UNKNOWN:  # a key with a name nobody knows: a whole new value
                return {"keys": _OneMore(old)}
            return {"keys": {**old, answer["AccessKey"]["AccessKeyId"]: "Active"}}

        self.call("create_access_key", changes, UserName=self.name)

    def delete_key(self) -> None:
        name = self.rng.choice(sorted(self.expected["keys"]))
        left = {key: status for key, status in self.expected["keys"].items() if key != name}
        where = {"UserName": self.name, "AccessKeyId": name}
        self.call("delete_access_key", lambda _: {"keys": left}, **where)

    def toggle(self) -> None:
        if not self.expected["keys"]:
            return self.create_key()
        name = self.rng.choice(sorted(self.expected["keys"]))
        status = "Inactive" if self.expected["keys"][name] == "Active" else "Active"
        return self.call(
            "update_access_key",
            lambda _: {"keys": {**self.expected["keys"], name: status}},
            UserName=self.name,
            AccessKeyId=name,
            Status=status,
        )

    def put_policy(self) -> None:
        statement = {"Sid": self.word(), "Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        self.call(
            "put_user_policy",
            lambda _: {"policy": document},
            UserName=self.name,
            PolicyName="p",
            PolicyDocument=json.dumps(document),
        )

    def tag(self) -> None:
        key, value = self.rng.choice("abc"), self.word()
        self.call(
            "tag_user",
            lambda _: {"tags": {**self.expected["tags"], key: value}},
            UserName=self.name,
            Tags=[{"Key": key, "Value": value}],
        )

    def read(self) -> Values:
        found: Values = {}
        missing = "NoSuchEntity"
        user = self.found_or(None, missing, "get_user", UserName=self.name)
        if user is not None:
            keys = self.ask("list_access_keys", UserName=self.name)["AccessKeyMetadata"]
            found["user"] = user["User"]["UserId"]
            found["tags"] = {t["Key"]: t["Value"] for t in user["User"].get("Tags", [])}
            found["keys"] = {key["AccessKeyId"]: key["Status"] for key in keys}
            where = {"UserName": self.name, "PolicyName": "p"}
            policy = self.found_or(None, missing, "get_user_policy", **where)
            found |= {"policy": policy["PolicyDocument"]} if policy else {}
        role = self.found_or(None, missing, "get_role", RoleName=self.name)
        return found | ({"role": role["Role"]["RoleId"]} if role else {})


class _OneMore(dict[str, Any]):
    """Equal to a dict that has all of this and one entry besides."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, dict)
            and len(other) == len(self) + 1
            and self.items() <= other.items()
        )

    __hash__ = None  # type: ignore[assignment]


class Events(Actor):
    """A rule with targets."""

    service = "events"
    pattern = json.dumps({"source": ["soak"]})

    def moves(self) -> list[Callable[[], None]]:
        if "rule" not in self.expected:
            return [self.put]
        moves = [self.put, self.toggle, self.add, self.add]
        return [*moves, self.remove] if self.expected["targets"] else [*moves, self.delete]

    def put(self) -> None:
        word = self.word()
        targets = self.expected.get("targets", {})
        self.call(
            "put_rule",
            lambda a: {"rule": [a["RuleArn"], word, "ENABLED"], "targets": targets},
            Name=self.name,
            EventPattern=self.pattern,
            Description=word,
        )

    def toggle(self) -> None:
        arn, word, state = self.expected["rule"]
        operation = "disable_rule" if state == "ENABLED" else "enable_rule"
        new = [arn, word, "DISABLED" if state == "ENABLED" else "ENABLED"]
        self.call(operation, lambda _: {"rule": new}, Name=self.name)

    def add(self) -> None:
        number, word = self.rng.choice("123"), self.word()
        arn = f"arn:aws:sqs:us-east-1:000000000000:{word}"
        new = {**self.expected["targets"], number: arn}
        targets = [{"Id": number, "Arn": arn}]
        self.call("put_targets", lambda _: {"targets": new}, Rule=self.name, Targets=targets)

    def remove(self) -> None:
        number = self.rng.choice(sorted(self.expected["targets"]))
        left = {n: arn for n, arn in self.expected["targets"].items() if n != number}
        self.call("remove_targets", lambda _: {"targets": left}, Rule=self.name, Ids=[number])

    def delete(self) -> None:
        self.call("delete_rule", lambda _: {"rule": GONE, "targets": GONE}, Name=self.name)

    def read(self) -> Values:
        missing = "ResourceNotFoundException"
        rule = self.found_or(None, missing, "describe_rule", Name=self.name)
        if rule is None:
            return {}
        targets = self.ask("list_targets_by_rule", Rule=self.name)["Targets"]
        return {
            "rule": [rule["Arn"], rule["Description"], rule["State"]],
            "targets": {target["Id"]: target["Arn"] for target in targets},
        }
