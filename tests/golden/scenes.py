"""What the golden state directories hold: per service what is created, read and used.

``create`` runs under the moto that writes the directory and returns what must be
remembered; ``reads`` are the calls whose answers are recorded then, and compared
after every load; ``use`` changes things and would fail if an object only looked
right.  All are plain AWS calls, so that one text serves every version of moto.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

Kept = dict[str, Any]
Read = tuple[str, str, dict[str, Any]]
Aws = Callable[..., Any]
SCENES: dict[str, type] = {}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
ROLE = "arn:aws:iam::000000000000:role/service"


def scene(cls: type) -> type:
    """Make a scene known by the lower-case name of its class."""
    SCENES[cls.__name__.lower()] = cls
    return cls


def code() -> bytes:
    """A Lambda function's zip file, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), "def handler(event, context): return event")
    return buffer.getvalue()


def first_subnet(aws: Aws) -> str:
    """A subnet of the default VPC."""
    found = aws("ec2", "describe_subnets")["Subnets"]
    return min(found, key=lambda subnet: subnet["AvailabilityZone"])["SubnetId"]


@scene
class Sqs:
    def create(aws: Aws) -> Kept:
        dead = aws("sqs", "create_queue", QueueName="dead")["QueueUrl"]
        policy = {
            "deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead",
            "maxReceiveCount": 2,
        }
        attributes = {"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "43200"}
        url = aws("sqs", "create_queue", QueueName="jobs", Attributes=attributes, tags={"a": "1"})[
            "QueueUrl"
        ]
        fifo = aws("sqs", "create_queue", QueueName="x.fifo", Attributes={"FifoQueue": "true"})[
            "QueueUrl"
        ]
        aws(
            "sqs",
            "send_message",
            QueueUrl=fifo,
            MessageBody="in order",
            MessageGroupId="g",
            MessageDeduplicationId="d",
        )
        aws("sqs", "send_message", QueueUrl=url, MessageBody="in flight")
        taken = aws("sqs", "receive_message", QueueUrl=url)["Messages"][0]
        aws(
            "sqs",
            "send_message",
            QueueUrl=url,
            MessageBody="waiting",
            MessageAttributes={"k": {"DataType": "String", "StringValue": "v"}},
        )
        return {"url": url, "fifo": fifo, "dead": dead, "handle": taken["ReceiptHandle"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("sqs", "list_queues", {}),
            ("sqs", "get_queue_attributes", {"QueueUrl": kept["url"], "AttributeNames": ["All"]}),
            ("sqs", "get_queue_attributes", {"QueueUrl": kept["fifo"], "AttributeNames": ["All"]}),
            ("sqs", "list_queue_tags", {"QueueUrl": kept["url"]}),
            ("sqs", "list_dead_letter_source_queues", {"QueueUrl": kept["dead"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws("sqs", "delete_message", QueueUrl=kept["url"], ReceiptHandle=kept["handle"])
        found = aws("sqs", "receive_message", QueueUrl=kept["url"], MessageAttributeNames=["All"])
        assert [m["Body"] for m in found["Messages"]] == ["waiting"]
        assert found["Messages"][0]["MessageAttributes"]["k"]["StringValue"] == "v"
        ordered = aws("sqs", "receive_message", QueueUrl=kept["fifo"])["Messages"]
        assert [m["Body"] for m in ordered] == ["in order"]
        aws("sqs", "purge_queue", QueueUrl=kept["url"])
        aws("sqs", "delete_queue", QueueUrl=kept["dead"])


@scene
class Sns:
    def create(aws: Aws) -> Kept:
        topic = aws("sns", "create_topic", Name="news", Attributes={"DisplayName": "News"})
        inbox = aws("sqs", "create_queue", QueueName="inbox")["QueueUrl"]
        made = aws(
            "sns",
            "subscribe",
            TopicArn=topic["TopicArn"],
            Protocol="sqs",
            Endpoint="arn:aws:sqs:us-east-1:000000000000:inbox",
            Attributes={"RawMessageDelivery": "true"},
        )
        return {
            "topic": topic["TopicArn"],
            "inbox": inbox,
            "subscription": made["SubscriptionArn"],
        }

    def reads(kept: Kept) -> list[Read]:
        return [
            ("sns", "list_topics", {}),
            ("sns", "get_topic_attributes", {"TopicArn": kept["topic"]}),
            ("sns", "list_subscriptions", {}),
            ("sns", "get_subscription_attributes", {"SubscriptionArn": kept["subscription"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws("sns", "publish", TopicArn=kept["topic"], Message="hello")
        found = aws("sqs", "receive_message", QueueUrl=kept["inbox"])["Messages"]
        assert [m["Body"] for m in found] == ["hello"]


@scene
class S3:
    def create(aws: Aws) -> Kept:
        aws("s3", "create_bucket", Bucket="bucket")
        aws(
            "s3",
            "put_bucket_versioning",
            Bucket="bucket",
            VersioningConfiguration={"Status": "Enabled"},
        )
        aws("s3", "put_object", Bucket="bucket", Key="a/b", Body=b"one", Metadata={"m": "v"})
        aws("s3", "put_object", Bucket="bucket", Key="a/b", Body=b"two", ContentType="text/plain")
        aws("s3", "put_object", Bucket="bucket", Key="gone", Body=b"x")
        aws("s3", "delete_object", Bucket="bucket", Key="gone")
        tags = {"TagSet": [{"Key": "a", "Value": "1"}]}
        aws("s3", "put_bucket_tagging", Bucket="bucket", Tagging=tags)
        rule = {
            "ID": "r",
            "Status": "Enabled",
            "Filter": {"Prefix": "x"},
            "Expiration": {"Days": 1},
        }
        aws(
            "s3",
            "put_bucket_lifecycle_configuration",
            Bucket="bucket",
            LifecycleConfiguration={"Rules": [rule]},
        )
        begun = aws("s3", "create_multipart_upload", Bucket="bucket", Key="large")["UploadId"]
        part = aws(
            "s3",
            "upload_part",
            Bucket="bucket",
            Key="large",
            UploadId=begun,
            PartNumber=1,
            Body=b"part",
        )
        return {"upload": begun, "etag": part["ETag"]}

    def reads(kept: Kept) -> list[Read]:
        bucket = {"Bucket": "bucket"}
        return [
            ("s3", "list_buckets", {}),
            ("s3", "list_object_versions", bucket),
            ("s3", "get_object", {**bucket, "Key": "a/b"}),
            ("s3", "head_object", {**bucket, "Key": "a/b"}),
            ("s3", "get_bucket_tagging", bucket),
            ("s3", "get_bucket_lifecycle_configuration", bucket),
            ("s3", "list_parts", {**bucket, "Key": "large", "UploadId": kept["upload"]}),
            ("s3", "get_bucket_acl", bucket),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        parts = {"Parts": [{"PartNumber": 1, "ETag": kept["etag"]}]}
        aws(
            "s3",
            "complete_multipart_upload",
            Bucket="bucket",
            Key="large",
            UploadId=kept["upload"],
            MultipartUpload=parts,
        )
        assert aws("s3", "get_object", Bucket="bucket", Key="large")["Body"] == b"part".hex()
        aws("s3", "copy_object", Bucket="bucket", Key="c", CopySource="bucket/a/b")
        old = aws("s3", "list_object_versions", Bucket="bucket", Prefix="a/b")["Versions"]
        one = next(v["VersionId"] for v in old if not v["IsLatest"])
        got = aws("s3", "get_object", Bucket="bucket", Key="a/b", VersionId=one)
        assert (got["Body"], got["Metadata"]) == (b"one".hex(), {"m": "v"})


@scene
class Dynamodb:
    def create(aws: Aws) -> Kept:
        aws(
            "dynamodb",
            "create_table",
            TableName="people",
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "age", "AttributeType": "N"},
            ],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-age",
                    "KeySchema": [{"AttributeName": "age", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        for number in range(3):
            item = {"id": {"S": f"p{number}"}, "age": {"N": str(number)}, "l": {"L": [{"S": "x"}]}}
            aws("dynamodb", "put_item", TableName="people", Item=item)
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("dynamodb", "describe_table", {"TableName": "people"}),
            ("dynamodb", "scan", {"TableName": "people"}),
            ("dynamodb", "describe_time_to_live", {"TableName": "people"}),
            ("dynamodb", "describe_continuous_backups", {"TableName": "people"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws(
            "dynamodb",
            "update_item",
            TableName="people",
            Key={"id": {"S": "p1"}},
            UpdateExpression="SET n = :n",
            ExpressionAttributeValues={":n": {"N": "7"}},
        )
        found = aws(
            "dynamodb",
            "query",
            TableName="people",
            IndexName="by-age",
            KeyConditionExpression="age = :a",
            ExpressionAttributeValues={":a": {"N": "1"}},
        )
        assert [item["n"] for item in found["Items"]] == [{"N": "7"}]
        aws("dynamodb", "update_table", TableName="people", BillingMode="PAY_PER_REQUEST")
        aws("dynamodb", "delete_table", TableName="people")


@scene
class Iam:
    def create(aws: Aws) -> Kept:
        aws("iam", "create_user", UserName="ann", Tags=[{"Key": "a", "Value": "1"}])
        aws("iam", "create_group", GroupName="team")
        aws("iam", "add_user_to_group", UserName="ann", GroupName="team")
        aws("iam", "create_role", RoleName="service", AssumeRolePolicyDocument=TRUST)
        statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        policy = aws("iam", "create_policy", PolicyName="p", PolicyDocument=document)
        arn = policy["Policy"]["Arn"]
        aws("iam", "attach_role_policy", RoleName="service", PolicyArn=arn)
        aws("iam", "create_instance_profile", InstanceProfileName="profile")
        aws(
            "iam",
            "add_role_to_instance_profile",
            InstanceProfileName="profile",
            RoleName="service",
        )
        key = aws("iam", "create_access_key", UserName="ann")["AccessKey"]
        return {"policy": arn, "key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("iam", "get_user", {"UserName": "ann"}),
            ("iam", "list_access_keys", {"UserName": "ann"}),
            ("iam", "list_groups_for_user", {"UserName": "ann"}),
            ("iam", "get_role", {"RoleName": "service"}),
            ("iam", "list_attached_role_policies", {"RoleName": "service"}),
            ("iam", "get_policy", {"PolicyArn": kept["policy"]}),
            ("iam", "get_instance_profile", {"InstanceProfileName": "profile"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        caller = aws("sts", "get_caller_identity", key=(kept["key"], kept["secret"]))
        assert caller["Arn"].endswith(":user/ann")
        aws("iam", "detach_role_policy", RoleName="service", PolicyArn=kept["policy"])
        aws("iam", "delete_policy", PolicyArn=kept["policy"])
        aws("iam", "tag_role", RoleName="service", Tags=[{"Key": "a", "Value": "1"}])


@scene
class Ssm:
    def create(aws: Aws) -> Kept:
        for value in ("1", "2"):
            aws(
                "ssm",
                "put_parameter",
                Name="/a/b",
                Value=value,
                Type="SecureString",
                Overwrite=True,
            )
        aws("ssm", "put_parameter", Name="/a/c", Value="x,y", Type="StringList")
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("ssm", "get_parameter", {"Name": "/a/b", "WithDecryption": True}),
            ("ssm", "get_parameter_history", {"Name": "/a/b"}),
            ("ssm", "get_parameters_by_path", {"Path": "/a"}),
            ("ssm", "describe_parameters", {}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        done = aws("ssm", "put_parameter", Name="/a/b", Value="3", Overwrite=True)
        assert done["Version"] == 3
        aws("ssm", "delete_parameter", Name="/a/c")


@scene
class Secretsmanager:
    def create(aws: Aws) -> Kept:
        made = aws("secretsmanager", "create_secret", Name="s", SecretString="one")
        aws("secretsmanager", "put_secret_value", SecretId="s", SecretString="two")
        return {"arn": made["ARN"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("secretsmanager", "get_secret_value", {"SecretId": "s"}),
            ("secretsmanager", "describe_secret", {"SecretId": kept["arn"]}),
            ("secretsmanager", "list_secrets", {}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        old = aws("secretsmanager", "get_secret_value", SecretId="s", VersionStage="AWSPREVIOUS")
        assert old["SecretString"] == "one"
        aws("secretsmanager", "update_secret", SecretId="s", SecretString="three")
        aws("secretsmanager", "delete_secret", SecretId="s")
        aws("secretsmanager", "restore_secret", SecretId="s")


@scene
class Kms:
    def create(aws: Aws) -> Kept:
        key = aws("kms", "create_key", Description="k")["KeyMetadata"]["KeyId"]
        aws("kms", "create_alias", AliasName="alias/k", TargetKeyId=key)
        sealed = aws("kms", "encrypt", KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
        pair = aws("kms", "create_key", KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        signer = pair["KeyMetadata"]["KeyId"]
        signed = aws("kms", "sign", KeyId=signer, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")[
            "Signature"
        ]
        return {"key": key, "sealed": sealed, "signer": signer, "signed": signed}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("kms", "describe_key", {"KeyId": kept["key"]}),
            ("kms", "list_aliases", {"KeyId": kept["key"]}),
            ("kms", "get_public_key", {"KeyId": kept["signer"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        opened = aws("kms", "decrypt", CiphertextBlob=bytes.fromhex(kept["sealed"]))
        assert bytes.fromhex(opened["Plaintext"]) == b"secret"
        verdict = aws(
            "kms",
            "verify",
            KeyId=kept["signer"],
            Message=b"m",
            Signature=bytes.fromhex(kept["signed"]),
            SigningAlgorithm="ECDSA_SHA_256",
        )
        assert verdict["SignatureValid"]
        aws("kms", "schedule_key_deletion", KeyId=kept["key"])


@scene
class Logs:
    def create(aws: Aws) -> Kept:
        aws("logs", "create_log_group", logGroupName="g", tags={"a": "1"})
        aws("logs", "put_retention_policy", logGroupName="g", retentionInDays=7)
        aws("logs", "create_log_stream", logGroupName="g", logStreamName="s")
        now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
        events = [{"timestamp": now + n, "message": f"line {n}"} for n in range(2)]
        aws("logs", "put_log_events", logGroupName="g", logStreamName="s", logEvents=events)
        transformation = {
            "metricName": "m",
            "metricNamespace": "n",
            "metricValue": "1",
        }
        aws(
            "logs",
            "put_metric_filter",
            logGroupName="g",
            filterName="f",
            filterPattern="x",
            metricTransformations=[transformation],
        )
        return {"later": now + 10}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("logs", "describe_log_groups", {}),
            ("logs", "describe_log_streams", {"logGroupName": "g"}),
            ("logs", "get_log_events", {"logGroupName": "g", "logStreamName": "s"}),
            ("logs", "describe_metric_filters", {"logGroupName": "g"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        events = [{"timestamp": kept["later"], "message": "after"}]
        aws("logs", "put_log_events", logGroupName="g", logStreamName="s", logEvents=events)
        found = aws("logs", "filter_log_events", logGroupName="g", filterPattern="after")
        assert [event["message"] for event in found["events"]] == ["after"]
        aws("logs", "delete_log_group", logGroupName="g")


@scene
class Kinesis:
    def create(aws: Aws) -> Kept:
        aws("kinesis", "create_stream", StreamName="stream", ShardCount=2)
        aws("kinesis", "put_record", StreamName="stream", Data=b"one", PartitionKey="a")
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("kinesis", "describe_stream", {"StreamName": "stream"}),
            ("kinesis", "list_shards", {"StreamName": "stream"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        put = aws("kinesis", "put_record", StreamName="stream", Data=b"two", PartitionKey="a")
        at = aws(
            "kinesis",
            "get_shard_iterator",
            StreamName="stream",
            ShardId=put["ShardId"],
            ShardIteratorType="TRIM_HORIZON",
        )["ShardIterator"]
        found = aws("kinesis", "get_records", ShardIterator=at)["Records"]
        assert [r["Data"] for r in found] == [b"one".hex(), b"two".hex()]
        aws(
            "kinesis",
            "update_shard_count",
            StreamName="stream",
            TargetShardCount=4,
            ScalingType="UNIFORM_SCALING",
        )


@scene
class Cloudwatch:
    def create(aws: Aws) -> Kept:
        aws(
            "cloudwatch",
            "put_metric_alarm",
            AlarmName="alarm",
            MetricName="m",
            Namespace="n",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanThreshold",
            Statistic="Sum",
        )
        data = [{"MetricName": "m", "Value": 2.0}]
        aws("cloudwatch", "put_metric_data", Namespace="n", MetricData=data)
        aws("cloudwatch", "put_dashboard", DashboardName="d", DashboardBody='{"widgets": []}')
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("cloudwatch", "describe_alarms", {}),
            ("cloudwatch", "list_metrics", {}),
            ("cloudwatch", "get_dashboard", {"DashboardName": "d"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws(
            "cloudwatch",
            "set_alarm_state",
            AlarmName="alarm",
            StateValue="ALARM",
            StateReason="r",
        )
        found = aws("cloudwatch", "describe_alarms", StateValue="ALARM")["MetricAlarms"]
        assert [alarm["AlarmName"] for alarm in found] == ["alarm"]
        aws("cloudwatch", "delete_alarms", AlarmNames=["alarm"])
