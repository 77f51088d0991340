"""Kinesis and IAM answer, draw and keep what moto would, without looking at everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from tests.unit.engine.both_ways import Script, compare, seconds_of, target_call
from tests.unit.engine.conftest import key
from tests.unit.engine.test_recording import form_call

from perdure.engine.core import Engine
from perdure.engine.quirks import lookups

STREAM = {"StreamName": "s"}
SHARDS = [f"shardId-{n:012}" for n in range(4)]


class Records:
    """Random calls of Kinesis."""

    def __init__(self, script: Script, _: Any) -> None:
        self.script, self.pick = script, script.choose
        self.iterators: list[str] = []

    def call(self, operation: str, **parameters: Any) -> Any:
        given = {k: v for k, v in parameters.items() if v is not None}
        return self.script.call(target_call("kinesis", "Kinesis_20131202", operation, **given))

    def run(self) -> None:
        self.call("CreateStream", **STREAM, ShardCount=2)
        steps = [self.put] * 6 + [self.iterator] * 3 + [self.read] * 4 + [self.reshape, self.wait]
        for _ in range(120):
            self.pick.choice(steps)()
        self.call("DescribeStream", **STREAM)

    def put(self) -> None:
        self.call("PutRecord", **STREAM, PartitionKey=self.pick.choice("abcdefg"), Data="ZA==")

    def iterator(self) -> None:
        kind = self.pick.choice(["LATEST", "TRIM_HORIZON", "AT_SEQUENCE_NUMBER", "AT_TIMESTAMP"])
        answer = self.call(
            "GetShardIterator",
            **STREAM,
            ShardId=self.pick.choice(SHARDS),
            ShardIteratorType=kind,
            StartingSequenceNumber="3" if kind == "AT_SEQUENCE_NUMBER" else None,
            Timestamp=self.script.clock_us // 1_000_000 - 20 if kind == "AT_TIMESTAMP" else None,
        )
        if isinstance(answer, dict) and "ShardIterator" in answer:
            self.iterators.append(answer["ShardIterator"])

    def read(self) -> None:
        if not self.iterators:
            return
        limit = self.pick.choice([None, 1, 2, 3, 100])
        answer = self.call(
            "GetRecords", ShardIterator=self.pick.choice(self.iterators[-5:]), Limit=limit
        )
        if isinstance(answer, dict) and answer.get("NextShardIterator"):
            self.iterators.append(answer["NextShardIterator"])

    def reshape(self) -> None:
        first, second = self.pick.sample(SHARDS, 2)
        if self.pick.random() < 0.5:
            self.call("MergeShards", **STREAM, ShardToMerge=first, AdjacentShardToMerge=second)
        else:
            self.call("SplitShard", **STREAM, ShardToSplit=first, NewStartingHashKey="99" * 12)

    def wait(self) -> None:
        self.script.wait(self.pick.choice([0.5, 30]))


class Events:
    """Random calls of Logs."""

    STREAM: ClassVar = {"logGroupName": "g", "logStreamName": "s"}

    def __init__(self, script: Script, moto: Any) -> None:
        self.script, self.moto, self.pick = script, moto, script.choose

    def call(self, operation: str, **parameters: Any) -> Any:
        given = {k: v for k, v in parameters.items() if v is not None}
        return self.script.call(target_call("logs", "Logs_20140328", operation, **given))

    def run(self) -> None:
        self.call("CreateLogGroup", logGroupName="g")
        self.call("CreateLogStream", **self.STREAM)
        steps = [self.put] * 4 + [self.get] * 4 + [self.describe, self.wait]
        steps += [self.put_late] if self.pick.random() < 0.5 else []
        for number in range(120):
            self.pick.choice(steps)(number)

    def now_ms(self) -> int:
        return self.script.clock_us // 1000

    def put(self, number: int, *, late_ms: int = 0) -> None:
        events = [
            {"timestamp": self.now_ms() - late_ms, "message": f"{number} {n}"}
            for n in range(self.pick.randint(1, 3))
        ]
        self.call("PutLogEvents", **self.STREAM, logEvents=events)

    def put_late(self, number: int) -> None:
        self.put(number, late_ms=self.pick.randint(0, 90_000))

    def get(self, _: int) -> None:
        token, start, end = None, None, None
        if self.pick.random() < 0.5:
            start = self.now_ms() - self.pick.randint(0, 90_000)
            end = start + self.pick.choice([-5, 0, 20_000, 90_000])
        for _ in range(3):
            answer = self.call(
                "GetLogEvents",
                **self.STREAM,
                startTime=start,
                endTime=self.pick.choice([None, end]),
                limit=self.pick.choice([None, 1, 4]),
                startFromHead=self.pick.choice([None, True]),
                nextToken=token,
            )
            names = ["nextForwardToken", "nextBackwardToken"]
            token = answer.get(self.pick.choice(names)) if isinstance(answer, dict) else "x/1"
            token = self.pick.choice([token, token, "nonsense"])

    def describe(self, _: int) -> None:
        self.call("DescribeLogStreams", logGroupName="g")

    def wait(self, _: int) -> None:
        self.script.wait(self.pick.choice([0.001, 1, 60]))


class Parameters:
    """Random calls of SSM."""

    NAMES: ClassVar = ["/a/b", "/a/c", "/a/b/c", "/ab", "a", "/a/b/d", "/z/y", "/a-/x", "/a/ü"]

    def __init__(self, script: Script, moto: Any) -> None:
        self.script, self.moto, self.pick = script, moto, script.choose

    def call(self, operation: str, **parameters: Any) -> Any:
        return self.script.call(target_call("ssm", "AmazonSSM", operation, **parameters))

    def run(self) -> None:
        steps = [self.put] * 5 + [self.delete] * 3 + [self.below] * 5 + [self.get]
        steps += [self.meddle] if self.pick.random() < 0.5 else []
        for _ in range(150):
            self.pick.choice(steps)(self.pick.choice(self.NAMES))

    def put(self, name: str) -> None:
        self.call("PutParameter", Name=name, Value="v", Type="String", Overwrite=True)

    def get(self, name: str) -> None:
        self.call("GetParameter", Name=name)

    def delete(self, name: str) -> None:
        self.call("DeleteParameter", Name=name)

    def below(self, _: str) -> None:
        path = self.pick.choice(["/", "/a", "/a/", "/a/b", "/none", "/a/b/"])
        for token in ("0", "2"):
            self.call(
                "GetParametersByPath",
                Path=path,
                Recursive=self.pick.random() < 0.5,
                MaxResults=2,
                NextToken=token,
            )

    def meddle(self, name: str) -> None:
        """As a test of moto may do, past all methods."""
        names = self.moto.store("ssm")._parameters
        if dict.__contains__(names, name):
            dict.__setitem__(names, name, dict.pop(names, name))


class Roles:
    """Random calls of IAM."""

    def __init__(self, script: Script, moto: Any) -> None:
        self.script, self.moto, self.pick = script, moto, script.choose

    def run(self) -> None:
        steps = [self.create] * 5 + [self.get] * 4 + [self.delete] * 3 + [self.assume, self.meddle]
        for _ in range(120):
            self.pick.choice(steps)(self.pick.choice(["a", "b", "c", "d"]))
        self.script.call(form_call("iam", "ListRoles"))

    def create(self, name: str) -> None:
        path = self.pick.choice(["/", "/p/q/", "/p/q"])
        policy = self.pick.choice(['{"Version": "2012-10-17", "Statement": []}', "nonsense"])
        self.script.call(
            form_call(
                "iam", "CreateRole", RoleName=name, Path=path, AssumeRolePolicyDocument=policy
            )
        )

    def get(self, name: str) -> None:
        self.script.call(form_call("iam", "GetRole", RoleName=name))

    def delete(self, name: str) -> None:
        self.script.call(form_call("iam", "DeleteRole", RoleName=name))

    def assume(self, name: str) -> None:
        arn = f"arn:aws:iam::000000000000:role{self.pick.choice(['/', '/p/q/', '/p/q'])}{name}"
        self.script.inside(lambda: self.script.note(self.found(arn)))

    def found(self, arn: str) -> str:
        try:
            return str(self.moto.store("iam", "aws").get_role_by_arn(arn).id)
        except Exception as error:  # noqa: BLE001 - moto's failures must agree, too
            return repr(error)

    def meddle(self, _: str) -> None:
        """As a test of moto may do, past all methods."""
        roles = self.moto.store("iam", "aws").roles
        if roles:
            roles.pop(self.pick.choice(list(roles)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("kind", "store"),
    [
        (Records, ("kinesis", "us-east-1")),
        (Events, ("logs", "us-east-1")),
        (Parameters, ("ssm", "us-east-1")),
        (Roles, ("iam", "aws")),
    ],
    ids=["kinesis", "logs", "ssm", "iam"],
)
def test_all_is_as_moto_has_it(
    engine: Engine,
    moto: Any,
    kind: type[Records | Events | Parameters | Roles],
    store: tuple[str, str],
    seed: int,
) -> None:
    """Whatever is put, read, split, made and deleted, in whatever order."""
    seen = compare(
        engine,
        lookups.REPLACED.undone,
        lambda script: kind(script, moto).run(),
        [key(*store)],
        seed=seed,
    )
    assert sum(isinstance(row, tuple) and row[4] == 200 for row in seen) > 30


def shard_of(moto: Any, records: int) -> Callable[[], None]:
    store = moto.store("kinesis")
    store.create_stream(f"s{records}", 1)
    shard = store.streams[f"s{records}"].get_shard(SHARDS[0])
    for number in range(records):
        shard.put_record(str(number), "ZA==", "")

    def calls() -> None:
        last = int(shard.put_record("k", "ZA==", ""))
        assert len(shard.get_records(str(last - 3), 2)[0]) == 2

    return calls


def events_of(moto: Any, events: int) -> Callable[[], None]:
    store = moto.store("logs")
    store.create_log_group(f"g{events}", {})
    store.create_log_stream(f"g{events}", "s")
    stream = store.groups[f"g{events}"].streams["s"]
    stream.put_log_events([{"timestamp": n, "message": "m"} for n in range(events)])

    def calls() -> None:
        stream.put_log_events([{"timestamp": events, "message": "m"}])
        assert len(stream.get_log_events(0, 0, 2, None, False)[0]) == 2
        assert stream.to_describe_dict()["firstEventTimestamp"] == 0

    return calls


def parameters_of(moto: Any, parameters: int) -> Callable[[], None]:
    store = moto.store("ssm")

    def put(name: str) -> None:
        store.put_parameter(name, "", "v", "String", "", None, True, [], "text", None, None)

    for number in range(parameters):
        put(f"/{parameters}/{number // 5}/{number}")

    def calls() -> None:
        put(f"/{parameters}/new")
        assert len(store.get_parameters_by_path(f"/{parameters}/3", recursive=True)[0]) == 5

    return calls


def roles_of(moto: Any, roles: int) -> Callable[[], None]:
    store = moto.store("iam", "aws")

    def make(name: str) -> None:
        store.create_role(name, "{}", "/", None, "", [], "3600")

    for number in range(roles):
        make(f"{roles}-{number}")

    def calls() -> None:
        make(f"{roles}-new")
        assert store.get_role(f"{roles}-new").name == f"{roles}-new"
        store.delete_role(f"{roles}-new")

    return calls


@pytest.mark.parametrize("prepare", [shard_of, events_of, parameters_of, roles_of])
def test_its_cost_does_not_follow_the_number(
    moto: Any, prepare: Callable[[Any, int], Callable[[], None]]
) -> None:
    """A hundred times as many cost by far not a hundred times as much."""

    def spent(number: int) -> float:
        calls = prepare(moto, number)
        calls()
        return seconds_of(calls, 25)

    few = spent(100)
    assert spent(10_000) < 10 * few
