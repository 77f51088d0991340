"""boto3 as users configure it: one variable in the environment, a restart in the middle."""

from __future__ import annotations

import io

import boto3
import pytest
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session


@pytest.fixture
def session(client, monkeypatch):
    """A session that knows the server from ``AWS_ENDPOINT_URL`` only."""
    for name, value in client.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return boto3.session.Session()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_boto3(session, server, how):
    """An upload in parts, a page, a receipt handle and a shard iterator outlive the restart."""
    s3, sqs, kinesis = (session.client(name) for name in ("s3", "sqs", "kinesis"))
    dynamodb = session.resource("dynamodb")
    s3.create_bucket(Bucket="parts")
    s3.upload_fileobj(io.BytesIO(b"x" * 9_000_000), "parts", "large")
    upload = s3.create_multipart_upload(Bucket="parts", Key="begun")["UploadId"]
    part = {"Bucket": "parts", "Key": "begun", "UploadId": upload}
    first = s3.upload_part(**part, PartNumber=1, Body=b"a" * 5_242_880)["ETag"]
    url = sqs.create_queue(QueueName="jobs")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="one")
    [message] = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)["Messages"]
    table = dynamodb.create_table(
        TableName="items",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table.wait_until_exists()
    with table.batch_writer() as batch:
        for number in range(60):
            batch.put_item(Item={"k": str(number), "n": number})
    page = table.scan(Limit=20)
    kinesis.create_stream(StreamName="events", ShardCount=1)
    kinesis.put_record(StreamName="events", Data=b"1", PartitionKey="p")
    iterator = kinesis.get_shard_iterator(
        StreamName="events", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    signed = s3.generate_presigned_url("put_object", Params={"Bucket": "parts", "Key": "signed"})

    server.restart(how)
    second = s3.upload_part(**part, PartNumber=2, Body=b"b")["ETag"]
    parts = [{"PartNumber": n, "ETag": tag} for n, tag in ((1, first), (2, second))]
    s3.complete_multipart_upload(**part, MultipartUpload={"Parts": parts})
    assert s3.head_object(Bucket="parts", Key="begun")["ContentLength"] == 5_242_881
    assert s3.get_object(Bucket="parts", Key="large")["Body"].read() == b"x" * 9_000_000
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    rest = table.scan(ExclusiveStartKey=page["LastEvaluatedKey"])["Items"]
    assert len(rest) + len(page["Items"]) == 60
    assert kinesis.get_records(ShardIterator=iterator)["Records"][0]["Data"] == b"1"
    sender = URLLib3Session()
    try:
        answer = sender.send(AWSRequest("PUT", signed, data=b"by url").prepare())
    finally:
        sender.close()
    assert answer.status_code == 200
    assert s3.get_object(Bucket="parts", Key="signed")["Body"].read() == b"by url"
