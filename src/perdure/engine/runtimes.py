"""What moto keeps running beside its model, and what becomes of it.

A job, an export or an execution runs in threads, which end with their process.
Its record in the store would say ``RUNNING`` for ever: listed, and dead.  So each
kind has a row: after a load what was running is finished, with the status AWS
gives to what lost its host, or rebuilt where the state says all there is to say;
and before a store is dropped from memory, its threads are told to end.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from perdure.engine.quirks import executions, jobs, timers
from perdure.engine.quirks.threads import HALTED
from perdure.engine.stores import STORES
from perdure.persistence.keys import StoreKey

RESTARTED = "Perdure.Restarted"
CAUSE = "The server was stopped, or its state loaded anew, while this was running."


@dataclass(frozen=True, slots=True)
class Runtime:
    """One kind of thing that runs.

    Attributes:
        module: moto's package whose stores list it.
        reason: Why it is finished or rebuilt in this way.
        of: The store's objects of this kind.
        is_alive: Whether one is recorded as running.
        revive: Finishes or rebuilds one that was just loaded.
        halt: Ends its threads, because its store is dropped.
    """

    module: str
    reason: str
    of: Callable[[Any], Iterable[Any]]
    is_alive: Callable[[Any], bool]
    revive: Callable[[Any], None]
    halt: Callable[[Any], None]


def _executions(store: Any) -> Iterable[Any]:
    if type(store).__module__ != executions.RUNNING_STORES:
        return ()  # moto's other kind of store only says that they run
    return itertools.chain.from_iterable(machine.executions for machine in store.state_machines)


def _needs_its_worker(execution: Any) -> bool:
    return execution.status == "RUNNING" or execution.start_date.tzinfo is None


def _abort_execution(execution: Any) -> None:
    if not hasattr(execution, "exec_worker"):
        _abort_pretended(execution)
        return
    executions.end(
        execution, executions.STOPPED, error=RESTARTED, cause=CAUSE, now=dt.datetime.now(tz=dt.UTC)
    )


def _abort_pretended(execution: Any) -> None:
    """Of the kind Perdure kept before it ran state machines: no thread, times without a zone."""
    execution.start_date = execution.start_date.replace(tzinfo=dt.UTC)
    if execution.status == "RUNNING":
        execution.status, execution.stop_date = executions.STOPPED, dt.datetime.now(tz=dt.UTC)
    elif execution.stop_date is not None:
        execution.stop_date = execution.stop_date.replace(tzinfo=dt.UTC)


def _transfers(store: Any) -> Iterable[Any]:
    return itertools.chain(store.table_exports.values(), store.table_imports.values())


def _fail_transfer(transfer: Any) -> None:
    transfer.status = "FAILED"
    transfer.failure_code, transfer.failure_message = "InternalServerError", CAUSE


def _stacks(store: Any) -> Iterable[Any]:
    return list(store.stacks.values())


def _waits_for_custom_resource(stack: Any) -> bool:
    return stack.status == "CREATE_IN_PROGRESS" and any(
        not resource.is_created() for resource in stack.custom_resources.values()
    )


def _fail_stack(stack: Any) -> None:
    stack.status = "CREATE_FAILED"
    # Told to nobody: a load, which any call may cause, sends no messages.
    topics, stack.notification_arns = stack.notification_arns, []
    try:
        stack._add_stack_event("CREATE_FAILED", resource_status_reason=CAUSE)
    finally:
        stack.notification_arns = topics


def _workflows(store: Any) -> Iterable[Any]:
    return itertools.chain.from_iterable(domain.workflow_executions for domain in store.domains)


ROWS = (
    Runtime(
        "stepfunctions",
        "the interpreter stands in the middle of a stack that cannot be rebuilt; what ends "
        "without an error of its own, and not by itself, is ABORTED",
        _executions,
        _needs_its_worker,
        _abort_execution,
        executions.halt,
    ),
    Runtime(
        "batch",
        "a job's host is gone with its container; AWS says so in the status' reason",
        lambda store: list(store._jobs.values()),
        jobs.is_alive,
        jobs.lose_host,
        jobs.halt,
    ),
    Runtime(
        "dynamodb",
        "half an export is none, and half an import is a table nobody asked for",
        _transfers,
        lambda transfer: transfer.status == "IN_PROGRESS",
        _fail_transfer,
        HALTED.add,
    ),
    Runtime(
        "cloudformation",
        "a custom resource waits for its function, which is gone; AWS fails the stack in time",
        _stacks,
        _waits_for_custom_resource,
        _fail_stack,
        lambda _: None,
    ),
    Runtime(
        "swf",
        "the history says when a timer began and for how long: it fires when it is due",
        _workflows,
        lambda workflow: bool(workflow._timers),
        timers.wind_up,
        timers.halt,
    ),
)


def revive(key: StoreKey, store: Any) -> bool:
    """Finish or rebuild what was running in a store that was loaded; whether it changed."""
    rows = [row for row in ROWS if row.module == key.module]
    alive = [(row, found) for row in rows for found in row.of(store) if row.is_alive(found)]
    outer, STORES.touched = STORES.touched, {key}  # what a rebuilt thread works on
    try:
        for row, found in alive:
            row.revive(found)
    finally:
        STORES.touched = outer
    return bool(alive)


def halt(key: StoreKey, store: Any) -> None:
    """End the threads of a store that is about to be dropped or emptied."""
    for row in ROWS:
        if row.module == key.module:
            for found in row.of(store):
                if row.is_alive(found):
                    row.halt(found)
