"""The reader: what was written comes back as it was, and nothing of it runs."""

from __future__ import annotations

import collections
import ctypes
import dataclasses
import datetime as dt
import decimal
import gc
import pickle
import threading
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.persistence import zoo
from tests.unit.persistence.zoo import KEY, OTHER, Plain, ZooExports, ZooPolicy, state_of

from perdure.errors import CorruptionError, HostileStateError, LoadError, StateError
from perdure.persistence import heap, wire
from perdure.persistence.keys import ExportId
from perdure.persistence.reader import Reader
from perdure.persistence.statefile import Graph, Shares
from perdure.persistence.writer import Writer

PATH = Path("zoo.state")


def dump(attributes: dict[str, Any], exports: ZooExports | None = None, key: Any = KEY) -> Graph:
    return Writer(ZooPolicy(), exports or ZooExports(), key).dump(attributes)


def load(graph: Graph, exports: ZooExports | None = None) -> dict[str, Any]:
    reader = Reader(ZooPolicy(), exports or ZooExports())
    try:
        attributes = reader.load(state_of(graph), path=PATH)
    except BaseException:
        reader.abandon()
        raise
    reader.settle()
    return attributes


def again(value: Any) -> Any:
    return load(dump({"value": value}))["value"]


UTC = dt.UTC
PLAIN: list[Any] = [
    None,
    True,
    0,
    -(1 << 70),
    1.5,
    float("inf"),
    "text",
    "\ud800",
    b"bytes",
    (),
    (1, (2,)),
    [],
    [1, [2]],
    {},
    {"a": {1: 2}},
    {1, 2},
    frozenset({1}),
    complex(1, 2),
    decimal.Decimal("1.10"),
    dt.datetime(2020, 1, 1, 1, 1, tzinfo=UTC),
    dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "x")),
    dt.date(2020, 1, 1),
    dt.time(1, 2),
    dt.timedelta(days=-1),
    OrderedDict(a=1),
    deque([1, 2], maxlen=3),
    defaultdict(list, a=[1]),
    zoo.Colour.RED,
    zoo.Level.HIGH,
    zoo.Name("x"),
    zoo.Raw(b"x"),
    zoo.Number(5),
    zoo.Ratio(0.5),
    zoo.Pair((1, 2)),
    zoo.Point(1, [2]),
    zoo.Frozen({1}),
    zoo.Group({1, 2}),
    zoo.Row([1, 2]),
    zoo.Line([1, 2]),
    zoo.Ordered(a=1),
    zoo.Default(dict, a=1),
    zoo.ById("x"),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_values_come_back_equal_and_of_their_type(value: Any) -> None:
    """A value of every kind is equal after a round trip, and of exactly its type."""
    found = again(value)

    assert type(found) is type(value)
    assert found == value
    assert repr(found) == repr(value)


def test_objects_come_back_with_their_attributes() -> None:
    """An object is of its class again, with the attributes it had."""
    for cls in (zoo.Concrete, zoo.BoxOfInt, zoo.Talker, zoo.Lower, Plain):
        made = object.__new__(cls)
        made.__dict__.update(_items={"a": 1}, nested=[Plain(x=1)])
        found = again(made)

        assert type(found) is cls
        assert found._items == {"a": 1}
        assert found.nested[0].x == 1


def test_attributes_of_containers_come_back() -> None:
    """A container's subclass keeps its attributes beside its content."""
    for made in (
        zoo.Versions(),
        zoo.Ordered(),
        zoo.Default(list),
        zoo.Row(),
        zoo.Line(),
        zoo.Group(),
        zoo.Frozen(),
        zoo.Tagged("x"),
        zoo.Ratio(1),
    ):
        made.note = ["kept"]
        assert again(made).note == ["kept"], type(made)


def test_identity_within_a_store_is_kept() -> None:
    """An object held twice is one object again."""
    shared = Plain()
    text = [1]
    found = load(dump({"a": shared, "b": [shared], "c": {"d": text}, "e": text}))

    assert found["a"] is found["b"][0]
    assert found["c"]["d"] is found["e"]


def test_cycles_come_back() -> None:
    """Objects, lists and dicts that contain themselves do so again."""
    node = Plain()
    node.me, node.all = node, [node]
    node.by_name = {"me": node.all}
    row = zoo.Row()
    row.append(row)
    found = load(dump({"node": node, "row": row}))

    assert found["node"].me is found["node"]
    assert found["node"].by_name["me"][0] is found["node"]
    assert found["row"][0] is found["row"]


def test_keys_that_hash_by_content_are_found_again() -> None:
    """A dict or set finds an object that hashes by content, inside tuples too."""
    key, other = zoo.ById("a"), zoo.ById("b")
    found = load(
        dump(
            {
                "dict": {key: 1, other: 2},
                "set": {key, other},
                "tuple": {(key, 1): 3, (1, (2, other)): 4},
                "subclass": zoo.Default(int, {key: 5}),
                "group": zoo.Group({key}),
                "ordered": OrderedDict([(other, 6), (key, 7)]),
                "as attribute": Plain(inner={key: 8}),
            }
        )
    )

    assert (found["dict"][zoo.ById("a")], found["dict"][zoo.ById("b")]) == (1, 2)
    assert zoo.ById("a") in found["set"]
    assert found["tuple"][zoo.ById("a"), 1] == 3
    assert found["tuple"][1, (2, zoo.ById("b"))] == 4
    assert found["subclass"][zoo.ById("a")] == 5
    assert zoo.ById("a") in found["group"]
    assert list(found["ordered"].items()) == [(other, 6), (key, 7)]
    assert found["as attribute"].inner[zoo.ById("a")] == 8


def test_keys_that_hash_by_content_are_found_in_named_tuples() -> None:
    """A named tuple as a key is found again if what it holds hashes by content."""
    found = again({zoo.Point(1, zoo.ById("a")): 1})

    assert found[zoo.Point(1, zoo.ById("a"))] == 1


def test_frozen_sets_of_what_hashes_by_content_work_or_are_refused() -> None:
    """A frozenset is never handed out with members it cannot find."""
    for made in (frozenset({zoo.ById("a")}), zoo.Frozen({zoo.ById("a")})):
        try:
            found = again(made)
        except StateError:
            continue
        assert zoo.ById("a") in found


def test_raw_items_of_dict_subclasses_are_kept() -> None:
    """An overridden __setitem__, __getitem__ or __iter__ neither hides nor doubles items."""
    versions = zoo.Versions()
    versions["k"] = 1
    versions["k"] = 2
    found = again(versions)

    assert dict.__getitem__(found, "k") == [1, 2]
    assert dict.__len__(found) == 1


def test_a_dict_whose_constructor_needs_arguments_comes_back() -> None:
    """No constructor is called, so none can miss an argument."""
    strict = zoo.Strict("name")
    strict["a"] = 1
    found = again(strict)

    assert (found.name, found["a"]) == ("name", 1)


def test_a_value_is_taken_past_what_its_class_shows() -> None:
    """Text, numbers and tuples are kept as they are, not as an override presents them."""
    found = again([zoo.Masked("secret"), zoo.Shy((1, 2)), zoo.Rounded(1.5)])

    assert str.__str__(found[0]) == "secret"
    assert tuple.__len__(found[1]) == 2
    assert float.__float__(found[2]) == 1.5


def test_order_is_kept() -> None:
    """Dicts keep their order; an OrderedDict also what move_to_end did."""
    ordered = OrderedDict(a=1, b=2, c=3)
    ordered.move_to_end("a")
    ordered.move_to_end("c", last=False)
    mine = zoo.Ordered(ordered)
    mine.move_to_end("b", last=False)

    assert list(again(ordered)) == ["c", "b", "a"]
    assert list(again(mine)) == ["b", "c", "a"]
    assert list(again({"b": 1, "a": 2})) == ["b", "a"]


@pytest.mark.parametrize(
    "factory", [None, list, dict, set, int, float, str, OrderedDict, zoo._special_factory]
)
@pytest.mark.parametrize("cls", [defaultdict, zoo.Default])
def test_default_factories_of_the_closed_list_work_again(cls: Any, factory: Any) -> None:
    """A defaultdict makes what it made, subclassed or not."""
    found = again(cls(factory, a=1))

    assert found.default_factory is factory
    if factory is not None:
        assert found["new"] == factory()


def test_weak_references_are_weak_again() -> None:
    """A weak reference points to the object it pointed to, and holds it no stronger."""
    target = Plain(x=1)
    dead = weakref.ref(Plain())
    found = load(dump({"target": target, "ref": weakref.ref(target), "dead": dead}))

    assert found["ref"]() is found["target"]
    assert found["dead"]() is None
    del found["target"]
    heap.bring_back()
    gc.collect()
    assert found["ref"]() is None


def test_what_was_loaded_is_out_of_the_collectors_sight() -> None:
    """Until much of it may have died; what could not be loaded is not set aside."""
    heap.bring_back()
    again([Plain(x=n) for n in range(100)])

    assert gc.get_freeze_count() > 100
    heap.bring_back()
    assert gc.get_freeze_count() == 0
    with pytest.raises(StateError):
        load(Graph(b"?", (), Shares()))
    assert gc.get_freeze_count() == 0
    assert gc.isenabled()


def test_locks_come_back_free() -> None:
    """A lock that was held is free after a load."""
    lock = threading.Lock()
    lock.acquire()

    assert again(lock).acquire(blocking=False)


def test_members_of_enumerations_are_the_members() -> None:
    """An enumeration's member is identical, not merely equal."""
    assert again([zoo.Colour.RED, zoo.Level.HIGH]) == [zoo.Colour.RED, zoo.Level.HIGH]
    assert again(zoo.Colour.BLUE) is zoo.Colour.BLUE


def test_only_the_attributes_the_policy_picks_are_kept() -> None:
    """Where not all of an object is state, the rest is left out."""
    assert again(zoo.Partly(live=threading, kept=1)).__dict__ == {"kept": 1}


def test_no_method_runs_while_loading() -> None:
    """Neither __init__, __setstate__, setters, __setitem__, append, add nor __del__ is called."""
    made = {cls.__name__: object.__new__(cls) for cls in (zoo.Witness, zoo.WitnessKey)}
    for witness in made.values():
        witness.__dict__.update(a=1, prop=2)
    filled = {
        "dict": zoo.WitnessDict({1: 2}),
        "list": zoo.WitnessList([1, 2]),
        "deque": zoo.WitnessDeque([1, 2]),
        "set": zoo.WitnessSet({1}),
    }
    graph = dump(made | filled)
    zoo.CALLED.clear()

    found = load(graph)

    assert zoo.CALLED == []
    assert found["Witness"].__dict__ == {"a": 1, "prop": 2}
    assert dict.items(found["dict"]) == {1: 2}.items()
    assert list(found["list"]) == [1, 2]
    assert list(found["deque"]) == [1, 2]
    assert set(found["set"]) == {1}


def test_no_destructor_runs_when_a_load_is_given_up() -> None:
    """What was read and never settled is dropped without a method of its class."""
    graph = dump({"a": zoo.Witness(), "b": zoo.WitnessKey()})
    gc.collect()
    zoo.CALLED.clear()
    reader = Reader(ZooPolicy(), ZooExports())
    reader.load(state_of(graph), path=PATH)
    reader.abandon()
    gc.collect()

    assert zoo.CALLED == []


def test_finish_sees_every_object_once_settled() -> None:
    """The policy may complete each object when all have their class."""
    policy = ZooPolicy()
    graph = dump({"a": Plain(), "b": zoo.Versions()})
    reader = Reader(policy, ZooExports())
    reader.load(state_of(graph), path=PATH)
    assert policy.finished == []
    reader.settle()

    assert [type(value) for value in policy.finished] == [Plain, zoo.Versions]


# ------------------------------------------------------------------ sharing


def test_an_object_of_two_stores_is_one_again() -> None:
    """Stores loaded by one reader hold one object where they held one, whichever comes first."""
    for turn in (1, -1):
        exports = ZooExports()
        both = zoo.Owned(x=1)
        number = exports.share(both)
        exports.homes[number] = OTHER
        home = state_of(dump({"mine": both}, exports, OTHER), OTHER)
        referrer = state_of(dump({"theirs": both}, exports))

        reader = Reader(ZooPolicy(), ZooExports())
        found: dict[str, Any] = {}
        for state in (home, referrer)[::turn]:
            found |= reader.load(state, path=PATH)
        reader.settle()

        assert found["mine"] is found["theirs"]
        assert (type(found["mine"]), found["mine"].x) == (zoo.Owned, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: zoo.OwnedDict(a=1),
        lambda: zoo.OwnedList([1]),
        lambda: zoo.OwnedLine([1]),
        lambda: zoo.OwnedOrdered(a=1),
        lambda: zoo.OwnedDefault(list, a=1),
    ],
)
def test_shared_containers_come_back(make: Callable[[], Any]) -> None:
    """Mutable containers are shared as other objects are."""
    exports = ZooExports()
    both = make()
    graph = dump({"a": both, "b": both}, exports)
    found = load(graph)

    assert found["a"] is found["b"]
    assert found["a"] == both
    assert type(found["a"]) is type(both)
    assert getattr(found["a"], "default_factory", list) is list


def test_a_living_shared_object_is_used() -> None:
    """An import finds the object that lives, instead of making a second one."""
    exports = ZooExports()
    both = zoo.Owned(x=1)
    exports.homes[exports.share(both)] = OTHER
    graph = dump({"theirs": both}, exports)

    assert load(graph, exports)["theirs"] is both
    assert both.__dict__ == {"x": 1}


# ----------------------------------------------------- hostile and damaged


def payload(*opcodes: bytes) -> bytes:
    return b"\x80\x05" + b"".join(opcodes) + b"."


def glob(name: str, module: str = wire.__name__) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode()


def call(name: str, *arguments: Any) -> bytes:
    return glob(f"perdure_{name}") + _value(arguments) + b"R"


def _value(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)[2:-1].replace(b"q\x00", b"").replace(b"q\x01", b"")


STORE_POINTER = call("pointer", "store")
TABLE_POINTER = call("pointer", "table")
CLASSES = tuple((zoo.__name__, c) for c in ("Plain", "Colour", "OwnedDict", "OwnedList", "Witness"))


def hostile(*opcodes: bytes, exports: ZooExports | None = None) -> type[StateError]:
    """Load a payload that must be refused; the error's class."""
    store, table = dict(zoo.STORE.__dict__), dict(zoo.TABLE)
    things = dict(zoo.STORE.things)
    member = dict(zoo.Colour.RED.__dict__)
    zoo.CALLED.clear()
    with pytest.raises(StateError) as error:
        load(Graph(payload(*opcodes), CLASSES), exports)
    assert zoo.CALLED == []
    assert type(zoo.STORE) is zoo.Store
    assert type(zoo.TABLE) is zoo.Table
    assert zoo.STORE.__dict__ == store
    assert zoo.STORE.things == things
    assert dict(zoo.TABLE) == table
    assert zoo.Colour.RED.__dict__ == member
    assert gc.isenabled()
    return type(error.value)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("builtins", "dict"),
        ("collections", "defaultdict"),
        ("collections", "namedtuple"),
        ("perdure.persistence.wire", "_only_named"),
        ("perdure.persistence.wire", "Any"),
        ("perdure.persistence.wire", "perdure_new.__globals__"),
        ("perdure.persistence.reader", "Reader"),
        ("datetime", "datetime.now"),
        ("decimal", "getcontext"),
        ("moto.core.utils", "utcnow"),
        ("functools", "partial"),
        ("copyreg", "_reconstructor"),
    ],
)
def test_no_other_name_resolves(module: str, name: str) -> None:
    """A name outside the closed list is a HostileStateError, whatever it names."""
    assert hostile(b"}", glob(name, module), b"0") is HostileStateError


def test_a_change_of_what_lives_is_refused_and_undone() -> None:
    """A payload that sets attributes or items of a living object is refused; nothing stays."""
    assert hostile(b"}", STORE_POINTER, _value({"name": "x"}), b"b0") is HostileStateError
    assert hostile(b"}", STORE_POINTER, _value({"new": 1}), b"b0") is HostileStateError
    assert hostile(b"}", TABLE_POINTER, _value("a"), _value(2), b"s0") is HostileStateError
    assert hostile(b"}", TABLE_POINTER, _value("b"), _value(2), b"s0") is HostileStateError
    assert hostile(b"}", call("member", 1, "RED"), _value({"_x": 1}), b"b0") is HostileStateError


def test_a_change_of_what_lives_is_undone_when_the_load_fails_behind_it() -> None:
    """The same holds if the payload breaks after the change."""
    broken = glob("system", "os")
    assert hostile(b"}", STORE_POINTER, _value({"name": "x"}), b"b0", broken) is HostileStateError
    assert hostile(b"}", TABLE_POINTER, _value("a"), _value(2), b"s0", broken) is HostileStateError
    change = (call("member", 1, "RED"), _value({"_x": 1}), b"b0")
    assert hostile(b"}", *change, broken) is HostileStateError


@pytest.mark.parametrize(
    ("living", "opcodes"),
    [
        (zoo.OwnedDict(a=1), _value("a") + _value(2) + b"s"),
        (zoo.OwnedList([1]), _value(2) + b"a"),
        (zoo.OwnedLine([1]), _value(2) + b"a"),
        (zoo.OwnedList([1]), b"(" + _value(2) + b"e"),
        (zoo.OwnedOrdered(a=1, b=2), _value("a") + _value(2) + b"s"),
        (zoo.OwnedDefault(list, a=1), _value("a") + _value(2) + b"s"),
        (zoo.Owned(a=1), _value({"a": 2}) + b"b"),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, bytes) else "",
)
def test_a_change_of_a_living_shared_object_is_undone(living: Any, opcodes: bytes) -> None:
    """A shared object that lives is put back, whatever container it is."""
    exports = ZooExports()
    number = exports.share(living)
    before = (repr(living), dict(living.__dict__))

    kind = hostile(b"}", call("shared", number, 2), opcodes, b"0", exports=exports)

    assert kind is HostileStateError
    assert (repr(living), living.__dict__) == before


@pytest.mark.parametrize(
    "opcodes",
    [
        b"",
        b"N",
        b"]",
        _value({1: 2}),
        b"0",
        b"(",
        b"}" + b"R",
        b"}h\x05",
        b"}" + call("new", 99) + b"0",
        b"}" + call("new", "x") + b"0",
        b"}" + call("new") + b"0",
        b"}" + call("new", 1) + b"0",
        b"}" + call("filled", 0) + b"0",
        b"}" + call("filled", 0, 1) + b"0",
        b"}" + call("filled", 1, 1) + b"0",
        b"}" + call("member", 0, "RED") + b"0",
        b"}" + call("member", 1, "GREEN") + b"0",
        b"}" + call("member", 1, "__class__") + b"0",
        b"}" + call("special", "none") + b"0",
        b"}" + call("special", "lock", 1) + b"0",
        b"}" + call("factory", "eval") + b"0",
        b"}" + call("factory", []) + b"0",
        b"}" + call("pointer", "nobody") + b"0",
        b"}" + call("pointer") + b"0",
        b"}" + call("pointer", ["x"]) + b"0",
        b"}" + call("shared", 1) + b"0",
        b"}" + call("shared", [], 0) + b"0",
        b"}" + call("shared", 5, 77) + b"0",
        b"}" + glob("new") + b")\x81" + b"0",
        b"}" + glob("new") + _value({"_run": 1}) + b"b0",
        b"}" + glob("new") + _value((None, {"_run": 1})) + b"b0",
        b"}" + glob("datetime", "datetime") + _value({"now": 1}) + b"b0",
        b"}" + glob("datetime", "datetime") + _value((None, {"now": 1})) + b"b0",
        b"}\x82\x01" + b"0",
        b"}N" + b"Q0",
        b"}\x97" + b"0",
    ],
)
def test_what_no_writer_makes_is_a_named_error(opcodes: bytes) -> None:
    """Damaged or forged opcodes end in a StateError, whatever they run into."""
    hostile(opcodes)


def test_a_setstate_put_on_a_shell_calls_nothing_of_ours() -> None:
    """Opcodes look methods up on the stack's objects; only inert things can be found there."""
    zoo.CALLED.clear()
    witness = call("new", 4)
    for name in ("__setstate__", "append", "extend", "add", "__setitem__"):
        plant = witness + b"q\x07" + _value({name: 1}) + b"b0"
        for use in (b"]b", b"]a", b"(]e", b"(]\x90", b"]]s"):
            try:
                load(Graph(payload(b"}", plant, b"h\x07", use, b"0"), CLASSES))
            except StateError:
                pass
    gc.collect()

    assert [c for c in zoo.CALLED if c != "__del__"] == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (zoo.__name__, "Absent"),
        (zoo.__name__, "Slotted"),
        (zoo.__name__, "SlottedDict"),
        ("os", "environ"),
        ("a\0b", "C"),
        ("", ""),
    ],
)
def test_a_class_that_cannot_be_state_is_refused(module: str, name: str) -> None:
    """A class of the table that is gone or unfit is a LoadError that names it."""
    with pytest.raises(LoadError, match=name or "class"):
        load(Graph(payload(b"}"), ((module, name),)))


@pytest.mark.parametrize("index", [-1, len(CLASSES), True, 10**20, "0", None, 1.0, []])
@pytest.mark.parametrize("name", ["new", "filled", "shared", "member"])
def test_a_class_is_an_index_into_the_table(name: str, index: Any) -> None:
    """A class that no row of the table has, one counted from its end too, is a CorruptionError."""
    arguments = {"new": (index,), "shared": (7, index)}.get(name, (index, "x"))
    with pytest.raises(CorruptionError, match="an index into the table of 5 classes, found"):
        opcodes = b"}X\x01\0\0\0a" + call(name, *arguments) + b"s"
        load(Graph(payload(opcodes), CLASSES, Shares(imports=frozenset({ExportId(7)}))))


WORDS: dict[str, tuple[bytes, str]] = {
    "other keys": (b"}K\x01K\x02s", "names of attributes as keys, found a dict with other keys"),
    "no dict": (b"]", "names of attributes as keys, found a list"),
    "no special": (call("special", "os.system"), "nothing special is called 'os.system' .written"),
    "no content": (call("filled", len(CLASSES)), "the payload ran into IndexError"),
}


@pytest.mark.parametrize(("opcodes", "said"), WORDS.values(), ids=WORDS.keys())
def test_what_is_wrong_is_said(opcodes: bytes, said: str) -> None:
    """A message says what was expected or looked for, not only what Python said."""
    with pytest.raises(StateError, match=said):
        load(Graph(payload(opcodes), (*CLASSES, (zoo.__name__, "Name"))))


def test_the_collector_is_on_again_after_every_end() -> None:
    """Loading switches the collector off for as long as it takes, and never longer."""
    load(dump({}))
    assert gc.isenabled()
    with pytest.raises(CorruptionError):
        load(Graph(b"", ()))
    assert gc.isenabled()
    gc.disable()
    try:
        load(dump({}))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_every_inert_type_is_immutable() -> None:
    """Nothing can be set on a type that a payload may name."""
    from perdure.persistence.policy import INERT

    for kind in INERT.values():
        with pytest.raises(TypeError):
            kind.planted = 1  # type: ignore[attr-defined]
    assert collections.OrderedDict in INERT.values()
    assert ExportId(1) == 1


def test_bound_methods_are_bound_to_what_was_loaded() -> None:
    """A method kept as an attribute, in a dict or in a list belongs to the loaded object."""
    speaker = zoo.Speaker(word="hello")
    speaker.own = speaker.speak
    other = Plain(table={"a": speaker.speak}, row=[speaker.speak], speaker=speaker)
    found = again(other)

    assert found.speaker is not speaker
    for method in (found.speaker.own, found.table["a"], found.row[0]):
        assert method.__self__ is found.speaker
        assert method() == "hello"


def test_what_other_threads_have_half_made_is_left_alone() -> None:
    """A list without its items, as C code of another thread may leave it, ends nothing."""
    new_list = ctypes.pythonapi.PyList_New
    new_list.restype = ctypes.py_object
    new_list.argtypes = [ctypes.c_ssize_t]
    speaker = zoo.Speaker(word="hello")
    reader = Reader(ZooPolicy(), ZooExports())
    attributes = reader.load(state_of(dump({"value": Plain(row=[speaker.speak])})), path=PATH)
    half_made = new_list(3)
    reader.settle()
    half_made[:] = []
    assert attributes["value"].row[0]() == "hello"


def test_a_method_where_none_can_be_bound_is_named() -> None:
    """A method inside a tuple cannot be put back, and is not left out in silence."""
    speaker = zoo.Speaker(word="hello")
    with pytest.raises(LoadError, match="a method stands where none can be bound"):
        again(Plain(pair=(speaker.speak, 1)))


@pytest.mark.parametrize(
    ("owner", "name"), [("speaker", b"whisper"), ("speaker", b"__init__"), ("plain", b"speak")]
)
def test_a_stranger_binds_no_other_method(owner: str, name: bytes) -> None:
    """A payload that names a method off the list, or of another class, is refused."""
    speaker, plain = zoo.Speaker(word="hello"), Plain(word="x")
    holder = Plain(speaker=speaker, plain=plain, method=speaker.speak)
    graph = dump({"a": holder})
    payload = graph.payload.replace(b"\x8c\x05speak", b"\x8c" + bytes([len(name)]) + name)
    if owner == "plain":
        speaker.__class__ = Plain
        rows = tuple(
            row._replace(name="Plain") if row.name == "Speaker" else row for row in graph.classes
        )
        graph = dataclasses.replace(graph, classes=rows)
    with pytest.raises(HostileStateError):
        load(dataclasses.replace(graph, payload=payload))


def test_what_cannot_be_rebuilt_is_named() -> None:
    """An object whose class cannot hash it, since an attribute is not there, is a LoadError."""
    graph = dump({"by": {zoo.ById("x"): 1}})
    assert graph.payload.count(b"\x04name") == 1
    graph = Graph(graph.payload.replace(b"\x04name", b"\x04nome"), graph.classes)

    with pytest.raises(LoadError, match="cannot be rebuilt"):
        load(graph)
    assert gc.isenabled()
