"""What goes to which stream, with and without a terminal."""

import io
import sys

from perdure.cli import output


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_spinner_is_for_terminals_only(monkeypatch, capsys):
    """Without a terminal nothing is shown, so logs of scripts stay clean."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # colours asked for, as in CI, are no terminal
    with output.spinner("busy") as show:
        show("busier")

    assert capsys.readouterr() == ("", "")


def test_spinner_shows_its_text_on_stderr(monkeypatch, capsys):
    """On a terminal the text is shown, word for word, and stdout stays free for the result."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    with output.spinner("busy") as show:
        show("busy [again]")

    assert "busy [again]" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_table_keeps_long_words_in_one_piece_without_a_terminal(capsys):
    """A path in a piped table can be found by grep."""
    path = "/a" * 60

    output.table(("path", "n"), [(path, None)])

    assert f"{path}  " in capsys.readouterr().out


def test_table_shows_nothing_as_a_dash(capsys):
    """An absent value is visible as absent."""
    output.table(("name", "value"), [("a", None), ("b", 0)])

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["a", "-"] in rows
    assert ["b", "0"] in rows
