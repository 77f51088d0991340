"""Step Functions: executions run, call other services, and end with the server."""

from __future__ import annotations

import json
import threading
import time

import pytest
from botocore.exceptions import ClientError
from resume import resumed

ROLE = "arn:aws:iam::123456789012:role/states"
RUNNING_SECONDS = 20


def machine(aws, name, states, *, start="First", kind="STANDARD"):
    definition = {"StartAt": start, "States": states}
    return aws.client("stepfunctions").create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=ROLE, type=kind
    )["stateMachineArn"]


def begin(aws, arn, data=None, **more):
    return aws.client("stepfunctions").start_execution(
        stateMachineArn=arn, input=json.dumps(data or {}), **more
    )["executionArn"]


def outcome(aws, execution, *, wanted=None):
    """The execution once it has ended (or has the wanted status)."""
    deadline = time.monotonic() + RUNNING_SECONDS
    while True:
        found = aws.client("stepfunctions").describe_execution(executionArn=execution)
        if found["status"] == wanted or (wanted is None and found["status"] != "RUNNING"):
            return found
        assert time.monotonic() < deadline, history(aws, execution)
        time.sleep(0.05)


def output(aws, execution):
    found = outcome(aws, execution)
    assert found["status"] == "SUCCEEDED", (found, history(aws, execution))
    assert found["stopDate"] >= found["startDate"]
    return json.loads(found["output"])


def history(aws, execution):
    return aws.client("stepfunctions").get_execution_history(executionArn=execution)["events"]


def kinds(aws, execution):
    return [event["type"] for event in history(aws, execution)]


def succeeded(**more):
    return {"Type": "Succeed", **more}


def wait_for_event(aws, execution, kind):
    deadline = time.monotonic() + RUNNING_SECONDS
    while kind not in kinds(aws, execution):
        assert time.monotonic() < deadline, kinds(aws, execution)
        time.sleep(0.05)


def code(error):
    return error.value.response["Error"]["Code"]


FLOW = {
    "First": {"Type": "Choice", "Choices": [
        {"Variable": "$.n", "NumericGreaterThan": 5, "Next": "Large"}], "Default": "Small"},
    "Large": {"Type": "Pass", "Result": "large", "ResultPath": "$.size", "Next": "Pause"},
    "Small": {"Type": "Fail", "Error": "TooSmall", "Cause": "five or less"},
    "Pause": {"Type": "Wait", "Seconds": 1, "Next": "Both"},
    "Both": {"Type": "Parallel", "Next": "Each", "ResultPath": "$.both", "Branches": [
        {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": 1, "End": True}}},
        {"StartAt": "B", "States": {"B": {"Type": "Wait", "Seconds": 1, "Next": "C"},
                                    "C": {"Type": "Pass", "Result": 2, "End": True}}}]},
    "Each": {"Type": "Map", "ItemsPath": "$.items", "ResultPath": "$.each", "End": True,
             "ItemProcessor": {"StartAt": "Double", "States": {"Double": {
                 "Type": "Pass", "End": True,
                 "Parameters": {"twice.$": "States.MathAdd($, $)"}}}}},
}  # fmt: skip


@resumed
def test_states_run_and_their_history_stays(aws):
    """Choice, Pass, Wait, Parallel and Map run; outcome and history are there after a restart."""
    arn = machine(aws, "flow", FLOW)
    large = begin(aws, arn, {"n": 7, "items": [1, 2, 3]}, name="large")
    small = begin(aws, arn, {"n": 3, "items": []})
    assert output(aws, large) == {
        "n": 7,
        "items": [1, 2, 3],
        "size": "large",
        "both": [1, 2],
        "each": [{"twice": 2}, {"twice": 4}, {"twice": 6}],
    }
    assert outcome(aws, small)["error"] == "TooSmall"
    before = [(outcome(aws, e), history(aws, e)) for e in (large, small)]
    yield
    for execution, (described, events) in zip((large, small), before, strict=True):
        found = outcome(aws, execution)
        assert {**found, "ResponseMetadata": 0} == {**described, "ResponseMetadata": 0}
        assert history(aws, execution) == events
    again = begin(aws, arn, {"n": 8, "items": []}, name="again")
    assert output(aws, again)["size"] == "large"
    with pytest.raises(ClientError) as error:
        begin(aws, arn, {"n": 1}, name="large")
    assert code(error) == "ExecutionAlreadyExists"


@resumed
def test_tasks_call_this_server(aws):
    """Tasks reach SQS, DynamoDB and SNS of their own account and region."""
    region = "eu-west-1"
    sqs, sns = aws.client("sqs", region), aws.client("sns", region)
    dynamodb, states = aws.client("dynamodb", region), aws.client("stepfunctions", region)
    queue = sqs.create_queue(QueueName="tasks")["QueueUrl"]
    topic = sns.create_topic(Name="tasks")["TopicArn"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue_arn["Attributes"]["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    dynamodb.create_table(
        TableName="tasks",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    arn = states.create_state_machine(
        name="tasks",
        roleArn=ROLE,
        definition=json.dumps({"StartAt": "Send", "States": {
            "Send": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage",
                     "Parameters": {"QueueUrl": queue, "MessageBody.$": "$.text"},
                     "ResultPath": "$.sent", "Next": "Put"},
            "Put": {"Type": "Task", "Resource": "arn:aws:states:::dynamodb:putItem",
                    "Parameters": {"TableName": "tasks", "Item": {"id": {"S.$": "$.text"}}},
                    "ResultPath": "$.put", "Next": "Tell"},
            "Tell": {"Type": "Task", "Resource": "arn:aws:states:::sns:publish",
                     "Parameters": {"TopicArn": topic, "Message": "told"},
                     "ResultPath": "$.told", "Next": "Count"},
            "Count": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:dynamodb:scan",
                      "Parameters": {"TableName": "tasks"}, "End": True},
        }}),
    )["stateMachineArn"]  # fmt: skip

    def run(text):
        execution = states.start_execution(stateMachineArn=arn, input=json.dumps({"text": text}))[
            "executionArn"
        ]
        deadline = time.monotonic() + RUNNING_SECONDS
        while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert found["status"] == "SUCCEEDED", states.get_execution_history(executionArn=execution)
        return json.loads(found["output"])["Count"]

    assert run("one") == 1
    yield
    assert run("two") == 2
    bodies = [
        message["Body"]
        for _ in range(4)
        for message in sqs.receive_message(QueueUrl=queue).get("Messages", [])
    ]
    assert sorted(bodies) == ["one", "told", "told", "two"]


def waiting_map():
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}
    return {
        "First": {"Type": "Parallel", "End": True, "Branches": [
            wait,
            {"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$.items", "End": True,
                                              "ItemProcessor": wait}}}]},
    }  # fmt: skip


@resumed
def test_a_restart_aborts_what_was_running(aws):
    """An execution that was running is ABORTED after a restart, everywhere and for good."""
    states = aws.client("stepfunctions")
    arn = machine(aws, "waits", waiting_map())
    execution = begin(aws, arn, {"items": [1, 2]})
    wait_for_event(aws, execution, "MapIterationStarted")
    events = history(aws, execution)
    yield
    found = outcome(aws, execution)
    assert (found["status"], found["error"]) == ("ABORTED", "Perdure.Restarted")
    assert "while this was running" in found["cause"]
    assert found["stopDate"] >= found["startDate"]
    listed = states.list_executions(stateMachineArn=arn)["executions"]
    assert [(e["status"], e["stopDate"]) for e in listed] == [("ABORTED", found["stopDate"])]
    assert states.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"] == []
    after = history(aws, execution)
    assert after[: len(events)] == events
    assert after[-1]["type"] == "ExecutionAborted"
    assert after[-1]["executionAbortedEventDetails"]["error"] == "Perdure.Restarted"
    assert after[-1]["id"] == after[-2]["id"] + 1
    assert states.stop_execution(executionArn=execution)["stopDate"] == found["stopDate"]


def token_machine(aws, name):
    sqs = aws.client("sqs")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = machine(aws, name, {
        "First": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                  "Parameters": {"QueueUrl": queue, "MessageBody.$": "$$.Task.Token"},
                  "End": True},
    })  # fmt: skip

    def token():
        return sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"][0]["Body"]

    return arn, token


@resumed
def test_a_token_completes_its_task_and_ends_with_its_execution(aws):
    """A token answers its own task; one from before a restart has timed out."""
    states = aws.client("stepfunctions")
    arn, token = token_machine(aws, "token")
    done = begin(aws, arn)
    states.send_task_success(taskToken=token(), output='{"a": 1}')
    assert output(aws, done) == {"a": 1}
    failed = begin(aws, arn)
    states.send_task_failure(taskToken=token(), error="No", cause="because")
    found = outcome(aws, failed)
    assert (found["status"], found["error"], found["cause"]) == ("FAILED", "No", "because")
    open_one = begin(aws, arn)
    old = token()
    yield
    assert outcome(aws, open_one)["status"] == "ABORTED"
    with pytest.raises(ClientError) as error:
        states.send_task_success(taskToken=old, output="{}")
    assert code(error) == "TaskTimedOut"
    with pytest.raises(ClientError) as error:
        states.send_task_success(taskToken="nobody", output="{}")
    assert code(error) == "InvalidToken"
    new = begin(aws, arn)
    states.send_task_success(taskToken=token(), output='{"a": 2}')
    assert output(aws, new) == {"a": 2}


@resumed
def test_a_stop_takes_effect_at_once(aws):
    """StopExecution ends waits, branches and tasks that wait for a token; it stays so."""
    states = aws.client("stepfunctions")
    arn, token = token_machine(aws, "stopped")
    waits = machine(aws, "stopped-waits", waiting_map())
    stopped = [begin(aws, arn), begin(aws, waits, {"items": [1]}), begin(aws, arn)]
    token()
    for execution in stopped:  # the last one at any moment of its start
        answer = states.stop_execution(executionArn=execution, error="Enough", cause="test")
        found = states.describe_execution(executionArn=execution)
        assert (found["status"], found["error"], found["cause"]) == ("ABORTED", "Enough", "test")
        assert found["stopDate"] == answer["stopDate"]
    time.sleep(0.5)
    events = [kinds(aws, execution) for execution in stopped]
    assert all(found[-1] == "ExecutionAborted" for found in events)
    yield
    assert [kinds(aws, execution) for execution in stopped] == events
    assert {outcome(aws, execution)["status"] for execution in stopped} == {"ABORTED"}


@resumed
def test_distributed_maps_end_with_their_execution(aws):
    """A map run that was open is ABORTED after a restart, and its counts say so."""
    states = aws.client("stepfunctions")
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}
    arn = machine(aws, "map-run", {
        "First": {"Type": "Map", "ItemsPath": "$.items", "End": True,
                  "ItemProcessor": {**wait, "ProcessorConfig": {
                      "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}},
    })  # fmt: skip
    execution = begin(aws, arn, {"items": [1, 2]})
    wait_for_event(aws, execution, "MapRunStarted")
    run = states.list_map_runs(executionArn=execution)["mapRuns"][0]["mapRunArn"]
    assert states.describe_map_run(mapRunArn=run)["status"] == "RUNNING"
    yield
    found = states.describe_map_run(mapRunArn=run)
    assert (found["status"], found["itemCounts"]["running"]) == ("ABORTED", 0)
    assert found["stopDate"] == outcome(aws, execution)["stopDate"]


@resumed
def test_synchronous_executions(aws):
    """StartSyncExecution answers with the outcome of an express machine, and of no other."""
    states = aws.client("stepfunctions", inject_host_prefix=False)
    express = machine(aws, "sync", FLOW, kind="EXPRESS")
    standard = machine(aws, "not-sync", FLOW)

    def run(n):
        return states.start_sync_execution(
            stateMachineArn=express, input=json.dumps({"n": n, "items": [n]})
        )

    assert json.loads(run(7)["output"])["each"] == [{"twice": 14}]
    yield
    assert json.loads(run(8)["output"])["each"] == [{"twice": 16}]
    failed = run(1)
    assert (failed["status"], failed["error"]) == ("FAILED", "TooSmall")
    with pytest.raises(ClientError) as error:
        states.start_sync_execution(stateMachineArn=standard)
    assert code(error) == "StateMachineTypeNotSupported"


def test_others_go_on_while_executions_run(start, tmp_path):
    """Many executions in every kind of wait hold nobody up, and saves go on without failure."""
    server = start(tmp_path / "state", SNAPSHOT_FLUSH_INTERVAL="0.2")

    class Aws:
        client = server.client

    arn = machine(Aws, "busy", waiting_map())
    tokens, _ = token_machine(Aws, "busy-token")
    executions = [begin(Aws, arn, {"items": list(range(5))}) for _ in range(5)]
    executions += [begin(Aws, tokens) for _ in range(2)]
    circle = machine(Aws, "circle", {"First": {"Type": "Pass", "Next": "First"}})
    endless = begin(Aws, circle)
    short = machine(Aws, "short", FLOW)
    failures = []

    def work():
        try:
            for _ in range(3):
                assert output(Aws, begin(Aws, short, {"n": 9, "items": [1]}))["size"] == "large"
        except BaseException as error:
            failures.append(error)
            raise

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    slowest = 0.0
    while any(worker.is_alive() for worker in workers):
        began = time.monotonic()
        health = server.health(timeout=5)
        slowest = max(slowest, time.monotonic() - began)
        assert health["features"]["persistence"] == "initialized", health["persistence"]["reason"]
        statuses = {store["status"] for store in health["persistence"]["stores"].values()}
        assert statuses <= {"saved", "changed"}, health
        server.client("sqs").list_queues()
        time.sleep(0.05)
    assert failures == []
    assert slowest < 1
    server.save()
    assert {outcome(Aws, e, wanted="RUNNING")["status"] for e in executions} == {"RUNNING"}
    assert server.stop() == 0
    server.start()
    assert {outcome(Aws, e)["status"] for e in executions} == {"ABORTED"}
    assert outcome(Aws, endless)["error"] in ("Perdure.Restarted", "States.Runtime")


def test_executions_are_not_listed_without_a_machine(start):
    """Executions of a map run, which moto does not list, are refused by name."""
    client = start().client("stepfunctions")
    with pytest.raises(ClientError) as refused:
        client.list_executions(mapRunArn="arn:aws:states:us-east-1:000000000000:mapRun:m/x:1")
    assert refused.value.response["Error"]["Code"] == "ValidationException"
