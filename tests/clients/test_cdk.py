"""``cdklocal`` bootstraps, deploys, updates and destroys a stack, with a restart between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from installing import node_packages

APP = Path(__file__).parent / "cdk" / "app.js"


@pytest.fixture
def cdk(client):
    """Runs ``cdklocal`` as its users do: it knows the port, and finds the server by itself."""
    packages = node_packages("cdk")
    options = ("--app", f"node {APP}", "--ci", "--no-notices", "--no-version-reporting")

    def run(*arguments, **env):
        return client.run(
            str(packages / "node_modules" / ".bin" / "cdklocal"),
            *(*arguments, *options),
            without=("AWS_ENDPOINT_URL",),
            EDGE_PORT=str(client.server.port),
            NODE_PATH=str(packages / "node_modules"),
            AWS_ENVAR_ALLOWLIST="AWS_EC2_METADATA_DISABLED,AWS_CONFIG_FILE",
            CDK_DISABLE_CLI_TELEMETRY="true",
            **env,
        )

    return run


@pytest.mark.long
@pytest.mark.timeout(600)
def test_stack(cdk, client):
    """A stack deployed before a restart is used, updated and destroyed after it."""
    server = client.server
    cdk("bootstrap")
    cdk("deploy", "--require-approval", "never", "--outputs-file", "outputs.json")
    outputs = json.loads((client.home / "outputs.json").read_text())["Shop"]
    server.restart()

    cdk("bootstrap")  # finds its stack, its version and its bucket again
    sns, sqs, s3, iam = (server.client(name) for name in ("sns", "sqs", "s3", "iam"))
    dynamodb = server.client("dynamodb")
    url = sqs.get_queue_url(QueueName="orders")["QueueUrl"]
    sns.publish(TopicArn=outputs["TopicArn"], Message="an order")
    assert [m["Body"] for m in sqs.receive_message(QueueUrl=url)["Messages"]] == ["an order"]
    assert s3.get_bucket_versioning(Bucket=outputs["Bucket"])["Status"] == "Enabled"
    dynamodb.put_item(TableName="stock", Item={"id": {"S": "pen"}})
    role = outputs["Role"].rsplit("/", 1)[-1]
    assert len(iam.list_role_policies(RoleName=role)["PolicyNames"]) == 1

    cdk("deploy", "--require-approval", "never", EDITION="second")
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert told["Attributes"]["VisibilityTimeout"] == "60"
    assert sqs.get_queue_url(QueueName="returns")["QueueUrl"]
    assert dynamodb.scan(TableName="stock")["Count"] == 1
    server.restart("kill")

    cdk("destroy", "--force")
    assert "QueueUrls" not in sqs.list_queues()
    assert dynamodb.list_tables()["TableNames"] == []
    assert sns.list_subscriptions()["Subscriptions"] == []
    assert role not in [r["RoleName"] for r in iam.list_roles()["Roles"]]
    left = [s["StackName"] for s in server.client("cloudformation").describe_stacks()["Stacks"]]
    assert left == ["CDKToolkit"]
