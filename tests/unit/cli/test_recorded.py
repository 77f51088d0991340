"""What LocalStack 0.x recorded: read, judged and sent again; ids that differ are followed."""

import base64
import json

import pytest

from perdure.cli import recorded, replay
from perdure.cli.identifiers import Identifiers
from perdure.cli.recorded import Broken, Record
from perdure.errors import RecordingError

FORM = "application/x-www-form-urlencoded"
SIGNATURE = "0" * 64


def line(service="s3", method="PUT", path="/bucket", body=b"", answer=b"", **headers):
    return json.dumps(
        {
            "a": service,
            "m": method,
            "p": path,
            "d": base64.b64encode(body).decode(),
            "h": {name.replace("_", "-"): value for name, value in headers.items()},
            "rd": base64.b64encode(answer).decode(),
        }
    )


def read(tmp_path, *lines, end="\n"):
    path = tmp_path / recorded.NAME
    path.write_text("\n".join(lines) + end)
    return list(recorded.read(path))


def one(tmp_path, **fields):
    (found,) = read(tmp_path, line(**fields))
    assert isinstance(found, Record), found
    return found


def form(action, tmp_path, answer=b"", more=""):
    body = f"Action={action}{more}".encode()
    return one(tmp_path, service="sqs", method="POST", body=body, answer=answer, Content_Type=FORM)


def test_a_record_is_read(tmp_path):
    """Every field arrives decoded, header names in lower case, empty lines passed over."""
    found = read(tmp_path, "", line(body=b"\x00", answer=b"a", X_Amz_Acl="x"), "")

    assert found == [Record(2, "s3", "PUT", "/bucket", {"x-amz-acl": "x"}, b"\x00", b"a")]


def test_old_records_lack_answers_and_bodies(tmp_path):
    """Null bodies, missing headers and missing answers are fine."""
    (found,) = read(tmp_path, '{"a": "s3", "m": "put", "p": "/b", "d": null}')

    assert (found.body, found.headers, found.answer) == (b"", {}, None)


def test_a_torn_last_line_is_told_from_damage(tmp_path):
    """Only a last line without its end is torn; a broken line elsewhere is damage."""
    whole = line()
    found = read(tmp_path, whole, whole[:20], whole, whole[:30], end="")

    assert [type(entry) for entry in found] == [Record, Broken, Record, Broken]
    assert [(entry.line, entry.is_torn) for entry in (found[1], found[3])] == [
        (2, False),
        (4, True),
    ]


def test_a_call_behind_a_torn_one_is_read(tmp_path):
    """A server that was started again after a crash went on in the torn line; that call counts."""
    whole = line()
    torn, behind, last = read(tmp_path, whole[:30] + line(method="DELETE"), whole)

    assert (torn.line, torn.is_torn) == (1, True)
    assert (behind.line, behind.method, last.line) == (1, "DELETE", 2)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        '{"a": "s3"}',
        '{"a": 1, "m": "GET", "p": "/"}',
        '{"a": "s3", "m": "PUT", "p": "/", "d": "%%%"}',
        '{"a": "s3", "m": "PUT", "p": "/", "h": {"x": 1}}',
        '{"a": "s3", "m": "PUT", "p": "http://elsewhere/"}',
        '{"a": "s3", "m": "CONNECT", "p": "/"}',
        '{"a": "s3", "m": "POST", "p": "/_localstack/state/reset"}',
        '{"a": "s3", "m": "POST", "p": "/%5Flocalstack/state/reset"}',
        "[" * 100_000,
        "\x00\xff",
    ],
)
def test_what_is_no_call_is_named(tmp_path, text):
    """A line of another shape, or one that aims elsewhere, is broken and never sent."""
    (found,) = read(tmp_path, text)

    assert isinstance(found, Broken)
    assert found.reason
    assert not found.is_torn


def test_no_file_is_an_error_with_the_path(tmp_path):
    """A file that is not there is refused; in a folder the usual name is looked for."""
    with pytest.raises(RecordingError, match="nonesuch"):
        recorded.find(tmp_path / "nonesuch")
    with pytest.raises(RecordingError, match=recorded.NAME):
        recorded.find(tmp_path)
    (tmp_path / recorded.NAME).touch()
    assert recorded.find(tmp_path) == tmp_path / recorded.NAME


def test_reads_are_known_by_operation_else_by_method(tmp_path):
    """Reads are left out; a poll that found something is none, since deletions name it."""
    assert form("ListQueues", tmp_path).is_read()
    assert form("GetQueueAttributes", tmp_path).is_read()
    assert not form("CreateQueue", tmp_path).is_read()
    assert not form("GetSessionToken", tmp_path).is_read()
    assert form("ReceiveMessage", tmp_path, b"<ReceiveMessageResult/>").is_read()
    assert not form("ReceiveMessage", tmp_path, b"<ReceiptHandle>x</ReceiptHandle>").is_read()
    assert one(tmp_path, method="GET").is_read()
    assert not one(tmp_path, method="GET", path="/?Action=CreateQueue").is_read()
    target = "DynamoDB_20120810.Query"
    assert one(tmp_path, method="POST", X_Amz_Target=target).is_read()
    assert not one(tmp_path, method="DELETE").is_read()


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (b"", False),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", True),
        (b"<ErrorResponse xmlns='x'><Error/></ErrorResponse>", True),
        (b"<Response><Errors><Error/></Errors></Response>", True),
        (b'{"__type": "X#ValidationException", "message": "m"}', True),
        (b'{"__type": "no error"}', False),
        (b'{"Table": {}}', False),
        (b"<CreateQueueResponse/>", False),
        (b"{broken", False),
    ],
)
def test_what_failed_then_is_known(tmp_path, answer, failed):
    """A recorded answer tells whether the call had failed, in each protocol."""
    assert one(tmp_path, answer=answer).had_failed() is failed


CHUNKED = (
    f"5;chunk-signature={SIGNATURE}\r\nhello\r\n0;chunk-signature={SIGNATURE}\r\n\r\n".encode()
)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_Amz_Content_Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
        {"Content_Encoding": "aws-chunked", "X_Amz_Decoded_Content_Length": "5"},
    ],
)
def test_chunks_are_undone(tmp_path, headers):
    """A body recorded in chunks is the object again, whether or not the headers say so."""
    assert one(tmp_path, body=CHUNKED, **headers).body == b"hello"


def test_headers_that_speak_of_chunks_that_are_gone(tmp_path):
    """A body recorded without its chunks stays; what says otherwise is dropped."""
    found = one(
        tmp_path,
        body=b"hello",
        X_Amz_Content_Sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        X_Amz_Decoded_Content_Length="5",
    )

    assert found.body == b"hello"
    assert found.headers == {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}


def test_damaged_chunks_are_no_object(tmp_path):
    """Signed chunks that are cut short are named, not stored with their signatures."""
    (found,) = read(tmp_path, line(body=CHUNKED[:90]))

    assert isinstance(found, Broken)


def test_an_object_may_look_like_anything_else(tmp_path):
    """Bytes that are no signed chunks are left alone."""
    assert one(tmp_path, body=b"5\r\nhello\r\n0\r\n\r\n").body == b"5\r\nhello\r\n0\r\n\r\n"


# ------------------------------------------------------------------------ ids

HANDLE, NEW_HANDLE = "q" * 185, "z" * 185
RECEIVED = (
    "<R xmlns='x'><RR><Message><ReceiptHandle>{}</ReceiptHandle><Body>{}</Body>"
    "<MD5OfBody>{}</MD5OfBody></Message>{}</RR><M><RequestId>{}</RequestId></M></R>"
)


def test_ids_of_xml_are_followed():
    """The old receipt handle becomes the new one wherever it stands; nothing else changes."""
    ids = Identifiers()
    ids.learn(
        RECEIVED.format(HANDLE, "body-12345678", "m1", "", "request-1").encode(),
        RECEIVED.format(NEW_HANDLE, "body-87654321", "m1", "", "request-2").encode(),
    )

    body = f"Action=DeleteMessage&ReceiptHandle={HANDLE}&x=body-12345678&y=request-1"
    assert ids.rewrite(body.encode()) == body.replace(HANDLE, NEW_HANDLE).encode()


def test_messages_are_paired_by_content():
    """Two messages received in the other order are still each paired with itself."""
    other, new_other = "p" * 185, "y" * 185

    def received(first, second):
        message = "<Message><ReceiptHandle>{}</ReceiptHandle><MD5OfBody>{}</MD5OfBody></Message>"
        return f"<R>{message.format(*first)}{message.format(*second)}</R>".encode()

    ids = Identifiers()
    ids.learn(
        received((HANDLE, "m1"), (other, "m2")), received((new_other, "m2"), (NEW_HANDLE, "m1"))
    )

    assert ids.rewrite(HANDLE.encode()) == NEW_HANDLE.encode()
    assert ids.rewrite(other.encode()) == new_other.encode()


def test_ids_of_json_inside_of_arns_are_followed():
    """An id that is a part of an ARN is followed where it stands alone, too."""
    ids = Identifiers()
    ids.learn(
        b'{"Arn": "arn:aws:kms:us-east-1:000000000000:key/1f2e3d4c-old1", "Created": 1.5,'
        b' "State": "CREATE_IN_PROGRESS", "At": "2020-01-01T00:00:00Z", "Deep": [{"Id": "a1"}]}',
        b'{"Arn": "arn:aws:kms:us-east-1:000000000000:key/9a8b7c6d-new1", "Created": 2.5,'
        b' "State": "CREATE_COMPLETE", "At": "2026-01-01T01:00:00Z", "Deep": [{"Id": "b2"}]}',
    )

    assert len(ids) == 1
    assert ids.rewrite_text("/keys/1f2e3d4c-old1?x=a1") == "/keys/9a8b7c6d-new1?x=a1"
    assert ids.rewrite(b"1f2e3d4c-old1x CREATE_IN_PROGRESS") == (
        b"1f2e3d4c-old1x CREATE_IN_PROGRESS"
    )


def test_base64_ids_are_followed_in_both_spellings():
    """An id with signs of its own is replaced as a whole, percent-encoded or not."""
    ids = Identifiers()
    ids.learn(b"<R><H>AQEB12+/x34==</H></R>", b"<R><H>plain9876</H></R>")

    assert ids.rewrite(b"H=AQEB12%2B%2Fx34%3D%3D&z") == b"H=plain9876&z"
    assert ids.rewrite(b'{"H": "AQEB12+/x34=="}') == b'{"H": "plain9876"}'


@pytest.mark.parametrize(
    "answer",
    [b"", b"<a", b"{", b"\x00", b"[" * 100_000, b"<!DOCTYPE a [<!ENTITY b 'id-12345678'>]><a/>"],
)
def test_answers_that_cannot_be_read_teach_nothing(answer):
    """Whatever stands in the file, learning from it fails in silence and changes nothing."""
    ids = Identifiers()
    ids.learn(answer, b'{"Id": "id-12345678"}')
    ids.learn(b'{"Id": "id-12345678"}', answer)

    assert len(ids) == 0


# --------------------------------------------------------------------- requests


def test_objects_are_sent_as_they_are(tmp_path):
    """In the bytes of an object no id is replaced; in its path and in settings it is."""
    ids = Identifiers()
    ids.learn(b'{"Id": "old-12345678"}', b'{"Id": "new-12345678"}')
    path = "/b/old-12345678"

    sent = replay.prepare(one(tmp_path, path=path, body=b"old-12345678"), ids, "us-east-1")
    assert (sent[1], sent[3]) == ("/b/new-12345678", b"old-12345678")
    part = one(tmp_path, path=path + "?partNumber=1&uploadId=u", body=b"old-12345678")
    assert replay.prepare(part, ids, "us-east-1")[3] == b"old-12345678"
    settings = one(tmp_path, path="/b?notification", body=b"<a>old-12345678</a>")
    assert replay.prepare(settings, ids, "us-east-1")[3] == b"<a>new-12345678</a>"


def test_waiting_is_taken_out(tmp_path):
    """No replayed poll waits, whatever it or its queue says."""
    handle = b"<ReceiptHandle/>"
    for more in ("&WaitTimeSeconds=20", ""):
        record = form("ReceiveMessage", tmp_path, handle, more)
        body = replay.prepare(record, Identifiers(), "us-east-1")[3]
        assert body == b"Action=ReceiveMessage&WaitTimeSeconds=0"
    record = one(
        tmp_path,
        service="sqs",
        method="POST",
        body=b'{"QueueUrl": "u"}',
        answer=handle,
        X_Amz_Target="AmazonSQS.ReceiveMessage",
    )
    body = replay.prepare(record, Identifiers(), "us-east-1")[3]
    assert json.loads(body) == {"QueueUrl": "u", "WaitTimeSeconds": 0}


def test_requests_without_a_signature_get_a_service(tmp_path):
    """LocalStack knew the service by its port; the signature says it now. A given one stays."""
    record = one(tmp_path, service="stepfunctions", method="POST", path="/", Connection="close")
    headers = replay.prepare(record, Identifiers(), "eu-west-1")[2]
    assert "/eu-west-1/states/aws4_request" in headers["authorization"]
    assert "connection" not in headers
    given = "AWS4-HMAC-SHA256 Credential=mine/20200101/x/s3/aws4_request"
    record = one(tmp_path, Authorization=given, Host="b.s3.localhost")
    headers = replay.prepare(record, Identifiers(), "eu-west-1")[2]
    assert headers == {"authorization": given, "host": "b.s3.localhost"}


def test_reasons_are_read_from_each_protocol():
    """Status, code and message, as far as the answer has them."""
    xml = b"<ErrorResponse><Error><Code>C</Code><Message>m</Message></Error></ErrorResponse>"
    assert replay.reason(400, xml) == "400: C: m"
    assert replay.reason(400, b'{"__type":"C","message":"m"}') == "400: C: m"
    assert replay.reason(500, b"") == "500"


# -------------------------------------------------------------------- the command


def test_import_says_what_was_restored_and_what_was_not(perdure, server, tmp_path):
    """LocalStack's line to the letter, every failure with its line and reason, exit code 17."""
    server.answer("/good", 200)
    server.answer("/bad", 400, b"<Error><Code>Wrong</Code><Message>no</Message></Error>")
    path = tmp_path / recorded.NAME
    lines = [
        line(method="POST", path="/good"),
        line(method="GET"),
        line(method="POST", path="/bad"),
        "{}",
        line(method="POST", path="/good", Bad="a\nb"),
        line(method="POST", path="/good", answer=b"<Error>"),
        line()[:9],
    ]
    path.write_text("\n".join(lines))

    found = perdure("state", "import", str(tmp_path))

    assert found.code == 17
    assert found.out.splitlines()[:3] == [
        f"Restored 1 API calls from persistent file: {path}",
        "left out: 1 reads, 1 that failed when recorded",
        "not restored: line 3: s3 POST /bad: 400: Wrong: no",
    ]
    assert "line 4: not a recorded call" in found.out
    assert "line 5: s3 POST /good: cannot be sent" in found.out
    assert "line 7 was cut short by a crash" in found.err
    assert server.asked == ["POST /good", "POST /bad"]

    found = perdure("state", "import", str(path), "--json")
    assert [failure["line"] for failure in found.data["failures"]] == [3, 4, 5]
    assert (found.data["restored"], found.data["torn_lines"]) == (1, [7])


def test_a_torn_file_that_is_otherwise_whole_is_restored(perdure, server, tmp_path):
    """A torn last line alone is no failure."""
    server.answer("/good", 200)
    path = tmp_path / "calls"
    path.write_text(line(method="POST", path="/good") + "\n" + line()[:9])

    found = perdure("state", "import", str(path))

    assert (found.code, found.out.splitlines()[0]) == (
        0,
        f"Restored 1 API calls from persistent file: {path}",
    )


def test_import_needs_a_server_and_a_file(perdure, tmp_path, server):
    """No file: exit code 19. No server: 12, as for every command."""
    assert perdure("state", "import", str(tmp_path / "nonesuch")).code == 19
    path = tmp_path / "calls"
    path.write_text(line(method="POST") + "\n")
    assert perdure("state", "import", str(path), "--listen", "127.0.0.1:1").code == 12
