"""Test that every step processes a gigabyte of text in bounded memory."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MOST = 1500
"""Largest memory of a process, in megabytes."""
STEPS = ("inspect", "ingest", "tokenize", "count", "report", "feed")


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["character", "word"])
def test_a_gigabyte_takes_bounded_memory(kind: str, tmp_path: Path):
    if shutil.disk_usage(tmp_path).free < 10e9:
        pytest.skip("less than 10 GB of free space")
    command = [sys.executable, str(ROOT / "benchmarks" / "memory.py"), "--size", "1GB"]
    printed = subprocess.run(
        [*command, "--folder", str(tmp_path), "--tokens", kind],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True, timeout=1800,
    ).stdout  # fmt: skip
    rows = {line.split()[0]: line.split() for line in printed.splitlines()[2:]}
    peaks = {step: int(rows[step][-2].replace(",", "")) for step in STEPS}
    assert max(peaks.values()) < MOST, printed
