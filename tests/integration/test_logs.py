"""CloudWatch Logs across a restart."""

from __future__ import annotations

import base64
import gzip
import json
import time

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def now():
    return int(time.time() * 1000)


def make_stream(logs, group, stream="stream"):
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    return {"logGroupName": group, "logStreamName": stream}


def put(logs, where, *texts, at=None):
    start = now() if at is None else at
    events = [{"timestamp": start + n, "message": text} for n, text in enumerate(texts)]
    return logs.put_log_events(**where, logEvents=events)


@resumed
def test_events_are_read_and_written_on(aws):
    """Events written before a restart are read with those written after it, in order."""
    logs = aws.client("logs")
    where = make_stream(logs, "/app/events")
    put(logs, where, "one", "two")
    first = logs.filter_log_events(logGroupName="/app/events")["events"]
    yield
    put(logs, where, "three", at=now() + 10)
    events = logs.get_log_events(**where, startFromHead=True)["events"]
    assert [e["message"] for e in events] == ["one", "two", "three"]
    found = logs.filter_log_events(logGroupName="/app/events")["events"]
    assert [e["eventId"] for e in found[:2]] == [e["eventId"] for e in first]
    assert int(found[2]["eventId"]) > int(found[1]["eventId"])


@resumed
def test_tokens_lead_on(aws):
    """A page's token handed out before a restart leads to the next page after it."""
    logs = aws.client("logs")
    where = make_stream(logs, "/app/pages")
    put(logs, where, *(f"{n:02d}" for n in range(10)))
    page = logs.get_log_events(**where, startFromHead=True, limit=4)
    yield
    following = logs.get_log_events(
        **where, startFromHead=True, limit=4, nextToken=page["nextForwardToken"]
    )
    assert [e["message"] for e in following["events"]] == ["04", "05", "06", "07"]
    found = logs.filter_log_events(logGroupName="/app/pages", filterPattern='"07"')["events"]
    assert [e["message"] for e in found] == ["07"]


@resumed
def test_settings_of_a_group(aws):
    """Retention, tags, metric filters and stream names of a group survive."""
    logs = aws.client("logs")
    where = make_stream(logs, "/app/settings")
    logs.put_retention_policy(logGroupName="/app/settings", retentionInDays=7)
    logs.tag_log_group(logGroupName="/app/settings", tags={"a": "b"})
    logs.put_metric_filter(
        logGroupName="/app/settings",
        filterName="errors",
        filterPattern="ERROR",
        metricTransformations=[{"metricName": "m", "metricNamespace": "n", "metricValue": "1"}],
    )
    before = logs.describe_log_groups(logGroupNamePrefix="/app/settings")["logGroups"][0]
    yield
    after = logs.describe_log_groups(logGroupNamePrefix="/app/settings")["logGroups"][0]
    for name in ("arn", "creationTime", "retentionInDays"):
        assert after[name] == before[name]
    assert logs.list_tags_log_group(logGroupName="/app/settings")["tags"] == {"a": "b"}
    filters = logs.describe_metric_filters(logGroupName="/app/settings")["metricFilters"]
    assert [f["filterName"] for f in filters] == ["errors"]
    with pytest.raises(ClientError, match="ResourceAlreadyExists"):
        logs.create_log_stream(**where)
    logs.delete_log_stream(**where)
    assert logs.describe_log_streams(logGroupName="/app/settings")["logStreams"] == []


@resumed
def test_subscription_delivers_to_kinesis(aws):
    """A subscription filter made before a restart delivers to its Kinesis stream after it."""
    logs, kinesis = aws.client("logs"), aws.client("kinesis")
    kinesis.create_stream(StreamName="sink", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName="sink")["StreamDescriptionSummary"]
    where = make_stream(logs, "/app/subscribed")
    logs.put_subscription_filter(
        logGroupName="/app/subscribed",
        filterName="to-kinesis",
        filterPattern="",
        destinationArn=arn["StreamARN"],
        roleArn=f"arn:aws:iam::{aws.id}:role/r",
    )
    shard = kinesis.list_shards(StreamName="sink")["Shards"][0]["ShardId"]
    yield
    put(logs, where, "flows")
    iterator = kinesis.get_shard_iterator(
        StreamName="sink", ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator)["Records"]
    documents = [_opened(r["Data"]) for r in records]
    messages = [e["message"] for d in documents for e in d.get("logEvents", [])]
    assert "flows" in messages


def _opened(data):
    try:
        return json.loads(gzip.decompress(data))
    except gzip.BadGzipFile:
        return json.loads(gzip.decompress(base64.b64decode(data)))


@resumed
def test_insights_query(aws):
    """A query begun before a restart has its results after it."""
    logs = aws.client("logs")
    where = make_stream(logs, "/app/queried")
    put(logs, where, "found")
    query = logs.start_query(
        logGroupName="/app/queried",
        startTime=int(time.time()) - 3600,
        endTime=int(time.time()) + 3600,
        queryString="fields @message",
    )["queryId"]
    yield
    result = logs.get_query_results(queryId=query)
    assert result["status"] == "Complete"
    rows = [{f["field"]: f["value"] for f in row} for row in result["results"]]
    assert [r["@message"] for r in rows] == ["found"]


@resumed
def test_export_reaches_s3(aws):
    """Events of before a restart are exported after it into a bucket of S3."""
    logs, s3 = aws.client("logs"), aws.client("s3")
    where = make_stream(logs, "/app/exported")
    put(logs, where, "kept")
    s3.create_bucket(Bucket="log-exports")
    yield
    task = logs.create_export_task(
        logGroupName="/app/exported",
        fromTime=now() - 3_600_000,
        to=now() + 3_600_000,
        destination="log-exports",
    )["taskId"]
    found = logs.describe_export_tasks(taskId=task)["exportTasks"][0]
    assert found["status"]["code"] == "COMPLETED"
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket="log-exports")["Contents"]]
    bodies = [s3.get_object(Bucket="log-exports", Key=key)["Body"].read() for key in keys]
    assert any(b"kept" in gzip.decompress(b) for b in bodies if b.startswith(b"\x1f\x8b"))
