"""What a call costs as its store grows, in process: no HTTP, no other process.

Each service's store is filled, past the gateway, to one size after the other; at each the
same calls run through the engine.  Counted is the processor time of this thread, the
median of some rounds, so that what else the machine does matters little.  The last column
is the cost at the largest size by the cost at the smallest: 1 = it does not grow.

    python bench/growth.py [--sizes 0 1000 10000 100000] [--only sqs,s3] [--rounds 30]

Bias: neither HTTP nor the event loop is in it, whose cost is the same at every size; so a
client sees quotients nearer to 1.  What is made when first needed (an index) is made
before the first round.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import time
from collections.abc import Callable, Generator
from statistics import median
from typing import Any
from xml.etree import ElementTree as ET

import calls
from client import Response
from peers import HOME
from perdure.engine.core import DEFAULT_ACCOUNT, Engine
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.stores import import_table
from recording import PORT, Inside
from tables import text_table

SIZES = (0, 1_000, 10_000, 100_000)
RESULT = HOME / "growth.json"
TABLE = {
    "TableName": "growth",
    "KeySchema": [
        {"AttributeName": "h", "KeyType": "HASH"},
        {"AttributeName": "r", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in "hrg"],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-g",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
LOG_STREAM = {"logGroupName": "growth", "logStreamName": "growth"}
Build = Callable[..., bytes]
Round = Generator[tuple[str, bytes], Response, None]


def store_of(module: str, region: str = calls.REGION) -> Any:
    """A service's store, as moto looks it up."""
    return import_table(module)[DEFAULT_ACCOUNT][region]


class Sqs:
    """A queue with so many messages waiting."""

    def set_up(self, build: Build, run: Callable[[bytes], Response]) -> None:
        self.url = json.loads(run(build("sqs", "create_queue", QueueName="growth")).body)[
            "QueueUrl"
        ]

    def fill(self, first: int, last: int) -> None:
        store = store_of("sqs")
        for number in range(first, last):
            store.send_message("growth", f"{number:06} {calls.MESSAGE}")

    def round(self, build: Build, _: int) -> Round:
        where = {"QueueUrl": self.url}
        yield "sqs-send", build("sqs", "send_message", **where, MessageBody="m")
        answer = yield "sqs-receive", build("sqs", "receive_message", **where)
        handle = {"ReceiptHandle": json.loads(answer.body)["Messages"][0]["ReceiptHandle"]}
        yield (
            "sqs-change",
            build("sqs", "change_message_visibility", **where, **handle, VisibilityTimeout=60),
        )
        yield "sqs-delete", build("sqs", "delete_message", **where, **handle)
        yield (
            "sqs-attributes",
            build("sqs", "get_queue_attributes", **where, AttributeNames=["All"]),
        )


class DynamoDb:
    """A table with so many items, ten to a hash key."""

    def set_up(self, build: Build, run: Callable[[bytes], Response]) -> None:
        run(build("dynamodb", "create_table", **TABLE))
        self.fill(-50, 0)

    def fill(self, first: int, last: int) -> None:
        store = store_of("dynamodb")
        for number in range(first, last):
            store.put_item("growth", item(number))

    def round(self, build: Build, number: int) -> Round:
        table = {"TableName": "growth"}
        key = {name: value for name, value in item(-1).items() if name in "hr"}
        yield "dynamodb-put", build("dynamodb", "put_item", **table, Item=item(-100 - number))
        yield "dynamodb-get", build("dynamodb", "get_item", **table, Key=key)
        change = {
            "UpdateExpression": "SET a = :a",
            "ExpressionAttributeValues": {":a": {"S": str(number)}},
        }
        yield "dynamodb-update", build("dynamodb", "update_item", **table, Key=key, **change)
        asked = {
            "KeyConditionExpression": "h = :h",
            "ExpressionAttributeValues": {":h": key["h"]},
        }
        yield "dynamodb-query", build("dynamodb", "query", **table, **asked)
        asked["KeyConditionExpression"] = "g = :h"
        yield "dynamodb-query-index", build("dynamodb", "query", **table, **asked, IndexName="by-g")
        page = {"Limit": 10, "ExclusiveStartKey": key}
        yield "dynamodb-scan-page", build("dynamodb", "scan", **table, **page)
        page["ExclusiveStartKey"] = {**key, "g": key["h"]}
        yield "dynamodb-scan-index", build("dynamodb", "scan", **table, **page, IndexName="by-g")
        put = {"Put": {**table, "Item": item(-1)}}
        yield (
            "dynamodb-transact",
            build("dynamodb", "transact_write_items", TransactItems=[put]),
        )
        gone = {name: value for name, value in item(-100 - number).items() if name in "hr"}
        yield "dynamodb-delete", build("dynamodb", "delete_item", **table, Key=gone)
        yield "dynamodb-describe", build("dynamodb", "describe_table", **table)


def item(number: int) -> dict[str, Any]:
    """Ten of them share a hash key."""
    group = {"S": f"group {number // 10}"}
    return {"h": group, "r": {"S": str(number % 10)}, "g": group, "a": {"S": "a" * 100}}


class S3:
    """A bucket with so many keys, ten to a folder."""

    def set_up(self, build: Build, run: Callable[[bytes], Response]) -> None:
        run(build("s3", "create_bucket", Bucket="growth"))
        self.fill(-50, 0)

    def fill(self, first: int, last: int) -> None:
        store = store_of("s3", "aws")
        for number in range(first, last):
            store.put_object("growth", f"{number // 10:06}/{number:06}", b"")

    def round(self, build: Build, _: int) -> Round:
        bucket = {"Bucket": "growth"}
        key = {**bucket, "Key": "new/object"}
        yield "s3-put", build("s3", "put_object", **key, Body=calls.OBJECT)
        yield "s3-get", build("s3", "get_object", **key)
        yield "s3-head", build("s3", "head_object", **key)
        yield "s3-list-page", build("s3", "list_objects_v2", **bucket, MaxKeys=10)
        yield "s3-list-prefix", build("s3", "list_objects_v2", **bucket, Prefix="-00001/")
        yield (
            "s3-list-folders",
            build("s3", "list_objects_v2", **bucket, Delimiter="/", MaxKeys=10),
        )
        yield "s3-list-v1", build("s3", "list_objects", **bucket, MaxKeys=10)
        yield "s3-list-versions", build("s3", "list_object_versions", **bucket, MaxKeys=10)
        yield "s3-delete", build("s3", "delete_object", **key)


class Ssm:
    """So many parameters."""

    def set_up(self, build: Build, run: Callable[[bytes], Response]) -> None:
        run(build("ssm", "put_parameter", Name="/growth/old", Value="v", Type="String"))

    def fill(self, first: int, last: int) -> None:
        store = store_of("ssm")
        for number in range(first, last):
            store.put_parameter(
                *(f"/filled/{number}", "", "v", "String", "", None, False, [], "text", None, None)
            )

    def round(self, build: Build, number: int) -> Round:
        old = {"Name": "/growth/old"}
        new = {"Name": f"/growth/new/{id(self)}/{number}", "Value": "v", "Type": "String"}
        yield "ssm-put", build("ssm", "put_parameter", **new)
        yield "ssm-get", build("ssm", "get_parameter", **old)
        yield "ssm-get-path", build("ssm", "get_parameters_by_path", Path="/growth")
        yield "ssm-delete", build("ssm", "delete_parameter", Name=new["Name"])


class Kinesis:
    """A stream of one shard with so many records."""

    def set_up(self, build: Build, run: Callable[[bytes], Response]) -> None:
        run(build("kinesis", "create_stream", StreamName="growth", ShardCount=1))

    def fill(self, first: int, last: int) -> None:
        store = store_of("kinesis")
        for number in range(first, last):
            store.put_record(None, "growth", str(number), None, b"data".decode())

    def round(self, build: Build, number: int) -> Round:
        where = {"StreamName": "growth"}
        record = {"PartitionKey": str(number), "Data": b"d"}
        yield "kinesis-put", build("kinesis", "put_record", **where, **record)
        shard = {**where, "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"}
        answer = yield "kinesis-iterator", build("kinesis", "get_shard_iterator", **shard)
        iterator = json.loads(answer.body)["ShardIterator"]
        yield "kinesis-get", build("kinesis", "get_records", ShardIterator=iterator, Limit=10)


class Logs:
    """A log stream with so many events."""

    def set_up(self, build: Build, run: Callable[[bytes], Response]) -> None:
        run(build("logs", "create_log_group", logGroupName="growth"))
        run(build("logs", "create_log_stream", **LOG_STREAM))

    def fill(self, first: int, last: int) -> None:
        stream = store_of("logs").groups["growth"].streams["growth"]
        for start in range(first, last, 1000):
            count = min(1000, last - start)
            events = [{"timestamp": now_ms(), "message": "m"} for _ in range(count)]
            stream.put_log_events(events)

    def round(self, build: Build, _: int) -> Round:
        events = [{"timestamp": now_ms(), "message": "m"}]
        yield "logs-put", build("logs", "put_log_events", **LOG_STREAM, logEvents=events)
        yield "logs-get", build("logs", "get_log_events", **LOG_STREAM, limit=10)


class Sns:
    """A topic to which so many messages were published."""

    def set_up(self, build: Build, run: Callable[[bytes], Response]) -> None:
        answer = run(build("sns", "create_topic", Name="growth"))
        self.topic = ET.fromstring(answer.body).findtext(".//{*}TopicArn")

    def fill(self, first: int, last: int) -> None:
        store = store_of("sns")
        for _ in range(first, last):
            store.publish(message="m", arn=self.topic)

    def round(self, build: Build, _: int) -> Round:
        yield "sns-publish", build("sns", "publish", TopicArn=self.topic, Message="m")


class CloudWatch:
    """So many datapoints of one metric."""

    def set_up(self, build: Build, run: Callable[[bytes], Response]) -> None:
        run(build("cloudwatch", "put_metric_data", **metric()))

    def fill(self, first: int, last: int) -> None:
        store = store_of("cloudwatch")
        for start in range(first, last, 1000):
            data = metric()["MetricData"] * min(1000, last - start)
            store.put_metric_data("growth", data)

    def round(self, build: Build, _: int) -> Round:
        yield "cloudwatch-put", build("cloudwatch", "put_metric_data", **metric())


def metric() -> dict[str, Any]:
    return {"Namespace": "growth", "MetricData": [{"MetricName": "m", "Value": 1.0}]}


class Iam:
    """So many roles."""

    def set_up(self, build: Build, run: Callable[[bytes], Response]) -> None:
        role = {"RoleName": "growth", "AssumeRolePolicyDocument": calls.TRUST}
        run(build("iam", "create_role", **role))

    def fill(self, first: int, last: int) -> None:
        store = store_of("iam", "aws")
        for number in range(first, last):
            store.create_role(*(f"filled-{number}", calls.TRUST, "/", None, "", [], "3600"))

    def round(self, build: Build, number: int) -> Round:
        name = {"RoleName": f"new-{number}"}
        yield (
            "iam-create-role",
            build("iam", "create_role", **name, AssumeRolePolicyDocument=calls.TRUST),
        )
        yield "iam-get-role", build("iam", "get_role", RoleName="growth")
        yield "iam-delete-role", build("iam", "delete_role", **name)


SERVICES: dict[str, Any] = {
    "sqs": Sqs,
    "dynamodb": DynamoDb,
    "s3": S3,
    "ssm": Ssm,
    "kinesis": Kinesis,
    "logs": Logs,
    "sns": Sns,
    "cloudwatch": CloudWatch,
    "iam": Iam,
}


def now_ms() -> int:
    """Milliseconds since 1970; log events must not be old."""
    return time.time_ns() // 1_000_000


class Bench:
    """One engine, and how each call did at each size."""

    def __init__(self, rounds: int) -> None:
        engine = Engine()
        self.inside = Inside(engine, None)  # type: ignore[arg-type]
        self.build = calls.Builder(PORT).request
        self.rounds = rounds

    def run(self, request: bytes) -> Response:
        answer = self.inside.call(request)
        if answer.status >= 300:
            raise calls.AnswerError(answer.body[:500].decode())
        return answer

    def measure(self, name: str, sizes: list[int]) -> list[list[str]]:
        """A row a call: milliseconds of processor time at each size, and the quotient."""
        service = SERVICES[name]()
        service.set_up(self.build, self.run)
        spent: dict[str, list[float]] = {}
        before = 0
        for size in sizes:
            with ENGINE_LOCK:
                service.fill(before, size)
            before = size
            self.one(service, -1)
            for call, seconds in self.at_size(service).items():
                spent.setdefault(call, []).append(seconds)
        return [
            [call, *(f"{1000 * s:.3f}" for s in found), f"{found[-1] / found[0]:.2f}"]
            for call, found in spent.items()
        ]

    def at_size(self, service: Any) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for number in range(self.rounds):
            for call, seconds in self.one(service, number):
                found.setdefault(call, []).append(seconds)
        return {call: median(seconds) for call, seconds in found.items()}

    def one(self, service: Any, number: int) -> list[tuple[str, float]]:
        spent = []
        steps = service.round(self.build, number)
        call, request = next(steps)
        while True:
            answer = self.run(request)
            spent.append((call, self.inside.spent))
            try:
                call, request = steps.send(answer)
            except StopIteration:
                return spent


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--only", default=",".join(SERVICES))
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    bench = Bench(options.rounds)
    rows = [["call, ms", *(f"{size:,}" for size in options.sizes), "last / first"]]
    for name in options.only.split(","):
        rows += bench.measure(name, options.sizes)
    print(text_table(rows))
    document = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "sizes": options.sizes,
        "calls": {row[0]: [float(cell) for cell in row[1:-1]] for row in rows[1:]},
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
