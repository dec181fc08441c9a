import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rnnlm.config import ModelConfig
from rnnlm.models import build
from rnnlm.models.mingru import LONGEST_MEMORY, MinGRULayer


def config(**changes: object) -> ModelConfig:
    values = {"architecture": "mingru", "embedding_size": 4, "hidden_size": 5, **changes}
    return ModelConfig.model_validate(values)


def draw_state(layer: MinGRULayer, batch: int) -> tuple[Tensor, ...]:
    return tuple(torch.randn(batch, *shape).double() for shape in layer.state_shapes)


def test_a_step_follows_the_equations_in_the_docstring():
    layer = MinGRULayer(4, 5, config(convolution=3)).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    start = draw_state(layer, 2)
    h, window = (part.numpy() for part in start)
    inputs = torch.randn(9, 2, 4).double()
    p = {name: value.detach().numpy() for name, value in layer.named_parameters()}

    def normalised(features: np.ndarray, name: str) -> np.ndarray:
        centred = features - features.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return centred / deviation * p[f"{name}.weight"] + p[f"{name}.bias"]

    seen_before, expected = list(window.transpose(1, 0, 2)), []
    for token in inputs.numpy():
        x = token @ p["W_x"].T
        seen_before.append(normalised(x, "norm"))
        u = sum(p["C"][k] * seen_before[-1 - k] for k in range(3))
        z = 1.0 / (1.0 + np.exp(-(u @ p["W"][:5].T + p["b"][:5])))
        h = (1.0 - z) * h + z * (u @ p["W"][5:10].T + p["b"][5:10])
        g = u @ p["W"][10:].T + p["b"][10:]
        y = x + (h * g / (1.0 + np.exp(-g))) @ p["W_o"].T
        inner = normalised(y, "feed_forward.norm") @ p["feed_forward.W_u"].T
        inner = functional.gelu(torch.from_numpy(inner + p["feed_forward.b_u"])).numpy()
        expected.append(y + inner @ p["feed_forward.W_d"].T)
    outputs, state = layer(inputs, start)
    torch.testing.assert_close(outputs, torch.from_numpy(np.stack(expected)))
    torch.testing.assert_close(state[0], torch.from_numpy(h))
    torch.testing.assert_close(state[1], torch.from_numpy(np.stack(seen_before[-2:], axis=1)))


def test_without_convolution_and_feed_forward_a_layer_is_the_bare_recurrence():
    layer = MinGRULayer(5, 5, config(convolution=1, mlp_ratio=0)).double()
    assert layer.state_shapes == ((5,),)
    assert {name for name, _ in layer.named_parameters()} == {
        "W",
        "b",
        "W_o",
        "norm.weight",
        "norm.bias",
    }
    inputs, (h,) = torch.randn(6, 2, 5).double(), draw_state(layer, 2)
    outputs, (last,) = layer(inputs, (h,))
    for x, y in zip(inputs, outputs, strict=True):
        gates = functional.linear(layer.norm(x), layer.W, layer.b)
        z = torch.sigmoid(gates[:, :5])
        h = (1.0 - z) * h + z * gates[:, 5:10]
        let_out = h * functional.silu(gates[:, 10:])
        torch.testing.assert_close(y, x + functional.linear(let_out, layer.W_o))
    torch.testing.assert_close(last, h)


@pytest.mark.parametrize("convolution", [1, 2, 4, 9])
def test_outputs_do_not_depend_on_where_a_text_is_cut(convolution: int):
    layer = MinGRULayer(4, 5, config(convolution=convolution)).double()
    inputs, start = torch.randn(12, 2, 4).double(), draw_state(layer, 2)
    whole, end = layer(inputs, start)
    for lengths in ([1] * 12, [5, 7], [2, 1, 9], [11, 1]):
        state, parts = start, []
        for part in inputs.split(lengths):
            outputs, state = layer(part, state)
            parts.append(outputs)
        torch.testing.assert_close(torch.cat(parts), whole)
        torch.testing.assert_close(state, end)


def test_gradients_of_a_layer_match_finite_differences():
    layer = MinGRULayer(4, 3, config(convolution=3)).double()
    names = [name for name, _ in layer.named_parameters()]
    arguments = (torch.randn(5, 2, 4).double(), *draw_state(layer, 2), *layer.parameters())

    def call(inputs: Tensor, hidden: Tensor, window: Tensor, *weights: Tensor) -> Tensor:
        named = dict(zip(names, weights, strict=True))
        outputs, state = torch.func.functional_call(layer, named, (inputs, (hidden, window)))
        return torch.cat([outputs.flatten(), *(part.flatten() for part in state)])

    detached = [argument.detach().requires_grad_() for argument in arguments]
    assert torch.autograd.gradcheck(call, detached)


def test_no_output_depends_on_a_later_token():
    model = build(config(num_layers=2), vocab_size=7).eval()
    inputs = torch.randint(0, 7, (1, 20))
    changed = inputs.clone()
    changed[0, 12] = (inputs[0, 12] + 1) % 7
    before, after = (model(tokens, model.initial_state(1))[0] for tokens in (inputs, changed))
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12], after[:, 12])


def test_fresh_gates_remember_over_all_lengths_up_to_the_longest():
    layer = MinGRULayer(64, 64, config())
    lengths = 1.0 / torch.sigmoid(layer.b[:64].detach())
    assert lengths.min().item() == pytest.approx(1.5, rel=1e-4)
    assert lengths.max().item() == pytest.approx(LONGEST_MEMORY, rel=1e-4)
    ratios = lengths[1:] / lengths[:-1]
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios), rtol=1e-3, atol=0)


def test_the_output_of_the_stack_is_normalised():
    model = build(config(num_layers=3, hidden_size=50), vocab_size=7)
    features, _ = model.features(torch.randint(0, 7, (2, 30)), model.initial_state(2))  # type: ignore[attr-defined]
    torch.testing.assert_close(features.mean(-1), torch.zeros(2, 30), rtol=0, atol=1e-5)
    torch.testing.assert_close(features.square().mean(-1), torch.ones(2, 30), rtol=0, atol=1e-3)


def test_dropout_applies_to_branches_and_not_to_the_residual_sum():
    layer = MinGRULayer(5, 5, config(layer_dropout=0.999))
    inputs = torch.randn(3, 2, 5)
    torch.manual_seed(1)
    outputs, _ = layer(inputs, tuple(torch.zeros(2, *shape) for shape in layer.state_shapes))
    torch.testing.assert_close(outputs, inputs)


def test_bf16_autocast_keeps_the_state_in_float32_and_nearly_the_same_logits():
    model = build(config(num_layers=2, hidden_size=32), vocab_size=7).eval()
    inputs = torch.randint(0, 7, (2, 50))
    exact, _ = model(inputs, model.initial_state(2))
    with torch.autocast("cpu", torch.bfloat16):
        logits, state = model(inputs, model.initial_state(2))
    assert {part.dtype for part in state} == {torch.float32}
    torch.testing.assert_close(logits.float(), exact, rtol=0, atol=0.05)
    logits.float().logsumexp(-1).sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_a_model_with_bf16_weights_runs():
    model = build(config(num_layers=2), vocab_size=7).bfloat16()
    logits, state = model(torch.zeros(2, 6, dtype=torch.int64), model.initial_state(2))
    assert {part.dtype for part in (logits, *state)} == {torch.bfloat16}


def test_a_repeated_text_is_memorised():
    torch.manual_seed(0)
    model = build(config(embedding_size=16, hidden_size=32, num_layers=2), vocab_size=20)
    text = torch.randint(0, 20, (2, 21))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    nll_nats = torch.tensor(math.inf)
    for _ in range(60):
        logits, _ = model(text[:, :-1], model.initial_state(2))
        nll_nats = functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
        optimizer.zero_grad()
        nll_nats.backward()
        optimizer.step()
    assert nll_nats.item() < 0.05
