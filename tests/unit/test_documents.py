"""Documents that quote the program are held to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perdure.config import SETTINGS
from perdure.engine.policy import POLICY
from perdure.engine.sharing import SHARING
from perdure.errors import PerdureError, RequestError
from perdure.persistence import statefile
from perdure.persistence.keys import StoreKey
from perdure.persistence.reader import Reader

ROOT = Path(__file__).parents[2]
FORMAT = (ROOT / "docs/on-disk-format.md").read_text()


def dumped() -> bytes:
    block = FORMAT.partition("```hexdump\n")[2].partition("```")[0]
    return bytes.fromhex("".join(line[6:53] for line in block.splitlines()))


def test_the_worked_example_is_a_state_file() -> None:
    """The hex dump of docs/on-disk-format.md decodes to what its text says."""
    state = statefile.decode(dumped(), path=Path("example"))

    assert state.key == StoreKey("sqs", "000000000000", "us-east-1")
    assert state.cut == 7
    reader = Reader(POLICY, SHARING)
    attributes = reader.load(state, path=Path("example"))
    reader.settle()
    assert attributes == {"queues": {}}


def test_the_worked_example_is_what_is_written() -> None:
    """Encoding what the dump holds gives the dump again, byte for byte."""
    assert statefile.encode(statefile.decode(dumped(), path=Path("example"))) == dumped()


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
def test_every_setting_is_documented(name: str) -> None:
    """docs/configuration.md mentions every setting."""
    assert f"`{name}`" in (ROOT / "docs/configuration.md").read_text()


def leaves(kind: type[PerdureError]) -> list[type[PerdureError]]:
    below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
    return below or ([kind] if hasattr(kind, "exit_code") and kind is not RequestError else [])


@pytest.mark.parametrize("kind", leaves(PerdureError), ids=lambda kind: kind.__name__)
def test_every_error_is_documented(kind: type[PerdureError]) -> None:
    """docs/configuration.md mentions every error a user can meet."""
    assert kind.__name__ in (ROOT / "docs/configuration.md").read_text()


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link in a document names a file that is there."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
