"""The writer: what is plain, admitted or special is written; the rest is refused by path."""

from __future__ import annotations

import functools
import io
import operator
import pickletools
import threading
from collections import OrderedDict, defaultdict
from typing import Any

import pytest
from tests.unit.persistence import zoo
from tests.unit.persistence.zoo import KEY, OTHER, Plain, ZooExports, ZooPolicy

from perdure.errors import CaptureError
from perdure.persistence import wire
from perdure.persistence.keys import ExportId
from perdure.persistence.statefile import Graph
from perdure.persistence.writer import Writer


def dump(attributes: dict[str, Any], exports: ZooExports | None = None) -> Graph:
    return Writer(ZooPolicy(), exports or ZooExports(), KEY).dump(attributes)


def names_in(graph: Graph) -> set[str]:
    strings = []
    names = set()
    for opcode, argument, _ in pickletools.genops(graph.payload):
        if opcode.name == "GLOBAL":
            names.add(str(argument).replace(" ", "."))
        if "UNICODE" in opcode.name:
            strings.append(argument)
        if opcode.name == "STACK_GLOBAL":
            names.add("?")
    return names


def local_function() -> None:
    pass


REFUSED: dict[str, tuple[Any, str]] = {
    "a function": (local_function, "the function"),
    "a lambda": (lambda: None, "the function"),
    "a builtin": (len, "builtin"),
    "a bound method": (Plain().__init__, "the method"),
    "a class": (Plain, "the class"),
    "a builtin class": (dict, "the class"),
    "a module": (io, "not known as state"),
    "a partial": (functools.partial(print), "not known as state"),
    "an itemgetter": (operator.itemgetter(1), "not known as state"),
    "a generator": ((n for n in ()), "not known as state"),
    "an iterator": (iter([]), "not known as state"),
    "a thread": (threading.Thread(), "not known as state"),
    "a stranger": (io.BytesIO(), "not known as state"),
    "slots": (zoo.Slotted(), "layout differs|derives from"),
    "a bounded deque of an own class": (zoo.Line([1], 5), "maxlen"),
    "a tuple with attributes": (zoo.TaggedPair(), "layout differs"),
    "an own factory": (defaultdict(lambda: 1), "default factory"),
    "a foreign factory": (defaultdict(frozenset), "default factory"),
    "a bound factory": (defaultdict([].copy), "default factory"),
    "an own factory in a subclass": (zoo.Default(lambda: 1), "default factory"),
}


@pytest.mark.parametrize(("value", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_place_is_refused_with_its_path(value: Any, reason: str) -> None:
    """A CaptureError names store, path and reason; nothing is dropped."""
    with pytest.raises(CaptureError, match=reason) as error:
        dump({"a": [1, Plain(b={"c": value})]})

    assert error.value.store == str(KEY)
    assert error.value.path.endswith(("['a'][1].b['c']", "(unknown path)"))
    if error.value.path == "(unknown path)":
        assert callable(value)


def test_a_class_that_is_not_admitted_is_refused() -> None:
    """An object of a class the policy does not know is refused by the class's name."""
    writer = Writer(ZooPolicy(refused=(Plain,)), ZooExports(), KEY)

    with pytest.raises(CaptureError, match=r"Plain: its class is not known") as error:
        writer.dump({"a": Plain()})

    assert error.value.path == "['a']"


def test_graphs_too_deep_are_refused() -> None:
    """A graph deeper than the interpreter's stack is a CaptureError, not a crash."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(CaptureError):
        dump({"deep": deep})


def test_only_the_closed_list_is_named() -> None:
    """A payload names the wire's functions; classes stand in the table."""
    graph = dump({"a": Plain(b=zoo.Colour.RED), "c": OrderedDict(x=zoo.Versions())})

    assert b"Plain" not in graph.payload
    assert b"Colour" not in graph.payload
    assert [row[:2] for row in graph.classes] == [
        (zoo.__name__, name) for name in ("Plain", "Colour", "Versions")
    ]
    assert wire.__name__.encode() in graph.payload


def test_calling_a_wire_name_only_fails() -> None:
    """Read by a plain pickle, a payload builds nothing."""
    for name in wire.NAMES:
        with pytest.raises(AssertionError, match="is not called"):
            name(0)


def test_no_method_runs_while_writing() -> None:
    """Writing an object calls no method of its class."""
    witnesses = {cls.__name__: cls() for cls in zoo.WITNESSES}
    zoo.CALLED.clear()

    dump({"a": witnesses})

    assert zoo.CALLED == []


def test_equal_graphs_have_equal_bytes() -> None:
    """Capturing an unchanged graph again gives the same digest."""
    graph = {"a": Plain(b=[1, "x"]), "c": {"d": zoo.Point(1, (2, 3))}}

    assert dump(graph).digest == dump(graph).digest


def test_own_objects_are_by_value_until_they_are_shared() -> None:
    """A store's own object is plain; once shared, its file exports it under its id."""
    exports = ZooExports()
    mine = Plain(x=1)
    assert dump({"a": mine}, exports).shares.exports == frozenset()

    number = exports.share(mine)

    assert dump({"a": mine}, exports).shares.exports == {number}
    assert dump({"a": mine}, exports).shares.imports == frozenset()


def test_anothers_object_gets_an_id_and_is_written_at_its_home() -> None:
    """An object of another service's class is exported by its home and imported elsewhere."""
    exports = ZooExports()
    theirs = zoo.Owned(x="the content")
    undecided = dump({"a": theirs}, exports)
    exports.homes[ExportId(1)] = OTHER
    decided = dump({"a": theirs}, exports)
    exports.homes[ExportId(1)] = KEY
    adopted = dump({"a": theirs}, exports)

    assert undecided.shares.exports == adopted.shares.exports == {1}
    assert decided.shares.imports == {1}
    assert decided.shares.exports == frozenset()
    assert b"the content" in adopted.payload
    assert b"the content" not in decided.payload


def test_pointers_are_dependencies() -> None:
    """A store that is pointed to stands in the shares, and nothing of it in the payload."""
    graph = dump({"a": zoo.STORE, "b": zoo.TABLE})

    assert graph.shares.stores == {OTHER}
    assert b"kept" not in graph.payload


def test_a_writer_for_the_store_itself_does_not_depend_on_itself() -> None:
    """A pointer to the store being written is no dependency."""
    graph = Writer(ZooPolicy(), ZooExports(), OTHER).dump({"a": zoo.STORE})

    assert graph.shares.stores == frozenset()


def test_a_method_off_the_closed_list_is_refused_by_its_path() -> None:
    """A bound method nobody listed is named with the path to it."""
    speaker = zoo.Speaker(word="x")
    with pytest.raises(CaptureError, match=r"\['a'\]\.own.*Speaker\.whisper"):
        dump({"a": Plain(own=speaker.whisper)})


def test_a_deque_with_a_bound_cannot_be_a_subclass() -> None:
    """A subclass of deque with a maxlen would come back without it, so it is refused."""
    with pytest.raises(CaptureError, match="maxlen"):
        dump({"a": zoo.Line([1], maxlen=3)})
