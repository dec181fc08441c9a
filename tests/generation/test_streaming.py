"""Test that texts drawn without files equal those of a data set, and arrive in order and early."""

import math
from pathlib import Path

import pytest

from rnnlm.config import override
from rnnlm.engine.loading import UnpackedModel, load_sampler
from rnnlm.errors import ConstraintError, GenerationError, TokenizerError
from rnnlm.generation.streaming import stream
from rnnlm.kernels.native import native_available
from tests.generation.jobs import CONFIG, run, table


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prefix": "ab", "seed": 5},
        {"grammar": "[abc]+ [123]+", "count": 30},
        {"unique": True, "max_length": 3, "count": 120},
        {"required": ("a",), "banned": ("b1",)},
        {"stop": ("a",)},
        {"best_of": 3, "top_p": 0.9},
        {"precision": "fp32", "temperature": 0.5},
    ],
    ids=str,
)
def test_streamed_texts_are_those_of_a_data_set(model: Path, tmp_path: Path, changes: dict):
    run(model, tmp_path / "out", **changes)
    config = override(CONFIG, changes)
    sampler = load_sampler(model, tmp_path / "packed", precision=config.precision)
    rows = table(tmp_path / "out")
    streamed = [*stream(sampler, config)]
    assert [text.text for text in streamed] == [row["text"] for row in rows]
    assert [text.log_prob_nats for text in streamed] == [row["log_prob_nats"] for row in rows]


def test_texts_are_yielded_while_others_are_drawn(model: Path, tmp_path: Path):
    endless = stream(load_sampler(model, tmp_path), override(CONFIG, {"count": 10**12}))
    assert [next(endless).number for _ in range(300)] == [*range(300)]


@pytest.mark.parametrize("prefix", ["", "ab1"])
def test_the_bits_of_characters_add_up_and_skip_what_was_given(
    model: Path, tmp_path: Path, prefix: str
):
    config = override(CONFIG, {"prefix": prefix, "max_length": 200})
    for text in stream(load_sampler(model, tmp_path), config, costs=True):
        assert len(text.bits) == len(text.text)
        assert [*map(math.isnan, text.bits)] == [n < len(prefix) for n in range(len(text.text))]
        total = -text.log_prob_nats / math.log(2)
        assert sum(text.bits[len(prefix) :]) <= total * 1.00001
        if not text.complete:  # otherwise the end of the text also costs bits
            assert sum(text.bits[len(prefix) :]) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"prefix": "é"}, TokenizerError, "never saw"),
        ({"grammar": "[xyz]"}, ConstraintError, "cannot produce"),
        ({"given": {"brand": "b"}}, GenerationError, "not trained with the attribute 'brand'"),
        ({"novel_only": True}, GenerationError, "compare with the training text"),
        ({"unique": True, "max_length": 1}, GenerationError, "could be kept"),
    ],
)
def test_impossible_requests_are_refused(
    model: Path, tmp_path: Path, changes: dict, error: type[Exception], message: str
):
    config = override(CONFIG, {"count": 2000, "best_of": 1, **changes})
    with pytest.raises(error, match=message):
        [*stream(load_sampler(model, tmp_path), config)]


@pytest.mark.skipif(not native_available(), reason="no compiler made native code")
def test_without_native_code_the_same_texts_are_drawn(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    native = [*stream(load_sampler(model, tmp_path), CONFIG, costs=True)]
    for module in ("loading", "running"):
        monkeypatch.setattr(f"rnnlm.engine.{module}.native_available", lambda: False)
    unpacked = load_sampler(model, tmp_path)
    assert isinstance(unpacked, UnpackedModel)
    assert str([*stream(unpacked, CONFIG, costs=True)]) == str(native)
