"""Test the file with the history of a training."""

from pathlib import Path

from rnnlm.training.history import HISTORY_FILE, History


def test_cutting_keeps_the_bytes_of_the_rows_before(tmp_path: Path):
    history = History(tmp_path)
    for step in (1, 2, 3):
        history.append({"step": step, "tokens": 10 * step, "train/nats": 1 / step})
    before = (tmp_path / HISTORY_FILE).read_bytes()
    history.cut(3)
    assert (tmp_path / HISTORY_FILE).read_bytes() == before
    history.cut(2)
    assert (tmp_path / HISTORY_FILE).read_bytes() == b"".join(before.splitlines(keepends=True)[:2])
