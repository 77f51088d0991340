"""Objects of moto as JSON, in the rows of entries that are made of several.

An object is its attributes in their order.  Of the class a row is about, those that are as
a constructor leaves them are left out; so a row says what is special about its entry.
What JSON has no word for stands under ``!``:

    {"!": "moment", "at": "2026-01-01T12:00:00.000001"}
    {"!": "bytes", "base64": "…"}
    {"!": "tuple", "of": […]}
    {"!": "lock"}
    {"!": "file", "text": "…"}, or with ``base64``
    {"!": "FakeAcl", "grants": […]}

A value that is anything else, or that something else may hold as well, makes its entry
``Unfit``: it stands in the graph.
"""

from __future__ import annotations

import importlib
import tempfile
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property, partial
from math import isfinite
from typing import Any

import orjson

from perdure.engine import special
from perdure.engine.collections.tracked import Unfit, is_encodable
from perdure.engine.sharing import SHARING
from perdure.errors import LoadError
from perdure.persistence.entries import Row

INTEGER_MAX = 1 << 53
FILE_BYTES_MAX = 1 << 20
WORD = "!"
_LOCK = type(threading.Lock())
_FILE = tempfile.SpooledTemporaryFile
# Bound here: a test that freezes the clock puts another class into every module.
_moment_at = datetime.fromisoformat
_SCALARS = frozenset({str, int, float, bool, type(None)})


class Forms:
    """How entries that are lists of objects of one class are written."""

    def __init__(
        self,
        main: str,
        attributes: Mapping[str, Any],
        *,
        parts: Mapping[str, str] = {},
        values: frozenset[str] = frozenset(),
    ) -> None:
        """Describe a class.

        Args:
            main: The class, as ``module:name``.
            attributes: What its constructor sets, in order, each with the form it mostly
                has; ... = each object has its own.
            parts: Other classes of which objects may be in it, by their names in rows.
            values: Those of ``parts`` whose objects nobody changes: they may be shared.
        """
        self._main, self._all, self._names = main, dict(attributes), list(attributes)
        self._parts, self._values = dict(parts), values
        # Of those that are made anew for each object.
        self._bytes = {n: orjson.dumps(f) for n, f in attributes.items() if type(f) in (dict, list)}

    @cached_property
    def _class(self) -> type:
        return _class_of(self._main)

    @cached_property
    def _classes(self) -> dict[str, type]:
        return {name: _class_of(path) for name, path in self._parts.items()}

    @cached_property
    def _words(self) -> dict[type, str]:
        return {cls: name for name, cls in self._classes.items()}

    # ------------------------------------------------------------------ to JSON

    def encode(self, entry: Any) -> bytes:
        """A list of objects as JSON; ``Unfit`` if that would not be all of it."""
        if type(entry) is not list:
            raise Unfit
        writing = _Writing(self)
        try:
            return orjson.dumps([writing.main(value) for value in entry])
        except (TypeError, RecursionError) as error:
            raise Unfit from error

    # ------------------------------------------------------------------ from JSON

    def decode(self, value: bytes) -> list[Any]:
        """The list that was written so.

        Raises:
            ValueError: None was; so do the other two.
            TypeError: See there.
            KeyError: See there.
        """
        found = orjson.loads(value)
        if type(found) is not list:
            raise TypeError(f"a {type(found).__name__} where a list is expected")
        return [self._main_living(form) for form in found]

    def load(self, row: Row, store: str) -> list[Any]:
        """What a row of a store has.

        Raises:
            LoadError: It has no such list.
        """
        assert row.value is not None
        try:
            return self.decode(row.value)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise LoadError(store, f"entry {row.key}: {error!r}") from error

    def _main_living(self, form: Any) -> Any:
        if type(form) is not dict:
            raise TypeError(f"a {type(form).__name__} where an object is expected")
        if WORD in form and form[WORD] in self._parts:
            return self.living(form)
        # All of it first: moto's objects are not made to be dropped half-made.
        attributes = self._attributes(form)
        made: Any = object.__new__(self._class)
        made.__dict__ = attributes
        return made

    def _attributes(self, form: dict[str, Any]) -> dict[str, Any]:
        if WORD in form:
            if form[WORD] != "all":
                raise ValueError(f"a {form[WORD]!r} where an object is expected")
            return {name: self.living(held) for name, held in form["of"].items()}
        # What is missing is as usual; both in moto's order, and what moto has not behind.
        attributes = {**self._all, **form}
        for name, held in form.items():
            if type(held) not in _SCALARS:
                is_moment = type(held) is dict and held.get(WORD) == "moment"
                attributes[name] = _moment_at(held["at"]) if is_moment else self.living(held)
        for name, make in self._missing:
            if name not in form:
                attributes[name] = make()
        return attributes

    @cached_property
    def _missing(self) -> list[tuple[str, Callable[[], Any]]]:
        """What makes each attribute whose usual form is no value yet, or none at all."""
        return [
            (name, self._maker(name, form))
            for name, form in self._all.items()
            if type(form) not in _SCALARS
        ]

    def _maker(self, name: str, form: Any) -> Callable[[], Any]:
        if form is ...:

            def refuse() -> Any:
                raise KeyError(name)

            return refuse
        if name in self._shared:
            return partial(self._shared.get, name)
        return partial(self.living, form) if form else type(form)

    @cached_property
    def _shared(self) -> dict[str, Any]:
        """Of usual attributes, those that all objects may share."""
        return {
            name: self.living(form)
            for name, form in self._all.items()
            if type(form) is dict and form.get(WORD) in self._values
        }

    def living(self, form: Any) -> Any:
        """What has this form."""
        kind = type(form)
        if kind is list:
            return [part if type(part) in _SCALARS else self.living(part) for part in form]
        if kind is not dict:
            return form
        if WORD not in form:
            return {name: self.living(held) for name, held in form.items()}
        word = form[WORD]
        if word == "moment":
            return _moment_at(form["at"])
        make = _LIVING.get(word)
        if make is not None:
            return make(self, form)
        attributes = {
            name: held if type(held) in _SCALARS else self.living(held)
            for name, held in form.items()
        }
        del attributes[WORD]
        made: Any = object.__new__(self._classes[word])
        made.__dict__ = attributes
        return made


class _Writing:
    """One entry that is written."""

    def __init__(self, forms: Forms) -> None:
        self.forms = forms
        # Of all that may change and was met: whatever is met twice is shared.
        self._met: set[int] = set()
        # Of values that may be shared: their forms.
        self._known: dict[int, Any] = {}

    def main(self, value: Any) -> Any:
        """The form of an object of the class rows are about."""
        forms = self.forms
        if type(value) is not forms._class:
            return self._part(value)
        self._meet(value)
        attributes = value.__dict__
        names = list(attributes)
        if names[: len(forms._names)] != forms._names or WORD in attributes:
            return {WORD: "all", "of": {n: self.form(held) for n, held in attributes.items()}}
        found = {}
        for name, held in attributes.items():
            usual = forms._all.get(name, ...)
            if usual is ...:
                found[name] = self.form(held)
            elif held is not usual:
                form = self.form(held)
                if not self._is_usual(name, form, usual):
                    found[name] = form
        return found

    def _is_usual(self, name: str, form: Any, usual: Any) -> bool:
        if type(form) is not type(usual):
            return False
        made = self.forms._bytes.get(name)
        return bool(form == usual) if made is None else orjson.dumps(form) == made

    def form(self, value: Any) -> Any:
        """What a value is in JSON."""
        # By type: a subclass would come back as what it derives from.
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return _text(value)
        if kind in _FORMS:
            return _FORMS[kind](self, value)
        return self._part(value)

    def _part(self, value: Any) -> Any:
        word = self.forms._words.get(type(value))
        if word is None:
            raise Unfit
        if word not in self.forms._values:
            self._meet(value)
            return self._tagged(word, value)
        if id(value) not in self._known:
            self._known[id(value)] = self._tagged(word, value)
        return self._known[id(value)]

    def _tagged(self, word: str, value: Any) -> Any:
        return {WORD: word, **{n: self.form(held) for n, held in value.__dict__.items()}}

    def _meet(self, value: Any) -> None:
        if id(value) in self._met or SHARING.id_of(value) is not None:
            raise Unfit
        self._met.add(id(value))

    def _list(self, value: list[Any]) -> Any:
        self._meet(value)
        return [self.form(part) for part in value]

    def _dict(self, value: dict[Any, Any]) -> Any:
        self._meet(value)
        if WORD in value or not all(type(name) is str for name in value):
            raise Unfit
        return {_text(name): self.form(held) for name, held in value.items()}

    def _tuple(self, value: tuple[Any, ...]) -> Any:
        return {WORD: "tuple", "of": [self.form(part) for part in value]}

    def _file(self, value: Any) -> Any:
        self._meet(value)
        content, bytes_max = special.EXACT[_FILE].take(value)
        if content is None or len(content) > FILE_BYTES_MAX:
            raise Unfit
        return {WORD: "file", **_content(content), "max": bytes_max}


def _text(value: str) -> str:
    if not is_encodable(value):
        raise Unfit
    return value


def _integer(_: Any, value: int) -> int:
    if not -INTEGER_MAX < value < INTEGER_MAX:
        raise Unfit
    return value


def _float(_: Any, value: float) -> float:
    if not isfinite(value):
        raise Unfit
    return value


def _moment(_: Any, value: datetime) -> Any:
    if value.tzinfo is not None or value.fold:
        raise Unfit
    return {WORD: "moment", "at": value.isoformat(timespec="microseconds")}


def _content(value: bytes) -> dict[str, str]:
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def _bytes_of(form: dict[str, Any]) -> bytes:
    if "text" in form:
        return str(form["text"]).encode()
    return b64decode(form["base64"], validate=True)


def _class_of(path: str) -> type:
    module, _, name = path.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found


_FORMS: dict[type, Callable[[Any, Any], Any]] = {
    int: _integer,
    float: _float,
    list: _Writing._list,
    dict: _Writing._dict,
    tuple: _Writing._tuple,
    datetime: _moment,
    bytes: lambda _, value: {WORD: "bytes", "base64": b64encode(value).decode()},
    _LOCK: lambda *_: {WORD: "lock"},
    _FILE: _Writing._file,
}
_LIVING: dict[str, Callable[[Forms, dict[str, Any]], Any]] = {
    "bytes": lambda _, form: b64decode(form["base64"], validate=True),
    "tuple": lambda forms, form: tuple(forms.living(part) for part in form["of"]),
    "lock": lambda *_: threading.Lock(),
    "file": lambda _, form: special.EXACT[_FILE].make(_bytes_of(form), form["max"]),
}
