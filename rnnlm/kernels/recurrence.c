/* The time loops of an LSTM layer, forward and backward, for a range of lanes (rows of the batch).
 *
 * This source is built once per kind of processor (see pyproject.toml). recurrence.py calls it
 * through ctypes, once per thread with different lanes; lstm.py allocates the arrays. A time step is
 * one matrix product with the recurrent weight, followed by the elementwise part, the cell. The
 * weight is packed once for all time steps, whereas a general matrix product would pack it again in
 * each. Products may be of bfloat16 numbers (`kind` is PAIRS); all other arithmetic is in float.
 */
#include "products.h"

/* Most rows of a strip, in words. A strip is a part of a block of the packed weight, small enough
 * to stay in the L2 cache while it is multiplied with all lanes. */
enum { DEPTH = 512 };

/* Elementwise functions, written so that the compiler can vectorise a loop that calls them. */

/* Return e^x with a relative error of at most 2e-7.
 * Source: argument reduction and polynomial of expf in Cephes (Moshier 1992). */
INLINE float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    union { float value; uint32_t bits; } shifted = {x * 1.44269504f + 12582912.0f}; /* 3 · 2^22 */
    float power = shifted.value - 12582912.0f; /* x / ln 2, rounded: shifted's last bits */
    float r = x - power * 0.693359375f + power * 2.12194440e-4f;
    float sum = 1.9875691500e-4f;
    sum = sum * r + 1.3981999507e-3f;
    sum = sum * r + 8.3334519073e-3f;
    sum = sum * r + 4.1665795894e-2f;
    sum = sum * r + 1.6666665459e-1f;
    sum = sum * r + 5.0000001201e-1f;
    union { uint32_t bits; float value; } two = {(shifted.bits + 127u) << 23};
    return (sum * r * r + r + 1.0f) * two.value;
}

INLINE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

/* Return tanh x with an error of at most 4e-7.
 * Source: rational function of ptanh in Eigen, with odd powers of x over even ones. */
INLINE float hyperbolic_tangent(float x) {
    x = x < -7.9f ? -7.9f : x;
    x = x > 7.9f ? 7.9f : x;
    float s = x * x, p = -2.76076847742355e-16f, q = 1.19825839466702e-06f;
    p = p * s + 2.00018790482477e-13f;
    p = p * s - 8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return x * p / q;
}

/* Multiply all rows of a with one strip of weights, by calls of `tile`, and prefetch the strip that
 * starts at `next`. The arguments are those of `tile`. */
INLINE void strip(int kind, int adds, long rows, long depth, const int32_t *a, long across,
                  const int32_t *b, const int32_t *next, float *out, long stride) {
    const int32_t *last = next + (COLUMNS / LINE - 1) * depth * LINE;
#define TILES(count)                                                                  \
    for (; rows >= count; rows -= count, a += count * across, out += count * stride) { \
        tile(count, kind, adds, depth, a, across, b, next, out, stride);            \
        if (next < last) next += depth * LINE;                                        \
    }
    TILES(ROWS) TILES(4) TILES(2) TILES(1)
#undef TILES
}

/* Compute out (rows, stride) = a (rows, depth) · b, where b is packed into blocks: its shape is
 * (stride / COLUMNS, depth, COLUMNS). Depth is in words. */
INLINE void multiply(int kind, long rows, long depth, const void *a, const int32_t *b,
                     float *out, long stride) {
    const int32_t *from = a, *start = b;
    for (long column = 0; column < stride; column += COLUMNS)
        for (long k = 0; k < depth; k += DEPTH) {
            long deep = depth - k < DEPTH ? depth - k : DEPTH;
            int ends = k + deep == depth && column + COLUMNS == stride;
            const int32_t *next = ends ? start : b + deep * COLUMNS;
            if (k) strip(kind, 1, rows, deep, from + k, depth, b, next, out + column, stride);
            else strip(kind, 0, rows, deep, from, depth, b, next, out + column, stride);
            b += deep * COLUMNS;
        }
}

/* Compute the elementwise part of a time step for one lane; see rnnlm/models/lstm.py for the
 * equations. On entry `gates` holds U h; on return, the values of the gates i, f, g, o. */
INLINE void lstm_cell(long hidden, const float *restrict projected, const float *restrict cell,
                      float *restrict gates, float *restrict new_cell, float *restrict output) {
    for (long u = 0; u < hidden; u++) {
        float i = sigmoid(projected[u] + gates[u]);
        float f = sigmoid(projected[hidden + u] + gates[hidden + u]);
        float g = hyperbolic_tangent(projected[2 * hidden + u] + gates[2 * hidden + u]);
        float o = sigmoid(projected[3 * hidden + u] + gates[3 * hidden + u]);
        float c = f * cell[u] + i * g;
        gates[u] = i, gates[hidden + u] = f, gates[2 * hidden + u] = g, gates[3 * hidden + u] = o;
        new_cell[u] = c;
        output[u] = o * hyperbolic_tangent(c);
    }
}

/* The backward pass of `lstm_cell`: from the gradients of the output and of the new cell, compute
 * those of the sums of the gates, and of the cell before the step. On entry `grad_cell` holds the
 * gradient of the new cell; on return, that of the cell before. */
INLINE void lstm_cell_backward(long hidden, const float *restrict gates,
                               const float *restrict cell, const float *restrict new_cell,
                               const float *restrict grad_output,
                               const float *restrict grad_hidden, float *restrict grad_cell,
                               float *restrict grad_gates) {
    for (long u = 0; u < hidden; u++) {
        float i = gates[u], f = gates[hidden + u];
        float g = gates[2 * hidden + u], o = gates[3 * hidden + u];
        float tangent = hyperbolic_tangent(new_cell[u]), grad = grad_output[u] + grad_hidden[u];
        float grad_new = grad_cell[u] + grad * o * (1.0f - tangent * tangent);
        grad_gates[u] = grad_new * g * i * (1.0f - i);
        grad_gates[hidden + u] = grad_new * cell[u] * f * (1.0f - f);
        grad_gates[2 * hidden + u] = grad_new * i * (1.0f - g * g);
        grad_gates[3 * hidden + u] = grad * tangent * o * (1.0f - o);
        grad_cell[u] = grad_new * f;
    }
}

INLINE void round_all(long count, const float *restrict from, uint16_t *restrict to) {
    for (long n = 0; n < count; n++) to[n] = rounded(from[n]);
}

INLINE long padded(long columns) { return (columns + COLUMNS - 1) / COLUMNS * COLUMNS; }

INLINE void forward(int kind, long steps, long batch, long first, long lanes, long hidden,
                    const float *projected, const int32_t *weight, float *gates, float *cells,
                    float *outputs, uint16_t *halves) {
    long wide = padded(4 * hidden);
    for (long t = 0; t < steps; t++) {
        long now = t * batch + first, next = now + batch;
        float *sums = gates + now * wide;
        if (kind == PAIRS) multiply(PAIRS, lanes, hidden / 2, halves + now * hidden, weight, sums, wide);
        else multiply(FLOATS, lanes, hidden, outputs + now * hidden, weight, sums, wide);
        for (long lane = 0; lane < lanes; lane++)
            lstm_cell(hidden, projected + (now + lane) * 4 * hidden,
                      cells + (now + lane) * hidden, sums + lane * wide,
                      cells + (next + lane) * hidden, outputs + (next + lane) * hidden);
        if (kind == PAIRS) round_all(lanes * hidden, outputs + next * hidden, halves + next * hidden);
    }
}

INLINE void backward(int kind, long steps, long batch, long first, long lanes, long hidden,
                     const float *grad_outputs, const int32_t *weight, const float *gates,
                     const float *cells, float *grad_hidden, float *grad_cell, float *grad_gates,
                     uint16_t *halves) {
    long wide = padded(4 * hidden), narrow = padded(hidden);
    for (long t = steps - 1; t >= 0; t--) {
        long now = t * batch + first, next = now + batch;
        float *grads = grad_gates + now * 4 * hidden, *back = grad_hidden + first * narrow;
        for (long lane = 0; lane < lanes; lane++)
            lstm_cell_backward(hidden, gates + (now + lane) * wide, cells + (now + lane) * hidden,
                               cells + (next + lane) * hidden,
                               grad_outputs + (now + lane) * hidden, back + lane * narrow,
                               grad_cell + (first + lane) * hidden, grads + lane * 4 * hidden);
        if (kind == PAIRS) {
            uint16_t *rounded_grads = halves + now * 4 * hidden;
            round_all(lanes * 4 * hidden, grads, rounded_grads);
            multiply(PAIRS, lanes, 2 * hidden, rounded_grads, weight, back, narrow);
        } else multiply(FLOATS, lanes, 4 * hidden, grads, weight, back, narrow);
    }
}

/* Run the forward pass for the lanes from `first` to `last` - 1. `halves` is an array for states
 * rounded to bfloat16, or NULL if products are to be in float. */
void lstm_forward(long steps, long batch, long first, long last, long hidden,
                  const float *projected, const int32_t *weight, float *gates, float *cells,
                  float *outputs, uint16_t *halves) {
    if (halves)
        forward(PAIRS, steps, batch, first, last - first, hidden, projected, weight, gates, cells,
                outputs, halves);
    else
        forward(FLOATS, steps, batch, first, last - first, hidden, projected, weight, gates, cells,
                outputs, halves);
}

/* Run the backward pass for the lanes from `first` to `last` - 1. `halves` is an array for
 * gradients rounded to bfloat16, or NULL if products are to be in float. */
void lstm_backward(long steps, long batch, long first, long last, long hidden,
                   const float *grad_outputs, const int32_t *weight, const float *gates,
                   const float *cells, float *grad_hidden, float *grad_cell, float *grad_gates,
                   uint16_t *halves) {
    if (halves)
        backward(PAIRS, steps, batch, first, last - first, hidden, grad_outputs, weight, gates, cells,
                 grad_hidden, grad_cell, grad_gates, halves);
    else
        backward(FLOATS, steps, batch, first, last - first, hidden, grad_outputs, weight, gates, cells,
                 grad_hidden, grad_cell, grad_gates, halves);
}
