"""A batch of slots in torch, for any device, used where native code cannot be used.

Each slot holds one text. If the logits are bit for bit the same, the same tokens are drawn as in
native code. A step never waits for the device; every `look_every` steps, ended texts are taken out
and their slots are given the next texts. On a GPU, the step of a packed network is recorded once as
a CUDA graph, which is replayed for every later step.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnlm import sampling
from rnnlm.engine.stepping import NetworkSteps, Steps
from rnnlm.kernels.slots import (
    FORBIDDEN,
    EndedTexts,
    SlotSettings,
    costs_of,
    log2_inverse_temperature,
)
from rnnlm.tokens import BOUNDARY_ID

LOOK_EVERY = {"cpu": 2, "cuda": 16}
"""Number of steps between two checks for ended texts, by kind of device. There are fewer checks on
a GPU, because reading its memory waits for all its work to finish."""
_RATE_OF_ONE = log2_inverse_temperature(1.0)
_WARM_UPS = 3


class TorchSlots:
    """A batch of slots: for each, the number of its text, the tokens so far, and the model's state.

    `run` changes it.
    """

    def __init__(
        self,
        steps: Steps,
        vocab_size: int,
        settings: SlotSettings,
        slots: int,
        seed: int,
        prefixes: list[NDArray[np.int32]],
        *,
        device: torch.device,
        scores: bool = False,
        costs: bool = False,
        look_every: int | None = None,
    ) -> None:
        """Create idle slots.

        Most arguments are the same as for `rnnlm.kernels.slots.NativeSlots`, the class for native
        code. In addition, `steps` computes the logits, and `look_every` overrides `LOOK_EVERY`.
        """
        self._steps, self._settings, self._seed, self._scores = steps, settings, seed, scores
        self._device = device
        self._look_every = look_every or LOOK_EVERY.get(device.type, 1)
        starts = np.cumsum([0, *map(len, prefixes)], dtype=np.int64)
        flat = np.concatenate([*prefixes, np.zeros(1, np.int32)]).astype(np.int32)
        self._given = torch.from_numpy(flat).to(device)
        self._given_starts = torch.from_numpy(starts).to(device)
        zeros = torch.zeros(slots, dtype=torch.int64, device=device)
        self._numbers = zeros - 1
        self._inputs, self._lengths, self._fed, self._states = (zeros.clone() for _ in range(4))
        self._logits = torch.zeros(slots, dtype=torch.float64, device=device)
        self._product = torch.ones(slots, dtype=torch.float64, device=device)
        self._exponent = zeros.clone()
        self._is_over, self._is_complete = (zeros.bool() for _ in range(2))
        self._tokens = torch.empty((slots, settings.max_length), dtype=torch.int32, device=device)
        places = (2, slots, settings.max_length if costs else 0)
        self._noted = torch.zeros(places, dtype=torch.float32, device=device)
        self._seen = torch.zeros((slots, vocab_size), dtype=torch.bool, device=device)
        self._next = self._end = self._busy = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        if settings.successors is not None and settings.distance is not None:
            self._successors = torch.from_numpy(settings.successors).long().to(device)
            self._distance = torch.from_numpy(settings.distance).long().to(device)
        nowhere = np.zeros(len(prefixes), np.int32)
        after = nowhere if settings.starts is None else settings.starts
        self._starts = torch.from_numpy(after).long().to(device)

    def fill(self, first: int, count: int) -> None:
        """Start sampling the texts `first` to `first + count - 1`.

        All texts of an earlier call must have ended.
        """
        self._next, self._end = first, first + count
        self._refill(torch.arange(len(self._numbers), device=self._device))

    @property
    def is_done(self) -> bool:
        """Whether every text has ended, so that no text is in progress or waiting for a slot."""
        return not self._busy

    def run(self, steps: int) -> EndedTexts:
        """Run at most `steps` steps; return the texts that ended, in the order they were found."""
        ended: list[EndedTexts] = []
        with torch.no_grad():
            for taken in range(1, steps + 1):
                if not self._busy:
                    break
                self._step()
                if taken % self._look_every == 0 or taken == steps:
                    ended.extend(self.take_out())
        return EndedTexts.joined(ended)

    @property
    def whole(self) -> Tensor:
        """The integers that are kept for each slot, shape (6, slots).

        The rows are those of `rnnlm.kernels.triton_drawing`: the text's number, the token to feed
        next, the number of tokens drawn and of those read from the prefix, the automaton's state,
        and the exponent of the text's probability.
        """
        kept = self._numbers, self._inputs, self._lengths, self._fed, self._states, self._exponent
        return torch.stack(kept)

    @property
    def real(self) -> Tensor:
        """The doubles that are kept for each slot, shape (2, slots): see `_note`."""
        return torch.stack([self._logits, self._product])

    @property
    def tokens(self) -> Tensor:
        """The tokens of each slot's text, shape (slots, max_length); old ones come after them."""
        return self._tokens

    @property
    def is_over(self) -> Tensor:
        """Whether each slot's text has ended but was not taken out yet, shape (slots,)."""
        return self._is_over & (self._numbers >= 0)

    def give(self, slots: Tensor, numbers: Tensor) -> None:
        """Give slots whose texts have just begun other texts instead; -1 for no text."""
        self._numbers[slots] = numbers
        self._begin(slots)

    def _step(self) -> None:
        """Take a step. A packed network on a GPU replays the recorded graph for it."""
        if self._device.type != "cuda" or not isinstance(self._steps, NetworkSteps):
            self.advance()
            return
        if self._graph is None:
            self._record()
        assert self._graph is not None
        self._graph.replay()

    def _record(self) -> None:
        """Record a step as a CUDA graph, after warm-up steps on another stream.

        PyTorch's documentation requires the warm-up. All texts are restarted afterwards, which
        undoes these steps.
        """
        numbers = self._numbers.clone()
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self.advance()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.advance()
        self._graph = graph
        self._restart(torch.arange(len(numbers), device=self._device))
        self._numbers.copy_(numbers)
        self._begin(torch.arange(len(numbers), device=self._device))

    def advance(self) -> None:
        """Take a step in every slot whose text has not ended.

        A slot feeds the next token of its prefix to the model; after the prefix, it draws a token.
        """
        logits = self._steps.step(self._inputs)
        prefix = self._numbers.clamp(min=0) % (len(self._given_starts) - 1)
        place = self._given_starts[prefix] + self._fed
        left = self._given_starts[prefix + 1] - place
        is_live = (self._numbers >= 0) & ~self._is_over
        is_given = left > 0
        drawn, is_stuck = self._draw(logits)
        given = self._given[place].long()  # not used where the whole prefix has been fed
        tokens = torch.where(is_given, given, drawn)
        is_dead = is_live & is_stuck & ~is_given
        is_fed, is_drawn = is_live & is_given, is_live & ~is_given & ~is_dead
        self._note(logits, tokens, is_drawn | is_fed if self._scores else is_drawn)
        self._fed += is_fed
        self._inputs.copy_(torch.where(is_fed | is_drawn, tokens, self._inputs))
        was_seen = self._seen.gather(1, tokens[:, None])[:, 0]
        self._seen.scatter_(1, tokens[:, None], (was_seen | is_live)[:, None])
        is_stopped = torch.zeros_like(is_live)
        if self._settings.successors is not None:
            following = self._successors[self._states, tokens].clamp(min=0)
            self._states.copy_(torch.where(is_drawn, following, self._states))
            is_stopped = self._distance[self._states] == 0
        places = self._lengths.clamp(max=self._settings.max_length - 1)[:, None]
        kept = self._tokens.gather(1, places)[:, 0]
        written = torch.where(is_drawn, tokens.int(), kept)
        self._tokens.scatter_(1, places, written[:, None])
        self._lengths += is_drawn
        is_full = is_drawn & (self._lengths >= self._settings.max_length)
        is_complete = is_drawn & (tokens == BOUNDARY_ID)
        if self._settings.successors is not None:  # in the last place, the end may have been forced
            is_complete = is_drawn & is_stopped & ~is_full
        if self._scores:
            is_complete |= is_fed & (left == 1)
        self._is_complete |= is_complete
        self._is_over |= is_complete | is_full | is_dead

    def _draw(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the drawn token of each slot, and whether the constraints allow no token there."""
        how = self._settings
        changed = logits
        if how.penalty != 1.0:
            changed = sampling.penalise(changed, self._seen, how.penalty)
        if how.successors is not None:
            following = self._successors[self._states]
            left = how.max_length - self._lengths[:, None] - 1
            allowed = (following >= 0) & (self._distance[following.clamp(min=0)] <= left)
            changed = sampling.allowed_only(changed, allowed)
        if how.min_length:
            shorter = changed.clone()
            is_short = self._lengths < how.min_length
            boundary = shorter[:, BOUNDARY_ID]
            shorter[:, BOUNDARY_ID] = torch.where(is_short, FORBIDDEN, boundary)
            is_nothing_left = shorter.amax(dim=-1, keepdim=True) <= FORBIDDEN
            changed = torch.where(is_nothing_left, changed, shorter)
        is_stuck = changed.amax(dim=-1) <= FORBIDDEN
        uniform = sampling.uniforms(self._seed, self._numbers, self._lengths)
        return sampling.sample(changed, uniform, how), is_stuck

    def _note(self, logits: Tensor, tokens: Tensor, counts: Tensor) -> None:
        """Add the log-probabilities of the tokens to the totals, as `note` in slots.c does.

        Args:
            logits: Logits of the step, shape (slots, vocab).
            tokens: The token of each slot, shape (slots,).
            counts: Whether each token counts, shape (slots,).
        """
        total = sampling.weigh(logits, _RATE_OF_ONE).sum(dim=-1)
        mantissa, exponent = torch.frexp(self._product * total.double())
        distance = logits.gather(-1, tokens[:, None])[:, 0] - logits.amax(dim=-1)
        self._product.copy_(torch.where(counts, mantissa * 2.0, self._product))
        self._exponent += torch.where(counts, exponent - 31, 0)
        self._logits += torch.where(counts, distance.double(), 0.0)
        if self._noted.shape[2]:  # for tokens that do not count, the old value is written back
            places = self._lengths.clamp(max=self._settings.max_length - 1)[:, None]
            for kept, value in zip(self._noted, (distance, total.float()), strict=True):
                stays = kept.gather(1, places)[:, 0]
                kept.scatter_(1, places, torch.where(counts, value, stays)[:, None])

    def take_out(self) -> list[EndedTexts]:
        """Return the texts that have ended, and refill their slots. This waits for the device."""
        slots = self.is_over.nonzero()[:, 0]
        if not len(slots):
            return []
        lengths = self._lengths[slots].cpu().numpy()
        rows = self._tokens[slots, : int(lengths.max())].cpu().numpy()
        is_token = np.arange(rows.shape[1]) < lengths[:, None]
        noted = self._noted[:, slots, : rows.shape[1]].cpu().numpy()
        costs = noted[:, is_token] if noted.shape[2] else noted.reshape(2, 0)
        log_sums = np.log(self._product[slots].cpu().numpy())
        log_sums += self._exponent[slots].cpu().numpy() * math.log(2.0)
        ended = EndedTexts(
            self._numbers[slots].cpu().numpy(),
            lengths,
            rows[is_token],
            self._is_complete[slots].cpu().numpy(),
            self._logits[slots].cpu().numpy() - log_sums,
            costs_of(*costs),
        )
        self._busy -= len(slots)
        self._refill(slots)
        return [ended]

    def _refill(self, slots: Tensor) -> None:
        """Give the next texts to `slots`; slots left without a text are idle and get number -1."""
        fresh = min(len(slots), self._end - self._next)
        self._restart(slots)
        self._numbers[slots] = -1
        self._numbers[slots[:fresh]] = torch.arange(
            self._next, self._next + fresh, device=self._device
        )
        self._next += fresh
        self._busy += fresh
        self._begin(slots)

    def _begin(self, slots: Tensor) -> None:
        """Set the state of the constraints' automaton to the one after each text's prefix."""
        prefixes = self._numbers[slots].clamp(min=0) % len(self._starts)
        self._states[slots] = self._starts[prefixes]

    def _restart(self, slots: Tensor) -> None:
        """Reset slots to the beginning of a text."""
        for part in (self._lengths, self._fed, self._exponent, self._inputs):
            part[slots] = 0
        self._logits[slots], self._product[slots] = 0.0, 1.0
        for flags in (self._seen, self._is_over, self._is_complete):
            flags[slots] = False
        self._steps.reset(slots)
