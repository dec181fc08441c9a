"""Draw the next token from logits, by pure functions without a random generator's state.

Randomness is counter-based: the uniform number that decides a token is a function of (seed, text
number, position) alone, so a text is the same in whichever batch, shard or process it is drawn.

Probabilities are represented by integer weights. The likeliest token has the weight `ONE`; any
other token has 2^((logit − top) · rate) times that, rounded down, where `top` is the largest logit
and `rate` is log₂ e / temperature. Sums of integers do not depend on their order, so native code
and torch draw the same token. A token less than 2⁻³⁰ times as likely as the likeliest is never
drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rnnlm.kernels.slots import FORBIDDEN, ONE, DrawSettings, least, log2_inverse_temperature

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from rnnlm.config import SamplingConfig

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_UNIFORM_BITS = 50
_ROUNDS = 12582912.0
"""3 · 2²²: adding this to a float of at most 2²² rounds it to an integer."""
_POWER = (
    0.001326467259787023,
    0.009671499952673912,
    0.05550733581185341,
    0.24022242426872253,
    0.6931470036506653,
    1.0,
)


def uniforms(
    seed: int, texts: Int[Tensor, " batch"], positions: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """Return a uniform number in (0, 1) for each (seed, text, position), in double precision.

    It is computed by three rounds of the SplitMix64 finaliser; each round absorbs one of the three
    numbers.
    Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
    """
    state = _mix(torch.full_like(texts, _signed(seed)) + _GOLDEN)
    state = _mix((state ^ texts) + _GOLDEN)
    state = _mix((state ^ positions) + _GOLDEN)
    bits = _shift_right(state, 64 - _UNIFORM_BITS)
    return (bits.double() + 0.5) / 2.0**_UNIFORM_BITS


def power_of_two(t: Float[Tensor, "*any"], top: float) -> Float[Tensor, "*any"]:
    """Return 2^t to within 2e-7, with the same bits as native code; t is clamped to [−126, `top`].

    Every operation is rounded separately, as in IEEE 754; 2⁰ is exactly 1.
    """
    t = t.clamp(-126.0, top)
    shifted = t + _ROUNDS
    f = t - (shifted - _ROUNDS)
    total = f * _POWER[0] + _POWER[1]
    for coefficient in _POWER[2:]:
        total = total * f + coefficient
    return (total.view(torch.int32) + (shifted.view(torch.int32) << 23)).view(torch.float32)


def weigh(logits: Float[Tensor, "batch vocab"], rate: float) -> Int[Tensor, "batch vocab"]:
    """Return each token's weight, `ONE` for the likeliest.

    Args:
        logits: In single precision; not modified.
        rate: Log₂ e / temperature, above 0; see `log2_inverse_temperature`.
    """
    top = logits.amax(dim=-1, keepdim=True)
    return (power_of_two((logits - top) * rate, 0.0) * float(ONE)).to(torch.int64)


def penalise(
    logits: Float[Tensor, "batch vocab"], seen: Bool[Tensor, "batch vocab"], penalty: float
) -> Float[Tensor, "batch vocab"]:
    """Return logits with a penalty on tokens that the text already contains.

    The logits of these tokens are divided by `penalty` if positive, and multiplied by it otherwise.

    Args:
        logits: In single precision; not modified.
        seen: True for tokens that the text already contains.
        penalty: The repetition penalty; 1 has no effect.

    Source: Keskar et al. 2019 (CTRL), section 4.1.
    """
    # On a GPU, torch would multiply by the reciprocal of a number, which rounds differently.
    divisor = torch.full((), penalty, dtype=logits.dtype, device=logits.device)
    penalised = torch.where(logits > 0.0, logits / divisor, logits * penalty)
    return torch.where(seen, penalised, logits)


def keep_count(weights: Int[Tensor, "batch vocab"], k: int) -> Int[Tensor, "batch vocab"]:
    """Keep the weights of exactly the k heaviest tokens and set the others to 0; k = 0 keeps all.

    Among equal weights, the lower id is kept.
    Source: top-k, Fan et al. 2018.
    """
    if not 0 < k < weights.shape[-1]:
        return weights
    ordered, ids = torch.sort(weights, dim=-1, descending=True, stable=True)
    ordered[..., k:] = 0
    return torch.empty_like(weights).scatter_(-1, ids, ordered)


def keep_share(weights: Int[Tensor, "batch vocab"], share: float) -> Int[Tensor, "batch vocab"]:
    """Keep as few tokens as make up `share` of the sum of weights, heaviest first; set others to 0.

    If a single token suffices, only that token is kept. Among equal weights, the lower id is first.
    Source: top-p, Holtzman et al. 2020.
    """
    if share >= 1.0:
        return weights
    ordered, ids = torch.sort(weights, dim=-1, descending=True, stable=True)
    before = torch.cumsum(ordered, dim=-1) - ordered
    needed = share * weights.sum(dim=-1, keepdim=True).double()
    ordered = ordered.masked_fill(before.double() >= needed, 0)
    return torch.empty_like(weights).scatter_(-1, ids, ordered)


def keep_least(weights: Int[Tensor, "batch vocab"], least: int) -> Int[Tensor, "batch vocab"]:
    """Set weights under `least` to 0.

    Source: min-p, Nguyen et al. 2024.
    """
    return weights.masked_fill(weights < least, 0)


def draw_settings(config: SamplingConfig) -> DrawSettings:
    """Return the settings that `sample` takes; `repetition_penalty` is not among them."""
    return DrawSettings(
        log2_inverse_temperature=log2_inverse_temperature(config.temperature),
        top_k=config.top_k,
        top_p=config.top_p,
        least=least(config.min_p),
    )


def filter_weights(
    logits: Float[Tensor, "batch vocab"], how: DrawSettings
) -> Int[Tensor, "batch vocab"]:
    """Return each token's weight after temperature, top-k, top-p and min-p, in this order.

    Args:
        logits: In single precision; not modified.
        how: Settings; the temperature must be above 0.
    """
    weights = keep_count(weigh(logits, how.log2_inverse_temperature), how.top_k)
    return keep_least(keep_share(weights, how.top_p), how.least)


def choose(
    weights: Int[Tensor, "batch vocab"], uniform: Float[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """Draw one token per row: the first whose cumulative weight exceeds `uniform` times the sum."""
    cumulative = weights.cumsum(dim=-1)
    target = (uniform * cumulative[:, -1].double()).long()
    return (cumulative <= target[:, None]).sum(dim=-1)


def sample(
    logits: Float[Tensor, "batch vocab"],
    uniform: Float[Tensor, " batch"],
    how: DrawSettings,
) -> Int[Tensor, " batch"]:
    """Draw one token per row.

    Temperature 0 takes the likeliest token; of equally likely tokens, the one with the lowest id.

    Args:
        logits: In single precision; not modified.
        uniform: In (0, 1), in double precision; see `uniforms`.
        how: See `draw_settings`.
    """
    if how.log2_inverse_temperature == 0.0:
        return (logits == logits.amax(dim=-1, keepdim=True)).to(torch.int8).argmax(dim=-1)
    return choose(filter_weights(logits, how), uniform)


def allowed_only(
    logits: Float[Tensor, "batch vocab"], allowed: Bool[Tensor, "batch vocab"]
) -> Float[Tensor, "batch vocab"]:
    """Return logits with `FORBIDDEN` where a token is not allowed."""
    return logits.masked_fill(~allowed, FORBIDDEN)


def _mix(value: Tensor) -> Tensor:
    value = (value ^ _shift_right(value, 30)) * _MIX_1
    value = (value ^ _shift_right(value, 27)) * _MIX_2
    return value ^ _shift_right(value, 31)


def _shift_right(value: Tensor, bits: int) -> Tensor:
    """Shift int64 right as if it were unsigned."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """Return the signed 64-bit integer with the bits of `value`, for torch's int64."""
    return (value & (2**64 - 1)) - (2**64 if value & 2**63 else 0)
