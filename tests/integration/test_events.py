"""EventBridge across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed

OTHER = "555555555555"


def make_queue(aws, name, **more):
    """A queue: its URL and its ARN."""
    sqs = aws.client("sqs", **more)
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, asked["Attributes"]["QueueArn"]


def received(aws, url, **more):
    found = aws.client("sqs", **more).receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(m["Body"])["detail"] for m in found.get("Messages", [])]


def put(events, number, source="app", **more):
    entry = {"Source": source, "DetailType": "t", "Detail": json.dumps({"n": number}), **more}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0


def make_rule(events, name, *targets, **more):
    pattern = json.dumps({"source": ["app"]})
    events.put_rule(Name=name, **{"EventPattern": pattern, **more})
    bus = {k: v for k, v in more.items() if k == "EventBusName"}
    entries = [{"Id": str(n), **target} for n, target in enumerate(targets)]
    events.put_targets(Rule=name, Targets=entries, **bus)


@resumed
def test_rule_delivers_to_a_queue(aws):
    """A rule made before a restart sends what matches to its queue, until that is removed."""
    events = aws.client("events")
    url, arn = make_queue(aws, "events")
    pattern = {"source": ["app"], "detail": {"n": [{"numeric": [">", 1]}]}}
    make_rule(events, "r", {"Arn": arn}, EventPattern=json.dumps(pattern))
    yield
    for number in (1, 2):
        put(events, number)
    put(events, 3, source="other")
    assert received(aws, url) == [{"n": 2}]
    events.disable_rule(Name="r")
    assert events.describe_rule(Name="r")["State"] == "DISABLED"
    assert events.list_rule_names_by_target(TargetArn=arn)["RuleNames"] == ["r"]
    with pytest.raises(ClientError, match="Validation"):
        events.delete_rule(Name="r")
    events.remove_targets(Rule="r", Ids=["0"])
    put(events, 4)
    assert received(aws, url) == []
    events.delete_rule(Name="r")


@resumed
def test_rule_delivers_to_a_log_group(aws):
    """A rule writes into its log group, which was not asked for since the restart."""
    events, logs = aws.client("events"), aws.client("logs")
    logs.create_log_group(logGroupName="/events/app")
    arn = f"arn:aws:logs:us-east-1:{aws.id}:log-group:/events/app"
    make_rule(events, "to-logs", {"Arn": arn})
    put(events, 1)
    yield
    put(events, 2)
    found = logs.filter_log_events(logGroupName="/events/app")["events"]
    assert sorted(json.loads(e["message"])["detail"]["n"] for e in found) == [1, 2]


@resumed
def test_archive_is_replayed(aws):
    """What an archive held before a restart is replayed after it to the rule's queue."""
    events = aws.client("events")
    url, arn = make_queue(aws, "replayed")
    bus = events.create_event_bus(Name="archived")["EventBusArn"]
    make_rule(events, "r", {"Arn": arn}, EventBusName="archived")
    archive = events.create_archive(ArchiveName="all", EventSourceArn=bus)["ArchiveArn"]
    put(events, 1, EventBusName="archived")
    assert received(aws, url) == [{"n": 1}]
    yield
    put(events, 2, EventBusName="archived")
    assert received(aws, url) == [{"n": 2}]
    assert events.describe_archive(ArchiveName="all")["EventCount"] == 2
    events.start_replay(
        ReplayName="again",
        EventSourceArn=archive,
        EventStartTime=0,
        EventEndTime=4_000_000_000,
        Destination={"Arn": bus},
    )
    assert sorted(d["n"] for d in received(aws, url)) == [1, 2]
    assert events.describe_replay(ReplayName="again")["State"] == "COMPLETED"


@resumed
def test_events_cross_accounts(aws):
    """A rule sends to the bus of another account, whose own rule sends on to its queue."""
    ours, theirs = aws.client("events"), aws.client("events", key=OTHER)
    bus = theirs.create_event_bus(Name="theirs")["EventBusArn"]
    theirs.put_permission(
        EventBusName="theirs", Action="events:PutEvents", Principal=aws.id, StatementId="s"
    )
    url, arn = make_queue(aws, "theirs", key=OTHER)
    make_rule(theirs, "on", {"Arn": arn}, EventBusName="theirs")
    make_rule(ours, "over", {"Arn": bus})
    yield
    put(ours, 1)
    assert received(aws, url, key=OTHER) == [{"n": 1}]
    assert json.loads(theirs.describe_event_bus(Name="theirs")["Policy"])["Statement"]


@resumed
def test_connection_keeps_its_secret(aws):
    """A connection's secret is one of Secrets Manager, and goes with the connection."""
    events, secrets = aws.client("events"), aws.client("secretsmanager")
    events.create_connection(
        Name="c",
        AuthorizationType="API_KEY",
        AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "v"}},
    )
    secret = events.describe_connection(Name="c")["SecretArn"]
    destination = events.create_api_destination(
        Name="d",
        ConnectionArn=events.describe_connection(Name="c")["ConnectionArn"],
        InvocationEndpoint="https://example.com",
        HttpMethod="GET",
    )["ApiDestinationArn"]
    yield
    value = secrets.get_secret_value(SecretId=secret)["SecretString"]
    assert json.loads(value)["api_key_value"] == "v"
    assert events.describe_api_destination(Name="d")["ApiDestinationArn"] == destination
    events.delete_connection(Name="c")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        secrets.get_secret_value(SecretId=secret)


@resumed
def test_rules_and_tags(aws):
    """Schedules, inputs, patterns and tags of rules survive."""
    events = aws.client("events")
    rule = events.put_rule(
        Name="hourly", ScheduleExpression="rate(1 hour)", Tags=[{"Key": "a", "Value": "b"}]
    )["RuleArn"]
    url, arn = make_queue(aws, "shaped")
    shaped = {
        "Arn": arn,
        "InputTransformer": {
            "InputPathsMap": {"n": "$.detail.n"},
            "InputTemplate": '{"detail": {"number": <n>}}',
        },
    }
    make_rule(events, "shaped", shaped)
    yield
    found = events.describe_rule(Name="hourly")
    assert (found["Arn"], found["ScheduleExpression"]) == (rule, "rate(1 hour)")
    tags = events.list_tags_for_resource(ResourceARN=rule)["Tags"]
    assert tags == [{"Key": "a", "Value": "b"}]
    put(events, 7)
    assert received(aws, url) == [{"number": 7}]
    assert events.list_targets_by_rule(Rule="shaped")["Targets"] == [{"Id": "0", **shaped}]
