"""CloudFormation as its tools use it: change sets, templates in S3, resources moto leaves out.

The CDK and ``aws cloudformation deploy`` create stacks by change sets only.  In moto such a
stack has no outputs, no exports and no imports; change sets of one name are mistaken for each
other; a template in S3 is looked for under a wrong name.  What parameters
were given as is lost.  A resource type that moto does not know is left out of the stack with
a warning in the log; those of ``LEFT_OUT`` are made here, from what moto's services can do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from perdure.engine.imports import after_import

# The bucket stands before the label "s3", or else it is the first part of the path.
_BUCKET_IN_HOST = re.compile(r"(?P<bucket>.+)\.s3[.-]")


def install() -> None:
    """Replace each as its module is imported."""
    after_import("moto.cloudformation.utils", _templates_in_s3)
    after_import("moto.cloudformation.parsing", _left_out)
    after_import("moto.cloudformation.models", _whole_stacks)
    after_import("moto.cloudformation.responses", _sets_of_their_stack)
    after_import("moto.cloudformation.responses", _fails_later)
    after_import("moto.s3.models", _versioned_buckets)


# ------------------------------------------------------------- templates


def _templates_in_s3(module: Any) -> None:
    def body(template_url: str, account_id: str, partition: str) -> str:
        from moto.s3.models import s3_backends

        bucket, key = bucket_and_key(template_url)
        found: Any = s3_backends[account_id][partition].get_object(bucket, key)
        return str(found.value.decode("utf-8"))

    module.get_stack_from_s3_url = body


def bucket_and_key(url: str) -> tuple[str, str]:
    """What a URL of an object names, by virtual host or by path, whatever the host.

    Args:
        url: As ``TemplateURL`` says it: AWS' hosts, ``localhost.localstack.cloud``, an address.

    Returns:
        Bucket and key; the key is empty where the path has none.
    """
    parts = urlsplit(url)
    path = unquote(parts.path).lstrip("/")
    in_host = _BUCKET_IN_HOST.match(parts.hostname or "")
    if in_host is not None:
        return in_host["bucket"], path
    bucket, _, key = path.partition("/")
    return bucket, key


# ----------------------------------------------------------- change sets


def _whole_stacks(module: Any) -> None:
    store = module.CloudFormationBackend
    apply, execute, create = (
        module.ChangeSet.apply,
        store.execute_change_set,
        store.create_change_set,
    )

    def apply_whole(change_set: Any) -> None:
        """Leave the stack as ``create_stack`` and ``update_stack`` leave it."""
        stack = change_set.stack
        apply(change_set)
        stack.template = change_set.template
        stack._parse_template()
        stack.description = stack.template_dict.get("Description")
        stack.parameters = change_set.parameters
        stack.output_map = stack._create_output_map()
        if change_set.tags:
            stack.tags = change_set.tags

    def execute_in_store(backend: Any, change_set_name: str, stack_name: str | None = None) -> None:
        stack = backend.describe_change_set(change_set_name).stack
        before = {export.name for export in stack.exports}
        stack.cross_stack_resources = backend.exports
        stack.resource_map.cross_stack_resources = backend.exports
        execute(backend, change_set_name, stack_name)
        for name in before:
            backend.exports.pop(name, None)
        backend._validate_export_uniqueness(stack)
        backend.exports.update({export.name: export for export in stack.exports})

    def create_in_store(backend: Any, stack_name: str, *more: Any, **named: Any) -> tuple[str, str]:
        """Give a stack that waits for its first change set one more, not a namesake."""
        waiting = [s for s in backend.stacks.values() if s.name == stack_name and _is_empty(s)]
        change_set_id, stack_id = create(backend, stack_name, *more, **named)
        change_set = backend.change_sets[change_set_id]
        if waiting and change_set.change_set_type != "UPDATE":
            del backend.stacks[stack_id]
            change_set.stack, change_set.stack_id = waiting[0], waiting[0].stack_id
        return change_set_id, str(change_set.stack_id)

    module.ChangeSet.apply = apply_whole
    store.execute_change_set = execute_in_store
    store.create_change_set = create_in_store
    module.Stack.stack_resources = property(_made)
    module.Stack.stack_parameters = property(_given)
    module.Stack.parameter_list = property(_told)
    module.Stack.outputs = property(_given_out)


def _is_empty(stack: Any) -> bool:
    return bool(stack.status == "REVIEW_IN_PROGRESS")


def _made(stack: Any) -> list[Any]:
    """The resources that are there: moto lists those without support or condition as None."""
    return [resource for resource in stack.resource_map.values() if resource is not None]


def _given(stack: Any) -> dict[str, str]:
    """Each parameter as text, as it was given: what ``UsePreviousValue`` stands for.

    moto has what it made of it, a list or the value of an SSM parameter.
    """
    inputs = stack.resource_map.input_parameters
    slots = stack.template_dict.get("Parameters") or {}
    return {name: str(inputs.get(name, slot.get("Default", ""))) for name, slot in slots.items()}


def _told(stack: Any) -> list[dict[str, str]]:
    """The parameters as ``DescribeStacks`` tells them."""
    resources = stack.resource_map
    hidden = getattr(resources, "no_echo_parameter_keys", ())
    told = []
    for name, value in _given(stack).items():
        parameter = {
            "ParameterKey": name,
            "ParameterValue": "****" if name in hidden else value,
        }
        kind = str(stack.template_dict["Parameters"][name].get("Type"))
        if kind.startswith("AWS::SSM::Parameter::"):
            resolved = resources.resolved_parameters.get(name, "")
            joined = ",".join(resolved) if isinstance(resolved, list) else str(resolved)
            parameter["ResolvedValue"] = joined
        told.append(parameter)
    return told


def _given_out(stack: Any) -> list[dict[str, Any]] | None:
    """The outputs, each with the name it is exported under.

    moto finds that name by the value, and misses it for a queue's URL: the host in an output
    is the one of whoever made the stack, that in an export the one of whoever asks.
    """
    from moto.cloudformation.parsing import clean_json

    outputs = stack.output_map
    slots, resources = outputs._output_json_map, outputs._resource_map

    def exported_as(name: str) -> Any:
        export = slots[name].get("Export") or {}
        return clean_json(export.get("Name"), resources)

    told = [
        {
            "OutputKey": output.key,
            "OutputValue": output.value,
            "Description": output.description,
            "ExportName": exported_as(output.key),
        }
        for output in outputs.values()
        if output is not None  # its condition does not hold
    ]
    return told or None


def _sets_of_their_stack(module: Any) -> None:
    """moto takes the first or last change set of a name, whatever stack it is of.

    The CDK names all of them alike.
    """  # noqa: D403 - its name
    response = module.CloudFormationResponse

    def named(call: Any) -> Any:
        return _named(
            call.cloudformation_backend,
            call._get_param("ChangeSetName"),
            call._get_param("StackName"),
        )

    def describe(call: Any) -> Any:
        found = named(call)
        if found is None:
            raise _no_change_set(call._get_param("ChangeSetName"))
        return module.ActionResult(found)

    def execute(call: Any) -> Any:
        found = named(call)
        if found is None:
            raise _no_change_set(call._get_param("ChangeSetName"))
        call.cloudformation_backend.execute_change_set(found.change_set_id, found.stack_name)
        return module.EmptyResult()

    def delete(call: Any) -> Any:
        found = named(call)
        if found is not None:  # AWS deletes what is not there without a word
            del call.cloudformation_backend.change_sets[found.change_set_id]
        return module.EmptyResult()

    def list_all(call: Any) -> Any:
        name = call._get_param("StackName")
        sets = call.cloudformation_backend.list_change_sets()
        return module.ActionResult({"Summaries": [s for s in sets if _is_of(s, name)]})

    response.describe_change_set, response.execute_change_set = describe, execute
    response.delete_change_set, response.list_change_sets = delete, list_all


def _fails_later(module: Any) -> None:
    """A change set without changes is made and ``FAILED``: tools look for its reason."""
    response = module.CloudFormationResponse
    create = response.create_change_set

    def create_change_set(call: Any) -> Any:
        if call._get_bool_param("UsePreviousTemplate", if_none=False) is False:
            call._validate_different_update = lambda *_: None
        return create(call)

    response.create_change_set = create_change_set


def _named(store: Any, name: str, stack_name: str | None) -> Any:
    """The newest change set of this name or ARN, of this stack if one is named; or None."""
    if name in store.change_sets:
        return store.change_sets[name]
    found = [
        s
        for s in store.change_sets.values()
        if s.change_set_name == name and _is_of(s, stack_name) and s.stack_id in store.stacks
    ]
    return found[-1] if found else None


def _is_of(change_set: Any, stack_name: str | None) -> bool:
    return stack_name in (None, change_set.stack_name, change_set.stack_id)


def _no_change_set(name: str) -> Exception:
    from moto.cloudformation.exceptions import CloudFormationError

    error: Exception = CloudFormationError(f"ChangeSet [{name}] does not exist")
    error.code = "ChangeSetNotFoundException"  # type: ignore[attr-defined]
    return error


# ------------------------------------------------------- left-out resources


def _subscribe(properties: dict[str, Any], account_id: str, region: str) -> str:
    from moto.sns.models import sns_backends

    store = sns_backends[account_id][region]
    subscription = store.subscribe(
        properties["TopicArn"], properties.get("Endpoint", ""), properties["Protocol"]
    )
    for name in ("RawMessageDelivery", "FilterPolicy", "FilterPolicyScope", "RedrivePolicy"):
        if name in properties:
            store.set_subscription_attributes(subscription.arn, name, _as_text(properties[name]))
    return str(subscription.arn)


def _unsubscribe(arn: str, account_id: str, region: str) -> None:
    from moto.sns.models import sns_backends

    sns_backends[account_id][region].unsubscribe(arn)


def _queue_policy(properties: dict[str, Any], account_id: str, region: str) -> None:
    from moto.sqs.models import sqs_backends

    policy = _as_text(properties["PolicyDocument"])
    for url in properties["Queues"]:
        name = url.rsplit("/", 1)[-1]
        sqs_backends[account_id][region].set_queue_attributes(name, {"Policy": policy})


def _topic_policy(properties: dict[str, Any], account_id: str, region: str) -> None:
    from moto.sns.models import sns_backends

    policy = _as_text(properties["PolicyDocument"])
    for arn in properties["Topics"]:
        sns_backends[account_id][region].set_topic_attribute(arn, "policy", policy)


def _as_text(value: Any) -> str:
    """An attribute as its service takes it: templates say ``true`` and documents as JSON.

    YAML takes ``Version: 2012-10-17`` without quotes for a date.
    """
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _nothing(*_: Any) -> None:
    """A policy ends with the queue or topic it is of."""


def _versioned_buckets(module: Any) -> None:
    """A template's ``VersioningConfiguration``, which moto reads over."""
    bucket = module.FakeBucket
    make = bucket.create_from_cloudformation_json
    change = bucket.update_from_cloudformation_json

    def set_versioning(made: Any, template: Any, account_id: str, region: str) -> Any:
        wanted = template.get("Properties", {}).get("VersioningConfiguration")
        if wanted is not None:
            store = module.s3_backends[account_id][module.get_partition(region)]
            store.put_bucket_versioning(made.name, wanted["Status"])
        return made

    def create(
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **more: Any,
    ) -> Any:
        made = make(resource_name, cloudformation_json, account_id, region_name, **more)
        return set_versioning(made, cloudformation_json, account_id, region_name)

    def update(*, cloudformation_json: Any, account_id: str, region_name: str, **more: Any) -> Any:
        made = change(
            cloudformation_json=cloudformation_json,
            account_id=account_id,
            region_name=region_name,
            **more,
        )
        return set_versioning(made, cloudformation_json, account_id, region_name)

    bucket.create_from_cloudformation_json = staticmethod(create)
    bucket.update_from_cloudformation_json = staticmethod(update)


Make = Callable[[dict[str, Any], str, str], str | None]
End = Callable[[str, str, str], None]

# Type, how it is made (giving its physical id, if it has one of its own), how it is deleted.
# Not here: AWS::S3::BucketPolicy.  moto enforces bucket policies and ignores their conditions, so
# that "deny what is not encrypted in transit", which the CDK writes, would deny everything.
LEFT_OUT: tuple[tuple[str, Make, End], ...] = (
    ("AWS::SNS::Subscription", _subscribe, _unsubscribe),
    ("AWS::SNS::TopicPolicy", _topic_policy, _nothing),
    ("AWS::SQS::QueuePolicy", _queue_policy, _nothing),
)
_MODELS: list[type] = []  # moto finds classes by asking their base, which holds them weakly


def _left_out(module: Any) -> None:
    for name, make, end in LEFT_OUT:
        _MODELS.append(_model(module, name, make, end))


def _model(module: Any, name: str, make: Make, end: End) -> type:
    """A class as moto's table of resource types wants it; what it makes is a ``CustomModel``."""

    def create(
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **more: Any,
    ) -> Any:
        own_id = make(cloudformation_json["Properties"], account_id, region_name)
        resource = module.CustomModel(
            region_name, "", more.get("LogicalId", ""), own_id or resource_name
        )
        resource.set_data({"Arn": own_id} if own_id else {})
        return resource

    def update(
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> Any:
        end(original_resource.physical_resource_id, account_id, region_name)
        return create(new_resource_name, cloudformation_json, account_id, region_name)

    def delete(resource_name: str, _: dict[str, Any], account_id: str, region_name: str) -> None:
        end(resource_name, account_id, region_name)

    return type(
        name.replace("::", ""),
        (module.CloudFormationModel,),
        {
            "cloudformation_type": staticmethod(lambda: name),
            "cloudformation_name_type": staticmethod(lambda: ""),
            "create_from_cloudformation_json": staticmethod(create),
            "update_from_cloudformation_json": staticmethod(update),
            "delete_from_cloudformation_json": staticmethod(delete),
            "has_cfn_attr": staticmethod(lambda attribute: attribute == "Arn"),
        },
    )
