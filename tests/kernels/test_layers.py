"""Test the recurrent layers against torch's own, in double precision, float and bfloat16."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnlm.config import ModelConfig
from rnnlm.kernels import native
from rnnlm.kernels.cudnn import as_one_buffer, cudnn_layer
from rnnlm.kernels.gru import gru_layer
from rnnlm.kernels.lstm import lstm_layer
from rnnlm.kernels.native import native_available
from rnnlm.kernels.simple import simple_layer
from rnnlm.models.gru import GRULayer
from rnnlm.models.lstm import LSTMLayer

KINDS = ["lstm", "gru", "sigmoid", "tanh"]
GATES = {"lstm": 4, "gru": 3, "sigmoid": 1, "tanh": 1}
SHAPES = [
    (1, 1, 2),
    (2, 7, 260),
    (7, 3, 5),
    (5, 1, 16),
    (1, 9, 66),
    (4, 13, 24),
    (3, 101, 64),
    (9, 34, 130),
]


@pytest.fixture(params=["native", "plain"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(native, "library", lambda: None)
    elif not native_available():
        pytest.skip("the package was built without a C compiler for this processor")
    return str(request.param)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def arguments(kind: str, steps: int, batch: int, size: int, dtype: Any = None) -> list[Tensor]:
    """Return random arguments of a layer function, as leaf tensors that require gradients.

    They are the inputs multiplied by the input matrix, the recurrent matrix, its bias (GRU only)
    and the initial state (one tensor, or two for the LSTM).
    """
    generator = torch.Generator().manual_seed(steps * 1000 + batch * 100 + size)

    def leaf(*shape: int) -> Tensor:
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return drawn.to(dtype or torch.float32).requires_grad_()

    gates = GATES[kind] * size
    made = [leaf(steps, batch, gates), (leaf(gates, size) / size**0.5).detach().requires_grad_()]
    made += [leaf(size)] if kind == "gru" else []
    return made + [leaf(batch, size) for _ in range(2 if kind == "lstm" else 1)]


def ours(kind: str) -> Callable[..., tuple[Tensor, ...]]:
    if kind == "lstm":
        return lstm_layer
    if kind == "gru":
        return gru_layer
    return lambda *given: simple_layer(*given, kind)  # type: ignore[arg-type]


def theirs(kind: str, given: list[Tensor]) -> tuple[Tensor, ...]:
    """Return what torch's layer computes from the same arguments.

    Its input matrix is the identity, since the inputs are already multiplied by a matrix. `nn.RNN`
    has no sigmoid, so for that kind the loop is written out.
    """
    projected, weight, *rest = given
    if kind == "sigmoid":
        hidden, outputs = rest[0], []
        for step in projected:
            hidden = torch.sigmoid(step + hidden @ weight.t())
            outputs.append(hidden)
        return torch.stack(outputs), hidden
    gates, size = weight.shape
    layer: Any = {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN}[kind](gates, size)
    layer = layer.to(weight.dtype)
    zeros = weight.new_zeros(gates)
    bias = torch.cat([zeros[: 2 * size], rest.pop(0)]) if kind == "gru" else zeros
    state = tuple(part[None] for part in rest)
    replaced = {
        "weight_ih_l0": torch.eye(gates, dtype=weight.dtype),
        "weight_hh_l0": weight,
        "bias_ih_l0": zeros,
        "bias_hh_l0": bias,
    }
    inputs = projected, state if kind == "lstm" else state[0]
    outputs, final = torch.func.functional_call(layer, replaced, inputs)
    return outputs, *(part[0] for part in (final if kind == "lstm" else (final,)))


def with_gradients(results: tuple[Tensor, ...], given: list[Tensor]) -> list[Tensor]:
    """Return a layer's results, followed by gradients with respect to its arguments.

    The gradients are those of a weighted sum of all numbers in the results, each with a different
    weight.
    """
    total = sum((r * torch.linspace(-1, 2, r.numel()).view(r.shape)).sum() for r in results)
    wanted = [leaf for leaf in given if leaf.requires_grad]
    return [*results, *torch.autograd.grad(total, wanted)]


def assert_alike(these: list[Tensor], those: list[Tensor], tolerance: float) -> None:
    for one, other in zip(these, those, strict=True):
        scale = max(1.0, other.abs().max().item())
        assert one.shape == other.shape
        assert (one.double() - other.double()).abs().max().item() <= tolerance * scale


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_match_finite_differences(kind: str) -> None:
    given = arguments(kind, 3, 2, 3, torch.float64)
    assert torch.autograd.gradcheck(ours(kind), given)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_matches_torch_in_double_precision(kind: str, shape: tuple[int, int, int]) -> None:
    given = arguments(kind, *shape, torch.float64)
    mine = with_gradients(ours(kind)(*given), given)
    assert_alike(mine, with_gradients(theirs(kind, given), given), 1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_in_float_agrees_with_double(
    kind: str, shape: tuple[int, int, int], path: str, threads: int
) -> None:
    given = arguments(kind, *shape)
    exact = [leaf.detach().double().requires_grad_() for leaf in given]
    mine = with_gradients(ours(kind)(*given), given)
    assert_alike(mine, with_gradients(theirs(kind, exact), exact), 2e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_products_in_bfloat16_stay_close(kind: str, shape: tuple[int, int, int], path: str) -> None:
    given = arguments(kind, *shape)
    exact = with_gradients(ours(kind)(*given), given)
    with torch.autocast("cpu", torch.bfloat16):
        results = ours(kind)(*given)
    assert all(result.dtype == torch.float32 for result in results)
    assert_alike(with_gradients(results, given), exact, 0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_with_a_carried_state_match_the_whole(kind: str, path: str) -> None:
    projected, *rest = [leaf.detach() for leaf in arguments(kind, 12, 5, 32)]
    parameters, state = (rest[:2], rest[2:]) if kind == "gru" else (rest[:1], rest[1:])
    whole = ours(kind)(projected, *parameters, *state)
    pieces, carried = [], tuple(state)
    for piece in projected.split(5):
        outputs, *after = ours(kind)(piece, *parameters, *carried)
        carried = tuple(after)
        pieces.append(outputs)
    assert_alike([torch.cat(pieces), *carried], list(whole), 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_layout_of_arguments_and_gradients_does_not_matter(kind: str, path: str) -> None:
    given = arguments(kind, 4, 6, 18)
    strided = [
        leaf.detach().mT.contiguous().mT.requires_grad_() if leaf.dim() > 1 else leaf
        for leaf in given
    ]
    assert not strided[0].is_contiguous()
    mine = with_gradients(ours(kind)(*given), given)
    assert_alike(with_gradients(ours(kind)(*strided), strided), mine, 1e-6)
    summed = torch.autograd.grad(ours(kind)(*given)[0].sum(), given)  # an expanded gradient
    weighed = ours(kind)(*given)[0]
    ones = torch.autograd.grad((weighed * torch.ones_like(weighed)).sum(), given)
    assert_alike(list(summed), list(ones), 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_each_argument_alone_gets_the_same_gradient(kind: str, path: str) -> None:
    given = arguments(kind, 3, 4, 20)
    results = with_gradients(ours(kind)(*given), given)
    gradients = results[-len(given) :]
    for chosen, gradient in enumerate(gradients):
        alone = [leaf.detach().requires_grad_(n == chosen) for n, leaf in enumerate(given)]
        assert_alike(with_gradients(ours(kind)(*alone), alone)[-1:], [gradient], 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_call_gives_the_same_bits(kind: str, path: str, threads: int) -> None:
    given = arguments(kind, 6, 40, 48)
    once, again = (with_gradients(ours(kind)(*given), given) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_saturated_gates_stay_finite_and_nan_passes_through(kind: str, path: str) -> None:
    given = [leaf.detach() for leaf in arguments(kind, 2, 3, 16)]
    given[0].mul_(1e4)
    outputs = ours(kind)(*given)[0]
    assert torch.isfinite(outputs).all()
    assert outputs.abs().max() <= max(1.0, given[-1].abs().max().item() + 2)
    given[0][0, 1] = torch.nan
    outputs = ours(kind)(*given)[0]
    assert outputs[:, 1].isnan().all()
    assert torch.isfinite(outputs[:, ::2]).all()


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_cudnn_call_matches_our_layers(kind: Any) -> None:
    given = arguments(kind, 4, 3, 8)
    projected, weight, *rest = given
    gates = len(weight)
    beside = torch.zeros(gates)
    if kind == "gru":
        beside = torch.cat([torch.zeros(16), rest.pop(0)])
    weights = [torch.eye(gates), weight, torch.zeros(gates), beside]
    outputs, state = cudnn_layer(kind, projected, tuple(rest), weights)
    assert_alike(
        with_gradients((outputs, *state), given), with_gradients(ours(kind)(*given), given), 1e-5
    )


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_on_a_gpu_matches_the_cpu(kind: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    given = arguments(kind, 5, 3, 20)
    there = [leaf.detach().cuda().requires_grad_() for leaf in given]
    results = [result.cpu() for result in ours(kind)(*there)]
    assert_alike(results, list(ours(kind)(*given)), 1e-4)


def test_weights_for_cudnn_lie_end_to_end_in_one_buffer():
    weights = [
        torch.randn(*shape, requires_grad=True) for shape in ((12, 5), (12, 3), (12,), (12,))
    ]
    parts = as_one_buffer(weights)
    assert all(torch.equal(*pair) for pair in zip(parts, weights, strict=True))
    assert [part.storage_offset() for part in parts] == [0, 60, 96, 108]
    assert len({part.untyped_storage().data_ptr() for part in parts}) == 1
    sum((part * n).sum() for n, part in enumerate(parts)).backward()
    assert [float(weight.grad.max()) for weight in weights] == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_cudnn_computes_what_the_layers_on_a_cpu_do(kind: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    how = ModelConfig(architecture=kind, hidden_size=48, embedding_size=24)
    layer = {"lstm": LSTMLayer, "gru": GRULayer}[kind](24, 48, how)
    results = []
    for device in ("cpu", "cuda"):
        there = deepcopy(layer).to(device)
        generator = torch.Generator().manual_seed(1)
        inputs = torch.randn(7, 3, 24, generator=generator).to(device).requires_grad_()
        state = tuple(
            torch.randn(3, *shape, generator=generator).to(device) for shape in there.state_shapes
        )
        with torch.backends.cudnn.flags(allow_tf32=False):
            outputs, after = there(inputs, state)
            outputs.square().sum().backward()
        gradients = [inputs.grad, *(weight.grad for weight in there.parameters())]
        results.append([part.detach().cpu() for part in (outputs, *after, *gradients)])
    assert_alike(*results, 1e-4)
