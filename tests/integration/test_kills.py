"""SIGKILL at several instants of what spans stores, waits or runs beside calls.

Everything here holds wherever an acknowledged call survives a kill; see
``tests/soak/settings.py`` for the strategies that promise it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from tests.golden import scenes_apps, scenes_more  # noqa: F401 - they register their scenes
from tests.golden.make_states import plain
from tests.golden.scenes import SCENES
from tests.soak.settings import STRATEGIES, settings

IMAGE = "ami-12c6146b"  # one that moto brings
ROLE = "arn:aws:iam::123456789012:role/states"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(params=STRATEGIES, ids=str)
def server(request: pytest.FixtureRequest, start: Any, tmp_path: Any) -> Any:
    """A server of which every acknowledged call survives a kill."""
    return start(tmp_path / "state", **settings(request.param))


def again(server: Any) -> None:
    """Kill it and start it anew."""
    server.kill()
    server.start()


@contextlib.contextmanager
def calling(server: Any, calls: Callable[[], Any]) -> Iterator[None]:
    """Run ``calls`` beside the block; at its end the server is killed, which cuts them off."""
    failures: list[BaseException] = []
    killing = threading.Event()

    def run() -> None:
        try:
            calls()
        except BaseException as error:  # noqa: BLE001 - raised again below
            if not (killing.is_set() and isinstance(error, BotoCoreError)):
                failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        killing.set()
        server.kill()
        thread.join(30)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def drained(sqs: Any, url: str) -> list[str]:
    """All visible messages in order; they are deleted."""
    bodies = []
    while True:
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        if not got:
            return bodies
        bodies += [message["Body"] for message in got]
        for message in got:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def arn_of(sqs: Any, url: str) -> str:
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return asked["Attributes"]["QueueArn"]


def waiting(sqs: Any, url: str) -> int:
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(asked["ApproximateNumberOfMessages"])


# -------------------------------------------------- an object and its notification


def test_an_object_and_its_notification(server: Any) -> None:
    """An object and the message that tells of it are both there after a kill, or neither."""
    s3, sqs = server.client("s3"), server.client("sqs")
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    s3.create_bucket(Bucket="told")
    queue = {"QueueArn": arn_of(sqs, url), "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket="told", NotificationConfiguration={"QueueConfigurations": [queue]}
    )
    sqs.purge_queue(QueueUrl=url)  # of moto's test event
    sent: list[str] = []
    acknowledged: list[str] = []

    def put() -> None:
        for number in range(len(sent), len(sent) + 1000):
            sent.append(key := f"{number:04d}")
            s3.put_object(Bucket="told", Key=key, Body=key.encode())
            acknowledged.append(key)

    told: list[str] = []
    for pause in (0.03, 0.12, 0.3, 0.5):
        with calling(server, put):
            time.sleep(pause)
        server.start()
        records = [json.loads(body)["Records"][0] for body in drained(sqs, url)]
        told += [record["s3"]["object"]["key"] for record in records]
        kept = [row["Key"] for row in s3.list_objects_v2(Bucket="told").get("Contents", [])]
        assert told == kept
        assert set(acknowledged) <= set(kept) <= set(sent)
        for key in kept[-3:]:
            assert s3.get_object(Bucket="told", Key=key)["Body"].read() == key.encode()
    assert len(acknowledged) > 3


# ------------------------------------------- a long poll that moves a message, and waits


def dead_letters(sqs: Any, name: str) -> tuple[str, str]:
    """A queue whose one message has been received as often as it may be; its dead-letter queue."""
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    policy = {"deadLetterTargetArn": arn_of(sqs, dead), "maxReceiveCount": 1}
    url = sqs.create_queue(
        QueueName=name,
        Attributes={"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "0"},
    )["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1
    return url, dead


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "unseen"])
def test_a_long_poll_that_moves_a_message(server: Any, seen: bool) -> None:
    """A poll that is killed while it waits leaves its poison in one queue, once.

    In the dead-letter queue, if anybody was shown it there; if not, a call in flight may
    be undone, and the next one moves it.
    """
    sqs = server.client("sqs")
    for number, pause in enumerate((0.02, 0.2, 0.7)):
        url, dead = dead_letters(sqs, f"jobs-{number}")
        poll = functools.partial(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
        with calling(server, poll):
            if seen:
                server.wait_until(lambda dead=dead: waiting(sqs, dead) == 1, "moved")
            time.sleep(pause)
        server.start()
        assert waiting(sqs, url) + waiting(sqs, dead) == 1
        if seen:
            assert waiting(sqs, dead) == 1
        assert "Messages" not in sqs.receive_message(QueueUrl=url)
        again(server)
        assert (waiting(sqs, url), waiting(sqs, dead)) == (0, 1)
        assert drained(sqs, dead) == ["poison"]


# ------------------------------------------------------------- Auto Scaling and EC2


def make_group(server: Any, name: str, size: int) -> None:
    server.client("ec2").create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "t2.micro"},
    )
    server.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
        MinSize=0,
        MaxSize=6,
        DesiredCapacity=size,
        AvailabilityZones=["us-east-1a"],
    )


def members(server: Any, name: str) -> list[str]:
    scaling = server.client("autoscaling")
    [group] = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])[
        "AutoScalingGroups"
    ]
    assert len(group["Instances"]) == group["DesiredCapacity"]
    return sorted(instance["InstanceId"] for instance in group["Instances"])


def running(server: Any) -> list[str]:
    alive = [{"Name": "instance-state-name", "Values": ["running"]}]
    found = server.client("ec2").describe_instances(Filters=alive)["Reservations"]
    return sorted(row["InstanceId"] for entry in found for row in entry["Instances"])


def test_capacity_then_checkpoint_then_kill(server: Any) -> None:
    """Instances a group started are EC2's own after a checkpoint and kills, and the same ones."""
    make_group(server, "group", 1)
    server.client("autoscaling").set_desired_capacity(
        AutoScalingGroupName="group", DesiredCapacity=3
    )
    before = members(server, "group")
    assert before == running(server)
    for save in (True, False):
        if save:
            server.save()
        again(server)
        assert members(server, "group") == running(server) == before
    gone = before[0]
    server.client("ec2").terminate_instances(InstanceIds=[gone])
    after = members(server, "group")
    assert gone not in after
    assert after == running(server)
    assert set(before) - {gone} < set(after)
    again(server)
    assert members(server, "group") == running(server) == after


def test_capacity_killed_while_it_changes(server: Any) -> None:
    """After a kill within SetDesiredCapacity a group and EC2 agree on what runs."""
    make_group(server, "group", 0)
    scaling = server.client("autoscaling")
    asked: list[int] = [0]
    acknowledged: list[int] = [0]

    def resize() -> None:
        while True:
            asked.append((asked[-1] + 2) % 5)
            scaling.set_desired_capacity(AutoScalingGroupName="group", DesiredCapacity=asked[-1])
            acknowledged.append(asked[-1])

    for pause in (0.05, 0.2, 0.45):
        with calling(server, resize):
            time.sleep(pause)
        server.start()
        found = members(server, "group")
        assert found == running(server)
        assert len(found) in {acknowledged[-1], asked[-1]}
        asked.append(len(found))
        acknowledged.append(len(found))


# ------------------------------------------------------------------- Step Functions


def test_an_execution_killed_half_way(server: Any) -> None:
    """An execution that is killed half way is ABORTED, also after one more kill, as before."""
    states = server.client("stepfunctions")
    definition = {
        "StartAt": "First",
        "States": {
            "First": {"Type": "Pass", "Result": 1, "Next": "Pause"},
            "Pause": {"Type": "Wait", "Seconds": 3600, "Next": "Last"},
            "Last": {"Type": "Succeed"},
        },
    }
    machine = states.create_state_machine(
        name="m", definition=json.dumps(definition), roleArn=ROLE
    )["stateMachineArn"]
    ended: dict[str, Any] = {}
    for number, pause in enumerate((0.0, 0.1, 0.6)):
        begun = states.start_execution(stateMachineArn=machine, name=f"run-{number}")
        execution = begun["executionArn"]
        time.sleep(pause)
        again(server)
        ended[execution] = execution_of(states, execution)
        assert ended[execution]["status"] == "ABORTED"
        assert ended[execution]["startDate"] == begun["startDate"]
    again(server)
    assert {execution: execution_of(states, execution) for execution in ended} == ended
    listed = states.list_executions(stateMachineArn=machine)["executions"]
    assert {row["executionArn"]: row["status"] for row in listed} == dict.fromkeys(ended, "ABORTED")


def execution_of(states: Any, execution: str) -> dict[str, Any]:
    told = states.describe_execution(executionArn=execution)
    events = states.get_execution_history(executionArn=execution)["events"]
    return {**told, "events": events, "ResponseMetadata": None}


# --------------------------------------------------- kills between which nothing is called

# What differs from answer to answer on one server.
OF_AN_ANSWER = re.compile(rb"<([Rr]equestI[dD])>[^<]*</\1>|<HostId>[^<]*</HostId>")
HEADERS_OF_AN_ANSWER = ("date", "request-id", "requestid", "amz-id-2", "amz-crc32")
# Reads whose answers tell the time of the answer.
OF_THE_MOMENT = {
    ("athena", "get_work_group"),
    ("efs", "describe_file_systems"),
    ("rds", "describe_db_clusters"),
    ("rds", "describe_db_instances"),
}


class Reader:
    """Makes scenes' calls, and keeps what was answered as it came over the wire."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.answers: list[Any] = []

    def __call__(self, service: str, operation: str, **parameters: Any) -> Any:
        return plain(getattr(self._client(service), operation)(**parameters))

    @functools.cache  # noqa: B019 - as many as there are services
    def _client(self, service: str) -> Any:
        client = self.server.client(service)
        client.meta.events.register("before-parse", self._keep)
        return client

    def _keep(self, operation_model: Any, response_dict: Any, **_: Any) -> None:
        headers = {
            name.lower(): value
            for name, value in response_dict["headers"].items()
            if not name.lower().endswith(HEADERS_OF_AN_ANSWER)
        }
        body = response_dict["body"]
        body = OF_AN_ANSWER.sub(b"", body) if isinstance(body, bytes) else None
        self.answers.append((operation_model.name, response_dict["status_code"], headers, body))

    def read(self, reads: list[Any]) -> list[Any]:
        self.answers.clear()
        values = [self(service, operation, **asked) for service, operation, asked in reads]
        bodies = [{**value, "ResponseMetadata": None} for value in values]
        return list(zip([read[:2] for read in reads], self.answers, bodies, strict=True))


@pytest.fixture
def reader(start: Any, tmp_path: Any) -> Reader:
    """Reads on a server as it is by default, if its calls survive a kill then."""
    return Reader(start(tmp_path / "state", **settings()))


def created(reader: Reader, names: list[str]) -> list[Any]:
    """Create scenes; the reads of all of them that say the same when asked twice."""
    kept = {name: SCENES[name].create(reader) for name in names}
    reads = [read for name in names for read in SCENES[name].reads(kept[name])]
    once, twice = reader.read(reads), reader.read(reads)
    moving = {read[:2] for read, one, two in zip(reads, once, twice, strict=True) if one != two}
    assert moving <= OF_THE_MOMENT
    return [read for read in reads if read[:2] not in moving]


def assert_same(now: list[Any], before: list[Any]) -> None:
    for one, two in zip(now, before, strict=True):
        assert one == two


def test_kills_in_a_row_change_nothing(reader: Reader) -> None:
    """Answers to reads are the same, byte for byte, after one kill, and after one more."""
    reads = created(reader, sorted(SCENES))
    before = reader.read(reads)
    for _ in range(2):
        again(reader.server)
        assert_same(reader.read(reads), before)


def test_kills_during_recovery_change_nothing(reader: Reader) -> None:
    """A server killed while it starts, several times, answers as before in the end."""
    names = ["sqs", "s3", "dynamodb", "iam", "kms", "ssm", "sns", "logs"]
    reads = created(reader, names)
    before = reader.read(reads)
    reader.server.kill()
    for pause in (0.0, 0.15, 0.3, 0.45, 0.6):
        reader.server.spawn()
        time.sleep(pause)
        reader.server.kill()
    reader.server.start()
    assert_same(reader.read(reads), before)
