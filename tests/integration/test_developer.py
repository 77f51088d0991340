"""LocalStack's developer endpoints on a real server, with a restart in the middle."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

import boto3
import pytest
from botocore.config import Config

ACCOUNT = "000000000000"
NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


@pytest.fixture(scope="module")
def server(start_in_module, tmp_path_factory):
    """One server with persistence; each test has queues and names of its own."""
    return start_in_module(tmp_path_factory.mktemp("state"), SNAPSHOT_FLUSH_INTERVAL="86400")


def ask(server, path, method="GET", body=None, **headers):
    """Body of an answer that must be 200 or 204."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(server.url + path, body, named, method=method)
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        assert answer.status in (200, 204)
        return answer.read()


def ask_json(server, path, **query):
    return json.loads(ask(server, f"{path}?{urlencode(query)}", accept="application/json"))


def inspector(server):
    """A client whose ReceiveMessage looks without receiving."""
    return boto3.client(
        "sqs",
        region_name="us-east-1",
        endpoint_url=f"{server.url}/_aws/sqs/messages",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_messages_are_looked_at_not_received(server):
    """By URL or path, as XML or JSON, with an SDK or without: the messages are still there."""
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="looked-at")["QueueUrl"]
    for text in ("one", 'two <&"'):
        sqs.send_message(
            QueueUrl=url,
            MessageBody=text,
            MessageAttributes={"kind": {"DataType": "String", "StringValue": "test"}},
        )

    root = ET.fromstring(ask(server, f"/_aws/sqs/messages?QueueUrl={quote(url)}"))
    assert [m.text for m in root.iter(f"{NAMESPACE}Body")] == ["one", 'two <&"']
    path = f"/_aws/sqs/messages/us-east-1/{ACCOUNT}/looked-at"
    assert ask(server, path).startswith(b"<?xml")
    result = ask_json(server, path)["ReceiveMessageResponse"]["ReceiveMessageResult"]
    assert [m["Body"] for m in result["Message"]] == ["one", 'two <&"']
    assert {"Name": "ApproximateReceiveCount", "Value": "0"} in result["Message"][0]["Attribute"]
    posted = ask(server, "/_aws/sqs/messages", "POST", urlencode({"QueueUrl": url}).encode())
    assert posted.count(b"<MessageId>") == 2

    found = inspector(server).receive_message(QueueUrl=url)["Messages"]
    assert [m["Body"] for m in found] == ["one", 'two <&"']
    assert found[0]["MessageAttributes"]["kind"]["StringValue"] == "test"
    received = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert [m["Attributes"]["ApproximateReceiveCount"] for m in received] == ["1", "1"]

    assert ask_json(server, path)["ReceiveMessageResponse"]["ReceiveMessageResult"] is None
    hidden = ask_json(server, path, ShowInvisible="true")
    assert str(hidden).count("IsVisible") == 2

    server.restart("kill")
    assert str(ask_json(server, path, ShowInvisible="1")).count("IsVisible") == 2


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", b"NonExistentQueue"),
        (f"QueueUrl=http://localhost/{ACCOUNT}/nonesuch", b"NonExistentQueue"),
        ("QueueUrl=nonsense", b"InvalidAddress"),
        (f"QueueUrl=http://localhost/{ACCOUNT}/q&Action=SendMessage", b"InvalidRequest"),
        ("QueueUrl=http://localhost/../../x/..%2f", b"InvalidAddress"),
        ("QueueUrl=http://localhost/%00/%ff", b"NonExistentQueue"),
    ],
)
def test_no_such_queue(server, query, code):
    """What names no queue is the client's error, in its protocol."""
    status, body = server.ask(f"/_aws/sqs/messages?{query}")
    assert status in (400, 404)
    assert code in body


def test_no_such_queue_for_an_sdk(server):
    """boto3 raises the exception of a queue that is not there, and of another operation."""
    client = inspector(server)
    with pytest.raises(client.exceptions.QueueDoesNotExist):
        client.receive_message(QueueUrl=f"http://localhost/{ACCOUNT}/nonesuch")
    with pytest.raises(client.exceptions.ClientError, match="only accepts ReceiveMessage"):
        client.list_queues()


def test_mails_outlive_a_restart_until_they_are_deleted(server):
    """Text and HTML apart, of both APIs, filtered; a deletion outlives a restart too."""
    ses = server.client("ses")
    for source in ("a@example.com", "b@example.com"):
        ses.verify_email_identity(EmailAddress=source)
    to = {"ToAddresses": ["c@example.com"]}
    body = {"Text": {"Data": "text"}, "Html": {"Data": "<p>html</p>"}}
    message = {"Subject": {"Data": "hello"}, "Body": body}
    first = ses.send_email(Source="a@example.com", Destination=to, Message=message)["MessageId"]
    second = server.client("sesv2").send_email(
        FromEmailAddress="b@example.com",
        Destination=to,
        Content={"Simple": {"Subject": {"Data": "v2"}, "Body": {"Html": {"Data": "<b>"}}}},
    )["MessageId"]
    raw = {"Data": b"Subject: raw\n\ntext"}
    ses.send_raw_email(Source="b@example.com", Destinations=["c@example.com"], RawMessage=raw)
    server.restart("kill")

    found = ask_json(server, "/_aws/ses")["messages"]
    assert len(found) == 3
    by_id = {mail["Id"]: mail for mail in found}
    assert by_id[first]["Body"] == {"text_part": "text", "html_part": "<p>html</p>"}
    assert by_id[second]["Body"] == {"text_part": None, "html_part": "<b>"}
    assert ask_json(server, "/_aws/ses", id=first)["messages"] == [by_id[first]]
    assert len(ask_json(server, "/_aws/ses", email="b@example.com")["messages"]) == 2

    assert ask(server, f"/_aws/ses?id={first}", "DELETE") == b""
    server.restart()
    assert first not in {m["Id"] for m in ask_json(server, "/_aws/ses")["messages"]}
    ask(server, "/_aws/ses", "DELETE")
    assert ask_json(server, "/_aws/ses") == {"messages": []}


def test_pushes_and_texts(server):
    """What SNS sent to a device or a number is shown where LocalStack shows it, and deleted."""
    sns = server.client("sns", region="eu-west-1")
    application = sns.create_platform_application(Name="a", Platform="GCM", Attributes={})
    arn = sns.create_platform_endpoint(
        PlatformApplicationArn=application["PlatformApplicationArn"], Token="t"
    )["EndpointArn"]
    sns.publish(TargetArn=arn, Message="to the device")
    sns.publish(PhoneNumber="+15550100", Message="to the number")
    server.restart("kill")

    pushes, texts = "/_aws/sns/platform-endpoint-messages", "/_aws/sns/sms-messages"
    found = ask_json(server, pushes, endpointArn=arn)
    assert found["region"] == "eu-west-1"
    assert found["platform_endpoint_messages"][arn][0]["Message"] == "to the device"
    assert ask_json(server, pushes) == {"platform_endpoint_messages": {}, "region": "us-east-1"}
    found = ask_json(server, texts, region="eu-west-1")["sms_messages"]
    assert found["+15550100"][0]["Message"] == "to the number"

    ask(server, f"{pushes}?endpointArn={quote(arn)}", "DELETE")
    ask(server, f"{texts}?region=eu-west-1", "DELETE")
    server.restart("kill")
    assert ask_json(server, pushes, region="eu-west-1")["platform_endpoint_messages"] == {}
    assert ask_json(server, texts, region="eu-west-1")["sms_messages"] == {}
    assert server.ask(f"{pushes}?endpointArn=nonsense")[0] == 400


def test_expired_items(start, tmp_path):
    """Expired items go at once, and with ON_REQUEST are gone after a crash right behind it."""
    server = start(tmp_path / "state", SNAPSHOT_SAVE_STRATEGY="ON_REQUEST")
    table = server.client("dynamodb")
    table.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "h", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "h", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    spec = {"Enabled": True, "AttributeName": "until"}
    table.update_time_to_live(TableName="t", TimeToLiveSpecification=spec)
    for name, until in (("old", time.time() - 60), ("new", time.time() + 600)):
        table.put_item(TableName="t", Item={"h": {"S": name}, "until": {"N": str(int(until))}})

    assert json.loads(ask(server, "/_aws/dynamodb/expired", "DELETE")) == {"ExpiredItems": 1}
    server.kill()
    server.start()
    items = server.client("dynamodb").scan(TableName="t")["Items"]
    assert [item["h"]["S"] for item in items] == ["new"]


def test_unknown_paths(server):
    """An internal path there is not is a 404 without a body; moto's own interface says why."""
    for path in (
        "/_localstack/plugins",
        "/_localstack/",
        "/_localstack/init/nonesuch",
        "/_aws/ses/x",
        "/_aws/dynamodb/x",
    ):
        assert server.ask(path) == (404, b""), path
    for path in ("/moto-api", "/moto-api/reset", "/moto-api/data.json"):
        for method in ("GET", "POST"):
            status, body = server.ask(path, method=method)
            assert status == 404
            assert b"/_localstack/state/reset" in body
    s3 = server.client("s3")
    s3.create_bucket(Bucket="moto-api")
    s3.put_object(Bucket="moto-api", Key="reset", Body=b"an object")
    assert s3.get_object(Bucket="moto-api", Key="reset")["Body"].read() == b"an object"


def test_pages_of_other_sites_may_not_delete(server):
    """A browser's page of another site gets 403 for what would change state."""
    request = Request(server.url + "/_aws/ses", headers={"Origin": "http://evil"}, method="DELETE")
    with pytest.raises(OSError, match="403"):
        build_opener(ProxyHandler({})).open(request, timeout=10)


def test_health_as_localstack_answers_it(server):
    """HEAD, PUT and POST of the health document have LocalStack's statuses and bodies."""
    assert ask(server, "/_localstack/health", "HEAD") == b""
    assert json.loads(ask(server, "/_localstack/health", "PUT", b'{"a:b":1}')) == {"status": "OK"}
    assert server.health()["a"] == {"b": 1}
    assert server.ask("/_localstack/health", {"action": "dance"})[0] == 400
    info = json.loads(ask(server, "/_localstack/info"))
    assert time.strptime(info["server_time_utc"], "%Y-%m-%dT%H:%M:%S")


def test_kill_and_restart_by_health(start, tmp_path):
    """POST restart begins anew with the state; POST kill ends the process with exit code 0."""
    server = start(tmp_path / "state")
    server.client("sqs").create_queue(QueueName="q")
    session = json.loads(ask(server, "/_localstack/info"))["session_id"]
    assert server.ask("/_localstack/health", {"action": "restart"}) == (200, b"ok")

    def is_new():
        try:
            body = ask(server, "/_localstack/info")
        except OSError:
            return False
        return json.loads(body)["session_id"] != session

    server.wait_until(is_new, "restarted")
    assert len(server.client("sqs").list_queues()["QueueUrls"]) == 1
    assert server.ask("/_localstack/health", {"action": "kill"}) == (200, b"ok")
    assert server.process.wait(15) == 0
