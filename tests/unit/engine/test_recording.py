"""Calls become records, and records the same state again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.calls import a_call
from tests.unit.engine.conftest import Disk, key
from tests.unit.engine.test_runtimes import others_run

from perdure.engine import developer, dispatch, lock, recording
from perdure.engine.bodies import BLOBS
from perdure.engine.calls import Answer, Call
from perdure.engine.core import Engine
from perdure.engine.lock import waiting
from perdure.engine.pins import CLOCK
from perdure.engine.quirks.polling import ParkedError
from perdure.engine.stores import STORES, QuarantinedError
from perdure.errors import CorruptionError, LoadError, NoRoomError
from perdure.persistence.blobs import Blob, BlobStore
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.record import CALL, IMAGES, decode_call, decode_images, encode_images
from perdure.persistence.statefile import decode, encode

PATH = Path("journal")
ROLE = "arn:aws:iam::000000000000:role/r"
WAITING = '{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": true}}}'


class MemoryLog:
    """A journal in memory."""

    def __init__(self) -> None:
        self.records: list[tuple[int, bytes]] = []
        self.has_room = True

    def append(self, kind: int, parts: Sequence[bytes]) -> Lsn:
        """Keep a record."""
        self.records.append((kind, b"".join(parts)))
        return Lsn(len(self.records))

    def room_for(self, payload_bytes: int) -> bool:
        """As told."""
        return self.has_room

    def no_room(self) -> NoRoomError:
        """What a full disk says."""
        return NoRoomError(PATH, "full")

    @property
    def kinds(self) -> list[int]:
        """Of all records, in order."""
        return [kind for kind, _ in self.records]


class Twice:
    """An engine that records, and what replay makes of its records."""

    def __init__(self, engine: Engine, disk: Disk) -> None:
        self.engine, self.disk, self.log = engine, disk, MemoryLog()
        self.lost: list[StoreKey] = []
        engine.record(self.log, lambda key, _: self.lost.append(key))

    def run(self, call: Call, *, may_park: bool = False) -> Answer:
        """Run a call as the gateway does."""
        return self.engine.execute(call, may_park=may_park)

    def json(self, service: str, operation: str, **parameters: Any) -> Any:
        """Run a call of a JSON protocol; its answer."""
        answer = self.run(json_call(service, operation, **parameters))
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def digests(self) -> dict[StoreKey, str]:
        """What every living store's state is."""
        captured = self.engine.capture(self.engine.living())
        return {key: graph.digest for key, graph in captured.graphs.items()}

    def replay(self) -> list[Any]:
        """Forget all, and replay; what diverged."""
        self.engine.stop_recording()
        self.disk.restart()
        replayer = self.engine.replayer(self.disk.shares)
        diverged = []
        for kind, payload in self.log.records:
            if kind == CALL:
                found = replayer.call(decode_call(payload, path=PATH))
                if found is not None:
                    diverged.append(found)
            else:
                replayer.images(decode_images(payload, path=PATH), path=PATH)
        self.changed, self.troubles = replayer.finish(), replayer.troubles
        return diverged


def json_call(service: str, operation: str, **parameters: Any) -> Call:
    """A call of a JSON protocol."""
    target = {"sqs": "AmazonSQS", "kms": "TrentService", "dynamodb": "DynamoDB_20120810"}
    target["stepfunctions"] = "AWSStepFunctions"
    headers = [
        ("x-amz-target", f"{target[service]}.{operation}"),
        ("content-type", "application/x-amz-json-1.0"),
    ]
    return a_call(service, operation, headers=headers, body=json.dumps(parameters).encode())


def form_call(service: str, operation: str, **parameters: str) -> Call:
    """A call of the query protocol."""
    from urllib.parse import urlencode

    from perdure.engine.services import by_name

    version = by_name()[service].version
    body = urlencode({"Action": operation, "Version": version, **parameters}).encode()
    headers = [("content-type", "application/x-www-form-urlencoded")]
    return a_call(service, operation, headers=headers, body=body, form=True)


@pytest.fixture
def twice(engine: Engine, disk: Disk) -> Iterator[Twice]:
    """A recording engine on an empty disk."""
    yield Twice(engine, disk)
    engine.stop_recording()


def test_a_write_is_replayed_to_the_same_state(twice: Twice) -> None:
    """Ids, times, receipt handles and hashes come out as they were, and so do the stores."""
    url = twice.json("sqs", "CreateQueue", QueueName="q")["QueueUrl"]
    twice.json("sqs", "SendMessage", QueueUrl=url, MessageBody="m")
    handle = twice.json("sqs", "ReceiveMessage", QueueUrl=url)["Messages"][0]["ReceiptHandle"]
    before = twice.digests()

    assert twice.replay() == []

    assert twice.digests() == before
    assert twice.run(json_call("sqs", "DeleteMessage", QueueUrl=url, ReceiptHandle=handle)).status


def test_a_read_is_no_record(twice: Twice) -> None:
    """What only reads is not written down."""
    twice.json("sqs", "CreateQueue", QueueName="q")
    twice.json("sqs", "ListQueues")

    assert twice.log.kinds == [CALL]


def test_a_read_shows_no_earlier_time_than_a_write(
    twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's clock was set back: a read has the time of what was written, and no pins else."""
    seen: list[int] = []
    find = dispatch.find_handler

    def looking(call: Call) -> Any:
        seen.append(time.time_ns() // 1000)
        return find(call)

    monkeypatch.setattr(dispatch, "find_handler", looking)
    twice.json("sqs", "ListQueues")
    ahead = time.time_ns() // 1000 + 3_600_000_000
    monkeypatch.setattr(CLOCK, "last_us", ahead)
    twice.json("sqs", "ListQueues")

    assert seen[0] < ahead < seen[1] < ahead + 1_000_000
    assert twice.log.kinds == []


def test_what_came_through_a_door_is_handed_back(twice: Twice) -> None:
    """A key made by OpenSSL is the same key after replay."""
    made = twice.json("kms", "CreateKey", KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    name = made["KeyMetadata"]["KeyId"]
    public = twice.json("kms", "GetPublicKey", KeyId=name)["PublicKey"]

    assert twice.replay() == []

    assert twice.json("kms", "GetPublicKey", KeyId=name)["PublicKey"] == public


def test_a_call_that_failed_fails_again(twice: Twice) -> None:
    """An error is an answer: what the call changed before it is there again."""
    with pytest.raises(Exception):  # noqa: B017 - whatever moto did not expect
        twice.run(json_call("dynamodb", "CreateTable", TableName=7))

    assert twice.replay() == []


def test_a_divergence_names_call_and_stores(twice: Twice) -> None:
    """A call that answers otherwise is told, with both digests and what it touched."""
    twice.json("sqs", "CreateQueue", QueueName="q")
    kind, payload = twice.log.records[0]
    twice.log.records[0] = kind, payload.replace(b"QueueName", b"QueueNome")

    (found,) = twice.replay()

    assert (found.call, found.stores) == ("sqs CreateQueue", {key("sqs")})
    assert found.expected != found.found


def test_a_call_that_waits_is_written_down_in_parts(
    twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it changed before the wait, and the rest, are images; others come between."""
    twice.json("sqs", "CreateQueue", QueueName="first")
    from moto.sqs.models import SQSBackend

    create = SQSBackend.create_queue

    def slow(store: Any, name: str, *arguments: Any, **named: Any) -> Any:
        queue = create(store, name, *arguments, **named)
        with waiting():
            between()
        queue.waited = True
        return queue

    def between() -> None:
        monkeypatch.setattr(SQSBackend, "create_queue", create)
        twice.json("sqs", "CreateQueue", QueueName="between")

    monkeypatch.setattr(SQSBackend, "create_queue", slow)
    twice.json("sqs", "CreateQueue", QueueName="slow")
    before = twice.digests()

    assert twice.log.kinds == [CALL, IMAGES, CALL, IMAGES]
    assert twice.replay() == []
    assert twice.digests() == before


def test_a_thread_is_written_down_and_what_ran_is_ended_last(twice: Twice, moto: Any) -> None:
    """An execution that ran when the log ends is aborted once, by recovery itself."""
    machine = twice.json(
        "stepfunctions", "CreateStateMachine", name="m", definition=WAITING, roleArn=ROLE
    )["stateMachineArn"]
    execution = twice.json("stepfunctions", "StartExecution", stateMachineArn=machine)
    live = moto.store("stepfunctions").describe_execution(execution["executionArn"])
    others_run(lambda: len(live.to_history_output()["events"]) > 1)

    assert twice.replay() == []

    assert twice.changed == {key("stepfunctions")}
    found = twice.json("stepfunctions", "DescribeExecution", executionArn=execution["executionArn"])
    assert found["status"] == "ABORTED"


def test_images_keep_objects_one(twice: Twice, moto: Any) -> None:
    """An object that two stores hold is one after its store's image was installed."""
    twice.run(form_call("ec2", "CreateVpc", CidrBlock="10.7.0.0/16"))
    table = {
        "TemplateBody": json.dumps(
            {"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "q"}}}}
        )
    }
    twice.run(form_call("cloudformation", "CreateStack", StackName="s", **table))
    STORES.touched = set()
    twice.engine.recorder.step({key("sqs")}, "a test")

    assert twice.replay() == []

    stack = next(iter(moto.store("cloudformation").stacks.values()))
    queue = stack.resource_map["Q"]
    assert queue is moto.store("sqs").queues["q"]


def test_a_parked_poll_is_a_record_only_if_it_changed_something(twice: Twice) -> None:
    """An empty attempt is not written down; one that saw a message is."""
    url = twice.json("sqs", "CreateQueue", QueueName="q")["QueueUrl"]
    count = len(twice.log.records)
    poll = json_call("sqs", "ReceiveMessage", QueueUrl=url, WaitTimeSeconds=5)

    with pytest.raises(ParkedError):
        twice.run(poll, may_park=True)

    assert len(twice.log.records) == count


def test_a_full_disk_refuses_writes_and_serves_reads(twice: Twice) -> None:
    """A write is refused before it runs; a read is answered."""
    twice.json("sqs", "CreateQueue", QueueName="q")
    twice.log.has_room = False

    with pytest.raises(NoRoomError):
        twice.json("sqs", "CreateQueue", QueueName="other")

    assert len(twice.json("sqs", "ListQueues")["QueueUrls"]) == 1


def test_a_call_refused_by_a_quarantined_store_is_not_run_again(twice: Twice) -> None:
    """Once its store is repaired, replay does not do what was refused."""
    STORES.quarantined[key("sqs")] = "damaged"

    with pytest.raises(QuarantinedError):
        twice.run(json_call("sqs", "CreateQueue", QueueName="q"))

    assert CALL not in twice.log.kinds
    STORES.quarantined.clear()


def test_a_change_that_cannot_be_captured_is_told(
    twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store whose image cannot be written is named, in the record and to who asks."""
    twice.json("sqs", "CreateQueue", QueueName="q")
    STORES.find(key("sqs")).queues["q"].odd = open("/dev/null")  # noqa: SIM115 - no state

    twice.engine.recorder.step({key("sqs")}, "a test")

    assert twice.lost == [key("sqs")]
    (store, reason), *_ = decode_images(twice.log.records[-1][1], path=PATH).lost
    assert store == key("sqs")
    assert "odd" in reason
    STORES.find(key("sqs")).queues["q"].odd.close()


def test_the_same_image_is_not_written_twice(twice: Twice) -> None:
    """A step that changed nothing since the last one is no record."""
    twice.json("sqs", "CreateQueue", QueueName="q")
    for _ in range(3):
        twice.engine.recorder.step({key("sqs")}, "a test")

    assert twice.log.kinds == [CALL, IMAGES]


def test_nothing_is_recorded_after_a_stop(twice: Twice) -> None:
    """Once recording has stopped, neither calls nor waits write anything."""
    twice.engine.stop_recording()
    twice.json("sqs", "CreateQueue", QueueName="q")
    with waiting():
        pass

    assert twice.log.records == []
    assert lock.before_wait is lock.nothing


def test_a_store_that_points_to_a_dropped_one_changes_the_loaded_one(twice: Twice) -> None:
    """A call that reaches a store without a look-up is replayed into its image."""
    twice.run(form_call("autoscaling", "CreateLaunchConfiguration", **LAUNCH))
    twice.run(form_call("autoscaling", "CreateAutoScalingGroup", **GROUP))
    twice.engine.recorder.step({key("ec2")}, "a test")
    capacity = {"AutoScalingGroupName": "g", "DesiredCapacity": "2"}
    twice.run(form_call("autoscaling", "SetDesiredCapacity", **capacity))

    assert twice.replay() == []

    instances = twice.run(form_call("ec2", "DescribeInstances")).body
    assert instances.count(b"<instanceId>") == 2


LAUNCH = {
    "LaunchConfigurationName": "l",
    "ImageId": "ami-12c6146b",
    "InstanceType": "t2.micro",
}
GROUP = {
    "AutoScalingGroupName": "g",
    "LaunchConfigurationName": "l",
    "MinSize": "0",
    "MaxSize": "4",
    "DesiredCapacity": "0",
    "AvailabilityZones.member.1": "us-east-1a",
}


def test_what_cannot_be_ended_is_kept_and_told(
    twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revival that fails costs no store what was replayed."""
    twice.json("sqs", "CreateQueue", QueueName="q")

    def fail(where: StoreKey, _: Any) -> bool:
        if where.module == "sqs":
            raise RuntimeError("a mistake of moto's")
        return False

    monkeypatch.setattr("perdure.engine.replaying.runtimes.revive", fail)
    assert twice.replay() == []

    assert twice.troubles.keys() == {key("sqs")}
    assert len(twice.json("sqs", "ListQueues")["QueueUrls"]) == 1


def spoil_an_image(twice: Twice, **changes: Any) -> None:
    """Let the last record be an after-image of SQS whose graph has these fields."""
    twice.json("sqs", "CreateQueue", QueueName="q")
    twice.engine.recorder.step({key("sqs")}, "a test")
    kind, payload = twice.log.records[-1]
    found = decode_images(payload, path=PATH)
    ((where, data), *others) = found.stores
    state = decode(data, path=PATH)
    graph = replace(state.graph, **changes)
    spoilt = replace(found, stores=((where, encode(replace(state, graph=graph))), *others))
    twice.log.records[-1] = kind, b"".join(encode_images(spoilt))


def test_an_image_that_cannot_be_loaded_ends_the_recovery(twice: Twice) -> None:
    """Its store's file is older: nothing safe is left to go on with."""
    spoil_an_image(twice, payload=b"\x80\x05K\x01.")

    with pytest.raises(LoadError, match="its after-image"):
        twice.replay()


def test_an_image_whose_body_is_gone_is_damage(twice: Twice, tmp_path: Path) -> None:
    """Told before anything is installed, by the blob's path, and not as a disk that fails."""
    spoil_an_image(twice, blobs=(Blob("ab" * 32, 5),))

    BLOBS.store = BlobStore(tmp_path)
    try:
        with pytest.raises(CorruptionError, match="abab"):
            twice.replay()
    finally:
        BLOBS.store = None


def test_a_call_that_failed_at_the_disk_is_not_run_again(
    twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the disk is mended it would answer otherwise: that is no divergence."""

    def damaged(*_: Any, **__: Any) -> Answer:
        STORES.touch(key("sqs"))
        raise CorruptionError(PATH, "blob", expected="5 bytes", found="none")

    twice.json("sqs", "CreateQueue", QueueName="q")
    monkeypatch.setattr(recording, "attempt", damaged)
    with pytest.raises(CorruptionError):
        twice.json("sqs", "DeleteQueue", QueueUrl="q")
    monkeypatch.undo()

    assert twice.log.kinds == [CALL, IMAGES]
    assert twice.replay() == []


def test_an_image_is_written_again_behind_a_cut(twice: Twice) -> None:
    """Replay starts at the cut: what a record before it said is said again."""
    twice.json("sqs", "CreateQueue", QueueName="q")
    twice.engine.recorder.step({key("sqs")}, "a test")
    twice.engine.recorder.forget_images()
    twice.engine.recorder.step({key("sqs")}, "a test")

    assert twice.log.kinds == [CALL, IMAGES, IMAGES]


def test_an_administration_that_fails_in_its_middle_is_recorded(
    twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it changed before it failed is state, and so in the journal."""

    def fail() -> dict[str, Any]:
        STORES.touch(key("sqs"))
        raise RuntimeError("in the middle")

    twice.json("sqs", "CreateQueue", QueueName="q")
    monkeypatch.setitem(developer._ACTIONS, "sqs.fail", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        developer.administer(twice.engine, "sqs.fail", {})

    assert twice.log.kinds == [CALL, IMAGES]


def test_a_look_writes_down_what_a_load_ended(twice: Twice) -> None:
    """A read that loads a store in which something ran records its end before it is shown."""

    def read() -> str:
        STORES.touch(key("sqs"))
        STORES.revived = True
        return "seen"

    twice.json("sqs", "CreateQueue", QueueName="q")

    assert developer.look(twice.engine, read) == "seen"
    assert (twice.log.kinds, STORES.revived) == ([CALL, IMAGES], False)
