"""The tool that says what a new moto changes sees each kind of change."""

from __future__ import annotations

from pathlib import Path

from tests.golden.changes import classes, report

OLD = """
class FakeStack:
    def __init__(self, name):
        self.name = name
        self.made: int = now()
        self.gone = 1
"""
NEW = """
class Stack:
    def __init__(self, name):
        self.name = name
class Kept:
    class Inner:
        text: str = "a"
"""


def package(root: Path, text: str, more: str) -> Path:
    (root / "moto" / "cfn").mkdir(parents=True)
    (root / "moto" / "cfn" / "models.py").write_text(text + more)
    (root / "moto" / "cfn" / "responses.py").write_text("class Response: ...")
    return root / "moto"


def test_each_kind_of_change_is_a_line(tmp_path: Path) -> None:
    """Gone with the likeliest new class, added, dropped and changed; answers do not count."""
    kept = "class Same:\n  def __init__(self):\n    self.a = {}\n    self.{} = 1\n"
    old = classes(package(tmp_path / "a", OLD, kept.format("1", "b")))
    new = classes(package(tmp_path / "b", NEW, kept.format("2", "c")))

    assert list(report(old, new)) == [
        "gone     moto.cfn.models:FakeStack -> moto.cfn.models:Stack ?",
        "changed  moto.cfn.models:Same.a: 1 -> 2",
        "dropped  moto.cfn.models:Same.b = 1",
        "added    moto.cfn.models:Same.c = 1",
    ]
    assert new["moto.cfn.models:Kept.Inner"] == {"text": "'a'"}
