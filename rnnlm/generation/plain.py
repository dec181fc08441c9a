"""A batch of slots in torch, for what native code does not know: any model, any device.

It draws as native code does, token for token where the logits are the same bits.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnlm import sampling
from rnnlm.kernels.slots import FORBIDDEN, LOG2_E, EndedTexts, SlotSettings
from rnnlm.models import LanguageModel, State
from rnnlm.tokens import BOUNDARY_ID

_RATE_OF_ONE = sampling.rate(1.0)


class Steps(Protocol):
    """What computes the logits of every slot's next token."""

    def step(self, tokens: Tensor) -> Tensor:
        """Take one token in, shape (slots,); return logits (slots, vocab), which are the caller's.

        Mutates the state.
        """
        ...

    def reset(self, slots: Tensor) -> None:
        """Start some slots afresh."""
        ...


class ModelSteps:
    """Any language model's own step."""

    def __init__(self, model: LanguageModel, slots: int, unknown_id: int | None) -> None:
        """Start every slot afresh; the unknown token gets `FORBIDDEN`."""
        self._model, self._unknown_id = model, unknown_id
        self._start = model.initial_state(1)
        self._state: State = tuple(
            part.expand(slots, *part.shape[1:]).clone() for part in self._start
        )

    def step(self, tokens: Tensor) -> Tensor:
        """Take one token in; see `Steps.step`."""
        found, self._state = self._model(tokens[:, None], self._state)
        logits: Tensor = found[:, 0].float()
        if self._unknown_id is not None:
            logits[:, self._unknown_id] = FORBIDDEN
        return logits.clamp_min_(FORBIDDEN)

    def reset(self, slots: Tensor) -> None:
        """Start some slots afresh."""
        for part, initial in zip(self._state, self._start, strict=True):
            part[slots] = initial


class PlainSlots:
    """The batch: per slot a text number, its tokens so far, its state. Mutated by `run`."""

    def __init__(
        self,
        steps: Steps,
        vocab_size: int,
        settings: SlotSettings,
        slots: int,
        seed: int,
        prefixes: list[NDArray[np.int32]],
        *,
        device: torch.device | str = "cpu",
        scores: bool = False,
    ) -> None:
        """See `rnnlm.kernels.slots.NativeSlots`, which does the same."""
        self._steps, self._settings, self._seed, self._scores = steps, settings, seed, scores
        self._device = torch.device(device)
        lengths = torch.tensor([len(prefix) for prefix in prefixes], device=device)
        self._given = torch.zeros(
            (len(prefixes), max(1, int(lengths.max()))), dtype=torch.int64, device=device
        )
        for row, prefix in zip(self._given, prefixes, strict=True):
            row[: len(prefix)] = torch.from_numpy(prefix.astype(np.int64))
        self._given_lengths = lengths
        zeros = torch.zeros(slots, dtype=torch.int64, device=device)
        self._numbers = zeros - 1
        self._inputs, self._lengths, self._fed, self._states = (zeros.clone() for _ in range(4))
        self._logits = torch.zeros(slots, dtype=torch.float64, device=device)
        self._product = torch.ones(slots, dtype=torch.float64, device=device)
        self._exponent = zeros.clone()
        self._tokens = torch.zeros((slots, 64), dtype=torch.int32, device=device)
        self._seen = torch.zeros((slots, vocab_size), dtype=torch.bool, device=device)
        self._next = self._end = self._busy = 0
        if settings.successors is not None and settings.distance is not None:
            self._successors = torch.from_numpy(settings.successors).long().to(device)
            self._distance = torch.from_numpy(settings.distance).long().to(device)

    def fill(self, first: int, count: int) -> None:
        """Set the texts that are to come; those of an earlier call must have ended."""
        self._next, self._end = first, first + count
        self._refill(torch.arange(len(self._numbers), device=self._device))

    @property
    def is_done(self) -> bool:
        """Whether no text is left, begun or to come."""
        return not self._busy

    def run(self, steps: int) -> EndedTexts:
        """Take at most so many steps; return the texts that ended meanwhile, in that order."""
        ended: list[EndedTexts] = []
        with torch.no_grad():
            for _ in range(steps):
                if not self._busy:
                    break
                ended.extend(self._step())
        return joined(ended)

    def _step(self) -> list[EndedTexts]:
        logits = self._steps.step(self._inputs)
        prefix = self._numbers.clamp(min=0) % len(self._given)
        left = self._given_lengths[prefix] - self._fed
        is_given, is_busy = left > 0, self._numbers >= 0
        drawn, is_dead = self._draw(logits)
        given = self._given[prefix, self._fed.clamp(max=self._given.shape[1] - 1)]
        tokens = torch.where(is_given, given, drawn)
        is_dead &= ~is_given
        counts = ~is_dead & (~is_given | self._scores)
        self._note(logits, tokens, counts)
        self._fed += is_given
        self._inputs = torch.where(is_dead, self._inputs, tokens)
        self._seen.scatter_(1, tokens[:, None], True)
        is_over = torch.zeros_like(is_given)
        if self._settings.successors is not None:
            self._states = self._successors[self._states, tokens].clamp(min=0)
            is_over = self._distance[self._states] == 0
        is_drawn = ~is_given & ~is_dead
        self._store(tokens, is_drawn)
        self._lengths += is_drawn
        is_complete = is_drawn & ((tokens == BOUNDARY_ID) | is_over)
        is_complete |= is_given & (left == 1) & self._scores
        is_full = is_drawn & (self._lengths >= self._settings.max_length)
        slots = (is_busy & (is_complete | is_full | is_dead)).nonzero()[:, 0]
        if not len(slots):
            return []
        texts = self._collect(slots, is_complete)
        self._busy -= len(slots)
        self._refill(slots)
        return [texts]

    def _draw(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return a token per slot, and whether its rules allow none."""
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
            shorter[is_short, BOUNDARY_ID] = FORBIDDEN
            is_stuck = shorter.amax(dim=-1, keepdim=True) <= FORBIDDEN
            changed = torch.where(is_stuck, changed, shorter)
        is_dead = changed.amax(dim=-1) <= FORBIDDEN
        if how.rate == 0.0:
            top = changed.amax(dim=-1, keepdim=True)
            return (changed == top).to(torch.int8).argmax(dim=-1), is_dead
        weights = sampling.keep_count(sampling.weigh(changed, how.rate), how.top_k)
        weights = sampling.keep_least(sampling.keep_share(weights, how.top_p), how.least)
        uniform = sampling.uniforms(self._seed, self._numbers, self._lengths)
        return sampling.choose(weights, uniform), is_dead

    def _note(self, logits: Tensor, tokens: Tensor, counts: Tensor) -> None:
        """Add the tokens' log-probabilities, as `note` in slots.c does."""
        total = sampling.weigh(logits, _RATE_OF_ONE).sum(dim=-1)
        mantissa, exponent = torch.frexp(self._product * total.double())
        distance = logits.gather(-1, tokens[:, None])[:, 0] - logits.amax(dim=-1)
        self._product = torch.where(counts, mantissa * 2.0, self._product)
        self._exponent += torch.where(counts, exponent - 31, 0)
        self._logits += torch.where(counts, distance.double(), 0.0)

    def _store(self, tokens: Tensor, is_drawn: Tensor) -> None:
        if int(self._lengths.max()) >= self._tokens.shape[1]:
            self._tokens = torch.cat([self._tokens, torch.zeros_like(self._tokens)], dim=1)
        places = self._lengths[:, None]
        kept = torch.where(is_drawn, tokens.int(), self._tokens.gather(1, places)[:, 0])
        self._tokens.scatter_(1, places, kept[:, None])

    def _collect(self, slots: Tensor, is_complete: Tensor) -> EndedTexts:
        lengths = self._lengths[slots].cpu().numpy()
        rows = self._tokens[slots].cpu().numpy()
        log_sums = np.log(self._product[slots].cpu().numpy())
        log_sums += self._exponent[slots].cpu().numpy() * math.log(2.0)
        return EndedTexts(
            self._numbers[slots].cpu().numpy(),
            lengths,
            rows[np.arange(rows.shape[1]) < lengths[:, None]],
            is_complete[slots].cpu().numpy(),
            self._logits[slots].cpu().numpy() - log_sums,
        )

    def _refill(self, slots: Tensor) -> None:
        """Give the next texts to `slots`; the slots left over idle, with number -1."""
        fresh = min(len(slots), self._end - self._next)
        self._numbers[slots] = -1
        self._numbers[slots[:fresh]] = torch.arange(
            self._next, self._next + fresh, device=self._device
        )
        self._next += fresh
        self._busy += fresh
        for part in (self._lengths, self._fed, self._exponent, self._inputs):
            part[slots] = 0
        self._states[slots] = self._settings.start
        self._logits[slots], self._product[slots] = 0.0, 1.0
        self._seen[slots] = False
        self._steps.reset(slots)


def joined(parts: list[EndedTexts]) -> EndedTexts:
    """Return texts end to end."""
    empty = EndedTexts(
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros(0, np.int32),
        np.zeros(0, np.bool_),
        np.zeros(0, np.float64),
    )
    return EndedTexts(
        *(
            np.concatenate([getattr(part, name) for part in [empty, *parts]])
            for name in EndedTexts.__dataclass_fields__
        )
    )


assert abs(_RATE_OF_ONE - LOG2_E) < 1e-7
