"""Firehose across a restart."""

from __future__ import annotations

import base64
import gzip
import json
import time

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def make_stream(aws, name, bucket, **more):
    """A delivery stream into a bucket of S3; its ARN."""
    aws.client("s3").create_bucket(Bucket=bucket)
    return aws.client("firehose").create_delivery_stream(
        DeliveryStreamName=name,
        ExtendedS3DestinationConfiguration={
            "RoleARN": f"arn:aws:iam::{aws.id}:role/r",
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "Prefix": "in/",
        },
        **more,
    )["DeliveryStreamARN"]


def delivered(aws, bucket):
    """What the objects of a bucket hold, in the order of their keys."""
    s3 = aws.client("s3")
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    return {s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@resumed
def test_records_reach_s3(aws):
    """Records put before and after a restart are objects of the bucket."""
    firehose = aws.client("firehose")
    make_stream(aws, "to-s3", "delivered")
    firehose.put_record(DeliveryStreamName="to-s3", Record={"Data": b"one"})
    yield
    firehose.put_record(DeliveryStreamName="to-s3", Record={"Data": b"two"})
    answer = firehose.put_record_batch(
        DeliveryStreamName="to-s3", Records=[{"Data": b"three"}, {"Data": b"four"}]
    )
    assert answer["FailedPutCount"] == 0
    assert delivered(aws, "delivered") == {b"one", b"two", b"threefour"}


@resumed
def test_log_group_delivers_through_it(aws):
    """Events of a subscribed log group go through the stream into S3 after a restart."""
    logs = aws.client("logs")
    arn = make_stream(aws, "from-logs", "logged")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    logs.put_subscription_filter(
        logGroupName="g",
        filterName="f",
        filterPattern="",
        destinationArn=arn,
        roleArn=f"arn:aws:iam::{aws.id}:role/r",
    )
    yield
    event = {"timestamp": int(time.time() * 1000), "message": "flows"}
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[event])
    found = [_opened(data) for data in delivered(aws, "logged")]
    assert "flows" in [e["message"] for d in found for e in d.get("logEvents", [])]


def _opened(data):
    if not data.startswith(b"\x1f\x8b"):
        data = base64.b64decode(data)
    return json.loads(gzip.decompress(data))


@resumed
def test_stream_is_changed(aws):
    """A stream keeps version, tags and encryption, is changed and deleted."""
    firehose = aws.client("firehose")
    arn = make_stream(aws, "kept", "kept-by-it", Tags=[{"Key": "a", "Value": "b"}])
    firehose.start_delivery_stream_encryption(
        DeliveryStreamName="kept",
        DeliveryStreamEncryptionConfigurationInput={"KeyType": "AWS_OWNED_CMK"},
    )
    yield
    found = firehose.describe_delivery_stream(DeliveryStreamName="kept")
    stream = found["DeliveryStreamDescription"]
    assert stream["DeliveryStreamARN"] == arn
    assert stream["DeliveryStreamEncryptionConfiguration"]["Status"] == "ENABLED"
    firehose.update_destination(
        DeliveryStreamName="kept",
        CurrentDeliveryStreamVersionId=stream["VersionId"],
        DestinationId=stream["Destinations"][0]["DestinationId"],
        ExtendedS3DestinationUpdate={"Prefix": "new/"},
    )
    firehose.put_record(DeliveryStreamName="kept", Record={"Data": b"1"})
    listed = aws.client("s3").list_objects_v2(Bucket="kept-by-it", Prefix="new/")
    assert listed["KeyCount"] == 1
    tags = firehose.list_tags_for_delivery_stream(DeliveryStreamName="kept")["Tags"]
    assert tags == [{"Key": "a", "Value": "b"}]
    firehose.delete_delivery_stream(DeliveryStreamName="kept")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        firehose.describe_delivery_stream(DeliveryStreamName="kept")
