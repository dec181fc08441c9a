"""Test the simple RNN against the equations of the lecture, written out in NumPy.

The reference implementation uses one-hot vectors and loops, and computes gradients by hand. It
takes nothing but weights from the library. The symbols are those of `docs/simple-rnn.md`.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from rnnlm.config import ModelConfig
from rnnlm.models import NeuralLanguageModel, build, detach_state

Array = NDArray[np.float64]
VOCAB, EMBEDDING, HIDDEN, TIME = 7, 3, 4, 6
LENGTHS = (6, 3, 5)
"""Number of tokens in each row that are not padding."""


@dataclass
class Weights:
    """The weights in the lecture's notation, or the gradients of a loss with respect to them."""

    E: Array
    W_h: Array
    W_e: Array
    b_1: Array
    U: Array
    b_2: Array
    h_0: Array


def build_simple(nonlinearity: str = "sigmoid", **changes: object) -> NeuralLanguageModel:
    values = {
        "architecture": "simple",
        "nonlinearity": nonlinearity,
        "embedding_size": EMBEDDING,
        "hidden_size": HIDDEN,
        "learned_start": True,
        **changes,
    }
    model = build(ModelConfig.model_validate(values), VOCAB).double()
    assert isinstance(model, NeuralLanguageModel)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.7)
    return model


def weights_of(model: NeuralLanguageModel, gradients: bool = False) -> Weights:
    tensors = {
        name: parameter.grad if gradients else parameter.detach()
        for name, parameter in model.named_parameters()
    }
    arrays = {name: tensor.numpy() for name, tensor in tensors.items() if tensor is not None}
    return Weights(
        E=arrays["embedding.weight"].T,
        W_h=arrays["layers.0.W_h"],
        W_e=arrays["layers.0.W_e"],
        b_1=arrays["layers.0.b_1"],
        U=arrays["U"],
        b_2=arrays["b_2"],
        h_0=arrays["start.0"],
    )


def draw_text() -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, targets (the next tokens) and mask, each of shape (batch, time)."""
    text = torch.randint(0, VOCAB, (len(LENGTHS), TIME + 1))
    mask = torch.arange(TIME) < torch.tensor(LENGTHS)[:, None]
    return text[:, :-1], text[:, 1:], mask


def mean_nll(model: NeuralLanguageModel, text: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return J, the mean of J⁽ᵗ⁾ over all steps that are not padding."""
    inputs, targets, mask = text
    logits, _ = model(inputs, model.initial_state(len(inputs)))
    losses = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none"
    ).view_as(mask)
    return (losses * mask).sum() / mask.sum()


def one_hot(word: int) -> Array:
    return np.array([float(word == other) for other in range(VOCAB)])


def by_hand(
    w: Weights, text: tuple[Tensor, Tensor, Tensor], nonlinearity: str
) -> tuple[float, Weights]:
    """Return J and its gradients, computed row by row and step by step."""
    inputs, targets, mask = (part.numpy() for part in text)
    count = mask.sum()
    nll_nats, d = 0.0, Weights(*(np.zeros_like(getattr(w, field.name)) for field in fields(w)))
    for row in range(len(inputs)):
        x, e, h, y_hat = [], [], [w.h_0], []
        for t in range(TIME):
            x.append(one_hot(inputs[row, t]))
            e.append(w.E @ x[t])
            a = w.W_h @ h[-1] + w.W_e @ e[t] + w.b_1
            h.append(1.0 / (1.0 + np.exp(-a)) if nonlinearity == "sigmoid" else np.tanh(a))
            scores = w.U @ h[-1] + w.b_2
            y_hat.append(np.exp(scores) / np.exp(scores).sum())
            if mask[row, t]:
                nll_nats += -math.log(y_hat[t][targets[row, t]]) / count
        later = np.zeros(HIDDEN)  # gradient that reaches h⁽ᵗ⁾ from later steps
        for t in reversed(range(TIME)):
            d_scores = (y_hat[t] - one_hot(targets[row, t])) * mask[row, t] / count
            now, before = h[t + 1], h[t]
            d.U += np.outer(d_scores, now)
            d.b_2 += d_scores
            slope = now * (1.0 - now) if nonlinearity == "sigmoid" else 1.0 - now**2
            d_a = (w.U.T @ d_scores + later) * slope
            d.W_h += np.outer(d_a, before)
            d.W_e += np.outer(d_a, e[t])
            d.b_1 += d_a
            d.E += np.outer(w.W_e.T @ d_a, x[t])
            later = w.W_h.T @ d_a
        d.h_0 += later
    return nll_nats, d


@pytest.mark.parametrize("nonlinearity", ["sigmoid", "tanh"])
def test_loss_and_gradients_match_the_lecture_to_ten_digits(nonlinearity: str):
    model, text = build_simple(nonlinearity), draw_text()
    nll_nats, expected = by_hand(weights_of(model), text, nonlinearity)
    loss = mean_nll(model, text)
    loss.backward()
    assert loss.item() == pytest.approx(nll_nats, abs=1e-12)
    found = weights_of(model, gradients=True)
    for field in fields(Weights):
        mine, theirs = getattr(found, field.name), getattr(expected, field.name)
        assert np.abs(theirs).max() > 1e-3, field.name
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-10, err_msg=field.name)


def test_an_initial_state_that_is_not_learnt_is_zero():
    model = build_simple(learned_start=False)
    assert all((part == 0).all() for part in model.initial_state(2))
    assert "start.0" not in dict(model.named_parameters())


def test_the_loss_is_the_average_over_time_of_each_steps_loss():
    model, (inputs, targets, mask) = build_simple(), draw_text()
    state, losses = model.initial_state(len(inputs)), []
    for t in range(TIME):
        logits, state = model(inputs[:, t : t + 1], state)
        y_hat = torch.softmax(logits[:, 0], dim=-1)
        losses += [
            -y_hat[row, targets[row, t]].log().item() for row in range(len(inputs)) if mask[row, t]
        ]
    assert len(losses) == sum(LENGTHS)
    whole = mean_nll(model, (inputs, targets, mask)).item()
    assert whole == pytest.approx(sum(losses) / len(losses), abs=1e-12)


def test_padding_does_not_count():
    model, (inputs, targets, mask) = build_simple(), draw_text()
    changed = torch.where(mask, inputs, (inputs + 3) % VOCAB), torch.where(mask, targets, 0), mask
    kept, others = (
        torch.autograd.grad(mean_nll(model, text), [*model.parameters()])
        for text in ((inputs, targets, mask), changed)
    )
    for mine, theirs in zip(kept, others, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-14)


@dataclass
class Unrolled:
    """A forward pass over a text, in which each time step has a separate copy of W_h.

    Attributes:
        copies: The copies of W_h, one for each step.
        states: The hidden state before each step.
        losses: The loss of each step.
    """

    copies: list[Tensor]
    states: list[Tensor]
    losses: list[Tensor]


def unroll(model: NeuralLanguageModel, cut: int | None = None) -> Unrolled:
    """Run the model over a text step by step; detach the state before step `cut`, if given."""
    inputs, targets, _ = draw_text()
    name, shared = "layers.0.W_h", dict(model.named_parameters())["layers.0.W_h"]
    copies = [shared.detach().clone().requires_grad_() for _ in range(TIME)]
    state = model.initial_state(1)
    states, losses = [], []
    for t, copy in enumerate(copies):
        states.append(state[0])
        if t == cut:
            state = detach_state(state)
        logits, state = functional_call(model, {name: copy}, (inputs[:1, t : t + 1], state))
        losses.append(functional.cross_entropy(logits[:, 0], targets[:1, t]))
    return Unrolled(copies, states, losses)


@pytest.mark.parametrize("step", [*range(TIME), "mean"])
@pytest.mark.parametrize("nonlinearity", ["sigmoid", "tanh"])
def test_the_gradient_of_a_repeated_weight_is_the_sum_over_each_time_it_appears(
    nonlinearity: str, step: int | str
):
    model = build_simple(nonlinearity)
    torch.manual_seed(5)
    inputs, targets, _ = draw_text()
    logits, _ = model(inputs[:1], model.initial_state(1))
    losses = functional.cross_entropy(logits[0], targets[0], reduction="none")
    torch.manual_seed(5)
    read = unroll(model)
    ours, theirs = (
        (losses.mean(), torch.stack(read.losses).mean())
        if isinstance(step, str)
        else (losses[step], read.losses[step])
    )
    shared = dict(model.named_parameters())["layers.0.W_h"]
    (whole,) = torch.autograd.grad(ours, shared)
    parts = torch.autograd.grad(theirs, read.copies, materialize_grads=True)
    torch.testing.assert_close(sum(parts, torch.zeros_like(whole)), whole, rtol=0, atol=1e-12)
    if not isinstance(step, str):
        assert all((part == 0).all() for part in parts[step + 1 :])
        assert all((part != 0).any() for part in parts[: step + 1])


def test_truncated_bptt_keeps_the_parts_after_the_cut_and_drops_those_before():
    model, cut = build_simple(), 3
    torch.manual_seed(5)
    whole = unroll(model)
    torch.manual_seed(5)
    truncated = unroll(model, cut)
    full = torch.autograd.grad(whole.losses[-1], whole.copies)
    kept = torch.autograd.grad(truncated.losses[-1], truncated.copies, materialize_grads=True)
    assert truncated.losses[-1].item() == whole.losses[-1].item()
    for t in range(TIME):
        if t < cut:
            assert (kept[t] == 0).all()
            assert (full[t] != 0).any()
        else:
            assert torch.equal(kept[t], full[t])


@pytest.mark.parametrize(("nonlinearity", "steepest"), [("sigmoid", 0.25), ("tanh", 1.0)])
def test_gradients_between_states_are_bounded_products_of_slopes_and_weights(
    nonlinearity: str, steepest: float
):
    model = build_simple(nonlinearity)
    read, w = unroll(model), weights_of(model)
    (last, *earlier) = reversed(read.states)
    jacobian = np.eye(HIDDEN)
    for k, state in enumerate(earlier, start=1):
        h = read.states[TIME - k].detach().numpy()[0]
        slope = h * (1.0 - h) if nonlinearity == "sigmoid" else 1.0 - h**2
        jacobian = jacobian @ np.diag(slope) @ w.W_h
        rows = [torch.autograd.grad(part, state, retain_graph=True)[0][0] for part in last[0]]
        np.testing.assert_allclose(jacobian, torch.stack(rows).numpy(), rtol=0, atol=1e-12)
        bound = (steepest * np.linalg.norm(w.W_h, 2)) ** k
        assert np.linalg.norm(jacobian, 2) <= bound * (1 + 1e-12)


@pytest.mark.parametrize("nonlinearity", ["sigmoid", "tanh"])
def test_the_output_is_a_distribution(nonlinearity: str):
    model, (inputs, _, _) = build_simple(nonlinearity), draw_text()
    logits, _ = model(inputs, model.initial_state(len(inputs)))
    y_hat = torch.softmax(logits, dim=-1)
    assert y_hat.shape == (len(inputs), TIME, VOCAB)
    assert (y_hat > 0).all()
    torch.testing.assert_close(y_hat.sum(-1), torch.ones_like(y_hat[..., 0]))


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary():
    model = build_simple()
    named = dict(model.named_parameters())
    with torch.no_grad():
        named["U"].zero_()
        named["b_2"].fill_(3.0)
    assert mean_nll(model, draw_text()).item() == pytest.approx(math.log(VOCAB), abs=1e-12)
