"""The pages that `rnnlm ui` serves, by their real servers."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.service
def test_the_pages_answer_and_end_with_the_command(trained: Path):
    environment = {**os.environ, "RNNLM_HOME": str(trained), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "ui", "--json"],
        cwd=trained,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        addresses = json.loads(process.stdout.readline())
        assert [*addresses] == ["tiny runs", "tiny model", "flow runs"]
        for address in addresses.values():
            with urllib.request.urlopen(address.partition("#")[0], timeout=30) as response:
                assert response.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(trained / "mlruns") not in listed.stdout
