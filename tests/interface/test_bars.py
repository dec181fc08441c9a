"""Test where progress is shown."""

import io
import sys

import pytest

from rnnlm.interface import bars
from rnnlm.progress import Progress


def test_a_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(bars, "LINE_EVERY_SECONDS", 0.0)
    with bars.bar("training") as tell:
        tell(Progress(1, 4, "seconds", "2.31 bits/character"))
    assert capsys.readouterr().err == "  training    25%  2.31 bits/character\n"


def test_a_terminal_gets_a_bar_that_is_removed(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(bars, "_DRAW_EVERY_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm-256color")
    with bars.bar("training") as tell:
        tell(Progress(1, 2, "seconds", "2.31 bits/character"))
    shown = terminal.getvalue()
    assert "training" in shown
    assert "50%" in shown
    assert shown.endswith("\x1b[2K")  # the line is erased
