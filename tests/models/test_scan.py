import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rnnlm.models.scan import by_doubling, by_steps, scan


def naive(decay: Tensor, value: Tensor, state: Tensor) -> Tensor:
    states = []
    for a, b in zip(decay, value, strict=True):
        state = a * state + b
        states.append(state)
    return torch.stack(states)


def draw(time: int, kind: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(time)
    decay = torch.rand(time, 2, 3, generator=generator, dtype=torch.float64)
    value = torch.randn(time, 2, 3, generator=generator, dtype=torch.float64)
    initial = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    return decay.to(kind), value.to(kind), initial.to(kind)


@given(time=st.integers(1, 70))
def test_a_scan_equals_the_naive_loop(time: int):
    torch.testing.assert_close(scan(*draw(time)), naive(*draw(time)), rtol=1e-12, atol=1e-12)


@given(time=st.integers(1, 70), backwards=st.booleans())
def test_both_forms_agree(time: int, backwards: bool):
    steps, doubled = by_steps(*draw(time), backwards), by_doubling(*draw(time), backwards)
    torch.testing.assert_close(doubled, steps, rtol=1e-12, atol=1e-12)


@given(time=st.integers(1, 70))
def test_a_backward_scan_equals_a_forward_scan_of_the_reversed_text(time: int):
    decay, value, initial = draw(time)
    reversed_ = by_steps(decay.flip(0), value.flip(0), initial).flip(0)
    torch.testing.assert_close(by_steps(decay, value, initial, True), reversed_)


def test_arguments_are_not_changed():
    for form in (by_steps, by_doubling):
        given_, kept = draw(9), draw(9)
        form(*given_)
        assert all(torch.equal(one, other) for one, other in zip(given_, kept, strict=True))


@pytest.mark.parametrize("time", [1, 2, 7, 16])
@pytest.mark.parametrize("form", [by_steps, by_doubling])
def test_gradients_match_finite_differences(
    time: int, form: object, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rnnlm.models.scan._states", form)
    arguments = [argument.requires_grad_() for argument in draw(time)]
    assert torch.autograd.gradcheck(scan, arguments)


def test_gradients_equal_those_through_the_naive_loop():
    weights = torch.randn(33, 2, 3, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((form(*arguments) * weights).sum(), arguments)
        for form, arguments in (
            (form, [argument.requires_grad_() for argument in draw(33)]) for form in (scan, naive)
        )
    )
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_gradients_of_some_arguments_can_be_requested():
    decay, value, initial = draw(5)
    value.requires_grad_()
    scan(decay, value, initial).sum().backward()
    assert value.grad is not None


def test_bf16_arguments_are_summed_in_float32():
    time = 4000
    decay = torch.full((time, 1, 1), 0.99609375, dtype=torch.bfloat16)  # 1 - 1/256
    value = torch.full((time, 1, 1), 0.00390625, dtype=torch.bfloat16)
    exact = naive(decay.double(), value.double(), torch.zeros(1, 1).double())
    states = scan(decay, value, torch.zeros(1, 1))
    assert states.dtype == torch.float32
    torch.testing.assert_close(states.double(), exact, rtol=1e-5, atol=1e-5)
    assert scan(decay, value, torch.zeros(1, 1).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("form", [by_steps, by_doubling])
def test_a_long_text_of_extreme_decays_stays_finite_and_exact(form: object):
    time = 5_000
    decay, value, initial = draw(time)
    decay = torch.where(decay < 0.3, 0.0, torch.where(decay > 0.6, 1.0, decay))
    states = form(decay.float(), value.float(), initial.float())  # type: ignore[operator]
    assert states.isfinite().all()
    exact = naive(decay, value, initial)
    torch.testing.assert_close(states.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_matches_the_cpu():
    arguments = draw(100, torch.float32)
    there = scan(*(argument.cuda() for argument in arguments))
    torch.testing.assert_close(there.cpu(), scan(*arguments))
