"""Sample many texts at once, in a batch of slots that step together.

Each slot holds one text. When the text ends, the slot takes the next text.

Native code (`rnnlm.kernels.slots`), Triton kernels for GPUs (`rnnlm.engine.fused`) and torch can
all compute the steps of a packed network (see `rnnlm.engine.packing`). For a model that cannot be
packed, torch calls the model's own forward pass. A text depends only on the model, the precision,
the settings, the seed and the text's number, not on the texts in other slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from rnnlm.config import GenerationConfig
from rnnlm.engine.fused_network import can_fuse
from rnnlm.engine.opening import (
    NATIVE_SLOTS,
    Engine,
    Precision,
    Slots,
    heads_of,
    open_native,
    resolve,
    run,
    settings_of,
    slot_count,
)
from rnnlm.engine.packing import can_pack, pack
from rnnlm.engine.stepping import ModelSteps, NetworkSteps, Steps
from rnnlm.engine.torch_slots import TorchSlots
from rnnlm.kernels.native import native_available
from rnnlm.kernels.slots import NativeSlots
from rnnlm.models import LanguageModel

if TYPE_CHECKING:  # so that sampling works without the packages that these two import
    from rnnlm.constraints import Rules
    from rnnlm.tokenizer import Tokenizer

__all__ = [
    "PRECISIONS",
    "Engine",
    "Precision",
    "Slots",
    "choose_engine",
    "log_probabilities",
    "open_slots",
    "resolve",
    "run",
]

PRECISIONS: dict[Precision, torch.dtype] = {
    "int8": torch.int8,
    "bf16": torch.bfloat16,
    "fp32": torch.float32,
}
"""The type of weights for each precision, from the fewest bits to the most."""
TORCH_SLOTS, GPU_SLOTS = 256, 8192
"""Number of slots in torch if `batch_size` is 0; nothing has been measured to choose the number for
a GPU."""


def choose_engine(model: LanguageModel, precision: Precision) -> Engine:
    """Return the fastest available engine for a model at a precision.

    On a GPU, 8-bit weights have no advantage in torch, so 16-bit weights are used instead.
    """
    if not can_pack(model):
        name = model.config.architecture
        return Engine("model", "fp32", f"native code does not support this {name} model")
    if can_fuse(model):
        return Engine("fused", precision, f"the model is on {model.device}")
    if model.device.type != "cpu":
        least: Precision = "bf16" if precision == "int8" else precision
        return Engine("torch", least, f"the model is on {model.device}")
    if native_available():
        return Engine("native", precision)
    reason = "the native code was not built here (it needs a C compiler at installation)"
    return Engine("torch", precision, reason)


def open_slots(
    engine: Engine,
    model: LanguageModel,
    tokenizer: Tokenizer,
    config: GenerationConfig,
    rules: Rules | None = None,
    *,
    costs: bool = False,
) -> Slots:
    """Return a batch of slots for a model; its method `fill` sets which texts to sample.

    Args:
        engine: The engine to use, from `choose_engine`.
        model: The model, in eval mode; not modified.
        tokenizer: The model's tokenizer.
        config: Settings for sampling, the maximum length, the number of slots, and the seed; also
            the prefix, which is used only without `rules`.
        rules: The beginnings of the texts, and the constraints on them.
        costs: Also return what each sampled token costs; see `EndedTexts.token_nats`.
    """
    if engine.kind == "native":
        network = pack(model, PRECISIONS[engine.precision], tokenizer.unknown_id)
        return open_native(network, tokenizer, config, rules, costs=costs)
    slots = slot_count(config, GPU_SLOTS if model.device.type == "cuda" else TORCH_SLOTS)
    if engine.kind == "fused" and not costs:  # the kernels do not keep what each token costs
        from rnnlm.engine.fused_check import CheckedSlots  # noqa: PLC0415 - triton may be missing

        return CheckedSlots(
            pack(model, PRECISIONS[engine.precision], tokenizer.unknown_id),
            settings_of(config, rules),
            slots,
            config.seed,
            heads_of(tokenizer, config, rules),
            device=model.device,
        )
    return TorchSlots(
        _steps(engine, model, slots, tokenizer.unknown_id),
        model.vocab_size,
        settings_of(config, rules),
        slots,
        config.seed,
        heads_of(tokenizer, config, rules),
        device=model.device,
        costs=costs,
    )


def log_probabilities(
    engine: Engine, model: LanguageModel, documents: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the log-probability of each document in nats, computed by the given engine.

    Args:
        engine: The engine to use, from `choose_engine`.
        model: The model, in eval mode; not modified.
        documents: The tokens of each document, including the boundary token that ends it.
    """
    settings = settings_of(GenerationConfig(max_length=1), None)
    given = [document.astype(np.int32) for document in documents]
    slots: Slots
    if engine.kind == "native":
        network = pack(model, PRECISIONS[engine.precision], None)
        slots = NativeSlots(network, settings, NATIVE_SLOTS, 0, given, scores=True)
    else:
        steps = _steps(engine, model, NATIVE_SLOTS, None)
        sizes = model.vocab_size, settings, NATIVE_SLOTS
        slots = TorchSlots(steps, *sizes, 0, given, device=model.device, scores=True)
    found = np.zeros(len(documents))
    for ended in run(slots, 0, len(documents)):
        found[ended.numbers] = ended.log_probs
    return found


def _steps(engine: Engine, model: LanguageModel, slots: int, unknown_id: int | None) -> Steps:
    if engine.kind == "model":
        return ModelSteps(model, slots, unknown_id)
    network = pack(model, PRECISIONS[engine.precision], unknown_id)
    return NetworkSteps(network, slots, model.device)
