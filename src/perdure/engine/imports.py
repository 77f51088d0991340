"""Runs a function right after a module was imported, whoever imports it.

moto imports its services on their first use.  What must be different in one of
them (``quirks``), or belongs to no store (``process``), is put in place when the
module appears, before anything can call it.

A module of moto runs pinned by its name: some keep what they drew, or the time, for as
long as the process lives.  Other modules that are imported in a call run as if it were
not pinned, and what they start is not the call's: which of them were there already is
the history of the process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from perdure.engine.pins import is_pinned, pinned_by_name, unpinned

MOTO = "moto."
Hook = Callable[[ModuleType], None]


class _AfterImport(MetaPathFinder):
    """Finds the modules that have hooks, moto's, and those imported in a call."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[Hook]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the path finder's, with the hooks behind the loader."""
        if not (name in self.hooks or name.startswith(MOTO) or is_pinned()):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Hooked(spec.loader, self.hooks.get(name, ()))
        return spec


class _Hooked(Loader):
    def __init__(self, loader: Loader, hooks: Sequence[Hook]) -> None:
        self.loader, self.hooks = loader, hooks

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Nobody needs to know: some libraries ask what kind of loader a module has.
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        with _surroundings(module.__name__):
            self.loader.exec_module(module)
            for hook in self.hooks:
                hook(module)

    def __getattr__(self, name: str) -> object:
        # Package data and tracebacks ask the loader for more than two methods.
        return getattr(self.loader, name)


@contextmanager
def _surroundings(name: str) -> Iterator[None]:
    # Imported late: both rest on this module.
    from perdure.engine.doors import DOORS
    from perdure.engine.lock import ENGINE_LOCK

    if name.startswith(MOTO) and ENGINE_LOCK._is_owned():
        # Without the lock another thread may be in a call, whose clock would jump.
        with DOORS.aside(), pinned_by_name("module", name):
            yield
    else:
        with DOORS.aside() if is_pinned() else nullcontext(), unpinned():
            yield


_FINDER = _AfterImport()


def watch() -> None:
    """Stand before the path finder, once."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def after_import(name: str, hook: Hook) -> None:
    """Run ``hook`` with the module once it is imported; now, if it is already."""
    watch()
    if name in sys.modules:
        hook(sys.modules[name])
    _FINDER.hooks.setdefault(name, []).append(hook)
