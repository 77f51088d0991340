"""CloudWatch across a restart."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def window():
    now = dt.datetime.now(dt.UTC)
    return {"StartTime": now - dt.timedelta(hours=1), "EndTime": now + dt.timedelta(hours=1)}


def total(cloudwatch, namespace, name, statistic="Sum", **more):
    found = cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Period=7200,
        Statistics=[statistic],
        **{**window(), **more},
    )
    return sum(point[statistic] for point in found["Datapoints"])


@resumed
def test_metrics_add_up(aws):
    """Values put before and after a restart are counted together, by dimension."""
    cloudwatch = aws.client("cloudwatch")

    def put(value, host):
        data = {"MetricName": "hits", "Value": value, "Dimensions": [dimension(host)]}
        cloudwatch.put_metric_data(Namespace="app", MetricData=[data])

    put(1, "a")
    put(10, "b")
    yield
    put(100, "a")
    assert total(cloudwatch, "app", "hits", Dimensions=[dimension("a")]) == 101
    assert total(cloudwatch, "app", "hits", Dimensions=[dimension("b")]) == 10
    listed = cloudwatch.list_metrics(Namespace="app")["Metrics"]
    assert sorted(m["Dimensions"][0]["Value"] for m in listed) == ["a", "b"]


def dimension(host):
    return {"Name": "host", "Value": host}


@resumed
def test_alarms_name_topics_of_sns(aws):
    """An alarm keeps its state, history and the SNS topic it tells, and is changed."""
    cloudwatch, sns = aws.client("cloudwatch"), aws.client("sns")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    alarm = {
        "AlarmName": "busy",
        "Namespace": "app",
        "MetricName": "hits",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 10.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "AlarmActions": [topic],
    }
    cloudwatch.put_metric_alarm(**alarm, Tags=[{"Key": "a", "Value": "b"}])
    cloudwatch.set_alarm_state(AlarmName="busy", StateValue="ALARM", StateReason="test")
    before = cloudwatch.describe_alarms(AlarmNames=["busy"])["MetricAlarms"][0]
    yield
    after = cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"]
    assert after == [before]
    (action,) = after[0]["AlarmActions"]
    sns.get_topic_attributes(TopicArn=action)
    tags = cloudwatch.list_tags_for_resource(ResourceARN=before["AlarmArn"])["Tags"]
    assert tags == [{"Key": "a", "Value": "b"}]
    cloudwatch.set_alarm_state(AlarmName="busy", StateValue="OK", StateReason="test")
    assert cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"] == []
    cloudwatch.disable_alarm_actions(AlarmNames=["busy"])
    changed = cloudwatch.describe_alarms(AlarmNames=["busy"])["MetricAlarms"][0]
    assert (changed["ActionsEnabled"], changed["StateValue"]) == (False, "OK")
    cloudwatch.delete_alarms(AlarmNames=["busy"])
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []


@resumed
def test_dashboards(aws):
    """A dashboard reads back, is replaced and deleted."""
    cloudwatch = aws.client("cloudwatch")
    body = json.dumps({"widgets": []})
    cloudwatch.put_dashboard(DashboardName="main", DashboardBody=body)
    yield
    assert cloudwatch.get_dashboard(DashboardName="main")["DashboardBody"] == body
    cloudwatch.put_dashboard(DashboardName="main", DashboardBody='{"widgets": [1]}')
    assert len(cloudwatch.list_dashboards()["DashboardEntries"]) == 1
    cloudwatch.delete_dashboards(DashboardNames=["main"])
    with pytest.raises(ClientError, match="ResourceNotFound"):
        cloudwatch.get_dashboard(DashboardName="main")


@resumed
def test_metrics_of_s3(aws):
    """CloudWatch counts the objects of a bucket that S3 was not asked for since the restart."""
    cloudwatch, s3 = aws.client("cloudwatch"), aws.client("s3")
    s3.create_bucket(Bucket="counted")
    for key in ("a", "b"):
        s3.put_object(Bucket="counted", Key=key, Body=b"1")
    yield
    now = dt.datetime.now(dt.UTC)
    found = {
        "Dimensions": [
            {"Name": "BucketName", "Value": "counted"},
            {"Name": "StorageType", "Value": "AllStorageTypes"},
        ],
        "StartTime": now - dt.timedelta(days=2),
        "EndTime": now + dt.timedelta(days=1),
    }
    assert total(cloudwatch, "AWS/S3", "NumberOfObjects", "Average", **found) == 2
