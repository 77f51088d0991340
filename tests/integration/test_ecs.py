"""ECS across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed

IMAGE = "ami-12c6146b"  # one that moto brings; to list them all takes a second
CONTAINER = {
    "name": "web",
    "image": "web:1",
    "memory": 64,
    "portMappings": [{"containerPort": 80}],
}


def make_service(aws, name, *, count=1, **more):
    """A cluster with a service of one container in a subnet of EC2."""
    ecs = aws.client("ecs")
    ecs.create_cluster(clusterName=name)
    ecs.register_task_definition(
        family=name,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[CONTAINER],
    )
    made = ecs.create_service(
        cluster=name,
        serviceName=name,
        taskDefinition=name,
        desiredCount=count,
        launchType="FARGATE",
        networkConfiguration=network(aws),
        **more,
    )
    return made["service"]


def network(aws):
    ec2 = aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    return {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}


def describe(ecs, name):
    return ecs.describe_services(cluster=name, services=[name])["services"][0]


@resumed
def test_service_is_updated_and_deleted(aws):
    """A service takes a new revision and count, and is deleted only when it is down."""
    ecs = aws.client("ecs")
    made = make_service(aws, "app", count=2, tags=[{"key": "a", "value": "b"}])
    yield
    assert describe(ecs, "app")["serviceArn"] == made["serviceArn"]
    tags = ecs.list_tags_for_resource(resourceArn=made["serviceArn"])["tags"]
    assert tags == [{"key": "a", "value": "b"}]
    again = ecs.register_task_definition(
        family="app", containerDefinitions=[{**CONTAINER, "image": "web:2"}]
    )["taskDefinition"]
    assert again["revision"] == 2
    ecs.update_service(cluster="app", service="app", taskDefinition="app:2", desiredCount=3)
    found = describe(ecs, "app")
    assert found["taskDefinition"].endswith("app:2")
    assert found["desiredCount"] == 3
    with pytest.raises(ClientError, match="InvalidParameter"):
        ecs.delete_service(cluster="app", service="app")
    ecs.update_service(cluster="app", service="app", desiredCount=0)
    ecs.delete_service(cluster="app", service="app")
    ecs.deregister_task_definition(taskDefinition="app:1")
    listed = ecs.list_task_definitions(familyPrefix="app")["taskDefinitionArns"]
    assert listed == [again["taskDefinitionArn"]]


@resumed
def test_service_behind_a_target_group(aws):
    """A service keeps the target group of its balancer, which still knows both."""
    ec2, balancing, ecs = aws.client("ec2"), aws.client("elbv2"), aws.client("ecs")
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"][:2]]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    target = balancing.create_target_group(
        Name="web", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]
    balancer = balancing.create_load_balancer(Name="web", Subnets=subnets)["LoadBalancers"][0]
    balancing.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target}],
    )
    behind = {"targetGroupArn": target, "containerName": "web", "containerPort": 80}
    make_service(aws, "web", loadBalancers=[behind])
    yield
    (found,) = describe(ecs, "web")["loadBalancers"]
    group = balancing.describe_target_groups(TargetGroupArns=[found["targetGroupArn"]])
    assert group["TargetGroups"][0]["LoadBalancerArns"] == [balancer["LoadBalancerArn"]]
    ecs.delete_service(cluster="web", service="web", force=True)
    balancing.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    balancing.delete_target_group(TargetGroupArn=target)


@resumed
def test_task_has_an_interface_of_ec2(aws):
    """A task's network interface is EC2's; tasks run before and after have different ones."""
    ec2, ecs = aws.client("ec2"), aws.client("ecs")
    make_service(aws, "net", count=0)
    how = {
        "cluster": "net",
        "taskDefinition": "net",
        "launchType": "FARGATE",
        "networkConfiguration": network(aws),
    }

    def interface(task):
        (details,) = (a["details"] for a in task["attachments"])
        return next(d["value"] for d in details if d["name"] == "networkInterfaceId")

    first = ecs.run_task(**how)["tasks"][0]
    yield
    second = ecs.run_task(**how)["tasks"][0]
    both = {interface(first), interface(second)}
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=list(both))["NetworkInterfaces"]
    assert len({i["PrivateIpAddress"] for i in found}) == 2
    ecs.stop_task(cluster="net", task=first["taskArn"])
    tasks = ecs.describe_tasks(cluster="net", tasks=[first["taskArn"], second["taskArn"]])["tasks"]
    assert {t["taskArn"]: t["desiredStatus"] for t in tasks}[first["taskArn"]] == "STOPPED"


@resumed
def test_container_instance_is_an_instance_of_ec2(aws):
    """EC2's instance in a cluster takes tasks after a restart, is drained and leaves."""
    ec2, ecs = aws.client("ec2"), aws.client("ecs")
    ecs.create_cluster(clusterName="machines")
    instance = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]
    document = json.dumps({"instanceId": instance["InstanceId"], "accountId": aws.id})
    arn = ecs.register_container_instance(cluster="machines", instanceIdentityDocument=document)[
        "containerInstance"
    ]["containerInstanceArn"]
    ecs.register_task_definition(
        family="on", containerDefinitions=[{"name": "c", "image": "c", "memory": 64}]
    )
    yield
    which = {"cluster": "machines", "containerInstances": [arn]}

    def found():
        return ecs.describe_container_instances(**which)["containerInstances"][0]

    assert found()["ec2InstanceId"] == instance["InstanceId"]
    task = ecs.run_task(cluster="machines", taskDefinition="on", launchType="EC2")["tasks"][0]
    assert task["containerInstanceArn"] == arn
    assert found()["runningTasksCount"] == 1
    ecs.stop_task(cluster="machines", task=task["taskArn"])
    ecs.update_container_instances_state(**which, status="DRAINING")
    assert found()["status"] == "DRAINING"
    ecs.deregister_container_instance(cluster="machines", containerInstance=arn, force=True)
    ecs.delete_cluster(cluster="machines")


@resumed
def test_scaling_policy_owns_its_alarms(aws):
    """The alarms of a service's scaling policy are CloudWatch's, and go with the policy."""
    cloudwatch, scaling = aws.client("cloudwatch"), aws.client("application-autoscaling")
    make_service(aws, "scaled")
    target = {
        "ServiceNamespace": "ecs",
        "ResourceId": "service/scaled/scaled",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=5)
    made = scaling.put_scaling_policy(
        **target,
        PolicyName="track",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 70.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
            },
        },
    )
    names = {a["AlarmName"] for a in made["Alarms"]}
    yield
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    assert {a["AlarmName"] for a in alarms} == names != set()
    scaling.delete_scaling_policy(**target, PolicyName="track")
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []
