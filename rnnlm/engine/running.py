"""Sample many texts at once, in a batch of slots that step together.

Each slot holds one text. When the text ends, the slot takes the next text.

Native code (`rnnlm.kernels.slots`) and torch can both compute the steps of a packed network (see
`rnnlm.engine.packing`). For a model that cannot be packed, torch calls the model's own forward
pass. A text depends only on the model, the precision, the settings,
the seed and the text's number, not on the texts in other slots.
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

if TYPE_CHECKING:  # so that sampling works without the packages that these two import
    from rnnlm.constraints import Rules
    from rnnlm.tokenizer import Tokenizer

Precision = Literal["int8", "bf16", "fp32"]
PRECISIONS: dict[Precision, torch.dtype] = {
    "int8": torch.int8,
    "bf16": torch.bfloat16,
    "fp32": torch.float32,
}
"""The type of weights for each precision, from the fewest bits to the most."""
NATIVE_SLOTS, TORCH_SLOTS, GPU_SLOTS = 96, 256, 8192
"""Number of slots if `batch_size` is 0. With the native number, the slots fit into the processor
cache (docs/experiments.md); nothing has been measured to choose the number for a GPU."""
MOST_TOKENS = 1 << 28
"""Most tokens that all slots together may hold; very long texts get fewer slots."""
STEPS_AT_ONCE = 256
"""Number of steps between two checks for texts that have ended: about a tenth of a second."""

Slots = NativeSlots | TorchSlots


@dataclass(frozen=True)
class Engine:
    """The way in which a model's texts are computed.

    Attributes:
        kind: `native` or `torch` if that computes the steps of a packed network, or `model` if the
            model's own forward pass does.
        precision: Precision of weights and states.
        reason: Why the engine is not native; empty if it is.
    """

    kind: Literal["native", "torch", "model"]
    precision: Precision
    reason: str = ""


def choose_engine(model: LanguageModel, precision: Precision) -> Engine:
    """Return the fastest available engine for a model at a precision.

    On a GPU, 8-bit weights have no advantage here, so 16-bit weights are used instead.
    """
    if not can_pack(model):
        name = model.config.architecture
        return Engine("model", "fp32", f"native code does not support {name} models of this size")
    if model.device.type != "cpu":
        least: Precision = "bf16" if precision == "int8" else precision
        return Engine("torch", least, f"the model is on {model.device}")
    if native_available():
        return Engine("native", precision)
    reason = "the native code was not built here (it needs a C compiler at installation)"
    return Engine("torch", precision, reason)


def resolve(precision: str, facts: Mapping[str, Any]) -> Precision:
    """Return the precision to use for a setting.

    Args:
        precision: A precision, or `auto` for the one that was chosen when the model was trained;
            32 bits if none was chosen.
        facts: The checkpoint's facts, which record the choice.
    """
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
    """Return a batch of slots for a model; its method `fill` sets which texts to sample.

    Args:
        engine: The engine to use, from `choose_engine`.
        model: The model, in eval mode; not modified.
        tokenizer: The model's tokenizer.
        config: Settings for sampling, the maximum length, the number of slots, and the seed; also
            the prefix, which is used only without `rules`.
        rules: The beginnings of the texts, and the constraints on them.
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
    """Yield the texts `first` to `first + count - 1` as they end, in batches.

    Args:
        slots: The slots to sample in; mutated. All texts of an earlier call must have been yielded.
        first: Number of the first text.
        count: Number of texts.
    """
    slots.fill(first, count)
    while not slots.is_done:
        ended = slots.run(STEPS_AT_ONCE)
        if len(ended.numbers):
            yield ended


def log_probabilities(
    engine: Engine, model: LanguageModel, documents: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the log-probability of each document in nats, computed by the given engine.

    Args:
        engine: The engine to use, from `choose_engine`.
        model: The model, in eval mode; not modified.
        documents: The tokens of each document, including the boundary token that ends it.
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
