"""Runs calls: one at a time, polls parked, errors in AWS shape.

Short calls run to completion on the event loop's own thread, as a hop to another
costs a third of the rate.  A call that may take long runs beside it, so that
``/health`` answers meanwhile: the first of its operation, one that imports a
service or loads a store, one with a large body, one whose operation was slow
lately, and those that wait for something outside.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from perdure.engine.calls import Answer, Call
from perdure.engine.core import Engine
from perdure.engine.dispatch import operation_name
from perdure.engine.lock import ENGINE_LOCK
from perdure.engine.quirks.polling import ParkedError
from perdure.engine.stores import QuarantinedError, UnknownRegionError
from perdure.errors import NoRoomError, PerdureError, RequestError
from perdure.gateway.shapes import error_answer
from perdure.persistence.keys import StoreKey

log = logging.getLogger(__name__)

SHORT_SECONDS = 0.02
# A slow call is forgotten after about this many short ones.
FADE = 0.9
SMALL_BODY_BYTES = 256 << 10
# Calls that wait for calls of their own need one each.
WORKERS = 256
Saver = Callable[[frozenset[StoreKey]], Awaitable[None]]
Durable = Callable[[], Awaitable[None]]


class Pipeline:
    """The way of a call behind its classification."""

    def __init__(self, engine: Engine, save: Saver | None, durable: Durable | None = None) -> None:
        self.engine = engine
        # With a journal: returns once what an answer shows is as durable as asked for.
        self.durable = durable
        # With SNAPSHOT_SAVE_STRATEGY=ON_REQUEST: what makes a call durable.
        self.save = save
        self._beside = 0
        self._running: set[int] = set()
        self._closing = False
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="call")
        self._slowest: dict[tuple[str, str], float] = {}
        self._parked: dict[asyncio.Future[None], frozenset[StoreKey]] = {}

    async def run(self, call: Call) -> Answer:
        """Answer a call; every failure becomes an answer too.

        A read waits as well, and so does an error: each shows what others wrote.
        """
        answer = await self._answer(call)
        if self.durable is not None:
            await self.durable()
        return answer

    async def _answer(self, call: Call) -> Answer:
        try:
            answer, touched = await self._run_until_answered(call)
            if self.save is not None:
                await self.save(frozenset(touched))
        except RequestError as error:
            answer = self._refuse(call, error)
        except QuarantinedError as error:
            answer = self._refuse(call, _quarantined(error))
        except UnknownRegionError as error:
            answer = self._refuse(call, _unknown_region(call, error))
        except NoRoomError as error:
            answer = self._refuse(call, _no_room(error))
        except PerdureError as error:
            log.error("%s %s: %s", call.service.name, call.operation, error)  # noqa: TRY400
            answer = self._refuse(call, RequestError("InternalFailure", str(error), status=500))
        except Exception as error:
            if _is_malformed(call):
                return self._refuse(call, _malformed())
            name = operation_name(call)
            log.exception("%s %s failed inside moto", call.service.name, name)
            text = f"{call.service.name} {name} failed inside the engine: {error!r}"[:500]
            answer = self._refuse(call, RequestError("InternalFailure", text, status=500))
        return answer

    def release_parked(self) -> None:
        """Let parked polls answer empty now, and park none again."""
        self._closing = True
        for future in self._parked:
            if not future.done():
                future.set_result(None)

    def close(self, *, seconds: float) -> bool:
        """Wait for calls that run beside, but not for ever; whether all have ended.

        One that waits for something outside would hold up the save for longer than
        a container's grace period.
        """
        deadline = time.monotonic() + seconds
        while self._running and time.monotonic() < deadline:
            time.sleep(0.01)
        self._workers.shutdown(wait=not self._running, cancel_futures=True)
        return not self._running

    def _refuse(self, call: Call, error: RequestError) -> Answer:
        log.debug("%s %s: %s", call.service.name, call.operation, error)
        return error_answer(error, protocol=call.protocol, with_body=call.method != "HEAD")

    async def _run_until_answered(self, call: Call) -> tuple[Answer, set[StoreKey]]:
        deadline: float | None = None
        may_park = not self._closing
        while True:
            try:
                answer, touched = await self._attempt(call, may_park=may_park)
            except ParkedError as parked:
                now = time.monotonic()
                deadline = now + parked.wait_seconds if deadline is None else deadline
                seconds = min(deadline - now, parked.retry_seconds + 0.001)
                if seconds > 0:
                    await self._wait_for_arrival(parked.touched, seconds)
                may_park = time.monotonic() < deadline and not self._closing
            else:
                self._notify(touched)
                return answer, touched

    async def _attempt(self, call: Call, *, may_park: bool) -> tuple[Answer, set[StoreKey]]:
        if self._may_run_here(call) and ENGINE_LOCK.acquire(blocking=False):
            try:
                return self._execute(call, may_park=may_park)
            finally:
                ENGINE_LOCK.release()
        self._beside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._workers, lambda: self._execute_beside(call, may_park=may_park)
            )
        finally:
            self._beside -= 1

    def _execute(self, call: Call, *, may_park: bool) -> tuple[Answer, set[StoreKey]]:
        started = time.perf_counter()
        with ENGINE_LOCK:
            try:
                return self.engine.execute(call, may_park=may_park), self.engine.last_touched
            except ParkedError as parked:
                parked.touched = frozenset(self.engine.last_touched)
                raise
            except StopIteration as error:
                # A future cannot carry it: who awaits the worker would wait for ever.
                raise RuntimeError(repr(error)) from error
            finally:
                self._remember(call, time.perf_counter() - started)

    def _execute_beside(self, call: Call, *, may_park: bool) -> tuple[Answer, set[StoreKey]]:
        # Counted by the worker itself: the task that awaits it may be cancelled.
        self._running.add(id(call))
        try:
            return self._execute(call, may_park=may_park)
        finally:
            self._running.discard(id(call))

    def _may_run_here(self, call: Call) -> bool:
        """Whether the call is expected to be short, and nobody waits for the lock."""
        return (
            self._beside == 0
            and self._slowest.get(_kind(call), SHORT_SECONDS) < SHORT_SECONDS
            and len(call.body) <= SMALL_BODY_BYTES
            and not self.engine.would_load(call)
            and not self.engine.may_go_out(call)
        )

    def _remember(self, call: Call, seconds: float) -> None:
        kind = _kind(call)
        self._slowest[kind] = max(seconds, self._slowest.get(kind, 0.0) * FADE)

    async def _wait_for_arrival(self, keys: frozenset[StoreKey], seconds: float) -> None:
        """Until a call touches one of the stores, or the time is up."""
        future = asyncio.get_running_loop().create_future()
        self._parked[future] = keys
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return
        finally:
            del self._parked[future]

    def _notify(self, touched: set[StoreKey]) -> None:
        for future, keys in self._parked.items():
            if not future.done() and not keys.isdisjoint(touched):
                future.set_result(None)


def _kind(call: Call) -> tuple[str, str]:
    """What calls of like cost have in common; bounded by the number of operations."""
    named = not call.operation.startswith(call.method + " ")
    return call.service.name, call.operation if named else call.method


def _is_malformed(call: Call) -> bool:
    """Whether a call failed because its body is not the JSON object it should be."""
    if call.protocol not in ("json", "rest-json"):
        return False
    if not call.body or not isinstance(call.body, bytes):
        return False
    try:
        return not isinstance(json.loads(call.body), dict)
    except (ValueError, RecursionError):
        # Services that speak rest-json take other content in bodies, too.
        return call.body.lstrip()[:1] in b"{["


def _malformed() -> RequestError:
    return RequestError(
        "SerializationException", "the request body is not a JSON object", status=400
    )


def _quarantined(error: QuarantinedError) -> RequestError:
    return RequestError(
        "ServiceUnavailable",
        f"the saved state of {error.key} is set aside: {error.reason}. "
        "Repair its file and restart; or empty all stores of the service, which keeps their "
        f"files in quarantine/: `perdure state reset {error.key.module}`",
        status=503,
    )


def _no_room(error: NoRoomError) -> RequestError:
    return RequestError("ServiceUnavailable", f"{error} ({error.hint})", status=503)


def _unknown_region(call: Call, error: UnknownRegionError) -> RequestError:
    return RequestError(
        "InvalidRegion",
        f"{call.service.name} has no region {error.region!r}; "
        "ALLOW_NONSTANDARD_REGIONS=1 accepts any name",
        status=400,
    )
