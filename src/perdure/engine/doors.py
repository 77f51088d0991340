"""What pins do not reach: what came through a door is noted, and handed back at replay.

    with running(), pinned(pins), DOORS.open() as notes:             # living
        dispatch(call)
    record(notes.doors, notes.impure)

    with running(), pinned(pins), DOORS.open(recorded):              # replay
        dispatch(call)

OpenSSL has a generator of its own, so a key or a signature is such a thing.  A row of
``ROWS`` names each place, with its reason.  Places, not operations: whoever makes a key
comes through ``rsa.generate_private_key``.

A call that did more than come through doors is impure: it started a thread or a process,
met HTTP, or let go of the engine lock, so that others ran in its middle.  Running it
again would do that again.  It is noticed where it happens (``note_impure``), and in a
replay it stops there: ``EscapeError``.

Both errors are no ``Exception``s: moto catches those in many places, and would make of a
divergence a failed resource.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from perdure.engine.imports import after_import

T = TypeVar("T")
Passage = tuple[str, bytes]
_thread = threading.get_ident


class DivergenceError(BaseException):
    """A replayed call does something else than it did when it was recorded."""


class DoorMismatchError(DivergenceError):
    """A replayed call comes to another door than the recorded one did."""

    def __init__(self, *, number: int, expected: str | None, found: str | None) -> None:
        super().__init__(
            f"door {number} of the call: recorded {expected or 'none'}, replayed {found or 'none'}"
        )
        self.number, self.expected, self.found = number, expected, found


class EscapeError(DivergenceError):
    """A replayed call would start something, go out, or let others in."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"a replayed call would do what only an impure one does: {reason}")
        self.reason = reason


@dataclass(slots=True)
class CallNotes:
    """What one call did besides computing.

    Attributes:
        doors: Name of the door and what came through it, in order.
        impure: Why it cannot be run again; empty for a call that can.
    """

    doors: list[Passage] = field(default_factory=list)
    impure: list[str] = field(default_factory=list)


class Opening:
    """The call whose doors are open; a context that is used once.

    A class, since a generator costs a microsecond more in every call.

    Attributes:
        thread: The call's; others' threads are no part of it.
        notes: What is noted; complete at the end, also of a body that raises.
        recording: What was recorded of it if it is replayed.
    """

    __slots__ = ("_doors", "_outer", "notes", "recording", "thread")

    def __init__(self, doors: Doors, recording: Sequence[Passage] | None) -> None:
        """Use ``Doors.open``."""
        self.thread, self.notes, self.recording = _thread(), CallNotes(), recording
        self._doors = doors
        self._outer: Opening | None = None

    def __enter__(self) -> CallNotes:
        self._outer, self._doors._current = self._doors._current, self
        return self.notes

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._doors._current = self._outer
        recording, number = self.recording, len(self.notes.doors)
        if kind is None and recording is not None and number < len(recording):
            raise DoorMismatchError(number=number, expected=recording[number][0], found=None)


class Doors:
    """The doors of the call that runs.  Needs the engine lock."""

    def __init__(self) -> None:
        self._current: Opening | None = None

    def _here(self) -> Opening | None:
        # Others' threads make keys too, and start threads; that is no part of a call.
        found = self._current
        return found if found is not None and found.thread == _thread() else None

    @property
    def replaying(self) -> bool:
        """Whether this thread runs a call again."""
        found = self._here()
        return found is not None and found.recording is not None

    def open(self, recording: Sequence[Passage] | None = None) -> Opening:
        """Note what the body of the returned context does, or hand back what was recorded.

        Args:
            recording: ``CallNotes.doors`` of the call that is run again; None for a new one.

        Raises:
            DoorMismatchError: The body does not come to the recorded doors, in their order.
            EscapeError: It would do what only an impure call does.
        """
        return Opening(self, recording)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Neither note nor refuse: what the body does is no part of the call it runs in.

        A load, an import; and what other threads do while a call waits.
        """
        mine, self._current = self._current, None
        try:
            yield
        finally:
            self._current = mine

    def door(
        self,
        name: str,
        produce: Callable[[], T],
        pack: Callable[[T], bytes],
        unpack: Callable[[bytes], T],
    ) -> T:
        """What comes through a door: made now, or at replay what came then.

        ``unpack(pack(value))`` must be as good as the value: it is what a replayed call
        goes on with, and the living one with ``value``.
        """
        here = self._here()
        if here is None:
            return produce()
        passed = here.notes.doors
        if here.recording is None:
            value = produce()
            passed.append((name, pack(value)))
            return value
        number = len(passed)
        expected = here.recording[number] if number < len(here.recording) else None
        if expected is None or expected[0] != name:
            raise DoorMismatchError(number=number, expected=expected and expected[0], found=name)
        passed.append(expected)
        return unpack(expected[1])

    def note_impure(self, reason: str) -> None:
        """Say that the running call cannot be run again; in a replay, before it does it.

        Raises:
            EscapeError: This is a replay.
        """
        here = self._here()
        if here is None:
            return
        if here.recording is not None:
            raise EscapeError(reason)
        if reason not in here.notes.impure:
            here.notes.impure.append(reason)


DOORS = Doors()
door = DOORS.door
note_impure = DOORS.note_impure


# ------------------------------------------------------------------------- the doors


@dataclass(frozen=True, slots=True)
class Row:
    """One door.

    Attributes:
        name: Stands in the journal.
        module: Where it is; ``put`` runs when the module is imported.
        reason: Why pins do not reach it.
        put: Stands in the way, given the module and the name.
    """

    name: str
    module: str
    reason: str
    put: Callable[[Any, str], None]


def _pack_key(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    packed: bytes = key.private_bytes(
        form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption()
    )
    return packed


def _unpack_key(packed: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    return load_der_private_key(packed, password=None)


def _same(value: bytes) -> bytes:
    return value


def _making_keys(module: Any, name: str) -> None:
    generate = module.generate_private_key

    def generate_private_key(*arguments: Any, **named: Any) -> Any:
        return door(name, lambda: generate(*arguments, **named), _pack_key, _unpack_key)

    module.generate_private_key = generate_private_key


def _class_making_keys(cls_name: str) -> Callable[[Any, str], None]:
    def put(module: Any, name: str) -> None:
        cls = getattr(module, cls_name)
        generate = cls.generate
        cls.generate = staticmethod(lambda: door(name, generate, _pack_key, _unpack_key))

    return put


def _method(path: str, *, text: bool = False) -> Callable[[Any, str], None]:
    """A method that returns bytes (or text), of a class of the module."""
    cls_name, method = path.split(".")
    pack: Callable[[Any], bytes] = str.encode if text else _same
    unpack: Callable[[bytes], Any] = bytes.decode if text else _same

    def put(module: Any, name: str) -> None:
        cls = getattr(module, cls_name)
        original = getattr(cls, method)

        def passing(self: Any, *arguments: Any, **named: Any) -> Any:
            return door(name, lambda: original(self, *arguments, **named), pack, unpack)

        setattr(cls, method, passing)

    return put


def _sealed_authority(module: Any, name: str) -> None:
    create = module.CertificateAuthority.__init__

    def init(authority: Any, *arguments: Any, **named: Any) -> None:
        create(authority, *arguments, **named)
        made = authority.private_bytes
        authority.private_bytes = door(name, lambda: made, _same, _same)

    module.CertificateAuthority.__init__ = init


ASYMMETRIC = "cryptography.hazmat.primitives.asymmetric."
OWN_GENERATOR = "OpenSSL draws from a generator of its own"
SALTED = "a key under a password is sealed with a salt that OpenSSL draws"
ROWS = (
    Row("rsa.generate", ASYMMETRIC + "rsa", OWN_GENERATOR, _making_keys),
    Row("ec.generate", ASYMMETRIC + "ec", OWN_GENERATOR, _making_keys),
    *(
        Row(f"{kind}.generate", ASYMMETRIC + kind, OWN_GENERATOR, _class_making_keys(cls_name))
        for kind, cls_name in (
            ("ed25519", "Ed25519PrivateKey"),
            ("ed448", "Ed448PrivateKey"),
            ("x25519", "X25519PrivateKey"),
            ("x448", "X448PrivateKey"),
        )
    ),
    Row(
        "kms.rsa.sign",
        "moto.kms.utils",
        "a PSS signature has a salt that OpenSSL draws; the class signs PKCS 1 as well",
        _method("RSAPrivateKey.sign"),
    ),
    Row(
        "kms.ec.sign",
        "moto.kms.utils",
        "an ECDSA signature has a number that OpenSSL draws",
        _method("ECDSAPrivateKey.sign"),
    ),
    Row("acm.seal", "moto.acm.models", SALTED, _method("CertBundle.serialize_pk", text=True)),
    Row("acm-pca.seal", "moto.acmpca.models", SALTED, _sealed_authority),
)


def install() -> None:
    """Stand in every door, as its module is imported.  Once per process."""
    for row in ROWS:
        after_import(row.module, lambda module, row=row: row.put(module, row.name))  # type: ignore[misc]
    _notice_processes()


def _notice_processes() -> None:
    create = subprocess.Popen.__init__

    def init(process: Any, *arguments: Any, **named: Any) -> None:
        note_impure("a process was started")
        create(process, *arguments, **named)

    subprocess.Popen.__init__ = init  # type: ignore[method-assign,assignment]
