"""Step Functions: state machines really run.

moto has an interpreter of the states language and leaves it off.  It is switched on
here, whatever moto's settings say, and made to fit:

- the stores that run executions take the place of those that do not: moto has both,
  and CloudFormation would fill the wrong ones
- tasks call this server, in the account of their execution, without the engine lock
- a stop takes effect at once, even while a task waits for its token
- a token of a task that has ended is ``TaskTimedOut``, as in AWS, not unknown
- an execution started without a name gets one; StartSyncExecution exists
- an endless one lets others work between its states, and ends at AWS' quota of events
- nothing is kept of threads that have ended
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
import time
from contextvars import ContextVar
from typing import Any

from perdure.engine.doors import note_impure
from perdure.engine.imports import after_import
from perdure.engine.lock import LET_OTHERS, sleep, waiting

log = logging.getLogger(__name__)

PARSER = "moto.stepfunctions.parser."
RUNNING_STORES = PARSER + "models"
RUNTIME_ERROR = "States.Runtime"
STOPPED = "ABORTED"
# Long enough for whoever waits for the lock to get it.
TURN_SECONDS = 0.0002
# How long states may follow each other in between: each turn costs an after-image of the
# whole store, which takes longer than most states do.
HELD_SECONDS_MAX = 0.005
# AWS' quota for an execution.
EVENTS_MAX = 25_000
# The account and role of the execution that the current thread works for.
ACTING: ContextVar[tuple[str, str]] = ContextVar("ACTING")


def install() -> None:
    """Switch the interpreter on, and hook its modules as they are imported."""
    after_import("moto.stepfunctions.models", _have_one_kind_of_store)
    after_import("moto.stepfunctions.responses", _complete_the_api)
    after_import(PARSER + "api", _name_errors)
    after_import(RUNNING_STORES, _complete_the_store)
    after_import(PARSER + "utils", _forget_threads)
    after_import(PARSER + "asl.utils.boto_client", _call_this_server)
    after_import(PARSER + "asl.component.state.state", _take_turns)
    after_import(PARSER + "backend.execution", _end_at_once)
    after_import(PARSER + "backend.execution_worker", _end_in_any_case)


def _have_one_kind_of_store(module: Any) -> None:
    """Let every look-up, under either name, find a store that runs executions."""
    from moto.stepfunctions.parser import models as running

    module.stepfunctions_backends.backend = running.StepFunctionsParserBackend
    running.stepfunctions_parser_backends = module.stepfunctions_backends


# ------------------------------------------------------------------------- calls


def _complete_the_api(module: Any) -> None:
    def stop_execution(response: Any) -> Any:
        execution = response.stepfunction_backend.describe_execution(
            response._get_param("executionArn")
        )
        execution.stop(_now(), response._get_param("error"), response._get_param("cause"))
        return module.ActionResult({"stopDate": execution.stop_date})

    def send_task_failure(response: Any) -> Any:
        response.stepfunction_backend.send_task_failure(
            response._get_param("taskToken"),
            error=response._get_param("error"),
            cause=response._get_param("cause"),
        )
        return module.EmptyResult()

    def start_sync_execution(response: Any) -> Any:
        execution = _run_now(
            response.stepfunction_backend,
            response._get_param("stateMachineArn"),
            response._get_param("name"),
            response._get_param("input", if_none="{}"),
        )
        return module.ActionResult(execution.to_start_sync_execution_output())

    describe = module.StepFunctionResponse.describe_execution

    def describe_execution(response: Any) -> Any:
        result = describe(response)
        execution = response.stepfunction_backend.describe_execution(
            response._get_param("executionArn")
        )
        if execution.stop_date is not None:
            # moto leaves it out for those that timed out.
            result.result["stopDate"] = execution.stop_date
        return result

    list_executions_of = module.StepFunctionResponse.list_executions

    def list_executions(response: Any) -> Any:
        if not response._get_param("stateMachineArn"):
            # moto lists no executions of map runs, and fails without the name of a machine.
            raise module.ValidationException("stateMachineArn must be specified")
        return list_executions_of(response)

    replaced = (stop_execution, send_task_failure, start_sync_execution, describe_execution)
    for function in (*replaced, list_executions):
        setattr(module.StepFunctionResponse, function.__name__, function)


def _run_now(store: Any, arn: str, name: str | None, text: str) -> Any:
    """Run an execution to its end; it is kept nowhere, as in AWS."""
    from moto.stepfunctions.exceptions import InvalidExecutionInput
    from moto.stepfunctions.parser.api import StateMachineTypeNotSupported
    from moto.stepfunctions.parser.backend.execution import SyncExecution

    machine = store.describe_state_machine(arn)
    if machine.type != "EXPRESS":
        raise StateMachineTypeNotSupported(
            "This operation is not supported by this type of state machine"
        )
    try:
        json.loads(text)
    except ValueError as error:
        raise InvalidExecutionInput(f"Invalid State Machine Execution Input: '{error}'") from error
    name = name or _new_name()
    own = arn.replace(":stateMachine:", ":express:")
    execution = SyncExecution(
        name=name,
        sm_type=machine.type,
        role_arn=machine.roleArn,
        exec_arn=f"{own}:{name}:{_new_name()}",
        account_id=store.account_id,
        region_name=store.region_name,
        state_machine=machine,
        start_date=_now(),
        cloud_watch_logging_session=None,
        input_data=text,
        activity_store={},
    )
    execution.start()
    return execution


def _name_errors(module: Any) -> None:
    """The interpreter's errors know their code and moto's base class does not ask them."""

    def init(error: Any, message: str | None = None, *more: Any, **named: Any) -> None:
        kind = type(error)
        module.ServiceException.__init__(error, message or kind.default_message, *more, **named)

    for kind in module.ServiceException.__subclasses__():
        if kind.__module__ == module.__name__ and kind.TYPE is None:
            kind.TYPE = kind.code
            kind.default_message = vars(kind).get("message", kind.code)
            if "__init__" not in vars(kind):
                kind.__init__ = init


def _complete_the_store(module: Any) -> None:
    store = module.StepFunctionsParserBackend
    start = store.start_execution

    def start_execution(
        backend: Any, state_machine_arn: str, name: str | None = None, *more: Any, **named: Any
    ) -> Any:
        if name:
            backend._validate_name(name)
        return start(backend, state_machine_arn, name or _new_name(), *more, **named)

    store.start_execution = start_execution
    for method in ("send_task_success", "send_task_failure", "send_task_heartbeat"):
        setattr(store, method, _refusing_old_tokens(module, getattr(store, method)))


def _refusing_old_tokens(module: Any, send: Any) -> Any:
    def send_task(backend: Any, task_token: str, *more: Any, **named: Any) -> Any:
        for execution in backend._get_executions():
            known = execution.exec_worker.env.callback_pool_manager._pool
            if execution.status != "RUNNING" and task_token in known:
                raise module.TaskTimedOut("Task Timed Out: 'Provided task does not exist anymore'")
        return send(backend, task_token, *more, **named)

    return send_task


# -------------------------------------------------------------------- executions


def _end_at_once(module: Any) -> None:
    def stop(execution: Any, stop_date: Any, error: str | None, cause: str | None) -> None:
        if execution.exec_status == module.ExecutionStatus.RUNNING:
            end(execution, STOPPED, error=error, cause=cause, now=stop_date)

    module.Execution.stop = stop
    reflect = module.BaseExecutionWorkerCommunication.terminated

    def terminated(communication: Any) -> None:
        # One that was stopped has ended for everybody but its threads.
        if communication.execution.exec_status == module.ExecutionStatus.RUNNING:
            reflect(communication)

    module.BaseExecutionWorkerCommunication.terminated = terminated


def _take_turns(module: Any) -> None:
    """A machine that runs in a circle and waits nowhere would hold the lock for ever."""
    evaluate = module.CommonStateField._eval_body
    turn = threading.local()

    def eval_body(state: Any, env: Any) -> None:
        # In any case: whether it does depends on how fast this machine is just now.
        note_impure(LET_OTHERS)
        if time.perf_counter() - getattr(turn, "since", 0.0) > HELD_SECONDS_MAX:
            sleep(TURN_SECONDS)
            turn.since = time.perf_counter()
        if len(env.event_manager._history_event_list) >= EVENTS_MAX:
            raise RuntimeError(
                f"The execution reached the maximum number of history events ({EVENTS_MAX})."
            )
        evaluate(state, env)

    module.CommonStateField._eval_body = eval_body


def _end_in_any_case(module: Any) -> None:
    logic = module.ExecutionWorker._execution_logic
    environment = module.ExecutionWorker._get_evaluation_environment

    def start(worker: Any) -> None:
        # At once, so that whoever asks about an execution finds all of it.
        worker.env = environment(worker)
        thread = threading.Thread(target=worker._execution_logic, daemon=True)
        thread.start()

    def get_environment(worker: Any) -> Any:
        return worker.env or environment(worker)

    def execution_logic(worker: Any) -> None:
        execution = worker._execution_communication.execution
        if execution.exec_status != "RUNNING":
            return  # it was stopped before it had its turn
        acting = ACTING.set((execution.account_id, execution.role_arn))
        try:
            logic(worker)
        except Exception as error:
            log.exception("execution %s failed inside moto", execution.exec_arn)
            end(execution, "FAILED", error=RUNTIME_ERROR, cause=repr(error), now=_now())
        finally:
            ACTING.reset(acting)

    module.ExecutionWorker.start = start
    module.ExecutionWorker._get_evaluation_environment = get_environment
    module.ExecutionWorker._execution_logic = execution_logic


def end(
    execution: Any, status: str, *, error: str | None, cause: str | None, now: dt.datetime
) -> None:
    """Close a running execution for all who ask about it; its threads find out later.

    They go on with an environment of their own: what they still add to its history
    is not seen.
    """
    from moto.stepfunctions.parser import api

    halt(execution)
    worker = execution.exec_worker
    worker.env = record = _record_of(worker.env)
    details = {k: v for k, v in (("error", error), ("cause", cause)) if v is not None}
    kind, field = {
        STOPPED: (api.HistoryEventType.ExecutionAborted, "executionAbortedEventDetails"),
        "FAILED": (api.HistoryEventType.ExecutionFailed, "executionFailedEventDetails"),
    }[status]
    record.event_history_context.source_event_id = 0
    record.event_manager.add_event(
        context=record.event_history_context,
        event_type=kind,
        event_details={field: details},
        timestamp=now,
    )
    for run in record.map_run_record_pool_manager.get_all():
        _end_map_run(run, api.MapRunStatus[status], now)
    execution.exec_status = api.ExecutionStatus[status]
    execution.stop_date = now
    execution.error, execution.cause = error, cause


def halt(execution: Any) -> None:
    """Let the threads of an execution come to their end, unheard."""
    env = execution.exec_worker.env
    env.set_stop(stop_date=None, cause=None, error=None)
    for endpoint in env.callback_pool_manager._pool.values():
        if endpoint is not None:
            endpoint.interrupt_all()


def _record_of(env: Any) -> Any:
    """What is asked about an execution that has ended, apart from what its threads use."""
    from copy import copy

    record = copy(env)
    record.__dict__.update(recorded(env))
    record.event_history_context = copy(env.event_history_context)
    record.event_manager = type(env.event_manager)()
    record.event_manager._history_event_list = env.event_manager.get_event_history()
    record.event_manager._event_id_gen = copy(env.event_manager._event_id_gen)
    record.map_run_record_pool_manager = copy(env.map_run_record_pool_manager)
    runs = record.map_run_record_pool_manager
    runs._pool = type(runs._pool)((arn, _copy_of(run)) for arn, run in runs._pool.items())
    return record


def _copy_of(run: Any) -> Any:
    from copy import copy

    own = copy(run)
    for name in ("execution_counter", "item_counter"):
        counters = copy(getattr(run, name))
        counters.__dict__.update({k: copy(v) for k, v in counters.__dict__.items()})
        setattr(own, name, counters)
    return own


def _end_map_run(run: Any, status: Any, now: dt.datetime) -> None:
    if run.status != "RUNNING":
        return
    run.status, run.stop_date = status, now
    for counters in (run.execution_counter, run.item_counter):
        left = counters.running.get() + counters.pending.get()
        counters.running._count = counters.pending._count = 0
        counters.aborted._count += left


def recorded(env: Any) -> dict[str, Any]:
    """The part of an environment that outlives the threads that work in it.

    The rest is the interpreter's: stacks with exceptions and syntax trees on them.
    No thread can be made to go on from there.
    """
    fresh: dict[str, Any] = {
        "_frames": [],
        "stack": [],
        "heap": {},
        "states": None,
        "variable_store": None,
    }
    return {**env.__dict__, **fresh, "program_state_event": threading.Event()}


def recorded_tokens(pool: Any) -> dict[str, Any]:
    """Of a pool of tasks that wait for their tokens: which tokens they were."""
    return {**pool.__dict__, "_pool": type(pool._pool).fromkeys(pool._pool)}


# ------------------------------------------------------------------------- tasks


def _forget_threads(module: Any) -> None:
    class Nobody(list[Any]):
        """moto keeps every thread it ever started, for its own tests."""

        def append(self, _: Any) -> None:
            """Keep nothing."""

    module.TMP_THREADS = Nobody()


_CLIENTS: dict[tuple[str, str, str], Any] = {}
_CLIENTS_LOCK = threading.Lock()


def _call_this_server(module: Any) -> None:
    def boto_client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        account, role = ACTING.get()
        asked = getattr(state_credentials, "role_arn", None)
        if asked and asked != role:
            # A task may name another account's role; the execution's own is often made up.
            account = asked.split(":")[4] or account
        with waiting(), _CLIENTS_LOCK:
            key = (region, service, account)
            if key not in _CLIENTS:
                _CLIENTS[key] = _client(module, *key)
            return _CLIENTS[key]

    module.boto_client_for = boto_client_for


def _client(module: Any, region: str, service: str, account: str) -> Any:
    from botocore.session import Session

    client = Session().create_client(
        service,
        region_name=region,
        endpoint_url=f"http://127.0.0.1:{module.moto_server_port()}",
        aws_access_key_id=account,
        aws_secret_access_key="secret",  # noqa: S106 - nobody checks it
        config=module.Config(
            parameter_validation=False,
            retries={"total_max_attempts": 1},
            connect_timeout=10,
            read_timeout=None,
            # The host is this server under every name, and no proxy reaches it.
            inject_host_prefix=False,
            proxies={},
            s3={"addressing_style": "path"},
            max_pool_connections=64,
        ),
    )
    session: Any = client._endpoint.http_session
    send = session.send

    def send_unlocked(request: Any) -> Any:
        with waiting():
            return send(request)

    session.send = send_unlocked
    return client


def _new_name() -> str:
    from moto.moto_api._internal import mock_random

    return str(mock_random.uuid4())


def _now() -> dt.datetime:
    return dt.datetime.now(tz=dt.UTC)
