"""ECR across a restart."""

from __future__ import annotations

import hashlib
import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def manifest(text):
    """An image manifest that is another one for another text."""
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    layer = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 1}
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": 1,
                "digest": digest,
            },
            "layers": [{**layer, "digest": digest}],
        }
    )


def put(ecr, repository, text, tag):
    made = ecr.put_image(repositoryName=repository, imageManifest=manifest(text), imageTag=tag)
    return made["image"]["imageId"]["imageDigest"]


@resumed
def test_tags_move_between_images(aws):
    """Images keep manifest, digest and tags, and a tag moves to an image pushed later."""
    ecr = aws.client("ecr")
    made = ecr.create_repository(repositoryName="app")["repository"]
    first = put(ecr, "app", "one", "latest")
    put(ecr, "app", "one", "v1")
    yield
    second = put(ecr, "app", "two", "latest")
    found = {
        i["imageDigest"]: set(i.get("imageTags", []))
        for i in ecr.describe_images(repositoryName="app")["imageDetails"]
    }
    assert found == {first: {"v1"}, second: {"latest"}}
    image = ecr.batch_get_image(repositoryName="app", imageIds=[{"imageTag": "v1"}])["images"][0]
    assert image["imageManifest"] == manifest("one")
    with pytest.raises(ClientError, match="ImageAlreadyExists"):
        put(ecr, "app", "two", "latest")
    with pytest.raises(ClientError, match="RepositoryNotEmpty"):
        ecr.delete_repository(repositoryName="app")
    ecr.batch_delete_image(
        repositoryName="app", imageIds=[{"imageDigest": first}, {"imageDigest": second}]
    )
    ecr.delete_repository(repositoryName="app")
    assert made["repositoryUri"].endswith("/app")


@resumed
def test_settings_of_a_repository(aws):
    """Policies, scanning, immutable tags and tags survive and decide what is allowed."""
    ecr = aws.client("ecr")
    made = ecr.create_repository(
        repositoryName="kept",
        imageTagMutability="IMMUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
        tags=[{"Key": "a", "Value": "b"}],
    )["repository"]
    rule = {
        "rulePriority": 1,
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 3},
        "action": {"type": "expire"},
    }
    lifecycle = json.dumps({"rules": [rule]})
    ecr.put_lifecycle_policy(repositoryName="kept", lifecyclePolicyText=lifecycle)
    statement = {"Sid": "s", "Effect": "Allow", "Principal": "*", "Action": ["ecr:ListImages"]}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    ecr.set_repository_policy(repositoryName="kept", policyText=json.dumps(policy))
    put(ecr, "kept", "one", "v1")
    yield
    found = ecr.describe_repositories(repositoryNames=["kept"])["repositories"][0]
    assert found == made
    with pytest.raises(ClientError, match="AlreadyExists"):
        put(ecr, "kept", "two", "v1")
    asked = ecr.get_repository_policy(repositoryName="kept")["policyText"]
    assert json.loads(asked)["Statement"][0]["Sid"] == "s"
    asked = ecr.get_lifecycle_policy(repositoryName="kept")["lifecyclePolicyText"]
    assert json.loads(asked) == json.loads(lifecycle)
    ecr.delete_lifecycle_policy(repositoryName="kept")
    with pytest.raises(ClientError, match="LifecyclePolicyNotFound"):
        ecr.get_lifecycle_policy(repositoryName="kept")
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == [
        {"Key": "a", "Value": "b"}
    ]
    ecr.put_registry_scanning_configuration(scanType="BASIC", rules=[])


@resumed
def test_key_of_kms(aws):
    """A repository encrypted with a key of KMS names one that KMS knows after a restart."""
    ecr, kms = aws.client("ecr"), aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    ecr.create_repository(
        repositoryName="sealed",
        encryptionConfiguration={"encryptionType": "KMS", "kmsKey": key},
    )
    yield
    found = ecr.describe_repositories()["repositories"][0]["encryptionConfiguration"]
    assert kms.describe_key(KeyId=found["kmsKey"])["KeyMetadata"]["Arn"] == key


@resumed
def test_repository_of_a_stack(aws):
    """A repository that a stack made goes with it."""
    ecr, stacks = aws.client("ecr"), aws.client("cloudformation")
    made = {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": "stacked"}}
    stacks.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": {"R": made}}))
    yield
    assert [r["repositoryName"] for r in ecr.describe_repositories()["repositories"]] == ["stacked"]
    stacks.delete_stack(StackName="s")
    assert ecr.describe_repositories()["repositories"] == []
