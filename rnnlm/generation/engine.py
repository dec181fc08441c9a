"""Many texts at once: a batch of slots steps together, and a finished slot takes the next text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlm.config import GenerationConfig
from rnnlm.models import LanguageModel, State
from rnnlm.sampling import sample, uniforms
from rnnlm.tokenizer import Tokenizer, check_known
from rnnlm.tokens import BOUNDARY_ID

LINE_TOKENS = 80
"""Most tokens of a line that shows what a model has learnt so far."""


@dataclass(frozen=True)
class GeneratedText:
    """One sampled text.

    Attributes:
        number: Its number in the job; with the job's seed it decides all of its randomness.
        text: Prefix and what was sampled after it.
        tokens: Tokens sampled, the closing boundary included.
        log_prob_nats: Log-probability of the sampled tokens under the model itself, before
            temperature and cuts.
        complete: Whether the text ended by itself rather than at `max_length`.
    """

    number: int
    text: str
    tokens: int
    log_prob_nats: float
    complete: bool


def generate_texts(
    model: LanguageModel, tokenizer: Tokenizer, config: GenerationConfig, first: int, count: int
) -> Iterator[GeneratedText]:
    """Yield texts `first` to `first + count - 1`, in the order in which they end.

    Args:
        model: In eval mode; not modified.
        tokenizer: The model's own.
        config: Sampling, prefix, longest text and slots. The number of slots stays the same to the
            end, so that a text does not depend on how many others are left.
        first: Number of the first text.
        count: Texts.

    Raises:
        TokenizerError: The prefix has characters that the vocabulary lacks.
    """
    check_known(tokenizer, config.prefix, "the prefix")
    with torch.inference_mode():
        slots = _Slots(model, tokenizer, config, first, count)
        while slots.busy:
            yield from slots.step()


def write_line(model: LanguageModel, tokenizer: Tokenizer, seed: int) -> str:
    """Return a short text as the model would write it now, on one line.

    Args:
        model: Left in the mode it was in.
        tokenizer: The model's own.
        seed: Decides the text.
    """
    was_training = model.training
    config = GenerationConfig(
        count=1, batch_size=1, temperature=0.8, seed=seed, max_length=LINE_TOKENS
    )
    text = next(generate_texts(model.eval(), tokenizer, config, 0, 1)).text
    model.train(was_training)
    return " ".join(text.split())


class _Slots:
    """The batch: per slot a text number, its tokens so far, its state. Mutated by `step`."""

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        config: GenerationConfig,
        first: int,
        count: int,
    ) -> None:
        self.model, self.tokenizer, self.config = model, tokenizer, config
        self.next_number, self.end = first, first + count
        self.first_input, self.first_state = _after_prefix(model, tokenizer, config.prefix)
        size, device = config.batch_size, model.device
        self.state: State = tuple(
            part.expand(size, *part.shape[1:]).clone() for part in self.first_state
        )
        self.inputs = torch.full((size,), self.first_input, device=device)
        self.numbers = torch.full((size,), -1, device=device)
        self.lengths = torch.zeros(size, dtype=torch.int64, device=device)
        self.log_probs = torch.zeros(size, dtype=torch.float64, device=device)
        self.tokens = torch.zeros((size, 64), dtype=torch.int64, device=device)
        self.busy = 0
        self._refill(torch.arange(size, device=device))

    def step(self) -> list[GeneratedText]:
        """Sample one token in every slot; return the texts that ended, refill their slots."""
        logits, self.state = self.model(self.inputs[:, None], self.state)
        logits = logits[:, 0].float()
        if self.tokenizer.unknown_id is not None:
            logits[:, self.tokenizer.unknown_id] = -math.inf
        uniform = uniforms(self.config.seed, self.numbers, self.lengths)
        drawn = sample(logits, uniform, self.config)
        chosen = torch.log_softmax(logits, dim=-1).gather(-1, drawn[:, None])[:, 0]
        self.log_probs += chosen.double()
        self._store(drawn)
        self.lengths += 1
        self.inputs = drawn
        ended = drawn == BOUNDARY_ID
        over = (ended | (self.lengths >= self.config.max_length)) & (self.numbers >= 0)
        slots = over.nonzero()[:, 0]
        if not len(slots):
            return []
        texts = self._collect(slots, ended)
        self.busy -= len(texts)
        self._refill(slots)
        return texts

    def _store(self, drawn: Tensor) -> None:
        capacity = self.tokens.shape[1]
        if int(self.lengths.max()) >= capacity:
            self.tokens = torch.cat([self.tokens, torch.zeros_like(self.tokens)], dim=1)
        self.tokens.scatter_(1, self.lengths[:, None], drawn[:, None])

    def _collect(self, slots: Tensor, ended: Tensor) -> list[GeneratedText]:
        tokens, lengths = self.tokens[slots].cpu().numpy(), self.lengths[slots].tolist()
        rows = zip(
            self.numbers[slots].tolist(),
            tokens,
            lengths,
            self.log_probs[slots].tolist(),
            ended[slots].tolist(),
            strict=True,
        )
        return [
            GeneratedText(
                number,
                self.config.prefix + self.tokenizer.decode(row[:length].tolist()),
                length,
                log_prob,
                complete,
            )
            for number, row, length, log_prob, complete in rows
        ]

    def _refill(self, slots: Tensor) -> None:
        """Give the next texts to `slots`; the slots left over idle, with number -1."""
        fresh = min(len(slots), self.end - self.next_number)
        numbers = torch.full_like(slots, -1)
        numbers[:fresh] = torch.arange(
            self.next_number, self.next_number + fresh, device=slots.device
        )
        self.next_number += fresh
        self.busy += fresh
        self.numbers[slots] = numbers
        self.lengths[slots] = 0
        self.log_probs[slots] = 0.0
        self.inputs[slots] = self.first_input
        for part, initial in zip(self.state, self.first_state, strict=True):
            part[slots] = initial


def _after_prefix(model: LanguageModel, tokenizer: Tokenizer, prefix: str) -> tuple[int, State]:
    """Return the first input of every text and the state before it; batch size 1."""
    known = [BOUNDARY_ID, *tokenizer.encode(prefix).tolist()]
    state = model.initial_state(1)
    if len(known) > 1:
        _, state = model(torch.tensor([known[:-1]], device=model.device), state)
    return known[-1], state
