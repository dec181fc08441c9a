"""Lay out a packed network for the Triton kernels of `rnnlm.kernels.triton_layer`.

All layers share one array of outputs per time step, and one of cells. So the kernel that draws
tokens resets a slot by copying one row to each. Units, depths and slots are padded with zeros to
whole tiles, so that the kernels need no masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rnnlm.engine.packing import can_pack
from rnnlm.kernels.slots import GATES, UNITS, NumpyNetwork
from rnnlm.models import LanguageModel
from rnnlm.models.stack import StackedLanguageModel

KINDS = ("lstm", "gru")
"""Kinds of layers that the kernels compute."""
MOST_TOKENS = 1 << 15
"""Largest vocabulary: the kernel that draws keeps a whole row of logits in registers."""
OLDEST_GPU = (8, 0)
"""Least compute capability: the first with products of bfloat16 numbers."""
MOST_TILE_SLOTS, TILE_UNITS, TILE_COLUMNS, TILE_DEPTH = 128, 32, 64, 64


def can_fuse(model: LanguageModel) -> bool:
    """Return whether the kernels can sample from a model, and can be compiled for its GPU."""
    is_nvidia = model.device.type == "cuda" and torch.version.cuda is not None
    if not is_nvidia or find_spec("triton") is None:
        return False
    capable = torch.cuda.get_device_capability(model.device) >= OLDEST_GPU
    return capable and is_supported(model)


def is_supported(model: LanguageModel) -> bool:
    """Return whether there are kernels for a model, whatever its device."""
    if not can_pack(model) or model.vocab_size > MOST_TOKENS:
        return False
    assert isinstance(model, StackedLanguageModel)
    steps = (layer.step_weights for layer in model.layers)
    return all(step is not None and step.kind in KINDS for step in steps)


@dataclass(frozen=True)
class FusedLayer:
    """A recurrent layer on the device; for the arrays, see `step_layer`.

    Attributes:
        kind: `lstm` or `gru`.
        below: Column of `states` at which the outputs of the layer below begin.
        below_depth: Number of these outputs, padded; 0 for the first layer.
        own: Column of `states` at which the layer's own outputs begin.
        own_depth: Number of them, padded.
        units: Number of units, padded; the width of the layer's part of `memory`.
        memory: Column of `memory` at which the layer's cells begin.
        matrix: Weights, shape (columns, below_depth + own_depth).
        scale: Factor of each column's sums, shape (columns,).
        shift: What is added to sums of bytes, as these are stored less 128; shape (columns,).
        added: Summands, shape (tokens or 1, columns).
    """

    kind: str
    below: int
    below_depth: int
    own: int
    own_depth: int
    units: int
    memory: int
    matrix: Tensor
    scale: Tensor
    shift: Tensor
    added: Tensor


@dataclass(frozen=True)
class FusedNetwork:
    """A network on the device.

    Attributes:
        vocab_size: Number of tokens in the vocabulary.
        layers: The recurrent layers.
        matrix: Weights of the output layer, shape (columns, depth).
        scale: Factor of each token's sum, shape (columns,).
        shift: As in `FusedLayer`, shape (columns,).
        added: Biases, shape (columns,).
        start: Outputs of all layers at the beginning of a text, shape (state width,).
        memory: Cells of all layers at the beginning of a text, shape (memory width,).
    """

    vocab_size: int
    layers: tuple[FusedLayer, ...]
    matrix: Tensor
    scale: Tensor
    shift: Tensor
    added: Tensor
    start: Tensor
    memory: Tensor


def fuse(network: NumpyNetwork, device: torch.device) -> FusedNetwork:
    """Return a packed network in the layout of the kernels.

    Args:
        network: The packed network; its layers are of `KINDS`.
        device: The device to put it on.
    """
    layers: list[FusedLayer] = []
    starts, memories = [], []
    below = width = cells = 0
    for packed in network.layers:
        layer = packed.mapped(_tensor)
        below_depth = layers[-1].own_depth if layers else 0
        own_depth, units = _whole(layer.units, TILE_DEPTH), _whole(layer.units, TILE_UNITS)
        depths = (below_depth, own_depth)
        columns = _by_tile(torch.cat([layer.matrix, layer.scale[None], layer.added]), units)
        matrix = columns[: len(layer.matrix)]
        matrix = _with_depths(matrix.to(layer.matrix.dtype), layer.own, depths)
        scale, added = columns[len(layer.matrix)], columns[len(layer.matrix) + 1 :]
        layers.append(
            FusedLayer(
                layer.kind,
                below,
                below_depth,
                width,
                own_depth,
                units,
                cells,
                matrix.to(device),
                scale.float().contiguous().to(device),
                _shift(matrix).to(device),
                added.float().contiguous().to(device),
            )
        )
        starts.append(_resized(_signed(layer.start)[None], own_depth)[0])
        memories.append(_resized(layer.memory[None], units)[0])
        below, width, cells = width, width + own_depth, cells + units
    matrix = _resized(_tensor(network.matrix).t(), layers[-1].own_depth).contiguous()
    return FusedNetwork(
        network.vocab_size,
        (*layers,),
        matrix.to(device),
        _tensor(network.scale).to(device),
        _shift(matrix).to(device),
        _tensor(network.added).to(device),
        torch.cat(starts).to(device),
        torch.cat(memories).to(device),
    )


def _tensor(array: Any) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if tensor.dtype == torch.uint16 else tensor


def _whole(count: int, tile: int) -> int:
    return -(-count // tile) * tile


def _resized(rows: Tensor, width: int) -> Tensor:
    """Return rows cut off or padded with zeros to `width`; what is cut off is padding."""
    return functional.pad(rows, (0, width - rows.shape[-1]))


def _by_tile(rows: Tensor, units: int) -> Tensor:
    """Return rows whose columns are in packed order, in the order of tiles.

    A block in packed order has `UNITS` units; a tile here has `TILE_UNITS`.
    """
    gates = rows.reshape(len(rows), -1, GATES, UNITS).transpose(1, 2).reshape(len(rows), GATES, -1)
    tiles = _resized(gates, units).reshape(len(rows), GATES, -1, TILE_UNITS)
    return tiles.transpose(1, 2).reshape(len(rows), -1)


def _with_depths(matrix: Tensor, own: int, depths: tuple[int, int]) -> Tensor:
    """Return a matrix of shape (depth, columns) with one row per column, and padded depths."""
    parts = matrix[:own].t(), matrix[own:].t()
    return torch.cat([_resized(part, n) for part, n in zip(parts, depths, strict=True)], dim=1)


def _signed(start: Tensor) -> Tensor:
    """Return a state as the kernels store it: bytes less 128, other numbers unchanged."""
    return (start.short() - 128).to(torch.int8) if start.dtype == torch.uint8 else start


def _shift(matrix: Tensor) -> Tensor:
    """Return what makes sums of bytes that are stored less 128 equal to those of the bytes."""
    if matrix.dtype != torch.int8:
        return torch.zeros(len(matrix), dtype=torch.int32)
    return 128 * matrix.to(torch.int32).sum(dim=1, dtype=torch.int32)
