"""What the gateway does with HTTP: protocols, errors, long polls, odd clients."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import http.server
import json
import resource
import socket
import threading
import time
import zlib

import pytest
from botocore import parsers
from botocore.exceptions import ClientError

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def server(start_in_module):
    """One server, without persistence, for all tests of this file."""
    return start_in_module()


def signature(service, *, region="us-east-1", key="test"):
    """What the gateway reads from a signature; it checks none."""
    return (
        f"AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request, "
        "SignedHeaders=host, Signature=0"
    )


def ask(server, method, path, body=None, **headers):
    """Status, headers and body of one plain HTTP request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


@contextlib.contextmanager
def dialogue(server, data=b""):
    """A raw connection; ``data`` is sent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(data)
        yield connection


def answer_of(connection):
    """Status and body of the next answer on a raw connection."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


# ------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("translate", "list_terminologies"),
        ("cloudsearch", "describe_domains"),
        ("wellarchitected", "list_workloads"),
    ],
    ids=["json", "query", "rest-json"],
)
def test_unknown_service(server, service, call):
    """A service Perdure cannot run is a ClientError that names it, whatever its protocol."""
    with pytest.raises(ClientError, match=f"UnknownService.*{service}") as refused:
        getattr(server.client(service), call)()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


UNKNOWN_OPERATIONS = {
    "json": ("dynamodb", "POST", "/", b"{}", {"X_Amz_Target": "DynamoDB_20120810.Nonesuch"}),
    "query": ("iam", "POST", "/", b"Action=Nonesuch&Version=2010-05-08", {"Content_Type": FORM}),
    "ec2": ("ec2", "POST", "/", b"Action=Nonesuch&Version=2016-11-15", {"Content_Type": FORM}),
    "rest-json": ("lambda", "GET", "/2015-03-31/Nonesuch", None, {}),
    "rest-xml": ("cloudfront", "GET", "/2020-05-31/Nonesuch", None, {}),
}


@pytest.mark.parametrize("protocol", UNKNOWN_OPERATIONS)
def test_unknown_operation(server, protocol):
    """An operation nobody knows is the client's error, in the shape its SDK reads."""
    service, method, path, body, headers = UNKNOWN_OPERATIONS[protocol]
    status, found, text = ask(
        server, method, path, body, Authorization=signature(service), **headers
    )
    assert status == 404
    assert b"Traceback" not in text
    read = parsers.create_parser(protocol).parse(
        {"status_code": status, "headers": found, "body": text}, None
    )
    assert read["Error"]["Code"] == "UnknownOperationException"
    assert service in read["Error"]["Message"]
    assert "Nonesuch" in read["Error"]["Message"]


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("dynamodb", "ListContributorInsights", {}),
        (
            "iam",
            "AddClientIDToOpenIDConnectProvider",
            {"OpenIDConnectProviderArn": "arn:aws:iam::000000000000:p/x", "ClientID": "x"},
        ),
        ("ec2", "DescribeFpgaImages", {}),
        ("lambda", "GetAccountSettings", {}),
        ("cloudfront", "ListStreamingDistributions", {}),
    ],
    ids=["json", "query", "ec2", "rest-json", "rest-xml"],
)
def test_operation_moto_lacks(server, service, operation, arguments):
    """An operation AWS has and moto has not is a 501 that names it."""
    with pytest.raises(ClientError, match=f"NotImplemented.*{service} {operation}") as refused:
        server.client(service)._make_api_call(operation, arguments)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_error_inside_moto(server):
    """An error inside moto is a 500 in AWS shape; the log has the operation, the body no code."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket="inside")
    s3.put_object(Bucket="inside", Key="k", Body=b"x")
    status, _, text = ask(
        server, "PUT", "/inside/k?tagging", b"no XML", Authorization=signature("s3")
    )
    assert status == 500
    assert b"InternalFailure" in text
    assert b"PutObjectTagging" in text
    assert b"Traceback" not in text
    assert "s3 PutObjectTagging failed inside moto" in server.log


def test_garbage_in_a_body(server):
    """A body that is no JSON, XML or form gets an answer in AWS shape, and no traceback."""
    for service, headers in (
        ("dynamodb", {"X_Amz_Target": "DynamoDB_20120810.ListTables"}),
        ("iam", {"Content_Type": FORM}),
        ("lambda", {}),
    ):
        status, _, text = ask(
            server, "POST", "/", b"\xff\x00{[", Authorization=signature(service), **headers
        )
        assert 400 <= status <= 501, (service, text)
        assert b"Traceback" not in text


# --------------------------------------------------------------- long polls


@contextlib.contextmanager
def running(work):
    """Run something in a thread; its result lands in the list."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    try:
        yield results
    finally:
        thread.join(30)
        assert not thread.is_alive()


def poll(server, url, seconds):
    """A long poll: when it ended, and what it got."""
    client = server.client("sqs", user_agent_extra="poller")
    got = client.receive_message(QueueUrl=url, WaitTimeSeconds=seconds)
    return time.monotonic(), [m["Body"] for m in got.get("Messages", [])]


def test_long_poll_is_woken_by_a_send(server):
    """A waiting receive keeps nobody waiting and has a message 200 ms after it was sent."""
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="woken")["QueueUrl"]
    delays = []
    for _ in range(3):
        with running(lambda: poll(server, url, 10)) as results:
            # While it waits: calls are answered, the same queue's too.
            busy_until = time.monotonic() + 0.5
            while time.monotonic() < busy_until:
                started = time.monotonic()
                sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
                assert time.monotonic() - started < 1
            assert results == []
            sqs.send_message(QueueUrl=url, MessageBody="wake up")
            sent = time.monotonic()
        ended, bodies = results[0]
        assert bodies == ["wake up"]
        delays.append(ended - sent)
    # The best of three: the machine may be busy with other things.
    assert min(delays) < 0.2, delays


def test_empty_long_poll_ends_in_time(server):
    """A poll that nothing arrives for answers empty when its time is up, not before."""
    url = server.client("sqs").create_queue(QueueName="empty")["QueueUrl"]
    started = time.monotonic()
    ended, bodies = poll(server, url, 2)
    assert bodies == []
    assert 2 <= ended - started < 4


def test_poll_is_woken_by_a_topic(server):
    """A waiting receive is woken by what SNS delivers, too."""
    sqs, sns = server.client("sqs"), server.client("sns")
    url = sqs.create_queue(QueueName="subscribed")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    topic = sns.create_topic(Name="waker")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=asked["Attributes"]["QueueArn"])
    with running(lambda: poll(server, url, 10)) as results:
        time.sleep(0.2)  # so that the poll waits; without it the test would still hold
        sns.publish(TopicArn=topic, Message="by topic")
        sent = time.monotonic()
    ended, bodies = results[0]
    assert len(bodies) == 1
    assert ended - sent < 5


def test_many_polls_wait_side_by_side(server):
    """Fifty polls wait at once; one send wakes one of them and the others go on waiting."""
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="crowd")["QueueUrl"]
    body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 3}).encode()
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
        b"Content-Type: application/x-amz-json-1.0\r\n"
        + f"Authorization: {signature('sqs')}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        polls = [stack.enter_context(dialogue(server, head + body)) for _ in range(50)]
        sqs.send_message(QueueUrl=url, MessageBody="one")
        answers = [answer_of(connection) for connection in polls]
    assert {status for status, _ in answers} == {200}
    assert sum(b"one" in body for _, body in answers) == 1
    assert 2.9 < time.monotonic() - started < 10


# ------------------------------------------------------ answers meanwhile


class _Slow(http.server.BaseHTTPRequestHandler):
    """An HTTP endpoint that takes its time."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.server.seconds)
        self.server.meanwhile()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def slow_endpoint():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow) as endpoint:
        endpoint.seconds = 0
        endpoint.meanwhile = lambda: None
        thread = threading.Thread(target=endpoint.serve_forever)
        thread.start()
        yield endpoint
        endpoint.shutdown()
        thread.join()


def assert_health_meanwhile(server, results):
    """Until the other call is done, health answers within a second."""
    slowest, asked = 0.0, 0
    while not results:
        started = time.monotonic()
        server.health(timeout=5)
        slowest, asked = max(slowest, time.monotonic() - started), asked + 1
    assert slowest < 1
    return asked


def test_health_while_http_is_awaited(server, slow_endpoint):
    """Health answers within a second while a publish waits for a slow HTTP endpoint."""
    sns = server.client("sns")
    topic = sns.create_topic(Name="slow")["TopicArn"]
    url = f"http://127.0.0.1:{slow_endpoint.server_port}/"
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=url)
    slow_endpoint.seconds = 5
    started = time.monotonic()
    with running(lambda: sns.publish(TopicArn=topic, Message="m")) as results:
        asked = assert_health_meanwhile(server, results)
    assert asked > 1
    assert time.monotonic() - started > 4


def test_a_web_hook_may_call_back(start, slow_endpoint):
    """Publishing to a web hook that calls this server itself does not wait for ever."""
    server = start()
    sns, sqs = server.client("sns"), server.client("sqs")
    topic = sns.create_topic(Name="back")["TopicArn"]
    for _ in range(5):  # until a publish is known to be short
        sns.publish(TopicArn=topic, Message="m")
    queues = []
    slow_endpoint.meanwhile = lambda: queues.append(
        sqs.create_queue(QueueName=f"back-{len(queues)}")["QueueUrl"]
    )
    url = f"http://127.0.0.1:{slow_endpoint.server_port}/"
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=url)
    queues.clear()
    started = time.monotonic()

    for _ in range(3):
        sns.publish(TopicArn=topic, Message="m")

    assert len(queues) == 3
    assert time.monotonic() - started < 5


def test_a_stop_does_not_wait_for_what_is_outside(start, slow_endpoint, tmp_path):
    """A call that waits for a web hook holds up neither the save nor the end for long."""
    server = start(tmp_path / "state", SNAPSHOT_FLUSH_INTERVAL="86400")
    sns, sqs = server.client("sns"), server.client("sqs")
    topic = sns.create_topic(Name="slow")["TopicArn"]
    url = f"http://127.0.0.1:{slow_endpoint.server_port}/"
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=url)
    sqs.create_queue(QueueName="kept")
    slow_endpoint.seconds = 12
    waits = threading.Event()
    slow_endpoint.meanwhile = waits.set

    def publish():
        with contextlib.suppress(Exception):
            sns.publish(TopicArn=topic, Message="m")

    with running(publish):
        time.sleep(0.5)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 9
        assert not waits.is_set()

    again = server.start().client("sqs")
    assert again.get_queue_url(QueueName="kept")["QueueUrl"].endswith("kept")


def test_health_while_a_stack_is_made(server):
    """Health answers within a second while CloudFormation makes a stack of 300 resources."""
    resources = {
        f"Queue{n}": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"stacked-{n}"}}
        for n in range(300)
    }
    cloudformation = server.client("cloudformation")
    template = json.dumps({"Resources": resources})
    with running(
        lambda: cloudformation.create_stack(StackName="big", TemplateBody=template)
    ) as results:
        assert_health_meanwhile(server, results)
    found = server.client("sqs").get_queue_url(QueueName="stacked-299")
    assert found["QueueUrl"].endswith("stacked-299")


# ---------------------------------------------------------------------- HTTP


@pytest.fixture(scope="module")
def bucket(server):
    """The bucket ``wire``, which raw requests name."""
    server.client("s3").create_bucket(Bucket="wire")


def stored(server, key):
    return server.client("s3").get_object(Bucket="wire", Key=key)["Body"].read()


def put_head(key, *headers):
    lines = [
        f"PUT /wire/{key} HTTP/1.1",
        "Host: localhost",
        f"Authorization: {signature('s3')}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.usefixtures("bucket")
def test_expect_continue(server):
    """A client that waits for 100 Continue gets it, then its answer."""
    head = put_head("expected", "Expect: 100-continue", "Content-Length: 5")
    with dialogue(server, head) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"hello")
        assert answer_of(connection)[0] == 200
    assert stored(server, "expected") == b"hello"


@pytest.mark.usefixtures("bucket")
def test_chunked_transfer(server):
    """A body of unknown length, sent in chunks, is stored whole."""
    with dialogue(server, put_head("chunked", "Transfer-Encoding: chunked")) as connection:
        for part in (b"5\r\nhello\r\n", b"7;x=y\r\n, world\r\n", b"0\r\n\r\n"):
            connection.sendall(part)
        assert answer_of(connection)[0] == 200
    assert stored(server, "chunked") == b"hello, world"


def aws_chunks(*parts, signed, trailer=b""):
    """A body as S3's clients stream it."""
    mark = b";chunk-signature=" + b"0" * 64 if signed else b""
    chunks = [b"%x%s\r\n%s\r\n" % (len(part), mark, part) for part in parts]
    return b"".join(chunks) + b"0" + mark + b"\r\n" + trailer + b"\r\n"


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.mark.parametrize(
    ("sha", "signed", "trailing"),
    [
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", True, False),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", True, True),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", False, True),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_aws_chunked(server, sha, signed, trailing):
    """S3's own chunks leave no trace in the object, and a trailing checksum is kept."""
    data = bytes(range(256)) * 300
    trailer = f"x-amz-checksum-crc32:{crc32(data)}\r\n".encode() if trailing else b""
    body = aws_chunks(data[:65536], data[65536:], signed=signed, trailer=trailer)
    status, _, text = ask(
        server,
        "PUT",
        "/wire/streamed",
        body,
        Authorization=signature("s3"),
        Content_Encoding="aws-chunked",
        x_amz_content_sha256=sha,
        x_amz_decoded_content_length=str(len(data)),
        **({"x_amz_trailer": "x-amz-checksum-crc32"} if trailing else {}),
        **({"x_amz_sdk_checksum_algorithm": "CRC32"} if trailing else {}),
    )
    assert status == 200, text
    found = server.client("s3").get_object(Bucket="wire", Key="streamed", ChecksumMode="ENABLED")
    assert found["Body"].read() == data
    assert found["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert "aws-chunked" not in found.get("ContentEncoding", "")
    if trailing:
        assert found["ChecksumCRC32"] == crc32(data)


GOOD = aws_chunks(b"hello", signed=False)


@pytest.mark.parametrize(
    "body",
    [
        GOOD[:6],
        GOOD[:1],
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX0\r\n\r\n",
        b"fffffffffff\r\nhello\r\n0\r\n\r\n",
        b"4\r\nhell\r\n0\r\n\r\n",
    ],
    ids=["cut in data", "cut in size", "no size", "negative", "no end", "huge", "too little"],
)
@pytest.mark.usefixtures("bucket")
def test_malformed_aws_chunks(server, body):
    """Chunks that are cut short or lie about their size are a 400, and nothing is stored."""
    status, _, text = ask(
        server,
        "PUT",
        "/wire/malformed",
        body,
        Authorization=signature("s3"),
        x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        x_amz_decoded_content_length="5",
    )
    assert (status, b"<Code>IncompleteBody</Code>" in text) == (400, True), text
    with pytest.raises(ClientError, match="NoSuchKey"):
        stored(server, "malformed")


@pytest.mark.usefixtures("bucket")
def test_head_has_no_body(server):
    """HEAD says the length and sends nothing, also for errors, so the connection goes on."""
    server.client("s3").put_object(Bucket="wire", Key="head", Body=b"x" * 1000)

    def head(path):
        return (
            f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {signature('s3')}\r\n\r\n"
        ).encode()

    with dialogue(server) as connection:
        for path, status, length in (
            ("/wire/head", b"200", b"1000"),
            ("/wire/none", b"404", None),
            ("/wire/head", b"200", b"1000"),
        ):
            connection.sendall(head(path))
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            top, _, rest = data.partition(b"\r\n\r\n")
            assert top.startswith(b"HTTP/1.1 " + status)
            assert rest == b""
            if length is not None:
                assert b"content-length: " + length in top.lower()


def test_cors(server):
    """A local page's preflight is allowed and its Origin named; a foreign page gets neither."""
    status, headers, _ = ask(
        server,
        "OPTIONS",
        "/",
        Origin="http://localhost:3000",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="x-amz-target,x-custom",
    )
    assert status in (200, 204)
    assert headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "POST" in headers["access-control-allow-methods"]
    assert "x-custom" in headers["access-control-allow-headers"]
    signed = {"Authorization": signature("sqs"), "X_Amz_Target": "AmazonSQS.ListQueues"}
    _, headers, _ = ask(server, "POST", "/", b"{}", Origin="http://127.0.0.1", **signed)
    assert headers["access-control-allow-origin"] == "http://127.0.0.1"
    _, headers, _ = ask(server, "POST", "/", b"{}", Origin="https://app.example", **signed)
    assert "access-control-allow-origin" not in headers
    reset = "/_localstack/state/reset"
    assert ask(server, "POST", reset, Origin="https://app.example")[0] == 403
    assert "access-control-allow-origin" not in ask(server, "GET", "/wire/none")[1]
    local = "http://localhost:3000"
    for path in ("/_localstack/health", "/_aws/ses"):
        for method in ("OPTIONS", "GET"):
            status, headers, _ = ask(server, method, path, Origin=local)
            assert (status, headers["access-control-allow-origin"]) in ((200, local), (204, local))
    foreign = ask(server, "GET", "/_localstack/health", Origin="https://app.example")[1]
    assert "access-control-allow-origin" not in foreign


def test_bodies_of_internal_routes(server):
    """One that is nested without end, or too large, is refused by status, not by a failure."""
    deep = b'{"a":' * 100_000
    assert ask(server, "PUT", "/_localstack/health", deep)[0] == 400
    assert ask(server, "PUT", "/_localstack/health", b"x" * (2 << 20))[0] == 413


@pytest.mark.usefixtures("bucket")
def test_every_answer_says_who_answers(server):
    """Every AWS answer, errors too, has the header x-localstack and a request id."""
    for path, service in (("/wire/none", "s3"), ("/2015-03-31/functions", "lambda")):
        _, headers, _ = ask(server, "GET", path, Authorization=signature(service))
        assert headers["x-localstack"] == server.health()["version"]
    _, headers, _ = ask(server, "GET", "/", Authorization=signature("nonesuch"))
    assert headers["x-localstack"]
    assert headers["x-amzn-requestid"]


def test_a_thousand_idle_connections(server):
    """A thousand idle keep-alive connections hold nobody up, and each still answers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1200:
        if hard != resource.RLIM_INFINITY and hard < 1200:
            pytest.skip(f"this user may open {hard} files only")
        resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
    request = b"GET /_localstack/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with contextlib.ExitStack() as stack:
        idle = []
        for _ in range(1000):
            connection = stack.enter_context(dialogue(server, request))
            assert answer_of(connection)[0] == 200
            idle.append(connection)
        started = time.monotonic()
        server.client("sqs").create_queue(QueueName="not-idle")
        server.health()
        assert time.monotonic() - started < 2
        for connection in (idle[0], idle[500], idle[-1]):
            connection.sendall(request)
            assert answer_of(connection)[0] == 200


@pytest.mark.usefixtures("bucket")
def test_client_that_leaves(server):
    """A client that disconnects within its body stores nothing and harms nobody."""
    with dialogue(server, put_head("left", "Content-Length: 1000") + b"x" * 500):
        pass
    with dialogue(server, put_head("left", "Transfer-Encoding: chunked") + b"5\r\nhel"):
        pass
    with dialogue(server, b"PUT /wire/left HT"):
        pass
    server.client("s3").put_object(Bucket="wire", Key="stayed", Body=b"x")
    with pytest.raises(ClientError, match="NoSuchKey"):
        stored(server, "left")


def test_not_http(server):
    """Bytes that are no HTTP are a 400, and the next client is served."""
    with dialogue(server, b"\x15\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert server.health()["version"]


@pytest.mark.usefixtures("bucket")
def test_large_upload(server):
    """An object of 20 MB goes in and comes out unchanged, whole and by range."""
    data = hashlib.shake_128(b"seed").digest(20 << 20)
    s3 = server.client("s3")
    s3.put_object(Bucket="wire", Key="large", Body=data)
    assert stored(server, "large") == data
    part = s3.get_object(Bucket="wire", Key="large", Range="bytes=10485760-10485769")
    assert part["Body"].read() == data[10485760:10485770]


# ------------------------------------------------------ accounts and regions


def test_key_of_twelve_digits_is_the_account(server):
    """A 12-digit access key acts in that account, any other in 000000000000; none sees another."""
    for key, account in (("111111111111", "111111111111"), ("AKIATEST", "000000000000")):
        who = server.client("sts", key=key).get_caller_identity()
        assert who["Account"] == account
        url = server.client("sqs", key=key).create_queue(QueueName=f"of-{account}")["QueueUrl"]
        assert f"/{account}/" in url
    listed = server.client("sqs", key="111111111111").list_queues()["QueueUrls"]
    assert [u.rpartition("/")[2] for u in listed] == ["of-111111111111"]


def test_regions_are_apart(server):
    """What is made in one region is unknown in another; a region AWS lacks is refused."""
    for region in ("eu-central-1", "ap-southeast-2"):
        sqs = server.client("sqs", region=region)
        assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="local-")
        sqs.create_queue(QueueName=f"local-{region}")
        names = [u.rpartition("/")[2] for u in sqs.list_queues()["QueueUrls"]]
        assert names == [f"local-{region}"]
    with pytest.raises(ClientError, match="ALLOW_NONSTANDARD_REGIONS"):
        server.client("sqs", region="mars-north-1").list_queues()


def test_nonstandard_regions_can_be_allowed(start):
    """ALLOW_NONSTANDARD_REGIONS=1 accepts any region name."""
    server = start(ALLOW_NONSTANDARD_REGIONS="1")
    sqs = server.client("sqs", region="mars-north-1")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    assert asked["QueueArn"] == "arn:aws:sqs:mars-north-1:000000000000:q"


def test_bucket_named_health(server):
    """/health is the health document, unless it is signed: then it is a bucket's name."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket="health")
    s3.put_object(Bucket="health", Key="k", Body=b"x")
    listed = s3.list_objects_v2(Bucket="health")["Contents"]
    assert [o["Key"] for o in listed] == ["k"]
    assert "services" in json.loads(server.ask("/health")[1])
