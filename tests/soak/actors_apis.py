"""Actors of Lambda, Route 53 and API Gateway."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

from tests.soak.model import GONE, Actor, Values

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def zipped(word: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), f"def handler(e, c): return {word!r}")
    return buffer.getvalue()


def sha256_of(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


class Lambda(Actor):
    """A function: the hash of its code, its description, its versions."""

    service = "lambda"
    versions_max = 3

    def moves(self) -> list[Callable[[], None]]:
        if "role" not in self.expected:
            return [self.create_role]
        if "function" not in self.expected:
            return [self.create]
        moves = [self.update_code, self.configure, self.delete]
        few = len(self.expected["versions"]) < self.versions_max
        return [*moves, self.publish, self.configure] if few else moves

    def create_role(self) -> None:
        self.call(
            "create_role",
            lambda a: {"role": a["Role"]["Arn"]},
            service="iam",
            RoleName=self.name,
            AssumeRolePolicyDocument=TRUST,
        )

    def create(self) -> None:
        word = self.word()
        code = zipped(word)
        self.call(
            "create_function",
            lambda _: {"function": [sha256_of(code), word], "versions": ["$LATEST"]},
            FunctionName=self.name,
            Runtime="python3.11",
            Role=self.expected["role"],
            Handler="index.handler",
            Code={"ZipFile": code},
            Description=word,
        )

    def update_code(self) -> None:
        code = zipped(self.word())
        word = self.expected["function"][1]
        self.call(
            "update_function_code",
            lambda _: {"function": [sha256_of(code), word]},
            FunctionName=self.name,
            ZipFile=code,
        )

    def configure(self) -> None:
        code, word = self.expected["function"][0], self.word()
        self.call(
            "update_function_configuration",
            lambda _: {"function": [code, word]},
            FunctionName=self.name,
            Description=word,
        )

    def publish(self) -> None:
        if self.kept.get("published") == (code := self.expected["function"][0]):
            return self.update_code()
        self.kept["published"] = code
        old = self.expected["versions"]
        return self.call(
            "publish_version",
            lambda a: {"versions": [*old, a["Version"]]},
            FunctionName=self.name,
        )

    def delete(self) -> None:
        gone = {"function": GONE, "versions": GONE}
        self.call("delete_function", lambda _: gone, FunctionName=self.name)

    def read(self) -> Values:
        found: Values = {}
        role = self.found_or(None, "NoSuchEntity", "get_role", service="iam", RoleName=self.name)
        if role is not None:
            found["role"] = role["Role"]["Arn"]
        missing = "ResourceNotFoundException"
        function = self.found_or(None, missing, "get_function", FunctionName=self.name)
        if function is not None:
            told = function["Configuration"]
            versions = self.ask("list_versions_by_function", FunctionName=self.name)["Versions"]
            found["function"] = [told["CodeSha256"], told["Description"]]
            found["versions"] = [version["Version"] for version in versions]
        return found


class Route53(Actor):
    """A hosted zone and its records."""

    service = "route53"

    def moves(self) -> list[Callable[[], None]]:
        if "zone" not in self.expected:
            return [self.create]
        moves: list[Callable[[], None]] = [self.upsert, self.upsert]
        return [*moves, self.delete] if self.names("record") else moves

    def create(self) -> None:
        self.call(
            "create_hosted_zone",
            lambda a: {"zone": a["HostedZone"]["Id"]},
            Name=f"{self.name}.example.",
            CallerReference=self.word(),
        )

    def _change(self, action: str, label: str, value: str) -> dict[str, Any]:
        record = {
            "Name": f"{label}.{self.name}.example.",
            "Type": "TXT",
            "TTL": 60,
            "ResourceRecords": [{"Value": f'"{value}"'}],
        }
        changes = [{"Action": action, "ResourceRecordSet": record}]
        return {"HostedZoneId": self.expected["zone"], "ChangeBatch": {"Changes": changes}}

    def upsert(self) -> None:
        label, word = self.rng.choice("abc"), self.word()
        where = self._change("UPSERT", label, word)
        values = {f"record/{label}": f'"{word}"'}
        self.call("change_resource_record_sets", lambda _: values, **where)

    def delete(self) -> None:
        label = self.rng.choice(self.names("record"))
        where = self._change("DELETE", label, self.expected[f"record/{label}"].strip('"'))
        self.call("change_resource_record_sets", lambda _: {f"record/{label}": GONE}, **where)

    def read(self) -> Values:
        zones = self.ask("list_hosted_zones_by_name", DNSName=f"{self.name}.example.")
        mine = [z for z in zones["HostedZones"] if z["Name"] == f"{self.name}.example."]
        if not mine:
            return {}
        number = mine[0]["Id"]
        rows = self.ask("list_resource_record_sets", HostedZoneId=number)["ResourceRecordSets"]
        found = {
            f"record/{row['Name'].partition('.')[0]}": row["ResourceRecords"][0]["Value"]
            for row in rows
            if row["Type"] == "TXT"
        }
        return {"zone": number, **found}


class Apigateway(Actor):
    """A REST API: its resources, a stage, its description."""

    service = "apigateway"

    def moves(self) -> list[Callable[[], None]]:
        if "api" not in self.expected:
            return [self.create]
        if "root" not in self.kept:
            return [self.look]
        paths = self.names("path")
        return [self.add, self.describe] + ([self.remove, self.method] if paths else [])

    def create(self) -> None:
        self.call("create_rest_api", lambda a: {"api": [a["id"], None]}, name=self.name)

    def look(self) -> None:
        rows = self.ask("get_resources", restApiId=self.expected["api"][0])["items"]
        self.kept["root"] = next(row["id"] for row in rows if row["path"] == "/")

    def describe(self) -> None:
        number, word = self.expected["api"][0], self.word()
        change = {"op": "replace", "path": "/description", "value": word}
        where = {"restApiId": number, "patchOperations": [change]}
        self.call("update_rest_api", lambda _: {"api": [number, word]}, **where)

    def add(self) -> None:
        free = [p for p in "abc" if f"path/{p}" not in self.expected]
        if not free:
            return self.remove()
        part = self.rng.choice(free)
        return self.call(
            "create_resource",
            lambda a: {f"path/{part}": [a["id"], []]},
            restApiId=self.expected["api"][0],
            parentId=self.kept["root"],
            pathPart=part,
        )

    def method(self) -> None:
        part = self.rng.choice(self.names("path"))
        number, methods = self.expected[f"path/{part}"]
        verb = self.rng.choice(("GET", "PUT", "POST"))
        if verb in methods:
            return self.describe()
        return self.call(
            "put_method",
            lambda _: {f"path/{part}": [number, sorted([*methods, verb])]},
            restApiId=self.expected["api"][0],
            resourceId=number,
            httpMethod=verb,
            authorizationType="NONE",
        )

    def remove(self) -> None:
        part = self.rng.choice(self.names("path"))
        where = {"restApiId": self.expected["api"][0]}
        number = self.expected[f"path/{part}"][0]
        gone = {f"path/{part}": GONE}
        self.call("delete_resource", lambda _: gone, **where, resourceId=number)

    def read(self) -> Values:
        apis = self.ask("get_rest_apis", limit=500)["items"]
        found: Values = {}
        for api in apis:
            if api["name"] == self.name:
                found["api"] = [api["id"], api.get("description")]
                rows = self.ask("get_resources", restApiId=api["id"], limit=500)["items"]
                for row in rows:
                    if row["path"] != "/":
                        methods = sorted(row.get("resourceMethods", {}))
                        found[f"path/{row['pathPart']}"] = [row["id"], methods]
        return found
