"""SES across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def message(text="text"):
    return {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": text}}}


def send(ses, sender, to, text="text"):
    return ses.send_email(Source=sender, Destination={"ToAddresses": [to]}, Message=message(text))[
        "MessageId"
    ]


@resumed
def test_verified_identities_send(aws):
    """An identity verified before a restart sends after it, and the quota goes on."""
    ses = aws.client("ses")
    ses.verify_email_identity(EmailAddress="me@example.com")
    ses.verify_domain_identity(Domain="example.org")
    send(ses, "me@example.com", "you@example.com")
    yield
    send(ses, "me@example.com", "you@example.com")
    send(ses, "any@example.org", "you@example.com")
    assert ses.get_send_quota()["SentLast24Hours"] == 3
    with pytest.raises(ClientError, match="MessageRejected"):
        send(ses, "stranger@example.net", "you@example.com")
    assert set(ses.list_identities()["Identities"]) == {"me@example.com", "example.org"}
    ses.delete_identity(Identity="me@example.com")
    with pytest.raises(ClientError, match="MessageRejected"):
        send(ses, "me@example.com", "you@example.com")


@resumed
def test_templates_and_rules(aws):
    """Templates are rendered and receipt rules kept, and both can be changed."""
    ses, s3 = aws.client("ses"), aws.client("s3")
    s3.create_bucket(Bucket="inbox")
    template = {"TemplateName": "t", "SubjectPart": "Hi {{name}}", "TextPart": "x", "HtmlPart": "x"}
    ses.create_template(Template=template)
    ses.create_receipt_rule_set(RuleSetName="set")
    rule = {
        "Name": "store",
        "Recipients": ["in@example.com"],
        "Enabled": True,
        "Actions": [{"S3Action": {"BucketName": "inbox"}}],
    }
    ses.create_receipt_rule(RuleSetName="set", Rule=rule)
    yield
    rendered = ses.test_render_template(TemplateName="t", TemplateData='{"name": "Ann"}')
    assert "Subject: Hi Ann" in rendered["RenderedTemplate"]
    ses.update_template(Template={**template, "SubjectPart": "Bye"})
    assert ses.get_template(TemplateName="t")["Template"]["SubjectPart"] == "Bye"
    found = ses.describe_receipt_rule(RuleSetName="set", RuleName="store")["Rule"]
    assert found["Actions"][0]["S3Action"]["BucketName"] == "inbox"
    # The bucket is looked for in S3, which was not asked since the restart.
    ses.create_receipt_rule(RuleSetName="set", Rule={**rule, "Name": "more"})
    with pytest.raises(ClientError, match="Bucket|InvalidS3"):
        wrong = [{"S3Action": {"BucketName": "no-such-inbox"}}]
        ses.create_receipt_rule(RuleSetName="set", Rule={**rule, "Name": "w", "Actions": wrong})


@resumed
def test_bounces_reach_a_topic(aws):
    """A bounce after a restart is told to the SNS topic named before it, and so to a queue."""
    ses, sns, sqs = (aws.client(s) for s in ("ses", "sns", "sqs"))
    topic = sns.create_topic(Name="bounces")["TopicArn"]
    url = sqs.create_queue(QueueName="bounces")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=asked["Attributes"]["QueueArn"])
    ses.verify_domain_identity(Domain="example.com")
    ses.set_identity_notification_topic(
        Identity="example.com", NotificationType="Bounce", SnsTopic=topic
    )
    yield
    send(ses, "me@example.com", "bounce@simulator.amazonses.com")
    body = json.loads(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"])
    assert body["TopicArn"] == topic
    assert body["Message"]["bounce"]["bounceType"] == "Permanent"
