"""Pack a trained model into a network for fast steps: gates interleaved, weights quantised.

With 8 bits, a column of weights w is w_q · s, where s is the column's largest magnitude / 127. A
state h in (-1, 1) is (q - 128) / 127, where q is a byte; the state of a sigmoid layer is q / 255.
Sums of q · w_q are exact.

Source: symmetric weights, asymmetric activations, a scale for each column, as in Jacob et al. 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rnnlm.errors import CheckpointError
from rnnlm.kernels.native import padded
from rnnlm.kernels.slots import FORBIDDEN, GATES, LOG2_E, UNITS, Network, NetworkLayer
from rnnlm.models import LanguageModel
from rnnlm.models.layer import RecurrentLayer, StepWeights
from rnnlm.models.stack import StackedLanguageModel

LARGEST_TABLE = 1 << 27
"""Most numbers in the first layer's table (half a gigabyte); a larger model is not packed."""
_RATES = {"lstm": (1, 1, 2, 1), "gru": (1, 1, 2, 2), "sigmoid": (1,), "tanh": (2,)}
"""Factor of −x in each gate's exponent: 1 in σ(x) = 1 / (1 + e⁻ˣ), 2 in
tanh x = (1 − e⁻²ˣ) / (1 + e⁻²ˣ)."""


def can_pack(model: LanguageModel) -> bool:
    """Return whether `pack` supports the model's layers and its table is not too large."""
    if not isinstance(model, StackedLanguageModel):
        return False
    steps = [layer.step_weights for layer in model.layers]
    if any(step is None for step in steps):
        return False
    return model.vocab_size * padded(GATES * model.layers[0].size) <= LARGEST_TABLE


def pack(model: LanguageModel, dtype: torch.dtype, unknown_id: int | None) -> Network:
    """Return a model as a packed network; `can_pack` must be true of the model.

    Args:
        model: Not modified; on any device.
        dtype: Type of the weights: torch.int8, bfloat16 or float32.
        unknown_id: A token that must never be drawn.

    Raises:
        CheckpointError: A weight is not a finite number.
    """
    assert isinstance(model, StackedLanguageModel)
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise CheckpointError(
            "the model has weights that are infinite or NaN, so it cannot generate; "
            "train again, at a lower training.learning_rate"
        )
    with torch.no_grad():
        state = [part[0].cpu() for part in model.initial_state(1)]
        layers: list[NetworkLayer] = []
        embeddings = model.embedding.weight.detach().cpu().double()
        for number, layer in enumerate(model.layers):
            own, state = state[: len(layer.state_shapes)], state[len(layer.state_shapes) :]
            layers.append(_layer(layer, own, None if number else embeddings, dtype))
        weight, bias = (part.detach().cpu().double() for part in model.output_layer)
        if unknown_id is not None:
            bias = bias.clone()
            bias[unknown_id] = FORBIDDEN
        kind = layers[-1].kind
        matrix, scale, added = _columns(
            _padded(weight, dtype), bias[None], torch.ones(len(bias)).double(), dtype, kind
        )
        wide = padded(len(bias)) - len(bias)
        return Network(
            dtype,
            model.vocab_size,
            (*layers,),
            functional.pad(matrix, (0, wide)).contiguous(),
            functional.pad(scale, (0, wide)).contiguous(),
            functional.pad(added[0], (0, wide), value=FORBIDDEN).contiguous(),
        )


def _layer(
    layer: RecurrentLayer, state: list[Tensor], embeddings: Tensor | None, dtype: torch.dtype
) -> NetworkLayer:
    """Pack one layer; `embeddings` (vocab, input) are given for the first, to make its table."""
    step = layer.step_weights
    assert step is not None
    inputs, own, bias = (
        part.detach().cpu().double() for part in (step.inputs, step.own, step.bias)
    )
    rates = torch.tensor(_RATES[step.kind]).double().repeat_interleave(layer.size) * -LOG2_E
    added = (bias if embeddings is None else bias + embeddings @ inputs.t()).reshape(-1, len(bias))
    below = _padded(inputs if embeddings is None else inputs[:, :0], dtype)
    rows = torch.cat([below, _padded(own, dtype)], dim=1)
    matrix, scale, added = _columns(rows, added, rates, dtype, step.kind)
    order = _order(step, layer.size)
    start = _padded(_as_factor(state[0], step.kind, dtype)[None], dtype)[0]
    size = len(order) if step.kind in ("sigmoid", "tanh") else len(order) // GATES
    memory = functional.pad(state[-1].float(), (0, size - layer.size))
    return NetworkLayer(
        step.kind,
        layer.size,
        below.shape[1],
        _reordered(matrix, order),
        _reordered(scale, order),
        _reordered(added, order),
        start.contiguous(),
        memory.contiguous(),
    )


def _columns(
    rows: Tensor, added: Tensor, rates: Tensor, dtype: torch.dtype, kind: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return matrix (depth, columns), scale (columns,) and added (tokens, columns).

    Args:
        rows: (columns, depth), weights in double precision.
        added: (tokens, columns), what is added to the sums.
        rates: (columns,), factors of the sums and of what is added to them.
        dtype: Type of the matrix.
        kind: Kind of the layer that produces the left factor.
    """
    if dtype != torch.int8:
        return rows.to(dtype).t(), rates.float(), (added * rates).float()
    unit, zero = _byte_code(kind)
    steps = rows.abs().amax(dim=1) / 127.0
    steps[steps == 0.0] = 1.0
    whole = torch.round(rows / steps[:, None])
    scale = (rates * steps / unit).float()
    return whole.to(torch.int8).t(), scale, _shifted(added, rates, scale, whole, zero)


def _shifted(added: Tensor, rates: Tensor, scale: Tensor, whole: Tensor, zero: float) -> Tensor:
    """Return what is added to the scaled sums, minus what the zero point of the bytes adds."""
    return (added * rates - zero * whole.sum(dim=1) * scale.double()).float()


def _byte_code(kind: str) -> tuple[float, float]:
    """Return (byte steps per 1.0, the byte that means 0) for the state of a kind of layer."""
    return (255.0, 0.0) if kind == "sigmoid" else (127.0, 128.0)


def _as_factor(state: Tensor, kind: str, dtype: torch.dtype) -> Tensor:
    """Return a state as it is stored in the left factor."""
    if dtype != torch.int8:
        return state.to(dtype)
    unit, zero = _byte_code(kind)
    return (torch.round(state.clamp(-1.0, 1.0).float() * unit) + zero).to(torch.uint8)


def _padded(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Return rows padded with columns of zeros to whole words of four bytes."""
    numbers = 4 // dtype.itemsize
    return functional.pad(rows, (0, -rows.shape[1] % numbers))


def _order(step: StepWeights, size: int) -> Tensor:
    """Return the row of the gates that each packed column holds, or -1 for padding."""
    if step.kind in ("sigmoid", "tanh"):
        return functional.pad(torch.arange(size), (0, padded(size) - size), value=-1)
    units = functional.pad(torch.arange(size), (0, -size % UNITS), value=-1).reshape(-1, 1, UNITS)
    gates = torch.arange(GATES).reshape(1, GATES, 1) * size
    return torch.where(units < 0, -1, units + gates).reshape(-1)


def _reordered(columns: Tensor, order: Tensor) -> Tensor:
    """Return the last axis in packed order, with zeros in padding columns."""
    chosen = columns[..., order.clamp(min=0)]
    return torch.where(order < 0, torch.zeros_like(chosen), chosen).contiguous()
