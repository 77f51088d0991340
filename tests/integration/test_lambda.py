"""Lambda across a restart: what is configured; functions run only with Docker."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile

import pytest
from botocore.exceptions import ClientError
from resume import resumed

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def package(text):
    """A zip file of one module that is the same bytes for the same text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("handler.py"), text)
    return buffer.getvalue()


def make_role(aws, name="runner"):
    made = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    return made["Role"]["Arn"]


def make_function(aws, name, role=None, **more):
    return aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="handler.run",
        Role=role or make_role(aws),
        **{"Code": {"ZipFile": package("1")}, **more},
    )


@resumed
def test_versions_and_aliases(aws):
    """Published versions keep their code, and an alias moves from one to the next."""
    functions = aws.client("lambda")
    make_function(aws, "f")
    which = {"FunctionName": "f"}
    first = functions.publish_version(**which)
    functions.create_alias(**which, Name="live", FunctionVersion=first["Version"])
    functions.update_function_code(**which, ZipFile=package("2"))
    yield
    second = functions.publish_version(**which)
    assert (first["Version"], second["Version"]) == ("1", "2")
    assert functions.get_function(**which, Qualifier="live")["Configuration"]["Version"] == "1"
    functions.update_alias(**which, Name="live", FunctionVersion="2")
    live = functions.get_function(**which, Qualifier="live")["Configuration"]
    expected = base64.b64encode(hashlib.sha256(package("2")).digest()).decode()
    assert live["CodeSha256"] == expected
    old = functions.get_function(**which, Qualifier="1")["Configuration"]
    assert old["CodeSha256"] == first["CodeSha256"] != expected
    with pytest.raises(ClientError, match="Conflict"):
        functions.create_alias(**which, Name="live", FunctionVersion="1")
    functions.delete_alias(**which, Name="live")
    functions.delete_function(**which)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        functions.get_function(**which, Qualifier="1")


@resumed
def test_configuration_is_changed(aws):
    """Environment, layers, concurrency and tags survive and can be changed."""
    functions = aws.client("lambda")
    layer = functions.publish_layer_version(
        LayerName="shared", Content={"ZipFile": package("layer")}
    )["LayerVersionArn"]
    made = make_function(
        aws, "g", Environment={"Variables": {"A": "1"}}, Layers=[layer], Tags={"a": "b"}
    )
    which = {"FunctionName": "g"}
    functions.put_function_concurrency(**which, ReservedConcurrentExecutions=3)
    url = functions.create_function_url_config(**which, AuthType="NONE")["FunctionUrl"]
    yield
    found = functions.get_function(**which)
    assert found["Configuration"]["FunctionArn"] == made["FunctionArn"]
    assert [entry["Arn"] for entry in found["Configuration"]["Layers"]] == [layer]
    assert found["Tags"] == {"a": "b"}
    assert found["Concurrency"]["ReservedConcurrentExecutions"] == 3
    changed = functions.update_function_configuration(
        **which, Environment={"Variables": {"A": "2"}}, Timeout=9
    )
    assert (changed["Environment"]["Variables"], changed["Timeout"]) == ({"A": "2"}, 9)
    functions.delete_function_concurrency(**which)
    assert "Concurrency" not in functions.get_function(**which)
    assert functions.get_function_url_config(**which)["FunctionUrl"] == url
    again = functions.publish_layer_version(
        LayerName="shared", Content={"ZipFile": package("layer 2")}
    )
    assert again["Version"] == 2


@resumed
def test_permissions(aws):
    """A statement added before a restart is in the policy after it, once, and is removed."""
    functions = aws.client("lambda")
    make_function(aws, "p")
    statement = {
        "FunctionName": "p",
        "StatementId": "s3",
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
    }
    functions.add_permission(**statement)
    yield
    functions.add_permission(**{**statement, "StatementId": "sns"})
    policy = json.loads(functions.get_policy(FunctionName="p")["Policy"])
    assert sorted(s["Sid"] for s in policy["Statement"]) == ["s3", "sns"]
    for sid in ("s3", "sns"):
        functions.remove_permission(FunctionName="p", StatementId=sid)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        functions.get_policy(FunctionName="p")


@resumed
def test_role_is_one_of_iam(aws):
    """A function made after a restart finds IAM's role; a role deleted there is refused."""
    role, gone = make_role(aws), make_role(aws, "gone")
    yield
    # Lambda asks first, so that it is Lambda that has to find IAM's roles.
    assert make_function(aws, "h", role)["Role"] == role
    aws.client("iam").delete_role(RoleName="gone")
    with pytest.raises(ClientError, match="cannot be assumed"):
        make_function(aws, "i", gone)


@resumed
def test_code_is_taken_from_s3(aws):
    """A function's code is read from a bucket of S3, also one that is not loaded yet."""
    functions, s3 = aws.client("lambda"), aws.client("s3")
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="one.zip", Body=package("one"))
    s3.put_object(Bucket="code", Key="two.zip", Body=package("two"))
    make_function(aws, "j", Code={"S3Bucket": "code", "S3Key": "one.zip"})
    before = functions.get_function(FunctionName="j")["Configuration"]
    yield
    after = functions.get_function(FunctionName="j")["Configuration"]
    assert after["CodeSha256"] == before["CodeSha256"]
    changed = functions.update_function_code(FunctionName="j", S3Bucket="code", S3Key="two.zip")
    assert changed["CodeSize"] == len(package("two"))
    assert changed["CodeSha256"] != before["CodeSha256"]
    s3.put_object(Bucket="code", Key="one.zip", Body=package("one, but longer"))
    changed = functions.update_function_code(FunctionName="j", S3Bucket="code", S3Key="one.zip")
    assert changed["CodeSize"] == len(package("one, but longer"))


@resumed
def test_event_source_mappings(aws):
    """Mappings of a queue, a stream and a table to a function are listed, changed, deleted."""
    functions = aws.client("lambda")
    make_function(aws, "k")
    sources = make_sources(aws)
    made = {
        name: functions.create_event_source_mapping(
            FunctionName="k",
            EventSourceArn=arn,
            Enabled=False,
            **({} if name == "sqs" else {"StartingPosition": "TRIM_HORIZON"}),
        )["UUID"]
        for name, arn in sources.items()
    }
    yield
    listed = functions.list_event_source_mappings(FunctionName="k")["EventSourceMappings"]
    assert {m["UUID"] for m in listed} == set(made.values())
    by_queue = functions.list_event_source_mappings(EventSourceArn=sources["sqs"])
    assert [m["UUID"] for m in by_queue["EventSourceMappings"]] == [made["sqs"]]
    functions.update_event_source_mapping(UUID=made["sqs"], BatchSize=7)
    assert functions.get_event_source_mapping(UUID=made["sqs"])["BatchSize"] == 7
    # Disabled before the restart, it takes no message from the queue.
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName="source")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="stays")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "stays"
    for uuid in made.values():
        functions.delete_event_source_mapping(UUID=uuid)
    assert functions.list_event_source_mappings()["EventSourceMappings"] == []
    again = functions.create_event_source_mapping(
        FunctionName="k", EventSourceArn=sources["sqs"], Enabled=False
    )
    assert again["UUID"] not in made.values()


def make_sources(aws):
    """A queue, a stream and a table's stream, each by its ARN."""
    sqs, kinesis, dynamodb = (aws.client(s) for s in ("sqs", "kinesis", "dynamodb"))
    url = sqs.create_queue(QueueName="source")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    kinesis.create_stream(StreamName="source", ShardCount=1)
    stream = kinesis.describe_stream_summary(StreamName="source")["StreamDescriptionSummary"]
    table = dynamodb.create_table(
        TableName="source",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    return {
        "sqs": queue["QueueArn"],
        "kinesis": stream["StreamARN"],
        "dynamodb": table["LatestStreamArn"],
    }
