from pathlib import Path

import pytest

from tests.conftest import run_cli
from tests.flows.console.windows import in_window, plain

STEPS = """
import time
from flows.console.printing import ConsoleReporter
from flows.runtime.reporting import Outcome
from rnnlm.progress import Progress

reporter = ConsoleReporter()
for step, summary, seconds in (
    ("ingest", "949 documents, 19,751 characters", 0.1),
    ("train", "from colors-demo/1, 1,500 steps, validation 1.988 bits/character, and more", 65.0),
):
    reporter.started(step)
    for done in (1, 30, 70):
        reporter.progressed(step, Progress(done, 100, "tokens", "validation 2.345 bits"))
        time.sleep(0.15)
    reporter.finished(step, Outcome(seconds, False, summary))
"""


@pytest.mark.parametrize("width", [60, 80])
def test_lines_of_steps_fit_the_window(width: int):
    said = plain(in_window(width, "-c", STEPS))
    lines = [line for line in said.replace("\r", "\n").splitlines() if "%" not in line]
    assert [line for line in lines if "documents" in line][-1].rstrip().endswith("0.1 s")
    assert max(map(len, lines)) <= width
    assert "and more" in " ".join(said.split())


def test_the_bar_keeps_its_length_and_says_what_is_left():
    said = plain(in_window(80, "-c", STEPS))
    bars = [line for line in said.replace("\r", "\n").splitlines() if "%" in line]
    assert bars and all(line.count("━") + line.count("╺") + line.count("╸") >= 20 for line in bars)
    assert all(" left" in line and len(line.rstrip()) <= 80 for line in bars)


def test_escape_codes_reach_a_pipe_only_if_they_are_wanted(tmp_path: Path):
    assert "\x1b" not in run_cli(tmp_path, "settings", "splits").out
    forced = run_cli(tmp_path, "settings", "splits", FORCE_COLOR="1", TERM="xterm")
    assert "\x1b" in forced.out
