"""Run the command line in a terminal of a given width."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

from tests.conftest import ROOT


def run_in_terminal(home: Path, width: int, *arguments: str, **environment: str) -> str:
    """Return what a command shows on a terminal; `\\r` at the ends of lines is left out."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    settings = {"RNNLM_HOME": str(home), "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=subprocess.PIPE,
        cwd=home,
        env=kept | settings | {"COLORTERM": "truecolor"} | environment,
    )
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 1 << 16):
            shown += part
    except OSError:  # how Linux reports that the other end is closed
        pass
    os.close(leader)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    return shown.decode().replace("\r\n", "\n")
