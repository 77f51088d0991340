"""CloudFormation as the CDK and ``aws cloudformation deploy`` use it, across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed

SAME_NAME = "cdk-deploy-change-set"


def queue(name, **properties):
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def body(*, outputs=None, parameters=None, **resources):
    more = {"Outputs": outputs, "Parameters": parameters}
    return json.dumps({"Resources": resources, **{k: v for k, v in more.items() if v}})


def deploy(stacks, stack, template, kind="CREATE", **more):
    """A change set made and executed by its name, as tools do."""
    stacks.create_change_set(
        StackName=stack,
        ChangeSetName=SAME_NAME,
        ChangeSetType=kind,
        TemplateBody=template,
        **more,
    )
    stacks.execute_change_set(StackName=stack, ChangeSetName=SAME_NAME)


def outputs_of(stacks, stack):
    found = stacks.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
    return {o["OutputKey"]: o["OutputValue"] for o in found}


@resumed
def test_a_deployed_stack_has_outputs_and_exports(aws):
    """A stack of a change set tells its outputs, and other stacks import what it exports."""
    stacks = aws.client("cloudformation")
    arn = {"Value": {"Fn::GetAtt": ["Q", "Arn"]}, "Export": {"Name": "the-queue"}}
    deploy(stacks, "exports", body(Q=queue("deployed"), outputs={"Arn": arn}))
    expected = f"arn:aws:sqs:us-east-1:{aws.id}:deployed"
    assert outputs_of(stacks, "exports") == {"Arn": expected}
    yield
    assert outputs_of(stacks, "exports") == {"Arn": expected}
    parameter = {"Name": "imported", "Type": "String", "Value": {"Fn::ImportValue": "the-queue"}}
    deploy(stacks, "imports", body(P={"Type": "AWS::SSM::Parameter", "Properties": parameter}))
    value = aws.client("ssm").get_parameter(Name="imported")["Parameter"]["Value"]
    assert value == expected
    stacks.delete_stack(StackName="exports")
    assert stacks.list_exports()["Exports"] == []


@resumed
def test_change_sets_of_one_name_are_of_their_stack(aws):
    """Change sets of the same name are told apart by their stack, to the last one."""
    stacks = aws.client("cloudformation")
    for name in ("one", "two"):
        stacks.create_change_set(
            StackName=name,
            ChangeSetName=SAME_NAME,
            ChangeSetType="CREATE",
            TemplateBody=body(Q=queue(name)),
        )
    yield
    told = stacks.describe_change_set(StackName="one", ChangeSetName=SAME_NAME)
    assert told["StackName"] == "one"
    stacks.execute_change_set(StackName="one", ChangeSetName=SAME_NAME)
    [url] = aws.client("sqs").list_queues()["QueueUrls"]
    assert url.endswith("/one")
    stacks.delete_change_set(StackName="one", ChangeSetName=SAME_NAME)
    stacks.delete_change_set(StackName="one", ChangeSetName=SAME_NAME)  # gone already: no matter
    assert stacks.list_change_sets(StackName="one")["Summaries"] == []
    assert len(stacks.list_change_sets(StackName="two")["Summaries"]) == 1
    for call in (stacks.describe_change_set, stacks.execute_change_set):
        with pytest.raises(ClientError) as caught:
            call(StackName="one", ChangeSetName=SAME_NAME)
        assert caught.value.response["Error"]["Code"] == "ChangeSetNotFound"


@resumed
def test_a_stack_that_waits_gets_no_namesake(aws):
    """A second change set for a stack not made yet is for the same stack."""
    stacks = aws.client("cloudformation")
    settings = {"StackName": "waits", "ChangeSetType": "CREATE"}
    template = body(Q=queue("waits"))
    stacks.create_change_set(ChangeSetName="looked-at", TemplateBody=template, **settings)
    yield
    stacks.create_change_set(ChangeSetName="done", TemplateBody=template, **settings)
    stacks.execute_change_set(ChangeSetName="done", StackName="waits")
    [stack] = stacks.describe_stacks()["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


@resumed
def test_parameters_are_kept_as_they_were_given(aws):
    """``UsePreviousValue`` is the parameter's name of an SSM value and the text of a list."""
    stacks, ssm = aws.client("cloudformation"), aws.client("ssm")
    ssm.put_parameter(Name="/version", Value="33", Type="String")
    parameters = {
        "Version": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/version"},
        "Names": {"Type": "CommaDelimitedList", "Default": ""},
        "Secret": {"Type": "String", "NoEcho": True},
    }
    given = {"Names": "a,b", "Secret": "hidden"}
    first = [{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()]
    template = body(Q=queue("kept"), parameters=parameters)
    deploy(stacks, "kept", template, Parameters=first)
    yield
    told = stacks.describe_stacks(StackName="kept")["Stacks"][0]["Parameters"]
    assert {p["ParameterKey"]: p["ParameterValue"] for p in told} == {
        "Version": "/version",
        "Names": "a,b",
        "Secret": "****",
    }
    assert [p["ResolvedValue"] for p in told if "ResolvedValue" in p] == ["33"]
    before = [{"ParameterKey": name, "UsePreviousValue": True} for name in parameters]
    changed = body(Q=queue("kept", DelaySeconds=5), parameters=parameters)
    deploy(stacks, "kept", changed, "UPDATE", Parameters=before)
    unchanged = stacks.create_change_set(
        StackName="kept",
        ChangeSetName="none",
        ChangeSetType="UPDATE",
        TemplateBody=changed,
        Parameters=before,
    )
    told = stacks.describe_change_set(ChangeSetName=unchanged["Id"])
    assert told["Status"] == "FAILED"
    assert "didn't contain changes" in told["StatusReason"]


@resumed
def test_subscriptions_and_policies_are_resources(aws):
    """A subscription, a queue's and a topic's policy of a stack work, change and end with it."""
    stacks, sns, sqs = (aws.client(name) for name in ("cloudformation", "sns", "sqs"))
    statement = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    resources = {
        "Q": queue("heard"),
        "T": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "said"}},
        "QP": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {"Queues": [{"Ref": "Q"}], "PolicyDocument": policy},
        },
        "TP": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {"Topics": [{"Ref": "T"}], "PolicyDocument": policy},
        },
        "S": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": {"Ref": "T"},
                "Protocol": "sqs",
                "Endpoint": {"Fn::GetAtt": ["Q", "Arn"]},
                "RawMessageDelivery": True,
            },
        },
    }
    stacks.create_stack(StackName="talk", TemplateBody=body(**resources))
    made = stacks.describe_stack_resources(StackName="talk")["StackResources"]
    arns = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in made}
    assert set(arns) == set(resources)
    yield
    sns.publish(TopicArn=arns["T"], Message="raw")
    url = sqs.get_queue_url(QueueName="heard")["QueueUrl"]
    assert [m["Body"] for m in sqs.receive_message(QueueUrl=url)["Messages"]] == ["raw"]
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    assert json.loads(told["Policy"]) == policy
    assert (
        json.loads(sns.get_topic_attributes(TopicArn=arns["T"])["Attributes"]["Policy"]) == policy
    )
    resources["S"]["Properties"]["FilterPolicy"] = {"kind": ["wanted"]}
    stacks.update_stack(StackName="talk", TemplateBody=body(**resources))
    [subscription] = sns.list_subscriptions()["Subscriptions"]
    attributes = sns.get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])
    assert json.loads(attributes["Attributes"]["FilterPolicy"]) == {"kind": ["wanted"]}
    stacks.delete_stack(StackName="talk")
    assert sns.list_subscriptions()["Subscriptions"] == []
    assert stacks.describe_stacks()["Stacks"] == []


@resumed
def test_template_of_a_virtual_host(aws):
    """A template is found by the virtual host of its bucket, as the CDK names it."""
    stacks, s3 = aws.client("cloudformation"), aws.client("s3")
    s3.create_bucket(Bucket="assets-of-cdk")
    s3.put_object(Bucket="assets-of-cdk", Key="t/1.json", Body=body(Q=queue("hosted")))
    yield
    host = "assets-of-cdk.s3.localhost.localstack.cloud"
    stacks.create_stack(StackName="hosted", TemplateURL=f"http://{host}:4566/t/1.json")
    assert len(stacks.list_stack_resources(StackName="hosted")["StackResourceSummaries"]) == 1


@resumed
def test_buckets_are_versioned_as_templates_say(aws):
    """A bucket of a template keeps versions, and no new ones once an update suspends them."""
    stacks, s3 = aws.client("cloudformation"), aws.client("s3")

    def bucket(status):
        properties = {
            "BucketName": "versions-of-stack",
            "VersioningConfiguration": {"Status": status},
        }
        return body(B={"Type": "AWS::S3::Bucket", "Properties": properties})

    stacks.create_stack(StackName="versions", TemplateBody=bucket("Enabled"))
    first = s3.put_object(Bucket="versions-of-stack", Key="k", Body=b"1")["VersionId"]
    yield
    s3.put_object(Bucket="versions-of-stack", Key="k", Body=b"2")
    old = s3.get_object(Bucket="versions-of-stack", Key="k", VersionId=first)
    assert old["Body"].read() == b"1"
    stacks.update_stack(StackName="versions", TemplateBody=bucket("Suspended"))
    assert s3.get_bucket_versioning(Bucket="versions-of-stack")["Status"] == "Suspended"
