"""What was running when its process ended is finished or rebuilt, never listed but dead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.engine.conftest import REGION, Disk, is_living, key

from perdure.engine import runtimes
from perdure.engine.lock import ENGINE_LOCK, join, running, wait_for, waiting
from perdure.engine.policy import POLICY
from perdure.engine.quirks import executions, jobs, timers
from perdure.engine.stores import STORES, QuarantinedError

TABLE: Any = SimpleNamespace(table_arn="arn")
ROLE = "arn:aws:iam::123456789012:role/r"
WAIT = '{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": true}}}'


@pytest.fixture
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads of moto are made and never run: the process ended before their turn."""
    monkeypatch.setattr(threading.Thread, "start", lambda _: None)
    yield


def others_run(done: Any) -> None:
    """Let go of the engine lock until the threads have done something."""
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        with waiting():
            time.sleep(0.01)


# ------------------------------------------------------------------------- waits


@pytest.mark.parametrize("pulse", [False, True])
def test_a_wait_lets_go_of_the_engine_and_misses_no_pulse(pulse: bool) -> None:
    """Whoever sets an event, and clears it at once, needs the lock and wakes who waits."""
    event = threading.Event()

    def wake() -> None:
        with running():
            event.set()
            if pulse:
                event.clear()

    with ENGINE_LOCK:
        thread = threading.Thread(target=wake)
        thread.start()
        assert wait_for(event, 10)
        assert ENGINE_LOCK._is_owned()
        join(thread)
    assert not wait_for(threading.Event(), 0.01)


# ---------------------------------------------------------------- step functions


def execution_of(moto: Any) -> Any:
    store = moto.store("stepfunctions")
    machine = store.create_state_machine("m", WAIT, ROLE)
    execution = store.start_execution(machine.arn, "e", "{}")
    others_run(lambda: len(execution.to_history_output()["events"]) > 1)
    return execution


def test_a_running_execution_is_captured_and_aborted_by_the_load(disk: Disk, moto: Any) -> None:
    """An execution that runs is saved without its threads, and ABORTED once, for good."""
    live = execution_of(moto)
    disk.save()
    assert live.status == "RUNNING"
    before = threading.active_count()
    disk.restart()
    others_run(lambda: threading.active_count() < before)

    disk.engine.load_all()
    assert key("stepfunctions") in STORES.dirty
    found = moto.store("stepfunctions").describe_execution(live.execution_arn)

    assert (found.status, found.error) == ("ABORTED", runtimes.RESTARTED)
    disk.save()
    disk.restart()
    disk.engine.load_all()
    assert key("stepfunctions") not in STORES.dirty
    again = moto.store("stepfunctions").describe_execution(live.execution_arn)
    assert again.stop_date == found.stop_date
    events = again.to_history_output()["events"]
    assert [event["type"] for event in events].count("ExecutionAborted") == 1


def test_of_a_running_execution_only_what_outlives_its_threads_is_saved(
    disk: Disk, moto: Any
) -> None:
    """Neither frames and stacks nor the endpoints tokens are sent to are state; tokens are."""
    del disk
    env = execution_of(moto).exec_worker.env
    env.open_frame()
    env.stack.append(RuntimeError("not state"))
    env.callback_pool_manager.add("token")

    def saved(value: Any) -> dict[str, Any]:
        pick = POLICY.attributes_for(type(value))
        assert pick is not None
        return pick(value)

    parts = saved(env)
    assert (parts["_frames"], parts["stack"], parts["states"]) == ([], [], None)
    assert parts["event_manager"] is env.event_manager
    assert dict(saved(env.callback_pool_manager)["_pool"]) == {"token": None}


def test_a_failure_inside_the_interpreter_ends_the_execution(
    disk: Disk, moto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An execution whose thread dies is FAILED, not running for ever."""
    del disk
    from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

    def broken(*_: Any) -> Any:
        raise RuntimeError("no program")

    store = moto.store("stepfunctions")
    machine = store.create_state_machine("m", WAIT, ROLE)
    monkeypatch.setattr(ExecutionWorker, "_get_evaluation_entrypoint", broken)
    execution = store.start_execution(machine.arn, None, "{}")
    others_run(lambda: execution.status != "RUNNING")

    assert (execution.status, execution.error) == ("FAILED", "States.Runtime")
    assert "no program" in execution.cause
    assert execution.execution_arn.endswith(execution.name)
    assert len(execution.name) == 36


def test_an_endless_machine_lets_others_work_and_ends(
    disk: Disk, moto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that waits nowhere gives the lock away, and ends at the quota of events."""
    del disk
    monkeypatch.setattr(executions, "EVENTS_MAX", 200)
    store = moto.store("stepfunctions")
    circle = '{"StartAt": "P", "States": {"P": {"Type": "Pass", "Next": "P"}}}'
    execution = store.start_execution(store.create_state_machine("m", circle, ROLE).arn, "e", "{}")
    others_run(lambda: len(execution.to_history_output()["events"]) > 20)
    assert execution.status == "RUNNING"
    others_run(lambda: execution.status != "RUNNING")

    assert (execution.status, execution.error) == ("FAILED", "States.Runtime")
    assert "maximum number of history events" in execution.cause


# ------------------------------------------------------------------------- batch


def submit(moto: Any, **more: Any) -> Any:
    store = moto.store("batch")
    if not store._job_queues:
        role = moto.store("iam", "aws").create_role("r", "{}", "/", None, None, [], None)
        store.create_compute_environment("env", "UNMANAGED", "ENABLED", None, role.arn)
        arn = store.get_compute_environment_by_name("env").arn
        store.create_job_queue("q", "1", None, "ENABLED", [{"order": 1, "computeEnvironment": arn}])
        store.register_job_definition(
            "d", None, "container", None, None, {"image": "i", "vcpus": 1, "memory": 16},
            None, None, {}, [], False,
        )  # fmt: skip
    named = {"job_def_id": "d", "job_queue": "q", "array_properties": {}, **more}
    return store._jobs[store.submit_job("job", **named)[1]]


def begin_attempt(job: Any) -> None:
    from datetime import datetime

    job.status = "RUNNING"
    job.job_started_at = datetime.now()  # noqa: DTZ005 - as moto
    job._start_attempt()


@pytest.mark.usefixtures("_no_threads")
def test_jobs_lose_their_host_and_those_behind_them_follow(disk: Disk, moto: Any) -> None:
    """A job that ran is FAILED with a reason and an ended attempt; one that waited for it, too."""
    first = submit(moto)
    begin_attempt(first)
    second = submit(moto, depends_on=[{"jobId": first.job_id}])
    parent = submit(moto, array_properties={"size": 2})
    done = submit(moto)
    begin_attempt(done)
    done._mark_stopped(success=True)
    disk.save()
    disk.restart()

    disk.engine.load_all()
    assert key("batch") in STORES.dirty
    store = moto.store("batch")
    found = {job["jobId"]: job for job in store.describe_jobs(None)}

    ran, waited = found[first.job_id], found[second.job_id]
    assert (ran["status"], ran["statusReason"]) == ("FAILED", jobs.NO_HOST)
    assert ran["attempts"][0]["stoppedAt"] == ran["stoppedAt"] >= ran["startedAt"]
    assert (waited["status"], waited["statusReason"]) == ("FAILED", jobs.NO_DEPENDENCY)
    assert waited["attempts"] == []
    assert "startedAt" not in waited
    whole = found[parent.job_id]
    assert (whole["status"], whole["statusReason"]) == ("FAILED", jobs.NO_CHILD)
    assert whole["arrayProperties"]["statusSummary"]["FAILED"] == 2
    assert found[done.job_id]["status"] == "SUCCEEDED"


# ---------------------------------------------------------------------- dynamodb


@pytest.mark.usefixtures("_no_threads")
def test_transfers_that_were_in_progress_have_failed(disk: Disk, moto: Any) -> None:
    """An export and an import that did not end are FAILED with code and message."""
    from moto.dynamodb.models.table_export import TableExport
    from moto.dynamodb.models.table_import import TableImport

    store = moto.store("dynamodb")
    table = store.create_table(
        "t", [{"AttributeName": "k", "KeyType": "HASH"}], None,
        [{"AttributeName": "k", "AttributeType": "S"}], None, None, None,
        "PAY_PER_REQUEST", None, [], False, None,
    )  # fmt: skip
    store.table_exports["e"] = TableExport("b", "p", REGION, "0" * 12, table, "J", "FULL_EXPORT")
    store.table_imports["i"] = TableImport(
        "0" * 12, {"S3Bucket": "b"}, REGION, "u", "PAY_PER_REQUEST", None, [], None, [], None
    )
    disk.save()
    disk.restart()

    store = moto.store("dynamodb")
    answers = [
        store.table_exports["e"].response(),
        store.table_imports["i"].response(),
    ]

    assert [a.get("ExportStatus", a.get("ImportStatus")) for a in answers] == ["FAILED"] * 2
    assert {(a["FailureCode"], a["FailureMessage"]) for a in answers} == {
        ("InternalServerError", runtimes.CAUSE)
    }


# --------------------------------------------------------------------------- swf


def timers_of(moto: Any, seconds: list[float]) -> Any:
    from moto.swf.models import Domain, WorkflowExecution, WorkflowType

    store = moto.store("swf")
    domain = Domain("d", 30, "0" * 12, REGION)
    store.domains.append(domain)
    kind = WorkflowType("w", "1", default_child_policy="ABANDON",
                        default_execution_start_to_close_timeout="300",
                        default_task_start_to_close_timeout="300",
                        default_task_list="l")  # fmt: skip
    domain.add_type(kind)
    workflow = WorkflowExecution(domain, kind, "id", task_list="l")
    domain.add_workflow_execution(workflow)
    workflow.start()
    for number, wait in enumerate(seconds):
        workflow.start_timer(1, {"timerId": f"t{number}", "startToFireTimeout": str(wait)})
    return workflow


def test_timers_go_on_after_a_restart(disk: Disk, moto: Any) -> None:
    """An overdue timer fires at the load, a later one when it is due, one far away waits."""
    timers_of(moto, [0.3, 1.0, 600])
    disk.save()
    disk.restart()
    time.sleep(0.4)  # the server is down

    workflow = moto.store("swf").domains[0].workflow_executions[0]

    def fired() -> int:
        return [event.event_type for event in workflow._events].count("TimerFired")

    assert fired() == 1
    assert sorted(workflow._timers) == ["t1", "t2"]
    STORES.dirty.clear()
    others_run(lambda: fired() == 2)
    assert key("swf") in STORES.dirty  # what the thread did is saved
    assert workflow._timers["t2"].is_alive()
    timers.halt(workflow)


# ---------------------------------------------------------------- cloudformation


def test_a_stack_that_waits_for_a_custom_resource_has_failed(disk: Disk, moto: Any) -> None:
    """A stack whose custom resource nobody will answer for is CREATE_FAILED, with an event.

    A load sends no messages, so its topics hear nothing of it.
    """
    from moto.cloudformation.custom_model import CustomModel

    store = moto.store("cloudformation")
    template = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}'
    topic = moto.store("sns").create_topic("t").arn
    stack = store.create_stack("s", template, {}, [topic], {})
    sent = len(moto.store("sns").topics[topic].sent_notifications)
    stack.add_custom_resource(CustomModel(REGION, "r", "C", "c"))
    stack.status = "CREATE_IN_PROGRESS"
    disk.save()
    disk.restart()

    found = moto.store("cloudformation").get_stack("s")

    assert found.status == "CREATE_FAILED"
    assert found.events[-1].resource_status_reason == runtimes.CAUSE
    assert len(moto.store("sns").topics[topic].sent_notifications) == sent
    assert found.notification_arns == [topic]


@pytest.mark.usefixtures("_no_threads")
def test_what_cannot_be_finished_sets_its_store_aside(disk: Disk, moto: Any) -> None:
    """A store in which finishing fails is quarantined with the reason, never half finished."""
    timers_of(moto, [1])._events.clear()
    disk.save()
    disk.restart()

    with pytest.raises(QuarantinedError):
        moto.store("swf")
    assert "cannot be rebuilt" in disk.reports[key("swf")]
    assert not is_living(key("swf"))


# ------------------------------------------------------------------------- table


def test_every_row_says_why() -> None:
    """Each kind of thing that runs has a reason for what becomes of it."""
    assert all(row.reason for row in runtimes.ROWS)
    assert {row.module for row in runtimes.ROWS} == {
        "stepfunctions", "batch", "dynamodb", "cloudformation", "swf"
    }  # fmt: skip


def test_a_thread_of_a_dropped_store_does_nothing(disk: Disk, moto: Any) -> None:
    """An export that had not begun when its store was dropped writes nothing into the new one."""
    from moto.dynamodb.models.table_export import TableExport

    ran = []
    store = moto.store("dynamodb")
    export = TableExport("b", "p", REGION, "0" * 12, TABLE, "J", "FULL_EXPORT")
    export.run = lambda: ran.append(1)  # type: ignore[method-assign]
    store.table_exports["e"] = export
    export.start()
    disk.engine.forget_all()
    others_run(lambda: not export.is_alive())

    assert ran == []
