"""Run commands in a terminal window of a given width."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from tests.conftest import ROOT

WIDTHS = (60, 80, 120, 200)


def in_window(width: int, *command: str, cwd: Path = ROOT, **environment: str) -> str:
    """Return what a Python command prints in a window of some columns, with escape codes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    unset = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd,
        env=kept | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # how Linux reports that the other side is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait() == 0, said.decode()
    return said.decode().replace("\r\n", "\n")


def plain(said: str) -> str:
    """Return printed text without escape codes."""
    return re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", said)
