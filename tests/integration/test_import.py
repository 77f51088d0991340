"""Calls that LocalStack 0.x recorded, replayed into a real server, restarted and used."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest

from conftest import environment

PARTS = (b"a" * (5 << 20), b"the end")


class Recorder:
    """Writes what boto3 sends, and what it is answered, as LocalStack 0.x did."""

    def __init__(self, path, server):
        self.path, self.server = path, server

    def client(self, service, **more):
        client = self.server.client(service, **more)
        pending = []

        def sent(request, **_):
            pending.append(request)

        def answered(http_response, model, **_):
            request = pending[-1]
            self.write(service, request, http_response.content)

        client.meta.events.register("before-send", sent)
        client.meta.events.register("after-call", answered)
        return client

    def write(self, service, request, answer):
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        body = request.body
        if hasattr(body, "read"):
            body.seek(0)
            body = body.read()
        body = body.encode() if isinstance(body, str) else body or b""
        entry = {
            "a": service,
            "m": request.method,
            "p": request.url.removeprefix(self.server.url),
            "d": base64.b64encode(bytes(body)).decode(),
            "h": headers,
            "rd": base64.b64encode(answer).decode(),
        }
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def perdure(server, *arguments):
    """A command of the command line, aimed at the server."""
    return subprocess.run(  # noqa: PLW1510 - the tests look at the exit code
        [sys.executable, "-m", "perdure", *arguments, "--listen", f"127.0.0.1:{server.port}"],
        env=environment(server.home),
        cwd=server.home,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def recording(start, tmp_path):
    """A file of calls, made by one server; and what their outcome was."""
    old = start()
    volume = tmp_path / "localstack"
    volume.mkdir()
    recorder = Recorder(volume / "recorded_api_calls.json", old)
    config = {"request_checksum_calculation": "when_required"}
    s3, sqs, kms, iam = (
        recorder.client(name, **(config if name == "s3" else {}))
        for name in ("s3", "sqs", "kms", "iam")
    )
    s3.create_bucket(Bucket="kept")
    upload = s3.create_multipart_upload(Bucket="kept", Key="whole")["UploadId"]
    whole = {"Bucket": "kept", "Key": "whole", "UploadId": upload}
    etags = [
        s3.upload_part(**whole, PartNumber=n, Body=part)["ETag"] for n, part in enumerate(PARTS, 1)
    ]
    s3.complete_multipart_upload(
        **whole,
        MultipartUpload={"Parts": [{"PartNumber": n, "ETag": e} for n, e in enumerate(etags, 1)]},
    )
    s3.list_buckets()
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    for text in ("deleted", "kept"):
        sqs.send_message(QueueUrl=url, MessageBody=text)
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    handles = {m["Body"]: m["ReceiptHandle"] for m in found["Messages"]}
    sqs.delete_message(QueueUrl=url, ReceiptHandle=handles["deleted"])
    sqs.receive_message(QueueUrl=old.client("sqs").create_queue(QueueName="empty")["QueueUrl"])
    key = kms.create_key(Description="d")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/mine", TargetKeyId=key)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.delete_user(UserName="nobody")
    iam.create_user(UserName="somebody")
    old.stop()
    return recorder.path


def test_a_recording_is_restored(start, tmp_path, recording):
    """Deleted messages stay deleted, uploads complete, aliases find their keys, after a restart."""
    server = start(tmp_path / "state")
    done = perdure(server, "state", "import", str(recording.parent))
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = done.stdout.splitlines()
    calls = len(recording.read_text().splitlines())
    assert first == f"Restored {calls - 3} API calls from persistent file: {recording}"
    # The listing and the poll that found nothing; the deletion that failed.
    assert second == "left out: 2 reads, 1 that failed when recorded"
    server.restart("kill")

    body = server.client("s3").get_object(Bucket="kept", Key="whole")["Body"].read()
    assert body == b"".join(PARTS)
    sqs = server.client("sqs")
    url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [m["Body"] for m in found] == ["kept"]
    kms = server.client("kms")
    assert kms.describe_key(KeyId="alias/mine")["KeyMetadata"]["Description"] == "d"
    assert [u["UserName"] for u in server.client("iam").list_users()["Users"]] == ["somebody"]


def test_raw_chunks_and_missing_signatures(start, tmp_path):
    """An object recorded in chunks is the object, though no header says so or signs for S3."""
    signature = "0" * 64
    chunks = f"5;chunk-signature={signature}\r\nhello\r\n0;chunk-signature={signature}\r\n\r\n"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    lines = [
        {"a": "s3", "m": "PUT", "p": "/chunks", "d": None, "h": {}, "rd": ""},
        {"a": "s3", "m": "PUT", "p": "/chunks/k%20ä", "d": chunks, "h": {"Connection": "close"}},
        {"a": "sns", "m": "POST", "p": "/", "d": "Action=CreateTopic&Name=t", "h": form},
    ]
    path = tmp_path / "calls.json"
    with path.open("w") as file:
        for entry in lines:
            data = entry["d"]
            encoded = None if data is None else base64.b64encode(data.encode()).decode()
            file.write(json.dumps({**entry, "d": encoded}) + "\n")
        file.write('{"a": "s3", "m"')
    server = start(tmp_path / "state")

    done = perdure(server, "state", "import", str(path))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "line 4 was cut short" in done.stderr
    assert server.client("s3").get_object(Bucket="chunks", Key="k ä")["Body"].read() == b"hello"
    assert len(server.client("sns").list_topics()["Topics"]) == 1


def test_twice_is_told(start, tmp_path, recording):
    """What cannot be restored is listed with line, call and reason, and the exit code says so."""
    server = start()
    assert perdure(server, "state", "import", str(recording)).returncode == 0

    again = perdure(server, "state", "import", str(recording))

    assert again.returncode == 17
    assert "iam CreateUser: 409: EntityAlreadyExists" in again.stdout
    assert "not restored: line" in again.stdout


@pytest.mark.parametrize(
    "names",
    [
        ("recorded_api_calls.json", "startup_info.json", "dynamodb"),
        ("api_states",),
        ("state", "cache", "lib", "logs", "tmp"),
        ("state",),
        ("s3_api_calls.json",),
        ("dynamodb", "kinesis"),
    ],
)
def test_a_localstack_volume_is_left_alone(start, tmp_path, names):
    """Given as DATA_DIR it is recognised, named and not touched."""
    volume = tmp_path / "volume"
    for name in names:
        path = volume / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x") if "." in name else path.mkdir()
    before = sorted(volume.rglob("*"))

    code, log = start(volume, ready=False).refuse()

    assert code == 22
    assert "LocalStack" in log
    assert sorted(volume.rglob("*")) == before
