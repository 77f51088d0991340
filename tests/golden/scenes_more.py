"""More of ``scenes``: networks, computers, applications."""

from __future__ import annotations

import json

from tests.golden.scenes import ROLE, TRUST, Aws, Kept, Read, code, first_subnet, scene


@scene
class Ec2:
    def create(aws: Aws) -> Kept:
        vpc = aws("ec2", "create_vpc", CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        subnet = aws("ec2", "create_subnet", VpcId=vpc, CidrBlock="10.1.1.0/24")["Subnet"][
            "SubnetId"
        ]
        group = aws("ec2", "create_security_group", GroupName="web", Description="d", VpcId=vpc)[
            "GroupId"
        ]
        rule = {
            "IpProtocol": "tcp",
            "FromPort": 80,
            "ToPort": 80,
            "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "inside"}],
        }
        aws("ec2", "authorize_security_group_ingress", GroupId=group, IpPermissions=[rule])
        image = aws("ec2", "describe_images", Owners=["amazon"])["Images"][0]["ImageId"]
        made = aws(
            "ec2",
            "run_instances",
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            SecurityGroupIds=[group],
            InstanceType="t3.micro",
        )["Instances"][0]["InstanceId"]
        volume = aws("ec2", "create_volume", Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
        snapshot = aws("ec2", "create_snapshot", VolumeId=volume)["SnapshotId"]
        gateway = aws("ec2", "create_internet_gateway")["InternetGateway"]["InternetGatewayId"]
        aws("ec2", "attach_internet_gateway", InternetGatewayId=gateway, VpcId=vpc)
        table = aws("ec2", "create_route_table", VpcId=vpc)["RouteTable"]["RouteTableId"]
        aws(
            "ec2",
            "create_route",
            RouteTableId=table,
            DestinationCidrBlock="0.0.0.0/0",
            GatewayId=gateway,
        )
        aws("ec2", "create_key_pair", KeyName="pair")
        address = aws("ec2", "allocate_address", Domain="vpc")["AllocationId"]
        data = {"InstanceType": "t3.micro", "ImageId": image}
        aws("ec2", "create_launch_template", LaunchTemplateName="template", LaunchTemplateData=data)
        return {
            "vpc": vpc,
            "subnet": subnet,
            "group": group,
            "image": image,
            "instance": made,
            "volume": volume,
            "snapshot": snapshot,
            "table": table,
            "address": address,
        }

    def reads(kept: Kept) -> list[Read]:
        return [
            ("ec2", "describe_vpcs", {"VpcIds": [kept["vpc"]]}),
            ("ec2", "describe_subnets", {"SubnetIds": [kept["subnet"]]}),
            ("ec2", "describe_security_groups", {"GroupIds": [kept["group"]]}),
            ("ec2", "describe_security_group_rules", {}),
            ("ec2", "describe_instances", {"InstanceIds": [kept["instance"]]}),
            ("ec2", "describe_volumes", {"VolumeIds": [kept["volume"]]}),
            ("ec2", "describe_snapshots", {"SnapshotIds": [kept["snapshot"]]}),
            ("ec2", "describe_route_tables", {"RouteTableIds": [kept["table"]]}),
            ("ec2", "describe_network_interfaces", {}),
            ("ec2", "describe_key_pairs", {}),
            ("ec2", "describe_addresses", {}),
            ("ec2", "describe_launch_templates", {}),
            ("ec2", "describe_network_acls", {}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        one = {"InstanceIds": [kept["instance"]]}
        aws("ec2", "stop_instances", **one)
        aws("ec2", "start_instances", **one)
        aws(
            "ec2",
            "attach_volume",
            VolumeId=kept["volume"],
            InstanceId=kept["instance"],
            Device="/dev/sdf",
        )
        held = aws("ec2", "describe_instances", **one)["Reservations"][0]["Instances"][0]
        assert "/dev/sdf" in [d["DeviceName"] for d in held["BlockDeviceMappings"]]
        aws("ec2", "associate_address", AllocationId=kept["address"], InstanceId=kept["instance"])
        aws(
            "ec2",
            "run_instances",
            ImageId=kept["image"],
            MinCount=1,
            MaxCount=1,
            SubnetId=kept["subnet"],
            SecurityGroupIds=[kept["group"]],
        )
        rule = {
            "IpProtocol": "tcp",
            "FromPort": 80,
            "ToPort": 80,
            "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
        }
        aws("ec2", "revoke_security_group_ingress", GroupId=kept["group"], IpPermissions=[rule])
        found = aws("ec2", "describe_security_groups", GroupIds=[kept["group"]])
        assert found["SecurityGroups"][0]["IpPermissions"] == []
        aws("ec2", "terminate_instances", **one)


@scene
class Autoscaling:
    def create(aws: Aws) -> Kept:
        image = aws("ec2", "describe_images", Owners=["amazon"])["Images"][0]["ImageId"]
        aws(
            "autoscaling",
            "create_launch_configuration",
            LaunchConfigurationName="lc",
            ImageId=image,
            InstanceType="t3.micro",
        )
        aws(
            "autoscaling",
            "create_auto_scaling_group",
            AutoScalingGroupName="asg",
            LaunchConfigurationName="lc",
            MinSize=0,
            MaxSize=3,
            DesiredCapacity=1,
            VPCZoneIdentifier=first_subnet(aws),
        )
        aws(
            "autoscaling",
            "put_scaling_policy",
            AutoScalingGroupName="asg",
            PolicyName="up",
            AdjustmentType="ChangeInCapacity",
            ScalingAdjustment=1,
        )
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("autoscaling", "describe_auto_scaling_groups", {}),
            ("autoscaling", "describe_launch_configurations", {}),
            ("autoscaling", "describe_policies", {}),
            ("autoscaling", "describe_auto_scaling_instances", {}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        group = {"AutoScalingGroupName": "asg"}
        aws("autoscaling", "set_desired_capacity", **group, DesiredCapacity=2)
        found = aws("autoscaling", "describe_auto_scaling_groups")["AutoScalingGroups"][0]
        assert len(found["Instances"]) == 2
        aws("autoscaling", "execute_policy", **group, PolicyName="up")
        aws("autoscaling", "delete_auto_scaling_group", **group, ForceDelete=True)


@scene
class Elbv2:
    def create(aws: Aws) -> Kept:
        vpc = aws("ec2", "describe_vpcs", Filters=[{"Name": "is-default", "Values": ["true"]}])
        zones = sorted(
            aws(
                "ec2", "describe_subnets", Filters=[{"Name": "default-for-az", "Values": ["true"]}]
            )["Subnets"],
            key=lambda subnet: subnet["AvailabilityZone"],
        )
        made = aws(
            "elbv2",
            "create_load_balancer",
            Name="lb",
            Subnets=[zone["SubnetId"] for zone in zones[:2]],
        )["LoadBalancers"][0]["LoadBalancerArn"]
        target = aws(
            "elbv2",
            "create_target_group",
            Name="tg",
            Protocol="HTTP",
            Port=80,
            VpcId=vpc["Vpcs"][0]["VpcId"],
        )["TargetGroups"][0]["TargetGroupArn"]
        listener = aws(
            "elbv2",
            "create_listener",
            LoadBalancerArn=made,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": target}],
        )["Listeners"][0]["ListenerArn"]
        return {"lb": made, "target": target, "listener": listener}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("elbv2", "describe_load_balancers", {}),
            ("elbv2", "describe_target_groups", {}),
            ("elbv2", "describe_listeners", {"LoadBalancerArn": kept["lb"]}),
            ("elbv2", "describe_rules", {"ListenerArn": kept["listener"]}),
            ("elbv2", "describe_load_balancer_attributes", {"LoadBalancerArn": kept["lb"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws(
            "elbv2",
            "create_rule",
            ListenerArn=kept["listener"],
            Priority=5,
            Conditions=[{"Field": "path-pattern", "Values": ["/a"]}],
            Actions=[{"Type": "forward", "TargetGroupArn": kept["target"]}],
        )
        aws("elbv2", "delete_load_balancer", LoadBalancerArn=kept["lb"])


@scene
class Elb:
    def create(aws: Aws) -> Kept:
        listener = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}
        aws(
            "elb",
            "create_load_balancer",
            LoadBalancerName="classic",
            Listeners=[listener],
            AvailabilityZones=["us-east-1a"],
        )
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("elb", "describe_load_balancers", {}),
            ("elb", "describe_load_balancer_attributes", {"LoadBalancerName": "classic"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        listener = {"Protocol": "TCP", "LoadBalancerPort": 81, "InstancePort": 81}
        aws(
            "elb",
            "create_load_balancer_listeners",
            LoadBalancerName="classic",
            Listeners=[listener],
        )
        found = aws("elb", "describe_load_balancers")["LoadBalancerDescriptions"][0]
        assert len(found["ListenerDescriptions"]) == 2


@scene
class Cloudformation:
    TEMPLATE = json.dumps(
        {
            "Resources": {
                "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "from-stack"}},
                "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "from-stack"}},
            },
            "Outputs": {"Url": {"Value": {"Ref": "Queue"}, "Export": {"Name": "url"}}},
        }
    )

    def create(aws: Aws) -> Kept:
        body = Cloudformation.TEMPLATE
        aws("cloudformation", "create_stack", StackName="stack", TemplateBody=body)
        aws("cloudformation", "create_stack_set", StackSetName="set", TemplateBody=body)
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("cloudformation", "describe_stacks", {"StackName": "stack"}),
            ("cloudformation", "list_stack_resources", {"StackName": "stack"}),
            ("cloudformation", "get_template", {"StackName": "stack"}),
            ("cloudformation", "list_exports", {}),
            ("cloudformation", "describe_stack_set", {"StackSetName": "set"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        body = json.loads(Cloudformation.TEMPLATE)
        body["Resources"]["Topic"] = {"Type": "AWS::SNS::Topic"}
        aws("cloudformation", "update_stack", StackName="stack", TemplateBody=json.dumps(body))
        aws("cloudformation", "describe_stack_events", StackName="stack")
        aws("cloudformation", "delete_stack", StackName="stack")
        names = [bucket["Name"] for bucket in aws("s3", "list_buckets")["Buckets"]]
        assert "from-stack" not in names


@scene
class Lambda:
    def create(aws: Aws) -> Kept:
        aws("iam", "create_role", RoleName="function", AssumeRolePolicyDocument=TRUST)
        aws(
            "lambda",
            "create_function",
            FunctionName="f",
            Runtime="python3.11",
            Role="arn:aws:iam::000000000000:role/function",
            Handler="index.handler",
            Code={"ZipFile": code()},
            Environment={"Variables": {"A": "1"}},
        )
        aws("lambda", "publish_version", FunctionName="f")
        aws("lambda", "create_alias", FunctionName="f", Name="live", FunctionVersion="1")
        aws(
            "lambda",
            "add_permission",
            FunctionName="f",
            StatementId="s",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
        )
        aws("sqs", "create_queue", QueueName="events")
        mapping = aws(
            "lambda",
            "create_event_source_mapping",
            FunctionName="f",
            EventSourceArn="arn:aws:sqs:us-east-1:000000000000:events",
        )
        return {"mapping": mapping["UUID"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("lambda", "list_functions", {}),
            ("lambda", "get_function_configuration", {"FunctionName": "f"}),
            ("lambda", "list_aliases", {"FunctionName": "f"}),
            ("lambda", "get_policy", {"FunctionName": "f"}),
            ("lambda", "get_event_source_mapping", {"UUID": kept["mapping"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws("lambda", "update_function_configuration", FunctionName="f", Timeout=9)
        aws("lambda", "publish_version", FunctionName="f")
        aws("lambda", "update_alias", FunctionName="f", Name="live", FunctionVersion="2")
        aws("lambda", "update_event_source_mapping", UUID=kept["mapping"], Enabled=False)
        aws("lambda", "delete_function", FunctionName="f")


@scene
class Events:
    def create(aws: Aws) -> Kept:
        aws("events", "create_event_bus", Name="bus")
        pattern = json.dumps({"source": ["me"]})
        aws("events", "put_rule", Name="rule", EventPattern=pattern)
        aws("logs", "create_log_group", logGroupName="from-events")
        arn = "arn:aws:logs:us-east-1:000000000000:log-group:from-events"
        aws("events", "put_targets", Rule="rule", Targets=[{"Id": "1", "Arn": arn}])
        bus = "arn:aws:events:us-east-1:000000000000:event-bus/default"
        aws("events", "create_archive", ArchiveName="all", EventSourceArn=bus)
        return {}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("events", "list_event_buses", {}),
            ("events", "describe_rule", {"Name": "rule"}),
            ("events", "list_targets_by_rule", {"Rule": "rule"}),
            ("events", "describe_archive", {"ArchiveName": "all"}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        entry = {"Source": "me", "DetailType": "t", "Detail": "{}"}
        assert aws("events", "put_events", Entries=[entry])["FailedEntryCount"] == 0
        found = aws("logs", "filter_log_events", logGroupName="from-events")["events"]
        assert len(found) == 1
        aws("events", "disable_rule", Name="rule")


@scene
class Stepfunctions:
    def create(aws: Aws) -> Kept:
        definition = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
        machine = aws(
            "stepfunctions",
            "create_state_machine",
            name="machine",
            definition=json.dumps(definition),
            roleArn=ROLE,
        )["stateMachineArn"]
        run = aws("stepfunctions", "start_execution", stateMachineArn=machine, name="run")
        return {"machine": machine, "run": run["executionArn"]}

    def reads(kept: Kept) -> list[Read]:
        return [
            ("stepfunctions", "describe_state_machine", {"stateMachineArn": kept["machine"]}),
            ("stepfunctions", "describe_execution", {"executionArn": kept["run"]}),
        ]

    def use(aws: Aws, kept: Kept) -> None:
        aws("stepfunctions", "start_execution", stateMachineArn=kept["machine"], name="again")
        aws("stepfunctions", "update_state_machine", stateMachineArn=kept["machine"], roleArn=ROLE)
        found = aws("stepfunctions", "list_executions", stateMachineArn=kept["machine"])
        assert {run["name"] for run in found["executions"]} == {"run", "again"}
