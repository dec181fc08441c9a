"""Write a packed network as bytes that a web page can hold.

The table of the first layer (what each token of the vocabulary adds to the layer's sums) can be
much larger than everything else: 33 MB for 4,096 word pieces and 512 LSTM units. It is the product
of the embedding and the layer's input weights, so those are written instead if they are smaller,
and the page computes the rows it needs. Both sides compute in double precision and round to 32
bits. The order of additions changes the last bits of a double. So an entry that is close enough to
the midpoint of two 32-bit numbers for this to change its rounding is written out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rnnlm.engine.packing import TableFactors, pack, table_factors
from rnnlm.kernels.native import blocks
from rnnlm.kernels.slots import KINDS, NumpyNetwork
from rnnlm.models import LanguageModel

Arrays = dict[str, NDArray[Any]]
_ROUNDING = 2.0**-53
"""Largest relative error of an operation in double precision."""
_TOKENS_AT_ONCE = 512


def network_arrays(model: LanguageModel, unknown_id: int | None) -> tuple[dict[str, Any], Arrays]:
    """Return a model's packed network with weights of 8 bits, as sizes and arrays.

    Args:
        model: A model for which `rnnlm.engine.packing.can_pack` is true; not modified.
        unknown_id: Id of the unknown token, which is never drawn; None if there is none.

    Returns:
        The sizes, which can be written as JSON; and the arrays by name, such as `0.weight`.

    Raises:
        CheckpointError: A weight is not a finite number.
    """
    network = pack(model, torch.int8, unknown_id)
    layers, arrays = [], {}
    for number, layer in enumerate(network.layers):
        layers.append(
            {
                "kind": KINDS.index(layer.kind),
                "units": layer.units,
                "depth": len(layer.matrix) // 4,
                "own": layer.own,
                "memory": len(layer.memory),
            }
        )
        arrays[f"{number}.weight"] = blocks(layer.matrix)
        arrays[f"{number}.scale"] = layer.scale
        arrays[f"{number}.start"] = layer.start
        arrays[f"{number}.memory"] = layer.memory
        if number:
            arrays[f"{number}.added"] = layer.added
    arrays["output.weight"] = blocks(network.matrix)
    arrays["output.scale"], arrays["output.added"] = network.scale, network.added
    table = _table(network, table_factors(model, network))
    sizes: dict[str, Any] = {
        "vocab": network.vocab_size,
        "layers": layers,
        "depth": len(network.matrix) // 4,
    }
    if "table.inputs" in table:
        sizes["features"] = len(table["table.inputs"])
    return sizes, arrays | table


def _table(network: NumpyNetwork, factors: TableFactors) -> Arrays:
    """Return the first layer's table, or the arrays to compute it from if they are smaller."""
    whole = network.layers[0].added
    places = _unsure(whole, factors)
    computed: Arrays = {
        **{f"table.{name}": value for name, value in vars(factors).items()},
        "table.places": places.astype(np.uint32),
        "table.values": whole.reshape(-1)[places],
    }
    if whole.nbytes <= sum(array.nbytes for array in computed.values()):
        return {"0.added": whole}
    return computed


def _unsure(whole: NDArray[np.float32], factors: TableFactors) -> NDArray[np.int64]:
    """Return the places (token · columns + column) of entries whose rounding is not certain.

    Every other entry is rounded to the same 32-bit number whatever the order of additions. The
    bound on the error of a sum of products is that of Higham 2002, section 3.1, with the norms of
    the factors in place of the sum of absolute products.
    """
    inputs, rates = factors.inputs.astype(np.float64), np.abs(factors.rates)
    lengths = np.linalg.norm(inputs, axis=0)
    found = []
    for first in range(0, len(whole), _TOKENS_AT_ONCE):
        rows = factors.embeddings[first : first + _TOKENS_AT_ONCE].astype(np.float64)
        values = (rows @ inputs + factors.bias) * factors.rates - factors.shifts
        largest = np.linalg.norm(rows, axis=1, keepdims=True) * lengths + np.abs(factors.bias)
        operations = inputs.shape[0] + 8
        error = operations * largest * rates + 4.0 * (np.abs(factors.shifts) + np.abs(values))
        error *= 2.0 * _ROUNDING
        is_unsure = (values - error).astype(np.float32) != (values + error).astype(np.float32)
        found.append(np.flatnonzero(is_unsure) + first * whole.shape[1])
    return np.concatenate(found)
