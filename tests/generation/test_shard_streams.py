"""Test that shards are drawn as one stream of texts, and that each still has a file of its own."""

from pathlib import Path

import pytest

from rnnlm.engine.opening import Slots
from rnnlm.generation import shard_sampling
from rnnlm.generation.job import generate
from rnnlm.progress import Progress
from tests.generation.jobs import CONFIG, Stop, contents, run


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The first text and the number of texts of each stream that is sampled."""
    found = []
    sample = shard_sampling.run

    def noting(slots: Slots, first: int, count: int):
        found.append((first, count))
        return sample(slots, first, count)

    monkeypatch.setattr(shard_sampling, "run", noting)
    return found


def test_consecutive_shards_are_sampled_as_one_stream(
    model: Path, tmp_path: Path, ranges: list[tuple[int, int]]
):
    run(model, tmp_path / "out")
    first, *later = ranges
    assert first[0] == 0 and first[1] >= CONFIG.count > CONFIG.shard_size
    assert all(start >= first[1] for start, _ in later)


def test_only_the_shards_that_lack_texts_are_sampled_again(
    model: Path, tmp_path: Path, ranges: list[tuple[int, int]]
):
    whole = run(model, tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.unit == "shards written":
            raise Stop

    out = tmp_path / "out"
    with pytest.raises(Stop):
        generate(model, CONFIG, out, "text", on_progress=stop)
    drawn = sorted(path for path in out.rglob("000001.parquet"))
    assert len(drawn) == 1
    drawn[0].write_bytes(b"damaged")
    ranges.clear()
    assert run(model, out).digest == whole.digest
    assert ranges == [(10, 10)]
    assert contents(out) == contents(tmp_path / "whole")
