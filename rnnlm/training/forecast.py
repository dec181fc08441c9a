"""Estimate how long a training run will take on this machine by timing a few steps."""

import time
from collections.abc import Iterator
from itertools import islice
from statistics import median

import numpy as np
import torch
from torch import nn

from rnnlm.batching import Window, windows
from rnnlm.config import Experiment, TrainingConfig, parse_budget
from rnnlm.devices import choose_device, choose_precision, one_thread
from rnnlm.kernels.memory import keep_freed_memory
from rnnlm.models import NeuralLanguageModel, build, detach_state
from rnnlm.tokens import TokenArrays
from rnnlm.training.objective import objective
from rnnlm.training.optimizing import optimizer_of, step_of

STEPS = 4
"""Steps to time; the first one is not counted."""
MOST_DOCUMENTS, MOST_TOKENS = 2000, 1_000_000
"""Number of documents, at most, whose windows are counted, and of tokens in them."""


def expected_seconds(
    experiment: Experiment, vocab_size: int, document_tokens: int, documents: int
) -> float | None:
    """Return an estimate of a training's duration in seconds, or None for a budget in epochs.

    The duration is the time of a step times the number of windows that have to be read, because
    windows in which documents end are not full, and a third as much for each token that validation
    scores. Startup and all other stages of the chain take additional time.

    Args:
        experiment: The experiment whose model and training settings are timed.
        vocab_size: Vocabulary size of its tokenizer.
        document_tokens: Number of tokens in a typical document.
        documents: Number of documents in the corpus.
    """
    config, splits = experiment.training, experiment.splits
    budget = parse_budget(config.budget)
    if budget.unit == "seconds":
        return budget.amount
    if budget.unit == "epochs":
        return None
    trained = round((1 - splits.validation - splits.test) * documents)
    counted = max(1, min(trained, MOST_DOCUMENTS, MOST_TOKENS // document_tokens))
    epoch = sum(1 for _ in _windows(config, _documents(vocab_size, document_tokens, counted)))
    steps = budget.amount / (counted * document_tokens) * epoch
    validated = config.validations * splits.validation * documents * document_tokens
    step = seconds_per_step(experiment, vocab_size, document_tokens)
    return step * steps * (1 + validated / budget.amount / 3)


def seconds_per_step(experiment: Experiment, vocab_size: int, document_tokens: int) -> float:
    """Return the measured time of a training step, the median of a few on random tokens.

    Args:
        experiment: The experiment whose model and training settings are timed.
        vocab_size: Vocabulary size of its tokenizer.
        document_tokens: Number of tokens in a typical document.
    """
    config = experiment.training
    device = choose_device(config.device)
    if device.type == "cpu":
        keep_freed_memory()
    generator = torch.random.get_rng_state()
    model = build(experiment.model, vocab_size).to(device).train()
    assert isinstance(model, NeuralLanguageModel)
    precision = choose_precision(config, device)
    update = step_of(optimizer_of(model, config, precision))
    parameters = [*model.parameters()]
    took: list[float] = []
    state = None
    if config.feed == "stream":  # no longer than the steps need
        document_tokens = min(document_tokens, 2 * STEPS * config.bptt)
    arrays = _documents(vocab_size, document_tokens, config.batch_size * STEPS)
    with one_thread(model.wants_one_thread):
        for window in islice(_windows(config, arrays), STEPS):
            began = time.perf_counter()
            batch = window.to(device)
            if state is None or len(state[0]) != len(batch.fresh):
                state = model.initial_state(len(batch.fresh))
            before = model.reset_state(detach_state(state), batch.fresh)
            result = objective(model, batch, before, config, batch.tokens, precision)
            result.loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, config.gradient_clip).item()
            update()
            model.zero_grad()
            state = result.state
            took.append(time.perf_counter() - began)
    torch.random.set_rng_state(generator)
    return median(took[1:] or took)


def _windows(config: TrainingConfig, arrays: TokenArrays) -> Iterator[Window]:
    order = np.random.default_rng(0)
    return windows(arrays, config.feed, config.batch_size, config.bptt, order)


def _documents(vocab_size: int, length: int, count: int) -> TokenArrays:
    """Return documents of random tokens whose lengths vary, with a mean of `length`."""
    chance = np.random.default_rng(0)
    lengths = np.maximum(1, np.round(length * chance.uniform(0.5, 1.5, count)).astype(np.int64))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = chance.integers(1, max(2, vocab_size), offsets[-1]).astype(np.uint32)
    return TokenArrays(tokens, offsets, lengths, lengths)
