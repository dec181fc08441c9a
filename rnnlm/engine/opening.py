"""Open slots of native code for a packed network, and run slots until their texts have ended.

Nothing here needs torch. `rnnlm.engine.running` opens slots for any model and device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from rnnlm.config import Experiment, GenerationConfig
from rnnlm.kernels.slots import (
    EndedTexts,
    NativeSlots,
    NumpyNetwork,
    SlotSettings,
    least,
    log2_inverse_temperature,
)

if TYPE_CHECKING:  # so that sampling works without the packages that these two import
    from rnnlm.constraints import Rules
    from rnnlm.tokenizer import Tokenizer

Precision = Literal["int8", "bf16", "fp32"]
"""The number format of weights and states; listed from the fewest bits to the most."""
NATIVE_SLOTS = 96
"""Number of slots if `batch_size` is 0. They fit into the processor cache (docs/experiments.md)."""
MOST_TOKENS = 1 << 28
"""Most tokens that all slots together may hold; very long texts get fewer slots."""
STEPS_AT_ONCE = 256
"""Number of steps between two checks for texts that have ended: about a tenth of a second."""


@dataclass(frozen=True)
class Engine:
    """The way in which a model's texts are computed.

    Attributes:
        kind: `native`, `fused` (kernels for GPUs) or `torch` if that computes the steps of a packed
            network, or `model` if the model's own forward pass does.
        precision: Precision of weights and states.
        reason: Why the engine is not native; empty if it is.
    """

    kind: Literal["native", "fused", "torch", "model"]
    precision: Precision
    reason: str = ""


class Slots(Protocol):
    """A batch of slots; see `rnnlm.kernels.slots.NativeSlots`."""

    def fill(self, first: int, count: int) -> None:
        """Set the texts that `run` samples next."""
        ...

    def run(self, steps: int) -> EndedTexts:
        """Run at most `steps` time steps; return the texts that ended."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether all texts given to `fill` have ended."""
        ...


class Sampler(Protocol):
    """A model that texts can be drawn from, with its description."""

    @property
    def experiment(self) -> Experiment:
        """The configuration that the model was trained with."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        ...

    @property
    def engine(self) -> Engine:
        """The way in which the texts are computed."""
        ...

    @property
    def precision(self) -> Precision:
        """Precision of weights and states."""
        ...

    @property
    def device(self) -> str:
        """Kind of device that computes the texts: `cpu` or `cuda`."""
        ...

    def open_slots(self, config: GenerationConfig, rules: Rules, *, costs: bool = False) -> Slots:
        """Return slots; see `rnnlm.engine.running.open_slots`."""
        ...


def resolve(precision: str, facts: Mapping[str, Any]) -> Precision:
    """Return the precision to use for a setting.

    Args:
        precision: A precision, or `auto` for the one that was chosen when the model was trained;
            32 bits if none was chosen.
        facts: The checkpoint's facts, which record the choice.
    """
    if precision == "auto":
        precision = facts.get("precision", {}).get("chosen", "fp32")
    assert precision in get_args(Precision)
    return precision  # type: ignore[return-value]


def settings_of(config: GenerationConfig, rules: Rules | None) -> SlotSettings:
    """Return the settings of slots; the constraints are those of `rules`, if given."""
    automaton = rules.automaton if rules else None
    return SlotSettings(
        log2_inverse_temperature=log2_inverse_temperature(config.temperature),
        penalty=config.repetition_penalty,
        top_k=config.top_k,
        top_p=config.top_p,
        least=least(config.min_p),
        min_length=config.min_length,
        max_length=config.max_length,
        successors=None if automaton is None else automaton.successors,
        distance=None if automaton is None else automaton.distance,
        starts=rules.starts if rules else None,
    )


def heads_of(
    tokenizer: Tokenizer, config: GenerationConfig, rules: Rules | None
) -> list[NDArray[np.int32]]:
    """Return the tokens that each text begins with, as they are fed to the model."""
    heads = rules.heads if rules else [config.prefix]
    return [tokenizer.encode(text).astype(np.int32) for text in heads]


def slot_count(config: GenerationConfig, usual: int) -> int:
    """Return how many slots to open, where `usual` is the engine's own choice."""
    return max(1, min(config.batch_size or usual, MOST_TOKENS // config.max_length))


def open_native(
    network: NumpyNetwork,
    tokenizer: Tokenizer,
    config: GenerationConfig,
    rules: Rules | None = None,
    *,
    costs: bool = False,
) -> NativeSlots:
    """Return slots of native code; for the arguments, see `rnnlm.engine.running.open_slots`."""
    return NativeSlots(
        network,
        settings_of(config, rules),
        slot_count(config, NATIVE_SLOTS),
        config.seed,
        heads_of(tokenizer, config, rules),
        costs=costs,
    )


def run(slots: Slots, first: int, count: int, steps: int = STEPS_AT_ONCE) -> Iterator[EndedTexts]:
    """Yield the texts `first` to `first + count - 1` as they end, in batches.

    Args:
        slots: The slots to sample in; mutated. All texts of an earlier call must have been yielded.
        first: Number of the first text.
        count: Number of texts.
        steps: Number of steps between two checks for texts that have ended.
    """
    slots.fill(first, count)
    while not slots.is_done:
        ended = slots.run(steps)
        if len(ended.numbers):
            yield ended
