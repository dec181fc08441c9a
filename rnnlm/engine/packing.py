"""Pack a trained model into a network that takes fast time steps.

Packing interleaves the gates of each layer in memory and can quantise the weights. A step of the
packed network multiplies a *left factor* (the output of the layer below and the layer's own state)
by a *right factor* (the weights of both), then scales each sum and adds a bias or a table row.

With 8 bits, a column w of weights is stored as signed bytes w_q with w ≈ w_q · s, where s is the
column's largest magnitude divided by 127. A state h in (-1, 1) is stored as a byte q with
h ≈ (q - 128) / 127; the state of a sigmoid layer is stored as q with h ≈ q / 255. The sums of
q · w_q are exact integers.

Source: Jacob et al. 2018 describe such a quantisation, with symmetric weights, asymmetric
activations, and one scale per column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rnnlm.errors import CheckpointError
from rnnlm.kernels.native import padded
from rnnlm.kernels.slots import FORBIDDEN, GATES, LOG2_E, UNITS, Network, NetworkLayer, NumpyNetwork
from rnnlm.models import LanguageModel
from rnnlm.models.layer import RecurrentLayer, StepWeights
from rnnlm.models.stack import StackedLanguageModel

LARGEST_TABLE = 1 << 27
"""Most numbers in the first layer's table (half a gigabyte); a larger model is not packed.

The table has a row for each token of the vocabulary: what the token adds to the layer's gates."""
_RATES = {"lstm": (1, 1, 2, 1), "gru": (1, 1, 2, 2), "sigmoid": (1,), "tanh": (2,)}
"""The factor that −x has in the exponent of each gate, by the kind of layer: 1 for a gate with
σ(x) = 1 / (1 + e⁻ˣ), and 2 for a gate with tanh x = (1 − e⁻²ˣ) / (1 + e⁻²ˣ)."""


def can_pack(model: LanguageModel) -> bool:
    """Return whether a model can be packed.

    `pack` must support its layers, and the first layer's table must have at most `LARGEST_TABLE`
    numbers.
    """
    if not isinstance(model, StackedLanguageModel):
        return False
    steps = [layer.step_weights for layer in model.layers]
    if any(step is None for step in steps):
        return False
    return model.vocab_size * padded(GATES * model.layers[0].size) <= LARGEST_TABLE


def pack(model: LanguageModel, dtype: torch.dtype, unknown_id: int | None) -> NumpyNetwork:
    """Return the packed network of a model for which `can_pack` is true.

    Args:
        model: The model, on any device; not modified.
        dtype: Type of the weights: torch.int8, bfloat16 or float32.
        unknown_id: Id of the unknown token, which the network must never draw; None if the
            vocabulary has none.

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
        layers: list[NetworkLayer[Tensor]] = []
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
        network = Network(
            model.vocab_size,
            (*layers,),
            functional.pad(matrix, (0, wide)),
            functional.pad(scale, (0, wide)),
            functional.pad(added[0], (0, wide), value=FORBIDDEN),
        )
        return network.mapped(_array)


def _array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array; bfloat16 numbers become uint16 with the same bits."""
    whole = tensor.contiguous()
    is_half = whole.dtype == torch.bfloat16
    array: NDArray[Any] = (whole.view(torch.uint16) if is_half else whole).numpy()
    return array


def _layer(
    layer: RecurrentLayer, state: list[Tensor], embeddings: Tensor | None, dtype: torch.dtype
) -> NetworkLayer[Tensor]:
    """Return one layer, packed.

    Args:
        layer: The layer of the model.
        state: The layer's initial state.
        embeddings: For the first layer, the embeddings of all tokens, shape (vocab, input), from
            which its table is computed; None for the other layers.
        dtype: Type of the weights.
    """
    step = layer.step_weights
    assert step is not None
    inputs, own, bias = (
        part.detach().cpu().double() for part in (step.inputs, step.own, step.bias)
    )
    rates = _rates(step.kind, layer.size)
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
        start,
        memory,
    )


def _columns(
    rows: Tensor, added: Tensor, rates: Tensor, dtype: torch.dtype, kind: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the packed weights: the `matrix`, `scale` and `added` of a `NetworkLayer`.

    Args:
        rows: Weights in double precision, shape (columns, depth).
        added: Summands that are added to the sums, shape (tokens, columns).
        rates: Factors by which both the sums and the summands are multiplied, shape (columns,).
        dtype: Type of the matrix.
        kind: Kind of the layer that produces the left factor.

    Returns:
        The matrix, shape (depth, columns); the scale of each column's sums, shape (columns,); and
        the summands that are added to the scaled sums, shape (tokens, columns).
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
    """Return the summands, corrected for the zero point of the bytes.

    Each byte q exceeds the value that it stands for by the zero point. This adds a constant to each
    sum, which is subtracted here in advance.
    """
    return (added * rates - zero * whole.sum(dim=1) * scale.double()).float()


def _byte_code(kind: str) -> tuple[float, float]:
    """Return how the state of a kind of layer is stored as bytes.

    The result is the number of byte steps per 1.0, and the byte that stands for 0.
    """
    return (255.0, 0.0) if kind == "sigmoid" else (127.0, 128.0)


def _as_factor(state: Tensor, kind: str, dtype: torch.dtype) -> Tensor:
    """Return a state in the form in which the left factor stores it: as bytes, or as floats."""
    if dtype != torch.int8:
        return state.to(dtype)
    unit, zero = _byte_code(kind)
    return (torch.round(state.clamp(-1.0, 1.0).float() * unit) + zero).to(torch.uint8)


def _padded(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Return rows padded with zeros, so that the length of each row is a multiple of 4 bytes."""
    numbers = 4 // dtype.itemsize
    return functional.pad(rows, (0, -rows.shape[1] % numbers))


def _order(step: StepWeights, size: int) -> Tensor:
    """Return which row of the layer's weights each packed column holds, or -1 for padding.

    The layer has all rows of its first gate, then all of its second, and so on. In packed order,
    the gates of the same units are next to each other.
    """
    if step.kind in ("sigmoid", "tanh"):
        return functional.pad(torch.arange(size), (0, padded(size) - size), value=-1)
    units = functional.pad(torch.arange(size), (0, -size % UNITS), value=-1).reshape(-1, 1, UNITS)
    gates = torch.arange(GATES).reshape(1, GATES, 1) * size
    return torch.where(units < 0, -1, units + gates).reshape(-1)


def _reordered(columns: Tensor, order: Tensor) -> Tensor:
    """Return `columns` with its last axis in packed order, and with zeros in padding columns."""
    chosen = columns[..., order.clamp(min=0)]
    return torch.where(order < 0, torch.zeros_like(chosen), chosen)


@dataclass(frozen=True)
class TableFactors:
    """The arrays from which the table of the first layer is computed, in packed order.

    In double precision, the table is `(embeddings @ inputs + bias) · rates - shifts`; its entries
    are then rounded to 32 bits.

    Attributes:
        embeddings: Embeddings of all tokens, shape (tokens, features), float32.
        inputs: Weights of the inputs, shape (features, columns), float32.
        bias: Biases, shape (columns,), double precision.
        rates: Factors of the gates, shape (columns,), double precision.
        shifts: Correction for the zero point of the bytes, shape (columns,), double precision.
    """

    embeddings: NDArray[np.float32]
    inputs: NDArray[np.float32]
    bias: NDArray[np.float64]
    rates: NDArray[np.float64]
    shifts: NDArray[np.float64]


def table_factors(model: LanguageModel, network: NumpyNetwork) -> TableFactors:
    """Return the arrays from which the first layer's table of an 8-bit network is computed.

    Args:
        model: The model that the network was packed from; not modified.
        network: Its packed network, with weights of 8 bits.
    """
    assert isinstance(model, StackedLanguageModel)
    layer, packed = model.layers[0], network.layers[0]
    step = layer.step_weights
    assert step is not None
    order = _order(step, layer.size)
    _, zero = _byte_code(step.kind)
    return TableFactors(
        _array(model.embedding.weight.detach().cpu().float()),
        _array(_reordered(step.inputs.detach().cpu().float().t(), order)),
        _array(_reordered(step.bias.detach().cpu().double(), order)),
        _array(_reordered(_rates(step.kind, layer.size), order)),
        zero * packed.matrix.sum(axis=0, dtype=np.int64) * packed.scale.astype(np.float64),
    )


def _rates(kind: str, size: int) -> Tensor:
    """Return the factor that makes each gate's sum an exponent of 2, shape (rows of the gates,)."""
    return torch.tensor(_RATES[kind]).double().repeat_interleave(size) * -LOG2_E
