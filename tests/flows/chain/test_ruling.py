"""Test how the gate compares two versions if one was trained on the other's test documents."""

from pathlib import Path

import pytest

from tests.conftest import fork_cli, write_tiny

pytestmark = pytest.mark.slow

BY_POSITION = ("--set", "splits.by=position", "--set", "gate.forgotten_bits=10")


def train(home: Path, text: list[str]) -> dict[str, object]:
    (home / "tiny.txt").write_text("\n".join(text) + "\n")
    finished = fork_cli(home, "train", "tiny.toml", *BY_POSITION, "--json")
    assert finished.status == 0, finished.err
    return dict(finished.json)


def test_documents_that_the_champion_was_trained_on_are_left_out_and_counted(tmp_path: Path):
    write_tiny(tmp_path)
    text = [f"number {n:03d} of {n * 7919 % 1000:03d}" for n in range(400)]
    assert train(tmp_path, text[:200])["alias"] == "champion"  # trained on lines 0 to 119
    swapped = [*text[100:200], *text[:90], *text[200:210]]
    reason = str(train(tmp_path, swapped)["reason"])
    assert "excluding 30 of 40 test documents that champion 1 was trained on" in reason
    everything = [*text[200:360], *text[100:140]]
    reason = str(train(tmp_path, everything)["reason"])
    assert "not comparable: champion 2 was trained on 40 of 40 test documents" in reason
