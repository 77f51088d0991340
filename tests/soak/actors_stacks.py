"""Actors whose calls reach several stores or go on by themselves: workflows, stacks, groups."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.soak.model import GONE, UNKNOWN, Actor, Values

ROLE = "arn:aws:iam::000000000000:role/soak"
IMAGE = "ami-12c6146b"  # one that moto brings
RUNS_MAX = 6


class Stepfunctions(Actor):
    """A state machine and executions that wait, in part longer than the server lives."""

    service = "stepfunctions"

    def moves(self) -> list[Callable[[], None]]:
        if "machine" not in self.expected:
            return [self.create]
        if len(self.names("run")) >= RUNS_MAX:
            return [self.delete]
        return [self.start, self.look, self.look, self.update]

    def _definition(self, word: str) -> str:
        wait = {"Type": "Wait", "SecondsPath": "$.seconds", "Next": "End"}
        states = {"Wait": wait, "End": {"Type": "Succeed"}}
        return json.dumps({"Comment": word, "StartAt": "Wait", "States": states})

    def create(self) -> None:
        text = self._definition(self.word())
        name = f"{self.name}-{self.word()}"
        self.kept = {"arn": f"arn:aws:states:us-east-1:000000000000:stateMachine:{name}"}
        self.call(
            "create_state_machine",
            lambda a: {"machine": [a["stateMachineArn"], text]},
            name=name,
            definition=text,
            roleArn=ROLE,
        )

    def update(self) -> None:
        arn, text = self.expected["machine"][0], self._definition(self.word())
        self.call(
            "update_state_machine",
            lambda _: {"machine": [arn, text]},
            stateMachineArn=arn,
            definition=text,
        )

    def delete(self) -> None:
        gone = dict.fromkeys(self.expected, GONE)
        arn = self.expected["machine"][0]
        self.call("delete_state_machine", lambda _: gone, stateMachineArn=arn)

    def start(self) -> None:
        name, seconds = self.word(), self.rng.choice((0, 0, 1, 3600))
        arn = self.expected["machine"][0]
        # In which state it is, only a look tells; after a kill it does not run.
        self.call(
            "start_execution",
            lambda _: {f"run/{name}": _AfterKill(("ABORTED", "SUCCEEDED"))},
            stateMachineArn=arn,
            name=name,
            input=json.dumps({"seconds": seconds}),
        )

    def look(self) -> None:
        """What has ended once is so for good."""
        runs = self.names("run")
        if not runs:
            return self.start()
        name = self.rng.choice(runs)
        status = self.ask("describe_execution", executionArn=self._execution(name))["status"]
        if status != "RUNNING":
            assert self.expected[f"run/{name}"] == status, (name, status, self.expected)
            self.expected[f"run/{name}"] = status
        return None

    def _execution(self, name: str) -> str:
        return f"{self.kept['arn']}:{name}".replace(":stateMachine:", ":execution:")

    def read(self) -> Values:
        if "arn" not in self.kept:
            return {}
        arn = self.kept["arn"]
        machine = self.found_or(
            None, "StateMachineDoesNotExist", "describe_state_machine", stateMachineArn=arn
        )
        if machine is None:
            return {}
        runs = self.ask("list_executions", stateMachineArn=arn)["executions"]
        found = {f"run/{row['name']}": row["status"] for row in runs}
        return {"machine": [arn, machine["definition"]], **found}


class _AfterKill(tuple[str, ...]):
    """Equal to each of its values."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return tuple.__contains__(self, other)

    __hash__ = None  # type: ignore[assignment]


class Cloudformation(Actor):
    """A stack of a bucket, a queue and a topic, and what those services say of them."""

    service = "cloudformation"

    def moves(self) -> list[Callable[[], None]]:
        if "stack" not in self.expected:
            return [self.create]
        return [self.update, self.update, self.delete]

    def _template(self, seconds: int) -> str:
        name = self.kept["name"]
        queue = {"QueueName": name, "VisibilityTimeout": seconds}
        return json.dumps(
            {
                "Resources": {
                    "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}},
                    "Queue": {"Type": "AWS::SQS::Queue", "Properties": queue},
                    "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name}},
                },
                "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Queue", "Arn"]}}},
            }
        )

    def _values(self, stack: Any, status: str, seconds: int) -> Values:
        name = self.kept["name"]
        arn = f"arn:aws:sqs:us-east-1:000000000000:{name}"
        return {
            "stack": [stack, status, [arn]],
            "resources": ["Bucket", "Queue", "Topic"],
            "bucket": True,
            "timeout": str(seconds),
            "topic": True,
        }

    def create(self) -> None:
        self.kept["name"] = f"{self.name}-{self.word()}"
        seconds = self.rng.randrange(100)
        self.call(
            "create_stack",
            lambda a: self._values(a["StackId"], "CREATE_COMPLETE", seconds),
            StackName=self.kept["name"],
            TemplateBody=self._template(seconds),
        )

    def update(self) -> None:
        old = int(self.expected["timeout"])
        seconds = (old + self.rng.randrange(1, 100)) % 1000
        stack = self.expected["stack"][0]
        self.call(
            "update_stack",
            lambda _: self._values(stack, "UPDATE_COMPLETE", seconds),
            StackName=self.kept["name"],
            TemplateBody=self._template(seconds),
        )

    def delete(self) -> None:
        gone = dict.fromkeys(self.expected, GONE)
        self.call("delete_stack", lambda _: gone, StackName=self.kept["name"])

    def read(self) -> Values:
        if "name" not in self.kept:
            return {}
        name = self.kept["name"]
        found: Values = {}
        told = self.found_or(None, "ValidationError", "describe_stacks", StackName=name)
        if told is not None:
            stack = told["Stacks"][0]
            outputs = [output["OutputValue"] for output in stack.get("Outputs", [])]
            found["stack"] = [stack["StackId"], stack["StackStatus"], outputs]
            rows = self.ask("list_stack_resources", StackName=name)["StackResourceSummaries"]
            found["resources"] = sorted(row["LogicalResourceId"] for row in rows)
        if self.found_or(None, "404 NoSuchBucket", "head_bucket", service="s3", Bucket=name):
            found["bucket"] = True
        return found | self._queue(name) | self._topic(name)

    def _queue(self, name: str) -> Values:
        missing = "AWS.SimpleQueueService.NonExistentQueue"
        url = self.found_or(None, missing, "get_queue_url", service="sqs", QueueName=name)
        if url is None:
            return {}
        where = {"QueueUrl": url["QueueUrl"], "AttributeNames": ["VisibilityTimeout"]}
        got = self.ask("get_queue_attributes", service="sqs", **where)
        return {"timeout": got["Attributes"]["VisibilityTimeout"]}

    def _topic(self, name: str) -> Values:
        arn = f"arn:aws:sns:us-east-1:000000000000:{name}"
        where = {"service": "sns", "TopicArn": arn}
        topic = self.found_or(None, "NotFound", "get_topic_attributes", **where)
        return {} if topic is None else {"topic": True}


class Autoscaling(Actor):
    """A group and EC2's instances in it, in order."""

    service = "autoscaling"

    def moves(self) -> list[Callable[[], None]]:
        if "template" not in self.expected:
            return [self.create_template]
        if "group" not in self.expected:
            return [self.create]
        return [self.resize, self.resize, self.terminate]

    def create_template(self) -> None:
        self.call(
            "create_launch_template",
            lambda a: {"template": a["LaunchTemplate"]["LaunchTemplateId"]},
            service="ec2",
            LaunchTemplateName=self.name,
            LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "t2.micro"},
        )

    def create(self) -> None:
        self.call(
            "create_auto_scaling_group",
            lambda _: self._values([UNKNOWN]),
            AutoScalingGroupName=self.name,
            LaunchTemplate={"LaunchTemplateName": self.name, "Version": "$Latest"},
            MinSize=0,
            MaxSize=4,
            DesiredCapacity=1,
            AvailabilityZones=["us-east-1a"],
        )
        self._look()

    def _values(self, instances: list[Any]) -> Values:
        states = [UNKNOWN if i is UNKNOWN else "running" for i in instances]
        return {"group": len(instances), "instances": instances, "states": states}

    def _look(self) -> None:
        """What a read has shown counts as acknowledged too."""
        found = self.read()
        assert found == self.expected, (found, self.expected)
        self.expected = found

    def resize(self) -> None:
        old = self.expected["instances"]
        size = self.rng.choice([n for n in range(4) if n != len(old)])
        # Which go when it shrinks is the group's choice; those it keeps when it grows stay.
        new = [*old, *[UNKNOWN] * (size - len(old))] if size > len(old) else [UNKNOWN] * size
        self.call(
            "set_desired_capacity",
            lambda _: self._values(new),
            AutoScalingGroupName=self.name,
            DesiredCapacity=size,
        )
        self._look()

    def terminate(self) -> None:
        old = self.expected["instances"]
        if not old:
            return self.resize()
        gone = self.rng.choice(old)
        left = [i for i in old if i != gone]
        self.call(
            "terminate_instances",
            lambda _: self._values([*left, UNKNOWN]),
            service="ec2",
            InstanceIds=[gone],
        )
        return self._look()

    def read(self) -> Values:
        found: Values = {}
        missing = "InvalidLaunchTemplateName.NotFoundException"
        template = self.found_or(
            None,
            missing,
            "describe_launch_templates",
            service="ec2",
            LaunchTemplateNames=[self.name],
        )
        if template and template["LaunchTemplates"]:
            found["template"] = template["LaunchTemplates"][0]["LaunchTemplateId"]
        groups = self.ask("describe_auto_scaling_groups", AutoScalingGroupNames=[self.name])
        for group in groups["AutoScalingGroups"]:
            instances = [row["InstanceId"] for row in group["Instances"]]
            found["group"] = group["DesiredCapacity"]
            found["instances"] = instances
            found["states"] = self._states(instances)
        return found

    def _states(self, instances: list[str]) -> list[str]:
        if not instances:
            return []
        got = self.ask("describe_instances", service="ec2", InstanceIds=instances)
        rows = [row for reservation in got["Reservations"] for row in reservation["Instances"]]
        states = {row["InstanceId"]: row["State"]["Name"] for row in rows}
        return [states[instance] for instance in instances]
