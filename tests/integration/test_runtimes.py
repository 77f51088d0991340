"""What runs beside the model: exports, timers, page tokens, peerings, across a restart."""

from __future__ import annotations

import gzip
import json
import time

from resume import resumed

ENDING_SECONDS = 20


def table_of(aws, name):
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    return dynamodb.describe_table(TableName=name)["Table"]["TableArn"]


def export(aws, arn, prefix):
    """Export a table; what came of it and the items in the bucket."""
    dynamodb, s3 = aws.client("dynamodb"), aws.client("s3")
    export_arn = dynamodb.export_table_to_point_in_time(
        TableArn=arn, S3Bucket=bucket_of(aws), S3Prefix=prefix
    )["ExportDescription"]["ExportArn"]
    deadline = time.monotonic() + ENDING_SECONDS
    while True:
        found = dynamodb.describe_export(ExportArn=export_arn)["ExportDescription"]
        if found["ExportStatus"] != "IN_PROGRESS":
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert found["ExportStatus"] == "COMPLETED", found
    listed = s3.list_objects_v2(Bucket=bucket_of(aws), Prefix=prefix)["Contents"]
    lines = [
        line
        for entry in listed
        for line in gzip.decompress(
            s3.get_object(Bucket=bucket_of(aws), Key=entry["Key"])["Body"].read()
        ).splitlines()
    ]
    return found, sorted(json.loads(line)["Item"]["id"]["S"] for line in lines)


def bucket_of(aws):
    return f"exports-{aws.id}"


@resumed
def test_exports_work_on_the_stores_that_live(aws):
    """An export reads the table and writes the bucket of now, before and after a restart."""
    dynamodb = aws.client("dynamodb")
    aws.client("s3").create_bucket(Bucket=bucket_of(aws))
    arn = table_of(aws, "exported")
    dynamodb.put_item(TableName="exported", Item={"id": {"S": "a"}})
    first, items = export(aws, arn, "first")
    assert items == ["a"]
    yield
    dynamodb.put_item(TableName="exported", Item={"id": {"S": "b"}})
    described = dynamodb.describe_export(ExportArn=first["ExportArn"])["ExportDescription"]
    assert described == first
    assert export(aws, arn, "second")[1] == ["a", "b"]
    assert len(dynamodb.list_exports(TableArn=arn)["ExportSummaries"]) == 2


@resumed
def test_imports_work_on_the_stores_that_live(aws):
    """An import after a restart makes a table of objects put before it."""
    s3, dynamodb = aws.client("s3"), aws.client("dynamodb")
    s3.create_bucket(Bucket=bucket_of(aws))
    s3.put_object(Bucket=bucket_of(aws), Key="in/a.json", Body=b'{"Item": {"id": {"S": "x"}}}')
    yield
    arn = dynamodb.import_table(
        S3BucketSource={"S3Bucket": bucket_of(aws), "S3KeyPrefix": "in"},
        InputFormat="DYNAMODB_JSON",
        TableCreationParameters={
            "TableName": "imported",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )["ImportTableDescription"]["ImportArn"]
    deadline = time.monotonic() + ENDING_SECONDS
    while True:
        found = dynamodb.describe_import(ImportArn=arn)["ImportTableDescription"]
        if found["ImportStatus"] != "IN_PROGRESS":
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (found["ImportStatus"], found["ImportedItemCount"]) == ("COMPLETED", 1), found
    assert dynamodb.scan(TableName="imported")["Items"] == [{"id": {"S": "x"}}]


@resumed
def test_workflow_timers_fire_though_the_server_was_down(aws):
    """A timer started before a restart fires after it, and a decider is told."""
    swf = aws.client("swf")
    swf.register_domain(name="d", workflowExecutionRetentionPeriodInDays="1")
    swf.register_workflow_type(
        domain="d",
        name="w",
        version="1",
        defaultTaskList={"name": "l"},
        defaultChildPolicy="TERMINATE",
        defaultTaskStartToCloseTimeout="600",
        defaultExecutionStartToCloseTimeout="600",
    )
    run = swf.start_workflow_execution(
        domain="d", workflowId="id", workflowType={"name": "w", "version": "1"}
    )["runId"]
    token = swf.poll_for_decision_task(domain="d", taskList={"name": "l"})["taskToken"]
    swf.respond_decision_task_completed(
        taskToken=token,
        decisions=[
            {
                "decisionType": "StartTimer",
                "startTimerDecisionAttributes": {"timerId": "t", "startToFireTimeout": "3"},
            }
        ],
    )
    yield
    deadline = time.monotonic() + ENDING_SECONDS
    while not (task := swf.poll_for_decision_task(domain="d", taskList={"name": "l"})).get(
        "taskToken"
    ):
        assert time.monotonic() < deadline
    kinds = [event["eventType"] for event in task["events"]]
    assert kinds.count("TimerFired") == 1
    history = swf.get_workflow_execution_history(
        domain="d", execution={"workflowId": "id", "runId": run}
    )["events"]
    started, fired = (
        next(e for e in history if e["eventType"] == kind)
        for kind in ("TimerStarted", "TimerFired")
    )
    assert (fired["eventTimestamp"] - started["eventTimestamp"]).total_seconds() >= 2.5


@resumed
def test_page_tokens_outlive_the_server(aws):
    """A page asked for before a restart is followed by the next one after it."""
    sqs, tagging = aws.client("sqs"), aws.client("resourcegroupstaggingapi")
    logs = aws.client("logs")
    for number in range(4):
        sqs.create_queue(QueueName=f"page-{number}", tags={"a": str(number)})
        logs.create_log_group(logGroupName=f"page-{number}")
    first = tagging.get_resources(ResourcesPerPage=2)
    queues = sqs.list_queues(QueueNamePrefix="page-", MaxResults=3)
    yield
    second = tagging.get_resources(ResourcesPerPage=2, PaginationToken=first["PaginationToken"])
    arns = [
        found["ResourceARN"].rpartition(":")[2]
        for page in (first, second)
        for found in page["ResourceTagMappingList"]
    ]
    assert sorted(arns) == [f"page-{number}" for number in range(4)]
    rest = sqs.list_queues(QueueNamePrefix="page-", MaxResults=3, NextToken=queues["NextToken"])
    assert len({*queues["QueueUrls"], *rest["QueueUrls"]}) == 4


@resumed
def test_addresses_and_peers_of_networks(aws):
    """A subnet's next address is not one in use; a peering reaches a region not loaded yet."""
    here, there = aws.client("ec2"), aws.client("ec2", "eu-west-1")
    efs = aws.client("efs")
    vpc = here.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    other = there.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = here.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/28")["Subnet"]["SubnetId"]

    def address():
        system = efs.create_file_system()["FileSystemId"]
        return efs.create_mount_target(FileSystemId=system, SubnetId=subnet)["IpAddress"]

    before = [address() for _ in range(3)]
    services = here.describe_vpc_endpoint_services(MaxResults=5)["ServiceDetails"]
    yield
    after = [address() for _ in range(3)]
    assert [*before, *after] == [f"10.9.0.{number}" for number in range(4, 10)]
    assert here.describe_vpc_endpoint_services(MaxResults=5)["ServiceDetails"] == services
    peering = here.create_vpc_peering_connection(
        VpcId=vpc, PeerVpcId=other, PeerRegion="eu-west-1"
    )["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    accepted = there.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
    assert accepted["VpcPeeringConnection"]["Status"]["Code"] == "active"
