"""Special types: each row of the table says all there is to say about a value."""

from __future__ import annotations

import datetime as dt
import io
import ipaddress
import itertools
import queue
import re
import tempfile
import threading
import uuid
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from dateutil.tz import tzutc
from graphql import parse, print_ast

from perdure.engine import special
from perdure.engine.policy import POLICY
from perdure.engine.sharing import Sharing
from perdure.errors import StateError
from perdure.persistence.keys import Lsn, StoreKey
from perdure.persistence.reader import Reader
from perdure.persistence.statefile import StateFile
from perdure.persistence.writer import Writer

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
KEY = StoreKey("sqs", "000000000000", "us-east-1")
RSA = rsa.generate_private_key(65537, 1024)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
CERTIFICATE = (
    x509.CertificateBuilder(NAME, NAME, RSA.public_key(), 1, NOW, NOW + dt.timedelta(1))
).sign(RSA, hashes.SHA256())


@pytest.fixture(autouse=True)
def _unclosed_bodies(recwarn: pytest.WarningsRecorder) -> None:
    """Bodies nobody closes are what these tests are about."""
    warnings.simplefilter("ignore", ResourceWarning)


def again(value: Any) -> Any:
    graph = Writer(POLICY, Sharing(), KEY).dump({"value": value})
    reader = Reader(POLICY, Sharing())
    try:
        found = reader.load(StateFile(KEY, Lsn(1), {}, graph), path=Path("x"))
    except BaseException:
        reader.abandon()
        raise
    reader.settle()
    return found["value"]


def spooled(content: bytes) -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=10)  # noqa: SIM115
    file.write(content)
    return file


def read(file: Any) -> Any:
    file.seek(0)
    return file.read()


def event() -> threading.Event:
    made = threading.Event()
    made.set()
    return made


def counted() -> Any:
    made = itertools.count(3, 2)
    next(made)
    return made


def begun(items: list[Any]) -> Any:
    made = iter(items)
    next(made)
    return made


VALUES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "lock": (threading.Lock(), lambda lock: lock.acquire(blocking=False)),
    "rlock": (threading.RLock(), lambda lock: lock.acquire(blocking=False)),
    "condition": (threading.Condition(), lambda c: c.acquire(blocking=False)),
    "event": (event(), lambda e: e.is_set()),
    "thread": (threading.Thread(), lambda t: t.is_alive()),
    "queue": (queue.Queue(), lambda q: q.qsize()),
    "spooled": (spooled(b"abc"), read),
    "spooled-on-disk": (spooled(b"x" * 1000), read),
    "bytesio": (io.BytesIO(b"abc"), read),
    "stringio": (io.StringIO("abc"), read),
    "pattern": (re.compile("a(b)", re.IGNORECASE), lambda p: (p.pattern, p.flags)),
    "pattern-bytes": (re.compile(b"a"), lambda p: (p.pattern, p.flags)),
    "uuid": (uuid.UUID(int=5), str),
    "weakset": (weakref.WeakSet(), len),
    "weakvalues": (weakref.WeakValueDictionary(), len),
    "bytearray": (bytearray(b"abc"), bytes),
    "count": (counted(), next),
    "list-iterator": (begun([1, 2, 3]), list),
    "range": (range(1, 9, 2), list),
    "graphql": (parse('"""A pet""" type Pet { name: String! }').definitions[0], print_ast),
    "ip": (ipaddress.ip_address("10.0.0.1"), str),
    "ip6": (ipaddress.ip_network("::/64"), str),
    "interface": (ipaddress.ip_interface("10.0.0.1/8"), str),
    "private-key": (RSA, lambda k: k.private_numbers()),
    "private-key-ec": (ec.generate_private_key(ec.SECP256R1()), lambda k: k.private_numbers()),
    "private-key-ed": (ed25519.Ed25519PrivateKey.generate(), lambda k: k.private_bytes_raw()),
    "public-key": (RSA.public_key(), lambda k: k.public_numbers()),
    "certificate": (CERTIFICATE, lambda c: c.fingerprint(hashes.SHA256())),
}


@pytest.mark.parametrize(("value", "look"), VALUES.values(), ids=VALUES.keys())
def test_a_value_is_the_same_behind_a_load(value: Any, look: Callable[[Any], Any]) -> None:
    """What can be seen of a value of each special type is the same after a round trip."""
    found = again(value)

    assert type(found) is type(value)
    assert look(found) == look(value)


def test_dateutils_utc_comes_back_as_the_standard_librarys() -> None:
    """The singleton is not handed to a payload, which could set attributes on it."""
    moment = dt.datetime(2026, 1, 2, tzinfo=tzutc())

    found = again(moment)

    assert found == moment
    assert found.tzinfo is dt.UTC


def test_every_row_is_tried() -> None:
    """No row of the table is left without a value above or below."""
    tried = {special.row_for(type(value)).name for value, _ in VALUES.values()}  # type: ignore[union-attr]

    assert set(special.BY_NAME) - tried == {"weakref", "proxy", "absent", "utc", "body"}
    assert all(row.reason for row in special.BY_NAME.values())


def test_weak_things_point_to_what_they_pointed_to() -> None:
    """References, proxies and weak containers hold the object of the same graph, weakly."""
    from moto.sqs.models import Message

    target = object.__new__(Message)
    target.body = "text"
    found = again(
        {
            "target": target,
            "ref": weakref.ref(target),
            "proxy": weakref.proxy(target),
            "values": weakref.WeakValueDictionary(a=target),
            "set": weakref.WeakSet([target]),
        }
    )

    assert found["ref"]() is found["target"]
    assert found["proxy"].body == "text"
    assert found["values"]["a"] is found["target"]
    assert list(found["set"]) == [found["target"]]


def test_what_cannot_be_carried_is_made_anew_where_it_is_needed() -> None:
    """A generator comes back as None: its user makes another."""
    assert again(n for n in ()) is None


def test_a_position_does_not_move_while_saving() -> None:
    """Saving a file leaves its position where it was."""
    file = io.BytesIO(b"abcdef")
    file.seek(3)
    again(file)

    assert file.tell() == 3


def test_closed_bodies_stay_closed() -> None:
    """The body of a deleted object is closed after a load too."""
    for file in (spooled(b"a"), io.BytesIO(b"a")):
        file.close()
        assert again(file).closed


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("bytearray", (1 << 40,)),
        ("bytesio", (1 << 40, 0)),
        ("spooled", (5, 5)),
        ("pattern", (5, 0)),
        ("count", (1.5,)),
        ("count", (1 << 70,)),
        ("uuid", (-1,)),
        ("uuid", ("x",)),
        ("ip", ("nobody", "1")),
        ("ip", ("IPv4Address", 5)),
        ("private-key", (b"no key",)),
        ("public-key", (5,)),
        ("certificate", (b"no certificate",)),
        ("weakset", (5,)),
        ("weakvalues", ([],)),
        ("weakref", (5,)),
        ("lock", (5,)),
    ],
)
def test_arguments_of_a_stranger_are_refused(name: str, arguments: tuple[Any, ...]) -> None:
    """A row that is given what it never wrote raises an Exception, and allocates nothing for it."""
    with pytest.raises(Exception):  # noqa: B017 - the reader turns any into a StateError
        special.BY_NAME[name].make(*arguments)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "environ"),
        ("moto.server", "main"),
        ("moto.moto_server.werkzeug_app", "DomainDispatcherApplication"),
        ("moto.sqs.models", "utcnow"),
        ("moto.sqs.models", "BaseModel"),
        ("moto.sqs.models", "Nobody"),
        ("moto.sqs.models", "Queue.__init__"),
        ("moto.sqs.models", "Queue.__class__"),
        ("moto.nowhere", "C"),
        ("moto.", "C"),
        ("moto..sqs", "C"),
        ("moto.a\0b", "C"),
        ("moto.sqs.models", ""),
        ("moto.sqs.models", "\0"),
        ("moto." + "x" * 5000, "C"),
        ("moto.\ud800", "C"),
        ("builtins", "dict"),
    ],
)
def test_only_classes_of_moto_are_found(module: str, name: str) -> None:
    """A name that is no class of moto under its own name is a LookupError, whatever it is."""
    with pytest.raises(LookupError):
        POLICY.find_class(module, name)


def test_a_class_that_is_found_is_the_one_that_was_admitted() -> None:
    """What is admitted when saving is found when loading; local classes are not admitted."""
    from moto.sqs.models import Queue

    assert POLICY.admits(Queue)
    assert POLICY.find_class(Queue.__module__, Queue.__qualname__) is Queue
    assert not POLICY.admits(type("Local", (), {"__qualname__": "f.<locals>.Local"}))
    assert not POLICY.admits(dict)


def test_every_factory_of_the_list_exists_and_has_its_name() -> None:
    """Each default factory of moto can be made and is named again when saved."""
    factories = POLICY.factories()

    assert len(list(factories)) == len(factories)
    for name in factories:
        factory = factories[name]
        assert callable(factory)
        assert factory is dict or POLICY.factory_name(factory) == name


def test_pointers_to_nothing_are_lookup_errors() -> None:
    """A pointer of a stranger's file resolves to a living store or to nothing."""
    for parts in (
        ("store", "sqs", "0" * 12, "nowhere"),
        ("store", "sqs"),
        ("store", "nobody", "0" * 12, "us-east-1"),
        ("table", "nobody"),
        ("table", "os.path"),
        ("regions", "sqs", "999999999999"),
        ("what", "sqs"),
    ):
        with pytest.raises((LookupError, StateError)):
            POLICY.resolve(parts)
