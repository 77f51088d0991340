"""Actors whose calls reach several stores: Lambda, Step Functions, CloudFormation, Auto Scaling,
Route 53, API Gateway.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import Any

from tests.soak.model import GONE, UNKNOWN, Actor, Values

ROLE = "arn:aws:iam::000000000000:role/soak"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
IMAGE = "ami-12c6146b"  # one that moto brings
RUNS_MAX = 6


def zipped(word: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), f"def handler(e, c): return {word!r}")
    return buffer.getvalue()


def sha256_of(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


class Lambda(Actor):
    """A function: the hash of its code, its description, its versions."""

    service = "lambda"
    versions_max = 3

    def moves(self) -> list[Callable[[], None]]:
        if "role" not in self.expected:
            return [self.create_role]
        if "function" not in self.expected:
            return [self.create]
        moves = [self.update_code, self.configure, self.delete]
        few = len(self.expected["versions"]) < self.versions_max
        return [*moves, self.publish, self.configure] if few else moves

    def create_role(self) -> None:
        self.call(
            "create_role",
            lambda a: {"role": a["Role"]["Arn"]},
            service="iam",
            RoleName=self.name,
            AssumeRolePolicyDocument=TRUST,
        )

    def create(self) -> None:
        word = self.word()
        code = zipped(word)
        self.call(
            "create_function",
            lambda _: {"function": [sha256_of(code), word], "versions": ["$LATEST"]},
            FunctionName=self.name,
            Runtime="python3.11",
            Role=self.expected["role"],
            Handler="index.handler",
            Code={"ZipFile": code},
            Description=word,
        )

    def update_code(self) -> None:
        code = zipped(self.word())
        word = self.expected["function"][1]
        self.call(
            "update_function_code",
            lambda _: {"function": [sha256_of(code), word]},
            FunctionName=self.name,
            ZipFile=code,
        )

    def configure(self) -> None:
        code, word = self.expected["function"][0], self.word()
        self.call(
            "update_function_configuration",
            lambda _: {"function": [code, word]},
            FunctionName=self.name,
            Description=word,
        )

    def publish(self) -> None:
        if self.kept.get("published") == (code := self.expected["function"][0]):
            return self.update_code()
        self.kept["published"] = code
        old = self.expected["versions"]
        return self.call(
            "publish_version",
            lambda a: {"versions": [*old, a["Version"]]},
            FunctionName=self.name,
        )

    def delete(self) -> None:
        gone = {"function": GONE, "versions": GONE}
        self.call("delete_function", lambda _: gone, FunctionName=self.name)

    def read(self) -> Values:
        found: Values = {}
        role = self.found_or(None, "NoSuchEntity", "get_role", service="iam", RoleName=self.name)
        if role is not None:
            found["role"] = role["Role"]["Arn"]
        missing = "ResourceNotFoundException"
        function = self.found_or(None, missing, "get_function", FunctionName=self.name)
        if function is not None:
            told = function["Configuration"]
            versions = self.ask("list_versions_by_function", FunctionName=self.name)["Versions"]
            found["function"] = [told["CodeSha256"], told["Description"]]
            found["versions"] = [version["Version"] for version in versions]
        return found


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


class Route53(Actor):
    """A hosted zone and its records."""

    service = "route53"

    def moves(self) -> list[Callable[[], None]]:
        if "zone" not in self.expected:
            return [self.create]
        moves: list[Callable[[], None]] = [self.upsert, self.upsert]
        return [*moves, self.delete] if self.names("record") else moves

    def create(self) -> None:
        self.call(
            "create_hosted_zone",
            lambda a: {"zone": a["HostedZone"]["Id"]},
            Name=f"{self.name}.example.",
            CallerReference=self.word(),
        )

    def _change(self, action: str, label: str, value: str) -> dict[str, Any]:
        record = {
            "Name": f"{label}.{self.name}.example.",
            "Type": "TXT",
            "TTL": 60,
            "ResourceRecords": [{"Value": f'"{value}"'}],
        }
        changes = [{"Action": action, "ResourceRecordSet": record}]
        return {"HostedZoneId": self.expected["zone"], "ChangeBatch": {"Changes": changes}}

    def upsert(self) -> None:
        label, word = self.rng.choice("abc"), self.word()
        where = self._change("UPSERT", label, word)
        values = {f"record/{label}": f'"{word}"'}
        self.call("change_resource_record_sets", lambda _: values, **where)

    def delete(self) -> None:
        label = self.rng.choice(self.names("record"))
        where = self._change("DELETE", label, self.expected[f"record/{label}"].strip('"'))
        self.call("change_resource_record_sets", lambda _: {f"record/{label}": GONE}, **where)

    def read(self) -> Values:
        zones = self.ask("list_hosted_zones_by_name", DNSName=f"{self.name}.example.")
        mine = [z for z in zones["HostedZones"] if z["Name"] == f"{self.name}.example."]
        if not mine:
            return {}
        number = mine[0]["Id"]
        rows = self.ask("list_resource_record_sets", HostedZoneId=number)["ResourceRecordSets"]
        found = {
            f"record/{row['Name'].partition('.')[0]}": row["ResourceRecords"][0]["Value"]
            for row in rows
            if row["Type"] == "TXT"
        }
        return {"zone": number, **found}


class Apigateway(Actor):
    """A REST API: its resources, a stage, its description."""

    service = "apigateway"

    def moves(self) -> list[Callable[[], None]]:
        if "api" not in self.expected:
            return [self.create]
        if "root" not in self.kept:
            return [self.look]
        paths = self.names("path")
        return [self.add, self.describe] + ([self.remove, self.method] if paths else [])

    def create(self) -> None:
        self.call("create_rest_api", lambda a: {"api": [a["id"], None]}, name=self.name)

    def look(self) -> None:
        rows = self.ask("get_resources", restApiId=self.expected["api"][0])["items"]
        self.kept["root"] = next(row["id"] for row in rows if row["path"] == "/")

    def describe(self) -> None:
        number, word = self.expected["api"][0], self.word()
        change = {"op": "replace", "path": "/description", "value": word}
        where = {"restApiId": number, "patchOperations": [change]}
        self.call("update_rest_api", lambda _: {"api": [number, word]}, **where)

    def add(self) -> None:
        free = [p for p in "abc" if f"path/{p}" not in self.expected]
        if not free:
            return self.remove()
        part = self.rng.choice(free)
        return self.call(
            "create_resource",
            lambda a: {f"path/{part}": [a["id"], []]},
            restApiId=self.expected["api"][0],
            parentId=self.kept["root"],
            pathPart=part,
        )

    def method(self) -> None:
        part = self.rng.choice(self.names("path"))
        number, methods = self.expected[f"path/{part}"]
        verb = self.rng.choice(("GET", "PUT", "POST"))
        if verb in methods:
            return self.describe()
        return self.call(
            "put_method",
            lambda _: {f"path/{part}": [number, sorted([*methods, verb])]},
            restApiId=self.expected["api"][0],
            resourceId=number,
            httpMethod=verb,
            authorizationType="NONE",
        )

    def remove(self) -> None:
        part = self.rng.choice(self.names("path"))
        where = {"restApiId": self.expected["api"][0]}
        number = self.expected[f"path/{part}"][0]
        gone = {f"path/{part}": GONE}
        self.call("delete_resource", lambda _: gone, **where, resourceId=number)

    def read(self) -> Values:
        apis = self.ask("get_rest_apis", limit=500)["items"]
        found: Values = {}
        for api in apis:
            if api["name"] == self.name:
                found["api"] = [api["id"], api.get("description")]
                rows = self.ask("get_resources", restApiId=api["id"], limit=500)["items"]
                for row in rows:
                    if row["path"] != "/":
                        methods = sorted(row.get("resourceMethods", {}))
                        found[f"path/{row['pathPart']}"] = [row["id"], methods]
        return found
