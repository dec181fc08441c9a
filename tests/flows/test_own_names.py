"""Test the command line in a project with modules named like ours and like Python's own."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, lines
from tests.flows.serving import RNNLM


@pytest.mark.slow
def test_modules_of_a_project_do_not_replace_ours_or_pythons(tmp_path: Path):
    (tmp_path / "flows").mkdir()
    for name in ("flows/__init__.py", "random.py", "rnnlm.py"):
        (tmp_path / name).write_text("raise AssertionError('imported')")
    (tmp_path / "tiny.txt").write_text(lines(60))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    ended = subprocess.run(
        [RNNLM, "inspect", "tiny.txt", "--json"],
        cwd=tmp_path,
        env=kept | {"RNNLM_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert '"documents"' in ended.stdout
