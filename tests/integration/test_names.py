"""Hosts in what is handed out, hosts requests come to, and accounts of temporary keys."""

from __future__ import annotations

import json
import urllib.request

import boto3
import pytest
from botocore.config import Config
from resume import resumed

HANDED = "perdure.internal:8443"
AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/cloudformation/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
QUEUE = json.dumps(
    {
        "Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "stacked"}}},
        "Outputs": {"Url": {"Value": {"Ref": "Q"}, "Export": {"Name": "url"}}},
    }
)


@pytest.fixture(scope="module", params=["", HANDED], ids=["request", "set"])
def server(request, start_in_module):
    """A server with LOCALSTACK_HOST and one without."""
    env = {"LOCALSTACK_HOST": request.param} if request.param else {}
    return start_in_module(**env)


@pytest.fixture
def here(server):
    """What links begin with."""
    return f"http://{server.env.get('LOCALSTACK_HOST') or f'127.0.0.1:{server.port}'}"


def test_queue_urls(server, here):
    """Every queue URL an answer holds names the same host."""
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="named")["QueueUrl"]
    assert url == f"{here}/000000000000/named"
    assert sqs.get_queue_url(QueueName="named")["QueueUrl"] == url
    assert url in sqs.list_queues()["QueueUrls"]


def test_queue_of_a_stack(server, here):
    """A template's Ref of a queue is a URL that a client can use."""
    formation = server.client("cloudformation")
    formation.create_stack(StackName="named", TemplateBody=QUEUE)
    (output,) = formation.describe_stacks(StackName="named")["Stacks"][0]["Outputs"]
    assert output["OutputValue"] == f"{here}/000000000000/stacked"
    server.client("sqs").send_message(QueueUrl=output["OutputValue"], MessageBody="x")
    formation.delete_stack(StackName="named")
    assert server.client("sqs").list_queues(QueueNamePrefix="stacked").get("QueueUrls") is None


def test_an_export_has_its_name_whatever_host_asks(server):
    """An output keeps the name it is exported under, though the host in its value is another."""
    formation = server.client("cloudformation")
    formation.create_stack(StackName="exporting", TemplateBody=QUEUE)
    form = b"Action=DescribeStacks&Version=2010-05-15&StackName=exporting"
    for host in (f"127.0.0.1:{server.port}", f"localhost:{server.port}"):
        headers = {"Host": host, "Authorization": AUTHORIZATION}
        request = urllib.request.Request(server.url, form, headers)
        assert b"<ExportName>url</ExportName>" in urllib.request.urlopen(request).read(), host
    formation.delete_stack(StackName="exporting")


def test_location_of_an_upload(server, here):
    """The Location of a completed upload leads to the object."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket="named")
    upload = s3.create_multipart_upload(Bucket="named", Key="a/b")["UploadId"]
    part = s3.upload_part(Bucket="named", Key="a/b", UploadId=upload, PartNumber=1, Body=b"x")
    done = s3.complete_multipart_upload(
        Bucket="named",
        Key="a/b",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert done["Location"] == f"{here}/named/a/b"
    path = done["Location"].removeprefix(here)
    assert urllib.request.urlopen(server.url + path).read() == b"x"


def test_links_of_a_notification(server, here):
    """The certificate's link gives a certificate, and the unsubscribe link unsubscribes."""
    sns = server.client("sns", region="eu-west-1", key="111111111111")
    sqs = server.client("sqs", region="eu-west-1", key="111111111111")
    topic = sns.create_topic(Name="t")["TopicArn"]
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=asked["QueueArn"])
    sns.publish(TopicArn=topic, Message="hello")
    note = json.loads(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"])
    links = [note["SigningCertURL"], note["UnsubscribeURL"]]
    assert all(link.startswith(f"{here}/") for link in links)
    pem, _ = (urllib.request.urlopen(server.url + link.removeprefix(here)).read() for link in links)
    assert pem.startswith(b"-----BEGIN CERTIFICATE")
    assert sns.list_subscriptions()["Subscriptions"] == []


def test_three_shapes_of_queue_urls(server):
    """A queue is reached by each shape LocalStack has had, whatever host is in it."""
    sqs = server.client("sqs", region="eu-west-1")
    sqs.create_queue(QueueName="shapes")
    port = server.port
    shapes = [
        f"http://sqs.eu-west-1.localhost.localstack.cloud:{port}/000000000000/shapes",
        f"http://localhost:{port}/000000000000/shapes",
        f"http://localhost:{port}/queue/eu-west-1/000000000000/shapes",
        "http://perdure.internal:8443/000000000000/shapes",
    ]
    for url in shapes:
        sqs.send_message(QueueUrl=url, MessageBody=url)
        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        assert message["Body"] == url
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@pytest.mark.parametrize("host", ["{bucket}.s3.localhost.localstack.cloud", "{bucket}.s3.perdure"])
def test_bucket_in_the_host(server, host):
    """A bucket is reached by its name in the host."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket="hosted")
    s3.put_object(Bucket="hosted", Key="k", Body=b"hello")
    request = urllib.request.Request(
        f"{server.url}/k", headers={"Host": f"{host.format(bucket='hosted')}:{server.port}"}
    )
    assert urllib.request.urlopen(request).read() == b"hello"


def test_endpoint_from_the_environment(server, monkeypatch):
    """A client that is told by AWS_ENDPOINT_URL alone works."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    sqs = boto3.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    ).client("sqs", config=Config(retries={"total_max_attempts": 1}))
    url = sqs.create_queue(QueueName="by-environment")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")


def test_extra_origins(start):
    """A page named in EXTRA_CORS_ALLOWED_ORIGINS may read and reset, another may not."""
    server = start(EXTRA_CORS_ALLOWED_ORIGINS="https://app.example")
    for origin, allowed in (("https://app.example", True), ("https://evil.example", False)):
        request = urllib.request.Request(f"{server.url}/", headers={"Origin": origin})
        with urllib.request.urlopen(request) as answer:
            assert (answer.headers["access-control-allow-origin"] == origin) is allowed


def test_what_is_not_used_is_logged(start):
    """The log of a start names each variable that is set and has no effect."""
    server = start(LAMBDA_EXECUTOR="docker", LOCALSTACK_NO_SUCH="1")
    for name in ("LAMBDA_EXECUTOR", "LOCALSTACK_NO_SUCH"):
        assert f"{name} is set and not used" in server.log


@resumed
def test_temporary_keys_know_their_account(aws):
    """Keys of GetSessionToken, GetFederationToken and AssumeRole act in their account for good."""
    sts = aws.client("sts", key="222222222222")
    role = "arn:aws:iam::333333333333:role/visitor"
    keys = {
        "222222222222": [
            sts.get_session_token()["Credentials"],
            sts.get_federation_token(Name="someone")["Credentials"],
        ],
        "333333333333": [sts.assume_role(RoleArn=role, RoleSessionName="s1")["Credentials"]],
    }
    for account, issued in keys.items():
        for key in issued:
            assert key["AccessKeyId"].startswith("ASIA")
            aws.client("sqs", key=key["AccessKeyId"]).create_queue(QueueName=f"of-{account}")
    yield
    for account, issued in keys.items():
        for key in issued:
            named = {"key": key["AccessKeyId"], "token": key["SessionToken"]}
            assert aws.client("sts", **named).get_caller_identity()["Account"] == account
            (url,) = aws.client("sqs", **named).list_queues()["QueueUrls"]
            assert url.endswith(f"/{account}/of-{account}")
