"""What belongs to no store survives with the rest."""

from __future__ import annotations

from typing import Any

import pytest
from moto.core.common_models import BaseModel
from tests.unit.engine.conftest import ACCOUNT, REGION, Disk, key

from perdure.engine import process
from perdure.engine.quirks.identity import known_account, write_visits
from perdure.engine.quirks.polling import PATIENCE, ParkedError
from perdure.errors import LoadError


def test_bucket_owners_survive(disk: Disk, moto: Any) -> None:
    """A bucket's name stays taken across accounts after a restart, and is free after a reset."""
    from moto.s3.models import s3_backends

    moto.store("s3", "aws", "111111111111").create_bucket("mine", REGION)
    disk.save()
    disk.restart()
    assert s3_backends.bucket_accounts["mine"][1] == "111111111111"

    disk.engine.forget_all()
    assert s3_backends.bucket_accounts == {}


def test_log_event_ids_go_on(disk: Disk, moto: Any) -> None:
    """The next event's id after a restart is the one behind the last."""
    from moto.logs.models import LogEvent, LogStream

    moto.store("logs")
    LogEvent._event_id, LogStream._log_ids = 41, 7
    disk.save()
    LogEvent._event_id, LogStream._log_ids = 99, 99
    disk.restart()

    assert (LogEvent._event_id, LogStream._log_ids) == (41, 7)
    disk.engine.forget_all()
    assert (LogEvent._event_id, LogStream._log_ids) == (0, 0)


def test_ids_of_endpoint_services_survive(disk: Disk, moto: Any) -> None:
    """AWS' own endpoint services keep their random ids, until EC2 is reset."""
    from moto.ec2.models.vpcs import DEFAULT_VPC_ENDPOINT_SERVICES

    def ids() -> list[str]:
        found = moto.store("ec2").describe_vpc_endpoint_services([], [], 10, None, REGION)
        return [service["ServiceId"] for service in found["servicesDetails"]]

    before = ids()
    disk.save()
    DEFAULT_VPC_ENDPOINT_SERVICES.clear()
    disk.restart()
    assert ids() == before

    disk.engine.reset("ec2")
    assert DEFAULT_VPC_ENDPOINT_SERVICES == {}


def test_a_row_of_a_module_that_is_not_imported_waits(engine: Any) -> None:
    """What was saved for a module that is not in use is saved again, not lost."""
    del engine
    process.install({"nobody.row": 5})
    assert "nobody.row" not in process.capture()
    row = process.ROWS[0]
    process._waiting[row.name] = {"a": 1}
    waiting = process.capture()
    process._waiting.clear()

    assert row.name in waiting


def test_accounts_of_issued_keys_survive(disk: Disk, moto: Any) -> None:
    """A key IAM issued means its account after a restart, before IAM is loaded."""
    user = moto.store("iam", "aws", "222222222222").create_user(REGION, "u")
    issued = moto.store("iam", "aws", "222222222222").create_access_key(user.name)
    disk.save()
    disk.restart()

    assert known_account(issued.access_key_id) == "222222222222"
    assert known_account("AKIANOBODY") is None


def test_visits_are_written_into_iam_when_it_is_asked(disk: Disk, moto: Any) -> None:
    """The last use of a key is in IAM once it is called or saved, not at every call."""
    import moto.iam.models as iam

    iam_store = moto.store("iam", "aws")
    iam_store.create_user(REGION, "u")
    issued = iam_store.create_access_key("u")
    iam.mark_account_as_visited(
        account_id=ACCOUNT, access_key=issued.access_key_id, service="s3", region=REGION
    )
    assert issued.last_used is None

    write_visits()

    assert (issued.last_used.service, issued.last_used.region) == ("s3", REGION)
    iam.mark_account_as_visited(
        account_id=ACCOUNT, access_key=issued.access_key_id, service="sqs", region=REGION
    )
    disk.save()
    disk.restart()
    assert moto.store("iam", "aws").access_keys[issued.access_key_id].last_used.service == "sqs"


def test_visits_of_keys_that_are_gone_are_dropped(disk: Disk, moto: Any) -> None:
    """A key that was deleted after its last use is no error."""
    import moto.iam.models as iam

    iam_store = moto.store("iam", "aws")
    iam_store.create_user(REGION, "u")
    issued = iam_store.create_access_key("u")
    iam.mark_account_as_visited(
        account_id=ACCOUNT, access_key=issued.access_key_id, service="s3", region=REGION
    )
    iam_store.delete_access_key(issued.access_key_id, "u")
    write_visits()

    assert process.VISITS == {}


def test_no_model_object_is_tracked(disk: Disk, moto: Any) -> None:
    """Moto's list of every object ever made stays empty."""
    from moto.sqs.models import Queue

    moto.store("sqs").create_queue("q", {})

    assert list(getattr(Queue, "instances_tracked", [])) == []
    assert list(getattr(BaseModel, "instances_tracked", [])) == []
    assert disk.save() >= {key("sqs")}


def test_an_empty_poll_parks_and_a_found_message_does_not(disk: Disk, moto: Any) -> None:
    """A poll that may wait and finds nothing is parked; its last attempt answers empty."""
    del disk
    sqs = moto.store("sqs")
    sqs.create_queue("q", {})
    PATIENCE.may_park = True
    try:
        sqs.receive_message("q", 1, 0, 30)
        try:
            sqs.receive_message("q", 1, 20, 30)
        except ParkedError as parked:
            assert (parked.wait_seconds, parked.retry_seconds) == (20.0, 1.0)  # noqa: PT017
        else:
            raise AssertionError("a poll that finds nothing should be parked")
        PATIENCE.may_park = False
        assert sqs.receive_message("q", 1, 20, 30) == []
        PATIENCE.may_park = True
        sqs.send_message("q", "text")
        assert [m.body for m in sqs.receive_message("q", 1, 20, 30)] == ["text"]
        try:
            sqs.receive_message("q", 1, 20, 30)
        except ParkedError as parked:
            assert 20 < parked.retry_seconds <= 30  # noqa: PT017 - when the message shows again
    finally:
        PATIENCE.may_park = False


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"accounts_by_key": 5}, "accounts_by_key: expected dict, found int"),
        ({"accounts_by_key": {"AKIA": 5}}, "accounts_by_key: expected str, found int"),
        ({"s3.bucket_accounts": []}, "s3.bucket_accounts: expected dict, found list"),
        ({"logs.event_id": True}, "logs.event_id: expected int, found bool"),
        ([], "expected dict, found list"),
    ],
)
def test_a_value_of_another_type_is_refused(engine: Any, values: Any, named: str) -> None:
    """A stranger's file is refused by the name of the value, and changes nothing."""
    del engine
    before = process.capture()

    with pytest.raises(LoadError, match=named):
        process.install(values)

    assert process.capture() == before
