"""Documents that quote the program are held to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perdure.config import SETTINGS
from perdure.engine.policy import POLICY
from perdure.engine.sharing import SHARING
from perdure.errors import PerdureError, RequestError
from perdure.persistence import segment, statefile
from perdure.persistence.keys import Lsn, StoreKey
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


def dumped_segment() -> bytes:
    """The second dump: addresses count, and ``*`` stands for zeros."""
    block = FORMAT.split("```hexdump\n")[2].partition("```")[0]
    data = b""
    for line in block.splitlines():
        if line != "*":
            data = data.ljust(int(line[:4], 16), b"\0") + bytes.fromhex(line[6:53])
    return data


def test_the_worked_segment_is_a_segment(tmp_path: Path) -> None:
    """The second hex dump of docs/on-disk-format.md decodes to what its text says."""
    path = tmp_path / segment.name_of(Lsn(8))
    path.write_bytes(dumped_segment())
    with segment.SegmentReader(path, "0123456789abcdef" * 2) as reader:
        header = reader.header()
        assert isinstance(header, segment.SegmentHeader)
        records = list(reader.records(header, with_payload=True))

    assert (header.first, header.size, header.link) == (8, 4096, 0x1234ABCD)
    assert header.fingerprint == {"moto": "5.2.5", "perdure": "0.1.0"}
    assert [(r.lsn, r.kind, r.payload) for r in records] == [(8, 1, b"the first call"), (9, 1, b"")]
    assert reader.end is not None
    assert (reader.end.is_sealed, reader.end.next_lsn, reader.end.flaw) == (True, 10, None)


def test_the_worked_segment_is_what_is_written() -> None:
    """Encoding what the second dump holds gives the dump again, byte for byte."""
    instance = "0123456789abcdef" * 2
    fingerprint = {"perdure": "0.1.0", "moto": "5.2.5"}
    written = segment.encode_header(
        Lsn(8), instance=instance, link=0x1234ABCD, fingerprint=fingerprint
    )
    link, seed = segment.crc_of_header(written), segment.seed_of(instance, Lsn(8))
    for lsn, payload in ((8, b"the first call"), (9, b"")):
        data, link = segment.encode_record(1, [payload], lsn=lsn, durable=7, link=link, seed=seed)
        written += data

    assert written + segment.encode_seal(Lsn(10), link=link, seed=seed) == dumped_segment()


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
