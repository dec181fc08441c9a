"""A Triton kernel that draws a token in every slot, and keeps the books of the texts.

It does for a few slots at a time what `rnnlm/engine/torch_slots.py` and `rnnlm.sampling` do for
all: rules, weights, thresholds, the draw, log-probabilities. Where a text ends, it is copied to a
bank of ended texts, and the slot begins the next text; the numbers of texts are given out by a
counter in device memory, so that the host is not asked. Weights are integers, so all engines draw
the same tokens from the same logits, if this kernel is launched with `enable_fp_fusion=False`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from rnnlm.kernels.triton_layer import power_of_two

# Rows of `whole`, the integers that are kept for each slot.
NUMBER, TOKEN, LENGTH, FED, STATE, EXPONENT = map(tl.constexpr, range(6))
WHOLE_ROWS = 6
# Rows of `real`, the doubles that are kept for each slot.
DISTANCE, PRODUCT = map(tl.constexpr, range(2))
REAL_ROWS = 2
# Columns of `ended` and `ended_real`, what is kept of an ended text; AT is where its tokens begin.
ENDED_NUMBER, ENDED_LENGTH, ENDED_COMPLETE, ENDED_EXPONENT, ENDED_AT = map(tl.constexpr, range(5))
ENDED_COLUMNS = 5

FORBIDDEN = tl.constexpr(-1e30)
ONE = tl.constexpr(1 << 30)
RATE_OF_ONE = tl.constexpr(1.4426950216293335)
"""log₂ e rounded to 32 bits."""
BOUNDARY = tl.constexpr(0)
GOLDEN = tl.constexpr(0x9E3779B97F4A7C15)
MIX_1 = tl.constexpr(0xBF58476D1CE4E5B9)
MIX_2 = tl.constexpr(0x94D049BB133111EB)
SEARCHES = tl.constexpr(31)
"""Steps in which bisection finds a weight up to `ONE`."""


@triton.jit
def _mixed(value):
    """The finaliser of SplitMix64; see `rnnlm.sampling.uniforms`."""
    value = (value ^ (value >> 30)) * MIX_1
    value = (value ^ (value >> 27)) * MIX_2
    return value ^ (value >> 31)


@triton.jit
def _weights(logits, top, rate):
    """Return the weight of each token; see `rnnlm.sampling.weigh`."""
    return (power_of_two((logits - top[:, None]) * rate, 0.0) * 1073741824.0).to(tl.int32)


@triton.jit
def _count_from(weights, least):
    return tl.sum((weights >= least[:, None]).to(tl.int32), axis=1)


@triton.jit
def _sum_from(weights, least):
    return tl.sum(tl.where(weights >= least[:, None], weights, 0).to(tl.int64), axis=1)


@triton.jit
def _keep_count(weights, k):
    """Keep the k largest weights; see `rnnlm.sampling.keep_count`."""
    low = tl.max(weights, axis=1) * 0 + 1
    high = low * ONE
    for _ in range(SEARCHES):
        middle = low + (high - low + 1) // 2
        is_enough = _count_from(weights, middle) >= k
        low = tl.where(is_enough & (low < high), middle, low)
        high = tl.where(is_enough, high, middle - 1)
    is_equal = weights == low[:, None]
    rank = tl.cumsum(is_equal.to(tl.int32), axis=1)
    left = k - _count_from(weights, low + 1)
    return tl.where((weights > low[:, None]) | (is_equal & (rank <= left[:, None])), weights, 0)


@triton.jit
def _keep_share(weights, share):
    """Keep the largest weights that make up a share; see `rnnlm.sampling.keep_share`."""
    low = tl.max(weights, axis=1) * 0 + 1
    high = low * ONE
    needed = share * _sum_from(weights, low).to(tl.float64)
    for _ in range(SEARCHES):
        middle = low + (high - low + 1) // 2
        is_enough = _sum_from(weights, middle).to(tl.float64) >= needed
        low = tl.where(is_enough & (low < high), middle, low)
        high = tl.where(is_enough, high, middle - 1)
    is_equal = weights == low[:, None]
    before = (tl.cumsum(is_equal.to(tl.int32), axis=1) - 1).to(tl.int64)
    before = _sum_from(weights, low + 1)[:, None] + before * low[:, None].to(tl.int64)
    is_needed = before.to(tl.float64) < needed[:, None]
    return tl.where((weights > low[:, None]) | (is_equal & is_needed), weights, 0)


@triton.jit
def _chosen(weights, seed, number, length):
    """Draw one token per row; see `rnnlm.sampling.choose` and `uniforms`."""
    state = _mixed(number.to(tl.uint64) * 0 + seed.to(tl.uint64) + GOLDEN)
    state = _mixed((state ^ number.to(tl.uint64)) + GOLDEN)
    state = _mixed((state ^ length.to(tl.uint64)) + GOLDEN)
    uniform = ((state >> 14).to(tl.int64).to(tl.float64) + 0.5) * 8.881784197001252e-16
    total = tl.sum(weights.to(tl.int64), axis=1)
    target = (uniform * total.to(tl.float64)).to(tl.int64)
    cumulative = tl.cumsum(weights.to(tl.int64), axis=1)
    return tl.sum((cumulative <= target[:, None]).to(tl.int32), axis=1)


@triton.jit
def draw(
    logits,  # (slots, columns)
    columns,
    vocab,
    slots,
    whole,  # (WHOLE_ROWS, slots), int64; updated
    real,  # (REAL_ROWS, slots), double precision; updated
    seen,  # (slots, words): a bit for each token in the text; updated
    words,
    texts,  # (slots, max_length), int32: tokens of the texts; updated
    given,  # tokens of all prefixes, end to end, int32
    given_starts,  # (prefixes + 1), int64
    starts,  # (prefixes), int32: state of the automaton after each prefix
    prefixes,
    successors,  # (states, vocab), int32; see `SlotSettings`
    distance,  # (states), int32
    seed,  # (1), int64
    share,  # (1), double precision: the setting `top_p`
    rate,
    penalty,
    top_k,
    least,
    min_length,
    max_length,
    counter,  # (2), int64: number of the next text to begin, and of the first not to begin; updated
    ended,  # (entries, ENDED_COLUMNS), int64; written
    ended_real,  # (entries, REAL_ROWS), double precision; written
    ended_tokens,  # int32: tokens of the ended texts; written
    used,  # (2), int64: how many entries and tokens are used in these arrays; updated
    states,  # (slots, state_width): outputs of all layers; rows of new texts are reset
    state_start,  # (state_width)
    state_width,
    memory,  # (slots, memory_width): cells of all layers; rows of new texts are reset
    memory_start,  # (memory_width)
    memory_width,
    IS_GREEDY: tl.constexpr,  # temperature 0
    HAS_PENALTY: tl.constexpr,
    HAS_AUTOMATON: tl.constexpr,
    HAS_MIN_LENGTH: tl.constexpr,
    HAS_TOP_K: tl.constexpr,
    HAS_TOP_P: tl.constexpr,
    HAS_LEAST: tl.constexpr,
    ROWS: tl.constexpr,  # slots of a program
    COLUMNS: tl.constexpr,  # a power of two, at least `columns`
    COPY: tl.constexpr,  # numbers that are copied at once
):
    """Take the next token in each of `ROWS` slots: read it from the prefix, or draw it."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    is_slot = row < slots
    column = tl.arange(0, COLUMNS)
    is_token = is_slot[:, None] & (column < vocab)[None, :]
    number = tl.load(whole + NUMBER * slots + row, mask=is_slot, other=-1)
    length = tl.load(whole + LENGTH * slots + row, mask=is_slot, other=0)
    fed = tl.load(whole + FED * slots + row, mask=is_slot, other=0)
    is_live = number >= 0
    prefix = tl.maximum(number, 0) % prefixes
    place = tl.load(given_starts + prefix) + fed
    is_given = place < tl.load(given_starts + prefix + 1)

    # The rules; see `ruled` in slots.c.
    at = row[:, None] * columns + column[None, :]
    own = tl.load(logits + at, mask=is_token, other=FORBIDDEN)
    own_top = tl.max(own, axis=1)
    changed = own
    if HAS_PENALTY:
        word = tl.load(seen + row[:, None] * words + column[None, :] // 32, mask=is_token, other=0)
        is_seen = ((word >> (column[None, :] % 32)) & 1) != 0
        penalised = tl.where(own > 0.0, tl.div_rn(own, own * 0.0 + penalty), own * penalty)
        changed = tl.where(is_seen, penalised, changed)
    state = tl.load(whole + STATE * slots + row, mask=is_slot, other=0)
    if HAS_AUTOMATON:
        after = state[:, None] * vocab + column[None, :]
        after = tl.load(successors + after, mask=is_token, other=-1)
        farther = tl.load(distance + tl.maximum(after, 0))
        left = max_length - length - 1
        is_allowed = (after >= 0) & (farther <= left[:, None])
        changed = tl.where(is_allowed, changed, FORBIDDEN)
    if HAS_MIN_LENGTH:
        is_short = (length < min_length)[:, None] & (column == BOUNDARY)[None, :]
        shorter = tl.where(is_short, FORBIDDEN, changed)
        is_nothing = tl.max(shorter, axis=1) <= FORBIDDEN
        changed = tl.where(is_nothing[:, None], changed, shorter)
    top = tl.max(changed, axis=1)
    is_stuck = top <= FORBIDDEN

    if IS_GREEDY:
        is_best = changed == top[:, None]
        drawn = tl.min(tl.where(is_best, column[None, :], COLUMNS), axis=1)
    else:
        weights = _weights(changed, top, rate)
        if HAS_TOP_K:
            weights = _keep_count(weights, top_k)
        if HAS_TOP_P:
            weights = _keep_share(weights, tl.load(share))
        if HAS_LEAST:
            weights = tl.where(weights < least, 0, weights)
        drawn = _chosen(weights, tl.load(seed), number, length)
    # Without a weight above 0, because the logits are NaN, the draw would be no token at all.
    drawn = tl.minimum(drawn, vocab - 1).to(tl.int64)
    read = tl.load(given + place, mask=is_given, other=0).to(tl.int64)
    token = tl.where(is_given, read, drawn)
    is_dead = is_live & is_stuck & (is_given == 0)
    is_fed = is_live & is_given
    is_drawn = is_live & (is_given == 0) & (is_stuck == 0)

    # The log-probability; see `note` in slots.c.
    total = tl.sum(_weights(own, own_top, RATE_OF_ONE).to(tl.int64), axis=1)
    is_it = is_token & (column[None, :] == token[:, None])
    apart = tl.sum(tl.where(is_it, own, 0.0), axis=1) - own_top
    product = tl.load(real + PRODUCT * slots + row, mask=is_slot, other=1.0)
    bits = (product * total.to(tl.float64)).to(tl.int64, bitcast=True)
    exponent = tl.load(whole + EXPONENT * slots + row, mask=is_slot, other=0)
    exponent += tl.where(is_drawn, (bits >> 52) - 1053, 0)  # 1023 + 30
    bits = (bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000
    product = tl.where(is_drawn, bits.to(tl.float64, bitcast=True), product)
    apart_sum = tl.load(real + DISTANCE * slots + row, mask=is_slot, other=0.0)
    apart_sum += tl.where(is_drawn, apart.to(tl.float64), 0.0)

    tl.debug_barrier()  # all threads have read what is overwritten from here on

    # The text with its new token.
    row_text = texts + row * max_length
    tl.store(row_text + length, token.to(tl.int32), mask=is_drawn)
    length += is_drawn.to(tl.int64)
    fed += is_fed.to(tl.int64)
    is_full = is_drawn & (length >= max_length)
    if HAS_AUTOMATON:
        after = tl.load(successors + state * vocab + token, mask=is_drawn, other=0)
        state = tl.where(is_drawn, tl.maximum(after, 0).to(tl.int64), state)
        is_end = tl.load(distance + state) == 0
        is_complete = is_drawn & is_end & (is_full == 0)
    else:
        is_complete = is_drawn & (token == BOUNDARY)
    is_over = is_complete | is_full | is_dead
    if HAS_PENALTY:
        bit_at = seen + row * words + token // 32
        is_kept = is_live & (is_over == 0)  # rows of texts that are over are cleared below
        bit = tl.load(bit_at, mask=is_kept, other=0) | (1 << (token % 32).to(tl.int32))
        tl.store(bit_at, bit, mask=is_kept)

    if tl.max(is_over.to(tl.int32), axis=0) > 0:
        entry = tl.atomic_add(used + row * 0, 1, mask=is_over)
        begin = tl.atomic_add(used + row * 0 + 1, length, mask=is_over)
        to = ended + entry * 5
        tl.store(to + ENDED_NUMBER, number, mask=is_over)
        tl.store(to + ENDED_LENGTH, length, mask=is_over)
        tl.store(to + ENDED_COMPLETE, is_complete.to(tl.int64), mask=is_over)
        tl.store(to + ENDED_EXPONENT, exponent, mask=is_over)
        tl.store(to + ENDED_AT, begin, mask=is_over)
        tl.store(ended_real + entry * 2 + DISTANCE, apart_sum, mask=is_over)
        tl.store(ended_real + entry * 2 + PRODUCT, product, mask=is_over)
        size = tl.where(is_over, length, 0)
        for first in range(0, tl.max(size, axis=0).to(tl.int32), COPY):
            copied = first + tl.arange(0, COPY)
            is_part = copied[None, :] < size[:, None]
            old = tl.load(row_text[:, None] + copied[None, :], mask=is_part, other=0)
            # Other threads may not see the new token in memory yet.
            is_new = is_drawn[:, None] & (copied[None, :] == length[:, None] - 1)
            old = tl.where(is_new, token[:, None].to(tl.int32), old)
            tl.store(ended_tokens + begin[:, None] + copied[None, :], old, mask=is_part)
        fresh = tl.atomic_add(counter + row * 0, 1, mask=is_over)
        fresh = tl.where(fresh < tl.load(counter + 1), fresh, -1)
        number = tl.where(is_over, fresh, number)
        start = tl.load(starts + tl.maximum(number, 0) % prefixes)
        state = tl.where(is_over, start.to(tl.int64), state)
        token = tl.where(is_over, BOUNDARY, token)
        length, fed = tl.where(is_over, 0, length), tl.where(is_over, 0, fed)
        exponent, product = tl.where(is_over, 0, exponent), tl.where(is_over, 1.0, product)
        apart_sum = tl.where(is_over, 0.0, apart_sum)
        if HAS_PENALTY:
            _reset(seen, seen, words, row, is_over, True, COPY)
        _reset(states, state_start, state_width, row, is_over, False, COPY)
        _reset(memory, memory_start, memory_width, row, is_over, False, COPY)

    tl.store(whole + NUMBER * slots + row, number, mask=is_slot)
    tl.store(whole + TOKEN * slots + row, token, mask=is_live)
    tl.store(whole + LENGTH * slots + row, length, mask=is_slot)
    tl.store(whole + FED * slots + row, fed, mask=is_slot)
    tl.store(whole + STATE * slots + row, state, mask=is_slot)
    tl.store(whole + EXPONENT * slots + row, exponent, mask=is_slot)
    tl.store(real + DISTANCE * slots + row, apart_sum, mask=is_slot)
    tl.store(real + PRODUCT * slots + row, product, mask=is_slot)


@triton.jit
def _reset(rows, start, width, row, is_over, IS_ZERO: tl.constexpr, COPY: tl.constexpr):
    """Set the rows of texts that are over to `start`, or to zero."""
    for first in range(0, width, COPY):
        place = first + tl.arange(0, COPY)
        mask = is_over[:, None] & (place < width)[None, :]
        value = tl.zeros((COPY,), rows.dtype.element_ty)
        if not IS_ZERO:
            value = tl.load(start + place, mask=place < width, other=0)
        values = value[None, :] + tl.zeros((row.shape[0], COPY), rows.dtype.element_ty)
        tl.store(rows + row[:, None] * width + place[None, :], values, mask=mask)
