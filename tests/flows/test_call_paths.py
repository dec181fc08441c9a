"""Test how many files of this project a call passes through from a command to its innermost work.

The files are read off the call stack.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, write_tiny

TRACE = """
import json, sys
from pathlib import Path
ROOT = Path({root!r})

def show_stack():
    frame, files = sys._getframe(1), []
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(ROOT) and ".venv" not in file.parts:
            files.append(str(file.relative_to(ROOT)))
        frame = frame.f_back
    print("STACK " + json.dumps([*dict.fromkeys(reversed(files))]))

{patch}
from flows.cli import main
sys.argv[:] = {argv!r}
main()
"""
WEIGHTS_ARE_UPDATED = """
import importlib
optimizer = importlib.import_module("torch.optim.adam")
original = optimizer.adam
def adam(*given, **named):
    show_stack()
    return original(*given, **named)
optimizer.adam = adam
"""
A_TOKEN_IS_DRAWN = """
from rnnlm.kernels import slots
original = slots.library
def library():
    show_stack()
    return original()
slots.library = library
"""


def first_stack(home: Path, patch: str, *arguments: str) -> list[str]:
    """Run a command with patched code; return the files on the first call stack that it prints.

    Only files of this repository are returned, the outermost call's first.
    """
    script = TRACE.format(root=str(ROOT), patch=patch, argv=["rnnlm", *arguments])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=home,
        env={**kept, "RNNLM_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = re.search(r"^STACK (.+)$", finished.stdout, re.MULTILINE)
    assert found, finished.stderr
    files: list[str] = json.loads(found[1])
    return files


def documented(title: str) -> list[str]:
    """Return the files that docs/architecture.md lists after a title, in that order."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    line = next(line for line in text.splitlines() if line.startswith(title))
    return re.findall(r"`([\w/]+\.py)`", line)


@pytest.mark.slow
def test_the_files_between_a_command_and_its_work_are_few_and_documented(tmp_path: Path):
    write_tiny(tmp_path)
    to_weights = first_stack(tmp_path, WEIGHTS_ARE_UPDATED, "train", "tiny.toml")
    assert to_weights == documented("From `rnnlm train`")
    assert len(to_weights) <= 6
    to_token = first_stack(tmp_path, A_TOKEN_IS_DRAWN, "generate", "tiny", "--count", "5")
    assert to_token == documented("From `rnnlm generate`")
    assert len(to_token) <= 7
