"""Estimate how long a training run will take on this machine by timing a few steps."""

import time
from statistics import median

import numpy as np
import torch
from torch import nn

from rnnlm.batching import windows
from rnnlm.config import Experiment, parse_budget
from rnnlm.devices import choose_device, choose_precision, one_thread
from rnnlm.kernels.memory import keep_freed_memory
from rnnlm.models import NeuralLanguageModel, build, detach_state
from rnnlm.tokens import TokenArrays
from rnnlm.training.objective import objective
from rnnlm.training.optimizing import optimizer_of, step_of

STEPS = 4
"""Steps to time; the first one is not counted."""


def tokens_per_second(experiment: Experiment, vocab_size: int, document_tokens: int) -> float:
    """Return the measured speed of training, in tokens per second.

    A few steps are run on documents of random tokens; the first one is not counted.

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
    update = step_of(optimizer_of(model, config, choose_precision(config, device)))
    parameters = [*model.parameters()]
    took: list[float] = []
    state, done = None, 0
    with one_thread(model.wants_one_thread):
        for window in windows(
            _documents(vocab_size, document_tokens, config.batch_size * STEPS),
            config.feed,
            config.batch_size,
            config.bptt,
            np.random.default_rng(0),
        ):
            began = time.perf_counter()
            batch = window.to(device)
            if state is None or len(state[0]) != len(batch.fresh):
                state = model.initial_state(len(batch.fresh))
            before = model.reset_state(detach_state(state), batch.fresh)
            precision = choose_precision(config, device)
            result = objective(model, batch, before, config, batch.tokens, precision)
            result.loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, config.gradient_clip).item()
            update()
            model.zero_grad()
            state = result.state
            took.append((time.perf_counter() - began) / batch.tokens)
            done += 1
            if done == STEPS:
                break
    torch.random.set_rng_state(generator)
    return 1.0 / median(took[1:] or took)


def expected_seconds(experiment: Experiment, vocab_size: int, document_tokens: int) -> float | None:
    """Return an estimate of a training's duration in seconds, or None for a budget in epochs.

    Validation, startup and all other stages of the chain take additional time.
    """
    budget = parse_budget(experiment.training.budget)
    if budget.unit == "seconds":
        return budget.amount
    if budget.unit == "epochs":
        return None
    return budget.amount / tokens_per_second(experiment, vocab_size, document_tokens)


def _documents(vocab_size: int, length: int, count: int) -> TokenArrays:
    tokens = np.random.default_rng(0).integers(1, max(2, vocab_size), count * length)
    lengths = np.full(count, length)
    return TokenArrays(tokens.astype(np.uint32), np.arange(count + 1) * length, lengths, lengths)
