"""Actors of the services that hold data: S3, DynamoDB, Kinesis, CloudWatch Logs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from tests.soak.model import GONE, UNKNOWN, Actor, Values

RECORDS_MAX = 20


class S3(Actor):
    """A versioned bucket: ``versions/KEY`` and ``markers/KEY`` newest first, uploads."""

    service = "s3"
    keys = ("a", "b/c", "d e")
    versions_max = 3

    def moves(self) -> list[Callable[[], None]]:
        if "bucket" not in self.expected:
            return [self.create]
        if "versioning" not in self.expected:
            return [self.enable]
        return [self.put, self.put, self.delete, self.purge, self.begin, self.part, self.complete]

    def create(self) -> None:
        self.call("create_bucket", lambda _: {"bucket": True}, Bucket=self.name)

    def enable(self) -> None:
        self.call(
            "put_bucket_versioning",
            lambda _: {"versioning": "Enabled"},
            Bucket=self.name,
            VersioningConfiguration={"Status": "Enabled"},
        )

    def _newer(self, key: str, version: list[Any] | None, marker: list[Any] | None) -> Values:
        """The key's values with one more entry, which is the latest."""
        values: Values = {}
        for kind, entry in (("versions", version), ("markers", marker)):
            old = [[False, *row[1:]] for row in self.expected.get(f"{kind}/{key}", [])]
            if rows := ([[True, *entry]] if entry else []) + old:
                values[f"{kind}/{key}"] = rows
        return values

    def put(self) -> None:
        key = self.rng.choice(self.keys)
        body = self.rng.randbytes(self.rng.choice((0, 10, 3000, 70_000)))
        if len(self.expected.get(f"versions/{key}", [])) >= self.versions_max:
            return self.purge()
        etag, digest = f'"{hashlib.md5(body).hexdigest()}"', hashlib.sha256(body).hexdigest()
        return self.call(
            "put_object",
            lambda a: self._newer(key, [a["VersionId"], etag, digest, key], None),
            Bucket=self.name,
            Key=key,
            Body=body,
            Metadata={"key": key},
        )

    def delete(self) -> None:
        key = self.rng.choice(self.keys)
        # moto marks a key as deleted only if there is something to delete.
        if f"versions/{key}" not in self.expected:
            return self.put()
        if len(self.expected.get(f"markers/{key}", [])) >= self.versions_max:
            return self.purge()
        return self.call(
            "delete_object",
            lambda a: self._newer(key, None, [a["VersionId"]]),
            Bucket=self.name,
            Key=key,
        )

    def purge(self) -> None:
        """Delete the oldest version or marker of a key, unless it is the latest."""
        names = [n for n, rows in self.expected.items() if "s/" in n and not rows[-1][0]]
        if not names:
            return self.begin()
        name = self.rng.choice(names)
        rows = self.expected[name]
        return self.call(
            "delete_object",
            lambda _: {name: rows[:-1] or GONE},
            Bucket=self.name,
            Key=name.partition("/")[2],
            VersionId=self._oldest(name),
        )

    def _oldest(self, name: str) -> str:
        """The id of its oldest entry, which the answer to a completed upload does not tell."""
        version = self.expected[name][-1][1]
        if version is not UNKNOWN:
            return str(version)
        key = name.partition("/")[2]
        listed = self.ask("list_object_versions", Bucket=self.name, Prefix=key)["Versions"]
        return str([row["VersionId"] for row in listed if row["Key"] == key][-1])

    def begin(self) -> None:
        key = f"large-{self.rng.randrange(2)}"
        if f"upload/{key}" in self.expected:
            return self.part()
        return self.call(
            "create_multipart_upload",
            lambda a: {f"upload/{key}": [a["UploadId"], []]},
            Bucket=self.name,
            Key=key,
        )

    def part(self) -> None:
        uploads = self.names("upload")
        if not uploads:
            return self.begin()
        key = self.rng.choice(uploads)
        upload, parts = self.expected[f"upload/{key}"]
        if parts:
            return self.complete()
        body = self.rng.randbytes(5000)
        row = [1, f'"{hashlib.md5(body).hexdigest()}"']
        self.kept[f"{key}/{upload}"] = hashlib.sha256(body).hexdigest()
        return self.call(
            "upload_part",
            lambda _: {f"upload/{key}": [upload, [row]]},
            Bucket=self.name,
            Key=key,
            UploadId=upload,
            PartNumber=1,
            Body=body,
        )

    def complete(self) -> None:
        ready = [key for key in self.names("upload") if self.expected[f"upload/{key}"][1]]
        if not ready:
            return self.part()
        key = self.rng.choice(ready)
        if len(self.expected.get(f"versions/{key}", [])) >= self.versions_max:
            return self.purge()
        upload, [[number, etag]] = self.expected[f"upload/{key}"]
        digest = self.kept[f"{key}/{upload}"]
        return self.call(
            "complete_multipart_upload",
            lambda a: {
                f"upload/{key}": GONE,
                **self._newer(key, [UNKNOWN, a["ETag"], digest, None], None),
            },
            Bucket=self.name,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": number, "ETag": etag}]},
        )

    def read(self) -> Values:
        status = self.found_or(None, "NoSuchBucket", "get_bucket_versioning", Bucket=self.name)
        if status is None:
            return {}
        found: Values = {"bucket": True}
        if "Status" in status:
            found["versioning"] = status["Status"]
        listed = self.ask("list_object_versions", Bucket=self.name)
        for row in listed.get("Versions", []):
            found.setdefault(f"versions/{row['Key']}", []).append(self._version(row))
        for row in listed.get("DeleteMarkers", []):
            entry = [row["IsLatest"], row["VersionId"]]
            found.setdefault(f"markers/{row['Key']}", []).append(entry)
        for row in self.ask("list_multipart_uploads", Bucket=self.name).get("Uploads", []):
            upload = {"Key": row["Key"], "UploadId": row["UploadId"]}
            parts = self.ask("list_parts", Bucket=self.name, **upload).get("Parts", [])
            sent = [[part["PartNumber"], part["ETag"]] for part in parts]
            found[f"upload/{row['Key']}"] = [row["UploadId"], sent]
        return found

    def _version(self, row: dict[str, Any]) -> list[Any]:
        where = {"Bucket": self.name, "Key": row["Key"], "VersionId": row["VersionId"]}
        got = self.ask("get_object", **where)
        digest = hashlib.sha256(got["Body"].read()).hexdigest()
        assert got["ETag"] == row["ETag"]
        return [row["IsLatest"], row["VersionId"], got["ETag"], digest, got["Metadata"].get("key")]


class Dynamodb(Actor):
    """A table of five items."""

    service = "dynamodb"
    ids = ("a", "b", "c", "d", "e")

    def moves(self) -> list[Callable[[], None]]:
        if "table" not in self.expected:
            return [self.create]
        moves = [self.put, self.batch, self.update, self.transact]
        return [*moves, self.delete, self.refuse] if self.names("item") else moves

    def create(self) -> None:
        self.call(
            "create_table",
            lambda a: {"table": a["TableDescription"]["TableArn"]},
            TableName=self.name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def _item(self, key: str) -> dict[str, Any]:
        word = self.word()
        return {
            "id": {"S": key},
            "word": {"S": word},
            "n": {"N": str(self.serial)},
            "bytes": {"B": self.rng.randbytes(self.rng.choice((1, 500)))},
            "more": {"M": {"l": {"L": [{"S": word}, {"BOOL": True}]}}},
        }

    def put(self) -> None:
        item = self._item(key := self.rng.choice(self.ids))
        self.call("put_item", lambda _: {f"item/{key}": item}, TableName=self.name, Item=item)

    def refuse(self) -> None:
        self.refused(
            "put_item",
            "ConditionalCheckFailedException",
            TableName=self.name,
            Item=self._item(self.rng.choice(self.names("item"))),
            ConditionExpression="attribute_not_exists(id)",
        )

    def update(self) -> None:
        key, word = self.rng.choice(self.ids), self.word()
        old = self.expected.get(f"item/{key}", {"id": {"S": key}})
        count = int(old.get("n", {"N": "0"})["N"]) + 1
        new = {**old, "word": {"S": word}, "n": {"N": str(count)}}
        self.call(
            "update_item",
            lambda _: {f"item/{key}": new},
            TableName=self.name,
            Key={"id": {"S": key}},
            UpdateExpression="SET word = :w ADD n :one",
            ExpressionAttributeValues={":w": {"S": word}, ":one": {"N": "1"}},
        )

    def delete(self) -> None:
        key = self.rng.choice(self.names("item"))
        self.call(
            "delete_item",
            lambda _: {f"item/{key}": GONE},
            TableName=self.name,
            Key={"id": {"S": key}},
            ConditionExpression="attribute_exists(id)",
        )

    def batch(self) -> None:
        first, second, third = self.rng.sample(self.ids, 3)
        items = {key: self._item(key) for key in (first, second)}
        puts = [{"PutRequest": {"Item": item}} for item in items.values()]
        self.call(
            "batch_write_item",
            lambda _: {f"item/{k}": v for k, v in items.items()} | {f"item/{third}": GONE},
            RequestItems={
                self.name: [*puts, {"DeleteRequest": {"Key": {"id": {"S": third}}}}],
            },
        )

    def transact(self) -> None:
        items = {key: self._item(key) for key in self.rng.sample(self.ids, 2)}
        self.call(
            "transact_write_items",
            lambda _: {f"item/{k}": v for k, v in items.items()},
            TransactItems=[
                {"Put": {"TableName": self.name, "Item": item}} for item in items.values()
            ],
        )

    def read(self) -> Values:
        missing = "ResourceNotFoundException"
        table = self.found_or(None, missing, "describe_table", TableName=self.name)
        if table is None:
            return {}
        items = self.ask("scan", TableName=self.name, ConsistentRead=True)["Items"]
        found = {f"item/{item['id']['S']}": item for item in items}
        return {"table": table["Table"]["TableArn"], **found}


class Kinesis(Actor):
    """A stream of one shard: its records with their sequence numbers, in order."""

    service = "kinesis"

    def moves(self) -> list[Callable[[], None]]:
        if "records" not in self.expected:
            return [self.create]
        if len(self.expected["records"]) >= RECORDS_MAX:
            return [self.drop]
        return [self.put, self.put_two]

    def create(self) -> None:
        self.kept["name"] = f"{self.name}-{self.word()}"
        self.call(
            "create_stream", lambda _: {"records": []}, StreamName=self.kept["name"], ShardCount=1
        )

    def drop(self) -> None:
        self.call("delete_stream", lambda _: {"records": GONE}, StreamName=self.kept["name"])

    def put(self) -> None:
        data, key = self.rng.randbytes(20), self.word()
        old = self.expected["records"]
        self.call(
            "put_record",
            lambda a: {"records": [*old, [a["SequenceNumber"], key, data]]},
            StreamName=self.kept["name"],
            Data=data,
            PartitionKey=key,
        )

    def put_two(self) -> None:
        rows = [(self.word(), self.rng.randbytes(20)) for _ in range(2)]
        old = self.expected["records"]

        def changes(answer: Any) -> Values:
            new = [[answer["Records"][n]["SequenceNumber"], *row] for n, row in enumerate(rows)]
            return {"records": [*old, *new]}

        self.call(
            "put_records",
            changes,
            StreamName=self.kept["name"],
            Records=[{"PartitionKey": key, "Data": data} for key, data in rows],
        )

    def read(self) -> Values:
        if "name" not in self.kept:
            return {}
        where = {"StreamName": self.kept["name"]}
        missing = "ResourceNotFoundException"
        shards = self.found_or(None, missing, "list_shards", **where)
        if shards is None:
            return {}
        iterator = self.ask(
            "get_shard_iterator",
            **where,
            ShardId=shards["Shards"][0]["ShardId"],
            ShardIteratorType="TRIM_HORIZON",
        )["ShardIterator"]
        rows = self.ask("get_records", ShardIterator=iterator)["Records"]
        return {"records": [[r["SequenceNumber"], r["PartitionKey"], r["Data"]] for r in rows]}


class Logs(Actor):
    """A log group with one stream: its events in order, its retention."""

    service = "logs"

    def moves(self) -> list[Callable[[], None]]:
        if "days" not in self.expected:
            return [self.create]
        if "events" not in self.expected:
            return [self.create_stream]
        if len(self.expected["events"]) >= RECORDS_MAX:
            return [self.drop]
        return [self.put, self.put, self.put, self.retain]

    def create(self) -> None:
        self.call("create_log_group", lambda _: {"days": None}, logGroupName=self.name)

    def create_stream(self) -> None:
        self.kept["name"] = self.word()
        where = {"logGroupName": self.name, "logStreamName": self.kept["name"]}
        self.call("create_log_stream", lambda _: {"events": []}, **where)

    def drop(self) -> None:
        where = {"logGroupName": self.name, "logStreamName": self.kept["name"]}
        self.call("delete_log_stream", lambda _: {"events": GONE}, **where)

    def retain(self) -> None:
        days = self.rng.choice((1, 3, 5, 7))
        where = {"logGroupName": self.name, "retentionInDays": days}
        self.call("put_retention_policy", lambda _: {"days": days}, **where)

    def put(self) -> None:
        now = time.time_ns() // 10**6
        events = [[now + n, self.word()] for n in range(self.rng.randint(1, 3))]
        old = self.expected["events"]
        # Two puts of one millisecond would have no order of their own.
        time.sleep(0.003)
        self.call(
            "put_log_events",
            lambda _: {"events": [*old, *events]},
            logGroupName=self.name,
            logStreamName=self.kept["name"],
            logEvents=[{"timestamp": at, "message": text} for at, text in events],
        )

    def read(self) -> Values:
        groups = self.ask("describe_log_groups", logGroupNamePrefix=self.name)["logGroups"]
        mine = [group for group in groups if group["logGroupName"] == self.name]
        if not mine:
            return {}
        found: Values = {"days": mine[0].get("retentionInDays")}
        if "name" in self.kept:
            where = {"logGroupName": self.name, "logStreamName": self.kept["name"]}
            missing = "ResourceNotFoundException"
            got = self.found_or(None, missing, "get_log_events", **where, startFromHead=True)
            if got is not None:
                found["events"] = [[e["timestamp"], e["message"]] for e in got["events"]]
        return found
