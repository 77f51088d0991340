"""API Gateway across a restart."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def make_api(gateway, name="api"):
    """A REST API: its id and that of its root."""
    api = gateway.create_rest_api(name=name)["id"]
    return api, gateway.get_resources(restApiId=api)["items"][0]["id"]


def integrate(gateway, method, **integration):
    gateway.put_method(**method, authorizationType="NONE")
    gateway.put_method_response(**method, statusCode="200")
    gateway.put_integration(**method, **integration)
    gateway.put_integration_response(**method, statusCode="200", responseTemplates={})


@resumed
def test_resources_and_methods(aws):
    """An API's tree of resources, its methods and models survive and can be changed."""
    gateway = aws.client("apigateway")
    api, root = make_api(gateway)
    parent = gateway.create_resource(restApiId=api, parentId=root, pathPart="items")["id"]
    child = gateway.create_resource(restApiId=api, parentId=parent, pathPart="{id}")["id"]
    method = {"restApiId": api, "resourceId": child, "httpMethod": "GET"}
    integrate(gateway, method, type="MOCK")
    gateway.create_model(
        restApiId=api, name="Item", contentType="application/json", schema='{"type": "object"}'
    )
    yield
    paths = {r["id"]: r["path"] for r in gateway.get_resources(restApiId=api)["items"]}
    assert paths == {root: "/", parent: "/items", child: "/items/{id}"}
    found = gateway.get_method(**method)
    assert found["methodIntegration"]["type"] == "MOCK"
    assert list(found["methodResponses"]) == ["200"]
    model = gateway.get_model(restApiId=api, modelName="Item")
    assert model["contentType"] == "application/json"
    gateway.update_rest_api(
        restApiId=api, patchOperations=[{"op": "replace", "path": "/name", "value": "renamed"}]
    )
    assert [a["name"] for a in gateway.get_rest_apis()["items"]] == ["renamed"]
    gateway.delete_resource(restApiId=api, resourceId=child)
    with pytest.raises(ClientError, match="NotFound"):
        gateway.get_method(**method)


@resumed
def test_deployments_keys_and_plans(aws):
    """Stages, API keys and usage plans survive, and a key keeps its value and plan."""
    gateway = aws.client("apigateway")
    api, root = make_api(gateway)
    integrate(gateway, {"restApiId": api, "resourceId": root, "httpMethod": "GET"}, type="MOCK")
    first = gateway.create_deployment(restApiId=api, stageName="dev", variables={"a": "b"})["id"]
    key = gateway.create_api_key(name="k", enabled=True)
    plan = gateway.create_usage_plan(
        name="p", apiStages=[{"apiId": api, "stage": "dev"}], quota={"limit": 5, "period": "DAY"}
    )["id"]
    gateway.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
    yield
    assert gateway.get_api_key(apiKey=key["id"], includeValue=True)["value"] == key["value"]
    keys = gateway.get_usage_plan_keys(usagePlanId=plan)["items"]
    assert [k["id"] for k in keys] == [key["id"]]
    stage = gateway.get_stage(restApiId=api, stageName="dev")
    assert (stage["deploymentId"], stage["variables"]) == (first, {"a": "b"})
    second = gateway.create_deployment(restApiId=api)["id"]
    gateway.update_stage(
        restApiId=api,
        stageName="dev",
        patchOperations=[{"op": "replace", "path": "/deploymentId", "value": second}],
    )
    assert gateway.get_stage(restApiId=api, stageName="dev")["deploymentId"] == second
    assert {d["id"] for d in gateway.get_deployments(restApiId=api)["items"]} == {first, second}
    gateway.delete_usage_plan_key(usagePlanId=plan, keyId=key["id"])
    assert gateway.get_usage_plan_keys(usagePlanId=plan)["items"] == []


@resumed
def test_api_of_a_stack(aws):
    """An API that a stack made is changed after a restart by its service and by the stack."""
    gateway, stacks = aws.client("apigateway"), aws.client("cloudformation")
    made = {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "stacked"}},
        "Items": {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
                "PathPart": "items",
            },
        },
    }
    stacks.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": made}))
    api = gateway.get_rest_apis()["items"][0]["id"]
    yield
    (parent,) = (r for r in gateway.get_resources(restApiId=api)["items"] if r["path"] == "/items")
    gateway.create_resource(restApiId=api, parentId=parent["id"], pathPart="more")
    assert len(gateway.get_resources(restApiId=api)["items"]) == 3
    found = stacks.describe_stack_resource(StackName="s", LogicalResourceId="Items")
    assert found["StackResourceDetail"]["PhysicalResourceId"] == parent["id"]
    more = {**made["Items"], "Properties": {**made["Items"]["Properties"], "PathPart": "other"}}
    body = json.dumps({"Resources": {**made, "Other": more}})
    stacks.update_stack(StackName="s", TemplateBody=body)
    paths = {r["path"] for r in gateway.get_resources(restApiId=api)["items"]}
    assert paths == {"/", "/items", "/items/more", "/other"}


@resumed
def test_authorizer_names_a_pool_of_cognito(aws):
    """An authorizer keeps the user pool it asks, and can be given another."""
    gateway, cognito = aws.client("apigateway"), aws.client("cognito-idp")
    pools = [cognito.create_user_pool(PoolName=n)["UserPool"]["Arn"] for n in ("a", "b")]
    api, _ = make_api(gateway)
    made = gateway.create_authorizer(
        restApiId=api,
        name="users",
        type="COGNITO_USER_POOLS",
        providerARNs=pools[:1],
        identitySource="method.request.header.Authorization",
    )
    yield
    which = {"restApiId": api, "authorizerId": made["id"]}
    (arn,) = gateway.get_authorizer(**which)["providerARNs"]
    cognito.describe_user_pool(UserPoolId=arn.rpartition("/")[2])
    gateway.delete_authorizer(**which)
    assert gateway.get_authorizers(restApiId=api)["items"] == []


@resumed
def test_domain_has_a_certificate_of_acm(aws):
    """A domain keeps ACM's certificate and its mapping to a stage."""
    gateway, acm = aws.client("apigateway"), aws.client("acm")
    certificate = acm.request_certificate(DomainName="api.example.com")["CertificateArn"]
    api, root = make_api(gateway)
    integrate(gateway, {"restApiId": api, "resourceId": root, "httpMethod": "GET"}, type="MOCK")
    gateway.create_deployment(restApiId=api, stageName="live")
    gateway.create_domain_name(domainName="api.example.com", certificateArn=certificate)
    gateway.create_base_path_mapping(domainName="api.example.com", restApiId=api, stage="live")
    yield
    arn = gateway.get_domain_name(domainName="api.example.com")["certificateArn"]
    assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["DomainName"] == (
        "api.example.com"
    )
    mappings = gateway.get_base_path_mappings(domainName="api.example.com")["items"]
    assert [(m["restApiId"], m["stage"]) for m in mappings] == [(api, "live")]
    gateway.delete_base_path_mapping(domainName="api.example.com", basePath="(none)")
    gateway.delete_domain_name(domainName="api.example.com")
    with pytest.raises(ClientError, match="NotFound"):
        gateway.get_domain_name(domainName="api.example.com")
