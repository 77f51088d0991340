"""What nothing could guess: parameters given by hand, and what services lean on.

Short on purpose: a rule in ``synthesis`` helps many operations, a row here one.
``{account}`` and ``{turn}`` are filled in; None leaves a member out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.coverage.synthesis import POLICY, archive

STATES = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})

ROLE = "arn:aws:iam::{account}:role/sweep-role"
BUS = "arn:aws:events:us-east-1:{account}:event-bus/default"
DOCUMENT = json.dumps(
    {
        "schemaVersion": "2.2",
        "description": "sweep",
        "mainSteps": [{"action": "aws:runShellScript", "name": "sweep", "inputs": {}}],
    }
)
ZIP = {"ZipFile": archive()}
KEY = {"id": {"S": "sweep{turn}"}}

# Services whose models require too little, or whose strings are languages of their own.
GIVEN: dict[str, dict[str, dict[str, Any]]] = {
    "dynamodb": {
        "CreateTable": {
            "TableName": "sweep-table-{turn}",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            **dict.fromkeys(
                (
                    "ProvisionedThroughput",
                    "LocalSecondaryIndexes",
                    "GlobalSecondaryIndexes",
                    "OnDemandThroughput",
                )
            ),
        },
        **{name: {"Key": KEY} for name in ("GetItem", "UpdateItem", "DeleteItem")},
        "PutItem": {"Item": {**KEY, "at": {"N": "{turn}"}}},
        "BatchGetItem": {"RequestItems": {"sweep-table-0": {"Keys": [KEY]}}},
        "BatchWriteItem": {"RequestItems": {"sweep-table-0": [{"PutRequest": {"Item": KEY}}]}},
        "TransactGetItems": {
            "TransactItems": [{"Get": {"TableName": "sweep-table-0", "Key": KEY}}]
        },
        "TransactWriteItems": {
            "TransactItems": [{"Put": {"TableName": "sweep-table-0", "Item": KEY}}]
        },
        "Query": {
            "KeyConditionExpression": "id = :id",
            "ExpressionAttributeValues": {":id": {"S": "sweep0"}},
        },
        "ExecuteStatement": {"Statement": 'SELECT * FROM "sweep-table-0"'},
        "BatchExecuteStatement": {
            "Statements": [{"Statement": "SELECT * FROM \"sweep-table-0\" WHERE id = 'sweep0'"}]
        },
        "ExecuteTransaction": {
            "TransactStatements": [
                {"Statement": "SELECT * FROM \"sweep-table-0\" WHERE id = 'sweep0'"}
            ]
        },
    },
    "ec2": {
        # ec2's model requires next to nothing.
        "CreateVpc": {"CidrBlock": "10.{turn}.0.0/16"},
        "CreateSubnet": {"CidrBlock": "172.31.{turn}10.0/28"},
        "CreateVolume": {"AvailabilityZone": "us-east-1a", "Size": 10, "VolumeType": "gp2"},
        "RunInstances": {"MaxCount": 1, "MinCount": 1, "InstanceType": "t3.micro"},
        "CreateTags": {"Tags": [{"Key": "stage", "Value": "sweep"}]},
    },
    "elbv2": {
        "CreateTargetGroup": {"Protocol": "HTTP", "Port": 80, "TargetType": "ip"},
        "CreateListener": {
            "Protocol": "HTTP",
            "Port": 80,
            "DefaultActions": [
                {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}
            ],
            **dict.fromkeys(("Certificates", "SslPolicy", "AlpnPolicy", "MutualAuthentication")),
        },
    },
    "emr-serverless": {"CreateApplication": {"type": "SPARK", "releaseLabel": "emr-6.6.0"}},
    "events": {
        "PutRule": {"EventBusName": None, "RoleArn": None},
        "CreateArchive": {"EventSourceArn": BUS},
        "PutPermission": {
            "StatementId": "sweep{turn}",
            "Action": "events:PutEvents",
            "Principal": "{account}",
        },
        "StartReplay": {"EventSourceArn": BUS, "Destination": {"Arn": BUS}},
    },
    "firehose": {
        "CreateDeliveryStream": {
            "S3DestinationConfiguration": {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::sweep"}
        }
    },
    "lambda": {
        "CreateFunction": {
            "FunctionName": "sweep-function-{turn}",
            "Code": ZIP,
            "Runtime": "python3.12",
            "PackageType": "Zip",
        },
        "PublishLayerVersion": {"Content": ZIP},
        "UpdateFunctionCode": ZIP | dict.fromkeys(("S3Bucket", "S3Key", "ImageUri")),
        "CreateAlias": {"FunctionVersion": "$LATEST"},
    },
    "ssm": {
        "PutParameter": {"Value": "sweep", "Type": "String", "Overwrite": None, "Tags": None},
        "CreateDocument": {"Content": DOCUMENT, "DocumentType": "Command"},
    },
    "stepfunctions": {"CreateStateMachine": {"definition": STATES}},
}


@dataclass(frozen=True, slots=True)
class Lean:
    """Something of another service, made in the same account when first asked for.

    Attributes:
        service: Whose.
        operation: What is called; what it is given and answers is fed.
        parameters: With these.
        answer: The value that is asked for, where the call does not answer it.
        same_as: The member that is answered under another name.
    """

    service: str
    operation: str
    parameters: dict[str, Any] = field(default_factory=dict)
    answer: str = ""
    same_as: str = ""


STREAM = "arn:aws:kinesis:us-east-1:{account}:stream/sweep-stream"

# By the plain name of what is asked for.
LEANS_ON: dict[str, Lean] = {
    "subnetid": Lean("ec2", "DescribeSubnets"),
    "vpcid": Lean("ec2", "DescribeVpcs"),
    "securitygroupid": Lean("ec2", "DescribeSecurityGroups", same_as="GroupId"),
    "imageid": Lean("ec2", "DescribeImages", {"Owners": ["amazon"]}),
    "rolearn": Lean(
        "iam", "CreateRole", {"RoleName": "sweep-role", "AssumeRolePolicyDocument": POLICY}
    ),
    "kmskeyid": Lean("kms", "CreateKey", same_as="KeyId"),
    "topicarn": Lean("sns", "CreateTopic", {"Name": "sweep-topic"}),
    "queuearn": Lean(
        "sqs",
        "CreateQueue",
        {"QueueName": "sweep-queue"},
        answer="arn:aws:sqs:us-east-1:{account}:sweep-queue",
    ),
    "streamarn": Lean(
        "kinesis", "CreateStream", {"StreamName": "sweep-stream", "ShardCount": 1}, answer=STREAM
    ),
    "functionarn": Lean(
        "lambda",
        "CreateFunction",
        {
            "FunctionName": "sweep-function",
            "Runtime": "python3.12",
            "Role": ROLE,
            "Handler": "index.handler",
            "Code": ZIP,
        },
    ),
    "bucket": Lean("s3", "CreateBucket", {"Bucket": "sweep-{account}-0"}),
    "certificatearn": Lean("acm", "RequestCertificate", {"DomainName": "sweep.example.com"}),
    "userpoolid": Lean("cognito-idp", "CreateUserPool", {"PoolName": "sweep-pool"}),
    "secretarn": Lean("secretsmanager", "CreateSecret", {"Name": "sweep", "SecretString": "sweep"}),
}
