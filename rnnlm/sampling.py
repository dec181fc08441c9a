"""From logits to the next token: pure functions, no generator state.

Randomness is counter-based: the uniform number that decides a token is a function of (seed, text
number, position) alone, so a text is the same whichever batch, shard or process it is drawn in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from rnnlm.config import SamplingConfig

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_UNIFORM_BITS = 50


def uniforms(
    seed: int, texts: Int[Tensor, " batch"], positions: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """Return a number in (0, 1) for each (seed, text, position), in double precision.

    Three rounds of the SplitMix64 finaliser, each absorbing one part of the counter.
    Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
    """
    state = _mix(torch.full_like(texts, _signed(seed)) + _GOLDEN)
    state = _mix((state ^ texts) + _GOLDEN)
    state = _mix((state ^ positions) + _GOLDEN)
    bits = _shift_right(state, 64 - _UNIFORM_BITS)
    return (bits.double() + 0.5) / 2.0**_UNIFORM_BITS


def filter_logits(
    logits: Float[Tensor, "batch vocab"], config: SamplingConfig
) -> Float[Tensor, "batch vocab"]:
    """Return logits divided by temperature, with minus infinity where a token is cut.

    Args:
        logits: Not modified.
        config: top-k keeps exactly k tokens, ties broken by the lower id; top-p then keeps the
            smallest set of most likely tokens whose probabilities sum to at least p, which is one
            token where that alone suffices. Temperature must be above 0.

    Source: top-k, Fan et al. 2018; top-p, Holtzman et al. 2020.
    """
    scaled = logits.double() / config.temperature
    vocab_size = logits.shape[-1]
    if not 0 < config.top_k < vocab_size and config.top_p >= 1.0:
        return scaled
    ordered, ids = torch.sort(scaled, dim=-1, descending=True, stable=True)
    if 0 < config.top_k < vocab_size:
        ordered[..., config.top_k :] = -torch.inf
    if config.top_p < 1.0:
        probabilities = torch.softmax(ordered, dim=-1)
        before = torch.cumsum(probabilities, dim=-1) - probabilities
        ordered = ordered.masked_fill(before >= config.top_p, -torch.inf)
    return torch.empty_like(scaled).scatter_(-1, ids, ordered)


def sample(
    logits: Float[Tensor, "batch vocab"],
    uniform: Float[Tensor, " batch"],
    config: SamplingConfig,
) -> Int[Tensor, " batch"]:
    """Draw a token per row by inverting the cumulative distribution at `uniform`.

    Temperature 0 takes the most likely token, the lowest id among equals.
    """
    if config.temperature == 0.0:
        return logits.argmax(dim=-1)
    cumulative = torch.softmax(filter_logits(logits, config), dim=-1).cumsum(dim=-1)
    target = uniform[:, None] * cumulative[:, -1:]
    return (cumulative <= target).sum(dim=-1)


def _mix(value: Tensor) -> Tensor:
    value = (value ^ _shift_right(value, 30)) * _MIX_1
    value = (value ^ _shift_right(value, 27)) * _MIX_2
    return value ^ _shift_right(value, 31)


def _shift_right(value: Tensor, bits: int) -> Tensor:
    """Shift int64 right as if it were unsigned."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """Return the 64-bit integer with the bits of `value`, as torch's int64 wants it."""
    return (value & (2**64 - 1)) - (2**64 if value & 2**63 else 0)
