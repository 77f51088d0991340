"""Route 53 across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def make_zone(route53, name, **more):
    made = route53.create_hosted_zone(Name=name, CallerReference=name, **more)
    return made["HostedZone"]["Id"].rpartition("/")[2]


def change(route53, zone, action, **record):
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    return route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)


def records(route53, zone, kind="A"):
    found = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return {r["Name"]: r for r in found if r["Type"] == kind}


def address(name, *values):
    return {
        "Name": name,
        "Type": "A",
        "TTL": 60,
        "ResourceRecords": [{"Value": v} for v in values],
    }


@resumed
def test_records_are_changed(aws):
    """Records are changed and deleted after a restart; a zone goes only when it is empty."""
    route53 = aws.client("route53")
    zone = make_zone(route53, "example.com")
    change(route53, zone, "CREATE", **address("a.example.com", "1.1.1.1"))
    change(route53, zone, "CREATE", **address("b.example.com", "2.2.2.2"))
    before = route53.get_hosted_zone(Id=zone)
    yield
    assert route53.get_hosted_zone(Id=zone)["DelegationSet"] == before["DelegationSet"]
    change(route53, zone, "UPSERT", **address("a.example.com", "3.3.3.3", "4.4.4.4"))
    change(route53, zone, "DELETE", **address("b.example.com", "2.2.2.2"))
    found = records(route53, zone)
    assert list(found) == ["a.example.com."]
    assert len(found["a.example.com."]["ResourceRecords"]) == 2
    with pytest.raises(ClientError, match="HostedZoneNotEmpty"):
        route53.delete_hosted_zone(Id=zone)
    change(route53, zone, "DELETE", **address("a.example.com", "3.3.3.3", "4.4.4.4"))
    route53.delete_hosted_zone(Id=zone)
    assert route53.list_hosted_zones()["HostedZones"] == []


@resumed
def test_alias_of_a_website(aws):
    """An alias leads to a website of S3 after a restart, which is still configured."""
    route53, s3 = aws.client("route53"), aws.client("s3")
    s3.create_bucket(Bucket="www.example.com")
    s3.put_bucket_website(
        Bucket="www.example.com",
        WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}},
    )
    zone = make_zone(route53, "example.com")
    target = {
        "HostedZoneId": "Z3AQBSTGFYJSTF",
        "DNSName": "s3-website-us-east-1.amazonaws.com",
        "EvaluateTargetHealth": False,
    }
    alias = {"Name": "www.example.com", "Type": "A", "AliasTarget": target}
    change(route53, zone, "CREATE", **alias)
    yield
    (found,) = records(route53, zone).values()
    assert found["AliasTarget"]["DNSName"].rstrip(".") == target["DNSName"]
    website = s3.get_bucket_website(Bucket=found["Name"].rstrip("."))
    assert website["IndexDocument"] == {"Suffix": "index.html"}
    change(route53, zone, "DELETE", **alias)
    assert records(route53, zone) == {}


@resumed
def test_private_zone_of_a_vpc(aws):
    """A private zone keeps its VPC, takes another one and gives the first up."""
    route53 = aws.client("route53")
    vpcs = [{"VPCRegion": "us-east-1", "VPCId": vpc} for vpc in ("vpc-11111111", "vpc-22222222")]
    zone = make_zone(
        route53, "inside", VPC=vpcs[0], HostedZoneConfig={"PrivateZone": True, "Comment": "c"}
    )
    yield
    assert route53.get_hosted_zone(Id=zone)["VPCs"] == vpcs[:1]
    route53.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=vpcs[1])
    route53.disassociate_vpc_from_hosted_zone(HostedZoneId=zone, VPC=vpcs[0])
    by_vpc = route53.list_hosted_zones_by_vpc(**vpcs[1])["HostedZoneSummaries"]
    assert [z["HostedZoneId"] for z in by_vpc] == [zone]


@resumed
def test_health_checks(aws):
    """A health check keeps its settings and tags and is updated; a record still names it."""
    route53 = aws.client("route53")
    check = route53.create_health_check(
        CallerReference="c",
        HealthCheckConfig={"IPAddress": "10.0.0.1", "Port": 80, "Type": "HTTP"},
    )["HealthCheck"]["Id"]
    route53.change_tags_for_resource(
        ResourceType="healthcheck", ResourceId=check, AddTags=[{"Key": "a", "Value": "b"}]
    )
    zone = make_zone(route53, "checked.example.com")
    record = address("x.checked.example.com", "10.0.0.1")
    change(route53, zone, "CREATE", **record, HealthCheckId=check)
    yield
    route53.update_health_check(HealthCheckId=check, Port=8080)
    found = route53.get_health_check(HealthCheckId=check)["HealthCheck"]["HealthCheckConfig"]
    assert (found["Port"], found["IPAddress"]) == (8080, "10.0.0.1")
    tags = route53.list_tags_for_resource(ResourceType="healthcheck", ResourceId=check)
    assert tags["ResourceTagSet"]["Tags"] == [{"Key": "a", "Value": "b"}]
    assert records(route53, zone)["x.checked.example.com."]["HealthCheckId"] == check
    route53.delete_health_check(HealthCheckId=check)
    with pytest.raises(ClientError, match="NoSuchHealthCheck"):
        route53.get_health_check(HealthCheckId=check)


@resumed
def test_query_log_needs_its_group(aws):
    """Queries of a zone are logged into a group of CloudWatch Logs, and only an existing one."""
    route53, logs = aws.client("route53"), aws.client("logs")
    group = "/aws/route53/logged.example.com"
    logs.create_log_group(logGroupName=group)
    arn = f"arn:aws:logs:us-east-1:{aws.id}:log-group:"
    zone = make_zone(route53, "logged.example.com")
    other = make_zone(route53, "other.example.com")
    yield
    made = route53.create_query_logging_config(
        HostedZoneId=zone, CloudWatchLogsLogGroupArn=f"{arn}{group}:*"
    )["QueryLoggingConfig"]["Id"]
    with pytest.raises(ClientError, match="NoSuchCloudWatchLogsLogGroup"):
        route53.create_query_logging_config(
            HostedZoneId=other, CloudWatchLogsLogGroupArn=f"{arn}/none:*"
        )
    route53.delete_query_logging_config(Id=made)


@resumed
def test_zone_of_a_stack(aws):
    """A stack changes after a restart the record that it made in its own zone."""
    route53, stacks = aws.client("route53"), aws.client("cloudformation")

    def body(value):
        zone = {"Type": "AWS::Route53::HostedZone", "Properties": {"Name": "stack.example.com"}}
        properties = {
            "HostedZoneId": {"Ref": "Zone"},
            "Name": "x.stack.example.com",
            "Type": "A",
            "TTL": "60",
            "ResourceRecords": [value],
        }
        record = {"Type": "AWS::Route53::RecordSet", "Properties": properties}
        return json.dumps({"Resources": {"Zone": zone, "Record": record}})

    stacks.create_stack(StackName="s", TemplateBody=body("1.2.3.4"))
    zone = route53.list_hosted_zones()["HostedZones"][0]["Id"].rpartition("/")[2]
    yield
    stacks.update_stack(StackName="s", TemplateBody=body("5.6.7.8"))
    (record,) = records(route53, zone).values()
    assert record["ResourceRecords"] == [{"Value": "5.6.7.8"}]
    stacks.delete_stack(StackName="s")
    assert records(route53, zone) == {}
