"""moto's default factories: none may be missing from the closed list."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import moto
import pytest

from perdure.engine.policy import MOTO_FACTORIES, MOTO_FACTORY_CLASSES

PLAIN = frozenset({"list", "dict", "set", "int", "float", "str", "OrderedDict"})
# Not in a store: where, and why.
ELSEWHERE = {
    "moto.awslambda.models:_VolumeRefCount": "class attribute: Docker volumes in use",
}


def factories() -> Iterator[str]:
    """``module:name`` of every factory that moto's own code gives to a defaultdict."""
    root = Path(moto.__path__[0])
    for path in root.rglob("*.py"):
        if "parser" not in path.parts:
            yield from factories_of(path, root)


def factories_of(path: Path, root: Path) -> Iterator[str]:
    """Those of one file; a lambda or a method by its place in the class."""
    module = ".".join(["moto", *path.relative_to(root).with_suffix("").parts])
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        if name == "defaultdict":
            factory = node.args[0]
            if isinstance(factory, ast.Name) and factory.id not in PLAIN:
                yield f"{module}:{factory.id}"
            elif isinstance(factory, (ast.Lambda, ast.Attribute)):
                yield module


def test_every_default_factory_of_moto_is_known() -> None:
    """A factory that moto adds turns up here, before it keeps a store from being saved."""
    known = {*MOTO_FACTORIES, *MOTO_FACTORY_CLASSES}
    by_class = {name for name in factories() if ":" in name}
    by_place = {name for name in factories() if ":" not in name}
    imported = {name.rpartition(":")[2] for name in known}

    unknown = by_class - known - ELSEWHERE.keys()
    assert {name for name in unknown if name.partition(":")[2] not in imported} == set()
    assert by_place <= {name.partition(":")[0] for name in known}


@pytest.mark.parametrize("name", sorted(MOTO_FACTORY_CLASSES))
def test_every_listed_factory_exists(name: str) -> None:
    """A row whose factory moto has renamed or dropped is found."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    assert callable(found)
