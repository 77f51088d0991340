"""docs/configuration.md is made from the code and kept fresh."""

from pathlib import Path

from perdure.cli import confdoc
from perdure.cli.options import FLAGS
from perdure.config import SETTINGS
from perdure.errors import CorruptionError, PerdureError, RequestError

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_page_in_the_repository_is_fresh():
    """The page is what the code says now; else run `python -m perdure.cli.confdoc`."""
    assert PAGE.read_text() == confdoc.page()


def test_page_names_every_setting_flag_and_error():
    """Nothing a user can set or meet is left out."""
    page = confdoc.page()

    for setting in SETTINGS:
        assert f"| `{setting.name}` |" in page
        assert setting.meaning in page
    for flag in FLAGS.values():
        assert f"| `{flag}` |" in page
    assert f"| `{CorruptionError.__name__}` | 30 |" in page


def test_exit_codes_are_told_apart():
    """No two errors that end a command share an exit code, and none means success."""
    codes = [
        kind.exit_code for kind in confdoc.error_classes() if kind.__name__ != "StartError"
    ]  # StartError passes on the code of another process

    assert PerdureError in confdoc.error_classes()
    assert RequestError not in confdoc.error_classes()
    assert len(set(codes)) == len(codes)
    assert all(0 < code < 126 for code in codes)


def test_main_writes_the_page(tmp_path):
    """The command writes the whole page, folder included."""
    target = tmp_path / "new" / "page.md"

    confdoc.main([str(target)])

    assert target.read_text() == confdoc.page()


def test_cells_cannot_break_the_table():
    """A bar inside a cell is escaped."""
    assert confdoc._table(("a",), [("x|y",)]).splitlines()[-1] == r"| x\|y |"
