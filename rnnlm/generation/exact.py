"""Steps of a network in torch, to the bits of `rnnlm/kernels/slots.c` where words hold bytes.

Sums of bytes are exact integers in any order, and the rest are the same single operations, so a
machine without a compiler generates the same texts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlm.kernels.native import COLUMNS
from rnnlm.kernels.slots import GATES, LOG2_E, UNITS, Network, NetworkLayer
from rnnlm.sampling import power_of_two

_LARGEST_GATE = 40.0
_ROUNDS = 12582912.0


class ExactSteps:
    """The state of all slots, and their step; 8-bit networks only."""

    def __init__(self, network: Network, slots: int) -> None:
        """Start every slot afresh."""
        assert network.dtype == torch.int8
        self._network = network
        self._products = [_Product(layer.matrix) for layer in network.layers]
        self._output = _Product(network.matrix)
        self._own = [layer.start.expand(slots, -1).clone() for layer in network.layers]
        self._memory = [layer.memory.expand(slots, -1).clone() for layer in network.layers]

    def step(self, tokens: Tensor) -> Tensor:
        """Take one token in, shape (slots,); return logits (slots, vocab). Mutates the state."""
        below = self._own[0][:, :0]
        for number, layer in enumerate(self._network.layers):
            sums = self._products[number](torch.cat([below, self._own[number]], dim=1))
            added = layer.added[tokens] if len(layer.added) > 1 else layer.added
            outputs, self._memory[number] = _cell(
                layer, sums * layer.scale + added, self._memory[number]
            )
            self._own[number] = _as_bytes(outputs[:, : layer.units], layer)
            below = self._own[number]
        logits = self._output(below) * self._network.scale + self._network.added
        return logits[:, : self._network.vocab_size]

    def reset(self, slots: Tensor) -> None:
        """Start some slots afresh."""
        for number, layer in enumerate(self._network.layers):
            self._own[number][slots] = layer.start
            self._memory[number][slots] = layer.memory


class _Product:
    """Sums of unsigned bytes times a matrix of signed ones, as floats of the exact integers."""

    def __init__(self, matrix: Tensor) -> None:
        self._matrix = matrix.contiguous()
        self._shift = 128 * matrix.to(torch.int32).sum(dim=0, dtype=torch.int32)

    def __call__(self, factors: Tensor) -> Tensor:
        signed = (factors.to(torch.int16) - 128).to(torch.int8)
        return (torch._int_mm(signed, self._matrix) + self._shift).float()


def _cell(layer: NetworkLayer, t: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Return outputs and memory, both (slots, padded units)."""
    if layer.kind in ("sigmoid", "tanh"):
        e = _gate(t)
        one = 1.0 if layer.kind == "sigmoid" else 1.0 - e
        return one / (e + 1.0), memory
    gates = t.reshape(len(t), -1, GATES, UNITS).unbind(2)
    kept = memory.reshape(len(t), -1, UNITS)
    if layer.kind == "lstm":
        i, f, o = (_gate(gates[n]) + 1.0 for n in (0, 1, 3))
        g = _gate(gates[2])
        both = i * (g + 1.0)
        cell = (kept * both + (1.0 - g) * f) / (f * both)
        c = _gate(cell * (-2.0 * _as_float(LOG2_E)))
        return ((1.0 - c) / (o * (c + 1.0))).flatten(1), cell.flatten(1)
    r, z = (_gate(gates[n]) + 1.0 for n in (0, 1))
    g = _gate(gates[2] + gates[3] / r)
    n = (1.0 - g) / (g + 1.0)
    state = (n + (kept - n) / z).flatten(1)
    return state, state


def _gate(t: Tensor) -> Tensor:
    return power_of_two(t, _LARGEST_GATE)


def _as_bytes(outputs: Tensor, layer: NetworkLayer) -> Tensor:
    unit, zero = (255.0, 0) if layer.kind == "sigmoid" else (127.0, 128)
    whole = (outputs.clamp(-1.0, 1.0) * unit + _ROUNDS).view(torch.int32) + zero
    width = len(layer.start) - layer.units
    return torch.nn.functional.pad(whole & 255, (0, width)).to(torch.uint8)


def _as_float(value: float) -> float:
    """Return a number as 32 bits hold it."""
    return float(torch.tensor(value, dtype=torch.float32))


assert COLUMNS == GATES * UNITS
