"""Stores: loaded when they are looked up, seen when they are enumerated, never made anew."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from moto.core.base_backend import BackendDict
from tests.unit.engine.conftest import ACCOUNT, REGION, Disk, is_living, key

from perdure.engine import stores
from perdure.engine.calls import Call
from perdure.engine.core import Engine, stores_by_state
from perdure.engine.stores import (
    STORES,
    QuarantinedError,
    UnknownRegionError,
    import_table,
    module_of,
    table_of,
)


def test_a_look_up_makes_a_store_and_notes_it(engine: Engine, moto: Any) -> None:
    """The first look-up makes a store, every look-up touches it."""
    store = moto.store("sqs")

    assert moto.store("sqs") is store
    assert key("sqs") in STORES.touched
    assert engine.changed() >= {key("sqs")}


def test_a_known_store_is_loaded_at_its_first_look_up(disk: Disk, moto: Any) -> None:
    """Nothing is read before it is asked for; then what was saved is there."""
    moto.store("sqs").create_queue("q", {})
    moto.store("sqs", "eu-west-1").create_queue("other", {})
    disk.save()
    disk.restart()

    assert disk.fetched == []
    assert not is_living(key("sqs"))
    assert list(moto.store("sqs").queues) == ["q"]
    assert disk.fetched == [key("sqs")]
    assert not is_living(key("sqs", "eu-west-1"))


def test_loading_is_no_change(disk: Disk, moto: Any) -> None:
    """A store that was loaded and only read is not saved again with other bytes."""
    moto.store("ssm").put_parameter(
        "p", "", "v", "String", "", False, None, None, "text", "Standard", None
    )
    disk.save()
    before = dict(disk.files)
    disk.restart()
    assert moto.store("ssm").get_parameter("p").value == "v"

    disk.save(everything=True)

    changed = {k for k in before if _payload(disk.files[k]) != _payload(before[k])}
    assert changed == set()


def _payload(data: bytes) -> Any:
    from pathlib import Path

    from perdure.persistence.statefile import decode

    return decode(data, path=Path("x")).graph.digest


@pytest.mark.parametrize("method", ["items", "keys", "values", "__iter__", "__len__"])
def test_enumerating_regions_sees_unloaded_stores(disk: Disk, moto: Any, method: str) -> None:
    """Code of moto that enumerates a service's regions sees what is saved as well."""
    moto.store("sqs").create_queue("q", {})
    moto.store("sqs", "eu-west-1").create_queue("q", {})
    disk.save()
    disk.restart()

    regions = import_table("sqs")[ACCOUNT]
    found = getattr(regions, method)()

    assert (found if isinstance(found, int) else len(list(found))) == 2
    assert is_living(key("sqs", "eu-west-1"))


@pytest.mark.parametrize("method", ["items", "keys", "values", "__iter__", "__len__"])
def test_enumerating_accounts_sees_unloaded_stores(disk: Disk, moto: Any, method: str) -> None:
    """Code of moto that enumerates accounts sees those that are only on disk."""
    moto.store("sqs", account="123456789012").create_queue("q", {})
    disk.save()
    disk.restart()
    dict.clear(import_table("sqs"))

    found = getattr(import_table("sqs"), method)()

    assert (found if isinstance(found, int) else len(list(found))) == 1


def test_get_and_contains_see_unloaded_stores(disk: Disk, moto: Any) -> None:
    """``get`` and ``in`` answer as if every saved store lived."""
    moto.store("sqs", account="123456789012").create_queue("q", {})
    disk.save()
    disk.restart()
    table = import_table("sqs")
    dict.clear(table)

    assert "123456789012" in table
    assert table.get("123456789012") is not None
    assert REGION in table["123456789012"]
    assert list(table["123456789012"].get(REGION).queues) == ["q"]


def test_a_quarantined_store_raises_and_is_never_made_anew(disk: Disk, moto: Any) -> None:
    """A store whose file is damaged answers no look-up and no enumeration; others do."""
    moto.store("sqs").create_queue("q", {})
    moto.store("sqs", "eu-west-1").create_queue("q", {})
    disk.save()
    del disk.files[key("sqs")]
    disk.restart()

    for _ in range(2):
        with pytest.raises(QuarantinedError) as error:
            moto.store("sqs")
    assert error.value.key == key("sqs")
    assert list(moto.store("sqs", "eu-west-1").queues) == ["q"]
    assert not is_living(key("sqs"))
    assert "expected a file" in disk.reports[key("sqs")]
    assert stores_by_state()[key("sqs")] == "quarantined"
    assert disk.engine.quarantined().keys() == {key("sqs")}
    assert key("sqs") not in disk.save(everything=True)


def test_an_enumeration_never_leaves_a_quarantined_store_out(disk: Disk, moto: Any) -> None:
    """Enumerating a service with a damaged store raises, again and again, not just once."""
    moto.store("sqs").create_queue("q", {})
    moto.store("sqs", "eu-west-1").create_queue("q", {})
    disk.save()
    del disk.files[key("sqs")]
    disk.restart()

    for _ in range(2):
        with pytest.raises(QuarantinedError):
            list(import_table("sqs")[ACCOUNT].items())


def test_a_reset_store_may_be_made_anew(disk: Disk, moto: Any) -> None:
    """Resetting a service ends its quarantine; it starts empty."""
    moto.store("sqs").create_queue("q", {})
    disk.save()
    del disk.files[key("sqs")]
    disk.restart()
    with pytest.raises(QuarantinedError):
        moto.store("sqs")

    aside = disk.engine.reset("sqs")

    assert aside == {key("sqs")}
    assert moto.store("sqs").queues == {}


def test_an_unknown_region_is_no_store(engine: Engine, moto: Any) -> None:
    """A region the service does not have is an UnknownRegionError, and nothing is made."""
    with pytest.raises(UnknownRegionError, match="mars-1"):
        moto.store("sqs", "mars-1")

    assert not is_living(key("sqs", "mars-1"))


def test_global_services_have_a_store_per_partition(engine: Engine, moto: Any) -> None:
    """``global`` means the partition aws."""
    assert moto.store("iam", "global") is moto.store("iam", "aws")
    assert "global" in import_table("iam")[ACCOUNT]


def test_a_class_belongs_to_a_module() -> None:
    """The module of a class is the package of moto that defines it."""
    from moto.sqs.models import Queue

    assert module_of(Queue) == "sqs"
    assert module_of(int) == "builtins"


def test_stores_are_told_by_state(disk: Disk, moto: Any) -> None:
    """Each store is unloaded, saved or changed."""
    moto.store("sqs").create_queue("q", {})
    disk.save()
    disk.restart()
    assert stores_by_state() == {key("sqs"): "unloaded"}
    disk.engine.load(key("sqs"))
    assert stores_by_state()[key("sqs")] == "saved"
    moto.store("sqs")  # whoever looks it up may change it
    assert stores_by_state()[key("sqs")] == "changed"


def test_a_service_that_is_only_on_disk_counts_as_in_use(disk: Disk, moto: Any) -> None:
    """Moto's list of services in use holds those whose stores nobody has asked for yet."""
    moto.store("sqs").create_queue("q", {"team": "a"})
    disk.save()
    disk.restart()
    _forget_that_it_was_used("sqs")

    assert tagged_by_moto() == ["arn:aws:sqs:us-east-1:000000000000:q"]


def test_a_quarantined_service_is_not_listed_as_empty(disk: Disk, moto: Any) -> None:
    """A list of all services' resources is refused while a store of one is set aside."""
    moto.store("sqs").create_queue("q", {"team": "a"})
    disk.save()
    disk.files.clear()
    disk.restart()
    with pytest.raises(QuarantinedError):
        moto.store("sqs")
    _forget_that_it_was_used("sqs")

    with pytest.raises(QuarantinedError):
        tagged_by_moto()


def test_a_service_moto_does_not_have_is_passed_over(disk: Disk, moto: Any) -> None:
    """A store of an unknown module keeps no other service from being listed."""
    moto.store("sqs").create_queue("q", {"team": "a"})
    STORES.unloaded.add(key("nosuchmodule"))

    assert tagged_by_moto() == ["arn:aws:sqs:us-east-1:000000000000:q"]


def _forget_that_it_was_used(module: str) -> None:
    """As in a new process: moto has not seen the service."""
    table = import_table(module)
    dict.clear(table)
    for index, known in enumerate(list.__iter__(BackendDict._instances)):
        if known is table:
            del BackendDict._instances[index]
            return


def tagged_by_moto() -> list[str]:
    """The queues that moto's Resource Groups Tagging finds."""
    from moto.core.resource_tagging import iter_taggable_backends

    found = (b.iter_tagged_resources() for b in iter_taggable_backends(ACCOUNT, REGION))
    arns = [resource.arn for resources in found for resource in resources]
    return [arn for arn in arns if ":sqs:" in arn]


@pytest.mark.parametrize(
    ("module", "account", "loads"),
    [
        ("sqs", ACCOUNT, True),
        ("sns", ACCOUNT, False),
        ("sqs", "123456789012", False),
        ("resourcegroupstaggingapi", ACCOUNT, True),
    ],
)
def test_a_call_that_will_load_is_told(
    disk: Disk, moto: Any, module: str, account: str, loads: bool
) -> None:
    """A call is known to load if a store of its service, or of any it lists, is not loaded."""
    moto.store("sqs").create_queue("q", {})
    disk.save()
    disk.restart()

    call = SimpleNamespace(service=SimpleNamespace(module=module), account=account)
    assert disk.engine.would_load(cast("Call", call)) is loads


def test_threads_that_ask_at_once_are_given_one_account(
    engine: Engine, moto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes an account's stores later does not put them over those in use."""
    moto.store("sqs")
    table = table_of("sqs")
    make = stores._new_account
    made: list[Any] = []

    def made_meanwhile(*arguments: Any) -> Any:
        if not made:
            made.append(None)
            made[0] = table["222222222222"]
        return make(*arguments)

    monkeypatch.setattr(stores, "_new_account", made_meanwhile)
    assert table["222222222222"] is made[0]
