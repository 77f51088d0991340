"""Runs a function right after a module was imported, whoever imports it.

moto imports its services on their first use.  What must be different in one of
them (``quirks``), or belongs to no store (``process``), is put in place when the
module appears, before anything can call it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

Hook = Callable[[ModuleType], None]


class _AfterImport(MetaPathFinder):
    """Finds the modules that have hooks, and no others."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[Hook]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the path finder's, with the hooks behind the loader."""
        if name not in self.hooks:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Hooked(spec.loader, self.hooks[name])
        return spec


class _Hooked(Loader):
    def __init__(self, loader: Loader, hooks: list[Hook]) -> None:
        self.loader, self.hooks = loader, hooks

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        for hook in self.hooks:
            hook(module)

    def __getattr__(self, name: str) -> object:
        # Package data and tracebacks ask the loader for more than two methods.
        return getattr(self.loader, name)


_FINDER = _AfterImport()


def after_import(name: str, hook: Hook) -> None:
    """Run ``hook`` with the module once it is imported; now, if it is already."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    if name in sys.modules:
        hook(sys.modules[name])
    _FINDER.hooks.setdefault(name, []).append(hook)
