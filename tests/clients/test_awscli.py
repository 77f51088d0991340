"""The AWS CLI and ``awslocal`` across a restart."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

BESIDE = str(Path(sys.executable).parent)


@pytest.fixture
def cli(client):
    """Runs a line that starts with ``awslocal`` or ``aws`` and returns what it prints."""

    def run(line):
        program, *arguments = shlex.split(line)
        found = shutil.which(program, path=BESIDE) or shutil.which(program)
        if found is None:
            pytest.skip(f"{program} is not installed: pip install awscli-local[ver1]")
        # awslocal looks for ``aws`` on the path.
        path = f"{BESIDE}:{client.environment()['PATH']}"
        return client.run(found, *arguments, PATH=path).strip()

    return run


def test_awslocal(cli, client):
    """Objects, messages and keys made by ``awslocal`` are used by it after a restart."""
    (client.home / "up").mkdir()
    (client.home / "up" / "note.txt").write_text("kept")
    cli("awslocal s3 mb s3://files")
    cli("awslocal s3 sync up s3://files/up")
    url = cli("awslocal sqs create-queue --queue-name jobs --query QueueUrl --output text")
    cli(f"awslocal sqs send-message --queue-url {url} --message-body first")
    received = json.loads(cli(f"awslocal sqs receive-message --queue-url {url}"))
    key = cli("awslocal kms create-key --query KeyMetadata.KeyId --output text")
    encrypt = f"awslocal kms encrypt --key-id {key} --plaintext secret"
    cipher = cli(f"{encrypt} --query CiphertextBlob --output text")
    client.server.restart("stop")
    cli("awslocal s3 cp s3://files/up/note.txt down.txt")
    assert (client.home / "down.txt").read_text() == "kept"
    handle = received["Messages"][0]["ReceiptHandle"]
    cli(f"awslocal sqs delete-message --queue-url {url} --receipt-handle {handle}")
    told = cli(f"awslocal sqs get-queue-attributes --queue-url {url} --attribute-names All")
    assert json.loads(told)["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"
    # The first version of the CLI takes a blob as it is and prints it as base64.
    (client.home / "cipher").write_bytes(base64.b64decode(cipher))
    decrypt = "awslocal kms decrypt --ciphertext-blob fileb://cipher"
    plain = cli(f"{decrypt} --query Plaintext --output text")
    assert base64.b64decode(plain) == b"secret"


def test_aws_with_an_address(cli, client):
    """``aws --endpoint-url`` deploys a template twice and reads a table page by page."""
    aws = f"aws --endpoint-url {client.server.url}"
    table = {
        "TableName": "pages",
        "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    resources = {"T": {"Type": "AWS::DynamoDB::Table", "Properties": table}}
    puts = [{"PutRequest": {"Item": {"k": {"S": str(number)}}}} for number in range(5)]
    (client.home / "template.json").write_text(json.dumps({"Resources": resources}))
    (client.home / "puts.json").write_text(json.dumps({"pages": puts}))
    deploy = f"{aws} cloudformation deploy --stack-name stack --template-file template.json"
    cli(deploy)
    cli(f"{aws} dynamodb batch-write-item --request-items file://puts.json")
    client.server.restart("kill")
    cli(f"{deploy} --no-fail-on-empty-changeset")  # what is there is known: nothing to do
    scan = f"{aws} dynamodb scan --table-name pages --page-size 2 --query Items[].k.S"
    assert sorted(json.loads(cli(scan))) == ["0", "1", "2", "3", "4"]
