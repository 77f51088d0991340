"""Doors: what came through one comes through it again, and nothing goes out at replay."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization as form
from tests.unit.calls import a_call

from perdure.engine.calls import Answer
from perdure.engine.core import Engine
from perdure.engine.doors import (
    DOORS,
    ROWS,
    DivergenceError,
    DoorMismatchError,
    EscapeError,
    Passage,
    door,
    note_impure,
)
from perdure.engine.lock import running, sleep, wait_for, waiting
from perdure.engine.pins import CLOCK, pinned


def through(value: bytes, name: str = "a door") -> bytes:
    return door(name, lambda: value, bytes, bytes)


def test_what_came_through_a_door_is_handed_back(engine: Engine) -> None:
    """A replay gets the recorded values in their order, and produces none."""
    with DOORS.open() as notes:
        assert [through(b"1"), through(b"2", "another")] == [b"1", b"2"]
    assert notes.doors == [("a door", b"1"), ("another", b"2")]
    with DOORS.open(notes.doors) as again:
        assert [through(b"x"), through(b"y", "another")] == [b"1", b"2"]
    assert again.doors == notes.doors
    assert not again.impure


@pytest.mark.parametrize(
    ("names", "expected", "found"),
    [(["b"], "a", "b"), (["a", "c"], None, "c"), ([], "a", None)],
    ids=["another", "one more", "one less"],
)
def test_another_door_than_the_recorded_is_a_divergence(
    engine: Engine, names: list[str], expected: str | None, found: str | None
) -> None:
    """A replay that comes to other doors stops, past every ``except Exception``."""
    assert not issubclass(DivergenceError, Exception)
    with pytest.raises(DoorMismatchError) as caught, DOORS.open([("a", b"1")]):
        for name in names:
            through(b"x", name)
    assert (caught.value.expected, caught.value.found) == (expected, found)


def test_a_call_that_fails_tells_its_own_error(engine: Engine) -> None:
    """Doors it did not come to any more do not hide why."""
    with pytest.raises(KeyError), DOORS.open([("a", b"1")]):
        raise KeyError


def test_outside_of_a_call_doors_stand_open(engine: Engine) -> None:
    """Without a call nothing is noted, nor is it in another thread, or aside."""
    assert through(b"1") == b"1"
    note_impure("no call")
    with DOORS.open() as notes:
        thread = threading.Thread(target=lambda: (through(b"2"), note_impure("another's")))
        with DOORS.aside():
            thread.start()
            through(b"3")
        thread.join()
    assert (notes.doors, notes.impure) == ([], [])


def start_thread() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def wait() -> None:
    with waiting():
        pass


EVENT = threading.Event()
IMPURE: dict[str, Callable[[], Any]] = {
    "thread": start_thread,
    "process": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "wait": wait,
    "sleep": lambda: sleep(0),
    "event": lambda: wait_for(EVENT, 0.001),
    "http": lambda: requests.get("http://127.0.0.1:9/", timeout=0.1),
}


@pytest.mark.parametrize("name", IMPURE)
def test_what_makes_a_call_impure_is_noticed_and_refused_at_replay(
    engine: Engine, name: str
) -> None:
    """It is noted once it happens, and in a replay it does not happen."""
    with running(), DOORS.open() as notes:
        try:
            IMPURE[name]()
        except requests.ConnectionError:
            assert name == "http"
    assert notes.impure
    with pytest.raises(EscapeError), running(), DOORS.open([]):
        IMPURE[name]()
    assert EVENT._cond.acquire(blocking=False)  # nothing is held on to
    EVENT._cond.release()


def test_a_wait_keeps_the_notes_of_each_call_apart(engine: Engine) -> None:
    """What another call notes while this one waits is the other's."""

    def other() -> None:
        with running(), DOORS.open() as notes:
            through(b"2", "other")
        others.append(notes)

    others: list[Any] = []
    thread = threading.Thread(target=other)
    with running(), DOORS.open() as notes:
        through(b"1", "mine")
        with DOORS.aside():
            thread.start()
        with waiting():
            thread.join()
        through(b"3", "mine")
    assert notes.doors == [("mine", b"1"), ("mine", b"3")]
    assert others[0].doors == [("other", b"2")]


def run_twice(engine: Engine, *calls: Any) -> list[tuple[Answer, Answer, list[Passage]]]:
    """Each call as recorded and as replayed, in an emptied engine."""
    pins = [CLOCK.draw() for _ in calls]
    recorded = [run(engine, call, at) for call, at in zip(calls, pins, strict=True)]
    engine.forget_all()
    again = [
        run(engine, call, at, doors)
        for call, at, (_, doors) in zip(calls, pins, recorded, strict=True)
    ]
    return [(a, b, doors) for (a, doors), (b, _) in zip(recorded, again, strict=True)]


def run(
    engine: Engine, call: Any, pins: Any, doors: Sequence[Passage] | None = None
) -> tuple[Answer, list[Passage]]:
    with running(), pinned(pins), DOORS.open(doors) as notes:
        answer = engine.execute(call, may_park=False)
    assert answer.status == 200, answer.body
    assert not notes.impure
    return answer, notes.doors


def json_call(service: str, target: str, body: bytes) -> Any:
    headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")]
    return a_call(service, target.split(".")[1], headers=headers, body=body)


def form_call(service: str, body: bytes) -> Any:
    headers = [("content-type", "application/x-www-form-urlencoded")]
    return a_call(service, body.split(b"&")[0][7:].decode(), headers=headers, body=body)


PEM_SERVICES = {
    "ec2.rsa": form_call("ec2", b"Action=CreateKeyPair&Version=2016-11-15&KeyName=a"),
    "ec2.ed25519": form_call(
        "ec2", b"Action=CreateKeyPair&Version=2016-11-15&KeyName=a&KeyType=ed25519"
    ),
    "kms.rsa": json_call(
        "kms", "TrentService.CreateKey", b'{"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}'
    ),
    "kms.ec": json_call(
        "kms", "TrentService.CreateKey", b'{"KeySpec":"ECC_NIST_P256","KeyUsage":"SIGN_VERIFY"}'
    ),
    "acm": json_call(
        "acm",
        "CertificateManager.RequestCertificate",
        b'{"DomainName": "a.example", "SubjectAlternativeNames": ["b.example", "c.example"]}',
    ),
    "acm-pca": json_call(
        "acm-pca",
        "ACMPrivateCA.CreateCertificateAuthority",
        b'{"CertificateAuthorityConfiguration": {"KeyAlgorithm": "RSA_2048", "SigningAlgorithm": '
        b'"SHA256WITHRSA", "Subject": {"CommonName": "a"}}, "CertificateAuthorityType": "ROOT"}',
    ),
}


@pytest.mark.parametrize("name", PEM_SERVICES)
def test_keys_come_back_at_replay(engine: Engine, name: str) -> None:
    """A replayed call answers with the bytes and leaves the state of the recorded one."""
    ((first, again, doors),) = run_twice(engine, PEM_SERVICES[name])
    assert first == again
    assert {passage[0] for passage in doors} & {row.name for row in ROWS}


def test_a_second_engine_puts_no_second_door(engine: Engine) -> None:
    """However many engines a process makes, what comes through a door is noted once."""
    from cryptography.hazmat.primitives.asymmetric import ec

    Engine()
    with DOORS.open() as notes:
        ec.generate_private_key(ec.SECP256R1())
    assert [name for name, _ in notes.doors] == ["ec.generate"]


def test_a_door_packs_keys_as_they_are(engine: Engine) -> None:
    """What a replay goes on with is the same key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519

    kinds: list[Callable[[], Any]] = [
        lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),
        lambda: ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate,
        ed448.Ed448PrivateKey.generate,
        x25519.X25519PrivateKey.generate,
        x448.X448PrivateKey.generate,
    ]

    def seen() -> list[bytes]:
        whole = (form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
        return [make().private_bytes(*whole) for make in kinds]

    with DOORS.open() as notes:
        first = seen()
    with DOORS.open(notes.doors):
        assert seen() == first
    assert len(notes.doors) == len(kinds)
    assert seen() != first
