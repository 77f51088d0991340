"""SNS across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def queue_for(aws, name, region="us-east-1"):
    sqs = aws.client("sqs", region=region)
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, asked["Attributes"]["QueueArn"]


def bodies(sqs, url, **more):
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **more)
    return [m["Body"] for m in found.get("Messages", [])]


@resumed
def test_publish_reaches_a_queue(aws):
    """A subscription made before a restart delivers to its queue after it."""
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topic = sns.create_topic(Name="news")["TopicArn"]
    url, arn = queue_for(aws, "news")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    yield
    sent = sns.publish(TopicArn=topic, Subject="s", Message="hello")
    envelope = json.loads(bodies(sqs, url, WaitTimeSeconds=5)[0])
    assert envelope["Message"] == "hello"
    assert envelope["TopicArn"] == topic
    assert envelope["MessageId"] == sent["MessageId"]


@resumed
def test_filter_policy_and_raw_delivery(aws):
    """A filter policy and raw delivery set before a restart still decide what arrives."""
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topic = sns.create_topic(Name="filtered")["TopicArn"]
    url, arn = queue_for(aws, "filtered")
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn,
        Attributes={
            "FilterPolicy": json.dumps({"colour": ["red"]}),
            "RawMessageDelivery": "true",
        },
    )
    yield
    for colour in ("blue", "red"):
        attributes = {"colour": {"DataType": "String", "StringValue": colour}}
        sns.publish(TopicArn=topic, Message=colour, MessageAttributes=attributes)
    assert bodies(sqs, url, WaitTimeSeconds=5) == ["red"]


@resumed
def test_message_delivered_before_is_read_after(aws):
    """What was published before a restart waits in the queue after it."""
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topic = sns.create_topic(Name="early")["TopicArn"]
    url, arn = queue_for(aws, "early")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sent = sns.publish(TopicArn=topic, Message="early")
    yield
    envelope = json.loads(bodies(sqs, url)[0])
    assert envelope["Message"] == "early"
    assert envelope["MessageId"] == sent["MessageId"]


@resumed
def test_attributes_and_unsubscribe(aws):
    """Topics and subscriptions keep attributes and tags, and can be ended by their old ARN."""
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topic = sns.create_topic(
        Name="kept", Attributes={"DisplayName": "Kept"}, Tags=[{"Key": "a", "Value": "b"}]
    )["TopicArn"]
    url, arn = queue_for(aws, "kept")
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    yield
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["DisplayName"] == "Kept"
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "a", "Value": "b"}]
    # Created again, it is the same topic.
    assert sns.create_topic(Name="kept")["TopicArn"] == topic
    sns.unsubscribe(SubscriptionArn=subscription)
    sns.publish(TopicArn=topic, Message="to nobody")
    assert bodies(sqs, url) == []
    sns.delete_topic(TopicArn=topic)
    with pytest.raises(ClientError, match="NotFound"):
        sns.publish(TopicArn=topic, Message="nowhere")


@resumed
def test_fifo_topic(aws):
    """A FIFO topic delivers to its FIFO queue after a restart, with group and order."""
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topic = sns.create_topic(
        Name="line.fifo", Attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"}
    )["TopicArn"]
    url = sqs.create_queue(
        QueueName="line.fifo",
        Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"},
    )["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=asked["Attributes"]["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    yield
    for text in ("1", "2"):
        sns.publish(TopicArn=topic, Message=text, MessageGroupId="g")
    found = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], WaitTimeSeconds=5
    )["Messages"]
    assert [m["Body"] for m in found] == ["1", "2"]
    assert {m["Attributes"]["MessageGroupId"] for m in found} == {"g"}


@resumed
def test_queue_of_another_region(aws):
    """A topic delivers after a restart to a queue in another region."""
    sns, sqs = aws.client("sns"), aws.client("sqs", region="eu-west-1")
    topic = sns.create_topic(Name="abroad")["TopicArn"]
    url = sqs.create_queue(QueueName="abroad")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=asked["Attributes"]["QueueArn"])
    yield
    sns.publish(TopicArn=topic, Message="hello")
    assert [json.loads(body)["Message"] for body in bodies(sqs, url)] == ["hello"]
