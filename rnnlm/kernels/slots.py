"""Interface to `slots.c`, which steps many texts together, and the layout of a network there.

A network is a stack of recurrent layers under an output layer. A layer's step is one product: the
left factor holds the output of the layer below and the layer's own state; the right factor holds
the weights of both. The first layer has none below: the contribution of its inputs is looked up in
a table by token. Columns come in blocks of `COLUMNS`: sixteen units with their four gates side by
side, or sixty-four units of a simple layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_double, c_float, c_int64, c_long, c_uint64, c_void_p
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnlm.kernels.native import COLUMNS, library, pack

KINDS = ("lstm", "gru", "sigmoid", "tanh")
GATES = 4
UNITS = COLUMNS // GATES
LOG2_E = 1.4426950408889634
FORBIDDEN = -1e30
"""Logit of a token that is never drawn."""
ONE = 1 << 30
"""Weight of the likeliest token."""
_WORDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}


@dataclass(frozen=True)
class NetworkLayer:
    """A recurrent layer, packed for stepping.

    Attributes:
        kind: One of `KINDS`.
        units: Hidden units.
        own: Position in the left factor where the layer's own state begins.
        matrix: (depth, columns), the right factor, in the network's type.
        scale: (columns,), factors of the sums.
        added: (tokens or 1, columns), summands that are added to the scaled sums.
        start: (depth - own,), the own state of a new text as stored in the left factor: uint8
            (see `rnnlm.engine.packing`), bfloat16 or float32.
        memory: (padded units,), the cells of a new text; for a GRU, its state.
    """

    kind: str
    units: int
    own: int
    matrix: Tensor
    scale: Tensor
    added: Tensor
    start: Tensor
    memory: Tensor


@dataclass(frozen=True)
class Network:
    """A model, packed for stepping.

    Attributes:
        dtype: Type of the right factors: torch.int8, bfloat16 or float32.
        vocab_size: Distinct tokens.
        layers: The recurrent layers, from the first to the last.
        matrix: (depth, padded vocab), the right factor of the output layer.
        scale: (padded vocab,), factors of its sums.
        added: (padded vocab,), summands; `FORBIDDEN` for tokens that are never drawn.
    """

    dtype: torch.dtype
    vocab_size: int
    layers: tuple[NetworkLayer, ...]
    matrix: Tensor
    scale: Tensor
    added: Tensor

    def to(self, device: torch.device) -> Network:
        """Return the network on a device."""
        layers = (_moved(layer, device) for layer in self.layers)
        return replace(_moved(self, device), layers=(*layers,))


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """How a token is drawn from logits; see `rnnlm.sampling`.

    Attributes:
        log2_inverse_temperature: log₂ e / temperature; 0 takes the likeliest token.
        top_k: Number of tokens to keep; 0 for all.
        top_p: Share of the probability to keep; 1 for all.
        least: Smallest weight to keep; the likeliest token weighs `ONE`.
    """

    log2_inverse_temperature: float
    top_k: int
    top_p: float
    least: int


@dataclass(frozen=True, kw_only=True)
class SlotSettings(DrawSettings):
    """How the tokens of a text are drawn, and which texts are allowed.

    Attributes:
        penalty: Repetition penalty; 1 for none.
        min_length: Number of tokens before the boundary is allowed.
        max_length: Most tokens of a text, including the boundary.
        successors: (states, vocab), int32, of a `rnnlm.constraints.Automaton`; None without one.
        distance: (states,), int32, of the same automaton.
        starts: (prefixes,), int32: the automaton's state after each prefix.
    """

    penalty: float
    min_length: int
    max_length: int
    successors: NDArray[np.int32] | None = None
    distance: NDArray[np.int32] | None = None
    starts: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class EndedTexts:
    """Texts that have ended.

    Attributes:
        numbers: (texts,), numbers of the texts within the job.
        lengths: (texts,), tokens sampled, including a closing boundary.
        tokens: (sum of lengths,), sampled tokens of all texts, end to end.
        complete: (texts,), whether the model ended the text, rather than it being cut short.
        log_probs: (texts,), log-probabilities in nats, under the model itself.
    """

    numbers: NDArray[np.int64]
    lengths: NDArray[np.int64]
    tokens: NDArray[np.int32]
    complete: NDArray[np.bool_]
    log_probs: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[EndedTexts]) -> EndedTexts:
        """Return the texts of all parts, end to end."""
        if not parts:
            kinds: tuple[Any, ...] = (np.int64, np.int64, np.int32, np.bool_, np.float64)
            return cls(*(np.zeros(0, kind) for kind in kinds))
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))


Part = TypeVar("Part", Network, NetworkLayer)


def _moved(part: Part, device: torch.device) -> Part:
    moved: dict[str, Any] = {
        name: value.to(device) for name, value in vars(part).items() if isinstance(value, Tensor)
    }
    return replace(part, **moved)


class _Layer(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("kind", "units", "depth", "own")),
        *((name, c_void_p) for name in ("weight", "scale", "added")),
        ("by_token", c_int64),
        ("factors", c_void_p * 2),
        *((name, c_void_p) for name in ("memory", "start", "start_memory")),
    )


class _Output(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("vocab", "depth")),
        *((name, c_void_p) for name in ("weight", "scale", "added", "factors")),
        *((name, c_void_p) for name in ("logits", "changed", "weights")),
    )


class _Sampling(Structure):
    _fields_ = (
        ("top_p", c_double),
        *((name, c_float) for name in ("log2_inverse_temperature", "penalty")),
        *((name, c_int64) for name in ("top_k", "least", "min_length", "max_length")),
        *((name, c_void_p) for name in ("successors", "distance", "starts")),
        ("farthest", c_int64),
    )


class _Job(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("kind", "layers", "lanes", "parity", "next", "end")),
        *((name, c_int64) for name in ("prefixes", "scores", "room", "most", "used", "done")),
        ("seed", c_uint64),
        ("layer", POINTER(_Layer)),
        ("output", _Output),
        ("sampling", _Sampling),
        *((name, c_void_p) for name in ("prefix", "prefix_starts", "lane")),
        *((name, c_void_p) for name in ("tokens", "seen", "texts", "ended")),
    )


_ENDED = np.dtype(
    [(name, np.int64) for name in ("number", "length", "complete", "exponent")]
    + [(name, np.float64) for name in ("logits", "product")]
)
_LANE_BYTES = 9 * 8


class NativeSlots:
    """A batch of slots in native code; mutated by `run`."""

    def __init__(
        self,
        network: Network,
        settings: SlotSettings,
        lanes: int,
        seed: int,
        prefixes: list[NDArray[np.int32]],
        *,
        scores: bool = False,
    ) -> None:
        """Allocate everything; nothing runs yet.

        Args:
            network: Network to step; kept, not modified.
            settings: How tokens are drawn.
            lanes: Number of texts that step together.
            seed: Seed of the job.
            prefixes: Tokens of the prefixes; text n begins with `prefixes[n % len(prefixes)]`.
            scores: Score prefixes instead of sampling: a text ends with its prefix, and its
                log-probability is that of the prefix.
        """
        self._lanes = lanes
        self._kept: list[Any] = [network]
        job = self._job = _Job()
        job.kind, job.layers, job.scores = _WORDS[network.dtype], len(network.layers), int(scores)
        job.seed = seed & (2**64 - 1)
        job.layer = (_Layer * len(network.layers))(*map(self._layer, network.layers))
        job.output = self._output(network)
        job.sampling = self._sampling(settings)
        starts = np.cumsum([0, *map(len, prefixes)], dtype=np.int64)
        flat = np.concatenate([*prefixes, np.zeros(1, np.int32)]).astype(np.int32)
        job.prefixes, job.prefix, job.prefix_starts = (
            len(prefixes),
            self._address(flat),
            self._address(starts),
        )
        length = settings.max_length
        job.lane = self._address(np.zeros(lanes * _LANE_BYTES, np.uint8))
        job.tokens = self._address(np.empty(lanes * length, np.int32))
        job.seen = self._address(np.zeros(lanes * -(-network.vocab_size // 64), np.uint64))
        job.most, job.room = max(16 * lanes, 4096), max(4 * lanes * length, 1 << 16)
        self._texts, self._ended = np.empty(job.room, np.int32), np.empty(job.most, _ENDED)
        job.texts, job.ended = self._address(self._texts), self._address(self._ended)

    def fill(self, first: int, count: int) -> None:
        """Set the numbers of the next texts; the texts of an earlier call must have ended."""
        self._job.next, self._job.end = first, first + count

    def run(self, steps: int) -> EndedTexts:
        """Take at most `steps` steps; return the texts that ended, in the order they ended."""
        self._job.done = self._job.used = 0
        function = library().slots_run  # type: ignore[union-attr]
        function(byref(self._job), c_long(steps), c_long(self._lanes))
        ended, tokens = self._ended[: self._job.done], self._texts[: self._job.used].copy()
        log_sums = np.log(ended["product"]) + ended["exponent"] * np.log(2.0)
        return EndedTexts(
            ended["number"].copy(),
            ended["length"].copy(),
            tokens,
            ended["complete"] != 0,
            ended["logits"] - log_sums,
        )

    @property
    def is_done(self) -> bool:
        """Whether all texts have ended and none is waiting to begin."""
        return not self._job.lanes and self._job.next >= self._job.end

    def _layer(self, layer: NetworkLayer) -> _Layer:
        made = _Layer()
        made.kind, made.units, made.by_token = (
            KINDS.index(layer.kind),
            layer.units,
            int(len(layer.added) > 1),
        )
        depth, size = len(layer.matrix), layer.start.element_size()
        made.depth, made.own = depth * size // 4, layer.own * size
        made.weight = self._address(pack(layer.matrix, layer.matrix.dtype))
        made.scale, made.added = self._address(layer.scale), self._address(layer.added)
        factors = (torch.zeros(self._lanes, depth, dtype=layer.start.dtype) for _ in range(2))
        made.factors[:] = [self._address(part) for part in factors]
        made.memory = self._address(torch.zeros(self._lanes, len(layer.memory)))
        made.start, made.start_memory = self._address(layer.start), self._address(layer.memory)
        return made

    def _output(self, network: Network) -> _Output:
        made = _Output()
        depth, start = len(network.matrix), network.layers[-1].start
        wide = len(network.added)
        made.vocab, made.depth = network.vocab_size, depth * start.element_size() // 4
        made.weight = self._address(pack(network.matrix, network.dtype))
        made.scale, made.added = self._address(network.scale), self._address(network.added)
        made.factors = self._address(torch.zeros(self._lanes, depth, dtype=start.dtype))
        made.logits = self._address(torch.zeros(self._lanes, wide))
        made.changed = self._address(torch.zeros(wide))
        made.weights = self._address(torch.zeros(wide, dtype=torch.int32))
        return made

    def _sampling(self, settings: SlotSettings) -> _Sampling:
        made = _Sampling()
        for name in (
            "log2_inverse_temperature",
            "penalty",
            "top_k",
            "top_p",
            "least",
            "min_length",
            "max_length",
        ):
            setattr(made, name, getattr(settings, name))
        if settings.successors is not None and settings.distance is not None:
            made.successors = self._address(settings.successors)
            made.distance = self._address(settings.distance)
            made.farthest = int(settings.distance.max())
            if settings.starts is not None:
                made.starts = self._address(settings.starts)
        return made

    def _address(self, array: Tensor | NDArray[Any]) -> int:
        """Return the address of an array's data; the array lives as long as the slots."""
        if isinstance(array, Tensor):
            array = array.contiguous()
            self._kept.append(array)
            return array.data_ptr()
        array = np.ascontiguousarray(array)
        self._kept.append(array)
        return int(array.ctypes.data)
