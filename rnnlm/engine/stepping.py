"""Compute one time step of all slots in torch.

`NetworkSteps` computes the steps of a packed network, and `ModelSteps` those of any model by its
forward pass.

With 8 bits, a step of a packed network gives bit for bit the results of `rnnlm/kernels/slots.c`:
sums of products of bytes are exact integers in any order, and all other operations are the same in
the same order. So a machine without a compiler generates the same texts. With 16 and 32 bits, sums
differ in their last bits.

The state is updated in place and no operation waits for the device, so that a step can be recorded
as a CUDA graph.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rnnlm.kernels.slots import FORBIDDEN, GATES, LOG2_E, UNITS, NetworkLayer, NumpyNetwork
from rnnlm.models import LanguageModel
from rnnlm.sampling import power_of_two

_LARGEST_GATE = 40.0
_ROUNDS = 12582912.0


class Steps(Protocol):
    """Computes the logits of the next token in every slot."""

    def step(self, tokens: Tensor) -> Tensor:
        """Feed one token to each slot and return the logits of the next tokens.

        Args:
            tokens: The token for each slot, shape (slots,).

        Returns:
            The logits, shape (slots, vocab); the caller may modify them.
        """
        ...

    def reset(self, slots: Tensor) -> None:
        """Reset some slots to the initial state."""
        ...


class ModelSteps:
    """Computes the steps of any language model by its forward pass."""

    def __init__(self, model: LanguageModel, slots: int, unknown_id: int | None) -> None:
        """Set every slot to the model's initial state.

        Args:
            model: The model.
            slots: Number of slots.
            unknown_id: Id of the unknown token, whose logit is always `FORBIDDEN`; None if the
                vocabulary has none.
        """
        self._model, self._unknown_id = model, unknown_id
        self._start = model.initial_state(1)
        self._state = tuple(part.expand(slots, *part.shape[1:]).clone() for part in self._start)

    def step(self, tokens: Tensor) -> Tensor:
        """Feed one token per slot; see `Steps.step`."""
        found, state = self._model(tokens[:, None], self._state)
        for part, new in zip(self._state, state, strict=True):
            part.copy_(new)
        logits: Tensor = found[:, 0].float()
        if self._unknown_id is not None:
            logits[:, self._unknown_id] = FORBIDDEN
        return logits.clamp_min_(FORBIDDEN)

    def reset(self, slots: Tensor) -> None:
        """Reset some slots to the initial state."""
        for part, initial in zip(self._state, self._start, strict=True):
            part[slots] = initial


class NetworkSteps:
    """Computes the steps of a packed network."""

    def __init__(self, network: NumpyNetwork, slots: int, device: torch.device) -> None:
        """Set every slot to the initial state."""
        self._network = network.mapped(lambda array: _tensor(array, device))
        self._products = [_product(layer.matrix) for layer in self._network.layers]
        self._output = _product(self._network.matrix)
        self._own = [layer.start.expand(slots, -1).clone() for layer in self._network.layers]
        self._memory = [layer.memory.expand(slots, -1).clone() for layer in self._network.layers]

    def step(self, tokens: Tensor) -> Tensor:
        """Feed one token per slot; see `Steps.step`."""
        below = self._own[0][:, :0]
        for number, layer in enumerate(self._network.layers):
            own = self._own[number]
            sums = self._products[number](torch.cat([below, own], dim=1))
            added = layer.added[tokens] if len(layer.added) > 1 else layer.added
            outputs, memory = _cell(layer, sums * layer.scale + added, self._memory[number])
            self._memory[number].copy_(memory)
            below = own.copy_(_as_factors(outputs[:, : layer.units], layer))
        logits = self._output(below) * self._network.scale + self._network.added
        return logits[:, : self._network.vocab_size]

    def reset(self, slots: Tensor) -> None:
        """Reset some slots to the initial state."""
        for number, layer in enumerate(self._network.layers):
            self._own[number][slots] = layer.start
            self._memory[number][slots] = layer.memory


class _Bytes:
    """Multiplies unsigned bytes by a matrix of signed bytes; the exact sums become floats.

    On a GPU, torch multiplies only matrices of more than 16 rows whose depth is a multiple of 8, so
    zeros are added.
    """

    def __init__(self, matrix: Tensor) -> None:
        self._matrix = functional.pad(matrix, (0, 0, 0, -len(matrix) % 8)).contiguous()
        self._shift = 128 * matrix.to(torch.int32).sum(dim=0, dtype=torch.int32)

    def __call__(self, factors: Tensor) -> Tensor:
        signed = (factors.to(torch.int16) - 128).to(torch.int8)
        slots, depth = signed.shape
        signed = functional.pad(signed, (0, len(self._matrix) - depth, 0, max(0, 17 - slots)))
        return (torch._int_mm(signed, self._matrix)[:slots] + self._shift).float()


class _Floats:
    """Multiplies factors of 16 or 32 bits by a matrix; the sums have 32 bits."""

    def __init__(self, matrix: Tensor) -> None:
        self._halves = matrix.dtype == torch.bfloat16 and matrix.is_cuda
        self._matrix = matrix.contiguous() if self._halves else matrix.float().contiguous()

    def __call__(self, factors: Tensor) -> Tensor:
        if self._halves:
            return torch.mm(factors, self._matrix, out_dtype=torch.float32)
        return torch.mm(factors.float(), self._matrix)


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array of a packed network as a tensor; 16 bits are those of a bfloat16 number."""
    tensor = torch.from_numpy(array)
    return (tensor.view(torch.bfloat16) if tensor.dtype == torch.uint16 else tensor).to(device)


def _product(matrix: Tensor) -> _Bytes | _Floats:
    return _Bytes(matrix) if matrix.dtype == torch.int8 else _Floats(matrix)


def _cell(layer: NetworkLayer[Tensor], t: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Return a layer's outputs and its new memory, both of shape (slots, padded units).

    This does the same as `apply_cell` in slots.c.

    Args:
        layer: The layer.
        t: The exponents of its gates, to base 2, shape (slots, columns).
        memory: The cells of an LSTM, or the states of a GRU; other layers do not use it.
    """
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
        c = _gate(cell * (-2.0 * _LOG2_E))
        return ((1.0 - c) / (o * (c + 1.0))).flatten(1), cell.flatten(1)
    r, z = (_gate(gates[n]) + 1.0 for n in (0, 1))
    g = _gate(gates[2] + gates[3] / r)
    n = (1.0 - g) / (g + 1.0)
    state = (n + (kept - n) / z).flatten(1)
    return state, state


def _gate(t: Tensor) -> Tensor:
    return power_of_two(t, _LARGEST_GATE)


def _as_factors(outputs: Tensor, layer: NetworkLayer[Tensor]) -> Tensor:
    """Return outputs in the form that the next product reads: bytes or floats, padded with zeros.

    This does the same as `write_factors` in slots.c.
    """
    width = len(layer.start) - layer.units
    if layer.start.dtype != torch.uint8:
        return functional.pad(outputs, (0, width)).to(layer.start.dtype)
    unit, zero = (255.0, 0) if layer.kind == "sigmoid" else (127.0, 128)
    whole = (outputs.clamp(-1.0, 1.0) * unit + _ROUNDS).view(torch.int32) + zero
    return functional.pad(whole & 255, (0, width)).to(torch.uint8)


_LOG2_E = float(torch.tensor(LOG2_E, dtype=torch.float32))
"""log₂ e rounded to 32 bits."""
