"""The gate on a corpus whose splits cannot promise that held-out text stays held out."""

import re
from pathlib import Path

import pytest

from tests.conftest import lines, run_cli, write_tiny
from tests.stores import give_empty_stores

pytestmark = pytest.mark.slow

BY_POSITION = ("--set", "splits.by=position", "--set", "gate.forgotten_bits=10")


def train(home: Path, text: list[str]) -> dict[str, object]:
    (home / "tiny.txt").write_text("\n".join(text) + "\n")
    finished = run_cli(home, "train", "tiny.toml", *BY_POSITION, "--json")
    assert finished.status == 0, finished.err
    return dict(finished.json)


def test_what_the_champion_was_trained_on_is_left_out_and_that_is_said(tmp_path: Path):
    give_empty_stores(tmp_path)
    write_tiny(tmp_path)
    text = lines(200).splitlines()
    assert train(tmp_path, text)["alias"] == "champion"
    swapped = [*text[100:], *text[:90], *lines(240).splitlines()[200:210]]
    reason = str(train(tmp_path, swapped)["reason"])
    assert re.search(r"without 3\d of 4\d test documents that champion 1 has read", reason)
    new = lines(240).splitlines()[200:]
    everything = [*text[20:100], *new, *text[100:140]]
    assert "not comparable: champion 1 has read 40 of 40" in str(
        train(tmp_path, everything)["reason"]
    )
