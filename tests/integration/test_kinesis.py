"""Kinesis across a restart."""

from __future__ import annotations

import json
import time

from resume import resumed


def shards(kinesis, name):
    return kinesis.list_shards(StreamName=name)["Shards"]


def open_shards(kinesis, name):
    return [
        s for s in shards(kinesis, name) if "EndingSequenceNumber" not in s["SequenceNumberRange"]
    ]


def iterate(kinesis, name, shard, kind="TRIM_HORIZON", **more):
    return kinesis.get_shard_iterator(
        StreamName=name, ShardId=shard["ShardId"], ShardIteratorType=kind, **more
    )["ShardIterator"]


def data(found):
    return [r["Data"] for r in found["Records"]]


@resumed
def test_iterators_read_on(aws):
    """An iterator and a sequence number taken before a restart read on after it."""
    kinesis = aws.client("kinesis")
    kinesis.create_stream(StreamName="read", ShardCount=1)
    put = [kinesis.put_record(StreamName="read", Data=b"%d" % n, PartitionKey="k") for n in (1, 2)]
    shard = shards(kinesis, "read")[0]
    read = kinesis.get_records(ShardIterator=iterate(kinesis, "read", shard), Limit=1)
    assert data(read) == [b"1"]
    yield
    third = kinesis.put_record(StreamName="read", Data=b"3", PartitionKey="k")
    assert int(third["SequenceNumber"]) > int(put[1]["SequenceNumber"])
    assert data(kinesis.get_records(ShardIterator=read["NextShardIterator"])) == [b"2", b"3"]
    after = iterate(
        kinesis,
        "read",
        shard,
        "AFTER_SEQUENCE_NUMBER",
        StartingSequenceNumber=put[0]["SequenceNumber"],
    )
    assert data(kinesis.get_records(ShardIterator=after)) == [b"2", b"3"]


@resumed
def test_resharding(aws):
    """Shards split before a restart merge after it, and no record is lost on the way."""
    kinesis = aws.client("kinesis")
    kinesis.create_stream(StreamName="split", ShardCount=1)
    for number in range(10):
        kinesis.put_record(StreamName="split", Data=b"%d" % number, PartitionKey=str(number))
    only = shards(kinesis, "split")[0]
    kinesis.split_shard(
        StreamName="split", ShardToSplit=only["ShardId"], NewStartingHashKey=str(2**127)
    )
    yield
    left, right = (s["ShardId"] for s in open_shards(kinesis, "split"))
    kinesis.merge_shards(StreamName="split", ShardToMerge=left, AdjacentShardToMerge=right)
    assert len(open_shards(kinesis, "split")) == 1
    kinesis.put_record(StreamName="split", Data=b"10", PartitionKey="x")
    seen = {
        record
        for shard in shards(kinesis, "split")
        for record in data(kinesis.get_records(ShardIterator=iterate(kinesis, "split", shard)))
    }
    assert seen == {b"%d" % n for n in range(11)}


@resumed
def test_settings_and_consumers(aws):
    """A stream keeps its ARN, retention, tags, encryption and consumers."""
    kinesis = aws.client("kinesis")
    kinesis.create_stream(StreamName="kept", ShardCount=2)
    before = kinesis.describe_stream_summary(StreamName="kept")["StreamDescriptionSummary"]
    kinesis.increase_stream_retention_period(StreamName="kept", RetentionPeriodHours=48)
    kinesis.add_tags_to_stream(StreamName="kept", Tags={"a": "b"})
    consumer = kinesis.register_stream_consumer(
        StreamARN=before["StreamARN"], ConsumerName="reader"
    )["Consumer"]
    yield
    after = kinesis.describe_stream_summary(StreamName="kept")["StreamDescriptionSummary"]
    for name in ("StreamARN", "StreamCreationTimestamp", "OpenShardCount"):
        assert after[name] == before[name]
    assert after["RetentionPeriodHours"] == 48
    assert kinesis.list_tags_for_stream(StreamName="kept")["Tags"] == [{"Key": "a", "Value": "b"}]
    found = kinesis.describe_stream_consumer(ConsumerARN=consumer["ConsumerARN"])
    assert found["ConsumerDescription"]["ConsumerName"] == "reader"
    kinesis.update_shard_count(StreamName="kept", TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    assert len(open_shards(kinesis, "kept")) == 4


@resumed
def test_log_group_fills_a_stream_of_a_stack(aws):
    """A log group writes after a restart into the stream that a stack made, until it goes."""
    kinesis, logs, stacks = (aws.client(s) for s in ("kinesis", "logs", "cloudformation"))
    made = {"Type": "AWS::Kinesis::Stream", "Properties": {"Name": "stacked", "ShardCount": 1}}
    stacks.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": {"Stream": made}}))
    arn = kinesis.describe_stream_summary(StreamName="stacked")["StreamDescriptionSummary"]
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    logs.put_subscription_filter(
        logGroupName="g",
        filterName="f",
        filterPattern="",
        destinationArn=arn["StreamARN"],
        roleArn=f"arn:aws:iam::{aws.id}:role/r",
    )
    yield
    event = {"timestamp": int(time.time() * 1000), "message": "flows"}
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[event])
    shard = shards(kinesis, "stacked")[0]
    assert data(kinesis.get_records(ShardIterator=iterate(kinesis, "stacked", shard)))
    stacks.delete_stack(StackName="s")
    assert kinesis.list_streams()["StreamNames"] == []
