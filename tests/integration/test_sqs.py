"""SQS across a restart."""

from __future__ import annotations

import json
import time

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def arn_of(sqs, url):
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return asked["Attributes"]["QueueArn"]


def bodies(sqs, url, **more):
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **more)
    return [m["Body"] for m in found.get("Messages", [])]


def count(sqs, url, name="ApproximateNumberOfMessages"):
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    return int(asked["Attributes"][name])


@resumed
def test_old_receipt_handle_deletes(aws):
    """A message received before a restart is deleted after it by the old receipt handle."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="receipts")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="to delete")
    message = sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"][0]
    yield
    assert count(sqs, url, "ApproximateNumberOfMessagesNotVisible") == 1
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert count(sqs, url, "ApproximateNumberOfMessagesNotVisible") == 0
    assert count(sqs, url) == 0


@resumed
def test_invisible_message_reappears(aws):
    """A message hidden before a restart stays hidden after it until it is made visible."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="hidden")["QueueUrl"]
    sent = sqs.send_message(QueueUrl=url, MessageBody="hidden")
    message = sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"][0]
    yield
    assert bodies(sqs, url) == []
    sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
    )
    again = sqs.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"][0]
    assert again["MessageId"] == sent["MessageId"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"


@resumed
def test_visibility_runs_out_while_the_server_is_down(aws):
    """A visibility timeout that ends during a restart has ended after it."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="brief")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="back")
    assert sqs.receive_message(QueueUrl=url, VisibilityTimeout=1)["Messages"]
    yield
    assert bodies(sqs, url, WaitTimeSeconds=5) == ["back"]


@resumed
def test_dead_letters_move_and_are_redriven(aws):
    """A queue's redrive policy counts receives across a restart and moves the message."""
    sqs = aws.client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    policy = {"deadLetterTargetArn": arn_of(sqs, dead), "maxReceiveCount": "2"}
    url = sqs.create_queue(
        QueueName="alive",
        Attributes={"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "0"},
    )["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    assert bodies(sqs, url) == ["poison"]
    yield
    assert bodies(sqs, url) == ["poison"]
    assert bodies(sqs, url) == []
    assert bodies(sqs, dead) == ["poison"]
    sources = sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"]
    assert [source.rpartition("/")[2] for source in sources] == ["alive"]


@resumed
def test_fifo_deduplicates_and_keeps_groups(aws):
    """A FIFO queue remembers deduplication ids, order and locked groups across a restart."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(
        QueueName="line.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "600"}
    )["QueueUrl"]

    def send(body, group, dedup):
        return sqs.send_message(
            QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=dedup
        )

    send("a1", "a", "1")
    send("a2", "a", "2")
    send("b1", "b", "3")
    taken = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)["Messages"][0]
    assert taken["Body"] == "a1"
    yield
    send("a1 again", "a", "1")
    send("b2", "b", "4")
    # Group a is locked by the message in flight; the repeated id was dropped.
    assert bodies(sqs, url) == ["b1", "b2"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=taken["ReceiptHandle"])
    assert bodies(sqs, url) == ["a2"]


@resumed
def test_queue_urls_of_all_three_shapes(aws):
    """A queue answers under LocalStack's three shapes of queue URL, handed out long ago."""
    sqs = aws.client("sqs", region="eu-west-1")
    sqs.create_queue(QueueName="shapes")
    port = aws.server.port
    yield
    shapes = [
        f"http://sqs.eu-west-1.localhost.localstack.cloud:{port}/{aws.id}/shapes",
        f"http://127.0.0.1:{port}/{aws.id}/shapes",
        f"http://127.0.0.1:{port}/queue/eu-west-1/{aws.id}/shapes",
        sqs.get_queue_url(QueueName="shapes")["QueueUrl"],
    ]
    for shape in shapes:
        sqs.send_message(QueueUrl=shape, MessageBody=shape)
    assert sorted(bodies(sqs, shapes[0])) == sorted(shapes)


@resumed
def test_delayed_message_arrives(aws):
    """A message delayed before a restart is delivered after it, and not too early."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="delays")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="far", DelaySeconds=600)
    sqs.send_message(QueueUrl=url, MessageBody="near", DelaySeconds=3)
    sent = time.time()
    yield
    assert bodies(sqs, url, WaitTimeSeconds=6) == ["near"]
    assert time.time() - sent > 2.9
    assert count(sqs, url, "ApproximateNumberOfMessagesDelayed") == 1


@resumed
def test_attributes_of_queues_and_messages(aws):
    """Attributes and tags of a queue, and typed attributes of a message, survive."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(
        QueueName="described",
        Attributes={"MessageRetentionPeriod": "3600", "DelaySeconds": "0"},
        tags={"team": "a"},
    )["QueueUrl"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    attributes = {
        "text": {"DataType": "String", "StringValue": "ü"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        "number": {"DataType": "Number", "StringValue": "1.5"},
    }
    sent = sqs.send_message(QueueUrl=url, MessageBody="typed", MessageAttributes=attributes)
    yield
    after = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert {k: v for k, v in after.items() if not k.startswith("Approx")} == {
        k: v for k, v in before.items() if not k.startswith("Approx")
    }
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "a"}
    message = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"][0]
    assert message["MessageAttributes"] == attributes
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    sqs.delete_queue(QueueUrl=url)
    with pytest.raises(ClientError, match="NonExistentQueue"):
        sqs.get_queue_url(QueueName="described")


@resumed
def test_batches(aws):
    """A batch sent before a restart is received and deleted as a batch after it."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="batches")["QueueUrl"]
    sqs.send_message_batch(
        QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(10)]
    )
    yield
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    entries = [{"Id": m["Body"], "ReceiptHandle": m["ReceiptHandle"]} for m in found]
    assert sorted(e["Id"] for e in entries) == [str(n) for n in range(10)]
    deleted = sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    assert len(deleted["Successful"]) == 10
    assert count(sqs, url, "ApproximateNumberOfMessagesNotVisible") == 0


@resumed
def test_every_sender_finds_the_queue(aws):
    """S3, SNS and EventBridge, set up before a restart, all send to one queue after it."""
    sqs, sns, s3, events = (aws.client(s) for s in ("sqs", "sns", "s3", "events"))
    url = sqs.create_queue(QueueName="sink")["QueueUrl"]
    arn = arn_of(sqs, url)
    topic = sns.create_topic(Name="sender")["TopicArn"]
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    events.put_rule(Name="sender", EventPattern='{"source": ["app"]}')
    events.put_targets(Rule="sender", Targets=[{"Id": "1", "Arn": arn}])
    s3.create_bucket(Bucket="sender")
    s3.put_bucket_notification_configuration(
        Bucket="sender",
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    bodies(sqs, url)  # S3 has sent a test event
    yield
    # The senders are asked first: SQS is loaded only by them.
    s3.put_object(Bucket="sender", Key="k", Body=b"1")
    sns.publish(TopicArn=topic, Message='{"source": "sns"}')
    events.put_events(Entries=[{"Source": "app", "DetailType": "t", "Detail": "{}"}])
    found = [json.loads(body) for body in bodies(sqs, url)]
    senders = {d["source"] if "source" in d else d["Records"][0]["eventSource"] for d in found}
    assert senders == {"aws:s3", "sns", "app"}
