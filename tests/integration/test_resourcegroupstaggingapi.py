"""Resource Groups Tagging across a restart: it sees what other services hold."""

from __future__ import annotations

from resume import resumed


def make_tagged(aws):
    """Something with a tag in each of several services; the ARNs."""
    made = []
    aws.client("s3").create_bucket(Bucket=f"tagged-{aws.id}")
    aws.client("s3").put_bucket_tagging(
        Bucket=f"tagged-{aws.id}", Tagging={"TagSet": [{"Key": "team", "Value": "a"}]}
    )
    made.append(f"arn:aws:s3:::tagged-{aws.id}")
    url = aws.client("sqs").create_queue(QueueName="tagged", tags={"team": "a"})["QueueUrl"]
    asked = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    made.append(asked["Attributes"]["QueueArn"])
    tags = [{"Key": "team", "Value": "b"}]
    made.append(aws.client("sns").create_topic(Name="tagged", Tags=tags)["TopicArn"])
    key = aws.client("kms").create_key(Tags=[{"TagKey": "team", "TagValue": "b"}])
    made.append(key["KeyMetadata"]["Arn"])
    secret = aws.client("secretsmanager").create_secret(Name="tagged", SecretString="s", Tags=tags)
    made.append(secret["ARN"])
    return made


def arns(tagging, *values):
    wanted = {"Values": list(values)} if values else {}
    found = tagging.get_resources(TagFilters=[{"Key": "team", **wanted}])
    return {r["ResourceARN"] for r in found["ResourceTagMappingList"]}


@resumed
def test_resources_of_every_service_are_found(aws):
    """What carries a tag is found after a restart before its own service was asked."""
    tagging = aws.client("resourcegroupstaggingapi")
    made = make_tagged(aws)
    yield
    assert arns(tagging) == set(made)
    assert arns(tagging, "a") == set(made[:2])
    assert set(tagging.get_tag_keys()["TagKeys"]) == {"team"}
    assert set(tagging.get_tag_values(Key="team")["TagValues"]) == {"a", "b"}


@resumed
def test_tags_are_set_through_it(aws):
    """A tag set or removed through it after a restart is seen by the service itself."""
    tagging = aws.client("resourcegroupstaggingapi")
    made = make_tagged(aws)
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="tagged", tags={"team": "b"})
    group = f"arn:aws:logs:us-east-1:{aws.id}:log-group:tagged"
    yield
    tagging.tag_resources(ResourceARNList=[group], Tags={"team": "c"})
    assert logs.list_tags_for_resource(resourceArn=group)["tags"] == {"team": "c"}
    assert arns(tagging, "c") == {group}
    tagging.untag_resources(ResourceARNList=[group], TagKeys=["team"])
    assert logs.list_tags_for_resource(resourceArn=group)["tags"] == {}
    assert arns(tagging) == set(made)
    url = aws.client("sqs").get_queue_url(QueueName="tagged")["QueueUrl"]
    aws.client("sqs").delete_queue(QueueUrl=url)
    assert arns(tagging) == {arn for arn in made if ":sqs:" not in arn}
