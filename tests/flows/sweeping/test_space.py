"""The space of a sweep, as given by `--over`."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.sweeping.space import Choices, Range, Space, read_space
from rnnlm.errors import ConfigError
from tests.conftest import call_cli, tiny_experiment, write_tiny

RATE, HIDDEN = "training.learning_rate", "model.hidden_size"


def space_of(*over: str, **sections: Any) -> Space:
    return read_space(tiny_experiment(**sections), over)


rates = st.floats(min_value=1e-8, max_value=100.0)
sizes = st.integers(min_value=1, max_value=16_384)


@given(ends=st.tuples(rates, rates).filter(lambda ends: ends[0] < ends[1]), at=st.floats(0, 1))
def test_a_range_of_numbers_keeps_its_ends_and_reads_back_unchanged(
    ends: tuple[float, float], at: float
):
    low, high = ends
    space = space_of(f"{RATE}={low!r}..{high!r}")
    (dimension,) = space.dimensions
    assert isinstance(dimension, Range)
    assert (dimension.low, dimension.high) == ends
    assert dimension.is_log == (high / low >= 10)
    value = low + at * (high - low)
    (short,) = space.rounded({RATE: min(value, high)}).values()
    assert isinstance(short, float)
    assert dimension.holds(short)
    assert abs(short - value) <= (0.006 * value if dimension.is_log else 1.01e-3 * (high - low))
    assert space.experiment({RATE: short}).training.learning_rate == short
    assert read_space(space.base, space.words) == space


@given(ends=st.tuples(sizes, sizes).filter(lambda ends: ends[0] < ends[1]))
def test_a_range_of_whole_numbers_stays_whole(ends: tuple[int, int]):
    space = space_of(f"{HIDDEN}={ends[0]}..{ends[1]}")
    assert space.size == ends[1] - ends[0] + 1
    for values in space.corners():
        size = space.experiment(values).model.hidden_size
        assert type(size) is int
        assert size in ends
    assert read_space(space.base, space.words) == space


def test_a_range_with_whole_ends_has_fractions_if_the_setting_does():
    (dimension,) = space_of("training.weight_decay=0..1").dimensions
    assert isinstance(dimension, Range)
    assert not dimension.is_whole
    assert not dimension.is_log
    assert dimension.rounded(0.123456) == 0.123


@given(choices=st.lists(sizes, min_size=2, max_size=6, unique=True))
def test_choices_keep_their_order(choices: list[int]):
    space = space_of(f"{HIDDEN}={','.join(map(str, choices))}")
    assert space.dimensions == (Choices(HIDDEN, tuple(choices)),)
    assert space.size == len(choices)
    assert [values[HIDDEN] for values in space.points()] == choices


def test_choices_may_be_words_or_booleans():
    space = space_of("training.optimizer=adamw,muon", "model.learned_start=true,false")
    assert space.size == 4
    found = {
        (e.training.optimizer, e.model.learned_start) for e in map(space.experiment, space.points())
    }
    assert len(found) == 4
    assert space.settings({"training.optimizer": "muon", "model.learned_start": True}) == (
        "model.learned_start=true",
        "training.optimizer=muon",
    )


def test_the_order_of_the_words_does_not_matter():
    words = [f"{RATE}=0.001..0.03", f"{HIDDEN}=128,256"]
    assert space_of(*words) == space_of(*words[::-1])


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ([], "nothing to sweep over"),
        (["model.hiden_size=1,2"], r"unknown key; did you mean model\.hidden_size\?"),
        (["modle.hidden_size=1,2"], r"unknown key; did you mean model\.hidden_size\?"),
        (["tokenizer.kind=byte,character"], "only settings of model and training"),
        (["training.device=cpu,cuda"], "only settings of model and training"),
        (["training.validation_tokens=1,2"], "only settings of model and training"),
        ([f"{HIDDEN}=0..4"], "model.hidden_size = 0 .expected greater"),
        ([f"{HIDDEN}=4,70000"], "model.hidden_size = 70000 .expected less"),
        ([f"{HIDDEN}=4..1.5"], "model.hidden_size = 1.5 .expected integer"),
        ([f"{HIDDEN}=4.0..8.0"], "is a whole number"),
        ([f"{HIDDEN}=9..4"], "9 is not below 4"),
        ([f"{HIDDEN}=4..4"], "4 is not below 4"),
        ([f"{HIDDEN}=4..x"], "is not a range"),
        ([f"{HIDDEN}=1.." + "9" * 100_000], "is not a range"),
        ([f"{HIDDEN}="], "is incomplete"),
        (["=1,2"], "is incomplete"),
        ([f"{HIDDEN}=4,,8"], "empty choice"),
        ([f"{HIDDEN}=4,4"], "repeats a choice"),
        ([f"{HIDDEN}=4"], "has only one choice; give several, or --set model.hidden_size=4"),
        ([f"{HIDDEN}=4,8", f"{HIDDEN}=4..8"], "given twice"),
        (["training.budget=1 epoch,soon"], "a budget such as"),
        (["training.optimizer=adamw,adamn"], "expected 'adamw', 'adam'"),
        (["model.tie_weights=0..1"], "is not a number; give choices"),
        (["model.tie_weights=true,false"], "model.tie_weights needs"),
        (["training.averaging=none,triggered", "training.patience=3..9"], "below"),
        ([f"{RATE}=0.1..1e999"], "expected less than or equal to 100"),
        (["training.gradient_clip=1..1e300"], "too wide"),
    ],
)
def test_an_invalid_space_is_a_one_line_error(over: list[str], message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        space_of(*over)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_command_refuses_an_invalid_space_before_anything_starts(tmp_path: Path):
    write_tiny(tmp_path)
    for words, message in [
        (["--over", "model.hiden_size=1,2"], "did you mean"),
        (["--over", f"{HIDDEN}=4,8", "--trials", "0"], "trials = 0"),
        ([], "nothing to sweep over"),
    ]:
        finished = call_cli(tmp_path, "sweep", "tiny.toml", *words)
        assert finished.status == 1
        assert message in finished.err
        assert finished.err.count("\n") == 1
    assert not (tmp_path / "data").exists()
