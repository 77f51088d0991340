"""A pytest plugin: moto's own tests, run by Perdure's engine, with a restart after every call.

Every request of a test is classified and executed as one that came over HTTP; then
each store it touched, and what these refer to, is written to the bytes of a state
file and dropped.  The next call that needs one loads it from those bytes.

Used by ``moto_sweep.py`` in a process of its own, inside moto's source distribution:

    python -m pytest -p moto_plugin --sweep-record OUT.jsonl tests/test_sqs

The engine is the product's.  What follows is moto's, because its tests expect it: the
default account; exceptions that reach the test instead of becoming a 500; its choice
for each test of whether Step Functions and Lambda really run; strangers without a key,
whom S3 lets read only what is public; signatures, checked against what was sent; answers
of deployed APIs, by a mock of HTTP; its list of all objects; its recorder, its own
server and the calls that only moto knows.  What a test looked up itself shows what was
loaded in its place (``held.py``).  How states move on, which a test may tell moto, is
forgotten with the test.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from held import Held
from memory_disk import Disk
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.base_backend import AccountSpecificBackend, BackendDict
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.config import default_user_config
from moto.core.models import botocore_stubber
from moto.core.request import normalize_request
from moto.core.responses import BaseResponse
from moto.moto_api import recorder, state_manager
from peak import peak_mb

CONFIG_OF_MOTO = json.loads(json.dumps(default_user_config))

from seen_effects import Effects  # noqa: E402 - the same

from perdure.engine import core, effects, pins, process, special, stores  # noqa: E402 - after moto's defaults were read
from perdure.engine.calls import Answer, Call  # noqa: E402
from perdure.engine.loading import connected  # noqa: E402
from perdure.engine.lock import ENGINE_LOCK  # noqa: E402
from perdure.engine.quirks import executions, tracking  # noqa: E402
from perdure.engine.quirks.identity import REGION  # noqa: E402
from perdure.engine.quirks.polling import ParkedError  # noqa: E402
from perdure.engine.sharing import SHARING  # noqa: E402
from perdure.engine.stores import STORES  # noqa: E402
from perdure.errors import RequestError  # noqa: E402
from perdure.gateway import classify  # noqa: E402
from perdure.persistence.keys import StoreKey  # noqa: E402
from perdure.persistence.writer import Writer  # noqa: E402

executions.install = tracking.install = lambda: None
classify._sign = lambda _: None
core.DEFAULT_ACCOUNT = classify.DEFAULT_ACCOUNT = DEFAULT_ACCOUNT_ID
FIRST_ERROR = 300
SHOWN = 120
# How long a parked poll sleeps; the gateway is woken instead.
PARKED_SECONDS = 0.1
# Tests that freeze the clock do not mean this one.
_now, _sleep = time.monotonic, time.sleep
REAL_TRAVEL = pins._TRAVEL
NO_TRAVEL = SimpleNamespace(start=lambda: None, stop=lambda: None)
# What moto answers itself, without a service behind it.
NOT_A_SERVICE = ("motoapi.amazonaws.com", "169.254.169.254")


class Sweep:
    """The engine under moto's tests, and what it saw."""

    def __init__(self) -> None:
        self.engine = core.Engine(any_region=False, port=5000)
        default_user_config.clear()
        default_user_config.update(CONFIG_OF_MOTO)
        self.classifier = classify.Classifier(
            default_region="us-east-1", any_region=True, only=None
        )
        self.disk = Disk(self.engine)
        self.disk.know()
        self.calls = 0
        self.restarts = 0
        self.sent = urlsplit("")
        self.operations: dict[str, set[str]] = defaultdict(set)
        self.changing: dict[str, set[str]] = defaultdict(set)
        self.effects = Effects()
        # Stores that tests look up themselves, and whether a call runs now.
        self.held = Held()
        self.in_call = False
        # Of one capture: which store holds a plain container.
        self.holders: dict[int, StoreKey] = {}
        self.split: set[str] = set()

    # ------------------------------------------------------------------ calls

    def process_request(self, request: Any) -> Any:
        """What botocore gets instead of an answer from AWS."""
        host = urlsplit(request.url).netloc
        if host.startswith(NOT_A_SERVICE) or not _would_answer(request.url):
            return _original_process(botocore_stubber, request)
        self.sent = urlsplit(request.url)
        plain = normalize_request(request)
        recorder._record_request(plain)
        call = self.classify(plain)
        deadline: float | None = None
        while True:
            try:
                answer = self.attempt(call, may_park=deadline is None or _now() < deadline)
            except ParkedError as parked:
                deadline = _now() + parked.wait_seconds if deadline is None else deadline
                _sleep(max(0.0, min(deadline - _now(), parked.retry_seconds, PARKED_SECONDS)))
            else:
                return answer.status, dict(answer.headers), answer.body

    def attempt(self, call: Call, *, may_park: bool) -> Answer:
        """Run it once, and restart what it touched."""
        with ENGINE_LOCK:
            yield_to_frozen_clock()
            self.calls += 1
            self.in_call = True
            status = 0
            operation = core_operation(call)
            self.operations[call.service.name].add(operation)
            settled = self.settle(look_at_all=self.effects.may_read(call, operation))
            # Only tests of moto can tell how states move on; as it is, it counts.
            counts = not (effects.writes_beside(call) or state_manager._transitions)
            try:
                answer = self.execute(call, may_park=may_park)
                status = answer.status
                return answer
            finally:
                self.save_and_drop(
                    call, operation, settled, well=0 < status < FIRST_ERROR, counts=counts
                )
                self.in_call = False

    def classify(self, plain: Any) -> Call:
        """The call a request means, as moto writes it down."""
        url = self.sent
        headers = [(name.lower(), str(value)) for name, value in plain.headers.items()]
        call = self.classifier.classify(
            classify.RawRequest(
                method=plain.method,
                scheme=url.scheme,
                host=url.netloc,
                path=url.path or "/",
                query=url.query,
                headers=headers,
                first=dict(reversed(headers)),
                body=plain.get_data(),
            )
        )
        first = dict(headers)
        call.account = first.get("x-moto-account-id") or os.environ.get(
            "MOTO_ACCOUNT_ID", call.account
        )
        return call

    def execute(self, call: Call, *, may_park: bool) -> Answer:
        """Run it; what moto raises reaches the test, as with plain moto."""
        _look_for_buckets_in_hosts(False)
        try:
            return self.engine.execute(call, may_park=may_park)
        except RequestError as error:
            if error.__cause__ is not None:
                raise error.__cause__ from None
            return Answer(error.status, [], str(error).encode())
        finally:
            _look_for_buckets_in_hosts(True)

    # ------------------------------------------------------------------ state

    def settle(self, *, look_at_all: bool) -> set[StoreKey]:
        """Save what tests and threads changed since the last call: it is not this one's.

        Args:
            look_at_all: Before a call that may only read.  All stores are loaded and
                looked at now: a set that is built anew may come in another order, which
                is no change.
        """
        STORES.dirty |= self.held.keys() & self.engine.living()
        if look_at_all:
            self.engine.load_all()
            STORES.dirty |= self.engine.living()
        return self.disk.save()

    def save_and_drop(
        self,
        call: Call,
        operation: str,
        settled: set[StoreKey],
        *,
        well: bool,
        counts: bool,
    ) -> None:
        """Restart all stores that were touched, as far as no thread of moto holds them.

        Args:
            call: The call that is done.
            operation: What it ran.
            settled: Stores that were saved before it, and not restarted since.
            well: Whether it was answered without an error.
            counts: Whether what it changed says something of its operation.
        """
        self.holders.clear()
        before, process_before = dict(self.disk.digests), self.disk.process_digest
        touched = set(self.engine.last_touched)
        saved = self.disk.save()
        name = call.service.name
        changed = {key for key in saved if before.get(key) != self.disk.digests[key]}
        if changed:
            self.changing[name].add(operation)
        if counts:
            found = {
                str(key)
                for key in changed
                if key in before or not self.effects.creations.is_as_created(key)
            }
            if process_before != self.disk.process_digest:
                found.add("process")
            in_place = touched <= before.keys()
            self.effects.note(call, operation, well=well, in_place=in_place, changed=found)
        if not _motos_threads():
            self.restart(saved | settled)

    def restart(self, saved: set[StoreKey]) -> None:
        """Drop what was saved, and all that is tied to it; each is loaded when needed."""
        self.restarts += 1
        living = self.engine.living()
        gone = connected(saved, self.disk.shares) & living
        held = {key: STORES.find(key) for key in gone & self.held.keys()}
        for key in gone:
            _close_bodies(key)
            STORES.forget(key)
        SHARING.forget_homes(gone)
        STORES.dirty -= gone
        STORES.unloaded |= gone & self.disk.shares.keys()
        process.install({})
        self.disk.know(self.engine.last_id)
        for key, dropped in held.items():
            self.engine.load(key)
            self.held.follow(dropped, STORES.find(key))

    def note_containers(self, writer: Writer) -> list[Any]:
        """Plain containers have no id to carry: two stores that hold one would have two."""
        for _, value in writer._memo.copy().values():
            if type(value) in (dict, list, set) and value:
                other = self.holders.setdefault(id(value), writer.key)
                if other != writer.key:
                    self.split.add(f"{other.module}: {value!r}"[:SHOWN])
        return _own_objects(writer)

    def reset(self) -> None:
        """Between tests moto empties all its stores."""
        with ENGINE_LOCK:
            for key in self.engine.living():
                _close_bodies(key)
            for table in list(BackendDict._instances):
                table.clear()
            BackendDict._instances.clear()
            self.engine.forget_all()
            self.disk = Disk(self.engine)
            self.disk.know(self.engine.last_id)
            self.held = Held()
            self.disk.save()
            stores._TABLES.clear()

    def looked_up(self, regions: Any, region: str) -> Any:
        """A look-up of a store; those by a test are noted."""
        store = stores._get_region(regions, region)
        if not self.in_call and store is not None and not _is_thread_of_moto():
            region = "aws" if region == "global" else region
            key = StoreKey(stores._module(regions), regions.account_id, region)
            self.held.note(key, store)
        return store


def yield_to_frozen_clock() -> bool:
    """Whether a test has frozen the clock, with a library that suffers no other."""
    frozen = dt.datetime.__name__ == "FakeDatetime"
    pins._TRAVEL = NO_TRAVEL if frozen else REAL_TRAVEL
    return frozen


def _look_for_buckets_in_hosts(wanted: bool) -> None:
    """In a call the gateway has done it; tests of moto's own functions expect it of moto."""
    import moto.s3.utils
    import moto.settings

    moto.settings.S3_IGNORE_SUBDOMAIN_BUCKETNAME = not wanted
    moto.s3.utils.S3_IGNORE_SUBDOMAIN_BUCKETNAME = not wanted


def core_operation(call: Call) -> str:
    """The operation's name, by the model's routes where the request does not say it."""
    from perdure.engine.dispatch import operation_name

    return operation_name(call)


def _would_answer(url: str) -> bool:
    """Whether moto would take the request for a service of its own."""
    from moto import backend_index
    from moto.core.config import passthrough_service, passthrough_url, service_whitelisted
    from moto.core.utils import get_equivalent_url_in_aws_domain

    parsed, _ = get_equivalent_url_in_aws_domain(url)
    clean = f"{parsed.scheme}://{parsed.netloc}{parsed.path}"
    if passthrough_url(clean):
        return False
    found = next((s for s, p in backend_index.backend_url_patterns if p.match(clean)), None)
    return (
        found is not None
        and found not in ("moto_api", "instance_metadata")
        and not passthrough_service(found)
        and service_whitelisted(found)
    )


def _close_bodies(key: StoreKey) -> None:
    """Of a store that is dropped: some tests count the files that are left open."""
    store = STORES.find(key)
    if key.module != "s3" or store is None:
        return
    for bucket in store.buckets.values():
        versions = itertools.chain.from_iterable(found for _, found in bucket.keys.lists())
        for each in (*versions, *bucket.multiparts.values()):
            if hasattr(each, "dispose"):
                each.dispose()


def _is_thread_of_moto() -> bool:
    from perdure.engine.quirks.threads import _is_motos

    return _is_motos(threading.current_thread())


def _motos_threads() -> bool:
    """Whether a thread of moto runs: it holds objects that must not be dropped."""
    from perdure.engine.quirks.threads import _is_motos

    return any(_is_motos(thread) for thread in threading.enumerate() if thread.is_alive())


def _frozen_clock_rows() -> None:
    """Tests that freeze the clock put freezegun's own dates into the state."""
    import freezegun.api as frozen

    def take(value: Any) -> tuple[Any, ...]:
        if isinstance(value, frozen.real_datetime):
            return (
                frozen.real_datetime(
                    *value.timetuple()[:6], value.microsecond, value.tzinfo, fold=value.fold
                ),
            )
        return (frozen.real_date(value.year, value.month, value.day),)

    row = special.Row("frozen", "freezegun's own classes", take, lambda value: value)
    special.BY_NAME[row.name] = row
    special.EXACT[frozen.FakeDatetime] = special.EXACT[frozen.FakeDate] = row


_own_objects = Writer.own_objects
_original_process = BotocoreStubber.process_request
SWEEP: Sweep | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where results go; without it they are not kept."""
    parser.addoption("--sweep-record", default="", help="results as JSON lines")
    parser.addoption("--sweep-plain", action="store_true", help="record only: plain moto")


def _motos_own() -> list[tuple[type, str, Any]]:
    """Methods that Perdure replaces, and that moto's own calls need as they were."""
    from moto.apigateway.models import RestAPI
    from moto.s3.responses import S3Response

    replaced = [
        (BaseResponse, "get_region_from_url"),
        (BaseResponse, "get_current_account"),
        (BaseResponse, "get_access_key"),
        (S3Response, "setup_class"),
        (RestAPI, "update_integration_mocks"),
    ]
    return [(cls, name, getattr(cls, name)) for cls, name in replaced]


def _identify_moto_itself(motos_own: list[tuple[type, str, Any]]) -> None:
    """Calls of moto's own API do not come through the engine; moto knows whose they are."""
    for cls, name, original in motos_own:
        ours = getattr(cls, name)

        def either(self: Any, *arguments: Any, _ours: Any = ours, _original: Any = original) -> Any:
            request = arguments[0] if arguments else self.normalized_request
            known = REGION in getattr(request, "environ", {})
            return (_ours if known else _original)(self, *arguments)

        setattr(cls, name, either)


def _check_what_was_sent(sweep: Sweep) -> None:
    """A signature is of the bucket's host; the engine sees the bucket in the path."""
    from moto.iam.access_control import S3IAMRequest

    create = S3IAMRequest._create_aws_request

    def as_sent(request: Any) -> Any:
        request._path = sweep.sent.path + (f"?{sweep.sent.query}" if sweep.sent.query else "")
        request._headers = {**request._headers, "Host": sweep.sent.netloc}
        return create(request)

    S3IAMRequest._create_aws_request = as_sent


def _spare_repeated_work() -> None:
    """What moto's tests do anew for every test, in both runs: half of their time.

    boto3 reads a service's model for every session; moto makes a thousand
    responses of the same kind whenever a mock starts.
    """
    import botocore.loaders
    import moto.core.models
    from moto.core.utils import get_service_model

    # A client of S3 takes the bucket out of its model's paths: the engine needs its own.
    get_service_model("s3")

    load = cache(botocore.loaders.JSONFileLoader().load_file)
    botocore.loaders.JSONFileLoader.load_file = lambda _, path: load(path)
    moto.core.models.CallbackResponse = cache(moto.core.models.CallbackResponse)


def keep_keys_real() -> None:
    """KMS' tests put an empty text in place of every RSA key, to be faster.

    Nothing can be recorded of that: a replay makes real ones.
    """
    patch = mock.patch.object

    def patch_object(target: Any, attribute: str, *arguments: Any, **named: Any) -> Any:
        if target is rsa and attribute == "generate_private_key":
            return nullcontext()
        return patch(target, attribute, *arguments, **named)

    mock.patch.object = patch_object


def pytest_configure(config: pytest.Config) -> None:
    """Put the engine under moto, before any test module is imported."""
    _spare_repeated_work()
    global SWEEP  # noqa: PLW0603 - one per process, as the engine
    if config.getoption("--sweep-plain"):
        return
    motos_own = _motos_own()
    SWEEP = sweep = Sweep()
    _look_for_buckets_in_hosts(True)
    _identify_moto_itself(motos_own)
    _check_what_was_sent(sweep)

    def own_objects(writer: Writer) -> list[Any]:
        return sweep.note_containers(writer)

    Writer.own_objects = own_objects
    _frozen_clock_rows()
    BotocoreStubber.process_request = sweep.process_request
    BackendDict.reset = classmethod(lambda _: sweep.reset())
    AccountSpecificBackend.__getitem__ = lambda *named: sweep.looked_up(*named)  # noqa: PLW0108 - a method


class _Recorder:
    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.outcomes: dict[str, tuple[str, str]] = {}
        self.seconds: dict[str, float] = defaultdict(float)
        self.reads: dict[str, list[str]] = {}

    def note(self, report: pytest.TestReport) -> None:
        """The worst of a test's three phases counts."""
        self.seconds[report.nodeid] += report.duration
        if SWEEP is not None and report.when == "teardown":
            self.reads[report.nodeid] = sorted(SWEEP.effects.of_test)
            SWEEP.effects.of_test.clear()
        if report.outcome != "passed" or report.when == "call":
            known = self.outcomes.get(report.nodeid, ("", ""))[0]
            if known != "failed":
                text = "" if report.outcome == "passed" else str(report.longreprtext)[-3000:]
                self.outcomes[report.nodeid] = (report.outcome, text)

    def write(self) -> None:
        """One line a test, and one of sums."""
        with self.path.open("w") as out:
            for test, (outcome, text) in self.outcomes.items():
                row = {
                    "test": test,
                    "outcome": outcome,
                    "text": text,
                    "seconds": round(self.seconds[test], 2),
                    "reads": self.reads.get(test, []),
                }
                out.write(json.dumps(row) + "\n")
            sums: dict[str, Any] = {"memory_mb": peak_mb()}
            if SWEEP is not None:
                sums |= {
                    "calls": SWEEP.calls,
                    "restarts": SWEEP.restarts,
                    "operations": {k: sorted(v) for k, v in SWEEP.operations.items()},
                    "changing": {k: sorted(v) for k, v in SWEEP.changing.items()},
                    "split": sorted(SWEEP.split),
                    "effects": SWEEP.effects.sums(),
                }
            out.write(json.dumps({"sums": sums}) + "\n")


_RECORDERS: list[_Recorder] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """A test's own transitions of states end with it; some tests leave them to the next."""
    before = dict(state_manager._transitions)
    try:
        return (yield)
    finally:
        state_manager._transitions.clear()
        state_manager._transitions.update(before)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to record."""
    path = session.config.getoption("--sweep-record")
    if path:
        _RECORDERS.append(_Recorder(path))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what became of a test."""
    for each in _RECORDERS:
        each.note(report)


def pytest_sessionfinish() -> None:
    """Write what was noted."""
    for each in _RECORDERS:
        each.write()
