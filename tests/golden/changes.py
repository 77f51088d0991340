"""What the classes of one moto did until another: where rows of the migration table come from.

    python tests/golden/changes.py OLD_PYTHON

Prints classes that are gone (with the likeliest new one), attributes constructors
set no more or set anew, and attributes set from another expression, which may be of
another type.  ``OLD_PYTHON`` is an interpreter that has the old moto; the new one is
this interpreter's.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

Classes = dict[str, dict[str, str]]
NO_STATE = (".responses:", ".exceptions:", ".serialize:", ".parser.", ".urls:")


def classes(root: Path) -> Classes:
    """Every class below a package: what its constructor and its body set, as source."""
    found: Classes = {}
    for path in sorted(root.rglob("*.py")):
        module = ".".join(path.relative_to(root.parent).with_suffix("").parts)
        name = module.removesuffix(".__init__")
        for qualname, node in _classes_in(ast.parse(path.read_text()), ""):
            found[f"{name}:{qualname}"] = dict(_attributes(node))
    return {name: said for name, said in found.items() if not any(no in name for no in NO_STATE)}


def _classes_in(node: ast.AST, outer: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield outer + child.name, child
            yield from _classes_in(child, f"{outer}{child.name}.")


def _attributes(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id, ast.unparse(part.value) if part.value else ""
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            for each in ast.walk(part):
                if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is not None:
                    targets = each.targets if isinstance(each, ast.Assign) else [each.target]
                    for target in targets:
                        if ast.unparse(target).startswith("self.") and "[" not in ast.unparse(
                            target
                        ):
                            yield ast.unparse(target)[5:], ast.unparse(each.value)


def likeliest(name: str, old: Classes, new: Classes) -> str:
    """The class of the same service that has most of its attributes."""
    service = name.split(".")[1]

    def alike(other: str) -> float:
        one, two = old[name].keys(), new[other].keys()
        same_name = other.split(":")[1] in name.split(":")[1]
        return len(one & two) / (1 + len(one | two)) + same_name

    fresh = [other for other in new.keys() - old.keys() if other.split(".")[1] == service]
    return max(fresh, key=alike, default="?")


def report(old: Classes, new: Classes) -> Iterator[str]:
    """A line for each change."""
    for name in sorted(old.keys() - new.keys()):
        yield f"gone     {name} -> {likeliest(name, old, new)} ?"
    for name in sorted(old.keys() & new.keys()):
        one, two = old[name], new[name]
        for attribute in sorted(one.keys() | two.keys()):
            before, after = one.get(attribute), two.get(attribute)
            if before is None:
                yield f"added    {name}.{attribute} = {after}"
            elif after is None:
                yield f"dropped  {name}.{attribute} = {before}"
            elif before != after:
                yield f"changed  {name}.{attribute}: {before} -> {after}"


def installed(python: str) -> Classes:
    """The classes of an interpreter's moto."""
    said = "import moto; print(moto.__path__[0])"
    run = subprocess.run([python, "-c", said], capture_output=True, text=True, check=True)
    return classes(Path(run.stdout.strip()))


def main() -> None:
    """Print the report."""
    for line in report(installed(sys.argv[1]), installed(sys.executable)):
        print(line[:200])  # noqa: T201


if __name__ == "__main__":
    main()
