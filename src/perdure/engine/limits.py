"""What moto itself does not do, and which reads change by themselves: in words.

Only what a user would otherwise take for a fault of Perdure, or for a saved state
that was lost.  Each row was read in the code of moto 5.2.5.
"""

from __future__ import annotations

LIMITS: dict[str, tuple[str, ...]] = {
    "apigateway": ("An API is described, its deployment is not served.",),
    "apigatewayv2": ("An API is described, never served: neither HTTP nor WebSocket.",),
    "athena": (
        "No SQL is run: a query's result is empty, unless moto's queue of results holds one.",
    ),
    "batch": (
        "Jobs need Docker; without it they fail.",
        "A job that runs at a stop does not go on after it: it is FAILED, with the reason.",
    ),
    "cloudformation": (
        (
            "About 100 resource types; others are accepted and make nothing. A custom resource's "
            "Lambda needs Docker."
        ),
    ),
    "cloudwatch": (
        "Alarms are not evaluated: their state changes by SetAlarmState alone, and no action runs.",
    ),
    "codebuild": ("A build is recorded as done; nothing is built.",),
    "cognito-idp": ("Lambda triggers are not invoked; no mail or SMS is sent.",),
    "dynamodb": (
        "Time to live is recorded; no item expires.",
        "An export or import that runs at a stop is FAILED after it, with the reason.",
    ),
    "ecs": ("Tasks change their status; no container runs.",),
    "eks": ("A cluster is described; no Kubernetes answers.",),
    "elasticache": ("Control plane only: no cache answers.",),
    "emr": ("Steps change their status; nothing runs.",),
    "events": (
        (
            "Rules reach CloudWatch Logs, SQS, archives and other event buses. A target of another "
            "kind (Lambda, SNS, Step Functions, Kinesis, Firehose) makes PutEvents fail. API "
            "destinations only where MOTO_EVENTS_INVOKE_HTTP=true is set."
        ),
        "Rules with a schedule never fire.",
    ),
    "firehose": ("Records reach S3 and HTTP destinations only.",),
    "glue": ("Jobs and crawlers change their status; nothing runs.",),
    "kafka": ("Control plane only: no broker answers.",),
    "lambda": (
        "Functions run in Docker. Without it an invocation answers a FunctionError that says so.",
    ),
    "opensearch": ("Control plane only: no index answers.",),
    "pipes": ("A pipe is described; it moves nothing.",),
    "rds": ("Control plane only: no database answers.",),
    "rds-data": ("No SQL is run: a result is empty, unless moto's queue of results holds one.",),
    "redshift": ("Control plane only: no database answers.",),
    "redshift-data": ("No SQL is run: a statement's result is made up.",),
    "s3": ("Lifecycle rules are recorded; nothing is moved or expires.",),
    "scheduler": ("Schedules never fire.",),
    "secretsmanager": ("A rotation runs when RotateSecret is called, never by its schedule.",),
    "ses": ("Mail is recorded, not sent.",),
    "sesv2": ("Mail is recorded, not sent.",),
    "sns": ("Messages reach SQS, Lambda and HTTP(S); mail, SMS and push are recorded only.",),
    "stepfunctions": (
        (
            "An execution runs its states, with moto's interpreter. It picks up no activities, and "
            "a state that starts another execution fails."
        ),
        "What runs at a stop does not go on after it: it is ABORTED, with the reason.",
    ),
    "transcribe": ("A job is recorded as done; its transcript is not made.",),
}

NOW = "its answer has the time of the call in it"
MADE_UP = "its answer is made up at each call"
# Why a read differs without a restart: each read that does must have a reason here.
VOLATILE: dict[tuple[str, str], str] = {
    ("apigatewaymanagementapi", "GetConnection"): NOW,
    ("athena", "GetWorkGroup"): NOW,
    ("athena", "ListCapacityReservations"): NOW,
    ("athena", "ListWorkGroups"): NOW,
    ("codebuild", "BatchGetBuilds"): "each call gives the build another end",
    ("cognito-identity", "GetCredentialsForIdentity"): MADE_UP,
    ("cognito-identity", "GetOpenIdToken"): MADE_UP,
    ("cognito-identity", "GetOpenIdTokenForDeveloperIdentity"): MADE_UP,
    ("cognito-idp", "DescribeUserPoolDomain"): "it names another account at each call",
    ("docdb", "DescribeDBClusters"): NOW,
    ("docdb", "DescribeDBInstances"): NOW,
    ("ec2", "GetConsoleOutput"): NOW,
    ("ec2", "GetPasswordData"): NOW,
    ("efs", "DescribeFileSystems"): NOW,
    ("iam", "GetUser"): "without a name it makes up a user",
    ("iot", "DescribeEndpoint"): MADE_UP,
    ("iot", "GetRegistrationCode"): MADE_UP,
    ("neptune", "DescribeDBClusters"): NOW,
    ("neptune", "DescribeDBInstances"): NOW,
    ("rds", "DescribeDBClusters"): NOW,
    ("rds", "DescribeDBInstances"): NOW,
    ("route53", "GetChange"): NOW,
    ("route53", "GetHealthCheckStatus"): NOW,
    ("secretsmanager", "GetRandomPassword"): MADE_UP,
    ("secretsmanager", "ListSecretVersionIds"): NOW,
    ("ses", "GetSendStatistics"): NOW,
    ("sts", "GetFederationToken"): MADE_UP,
    ("sts", "GetSessionToken"): MADE_UP,
    ("support", "DescribeCases"): "each call moves a case on",
    ("timestream-query", "Query"): MADE_UP,
    ("xray", "GetTraceSummaries"): NOW,
}
