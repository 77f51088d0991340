"""Sets written as ``{... for ...}`` whose order reaches an answer, an object's address, its memory.

``order`` gives a module another class where it says ``set(``; a display makes a plain set
all the same.  ``make replay-sweep`` found these, of 64,327 answers of moto's tests nine:

    Auto Scaling   instances are registered with load balancers in the order of a set
    EFS            a page of mount targets is in the order of a set
    S3             an error names an archived object by its address in memory, not by its key

Here they come in the order in which the group and the file system have them.

CloudWatch's ``BucketSizeBytes`` of moto adds up the memory Python gave each list of versions,
which is another after a load.  Here it is the bytes of all versions of all objects.
"""

from __future__ import annotations

from typing import Any

from perdure.engine.imports import after_import

# More than any file system has mount targets.
ALL = 1 << 30


def install() -> None:
    """Put them in order."""
    after_import("moto.autoscaling.models", _autoscaling)
    after_import("moto.efs.models", _efs)
    after_import("moto.s3.exceptions", _s3)
    after_import("moto.s3.utils", _s3_sizes)


def _autoscaling(module: Any) -> None:
    def update_attached_elbs(backend: Any, group_name: str) -> None:
        group = backend.autoscaling_groups[group_name]
        wanted = list(dict.fromkeys(state.instance.id for state in group.active_instances()))
        if not group.load_balancer_names:
            return
        elbs = backend.elb_backend
        try:
            found = elbs.describe_load_balancers(names=group.load_balancer_names)
        except module.LoadBalancerNotFoundError:
            return  # one may be deleted before its group
        for elb in found:
            present = list(dict.fromkeys(elb.instance_ids))
            added = [each for each in wanted if each not in present]
            removed = [each for each in present if each not in wanted]
            elbs.register_instances(elb.name, added, from_autoscaling=True)
            elbs.deregister_instances(elb.name, removed, from_autoscaling=True)

    def update_attached_target_groups(backend: Any, group_name: str) -> None:
        group = backend.autoscaling_groups[group_name]
        if not group.target_group_arns:
            return
        names = list(dict.fromkeys(state.instance.id for state in group.instance_states))
        found = backend.elbv2_backend.describe_target_groups(
            target_group_arns=group.target_group_arns, load_balancer_arn=None, names=None
        )
        for each in found:
            targets = [{"Id": name, "Port": each.port} for name in names]
            backend.elbv2_backend.register_targets(each.arn, targets)

    module.AutoScalingBackend.update_attached_elbs = update_attached_elbs
    module.AutoScalingBackend.update_attached_target_groups = update_attached_target_groups


def _efs(module: Any) -> None:
    original = module.EFSBackend.describe_mount_targets

    def describe_mount_targets(  # noqa: PLR0917 - as moto has it
        backend: Any,
        max_items: int,
        file_system_id: str | None,
        mount_target_id: str | None,
        access_point_id: str | None,
        marker: str | None,
    ) -> Any:
        named = (file_system_id, mount_target_id, access_point_id)
        if marker is None or marker not in backend.next_markers:
            return original(backend, max_items, *named, marker)
        _, found = original(backend, ALL, *named, None)
        marked = [target.mount_target_id for target in backend.next_markers[marker]]
        left = [target for target in found if target.mount_target_id in marked]
        return backend._mark_description(left, max_items), left[:max_items]

    module.EFSBackend.describe_mount_targets = describe_mount_targets


def _s3(module: Any) -> None:
    create = module.ObjectNotInActiveTierError.__init__

    def init(error: Any, key_name: Any) -> None:
        create(error, getattr(key_name, "name", key_name))

    module.ObjectNotInActiveTierError.__init__ = init


def _s3_sizes(module: Any) -> None:
    def item_size(store: Any) -> int:
        return sum(
            getattr(version, "contentsize", 0)  # a delete marker has none
            for versions in store._self_iterable().values()
            for version in versions
        )

    module._VersionedKeyStore.item_size = item_size
