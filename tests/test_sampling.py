import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from rnnlm.config import SamplingConfig
from rnnlm.kernels.slots import ONE, DrawSettings
from rnnlm.sampling import (
    choose,
    draw_settings,
    filter_weights,
    keep_least,
    log2_inverse_temperature,
    penalise,
    power_of_two,
    sample,
    uniforms,
    weigh,
)

logit_rows = st.lists(
    st.floats(-20, 20, allow_nan=False).map(lambda x: round(x, 1)), min_size=2, max_size=20
)


def settings_of(**settings: float) -> DrawSettings:
    return draw_settings(SamplingConfig.model_validate(settings))


def kept(logits: list[float], **settings: float) -> set[int]:
    """Return the token ids that can still be drawn after filtering with the settings."""
    how = settings_of(temperature=1.0, **settings)
    filtered = filter_weights(torch.tensor([logits]), how)[0]
    return {*filtered.nonzero()[:, 0].tolist()}


@given(logit_rows, st.integers(1, 20))
def test_top_k_keeps_exactly_k_even_with_ties(logits: list[float], k: int):
    left, possible = kept(logits, top_k=k), kept(logits)
    assert len(left) == min(k, len(possible))
    weights = weigh(torch.tensor([logits]), log2_inverse_temperature(1.0))[0].tolist()
    ordered = sorted(possible, key=lambda i: (-weights[i], i))
    assert left == {*ordered[:k]}


@given(logit_rows, st.floats(0.01, 0.99))
def test_the_nucleus_reaches_p_and_is_minimal(logits: list[float], p: float):
    left = kept(logits, top_p=p)
    probabilities = torch.softmax(torch.tensor(logits).double(), 0)
    mass = sum(probabilities[i].item() for i in left)
    smallest = min(probabilities[i].item() for i in left)
    assert mass >= p - 1e-6
    assert mass - smallest < p + 1e-6


def test_a_token_that_exceeds_p_is_the_whole_nucleus():
    assert kept([10.0, 0.0, 0.0], top_p=0.5) == {0}


@given(logit_rows, st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_temperature_zero_is_argmax(logits: list[float], uniform: float):
    row = torch.tensor([logits])
    drawn = sample(row, torch.tensor([uniform]).double(), settings_of(temperature=0.0))
    assert drawn.item() == int(np.argmax(logits))


def test_temperature_zero_takes_the_first_of_the_likeliest_in_each_row():
    rows = torch.tensor([[1.0, 3.0, 3.0], [5.0, 0.0, 5.0], [-2.0, -3.0, -1.0]])
    drawn = sample(rows, torch.full((3,), 0.5).double(), settings_of(temperature=0.0))
    assert drawn.tolist() == [1, 0, 2]


def test_of_many_equal_tokens_the_first_are_kept():
    equal = [0.0] * 5000
    assert kept(equal, top_k=7) == kept(equal, top_p=7 / 5000) == {*range(7)}


@given(logit_rows, st.floats(0.01, 1.0))
def test_min_p_keeps_tokens_that_are_likely_enough(logits: list[float], p: float):
    probabilities = torch.softmax(torch.tensor(logits).double(), 0)
    relative = (probabilities / probabilities.max()).tolist()
    left = kept(logits, min_p=p)
    assert {i for i, share in enumerate(relative) if share > p * (1 + 1e-5)} <= left
    assert left <= {i for i, share in enumerate(relative) if share > p * (1 - 1e-5)}


def test_filtering_does_not_change_its_input():
    logits = torch.randn(4, 9)
    before = logits.clone()
    filter_weights(logits, settings_of(temperature=0.5, top_k=3, top_p=0.8, min_p=0.1))
    assert torch.equal(logits, before)


@given(logit_rows, st.floats(0.05, 20))
def test_weights_match_the_softmax(logits: list[float], temperature: float):
    weights = weigh(torch.tensor([logits]), log2_inverse_temperature(temperature))[0].double()
    expected = torch.softmax(torch.tensor(logits).double() / temperature, 0)
    assert weights.max() == ONE
    assert torch.allclose(weights / weights.sum(), expected, rtol=2e-5, atol=2e-9)


def test_powers_of_two_are_exact_at_whole_numbers_and_close_between():
    whole = torch.arange(-126, 40).float()
    assert torch.equal(power_of_two(whole, 40.0), 2.0**whole)
    between = torch.linspace(-30, 30, 100_001)
    relative = power_of_two(between, 40.0).double() / 2.0 ** between.double() - 1.0
    assert relative.abs().max() < 2e-7


def test_powers_of_two_are_clamped_at_both_ends():
    far = torch.tensor([-1e30, -126.5, 3.0, 1e30])
    assert power_of_two(far, 2.0).tolist() == [2.0**-126, 2.0**-126, 4.0, 4.0]


def test_a_weight_that_is_just_large_enough_is_kept():
    assert keep_least(torch.tensor([[3, 4, 5]]), 4).tolist() == [[0, 4, 5]]


def test_a_penalty_makes_only_seen_tokens_less_likely():
    logits = torch.tensor([[2.0, -1.0, 2.0, -1.0]])
    seen = torch.tensor([[True, True, False, False]])
    assert penalise(logits, seen, 2.0).tolist() == [[1.0, -2.0, 2.0, -1.0]]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8).filter(any), st.floats(0, 0.999))
def test_a_token_is_chosen_where_the_cumulative_sum_passes(weights: list[int], share: float):
    drawn = choose(torch.tensor([weights]), torch.tensor([share]).double()).item()
    assert sum(weights[:drawn]) <= share * sum(weights) < sum(weights[: drawn + 1])


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.0},
        {"temperature": 0.7, "min_p": 0.1},
        {"temperature": 1.3, "top_k": 5, "top_p": 0.9},
    ],
)
def test_samples_follow_the_distribution(settings: dict[str, float]):
    how = settings_of(**settings)
    logits = torch.tensor([[0.3, -1.0, 2.0, 0.0, 1.1, -1e30, 0.9]])
    weights = filter_weights(logits, how)[0].double()
    expected = (weights / weights.sum()).numpy()
    count = 40_000
    draws = sample(
        logits.expand(count, -1),
        uniforms(7, torch.arange(count), torch.zeros(count, dtype=torch.int64)),
        how,
    )
    observed = np.bincount(draws.numpy(), minlength=7)
    possible = expected > 0
    assert observed[~possible].sum() == 0
    assert chisquare(observed[possible], expected[possible] * count).pvalue > 1e-3


def test_the_ends_of_the_unit_interval_draw_possible_tokens():
    logits = torch.tensor([[-1e30, 0.0, 0.0, -1e30]]).expand(2, -1)
    ends = torch.tensor([0.5 / 2.0**50, 1.0 - 0.5 / 2.0**50], dtype=torch.float64)
    assert sample(logits, ends, settings_of(temperature=1.0)).tolist() == [1, 2]


def splitmix_in_numpy(seed: int, text: int, position: int) -> float:
    """Return the uniform number of an independent implementation, in NumPy's unsigned integers."""

    def mix(value: np.uint64) -> np.uint64:
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))

    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        state = mix(np.uint64(seed) + golden)
        state = mix((state ^ np.uint64(text)) + golden)
        state = mix((state ^ np.uint64(position)) + golden)
    return (float(state >> np.uint64(14)) + 0.5) / 2.0**50


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 10**7))
def test_uniforms_match_splitmix(seed: int, text: int, position: int):
    drawn = uniforms(seed, torch.tensor([text]), torch.tensor([position])).item()
    assert drawn == splitmix_in_numpy(seed, text, position)


def test_uniforms_look_uniform_along_texts_and_positions():
    numbers, zeros = torch.arange(20_000), torch.zeros(20_000, dtype=torch.int64)
    for drawn in (uniforms(1, numbers, zeros), uniforms(1, zeros, numbers)):
        assert kstest(drawn.numpy(), "uniform").pvalue > 1e-3
        assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.03
