"""Step Functions across a restart: what is defined, not what runs."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed

PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}


def make_machine(aws, name, **more):
    """A state machine that acts as a role of IAM."""
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
    return aws.client("stepfunctions").create_state_machine(
        name=name, definition=json.dumps(PASS), roleArn=role["Arn"], **more
    )


@resumed
def test_machine_is_updated(aws):
    """A state machine keeps its ARN, definition and role of IAM, and takes new ones."""
    steps, iam = aws.client("stepfunctions"), aws.client("iam")
    made = make_machine(aws, "m")
    which = {"stateMachineArn": made["stateMachineArn"]}
    yield
    found = steps.describe_state_machine(**which)
    assert json.loads(found["definition"]) == PASS
    assert found["creationDate"] == made["creationDate"]
    role = iam.get_role(RoleName=found["roleArn"].rpartition("/")[2])["Role"]
    assert role["Arn"] == found["roleArn"]
    changed = {**PASS, "Comment": "changed"}
    steps.update_state_machine(**which, definition=json.dumps(changed))
    assert json.loads(steps.describe_state_machine(**which)["definition"]) == changed
    # Made again as it was made, it is the same one.
    assert steps.list_state_machines()["stateMachines"][0]["name"] == "m"
    steps.delete_state_machine(**which)
    with pytest.raises(ClientError, match="StateMachineDoesNotExist"):
        steps.describe_state_machine(**which)


@resumed
def test_versions(aws):
    """A version published before a restart is there after it, and the next has the next number."""
    steps = aws.client("stepfunctions")
    made = make_machine(aws, "v", publish=True, versionDescription="first")
    which = {"stateMachineArn": made["stateMachineArn"]}
    yield
    assert made["stateMachineVersionArn"].endswith(":1")
    definition = json.dumps({**PASS, "Comment": "two"})
    updated = steps.update_state_machine(**which, definition=definition, publish=True)
    assert updated["stateMachineVersionArn"].endswith(":2")


@resumed
def test_tags_and_activities(aws):
    """Tags of machines and activities survive and can be changed."""
    steps = aws.client("stepfunctions")
    tags = [{"key": "a", "value": "b"}]
    machine = make_machine(aws, "t", tags=tags)["stateMachineArn"]
    activity = steps.create_activity(name="act", tags=tags)["activityArn"]
    yield
    for arn in (machine, activity):
        assert steps.list_tags_for_resource(resourceArn=arn)["tags"] == tags
        steps.untag_resource(resourceArn=arn, tagKeys=["a"])
        assert steps.list_tags_for_resource(resourceArn=arn)["tags"] == []
    assert [a["activityArn"] for a in steps.list_activities()["activities"]] == [activity]
    steps.delete_activity(activityArn=activity)
    with pytest.raises(ClientError, match="ActivityDoesNotExist"):
        steps.describe_activity(activityArn=activity)


@resumed
def test_machine_of_a_stack(aws):
    """A state machine is changed through the stack that made it, and goes with it."""
    steps, stacks = aws.client("stepfunctions"), aws.client("cloudformation")

    def template(comment):
        properties = {
            "StateMachineName": "stacked",
            "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
            "DefinitionString": json.dumps({**PASS, "Comment": comment}),
        }
        role = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}}
        machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
        made = {"Role": {"Type": "AWS::IAM::Role", "Properties": role}, "Machine": machine}
        return json.dumps({"Resources": made})

    stacks.create_stack(StackName="s", TemplateBody=template("one"))
    arn = steps.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    yield
    stacks.update_stack(StackName="s", TemplateBody=template("two"))
    found = steps.describe_state_machine(stateMachineArn=arn)
    assert json.loads(found["definition"])["Comment"] == "two"
    stacks.delete_stack(StackName="s")
    assert steps.list_state_machines()["stateMachines"] == []
    assert aws.client("iam").list_roles()["Roles"] == []
