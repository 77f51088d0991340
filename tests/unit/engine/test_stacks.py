"""Templates are found in S3 by every spelling of their URL, and read as they are written."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from perdure.engine.quirks.stacks import _as_text, bucket_and_key


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.s3.amazonaws.com/a/key",
        "https://bucket.s3.us-east-1.amazonaws.com/a/key",
        "https://bucket.s3-eu-west-1.amazonaws.com/a/key?versionId=1",
        "https://s3.amazonaws.com/bucket/a/key",
        "https://s3.us-east-1.amazonaws.com/bucket/a/key",
        "https://s3-eu-west-1.amazonaws.com/bucket/a/key",
        "http://localhost:4566/bucket/a/key",
        "http://127.0.0.1:4566/bucket/a/key",
        "http://localhost.localstack.cloud:4566/bucket/a/key",
        "http://s3.localhost.localstack.cloud:4566/bucket/a/key",
        "http://bucket.s3.localhost.localstack.cloud:4566/a/key",
        "http://bucket.s3.us-east-1.localhost.localstack.cloud:4566/a%2Fkey",
    ],
)
def test_every_spelling_of_a_template_url(url):
    """A URL names the same object by virtual host and by path, at AWS' hosts and here."""
    assert bucket_and_key(url) == ("bucket", "a/key")


def test_a_bucket_with_dots():
    """Dots in a bucket's name are part of it."""
    assert bucket_and_key("https://a.s3.b.s3.amazonaws.com/key") == ("a.s3.b", "key")


def test_a_date_without_quotes_is_a_version():
    """YAML makes a date of it; a policy has it as it was written."""
    policy = {"Version": dt.date(2012, 10, 17), "Statement": []}
    assert json.loads(_as_text(policy)) == {"Version": "2012-10-17", "Statement": []}
    assert _as_text("as it is") == "as it is"
