"""One server is killed again and again, its twin never: both answer alike at every step.

Ids, times and random values of two servers differ, so what a caller can name is compared:
status, error code, names, values, counts and order.  Each example acts in an account of
its own, on the same two servers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tests.soak.settings import settings as server_settings

pytestmark = pytest.mark.timeout(240)
LONG = 30000  # seconds a received message stays hidden
BOUNDS = settings(
    max_examples=6,
    stateful_step_count=30,
    deadline=None,  # a start takes a second
    phases=[Phase.generate],  # a smaller example would take as long
    suppress_health_check=list(HealthCheck),
)
ENDS_MAX = 3  # an example; Hypothesis would choose to do little else
ACCOUNTS = itertools.count(1)


class Side:
    """One server as the example's account sees it, and what only this one said."""

    def __init__(self, server: Any, account: str) -> None:
        self.server, self.account = server, account
        self.handles: dict[str, list[str]] = {}

    def aws(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        return getattr(self.server.client(service, key=self.account), operation)(**parameters)

    def queue(self, name: str) -> dict[str, str]:
        return {"QueueUrl": f"{self.server.url}/{self.account}/{name}"}

    def arn(self, service: str, name: str) -> str:
        return f"arn:aws:{service}:us-east-1:{self.account}:{name}"

    def said(self, act: Callable[[Side, str, str], Any], name: str, value: str) -> Any:
        """What is to be the same on both sides."""
        try:
            return act(self, name, value)
        except ClientError as error:
            refused = error.response
        status = refused["ResponseMetadata"]["HTTPStatusCode"]
        assert status < 500, refused
        return status, refused["Error"]["Code"]


# --------------------------------------- what may be done: a side, a name, a value


def create_queue(side: Side, name: str, value: str) -> Any:
    side.aws("sqs", "create_queue", QueueName=name, Attributes={"VisibilityTimeout": str(LONG)})


def delete_queue(side: Side, name: str, value: str) -> Any:
    side.aws("sqs", "delete_queue", **side.queue(name))


def send(side: Side, name: str, value: str) -> Any:
    attribute = {"DataType": "String", "StringValue": value}
    return side.aws(
        "sqs",
        "send_message",
        **side.queue(name),
        MessageBody=value,
        MessageAttributes={"a": attribute},
    )["MD5OfMessageBody"]


def receive(side: Side, name: str, value: str, **more: Any) -> Any:
    got = side.aws(
        "sqs", "receive_message", **side.queue(name), MessageAttributeNames=["All"], **more
    ).get("Messages", [])
    side.handles.setdefault(name, []).extend(message["ReceiptHandle"] for message in got)
    return [(m["Body"], m["MD5OfBody"], m.get("MessageAttributes")) for m in got]


def look(side: Side, name: str, value: str) -> Any:
    return receive(side, name, value, VisibilityTimeout=0, MaxNumberOfMessages=10)


def delete_message(side: Side, name: str, value: str) -> Any:
    handles = side.handles.get(name)
    handle = handles.pop() if handles else "none"
    side.aws("sqs", "delete_message", **side.queue(name), ReceiptHandle=handle)


def count_messages(side: Side, name: str, value: str) -> Any:
    told = side.aws("sqs", "get_queue_attributes", **side.queue(name), AttributeNames=["All"])
    numbers = told["Attributes"].items()
    return {key: number for key, number in numbers if key.startswith("ApproximateNumber")}


def list_queues(side: Side, name: str, value: str) -> Any:
    return [url.rpartition("/")[2] for url in side.aws("sqs", "list_queues").get("QueueUrls", [])]


def create_topic(side: Side, name: str, value: str) -> Any:
    return side.aws("sns", "create_topic", Name=name)["TopicArn"]


def subscribe(side: Side, name: str, value: str) -> Any:
    where = {"TopicArn": side.arn("sns", name), "Endpoint": side.arn("sqs", name)}
    side.aws("sns", "subscribe", **where, Protocol="sqs", Attributes={"RawMessageDelivery": "true"})


def publish(side: Side, name: str, value: str) -> Any:
    side.aws("sns", "publish", TopicArn=side.arn("sns", name), Message=value)


def list_subscriptions(side: Side, name: str, value: str) -> Any:
    rows = side.aws("sns", "list_subscriptions")["Subscriptions"]
    return [(row["TopicArn"], row["Endpoint"]) for row in rows]


def create_table(side: Side, name: str, value: str) -> Any:
    return side.aws(
        "dynamodb",
        "create_table",
        TableName=f"table-{name}",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]["TableStatus"]


def put_item(side: Side, name: str, value: str, **more: Any) -> Any:
    item = {"id": {"S": value[:1]}, "value": {"S": value}}
    side.aws("dynamodb", "put_item", TableName=f"table-{name}", Item=item, **more)


def put_new_item(side: Side, name: str, value: str) -> Any:
    put_item(side, name, value, ConditionExpression="attribute_not_exists(id)")


def add_to_item(side: Side, name: str, value: str) -> Any:
    return side.aws(
        "dynamodb",
        "update_item",
        TableName=f"table-{name}",
        Key={"id": {"S": value[:1]}},
        UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="ALL_NEW",
    )["Attributes"]


def delete_item(side: Side, name: str, value: str) -> Any:
    where = {"TableName": f"table-{name}", "Key": {"id": {"S": value[:1]}}}
    return side.aws("dynamodb", "delete_item", **where, ReturnValues="ALL_OLD").get("Attributes")


def scan(side: Side, name: str, value: str) -> Any:
    return side.aws("dynamodb", "scan", TableName=f"table-{name}")["Items"]


def create_bucket(side: Side, name: str, value: str) -> Any:
    side.aws("s3", "create_bucket", Bucket=bucket(side, name))


def bucket(side: Side, name: str) -> str:
    return f"bucket-{name}-{side.account}"  # bucket names are of all accounts together


def enable_versioning(side: Side, name: str, value: str) -> Any:
    status = {"Status": "Enabled"}
    where = {"Bucket": bucket(side, name)}
    side.aws("s3", "put_bucket_versioning", **where, VersioningConfiguration=status)


def put_object(side: Side, name: str, value: str) -> Any:
    where = {"Bucket": bucket(side, name), "Key": value[:1]}
    return side.aws("s3", "put_object", **where, Body=value.encode() * 50)["ETag"]


def get_object(side: Side, name: str, value: str) -> Any:
    got = side.aws("s3", "get_object", Bucket=bucket(side, name), Key=value[:1])
    return got["ETag"], got["Body"].read()


def delete_object(side: Side, name: str, value: str) -> Any:
    where = {"Bucket": bucket(side, name), "Key": value[:1]}
    return side.aws("s3", "delete_object", **where).get("DeleteMarker")


def list_objects(side: Side, name: str, value: str) -> Any:
    listed = side.aws("s3", "list_object_versions", Bucket=bucket(side, name))
    versions = [(v["Key"], v["ETag"], v["IsLatest"]) for v in listed.get("Versions", [])]
    return versions, [(m["Key"], m["IsLatest"]) for m in listed.get("DeleteMarkers", [])]


def put_parameter(side: Side, name: str, value: str) -> Any:
    where = {"Name": f"/{name}/{value[:1]}", "Value": value, "Type": "String"}
    return side.aws("ssm", "put_parameter", **where, Overwrite=len(value) % 2 == 0)["Version"]


def delete_parameter(side: Side, name: str, value: str) -> Any:
    side.aws("ssm", "delete_parameter", Name=f"/{name}/{value[:1]}")


def list_parameters(side: Side, name: str, value: str) -> Any:
    rows = side.aws("ssm", "get_parameters_by_path", Path=f"/{name}")["Parameters"]
    return [(row["Name"], row["Value"], row["Version"]) for row in rows]


def create_user(side: Side, name: str, value: str) -> Any:
    side.aws("iam", "create_user", UserName=name, Tags=[{"Key": "value", "Value": value}])


def create_key(side: Side, name: str, value: str) -> Any:
    return side.aws("iam", "create_access_key", UserName=name)["AccessKey"]["Status"]


def put_user_policy(side: Side, name: str, value: str) -> Any:
    document = '{"Version": "2012-10-17", "Statement": []}'
    where = {"UserName": name, "PolicyName": value[:1]}
    side.aws("iam", "put_user_policy", **where, PolicyDocument=document)


def delete_user(side: Side, name: str, value: str) -> Any:
    side.aws("iam", "delete_user", UserName=name)


def list_users(side: Side, name: str, value: str) -> Any:
    return [user["UserName"] for user in side.aws("iam", "list_users")["Users"]]


def list_of_user(side: Side, name: str, value: str) -> Any:
    keys = side.aws("iam", "list_access_keys", UserName=name)["AccessKeyMetadata"]
    names = side.aws("iam", "list_user_policies", UserName=name)["PolicyNames"]
    return len(keys), names, side.aws("iam", "get_user", UserName=name)["User"].get("Tags")


# Twice what most examples need before anything else is possible.
SQS = [create_queue, create_queue, send, send, receive, look, delete_message, delete_queue]
SNS = [create_topic, create_topic, subscribe, subscribe, publish, publish, look]
DYNAMODB = [create_table, create_table, put_item, put_new_item, add_to_item, delete_item, scan]
S3 = [create_bucket, create_bucket, put_object, get_object, delete_object, enable_versioning]
SSM = [put_parameter, put_parameter, delete_parameter, list_parameters]
IAM = [create_user, create_user, create_key, put_user_policy, delete_user, list_of_user]
READS = [
    *(list_queues, count_messages, look, list_subscriptions, scan, list_objects),
    *(list_parameters, list_users, list_of_user),
]
NAMES = st.sampled_from(["a", "b"])
VALUES = st.text(alphabet="xyz", min_size=1, max_size=4)
ENDS = st.sampled_from(["kill", "kill", "kill twice", "save and kill", "stop"])


class Twins(RuleBasedStateMachine):
    """Calls on both servers; kills and stops of one of them."""

    def __init__(self, killed: Any, twin: Any) -> None:
        super().__init__()
        account = f"{next(ACCOUNTS):012d}"
        self.sides = [Side(server, account) for server in (killed, twin)]
        self.server = killed
        self.ends = 0

    def _alike(self, act: Callable[..., Any], name: str, value: str) -> None:
        killed, twin = (side.said(act, name, value) for side in self.sides)
        assert killed == twin, (act.__name__, name, value)

    @rule(act=st.sampled_from(SQS), name=NAMES, value=VALUES)
    def sqs(self, act: Any, name: str, value: str) -> None:
        self._alike(act, name, value)

    @rule(act=st.sampled_from(SNS), name=NAMES, value=VALUES)
    def sns(self, act: Any, name: str, value: str) -> None:
        self._alike(act, name, value)

    @rule(act=st.sampled_from(DYNAMODB), name=NAMES, value=VALUES)
    def dynamodb(self, act: Any, name: str, value: str) -> None:
        self._alike(act, name, value)

    @rule(act=st.sampled_from(S3), name=NAMES, value=VALUES)
    def s3(self, act: Any, name: str, value: str) -> None:
        self._alike(act, name, value)

    @rule(act=st.sampled_from(SSM), name=NAMES, value=VALUES)
    def ssm(self, act: Any, name: str, value: str) -> None:
        self._alike(act, name, value)

    @rule(act=st.sampled_from(IAM), name=NAMES, value=VALUES)
    def iam(self, act: Any, name: str, value: str) -> None:
        self._alike(act, name, value)

    @precondition(lambda self: self.ends < ENDS_MAX)
    @rule(how=ENDS)
    def end_and_start(self, how: str) -> None:
        self.ends += 1
        if how == "save and kill":
            self.server.save()
        if how == "stop":
            assert self.server.stop() == 0
        else:
            self.server.kill()
        if how == "kill twice":
            self.server.start()
            self.server.kill()
        self.server.start()

    def teardown(self) -> None:
        """After one more kill all reads are alike."""
        self.end_and_start("kill")
        for act in READS:
            for name in ("a", "b"):
                self._alike(act, name, "x")


def test_a_killed_server_answers_like_its_twin(start: Any, tmp_path: Path) -> None:
    """Whatever is called, killed and stopped: both servers give the same answers."""
    killed, twin = start(tmp_path / "state", **server_settings()), start()
    run_state_machine_as_test(lambda: Twins(killed, twin), settings=BOUNDS)


def test_a_lost_write_is_noticed(start: Any, tmp_path: Path) -> None:
    """A server that writes only at a stop is told from its twin."""
    lossy = {**server_settings(), "SNAPSHOT_SAVE_STRATEGY": "ON_SHUTDOWN"}
    twins = Twins(start(tmp_path / "state", **lossy), start())
    twins.ssm(put_parameter, "a", "x")
    twins.end_and_start("stop")
    twins.ssm(list_parameters, "a", "x")
    twins.ssm(put_parameter, "a", "xy")
    twins.end_and_start("kill")
    with pytest.raises(AssertionError, match="list_parameters"):
        twins.ssm(list_parameters, "a", "x")
