"""What a constructor of moto sets, found by reading it, not by running it.

An object of an older moto lacks the attributes a newer one's constructor sets, and
moto's code reads them without asking.  Most are set to a literal, an empty
container, None, a parameter whose default is one or a field of the request that was
not given: those can be read off the source.  What needs more (a clock, another
object, a parameter without a default) is not guessed.

Only what every way through a constructor sets counts: what is set behind an ``if``
may be missing from an object of the running moto as well.  Where the ways differ, the
one that counts is that of a caller who gave none of the optional parameters; if that
cannot be told, there is no default.
"""

from __future__ import annotations

import ast
import collections
import copy
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

Default = Callable[[], Any]
_EMPTY: dict[str, Callable[[], Any]] = {
    "list": list,
    "dict": dict,
    "set": set,
    "OrderedDict": collections.OrderedDict,
}
_FACTORIES: tuple[Any, ...] = (list, dict, set, collections.OrderedDict)
# A chain of names and choices longer than this is not followed.
DEPTH_MAX = 10
_FILLING = frozenset({"append", "add", "extend", "insert", "update", "setdefault"})


class _UnknownError(Exception):
    """An expression whose value cannot be read off the source."""


@cache
def defaults_of(cls: type) -> dict[str, Default | None]:
    """Every attribute a constructor of the class is sure to set.

    Returns:
        By name: what makes its default, a fresh one for each object; None where that
        cannot be read off.
    """
    found: dict[str, Default | None] = {}
    if dataclasses.is_dataclass(cls):
        found.update(_fields(cls))
        start = cls.__dict__.get("__post_init__")
        if start is not None:
            found.update(_set_by(cls, start, {}))
    else:
        found.update(_constructor(cls.__mro__, None, {}))
    return {name: make for name, make in found.items() if not _is_computed(cls, name)}


def _is_computed(cls: type, name: str) -> bool:
    """Whether setting the attribute runs a property, so that none of that name is kept."""
    return hasattr(inspect.getattr_static(cls, name, None), "__set__")


def _fields(cls: type) -> Iterator[tuple[str, Default | None]]:
    for field in dataclasses.fields(cls):
        make: Default | None = None
        if field.default is not dataclasses.MISSING and _is_plain(field.default):
            make = _constant(field.default)
        elif field.default_factory in _FACTORIES:
            make = field.default_factory  # type: ignore[assignment]
        yield field.name, make


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | bytes | int | float | tuple)


def _constant(value: Any) -> Default:
    return lambda: copy.deepcopy(value)


def _constructor(
    order: tuple[type, ...], call: ast.Call | None, given: dict[str, Any]
) -> dict[str, Default | None]:
    """What the first ``__init__`` in ``order`` sets, and those it calls by ``super()``.

    Args:
        order: The rest of a class' method resolution order.
        call: How a subclass's constructor calls this one; None if none does.
        given: What that constructor's names stand for.
    """
    for at, owner in enumerate(order):
        function = owner.__dict__.get("__init__")
        if function is None or owner is object:
            continue
        return _set_by(owner, function, _bound(function, call, given), order[at + 1 :])
    return {}


def _set_by(
    owner: type, function: Any, names: dict[str, Any], rest: tuple[type, ...] = ()
) -> dict[str, Default | None]:
    tree = _tree(function)
    if tree is None:
        return {}
    me = tree.args.args[0].arg if tree.args.args else "self"
    reading = _Reading(owner, me, rest, _parameters(tree) | names)
    reading.follow(tree.body)
    found = reading.found
    found.update((name, None) for name in reading.mangled(_filled(tree, me)) & found.keys())
    return found


class _Reading:
    """Follows one constructor, statement by statement."""

    def __init__(self, owner: type, me: str, rest: tuple[type, ...], known: dict[str, Any]) -> None:
        self.owner, self.me, self.rest, self.known = owner, me, rest, known
        self.found: dict[str, Default | None] = {}

    def mangled(self, names: set[str]) -> set[str]:
        """The names as an object's ``__dict__`` has them."""
        return {_mangled(self.owner, name) for name in names}

    def follow(self, body: list[ast.stmt]) -> None:
        """Note what a block sets, in order."""
        for statement in body:
            base, order = _base_call(statement, self.rest)
            if base is not None:
                self.found.update(_constructor(order, base, self.known))
            elif isinstance(statement, ast.Assign | ast.AnnAssign):
                self.assign(statement)
            elif isinstance(statement, ast.If):
                self.choose(statement)
            elif isinstance(statement, ast.With):
                self.follow(statement.body)
            elif isinstance(statement, ast.Try):
                ways = [[*statement.body, *statement.orelse]]
                self.any_of([*ways, *(handler.body for handler in statement.handlers)])
                self.follow(statement.finalbody)
            elif isinstance(statement, ast.For | ast.While):
                self.any_of([statement.body, []])

    def assign(self, statement: ast.Assign | ast.AnnAssign) -> None:
        """An attribute that is set, or a local name that stands for something from here on."""
        if statement.value is None:
            return
        value = _default(statement.value, self.known)
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            whole = not isinstance(target, ast.Tuple | ast.List)
            for part in [target] if whole else target.elts:  # type: ignore[attr-defined]
                self.note(part, value if whole else None)

    def note(self, target: ast.expr, value: Default | None) -> None:
        """One target of an assignment."""
        if isinstance(target, ast.Name):
            self.known.pop(target.id, None)
            if value is not None:
                self.known[target.id] = ast.Constant(value())
        elif (name := _attribute(target, self.me)) is not None:
            self.found[_mangled(self.owner, name)] = value

    def choose(self, statement: ast.If) -> None:
        """The branch that nothing given would take; both, if that cannot be told."""
        try:
            taken = _value(statement.test, self.known)
        except _UnknownError:
            self.any_of([statement.body, statement.orelse])
        else:
            self.follow(statement.body if taken else statement.orelse)

    def any_of(self, ways: list[list[ast.stmt]]) -> None:
        """One of several blocks runs: sure is what all set, and known what all set alike."""
        ends = []
        for way in ways:
            if any(isinstance(statement, ast.Raise) for statement in way):
                continue  # makes no object
            branch = _Reading(self.owner, self.me, self.rest, dict(self.known))
            branch.follow(way)
            ends.append(branch)
        changed = {name for end in ends for name in end.found}
        for name in changed:
            if name in self.found or all(name in end.found for end in ends):
                makes = [end.found.get(name, self.found.get(name)) for end in ends]
                self.found[name] = makes[0] if _alike(makes) else None
        lost = {
            name
            for end in ends
            for name in self.known
            if end.known.get(name) is not self.known[name]
        }
        for name in lost:
            del self.known[name]


def _alike(makes: list[Default | None]) -> bool:
    if any(make is None for make in makes):
        return False
    values = [make() for make in makes if make is not None]
    return all(type(value) is type(values[0]) and value == values[0] for value in values)


def _attribute(target: ast.expr, me: str) -> str | None:
    """The name, if this is an attribute of the object itself."""
    is_own = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)
    return target.attr if is_own and target.value.id == me else None  # type: ignore[attr-defined]


def _filled(tree: ast.FunctionDef, me: str) -> set[str]:
    """Attributes the constructor goes on to fill: what they were set to is not all."""
    found = set()
    for node in ast.walk(tree):
        held: ast.expr | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            held = node.func.value if node.func.attr in _FILLING else None
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            held = node.value
        elif isinstance(node, ast.AugAssign):
            held = node.target
        name = None if held is None else _attribute(held, me)
        if name is not None:
            found.add(name)
    return found


@cache
def _tree(function: Any) -> ast.FunctionDef | None:
    """The source of a function, taken apart; None where there is none."""
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
        tree = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    return tree if isinstance(tree, ast.FunctionDef) else None


def _parameters(tree: ast.FunctionDef) -> dict[str, Any]:
    """The parameters that have a default, with the expression of it."""
    positional = [*tree.args.posonlyargs, *tree.args.args]
    first = len(positional) - len(tree.args.defaults)
    found = {a.arg: d for a, d in zip(positional[first:], tree.args.defaults, strict=True)}
    keyword = zip(tree.args.kwonlyargs, tree.args.kw_defaults, strict=True)
    return found | {a.arg: d for a, d in keyword if d is not None}


def _bound(function: Any, call: ast.Call | None, given: dict[str, Any]) -> dict[str, Any]:
    """What a base's parameters stand for when a subclass calls it so."""
    tree = _tree(function)
    if call is None or tree is None:
        return {}
    positional = [a.arg for a in (*tree.args.posonlyargs, *tree.args.args)][1:]
    found = dict(zip(positional, call.args, strict=False))
    found |= {k.arg: k.value for k in call.keywords if k.arg is not None}
    return {name: _substituted(value, given) for name, value in found.items()}


def _substituted(value: ast.expr, given: dict[str, Any]) -> Any:
    """An argument by its value; as nothing that can be read off, if it has none."""
    try:
        return ast.Constant(_value(value, given))
    except _UnknownError:
        return ast.Await(value)


def _base_call(
    statement: ast.stmt, rest: tuple[type, ...]
) -> tuple[ast.Call | None, tuple[type, ...]]:
    """``super().__init__(...)`` or ``Base.__init__(self, ...)``, and whose constructor that is."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None, ()
    of = call.func.value
    if call.func.attr != "__init__":
        return None, ()
    if isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super":
        return call, rest
    if isinstance(of, ast.Name) and of.id in (names := [base.__name__ for base in rest]):
        return ast.Call(call.func, call.args[1:], call.keywords), rest[names.index(of.id) :]
    return None, ()


def _mangled(owner: type, name: str) -> str:
    if name.startswith("__") and not name.endswith("__"):
        return f"_{owner.__name__.lstrip('_')}{name}"
    return name


def _default(value: ast.expr, known: dict[str, Any]) -> Default | None:
    try:
        return _constant(_value(value, known))
    except _UnknownError:
        return None


def _value(node: Any, known: dict[str, Any], depth: int = 0) -> Any:
    """The value of a literal, an empty container, a name with a default, or a choice of them."""
    if depth > DEPTH_MAX:
        raise _UnknownError
    if isinstance(node, ast.Name) and node.id in known:
        rest = {name: value for name, value in known.items() if name != node.id}
        return _value(known[node.id], rest, depth + 1)
    if isinstance(node, ast.BoolOp | ast.IfExp | ast.Compare):
        return _chosen(node, lambda part: _value(part, known, depth + 1))
    if isinstance(node, ast.Call):
        make = _EMPTY.get(ast.unparse(node.func).removeprefix("collections."))
        if make is not None and not node.args and not node.keywords:
            return make()
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _not_given(node, node.func, lambda part: _value(part, known, depth + 1))
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
        raise _UnknownError from error


def _not_given(call: ast.Call, method: ast.Attribute, value: Callable[[Any], Any]) -> Any:
    """``spec.get("Name")``: what it is for who did not know the name."""
    is_get = method.attr == "get" and isinstance(method.value, ast.Name) and not call.keywords
    if not is_get or len(call.args) not in (1, 2) or not isinstance(call.args[0], ast.Constant):
        raise _UnknownError
    return value(call.args[1]) if len(call.args) > 1 else None


def _chosen(node: ast.BoolOp | ast.IfExp | ast.Compare, value: Callable[[Any], Any]) -> Any:
    """``a or b``, ``a if b else c``, ``a is None``."""
    if isinstance(node, ast.IfExp):
        return value(node.body if value(node.test) else node.orelse)
    if isinstance(node, ast.BoolOp):
        stops = isinstance(node.op, ast.Or)
        last: Any = None
        for part in node.values:
            last = value(part)
            if bool(last) is stops:
                break
        return last
    if len(node.ops) == 1 and isinstance(node.ops[0], ast.Is | ast.IsNot):
        same = value(node.left) is value(node.comparators[0])
        return same is isinstance(node.ops[0], ast.Is)
    raise _UnknownError
