"""More of ``scenes``: APIs, containers, databases, identity, mail."""

from __future__ import annotations

import json

from tests.golden.scenes import ROLE, TRUST, Aws, Kept, Read, first_subnet, scene


@scene
class Apigateway:
    def create(aws: Aws) -> Kept:
        api = aws("apigateway", "create_rest_api", name="api")["id"]
        root = aws("apigateway", "get_resources", restApiId=api)["items"][0]["id"]
        path = aws("apigateway", "create_resource", restApiId=api, parentId=root, pathPart="a")[
            "id"
        ]
        where = {"restApiId": api, "resourceId": path, "httpMethod": "GET"}
        aws("apigateway", "put_method", **where, authorizationType="NONE")
        aws("apigateway", "put_method_response", **where, statusCode="200")
        aws("apigateway", "put_integration", **where, type="MOCK")
        aws("apigateway", "create_deployment", restApiId=api, stageName="live")
        key = aws("apigateway", "create_api_key", name="key")["id"]
        return {"api": api, "path": path, "key": key}

    def reads(kept: Kept) -> list[Read]:
        where = {"restApiId": kept["api"]}
        return [
            ("apigateway", "get_rest_api", where),
            ("apigateway", "get_resources", where),
            ("apigateway", "get_stages", where),
            (
                "apigateway",
                "get_method",
                {**where, "resourceId": kept["path"], "httpMethod": "GET"},
            ),
            ("apigateway", "get_api_key", {"apiKey": kept["key"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        where = {"restApiId": kept["api"]}
        op = {"op": "replace", "path": "/description", "value": "d"}
        aws("apigateway", "update_stage", **where, stageName="live", patchOperations=[op])
        aws("apigateway", "create_deployment", **where, stageName="next")
        aws("apigateway", "delete_resource", **where, resourceId=kept["path"])


@scene
class Apigatewayv2:
    def create(aws: Aws) -> Kept:
        api = aws("apigatewayv2", "create_api", Name="http", ProtocolType="HTTP")["ApiId"]
        integration = aws(
            "apigatewayv2",
            "create_integration",
            ApiId=api,
            IntegrationType="HTTP_PROXY",
            IntegrationUri="https://example.com",
            IntegrationMethod="GET",
            PayloadFormatVersion="1.0",
        )["IntegrationId"]
        aws("apigatewayv2", "create_route", ApiId=api, RouteKey="GET /a")
        aws("apigatewayv2", "create_stage", ApiId=api, StageName="live")
        return {"api": api, "integration": integration}

    def reads(kept: Kept) -> list[Read]:
        where = {"ApiId": kept["api"]}
        return [
            ("apigatewayv2", "get_api", where),
            ("apigatewayv2", "get_routes", where),
            ("apigatewayv2", "get_integrations", where),
            ("apigatewayv2", "get_stages", where),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws("apigatewayv2", "update_api", ApiId=kept["api"], Description="d")
        where = {"ApiId": kept["api"], "IntegrationId": kept["integration"]}
        aws("apigatewayv2", "update_integration", **where, IntegrationMethod="POST")
        aws("apigatewayv2", "delete_integration", **where)


@scene
class Cognito:
    def create(aws: Aws) -> Kept:
        pool = aws("cognito-idp", "create_user_pool", PoolName="pool")["UserPool"]["Id"]
        client = aws(
            "cognito-idp",
            "create_user_pool_client",
            UserPoolId=pool,
            ClientName="c",
            ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        )["UserPoolClient"]["ClientId"]
        aws("cognito-idp", "admin_create_user", UserPoolId=pool, Username="ann")
        aws(
            "cognito-idp",
            "admin_set_user_password",
            UserPoolId=pool,
            Username="ann",
            Password="Secret-123",
            Permanent=True,
        )
        identity = aws(
            "cognito-identity",
            "create_identity_pool",
            IdentityPoolName="ids",
            AllowUnauthenticatedIdentities=True,
        )["IdentityPoolId"]
        return {"pool": pool, "client": client, "identity": identity}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("cognito-idp", "describe_user_pool", {"UserPoolId": kept["pool"]}),
            ("cognito-idp", "admin_get_user", {"UserPoolId": kept["pool"], "Username": "ann"}),
            (
                "cognito-idp",
                "describe_user_pool_client",
                {"UserPoolId": kept["pool"], "ClientId": kept["client"]},
            ),
            ("cognito-identity", "describe_identity_pool", {"IdentityPoolId": kept["identity"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        found = aws(
            "cognito-idp",
            "admin_initiate_auth",
            UserPoolId=kept["pool"],
            ClientId=kept["client"],
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "ann", "PASSWORD": "Secret-123"},
        )
        token = found["AuthenticationResult"]["AccessToken"]
        assert aws("cognito-idp", "get_user", AccessToken=token)["Username"] == "ann"
        aws("cognito-idp", "admin_disable_user", UserPoolId=kept["pool"], Username="ann")


@scene
class Acm:
    def create(aws: Aws) -> Kept:
        arn = aws("acm", "request_certificate", DomainName="example.com")["CertificateArn"]
        return {"arn": arn}

    def reads(kept: Kept) -> list[Read]:
        # Before 5.2 a certificate says PENDING_VALIDATION at its first look.
        return [("acm", "list_tags_for_certificate", {"CertificateArn": kept["arn"]})]

    def use(aws: Aws, kept: Kept) -> None:
        tag = {"Key": "a", "Value": "1"}
        aws("acm", "add_tags_to_certificate", CertificateArn=kept["arn"], Tags=[tag])
        found = aws("acm", "describe_certificate", CertificateArn=kept["arn"])["Certificate"]
        assert found["DomainName"] == "example.com"
        assert found["SubjectAlternativeNames"] == ["example.com"]
        aws("acm", "delete_certificate", CertificateArn=kept["arn"])


@scene
class Route53:
    def create(aws: Aws) -> Kept:
        zone = aws("route53", "create_hosted_zone", Name="example.org.", CallerReference="r")
        number = zone["HostedZone"]["Id"].split("/")[-1]
        record = {
            "Name": "a.example.org.",
            "Type": "A",
            "TTL": 60,
            "ResourceRecords": [{"Value": "10.0.0.1"}],
        }
        batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
        aws("route53", "change_resource_record_sets", HostedZoneId=number, ChangeBatch=batch)
        return {"zone": number, "record": record}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("route53", "get_hosted_zone", {"Id": kept["zone"]}),
            ("route53", "list_resource_record_sets", {"HostedZoneId": kept["zone"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        batch = {"Changes": [{"Action": "DELETE", "ResourceRecordSet": kept["record"]}]}
        aws("route53", "change_resource_record_sets", HostedZoneId=kept["zone"], ChangeBatch=batch)
        aws("route53", "delete_hosted_zone", Id=kept["zone"])


@scene
class Rds:
    def create(aws: Aws) -> Kept:
        aws(
            "rds",
            "create_db_instance",
            DBInstanceIdentifier="db",
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            MasterUsername="u",
            MasterUserPassword="password1",
            AllocatedStorage=10,
        )
        aws(
            "rds",
            "create_db_cluster",
            DBClusterIdentifier="cluster",
            Engine="aurora-postgresql",
            MasterUsername="u",
            MasterUserPassword="password1",
        )
        aws("rds", "create_db_snapshot", DBSnapshotIdentifier="shot", DBInstanceIdentifier="db")
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("rds", "describe_db_instances", {}),
            ("rds", "describe_db_clusters", {}),
            ("rds", "describe_db_snapshots", {}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws("rds", "modify_db_instance", DBInstanceIdentifier="db", AllocatedStorage=20)
        aws("rds", "stop_db_instance", DBInstanceIdentifier="db")
        aws("rds", "start_db_instance", DBInstanceIdentifier="db")
        aws(
            "rds",
            "restore_db_instance_from_db_snapshot",
            DBInstanceIdentifier="again",
            DBSnapshotIdentifier="shot",
        )
        aws("rds", "delete_db_instance", DBInstanceIdentifier="db", SkipFinalSnapshot=True)


@scene
class Ecs:
    def create(aws: Aws) -> Kept:
        aws("ecs", "create_cluster", clusterName="cluster")
        container = {"name": "c", "image": "busybox", "memory": 64}
        aws("ecs", "register_task_definition", family="task", containerDefinitions=[container])
        aws(
            "ecs",
            "create_service",
            cluster="cluster",
            serviceName="service",
            taskDefinition="task",
            desiredCount=1,
        )
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("ecs", "describe_clusters", {"clusters": ["cluster"]}),
            ("ecs", "describe_task_definition", {"taskDefinition": "task"}),
            ("ecs", "list_services", {"cluster": "cluster"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        where = {"cluster": "cluster", "service": "service"}
        aws("ecs", "update_service", **where, desiredCount=2)
        found = aws("ecs", "describe_services", cluster="cluster", services=["service"])
        assert found["services"][0]["desiredCount"] == 2
        aws("ecs", "delete_service", **where, force=True)
        aws("ecs", "deregister_task_definition", taskDefinition="task:1")


@scene
class Ecr:
    def create(aws: Aws) -> Kept:
        aws("ecr", "create_repository", repositoryName="images")
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        config = {"digest": "sha256:" + "0" * 64}
        manifest = {"schemaVersion": 2, "mediaType": kind, "layers": [], "config": config}
        image = aws(
            "ecr",
            "put_image",
            repositoryName="images",
            imageManifest=json.dumps(manifest),
            imageTag="v1",
        )
        return {"digest": image["image"]["imageId"]["imageDigest"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("ecr", "describe_repositories", {}),
            ("ecr", "describe_images", {"repositoryName": "images"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        one = [{"imageTag": "v1"}]
        aws("ecr", "batch_get_image", repositoryName="images", imageIds=one)
        aws("ecr", "batch_delete_image", repositoryName="images", imageIds=one)
        aws("ecr", "delete_repository", repositoryName="images", force=True)


@scene
class Glue:
    def create(aws: Aws) -> Kept:
        aws("glue", "create_database", DatabaseInput={"Name": "lake"})
        table = {"Name": "t", "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}]}}
        aws("glue", "create_table", DatabaseName="lake", TableInput=table)
        command = {"Name": "glueetl", "ScriptLocation": "s3://bucket/x"}
        aws("glue", "create_job", Name="job", Role=ROLE, Command=command)
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("glue", "get_tables", {"DatabaseName": "lake"}),
            ("glue", "get_job", {"JobName": "job"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        run = aws("glue", "start_job_run", JobName="job")["JobRunId"]
        aws("glue", "get_job_run", JobName="job", RunId=run)
        aws("glue", "update_table", DatabaseName="lake", TableInput={"Name": "t"})
        aws("glue", "delete_database", Name="lake")


@scene
class Athena:
    def create(aws: Aws) -> Kept:
        aws("athena", "create_work_group", Name="group", Configuration={})
        query = aws(
            "athena",
            "start_query_execution",
            QueryString="SELECT 1",
            WorkGroup="group",
            ResultConfiguration={"OutputLocation": "s3://bucket/out/"},
        )
        return {"query": query["QueryExecutionId"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("athena", "get_work_group", {"WorkGroup": "group"}),
            ("athena", "list_query_executions", {"WorkGroup": "group"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        found = aws("athena", "get_query_execution", QueryExecutionId=kept["query"])
        assert found["QueryExecution"]["Status"]["State"] == "SUCCEEDED"
        aws("athena", "create_named_query", Name="q", Database="d", QueryString="SELECT 2")


@scene
class Efs:
    def create(aws: Aws) -> Kept:
        system = aws("efs", "create_file_system", CreationToken="t")["FileSystemId"]
        target = aws("efs", "create_mount_target", FileSystemId=system, SubnetId=first_subnet(aws))[
            "MountTargetId"
        ]
        return {"system": system, "target": target}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("efs", "describe_file_systems", {}),
            ("efs", "describe_mount_targets", {"FileSystemId": kept["system"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws("efs", "create_access_point", ClientToken="c", FileSystemId=kept["system"])
        aws("efs", "delete_mount_target", MountTargetId=kept["target"])


@scene
class Firehose:
    def create(aws: Aws) -> Kept:
        aws("s3", "create_bucket", Bucket="hose")
        where = {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::hose"}
        aws(
            "firehose",
            "create_delivery_stream",
            DeliveryStreamName="hose",
            ExtendedS3DestinationConfiguration=where,
        )
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [("firehose", "describe_delivery_stream", {"DeliveryStreamName": "hose"})]

    def use(aws: Aws, kept: Kept) -> None:
        aws("firehose", "put_record", DeliveryStreamName="hose", Record={"Data": b"x"})
        assert aws("s3", "list_objects_v2", Bucket="hose")["KeyCount"] == 1


@scene
class Organizations:
    def create(aws: Aws) -> Kept:
        aws("organizations", "create_organization", FeatureSet="ALL")
        made = aws("organizations", "create_account", Email="a@example.com", AccountName="a")
        return {"account": made["CreateAccountStatus"]["AccountId"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("organizations", "describe_organization", {}),
            ("organizations", "list_accounts", {}),
            ("organizations", "list_roots", {}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        root = aws("organizations", "list_roots")["Roots"][0]["Id"]
        unit = aws("organizations", "create_organizational_unit", ParentId=root, Name="u")
        to = unit["OrganizationalUnit"]["Id"]
        aws(
            "organizations",
            "move_account",
            AccountId=kept["account"],
            SourceParentId=root,
            DestinationParentId=to,
        )
        found = aws("organizations", "list_accounts_for_parent", ParentId=to)["Accounts"]
        assert [account["Id"] for account in found] == [kept["account"]]


@scene
class Scheduler:
    def create(aws: Aws) -> Kept:
        aws(
            "scheduler",
            "create_schedule",
            Name="s",
            ScheduleExpression="rate(1 day)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:sqs:us-east-1:000000000000:jobs", "RoleArn": ROLE},
        )
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [("scheduler", "get_schedule", {"Name": "s"})]

    def use(aws: Aws, kept: Kept) -> None:
        aws("scheduler", "create_schedule_group", Name="g")
        aws("scheduler", "delete_schedule", Name="s")


@scene
class Ses:
    def create(aws: Aws) -> Kept:
        aws("ses", "verify_email_identity", EmailAddress="a@example.com")
        template = {"TemplateName": "t", "SubjectPart": "s", "TextPart": "x", "HtmlPart": "y"}
        aws("ses", "create_template", Template=template)
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("ses", "list_identities", {}),
            ("ses", "get_template", {"TemplateName": "t"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        body = {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}
        aws(
            "ses",
            "send_email",
            Source="a@example.com",
            Destination={"ToAddresses": ["b@example.com"]},
            Message=body,
        )


@scene
class Sesv2:
    def create(aws: Aws) -> Kept:
        aws("sesv2", "create_contact_list", ContactListName="list")
        aws("sesv2", "create_contact", ContactListName="list", EmailAddress="b@example.com")
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("sesv2", "get_contact_list", {"ContactListName": "list"}),
            (
                "sesv2",
                "get_contact",
                {"ContactListName": "list", "EmailAddress": "b@example.com"},
            ),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws("sesv2", "list_contacts", ContactListName="list")
        aws("sesv2", "delete_contact", ContactListName="list", EmailAddress="b@example.com")


@scene
class Emr:
    def create(aws: Aws) -> Kept:
        made = aws(
            "emr",
            "run_job_flow",
            Name="flow",
            Instances={
                "MasterInstanceType": "m5.large",
                "SlaveInstanceType": "m5.large",
                "InstanceCount": 2,
                "KeepJobFlowAliveWhenNoSteps": True,
            },
            ReleaseLabel="emr-6.15.0",
            JobFlowRole="r",
            ServiceRole="s",
        )
        return {"flow": made["JobFlowId"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("emr", "describe_cluster", {"ClusterId": kept["flow"]}),
            ("emr", "list_instance_groups", {"ClusterId": kept["flow"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        step = {"Name": "s", "HadoopJarStep": {"Jar": "x.jar"}}
        aws("emr", "add_job_flow_steps", JobFlowId=kept["flow"], Steps=[step])
        aws("emr", "terminate_job_flows", JobFlowIds=[kept["flow"]])


@scene
class Eks:
    def create(aws: Aws) -> Kept:
        network = {"subnetIds": [first_subnet(aws)]}
        aws("eks", "create_cluster", name="k8s", roleArn=ROLE, resourcesVpcConfig=network)
        aws(
            "eks",
            "create_nodegroup",
            clusterName="k8s",
            nodegroupName="nodes",
            subnets=[first_subnet(aws)],
            nodeRole=ROLE,
        )
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("eks", "describe_cluster", {"name": "k8s"}),
            ("eks", "describe_nodegroup", {"clusterName": "k8s", "nodegroupName": "nodes"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws("eks", "delete_nodegroup", clusterName="k8s", nodegroupName="nodes")
        assert aws("eks", "list_nodegroups", clusterName="k8s")["nodegroups"] == []
        aws("eks", "delete_cluster", name="k8s")


@scene
class Elasticache:
    def create(aws: Aws) -> Kept:
        aws(
            "elasticache",
            "create_replication_group",
            ReplicationGroupId="cache",
            ReplicationGroupDescription="d",
            Engine="redis",
        )
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [("elasticache", "describe_replication_groups", {})]

    def use(aws: Aws, kept: Kept) -> None:
        aws("elasticache", "delete_replication_group", ReplicationGroupId="cache")


@scene
class Redshift:
    def create(aws: Aws) -> Kept:
        aws(
            "redshift",
            "create_cluster",
            ClusterIdentifier="shift",
            NodeType="dc2.large",
            MasterUsername="u",
            MasterUserPassword="Password1",
        )
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [("redshift", "describe_clusters", {})]

    def use(aws: Aws, kept: Kept) -> None:
        where = {"ClusterIdentifier": "shift"}
        aws("redshift", "create_cluster_snapshot", SnapshotIdentifier="s", **where)
        aws("redshift", "delete_cluster", **where, SkipFinalClusterSnapshot=True)


@scene
class Wafv2:
    def create(aws: Aws) -> Kept:
        made = aws(
            "wafv2",
            "create_web_acl",
            Name="acl",
            Scope="REGIONAL",
            DefaultAction={"Allow": {}},
            VisibilityConfig={
                "SampledRequestsEnabled": False,
                "CloudWatchMetricsEnabled": False,
                "MetricName": "m",
            },
        )["Summary"]
        return {"id": made["Id"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("wafv2", "get_web_acl", {"Name": "acl", "Scope": "REGIONAL", "Id": kept["id"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        where = {"Name": "acl", "Scope": "REGIONAL", "Id": kept["id"]}
        lock = aws("wafv2", "get_web_acl", **where)["LockToken"]
        aws("wafv2", "delete_web_acl", **where, LockToken=lock)


@scene
class Batch:
    def create(aws: Aws) -> Kept:
        aws("iam", "create_role", RoleName="batch", AssumeRolePolicyDocument=TRUST)
        arn = "arn:aws:iam::000000000000:role/batch"
        aws(
            "batch",
            "create_compute_environment",
            computeEnvironmentName="env",
            type="UNMANAGED",
            state="ENABLED",
            serviceRole=arn,
        )
        order = [{"order": 1, "computeEnvironment": "env"}]
        aws(
            "batch",
            "create_job_queue",
            jobQueueName="queue",
            state="ENABLED",
            priority=1,
            computeEnvironmentOrder=order,
        )
        aws(
            "batch",
            "register_job_definition",
            jobDefinitionName="job",
            type="container",
            containerProperties={"image": "busybox", "vcpus": 1, "memory": 64},
        )
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("batch", "describe_compute_environments", {}),
            ("batch", "describe_job_queues", {}),
            ("batch", "describe_job_definitions", {}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws("batch", "update_job_queue", jobQueue="queue", priority=2)
        aws("batch", "deregister_job_definition", jobDefinition="job:1")


@scene
class Servicediscovery:
    def create(aws: Aws) -> Kept:
        aws("servicediscovery", "create_http_namespace", Name="space")
        space = aws("servicediscovery", "list_namespaces")["Namespaces"][0]["Id"]
        service = aws("servicediscovery", "create_service", Name="service", NamespaceId=space)
        return {"space": space, "service": service["Service"]["Id"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("servicediscovery", "get_namespace", {"Id": kept["space"]}),
            ("servicediscovery", "get_service", {"Id": kept["service"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws(
            "servicediscovery",
            "register_instance",
            ServiceId=kept["service"],
            InstanceId="i",
            Attributes={"AWS_INSTANCE_IPV4": "10.0.0.1"},
        )
        found = aws("servicediscovery", "list_instances", ServiceId=kept["service"])
        assert [each["Id"] for each in found["Instances"]] == ["i"]
