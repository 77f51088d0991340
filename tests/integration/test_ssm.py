"""SSM Parameter Store across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed


@resumed
def test_versions_and_labels(aws):
    """Every version of a parameter reads back by number and by label, and numbers go on."""
    ssm = aws.client("ssm")
    for number in (1, 2, 3):
        ssm.put_parameter(Name="/app/v", Value=str(number), Type="String", Overwrite=True)
    ssm.label_parameter_version(Name="/app/v", ParameterVersion=2, Labels=["good"])
    yield
    assert ssm.get_parameter(Name="/app/v")["Parameter"]["Value"] == "3"
    assert ssm.get_parameter(Name="/app/v:1")["Parameter"]["Value"] == "1"
    assert ssm.get_parameter(Name="/app/v:good")["Parameter"]["Value"] == "2"
    ssm.label_parameter_version(Name="/app/v", ParameterVersion=3, Labels=["good"])
    assert ssm.get_parameter(Name="/app/v:good")["Parameter"]["Value"] == "3"
    put = ssm.put_parameter(Name="/app/v", Value="4", Type="String", Overwrite=True)
    assert put["Version"] == 4
    history = ssm.get_parameter_history(Name="/app/v")["Parameters"]
    assert [(p["Version"], p["Value"]) for p in history] == [(n, str(n)) for n in (1, 2, 3, 4)]


@resumed
def test_secure_strings(aws):
    """A SecureString decrypts after a restart, and stays encrypted unless asked."""
    ssm = aws.client("ssm")
    key = aws.client("kms").create_key()["KeyMetadata"]["KeyId"]
    ssm.put_parameter(Name="secret", Value="geheim", Type="SecureString", KeyId=key)
    sealed = ssm.get_parameter(Name="secret")["Parameter"]["Value"]
    yield
    found = ssm.get_parameter(Name="secret", WithDecryption=True)["Parameter"]
    assert (found["Value"], found["Type"]) == ("geheim", "SecureString")
    assert ssm.get_parameter(Name="secret")["Parameter"]["Value"] == sealed != "geheim"


@resumed
def test_paths_and_tags(aws):
    """Parameters are found by path, filter and tag; an existing one is not overwritten."""
    ssm = aws.client("ssm")
    for name in ("/a/one", "/a/two", "/a/b/three", "/c/four"):
        ssm.put_parameter(Name=name, Value=name, Type="String")
    ssm.add_tags_to_resource(
        ResourceType="Parameter", ResourceId="/c/four", Tags=[{"Key": "team", "Value": "x"}]
    )
    yield

    def under(path, **more):
        found = ssm.get_parameters_by_path(Path=path, **more)["Parameters"]
        return sorted(p["Name"] for p in found)

    assert under("/a") == ["/a/one", "/a/two"]
    assert under("/a", Recursive=True) == ["/a/b/three", "/a/one", "/a/two"]
    tagged = ssm.describe_parameters(ParameterFilters=[{"Key": "tag:team", "Values": ["x"]}])
    assert [p["Name"] for p in tagged["Parameters"]] == ["/c/four"]
    with pytest.raises(ClientError, match="ParameterAlreadyExists"):
        ssm.put_parameter(Name="/a/one", Value="again", Type="String")
    assert ssm.delete_parameters(Names=["/a/one", "none"])["InvalidParameters"] == ["none"]
    assert under("/a") == ["/a/two"]


@resumed
def test_documents(aws):
    """A document keeps its versions and default across a restart."""
    ssm = aws.client("ssm")
    content = (
        '{"schemaVersion": "2.2", "description": "%s", "mainSteps": '
        '[{"action": "aws:runShellScript", "name": "s", "inputs": {"runCommand": ["true"]}}]}'
    )
    ssm.create_document(Content=content % "one", Name="doc", DocumentType="Command")
    ssm.update_document(Content=content % "two", Name="doc", DocumentVersion="$LATEST")
    yield
    assert '"one"' in ssm.get_document(Name="doc", DocumentVersion="1")["Content"]
    ssm.update_document_default_version(Name="doc", DocumentVersion="2")
    assert '"two"' in ssm.get_document(Name="doc")["Content"]


@resumed
def test_stack_reads_a_parameter(aws):
    """A stack is given the parameter's value of now; what it makes is a parameter too."""
    ssm, stacks = aws.client("ssm"), aws.client("cloudformation")
    ssm.put_parameter(Name="/in", Value="one", Type="String")
    body = json.dumps(
        {
            "Parameters": {"In": {"Type": "AWS::SSM::Parameter::Value<String>"}},
            "Resources": {
                "Out": {
                    "Type": "AWS::SSM::Parameter",
                    "Properties": {"Name": "/out", "Type": "String", "Value": {"Ref": "In"}},
                }
            },
        }
    )
    how = {"TemplateBody": body, "Parameters": [{"ParameterKey": "In", "ParameterValue": "/in"}]}
    stacks.create_stack(StackName="s", **how)
    yield
    assert ssm.get_parameter(Name="/out")["Parameter"]["Value"] == "one"
    ssm.put_parameter(Name="/in", Value="two", Type="String", Overwrite=True)
    stacks.create_stack(
        StackName="t",
        TemplateBody=body.replace("/out", "/more"),
        Parameters=how["Parameters"],
    )
    assert ssm.get_parameter(Name="/more")["Parameter"]["Value"] == "two"
    stacks.delete_stack(StackName="s")
    assert [p["Name"] for p in ssm.describe_parameters()["Parameters"]] == ["/in", "/more"]
