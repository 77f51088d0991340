"""What a constructor of moto sets, found by reading it, not by running it.

An object of an older moto lacks the attributes a newer one's constructor sets, and
moto's code reads them without asking.  Most are set to a literal, an empty
container, None or a parameter whose default is one: those can be read off the
source.  What needs more (a clock, another object, a parameter without a default) is
not guessed.

Only what every way through a constructor sets counts: what is set behind an ``if``
may be missing from an object of the running moto as well.
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
    found: dict[str, Default | None] = {}
    me = tree.args.args[0].arg if tree.args.args else "self"
    known = _parameters(tree) | names
    for statement in tree.body:
        base = _super_call(statement)
        if base is not None:
            found.update(_constructor(rest, base, known))
            continue
        _follow_names(statement, known)
        for target, value in _sure(statement, me):
            found[_mangled(owner, target)] = _default(value, known)
    found.update((_mangled(owner, name), None) for name in _filled(tree, me) & found.keys())
    return found


def _follow_names(statement: ast.stmt, known: dict[str, Any]) -> None:
    """What a local name stands for from here on; nothing known if that is conditional."""
    simple = isinstance(statement, ast.Assign) and len(statement.targets) == 1
    target = statement.targets[0] if simple else None  # type: ignore[attr-defined]
    made = _default(statement.value, known) if isinstance(target, ast.Name) else None  # type: ignore[attr-defined]
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.pop(node.id, None)
    if isinstance(target, ast.Name) and made is not None:
        known[target.id] = ast.Constant(made())


def _filled(tree: ast.FunctionDef, me: str) -> set[str]:
    """Attributes the constructor goes on to fill: what they were set to is not all."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            held = node.func.value if node.func.attr in _FILLING else None
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            held = node.value
        else:
            held = node.target if isinstance(node, ast.AugAssign) else None
        if (
            isinstance(held, ast.Attribute)
            and isinstance(held.value, ast.Name)
            and held.value.id == me
        ):
            found.add(held.attr)
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


def _super_call(statement: ast.stmt) -> ast.Call | None:
    """``super().__init__(...)`` as a statement."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    of = call.func.value
    is_super = isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super"
    return call if is_super and call.func.attr == "__init__" else None


def _sure(statement: ast.stmt, me: str) -> Iterator[tuple[str, ast.expr | None]]:
    """What a statement is sure to set on the object; None where its value is not one."""
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from _targets(target, statement.value, me)
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        yield from _targets(statement.target, statement.value, me)
    elif isinstance(statement, ast.If):
        yield from _either([statement.body, statement.orelse], me)
    elif isinstance(statement, ast.Try):
        ways = [[*statement.body, *statement.orelse], *(h.body for h in statement.handlers)]
        yield from _either(ways, me)
        yield from _all(statement.finalbody, me).items()
    elif isinstance(statement, ast.With):
        yield from _all(statement.body, me).items()


def _targets(target: ast.expr, value: ast.expr, me: str) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(target, ast.Tuple):
        for each in target.elts:
            yield from ((name, None) for name, _ in _targets(each, value, me))
    elif (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == me
    ):
        yield target.attr, value


def _all(body: list[ast.stmt], me: str) -> dict[str, ast.expr | None]:
    return {name: value for statement in body for name, value in _sure(statement, me)}


def _either(ways: list[list[ast.stmt]], me: str) -> Iterator[tuple[str, ast.expr | None]]:
    """What every one of these ways sets; those that raise make no object."""
    ends = [_all(way, me) for way in ways if not any(isinstance(s, ast.Raise) for s in way)]
    first = ends[0] if ends else {}
    for name, value in first.items():
        if all(name in end for end in ends):
            yield name, value if all(_same(value, end[name]) for end in ends) else None


def _same(one: ast.expr | None, two: ast.expr | None) -> bool:
    return one is not None and two is not None and ast.dump(one) == ast.dump(two)


def _mangled(owner: type, name: str) -> str:
    if name.startswith("__") and not name.endswith("__"):
        return f"_{owner.__name__.lstrip('_')}{name}"
    return name


def _default(value: ast.expr | None, known: dict[str, Any]) -> Default | None:
    if value is None:
        return None
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
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        make = _EMPTY.get(node.func.id)
        if make is not None and not node.args and not node.keywords:
            return make()
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
        raise _UnknownError from error


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
