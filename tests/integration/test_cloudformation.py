"""CloudFormation across a restart: stacks own what other services hold."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def template(*names, outputs=None, **resources):
    """A template of the resources of these names in ``PARTS``, and of others."""
    found = {name: PARTS[name] for name in names} | resources
    return json.dumps({"Resources": found, **({"Outputs": outputs} if outputs else {})})


PARTS = {
    "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "of-stack"}},
    "Topic": {
        "Type": "AWS::SNS::Topic",
        "Properties": {
            "TopicName": "of-stack",
            "Subscription": [{"Protocol": "sqs", "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]}}],
        },
    },
    "Table": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "TableName": "of-stack",
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    },
    "Parameter": {
        "Type": "AWS::SSM::Parameter",
        "Properties": {"Name": "of-stack", "Type": "String", "Value": {"Ref": "Queue"}},
    },
    "Role": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": "of-stack",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []},
        },
    },
    "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {}}},
    "Stream": {"Type": "AWS::Kinesis::Stream", "Properties": {"Name": "of-stack"}},
    "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "of-stack"}},
}


def bucket(name):
    return {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}


def ids(stacks, stack="stack"):
    found = stacks.describe_stack_resources(StackName=stack)["StackResources"]
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found}


@resumed
def test_deleting_a_stack_deletes_what_it_made(aws):
    """A stack made before a restart takes all its resources along when deleted after it."""
    stacks = aws.client("cloudformation")
    body = template(*PARTS, Bucket=bucket("whole"))
    stacks.create_stack(StackName="stack", TemplateBody=body)
    before = ids(stacks)
    yield
    assert ids(stacks) == before
    assert len(before) == len(PARTS) + 1
    stacks.delete_stack(StackName="stack")
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert "QueueUrls" not in aws.client("sqs").list_queues()
    assert aws.client("sns").list_topics()["Topics"] == []
    assert aws.client("dynamodb").list_tables()["TableNames"] == []
    assert aws.client("ssm").describe_parameters()["Parameters"] == []
    assert aws.client("kinesis").list_streams()["StreamNames"] == []
    assert aws.client("logs").describe_log_groups()["logGroups"] == []
    with pytest.raises(ClientError, match="NoSuchEntity"):
        aws.client("iam").get_role(RoleName="of-stack")
    assert aws.client("kms").list_keys()["Keys"] == []


@resumed
def test_resources_are_those_of_their_services(aws):
    """What a stack made works in its own service: a topic's message reaches the queue."""
    stacks, sqs = aws.client("cloudformation"), aws.client("sqs")
    stacks.create_stack(StackName="stack", TemplateBody=template("Queue", "Topic", "Parameter"))
    made = ids(stacks)
    yield
    aws.client("sns").publish(TopicArn=made["Topic"], Message="hello")
    body = sqs.receive_message(QueueUrl=made["Queue"])["Messages"][0]["Body"]
    assert json.loads(body)["Message"] == "hello"
    value = aws.client("ssm").get_parameter(Name="of-stack")["Parameter"]["Value"]
    assert value == made["Queue"]
    # Changed behind the stack's back, it is still the one the stack deletes.
    sqs.set_queue_attributes(QueueUrl=made["Queue"], Attributes={"VisibilityTimeout": "7"})
    stacks.delete_stack(StackName="stack")
    assert "QueueUrls" not in sqs.list_queues()


@resumed
def test_bucket_deleted_behind_the_stacks_back(aws):
    """A stack still lists a bucket that S3 deleted before the restart; S3 does not have it back."""
    stacks, s3 = aws.client("cloudformation"), aws.client("s3")
    stacks.create_stack(StackName="stack", TemplateBody=template("Queue", Bucket=bucket("behind")))
    s3.delete_bucket(Bucket="behind")
    yield
    assert ids(stacks)["Bucket"] == "behind"
    assert s3.list_buckets()["Buckets"] == []
    # moto deletes a stack resource by resource and stops at the one that is gone.
    with pytest.raises(ClientError, match="NoSuchBucket"):
        stacks.delete_stack(StackName="stack")
    s3.create_bucket(Bucket="behind")
    assert s3.list_objects_v2(Bucket="behind")["KeyCount"] == 0


@resumed
def test_full_bucket_is_not_deleted(aws):
    """A stack's bucket that was filled after a restart keeps its objects from deletion."""
    stacks, s3 = aws.client("cloudformation"), aws.client("s3")
    stacks.create_stack(StackName="stack", TemplateBody=template(Bucket=bucket("filled")))
    yield
    s3.put_object(Bucket="filled", Key="k", Body=b"1")
    stacks.delete_stack(StackName="stack")
    assert s3.get_object(Bucket="filled", Key="k")["Body"].read() == b"1"


@resumed
def test_update_adds_and_removes(aws):
    """An update after a restart adds, changes and removes resources of their services."""
    stacks, sqs = aws.client("cloudformation"), aws.client("sqs")
    stacks.create_stack(
        StackName="stack",
        TemplateBody=template("Queue", "Table", Bucket=bucket("updated")),
        Tags=[{"Key": "a", "Value": "b"}],
    )
    url = ids(stacks)["Queue"]
    yield
    queue = {**PARTS["Queue"]["Properties"], "VisibilityTimeout": 77}
    body = template("Stream", Queue={"Type": "AWS::SQS::Queue", "Properties": queue})
    stacks.update_stack(StackName="stack", TemplateBody=body)
    assert set(ids(stacks)) == {"Queue", "Stream"}
    assert aws.client("dynamodb").list_tables()["TableNames"] == []
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert aws.client("kinesis").list_streams()["StreamNames"] == ["of-stack"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert found["Attributes"]["VisibilityTimeout"] == "77"
    stack = stacks.describe_stacks(StackName="stack")["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    assert stack["Tags"] == [{"Key": "a", "Value": "b"}]


@resumed
def test_change_set_is_executed(aws):
    """A change set made before a restart is executed after it, from a template in S3."""
    stacks, s3 = aws.client("cloudformation"), aws.client("s3")
    s3.create_bucket(Bucket="templates")
    s3.put_object(Bucket="templates", Key="t.json", Body=template("Queue", "Group"))
    url = "http://localhost/templates/t.json"
    made = stacks.create_change_set(
        StackName="stack", ChangeSetName="first", ChangeSetType="CREATE", TemplateURL=url
    )
    yield
    found = stacks.describe_change_set(ChangeSetName=made["Id"])
    assert {c["ResourceChange"]["LogicalResourceId"] for c in found["Changes"]} == {
        "Queue",
        "Group",
    }
    assert "QueueUrls" not in aws.client("sqs").list_queues()
    stacks.execute_change_set(ChangeSetName=made["Id"])
    assert stacks.describe_stacks(StackName="stack")["Stacks"][0]["StackStatus"] == (
        "CREATE_COMPLETE"
    )
    assert len(aws.client("sqs").list_queues()["QueueUrls"]) == 1


@resumed
def test_exports_are_imported(aws):
    """A stack made after a restart imports what one made before it exports."""
    stacks = aws.client("cloudformation")
    outputs = {"Arn": {"Value": {"Fn::GetAtt": ["Queue", "Arn"]}, "Export": {"Name": "queue-arn"}}}
    stacks.create_stack(StackName="exports", TemplateBody=template("Queue", outputs=outputs))
    yield
    imported = {"Type": "String", "Name": "arn", "Value": {"Fn::ImportValue": "queue-arn"}}
    body = template(P={"Type": "AWS::SSM::Parameter", "Properties": imported})
    stacks.create_stack(StackName="imports", TemplateBody=body)
    value = aws.client("ssm").get_parameter(Name="arn")["Parameter"]["Value"]
    assert value == f"arn:aws:sqs:us-east-1:{aws.id}:of-stack"
    assert [e["Name"] for e in stacks.list_exports()["Exports"]] == ["queue-arn"]


@resumed
def test_outputs_follow_the_service(aws):
    """An output tells what a resource has become after a restart, changed by its service."""
    stacks, dynamodb = aws.client("cloudformation"), aws.client("dynamodb")
    stacks.create_stack(StackName="stack", TemplateBody=template("Table"))
    yield
    table = dynamodb.update_table(
        TableName="of-stack",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )["TableDescription"]
    outputs = {"Stream": {"Value": {"Fn::GetAtt": ["Table", "StreamArn"]}}}
    stacks.update_stack(StackName="stack", TemplateBody=template("Table", outputs=outputs))
    found = stacks.describe_stacks(StackName="stack")["Stacks"][0]["Outputs"]
    assert [o["OutputValue"] for o in found] == [table["LatestStreamArn"]]


@resumed
def test_nested_stack(aws):
    """A stack within a stack is deleted with it, and its resources too."""
    stacks, s3 = aws.client("cloudformation"), aws.client("s3")
    s3.create_bucket(Bucket="nested")
    s3.put_object(Bucket="nested", Key="inner.json", Body=template("Queue"))
    inner = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": "http://localhost/nested/inner.json"},
    }
    stacks.create_stack(StackName="outer", TemplateBody=template(Inner=inner))
    assert len(aws.client("sqs").list_queues()["QueueUrls"]) == 1
    yield
    assert len(stacks.describe_stacks()["Stacks"]) == 2
    stacks.delete_stack(StackName="outer")
    assert stacks.describe_stacks()["Stacks"] == []
    assert "QueueUrls" not in aws.client("sqs").list_queues()
