"""What a store holds besides plain state is in place again after a load."""

from __future__ import annotations

from typing import Any

from tests.unit.engine.conftest import Disk, key


def test_security_groups_filter_again(disk: Disk, moto: Any) -> None:
    """A group's table of filters is bound to the group that was loaded."""
    ec2 = moto.store("ec2")
    vpc = next(iter(ec2.vpcs))
    made = ec2.create_security_group("web", "for the web", vpc_id=vpc)
    disk.save()
    disk.restart()

    found = moto.store("ec2").get_security_group_from_id(made.id)
    assert found.matches_filter("description", ["for the web"])
    assert not found.matches_filter("description", ["another"])
    assert all(method.__self__ is found for method in found.filters.values())
    assert found.filters.keys() == made.filters.keys()


def test_rds_lists_what_was_loaded(disk: Disk, moto: Any) -> None:
    """RDS' table of its own dicts holds the loaded ones, not those of a fresh store."""
    moto.store("rds")
    disk.save()
    disk.restart()

    rds = moto.store("rds")
    own = [id(value) for value in rds.__dict__.values()]
    assert all(id(held) in own for held in rds.resource_map.values())


def test_config_has_its_model(disk: Disk, moto: Any) -> None:
    """Config's description of its API is there after a load."""
    moto.store("config")
    disk.save()
    disk.restart()

    assert moto.store("config").config_schema.service_name == "config"


def test_a_graphql_schema_comes_back(disk: Disk, moto: Any) -> None:
    """AppSync's parsed types, which have slots, are there after a load, description included."""
    store = moto.store("appsync")
    api = store.create_graphql_api(
        name="api",
        authentication_type="API_KEY",
        additional_authentication_providers=None,
        log_config=None,
        xray_enabled="false",
        user_pool_config=None,
        open_id_connect_config=None,
        lambda_authorizer_config=None,
        tags={},
        visibility=None,
    )
    definition = b'"""A pet""" type Pet { name(long: Boolean = true): String! }'
    store.start_schema_creation(api.api_id, definition)
    before = store.get_type(api.api_id, "Pet", "SDL")
    disk.save()
    disk.restart()

    found = moto.store("appsync").get_type(api.api_id, "Pet", "SDL")
    assert found == before
    assert found["description"] == "A pet"


def test_a_store_that_answers_for_another_keeps_its_own_attributes(disk: Disk, moto: Any) -> None:
    """Batch without Docker hands every attribute on; neither store takes the other's."""
    simple, real = moto.store("batch_simple"), moto.store("batch")
    own = object.__getattribute__(simple, "__dict__")
    disk.save()
    assert own.keys() == object.__getattribute__(real, "__dict__").keys()
    disk.restart()

    simple, real = moto.store("batch_simple"), moto.store("batch")
    assert object.__getattribute__(simple, "__dict__") is not real.__dict__
    assert simple.backend is real
    assert disk.reports == {}


def test_a_users_groups_keep_their_order(disk: Disk, moto: Any) -> None:
    """A set whose order is seen in pages of an answer is listed alike after a load."""
    store = moto.store("cognitoidp")
    pool = store.create_user_pool("pool", {}).id
    store.admin_create_user(pool, "ann", None, None, [])
    for number in range(20):
        store.create_group(pool, f"group-{number}", "", None, None)
        store.admin_add_user_to_group(pool, f"group-{number}", "ann")
    store.admin_remove_user_from_group(pool, "group-3", "ann")
    before = [group.group_name for group in store.admin_list_groups_for_user(pool, "ann")[0]]
    disk.save()
    disk.restart()

    store = moto.store("cognitoidp")
    groups = store.admin_list_groups_for_user(pool, "ann")[0]
    assert [group.group_name for group in groups] == before
    assert before == [f"group-{number}" for number in range(20) if number != 3]
    assert all(groups[0] in user.groups for user in groups[0].users)


def test_workspaces_ask_their_store_for_tags_again(disk: Disk, moto: Any) -> None:
    """A method of the store that an object keeps is one of the loaded store."""
    made = moto.store("amp").create_workspace("mine", {"stage": "test"})
    disk.save()
    disk.restart()
    store = moto.store("amp")

    found = store.workspaces[made.workspace_id]
    assert found.to_dict()["tags"] == {"stage": "test"}
    assert found.tag_fn.__self__ is store


def test_another_method_is_refused(disk: Disk, moto: Any) -> None:
    """A method that would come back as another one is named, not stored."""
    made = moto.store("amp").create_workspace("mine", {})
    made.tag_fn = moto.store("amp").describe_workspace

    failed = disk.engine.capture().failed

    assert "tag_fn" in str(failed[key("amp")])


def test_an_object_that_only_looks_like_a_store_is_saved(disk: Disk, moto: Any) -> None:
    """What moto derives from the base of stores, and keeps in one, comes back with it."""
    store = moto.store("servicecatalogappregistry")
    made = store.create_application("mine", "", {}, "token")
    store.associate_resource(made.arn, "RESOURCE_TAG_VALUE", "value", [])
    (before,) = [one.to_json() for one in made.associated_resources.values()]
    disk.save()
    disk.restart()

    found = next(iter(moto.store("servicecatalogappregistry").applications.values()))
    assert [one.to_json() for one in found.associated_resources.values()] == [before]


def test_items_of_a_domain_come_back(disk: Disk, moto: Any) -> None:
    """SimpleDB makes an item at the first look; so does a loaded domain."""
    store = moto.store("sdb")
    store.create_domain("domain")
    store.put_attributes("domain", "item", [{"Name": "a", "Value": "1"}])
    disk.save()
    disk.restart()

    loaded = moto.store("sdb")
    assert loaded.get_attributes("domain", "item", []) == [{"Name": "a", "Value": "1"}]
    loaded.put_attributes("domain", "other", [{"Name": "b", "Value": "2"}])
    assert loaded.get_attributes("domain", "other", []) == [{"Name": "b", "Value": "2"}]


def test_what_was_metered_comes_back(disk: Disk, moto: Any) -> None:
    """Deques of moto's own classes, made at the first look, are of their class again."""
    store = moto.store("meteringmarketplace")
    store.customers_by_product["product"].append("customer")
    disk.save()
    disk.restart()

    loaded = moto.store("meteringmarketplace")
    assert loaded.customers_by_product["product"].is_subscribed("customer")
    assert not loaded.customers_by_product["another"].is_subscribed("customer")


def test_connections_of_an_api_come_back(disk: Disk, moto: Any) -> None:
    """A connection that was made at the first look is the same one again."""
    moto.store("apigatewaymanagementapi").post_to_connection(b"sent", "one")
    disk.save()
    disk.restart()

    loaded = moto.store("apigatewaymanagementapi")
    assert loaded.get_connection("one").data == b"sent"
    assert loaded.get_connection("two").data == b""
