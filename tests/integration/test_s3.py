"""S3 across a restart."""

from __future__ import annotations

import http.client
import io
import json
from urllib.request import Request, urlopen

import pytest
from botocore.exceptions import ClientError
from resume import resumed

PART_BYTES = 5 << 20


def read(s3, bucket, key, **more):
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


@resumed
def test_old_version_is_readable(aws):
    """Every version of an object reads back after a restart, under its old version id."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    ids = [
        s3.put_object(Bucket="versions", Key="doc", Body=f"text {number}".encode())["VersionId"]
        for number in range(3)
    ]
    yield
    assert [read(s3, "versions", "doc", VersionId=i) for i in ids] == [
        b"text 0",
        b"text 1",
        b"text 2",
    ]
    assert read(s3, "versions", "doc") == b"text 2"
    newer = s3.put_object(Bucket="versions", Key="doc", Body=b"text 3")["VersionId"]
    listed = s3.list_object_versions(Bucket="versions")["Versions"]
    assert {v["VersionId"] for v in listed} == {*ids, newer}


@resumed
def test_delete_marker_hides_and_can_be_removed(aws):
    """A delete marker still hides its object, and removing it brings the object back."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="markers")
    s3.put_bucket_versioning(Bucket="markers", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="markers", Key="gone", Body=b"still there")
    marker = s3.delete_object(Bucket="markers", Key="gone")
    assert marker["DeleteMarker"]
    yield
    with pytest.raises(ClientError, match="NoSuchKey"):
        read(s3, "markers", "gone")
    s3.delete_object(Bucket="markers", Key="gone", VersionId=marker["VersionId"])
    assert read(s3, "markers", "gone") == b"still there"


@resumed
def test_multipart_upload_goes_on(aws):
    """A multipart upload begun before a restart lists its parts and completes after it."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="parts")
    upload = s3.create_multipart_upload(Bucket="parts", Key="big", Metadata={"made-by": "parts"})
    which = {"Bucket": "parts", "Key": "big", "UploadId": upload["UploadId"]}
    first = s3.upload_part(**which, PartNumber=1, Body=b"a" * PART_BYTES)
    yield
    assert s3.list_multipart_uploads(Bucket="parts")["Uploads"][0]["UploadId"] == which["UploadId"]
    listed = s3.list_parts(**which)["Parts"]
    assert [(p["PartNumber"], p["ETag"], p["Size"]) for p in listed] == [
        (1, first["ETag"], PART_BYTES)
    ]
    second = s3.upload_part(**which, PartNumber=2, Body=b"b" * 10)
    parts = [{"PartNumber": n, "ETag": p["ETag"]} for n, p in ((1, first), (2, second))]
    done = s3.complete_multipart_upload(**which, MultipartUpload={"Parts": parts})
    assert done["ETag"].endswith('-2"')
    body = read(s3, "parts", "big", Range=f"bytes={PART_BYTES - 2}-")
    assert body == b"aa" + b"b" * 10
    assert s3.head_object(Bucket="parts", Key="big")["Metadata"] == {"made-by": "parts"}


@resumed
def test_multipart_upload_can_be_aborted(aws):
    """An upload begun before a restart can be aborted after it, and is then unknown."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="aborted")
    upload_id = s3.create_multipart_upload(Bucket="aborted", Key="k")["UploadId"]
    yield
    s3.abort_multipart_upload(Bucket="aborted", Key="k", UploadId=upload_id)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.list_parts(Bucket="aborted", Key="k", UploadId=upload_id)


@resumed
def test_metadata_and_range_and_copy(aws):
    """Metadata, also with underscores, content headers, ranges and copies survive."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="plain")
    put = s3.put_object(
        Bucket="plain",
        Key="dir/ü ?&+.txt",
        Body=b"0123456789",
        ContentType="text/x-digits",
        CacheControl="no-store",
        Metadata={"under_score": "one", "dash-ed": "two"},
    )
    before = s3.head_object(Bucket="plain", Key="dir/ü ?&+.txt")
    yield
    after = s3.head_object(Bucket="plain", Key="dir/ü ?&+.txt")
    for name in ("ETag", "LastModified", "ContentType", "CacheControl", "Metadata"):
        assert after[name] == before[name]
    assert after["Metadata"] == {"under_score": "one", "dash-ed": "two"}
    assert after["ETag"] == put["ETag"]
    assert read(s3, "plain", "dir/ü ?&+.txt", Range="bytes=2-4") == b"234"
    assert read(s3, "plain", "dir/ü ?&+.txt", Range="bytes=-3") == b"789"
    s3.copy_object(
        Bucket="plain", Key="copy", CopySource={"Bucket": "plain", "Key": "dir/ü ?&+.txt"}
    )
    copied = s3.get_object(Bucket="plain", Key="copy")
    assert copied["Body"].read() == b"0123456789"
    assert copied["Metadata"] == after["Metadata"]


@resumed
def test_tags_acl_lifecycle_and_policy(aws):
    """Tags of objects and buckets, ACLs, lifecycle rules, CORS and policies survive."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="ruled")
    s3.put_object(
        Bucket="ruled", Key="k", Body=b"x", Tagging="colour=red&size=s", ACL="public-read"
    )
    s3.put_bucket_tagging(Bucket="ruled", Tagging={"TagSet": [{"Key": "team", "Value": "a"}]})
    s3.put_bucket_acl(Bucket="ruled", ACL="public-read")
    rule = {
        "ID": "old",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 30},
    }
    s3.put_bucket_lifecycle_configuration(Bucket="ruled", LifecycleConfiguration={"Rules": [rule]})
    cors = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.org"]}
    s3.put_bucket_cors(Bucket="ruled", CORSConfiguration={"CORSRules": [cors]})
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::ruled/*",
            }
        ],
    }
    s3.put_bucket_policy(Bucket="ruled", Policy=json.dumps(policy))
    grants = s3.get_object_acl(Bucket="ruled", Key="k")["Grants"]
    yield
    tags = s3.get_object_tagging(Bucket="ruled", Key="k")["TagSet"]
    assert {t["Key"]: t["Value"] for t in tags} == {"colour": "red", "size": "s"}
    assert s3.get_bucket_tagging(Bucket="ruled")["TagSet"] == [{"Key": "team", "Value": "a"}]
    assert s3.get_object_acl(Bucket="ruled", Key="k")["Grants"] == grants
    public = [g for g in s3.get_bucket_acl(Bucket="ruled")["Grants"] if "URI" in g["Grantee"]]
    assert public[0]["Permission"] == "READ"
    rules = s3.get_bucket_lifecycle_configuration(Bucket="ruled")["Rules"]
    assert rules[0]["ID"] == "old"
    assert rules[0]["Expiration"]["Days"] == 30
    assert s3.get_bucket_cors(Bucket="ruled")["CORSRules"][0]["AllowedMethods"] == ["GET"]
    assert json.loads(s3.get_bucket_policy(Bucket="ruled")["Policy"]) == policy
    s3.put_object_tagging(
        Bucket="ruled", Key="k", Tagging={"TagSet": [{"Key": "colour", "Value": "blue"}]}
    )
    assert s3.get_object_tagging(Bucket="ruled", Key="k")["TagSet"][0]["Value"] == "blue"


@resumed
def test_presigned_urls(aws):
    """URLs signed before a restart read and write after it."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="signed")
    s3.put_object(Bucket="signed", Key="in", Body=b"presigned")
    get = s3.generate_presigned_url("get_object", {"Bucket": "signed", "Key": "in"})
    put = s3.generate_presigned_url("put_object", {"Bucket": "signed", "Key": "out"})
    yield
    with urlopen(get) as answer:
        assert answer.read() == b"presigned"
    with urlopen(Request(put, data=b"by url", method="PUT")) as answer:
        assert answer.status == 200
    assert read(s3, "signed", "out") == b"by url"


@resumed
def test_notifications_fire(aws):
    """A bucket's notification configured before a restart reaches its queue after it."""
    s3, sqs = aws.client("s3"), aws.client("sqs")
    s3.create_bucket(Bucket="noisy")
    queue = sqs.create_queue(QueueName="noise")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    s3.put_bucket_notification_configuration(
        Bucket="noisy",
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn["QueueArn"], "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    sqs.purge_queue(QueueUrl=queue)
    yield
    s3.put_object(Bucket="noisy", Key="loud", Body=b"!")
    messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    record = json.loads(messages[0]["Body"])["Records"][0]
    assert record["s3"]["bucket"]["name"] == "noisy"
    assert record["s3"]["object"]["key"] == "loud"


@resumed
def test_virtual_host_addressing(aws):
    """A bucket answers under its own host name, as LocalStack's clients address it."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="hosted")
    s3.put_object(Bucket="hosted", Key="a/b", Body=b"by host", ACL="public-read")
    yield
    port = aws.server.port
    connection = http.client.HTTPConnection("127.0.0.1", port)
    host = f"hosted.s3.localhost.localstack.cloud:{port}"
    connection.request("GET", "/a/b", headers={"Host": host})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"by host")
    connection.request("GET", "/?list-type=2", headers={"Host": host})
    answer = connection.getresponse()
    assert b"<Key>a/b</Key>" in answer.read()
    connection.close()


@resumed
def test_upload_and_download_through_the_transfer_manager(aws):
    """A file uploaded in parts by boto3's transfer manager downloads whole after a restart."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="transfers")
    body = bytes(range(256)) * (9 << 12)
    s3.upload_fileobj(io.BytesIO(body), "transfers", "file")
    yield
    target = io.BytesIO()
    s3.download_fileobj("transfers", "file", target)
    assert target.getvalue() == body


@resumed
def test_bucket_belongs_to_its_account(aws):
    """A bucket's name stays taken for every other account after a restart."""
    aws.client("s3").create_bucket(Bucket="mine-alone")
    yield
    other = aws.client("s3", key="999999999999")
    with pytest.raises(ClientError, match="BucketAlreadyExists"):
        other.create_bucket(Bucket="mine-alone")
    assert "mine-alone" not in {b["Name"] for b in other.list_buckets()["Buckets"]}
    assert "mine-alone" in {b["Name"] for b in aws.client("s3").list_buckets()["Buckets"]}


@resumed
def test_objects_under_a_key_of_kms(aws):
    """Objects encrypted by a bucket's default key of KMS name that key after a restart."""
    s3, kms = aws.client("s3"), aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    s3.create_bucket(Bucket="sealed")
    s3.put_bucket_encryption(
        Bucket="sealed",
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]},
    )
    s3.put_object(Bucket="sealed", Key="old", Body=b"secret")
    yield
    s3.put_object(Bucket="sealed", Key="new", Body=b"secret")
    for name in ("old", "new"):
        found = s3.get_object(Bucket="sealed", Key=name)
        assert found["Body"].read() == b"secret"
        assert found["ServerSideEncryption"] == "aws:kms"
        assert kms.describe_key(KeyId=found["SSEKMSKeyId"])["KeyMetadata"]["Arn"] == key
