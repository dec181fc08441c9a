"""A batch of slots whose steps are Triton kernels, for a GPU.

A step is one kernel per layer, one for the logits, and one that draws tokens, ends texts and begins
the next ones. `BURST` steps are recorded as a CUDA graph; ended texts are collected in one of two
banks, and while the device fills one, the host reads the other. So the device never waits.

Nothing has been measured on a GPU yet. The tests run the kernels in Triton's interpreter, on a CPU.
"""

from __future__ import annotations

import numpy as np
import torch
import triton
from numpy.typing import NDArray
from torch import Tensor

from rnnlm.engine.fused_network import (
    MOST_TILE_SLOTS,
    TILE_COLUMNS,
    TILE_DEPTH,
    TILE_UNITS,
    fuse,
)
from rnnlm.kernels import triton_drawing as books
from rnnlm.kernels.slots import EndedTexts, NumpyNetwork, SlotSettings
from rnnlm.kernels.triton_drawing import draw
from rnnlm.kernels.triton_layer import step_layer, step_output

BURST = 16
"""Steps between two looks at what has ended; even, as outputs alternate between two arrays."""
_COPY = 256
_FEWEST_ROWS = 16  # of a product in Triton
_DRAWN_AT_ONCE = 1 << 10
"""Logits that a program of the drawing kernel reads, if a slot has fewer."""
_INTERPRETED_AT_ONCE = 1 << 15
"""The same in the interpreter, where an operation is slow, however few numbers it computes."""


class FusedSlots:
    """A batch of slots (see `rnnlm.kernels.slots`) on a device; `fill` and `run` change it."""

    def __init__(
        self,
        network: NumpyNetwork,
        settings: SlotSettings,
        slots: int,
        seed: int,
        prefixes: list[NDArray[np.int32]],
        *,
        device: torch.device,
    ) -> None:
        """Allocate idle slots; for the arguments, see `rnnlm.kernels.slots.NativeSlots`.

        Args:
            network: The packed network, with layers of `rnnlm.engine.fused_network.KINDS`.
            settings: Settings of how texts are drawn.
            slots: Number of slots.
            seed: Random seed of the job.
            prefixes: Token ids of each prefix; text n begins with `prefixes[n % len(prefixes)]`.
            device: A GPU, or the CPU if the environment variable TRITON_INTERPRET is 1.
        """
        self._network = fuse(network, device)
        self._settings, self._slots, self._device = settings, slots, device
        self.is_interpreted = device.type == "cpu"
        self._tile = max(_FEWEST_ROWS, min(MOST_TILE_SLOTS, triton.next_power_of_2(slots)))
        rows = -(-slots // self._tile) * self._tile
        self._states = self._network.start.repeat(2, rows, 1)
        self._memory = self._network.memory.repeat(rows, 1)
        columns = len(self._network.added)
        self.logits = torch.zeros((rows, columns), dtype=torch.float32, device=device)
        self.whole = torch.zeros((books.WHOLE_ROWS, rows), dtype=torch.int64, device=device)
        self.real = torch.zeros((books.REAL_ROWS, rows), dtype=torch.float64, device=device)
        self._words = -(-columns // 32)
        self._seen = torch.zeros((rows, self._words), dtype=torch.int32, device=device)
        shape = rows, settings.max_length
        self.tokens = torch.zeros(shape, dtype=torch.int32, device=device)
        self._counter = torch.zeros(2, dtype=torch.int64, device=device)
        self._given = self._tables(prefixes, seed)
        self._banks = [_Bank(slots, settings.max_length, device) for _ in range(2)]
        self._turn = self._parity = self._left = 0
        self._graphs: list[torch.cuda.CUDAGraph] = []

    def _tables(self, prefixes: list[NDArray[np.int32]], seed: int) -> tuple[Tensor | int, ...]:
        """Return the arguments of `draw` that do not change: prefixes, automaton, seed, top-p."""
        how = self._settings
        begins = np.cumsum([0, *map(len, prefixes)], dtype=np.int64)
        nothing = np.zeros(1, np.int32)
        arrays = (
            np.concatenate([*prefixes, nothing]).astype(np.int32),
            begins,
            np.zeros(len(prefixes), np.int32) if how.starts is None else how.starts,
            nothing if how.successors is None else how.successors,
            nothing if how.distance is None else how.distance,
            np.array([seed & (2**64 - 1)], np.uint64).view(np.int64),
            np.array([how.top_p]),
        )
        given, given_starts, starts, *rest = (
            torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in arrays
        )
        return given, given_starts, starts, len(prefixes), *rest

    def fill(self, first: int, count: int) -> None:
        """Set the texts that `run` samples next; all texts of an earlier call must have ended."""
        begun = min(self._slots, count)
        self.whole.zero_()
        self.whole[books.NUMBER.value] = -1
        self.whole[books.NUMBER.value, :begun] = torch.arange(
            first, first + begun, device=self._device
        )
        starts, prefixes = self._given[2], self._given[3]
        assert isinstance(starts, Tensor)
        numbers = self.whole[books.NUMBER.value].clamp(min=0)
        self.whole[books.STATE.value] = starts[numbers % prefixes]
        self.real[books.DISTANCE.value], self.real[books.PRODUCT.value] = 0.0, 1.0
        self._states.copy_(self._network.start.expand_as(self._states))
        self._memory.copy_(self._network.memory.expand_as(self._memory))
        self._seen.zero_()
        self._counter.copy_(torch.tensor([first + begun, first + count]))
        self._left, self._parity = count, 0

    @property
    def is_done(self) -> bool:
        """Whether all texts given to `fill` have ended and were returned."""
        return not self._left

    def run(self, steps: int) -> EndedTexts:
        """Run at least one burst of steps, and as many as `steps` allows; return ended texts.

        The texts that ended in the last burst are returned by the next call.
        """
        found = []
        for _ in range(max(1, steps // BURST)):
            if self.is_done:
                break
            self._launch()
            self._turn = 1 - self._turn
            found.append(self._take_out())
        return EndedTexts.joined(found)

    def end_burst(self) -> EndedTexts:
        """Return the texts that have ended in the last steps; this waits for the device."""
        self._banks[self._turn].note()
        return self._take_out()

    def _take_out(self) -> EndedTexts:
        """Return the texts in the bank that is filled next, and empty it.

        This waits for the device, but not for steps that fill the other bank.
        """
        ended = self._banks[self._turn].take_out()
        self._left -= len(ended.numbers)
        return ended

    def _launch(self) -> None:
        """Run a burst; on a GPU, all but the first replay a recorded graph, one for each bank."""
        if self._graphs:
            self._graphs[self._turn].replay()
        else:
            for _ in range(BURST):
                self.step()
            if self._device.type == "cuda":
                self._graphs = [self._recorded(turn) for turn in range(2)]
        self._banks[self._turn].note()

    def _recorded(self, turn: int) -> torch.cuda.CUDAGraph:
        graph, now = torch.cuda.CUDAGraph(), self._turn
        self._turn = turn
        with torch.cuda.graph(graph):
            for _ in range(BURST):
                self.step()
        self._turn = now
        return graph

    def step(self) -> None:
        """Take one step in all slots. This waits for nothing; the kernels do it in order."""
        old, new = self._states[self._parity], self._states[1 - self._parity]
        self._parity = 1 - self._parity
        # The interpreter multiplies bfloat16 numbers wrongly.
        upcast = self.is_interpreted and self._network.matrix.dtype == torch.bfloat16
        exact = self._network.matrix.dtype == torch.int8
        rows, width = old.shape
        how = {"num_warps": 8, "num_stages": 3, "enable_fp_fusion": not exact}
        step = TILE_DEPTH if self._network.matrix.itemsize < 4 else TILE_DEPTH // 2
        for layer in self._network.layers:
            step_layer[rows // self._tile, layer.units // TILE_UNITS](
                new[:, layer.below :],
                old[:, layer.own :],
                new[:, layer.own :],
                width,
                layer.below_depth,
                layer.own_depth,
                layer.matrix,
                layer.scale,
                layer.shift,
                layer.added,
                self.whole[books.TOKEN.value],
                self._memory[:, layer.memory :],
                self._memory.shape[1],
                len(layer.scale),
                KIND=layer.kind,
                BY_TOKEN=len(layer.added) > 1,
                UPCAST=upcast,
                SLOTS=self._tile,
                UNITS=TILE_UNITS,
                STEP=step,
                **how,
            )
        last, columns = self._network.layers[-1], self.logits.shape[1]
        step_output[rows // self._tile, columns // TILE_COLUMNS](
            new[:, last.own :],
            width,
            last.own_depth,
            self._network.matrix,
            self._network.scale,
            self._network.shift,
            self._network.added,
            self.logits,
            columns,
            UPCAST=upcast,
            SLOTS=self._tile,
            COLUMNS=TILE_COLUMNS,
            STEP=step,
            **how,
        )
        self._draw(new)

    def _draw(self, states: Tensor) -> None:
        how, bank = self._settings, self._banks[self._turn]
        rows, columns = self.logits.shape
        wide = triton.next_power_of_2(columns)
        slots = max(1, (_INTERPRETED_AT_ONCE if self.is_interpreted else _DRAWN_AT_ONCE) // wide)
        draw[(triton.cdiv(self._slots, slots),)](
            self.logits,
            columns,
            self._network.vocab_size,
            rows,
            self.whole,
            self.real,
            self._seen,
            self._words,
            self.tokens,
            *self._given,
            how.log2_inverse_temperature,
            how.penalty,
            how.top_k,
            how.least,
            how.min_length,
            how.max_length,
            self._counter,
            bank.ended,
            bank.ended_real,
            bank.tokens,
            bank.used,
            states,
            self._network.start,
            states.shape[1],
            self._memory,
            self._network.memory,
            self._memory.shape[1],
            IS_GREEDY=how.log2_inverse_temperature == 0.0,
            HAS_PENALTY=how.penalty != 1.0,
            HAS_AUTOMATON=how.successors is not None,
            HAS_MIN_LENGTH=how.min_length > 0,
            HAS_TOP_K=0 < how.top_k < self._network.vocab_size,
            HAS_TOP_P=how.top_p < 1.0,
            HAS_LEAST=how.least > 1,
            ROWS=slots,
            COLUMNS=wide,
            COPY=_COPY,
            num_warps=min(32, max(4, wide // 1024)),
            enable_fp_fusion=False,  # so that all engines compute the same weights
        )


class _Bank:
    """Ended texts on the device, until the host takes them out.

    It has room for all that can end within a burst: what the slots hold at its beginning, and a
    token per slot and step.
    """

    def __init__(self, slots: int, max_length: int, device: torch.device) -> None:
        self._device = device
        entries, room = slots * BURST, slots * (max_length + BURST)
        shape = entries, books.ENDED_COLUMNS
        self.ended = torch.zeros(shape, dtype=torch.int64, device=device)
        self.ended_real = torch.zeros(
            (entries, books.REAL_ROWS), dtype=torch.float64, device=device
        )
        self.tokens = torch.zeros(room, dtype=torch.int32, device=device)
        self.used = torch.zeros(2, dtype=torch.int64, device=device)
        on_gpu = device.type == "cuda"
        self._noted = torch.zeros(2, dtype=torch.int64, pin_memory=on_gpu)
        self._event = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]

    def note(self) -> None:
        """Ask for the number of ended texts, once the steps launched so far are done."""
        self._noted.copy_(self.used, non_blocking=True)
        if self._event is not None:
            self._event.record()

    def take_out(self) -> EndedTexts:
        """Return the texts that had ended at the last `note`, and empty the bank."""
        if self._event is None:
            found = self._read()
        else:
            self._event.synchronize()
            with torch.cuda.stream(self._stream):
                found = self._read()
        self._noted.zero_()
        return found

    def _read(self) -> EndedTexts:
        entries, tokens = self._noted.tolist()
        ended, real = (part[:entries].cpu().numpy() for part in (self.ended, self.ended_real))
        found = self.tokens[:tokens].cpu().numpy()
        self.used.zero_()
        if self._stream is not None:
            self._stream.synchronize()
        order = np.argsort(ended[:, books.ENDED_AT.value], kind="stable")
        ended, real = ended[order], real[order]
        log_sums = np.log(real[:, books.PRODUCT.value])
        log_sums += ended[:, books.ENDED_EXPONENT.value] * np.log(2.0)
        return EndedTexts(
            ended[:, books.ENDED_NUMBER.value].copy(),
            ended[:, books.ENDED_LENGTH.value].copy(),
            found.copy(),
            ended[:, books.ENDED_COMPLETE.value] != 0,
            real[:, books.DISTANCE.value] - log_sums,
        )
