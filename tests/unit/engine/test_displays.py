"""What moto puts into a set on its way to an answer stays in order; no answer tells of memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from moto.s3.exceptions import ObjectNotInActiveTierError
from tests.coverage.memory_disk import Disk
from tests.unit.engine.conftest import ACCOUNT

from perdure.engine.core import Engine

# So many that a set would hardly have them in this order.
INSTANCES = [f"i-{n:017x}" for n in (7, 3, 9, 1, 8, 2, 6, 4)]


class Asked:
    """In the place of a load balancers' store: notes what it is asked to do."""

    def __init__(self, *instances: str) -> None:
        self.found = [SimpleNamespace(name="lb", arn="arn", port=80, instance_ids=[*instances])]
        self.said: list[Any] = []

    def describe_load_balancers(self, names: list[str]) -> list[Any]:
        return self.found

    def describe_target_groups(self, **_: Any) -> list[Any]:
        return self.found

    def register_instances(self, name: str, ids: Any, *, from_autoscaling: bool) -> None:
        self.said.append(("in", list(ids), from_autoscaling))

    def deregister_instances(self, name: str, ids: Any, *, from_autoscaling: bool) -> None:
        self.said.append(("out", list(ids), from_autoscaling))

    def register_targets(self, arn: str, targets: Any) -> None:
        self.said.append([target["Id"] for target in targets])


def group(store: Any, asked: Asked) -> None:
    """A group of all instances; the store's neighbours only note what they are asked."""
    states = [SimpleNamespace(instance=SimpleNamespace(id=name)) for name in INSTANCES]
    store.autoscaling_groups["g"] = SimpleNamespace(
        active_instances=lambda: states,
        instance_states=states,
        load_balancer_names=["lb"],
        target_group_arns=["arn"],
    )
    store.elb_backend = store.elbv2_backend = asked


def test_instances_are_registered_as_the_group_has_them(moto: Any, engine: Engine) -> None:
    """Those that are missing come in, those that went go, each in its list's order."""
    store, asked = moto.store("autoscaling"), Asked("i-gone", INSTANCES[1], "i-lost")
    group(store, asked)

    store.update_attached_elbs("g")
    store.update_attached_target_groups("g")

    missing = [name for name in INSTANCES if name != INSTANCES[1]]
    assert asked.said == [
        ("in", missing, True),
        ("out", ["i-gone", "i-lost"], True),
        INSTANCES,
    ]


def test_pages_of_mount_targets_follow_each_other(moto: Any, engine: Engine) -> None:
    """Each target stands on one page, in the order of the file system."""
    store = moto.store("efs")
    made = [SimpleNamespace(mount_target_id=name, info_json=dict) for name in INSTANCES]
    for number, each in enumerate(made):
        each.info_json = lambda number=number: {"n": number}
    store.mount_targets_by_id.update({each.mount_target_id: each for each in made})
    store.file_systems_by_id["fs"] = SimpleNamespace(iter_mount_targets=lambda: iter(made))

    pages, marker = [], None
    while not pages or marker:
        marker, page = store.describe_mount_targets(3, "fs", None, None, marker)
        pages.append([each.mount_target_id for each in page])

    assert pages == [INSTANCES[:3], INSTANCES[3:6], INSTANCES[6:]]


@pytest.mark.parametrize("key", ["archived", SimpleNamespace(name="archived")])
def test_an_archived_object_is_named_by_its_key(engine: Engine, key: Any) -> None:
    """Not by where it lies in memory."""
    assert ObjectNotInActiveTierError(key).key == "archived"


def test_the_size_of_a_bucket_is_that_of_its_objects(moto: Any, disk: Disk) -> None:
    """All versions of them, before and after a restart; a delete marker has none."""
    made = moto.store("s3", "aws")
    made.create_bucket("sizes", "us-east-1")
    made.put_bucket_versioning("sizes", "Enabled")
    for name, size in [("x", 10), ("x", 7), ("y", 3), ("y", 300_000), ("z", 0)]:
        made.put_object("sizes", name, b"." * size)
    made.delete_object("sizes", "x")

    def sizes() -> dict[str, float]:
        store = type(moto.store("s3", "aws"))
        metrics = store.get_cloudwatch_metrics(ACCOUNT, "us-east-1")
        return {each.name: each.value for each in metrics}

    expected = {"BucketSizeBytes": 300_020, "NumberOfObjects": 3}
    assert sizes() == expected
    disk.save()
    disk.restart()
    assert sizes() == expected
