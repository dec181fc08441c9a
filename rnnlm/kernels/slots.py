"""Interface to `slots.c`, which samples many texts together, and the layout of a model there.

A slot, called a lane in the C code, is a row of the batch that holds one text at a time. A model in
this layout is called a network: a stack of recurrent layers and an output layer. A time step of a
layer is one matrix product for all lanes:

- The left factor has a row per lane, which holds the output of the layer below, followed by the
  layer's own state. The first layer has only its own state there; the contribution of its inputs
  is looked up in a table by token.
- The right factor holds the corresponding weights, one column per sum. "Depth" is the length of its
  columns. Columns come in blocks of `COLUMNS`: a block holds sixteen hidden units with four sums
  (gates) each, those of the first gate first, or sixty-four units of a simple layer.

The results are then multiplied by a scale per column, as weights may be quantised to 8 bits, and a
bias is added. `rnnlm.engine.packing` makes networks from models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ctypes import POINTER, Structure, byref, c_double, c_float, c_int64, c_long, c_uint64, c_void_p
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnnlm.kernels.native import COLUMNS, LINE, aligned, blocks, library

KINDS = ("lstm", "gru", "sigmoid", "tanh")
GATES = 4
UNITS = COLUMNS // GATES
LOG2_E = 1.4426950408889634
FORBIDDEN = -1e30
"""Logit that marks a token as one that is never drawn."""
ONE = 1 << 30
"""Weight of the likeliest token; probabilities are represented by integers up to this one."""
_WORDS = {"float32": 0, "uint16": 1, "int8": 2}
_LARGEST_RATE = 1e30

Array = TypeVar("Array")
Other = TypeVar("Other")


@dataclass(frozen=True)
class NetworkLayer(Generic[Array]):
    """A recurrent layer in the layout that the module docstring describes.

    Attributes:
        kind: Kind of the layer, one of `KINDS`.
        units: Number of hidden units.
        own: Index in a row of the left factor at which the layer's own state begins.
        matrix: The right factor, shape (depth, columns), of the network's type.
        scale: Factor that each sum is multiplied by, shape (columns,).
        added: Values that are added to the scaled sums: for the first layer, biases plus the
            contribution of each token as an input, shape (tokens, columns); for others, biases
            only, shape (1, columns).
        start: The layer's own state at the beginning of a text, as stored in the left factor:
            shape (depth - own,), of type uint8 (see `rnnlm.engine.packing`), uint16 (the bits of
            bfloat16 numbers) or float32.
        memory: State that is kept in 32-bit floats apart from the left factor, at the beginning of
            a text: the cells of an LSTM, or the hidden state of a GRU. Its length is `units`
            rounded up to whole blocks.
    """

    kind: str
    units: int
    own: int
    matrix: Array
    scale: Array
    added: Array
    start: Array
    memory: Array

    def mapped(self, convert: Callable[[Array], Other]) -> NetworkLayer[Other]:
        """Return the layer with each of its arrays converted."""
        arrays = (self.matrix, self.scale, self.added, self.start, self.memory)
        return NetworkLayer(self.kind, self.units, self.own, *map(convert, arrays))


@dataclass(frozen=True)
class Network(Generic[Array]):
    """A model in the layout that the module docstring describes.

    Its arrays are numpy arrays, or torch tensors on a device. All right factors have the same type:
    int8, float32, or uint16 for the bits of bfloat16 numbers, which numpy does not have.

    Attributes:
        vocab_size: Number of tokens in the vocabulary; "padded" means rounded up to `COLUMNS`.
        layers: The recurrent layers, from the first to the last.
        matrix: The right factor of the output layer, shape (depth, padded vocab).
        scale: Factor that each sum of the output layer is multiplied by, shape (padded vocab,).
        added: Biases of the output layer, shape (padded vocab,); `FORBIDDEN` for tokens that are
            never drawn.
    """

    vocab_size: int
    layers: tuple[NetworkLayer[Array], ...]
    matrix: Array
    scale: Array
    added: Array

    def mapped(self, convert: Callable[[Array], Other]) -> Network[Other]:
        """Return the network with each of its arrays converted."""
        layers = tuple(layer.mapped(convert) for layer in self.layers)
        arrays = (self.matrix, self.scale, self.added)
        return Network(self.vocab_size, layers, *map(convert, arrays))


NumpyNetwork = Network[NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """Settings of how a token is drawn from logits; see `rnnlm.sampling`.

    A token's weight is an integer proportional to its probability.

    Attributes:
        log2_inverse_temperature: log₂ e / temperature; 0 means that the likeliest token is taken.
        top_k: Draw only from this many likeliest tokens; 0 for all tokens.
        top_p: Draw only from the likeliest tokens that together have this share of the probability;
            1 for all tokens.
        least: Draw only tokens of at least this weight, where the likeliest token has weight `ONE`
            (min-p sampling).
    """

    log2_inverse_temperature: float
    top_k: int
    top_p: float
    least: int


@dataclass(frozen=True, kw_only=True)
class SlotSettings(DrawSettings):
    """Settings of how texts are drawn, and which texts are allowed.

    An automaton restricts texts: it has a state after each token, which determines the tokens that
    may follow (see `rnnlm.constraints.Automaton`).

    Attributes:
        penalty: Repetition penalty: positive logits of tokens that occur in the text are divided by
            it, and negative ones multiplied; 1 for none.
        min_length: Number of tokens that a text must have before the boundary token, which ends a
            text, may be drawn.
        max_length: Most tokens of a text, including the boundary.
        successors: Table of an automaton: the state after each token, shape (states, vocab), int32;
            None without an automaton.
        distance: Fewest tokens until a text can end, for each state of the automaton, shape
            (states,), int32.
        starts: State of the automaton after each prefix, shape (prefixes,), int32.
    """

    penalty: float
    min_length: int
    max_length: int
    successors: NDArray[np.int32] | None = None
    distance: NDArray[np.int32] | None = None
    starts: NDArray[np.int32] | None = None


def log2_inverse_temperature(temperature: float) -> float:
    """Return log₂ e / temperature as a 32-bit float, or 0 for temperature 0."""
    if temperature == 0.0:
        return 0.0
    return float(np.float32(min(LOG2_E / temperature, _LARGEST_RATE)))


def least(min_p: float) -> int:
    """Return the weight of a token that is `min_p` times as likely as the likeliest, at least 1.

    Tokens with smaller weights are not drawn.
    """
    return max(1, int(np.ceil(min_p * ONE)))


@dataclass(frozen=True)
class EndedTexts:
    """Texts that have ended, as one array per attribute.

    Attributes:
        numbers: Number of each text within the job, shape (texts,).
        lengths: Number of tokens sampled for each text, without its prefix and including a boundary
            at its end, shape (texts,).
        tokens: Sampled tokens of all texts, end to end, shape (sum of lengths,).
        complete: Whether each text has a proper end, instead of being cut off at the length limit,
            shape (texts,).
        log_probs: Log-probability of each text in nats, shape (texts,). It is that under the model
            itself, without temperature, penalty and other settings.
        token_nats: Nats that each sampled token costs under the model itself (the negative
            logarithm of its probability), shape (sum of lengths,); empty unless it was asked for.
    """

    numbers: NDArray[np.int64]
    lengths: NDArray[np.int64]
    tokens: NDArray[np.int32]
    complete: NDArray[np.bool_]
    log_probs: NDArray[np.float64]
    token_nats: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def joined(cls, parts: Sequence[EndedTexts]) -> EndedTexts:
        """Return one object with the texts of all parts, in order."""
        if not parts:
            kinds: tuple[Any, ...] = (np.int64, np.int64, np.int32, np.bool_, np.float64, float)
            return cls(*(np.zeros(0, kind) for kind in kinds))
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))


def in_order(parts: Iterable[EndedTexts]) -> EndedTexts:
    """Join batches of ended texts, and sort the texts by number."""
    ended = EndedTexts.joined([*parts])
    order = np.argsort(ended.numbers, kind="stable")
    starts = np.cumsum(ended.lengths) - ended.lengths
    lengths = ended.lengths[order]
    shift = starts[order] - (np.cumsum(lengths) - lengths)
    places = np.repeat(shift, lengths) + np.arange(len(ended.tokens))
    return EndedTexts(
        ended.numbers[order],
        lengths,
        ended.tokens[places],
        ended.complete[order],
        ended.log_probs[order],
        ended.token_nats[places] if len(ended.token_nats) else ended.token_nats,
    )


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
        *((name, c_void_p) for name in ("noted", "ended_noted")),
    )


_ENDED = np.dtype(
    [(name, np.int64) for name in ("number", "length", "complete", "exponent")]
    + [(name, np.float64) for name in ("logits", "product")]
)
_NOTED = np.dtype([("distance", np.float32), ("total", np.float32)])
_LANE_BYTES = 9 * 8


def costs_of(distance: NDArray[np.float32], total: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the nats that tokens cost.

    Args:
        distance: Logit of each token, minus the largest logit of its step.
        total: Sum of the weights of all tokens at temperature 1, where the likeliest weighs `ONE`.
    """
    return np.log(total.astype(np.float64) / ONE) - distance


class NativeSlots:
    """A batch of slots (see the module docstring) in native code; `fill` and `run` change it."""

    def __init__(
        self,
        network: NumpyNetwork,
        settings: SlotSettings,
        lanes: int,
        seed: int,
        prefixes: list[NDArray[np.int32]],
        *,
        scores: bool = False,
        costs: bool = False,
    ) -> None:
        """Allocate all arrays for the native code; nothing is sampled yet.

        Args:
            network: The packed model; it is referenced, and not modified.
            settings: Settings of how texts are drawn.
            lanes: Number of slots, and so of texts that are sampled at the same time.
            seed: Random seed of the job.
            prefixes: Token ids of each prefix; text n begins with `prefixes[n % len(prefixes)]`.
            scores: Compute the log-probabilities of the prefixes instead of sampling: each text
                ends at the end of its prefix.
            costs: Also return what each sampled token costs, as `EndedTexts.token_nats`.
        """
        self._lanes = lanes
        self._kept: list[Any] = [network]
        job = self._job = _Job()
        job.kind, job.layers = _WORDS[network.matrix.dtype.name], len(network.layers)
        job.scores = int(scores)
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
        self._noted = np.empty(job.room if costs else 0, _NOTED)
        if costs:
            job.noted = self._address(np.empty(lanes * length, _NOTED))
            job.ended_noted = self._address(self._noted)

    def fill(self, first: int, count: int) -> None:
        """Set the texts that `run` samples next.

        All texts of an earlier call must have ended.

        Args:
            first: Number of the first text.
            count: Number of texts.
        """
        self._job.next, self._job.end = first, first + count

    def run(self, steps: int) -> EndedTexts:
        """Run at most `steps` time steps.

        In each of them, every occupied slot draws a token or reads the next one of its prefix.

        Returns:
            The texts that ended, in the order in which they ended.
        """
        self._job.done = self._job.used = 0
        function = library().slots_run  # type: ignore[union-attr]
        function(byref(self._job), c_long(steps), c_long(self._lanes))
        ended, tokens = self._ended[: self._job.done], self._texts[: self._job.used].copy()
        noted = self._noted[: self._job.used]
        log_sums = np.log(ended["product"]) + ended["exponent"] * np.log(2.0)
        return EndedTexts(
            ended["number"].copy(),
            ended["length"].copy(),
            tokens,
            ended["complete"] != 0,
            ended["logits"] - log_sums,
            costs_of(noted["distance"], noted["total"]),
        )

    @property
    def is_done(self) -> bool:
        """Whether all texts given to `fill` have ended."""
        return not self._job.lanes and self._job.next >= self._job.end

    def _layer(self, layer: NetworkLayer[NDArray[Any]]) -> _Layer:
        made = _Layer()
        made.kind, made.units, made.by_token = (
            KINDS.index(layer.kind),
            layer.units,
            int(len(layer.added) > 1),
        )
        depth, size = len(layer.matrix), layer.start.itemsize
        made.depth, made.own = depth * size // 4, layer.own * size
        made.weight = self._address(blocks(layer.matrix))
        made.scale, made.added = self._line_address(layer.scale), self._line_address(layer.added)
        factors = (aligned((self._lanes, depth), layer.start.dtype) for _ in range(2))
        made.factors[:] = [self._address(part) for part in factors]
        made.memory = self._address(aligned((self._lanes, len(layer.memory)), np.float32))
        made.start, made.start_memory = (
            self._line_address(layer.start),
            self._line_address(layer.memory),
        )
        return made

    def _output(self, network: NumpyNetwork) -> _Output:
        made = _Output()
        depth, start = len(network.matrix), network.layers[-1].start
        wide = len(network.added)
        made.vocab, made.depth = network.vocab_size, depth * start.itemsize // 4
        made.weight = self._address(blocks(network.matrix))
        made.scale, made.added = (
            self._line_address(network.scale),
            self._line_address(network.added),
        )
        made.factors = self._address(aligned((self._lanes, depth), start.dtype))
        made.logits = self._address(aligned((self._lanes, wide), np.float32))
        made.changed = self._address(aligned((wide,), np.float32))
        made.weights = self._address(aligned((wide,), np.int32))
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

    def _address(self, array: NDArray[Any]) -> int:
        """Return the address of an array's data; this object keeps a reference to the array."""
        array = np.ascontiguousarray(array)
        self._kept.append(array)
        return int(array.ctypes.data)

    def _line_address(self, array: NDArray[Any]) -> int:
        """Return the address of an array's data, or of a copy if it does not begin a cache line."""
        if array.ctypes.data % LINE or not array.flags.c_contiguous:
            copy = aligned(array.shape, array.dtype)
            copy[...] = array
            array = copy
        return self._address(array)
