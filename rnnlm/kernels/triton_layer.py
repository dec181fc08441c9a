"""Triton kernels for one time step of a packed network: a recurrent layer, and the output layer.

They compute what `rnnlm/engine/stepping.py` computes, in fewer passes over memory: a layer is one
kernel, whose programs each take a tile of slots and units through the matrix product and the cell.
`rnnlm.engine.fused_network` lays out the weights: row n of a matrix holds the weights of column n
of the network, and a tile of rows holds its units' first gate, then their second, and so on.

With 8 bits, the results are bit for bit those of the other engines if the kernels are launched with
`enable_fp_fusion=False`. Without a GPU, the kernels run in Triton's interpreter (the environment
variable TRITON_INTERPRET=1), where products of bfloat16 numbers are wrong unless `UPCAST` is set.

Source: Tillet, Kung and Cox 2019, "Triton: an intermediate language and compiler for tiled neural
network computations".
"""

from __future__ import annotations

import triton
import triton.language as tl

LARGEST_GATE = tl.constexpr(40.0)
"""See `gate` in slots.c."""
MINUS_2_LOG2_E = tl.constexpr(-2.885390043258667)
"""-2 log₂ e rounded to 32 bits."""


@triton.jit
def power_of_two(t, top):
    """Return 2^t with t clamped to [-126, top], as `rnnlm.sampling.power_of_two` does."""
    t = tl.minimum(tl.maximum(t, -126.0), top)
    shifted = t + 12582912.0
    f = t - (shifted - 12582912.0)
    total = f * 0.001326467259787023 + 0.009671499952673912
    total = total * f + 0.05550733581185341
    total = total * f + 0.24022242426872253
    total = total * f + 0.6931470036506653
    total = total * f + 1.0
    bits = total.to(tl.int32, bitcast=True) + (shifted.to(tl.int32, bitcast=True) << 23)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def _multiply(sums, left, right, depth, UPCAST: tl.constexpr, STEP: tl.constexpr):
    """Return `sums` plus the product of two tiles: left (rows, depth) and right (depth, columns).

    `left` and `right` are pointers to the first `STEP` columns and rows of the tiles.
    """
    for _ in range(0, depth, STEP):
        a, b = tl.load(left), tl.load(right)
        if UPCAST:
            a, b = a.to(tl.float32), b.to(tl.float32)
        if sums.dtype == tl.int32:
            sums = tl.dot(a, b, sums, out_dtype=tl.int32)
        else:
            sums = tl.dot(a, b, sums, input_precision="ieee")
        left += STEP
        right += STEP
    return sums


@triton.jit
def _scaled(sums, columns, scale, shift):
    """Return sums times the scale of each column; sums of bytes are first made exact floats."""
    if sums.dtype == tl.int32:
        sums = (sums + tl.load(shift + columns)[None, :]).to(tl.float32)
    return sums * tl.load(scale + columns)[None, :]


@triton.jit
def step_layer(
    below,  # outputs of the layer below in this step, (slots, width); not read by the first layer
    own,  # outputs of this layer in the last step, (slots, width)
    new,  # outputs of this layer in this step, (slots, width); written
    width,
    below_depth,
    own_depth,
    matrix,  # (columns, below_depth + own_depth)
    scale,  # (columns)
    shift,  # (columns), for bytes: 128 times the sum of the weights
    added,  # (tokens, columns) for the first layer, (1, columns) for others
    tokens,  # the token that is fed to each slot, (slots)
    memory,  # (slots, memory_width); updated
    memory_width,
    columns,
    KIND: tl.constexpr,  # "lstm" or "gru"
    BY_TOKEN: tl.constexpr,  # whether `added` has a row for each token
    UPCAST: tl.constexpr,
    SLOTS: tl.constexpr,
    UNITS: tl.constexpr,
    STEP: tl.constexpr,
):
    """Compute a time step of a recurrent layer for a tile of `SLOTS` slots and `UNITS` units."""
    slots = (tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)).to(tl.int64)
    tile = tl.program_id(1)
    column = tile * 4 * UNITS + tl.arange(0, 4 * UNITS)
    places = tl.arange(0, STEP)
    depth = below_depth + own_depth
    right = matrix + column[None, :] * depth + places[:, None]
    row = slots[:, None] * width + places[None, :]
    if matrix.dtype.element_ty == tl.int8:
        sums = tl.zeros((SLOTS, 4 * UNITS), tl.int32)
    else:
        sums = tl.zeros((SLOTS, 4 * UNITS), tl.float32)
    if not BY_TOKEN:
        sums = _multiply(sums, below + row, right, below_depth, UPCAST, STEP)
    sums = _multiply(sums, own + row, right + below_depth, own_depth, UPCAST, STEP)
    if BY_TOKEN:
        token = tl.load(tokens + slots)
        summand = tl.load(added + token[:, None] * columns + column[None, :])
    else:
        summand = tl.load(added + column)[None, :]
    t = _scaled(sums, column, scale, shift) + summand
    # A tile's columns are numbered (gate, unit), with the gate in two bits; split them by gate.
    t = tl.permute(tl.reshape(t, (SLOTS, 2, 2, UNITS)), (0, 3, 2, 1))
    low, high = tl.split(t)
    t0, t1 = tl.split(low)
    t2, t3 = tl.split(high)
    unit = tile * UNITS + tl.arange(0, UNITS)
    at = memory + slots[:, None] * memory_width + unit[None, :]
    kept = tl.load(at)
    if KIND == "lstm":
        i, f = power_of_two(t0, LARGEST_GATE) + 1.0, power_of_two(t1, LARGEST_GATE) + 1.0
        g, o = power_of_two(t2, LARGEST_GATE), power_of_two(t3, LARGEST_GATE) + 1.0
        both = i * (g + 1.0)
        kept = tl.div_rn(kept * both + (1.0 - g) * f, f * both)
        c = power_of_two(kept * MINUS_2_LOG2_E, LARGEST_GATE)
        h = tl.div_rn(1.0 - c, o * (c + 1.0))
    else:
        r, z = power_of_two(t0, LARGEST_GATE) + 1.0, power_of_two(t1, LARGEST_GATE) + 1.0
        g = power_of_two(t2 + tl.div_rn(t3, r), LARGEST_GATE)
        n = tl.div_rn(1.0 - g, g + 1.0)
        kept = n + tl.div_rn(kept - n, z)
        h = kept
    tl.store(at, kept)
    if new.dtype.element_ty == tl.int8:  # the byte 127 h + 128 less 128; see `write_factors`
        h = tl.minimum(tl.maximum(h, -1.0), 1.0) * 127.0 + 12582912.0
        h = ((h.to(tl.int32, bitcast=True) + 128) & 255) - 128
    tl.store(new + slots[:, None] * width + unit[None, :], h.to(new.dtype.element_ty))


@triton.jit
def step_output(
    outputs,  # outputs of the last layer, (slots, width)
    width,
    depth,
    matrix,  # (columns, depth)
    scale,  # (columns)
    shift,  # (columns)
    added,  # (columns)
    logits,  # (slots, columns); written
    columns,
    UPCAST: tl.constexpr,
    SLOTS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEP: tl.constexpr,
):
    """Compute the logits for a tile of `SLOTS` slots and `COLUMNS` tokens."""
    slots = (tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    places = tl.arange(0, STEP)
    left = outputs + slots[:, None] * width + places[None, :]
    right = matrix + column[None, :] * depth + places[:, None]
    if matrix.dtype.element_ty == tl.int8:
        sums = tl.zeros((SLOTS, COLUMNS), tl.int32)
    else:
        sums = tl.zeros((SLOTS, COLUMNS), tl.float32)
    sums = _multiply(sums, left, right, depth, UPCAST, STEP)
    found = _scaled(sums, column, scale, shift) + tl.load(added + column)[None, :]
    tl.store(logits + slots[:, None] * columns + column[None, :], found)
