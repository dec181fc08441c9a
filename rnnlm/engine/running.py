"""Many texts at once: a batch of slots steps together, and a finished slot takes the next text.

Native code (`rnnlm.kernels.slots`) and torch compute the same step of a packed network; a model
that cannot be packed steps by itself. What a text is depends on model, precision, settings, seed
and its number, not on the slots beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from rnnlm import sampling
from rnnlm.config import GenerationConfig
from rnnlm.engine.packing import can_pack, pack
from rnnlm.engine.stepping import ModelSteps, NetworkSteps, Steps
from rnnlm.engine.torch_slots import TorchSlots
from rnnlm.kernels import native_available
from rnnlm.kernels.slots import EndedTexts, NativeSlots, SlotSettings
from rnnlm.models import LanguageModel

if TYPE_CHECKING:  # so that a bare machine needs neither's packages
    from rnnlm.constraints import Rules
    from rnnlm.tokenizer import Tokenizer

Precision = Literal["int8", "bf16", "fp32"]
PRECISIONS: dict[Precision, torch.dtype] = {
    "int8": torch.int8,
    "bf16": torch.bfloat16,
    "fp32": torch.float32,
}
"""From the fewest bits to the most."""
NATIVE_SLOTS, TORCH_SLOTS, GPU_SLOTS = 96, 256, 8192
"""Slots where the configuration says 0: native ones stay in the cache (docs/experiments.md); on a
GPU, not measured."""
MOST_TOKENS = 1 << 28
"""Tokens that all slots may hold together; very long texts get fewer slots."""
STEPS_AT_ONCE = 256
"""Steps between two looks at what has ended: a tenth of a second or so."""

Slots = NativeSlots | TorchSlots


@dataclass(frozen=True)
class Engine:
    """How texts of a model are computed.

    Attributes:
        kind: `native` or `torch` of a packed network, or `model` of the model itself.
        precision: Of weights and states.
        reason: Why not native; empty if it is.
    """

    kind: Literal["native", "torch", "model"]
    precision: Precision
    reason: str = ""


def choose_engine(model: LanguageModel, precision: Precision) -> Engine:
    """Return the fastest engine that is there for a model at a precision.

    A GPU has no use for 8 bits here and takes 16 instead.
    """
    if not can_pack(model):
        name = model.config.architecture
        return Engine("model", "fp32", f"native code has no step of {name} models of this size")
    if model.device.type != "cpu":
        least: Precision = "bf16" if precision == "int8" else precision
        return Engine("torch", least, f"the model is on {model.device}")
    if native_available():
        return Engine("native", precision)
    reason = "no native code was built here (a C compiler at installation makes it)"
    return Engine("torch", precision, reason)


def resolve(precision: str, facts: Mapping[str, Any]) -> Precision:
    """Return what `auto` stands for: what the checkpoint's facts say was chosen, else 32 bits."""
    if precision == "auto":
        precision = facts.get("precision", {}).get("chosen", "fp32")
    assert precision in PRECISIONS
    return precision


def open_slots(
    engine: Engine,
    model: LanguageModel,
    tokenizer: Tokenizer,
    config: GenerationConfig,
    rules: Rules | None = None,
) -> Slots:
    """Return slots that are ready to `fill`.

    Args:
        engine: From `choose_engine`.
        model: In eval mode; not modified.
        tokenizer: The model's own.
        config: Sampling, longest text, slots, seed, and the prefix if there are no `rules`.
        rules: How texts begin, and what they must be.
    """
    heads = rules.heads if rules else [config.prefix]
    given = [tokenizer.encode(text).astype(np.int32) for text in heads]
    settings = _settings(config, rules)
    usual = NATIVE_SLOTS if engine.kind == "native" else TORCH_SLOTS
    if model.device.type == "cuda":
        usual = GPU_SLOTS
    slots = max(1, min(config.batch_size or usual, MOST_TOKENS // config.max_length))
    return _slots(engine, model, tokenizer.unknown_id, settings, slots, config.seed, given)


def run(slots: Slots, first: int, count: int) -> Iterator[EndedTexts]:
    """Yield the texts `first` to `first + count - 1` as they end, some at a time.

    Args:
        slots: Mutated; all texts of an earlier call must have been taken.
        first: Number of the first text.
        count: Texts.
    """
    slots.fill(first, count)
    while not slots.is_done:
        ended = slots.run(STEPS_AT_ONCE)
        if len(ended.numbers):
            yield ended


def log_probabilities(
    engine: Engine, model: LanguageModel, documents: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the log-probability of each document in nats, as the engine computes it.

    Args:
        engine: From `choose_engine`.
        model: In eval mode; not modified.
        documents: Their tokens, each with its closing boundary.
    """
    settings = _settings(GenerationConfig(max_length=1), None)
    given = [document.astype(np.int32) for document in documents]
    slots = _slots(engine, model, None, settings, NATIVE_SLOTS, 0, given, scores=True)
    found = np.zeros(len(documents))
    for ended in run(slots, 0, len(documents)):
        found[ended.numbers] = ended.log_probs
    return found


def _settings(config: GenerationConfig, rules: Rules | None) -> SlotSettings:
    automaton = rules.automaton if rules else None
    return SlotSettings(
        log2_inverse_temperature=sampling.log2_inverse_temperature(config.temperature),
        penalty=config.repetition_penalty,
        top_k=config.top_k,
        top_p=config.top_p,
        least=sampling.least(config.min_p),
        min_length=config.min_length,
        max_length=config.max_length,
        successors=None if automaton is None else automaton.successors,
        distance=None if automaton is None else automaton.distance,
        starts=rules.starts if rules else None,
    )


def _slots(
    engine: Engine,
    model: LanguageModel,
    unknown_id: int | None,
    settings: SlotSettings,
    slots: int,
    seed: int,
    given: list[np.ndarray],
    *,
    scores: bool = False,
) -> Slots:
    if engine.kind == "native":
        network = pack(model, PRECISIONS[engine.precision], unknown_id)
        return NativeSlots(network, settings, slots, seed, given, scores=scores)
    steps: Steps
    vocab_size, device = model.vocab_size, model.device
    if engine.kind == "torch":
        network = pack(model, PRECISIONS[engine.precision], unknown_id)
        steps = NetworkSteps(network, slots, device)
    else:
        steps = ModelSteps(model, slots, unknown_id)
    return TorchSlots(steps, vocab_size, settings, slots, seed, given, device=device, scores=scores)
