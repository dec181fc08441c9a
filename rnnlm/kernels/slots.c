/* Sample many texts together, one token per text and time step.
 *
 * A lane (a slot) is a row of the batch. It holds one text at a time, and is refilled with the next
 * text when that one ends. slots.py calls `slots_run` through ctypes; it allocates the arrays and
 * describes them and the layout of the model. `_Job` there mirrors `struct job`.
 *
 * A lane's results depend only on the lane's own numbers, which are always added in the same order.
 * So a text does not depend on the texts in other lanes. If words hold bytes, sums of products are
 * exact integers, and each other operation is rounded as IEEE 754 requires (without contraction to
 * fused operations; see pyproject.toml), so that `rnnlm/engine/stepping.py` computes exactly the
 * same bits with torch.
 */
#include <stddef.h>
#ifdef __wasm__ /* which has no C library */
#define memcpy __builtin_memcpy
#define memset __builtin_memset
#else
#include <string.h>
#endif

#include "products.h"

enum { LSTM, GRU, SIGMOID, TANH }; /* kinds of layers */
enum { GATES = 4, UNITS = COLUMNS / GATES }; /* UNITS: hidden units in a block of columns */
enum { BOUNDARY = 0 }; /* token that comes before a text and ends it */
#define ONE (1 << 30)         /* weight of the likeliest token; others weigh less in proportion */
#define FORBIDDEN (-1e30f)    /* logit that marks a token as one that is never drawn */

struct layer {
    int64_t kind, units, depth, own; /* depth: in words; own: bytes before own state */
    const int32_t *weight;           /* (blocks, depth, COLUMNS) */
    const float *scale;              /* (blocks, COLUMNS): factors of the sums */
    const float *added;              /* (tokens or 1, blocks, COLUMNS): added to scaled sums */
    int64_t by_token;                /* whether `added` has an entry per token */
    uint8_t *factors[2];             /* (lanes, depth) words: output from below, own state */
    float *memory;                   /* (lanes, padded units): LSTM cells, or GRU state */
    const uint8_t *start;            /* own state of a new text, in the form of `factors` */
    const float *start_memory;       /* (padded units): memory of a new text */
};

struct output {
    int64_t vocab, depth;
    const int32_t *weight;
    const float *scale, *added;
    uint8_t *factors; /* (lanes, depth) words */
    float *logits;    /* (lanes, padded vocab) */
    float *changed;   /* (padded vocab): work space of `ruled` for the logits of one lane */
    int32_t *weights; /* (padded vocab): work space of `draw` for the weights of one lane */
};

struct sampling {
    double top_p;
    float rate, penalty;                          /* rate: log2 e / temperature, or 0 */
    int64_t top_k, least, min_length, max_length; /* least: smallest weight that is kept */
    const int32_t *successors, *distance;         /* of an automaton, or NULL; see slots.py */
    const int32_t *starts; /* the automaton's state after each prefix, or NULL */
    int64_t farthest;      /* largest entry of `distance` */
};

struct lane {
    int64_t number, length, fed, token, state; /* fed: tokens of the prefix read so far */
    uint64_t random;
    double logits, product; /* sums for the log-probability; see `note` */
    int64_t exponent;
};

/* What a drawn token's log-probability is computed from; see `note`. */
struct noted { float distance, total; };

struct ended {
    int64_t number, length, is_complete, exponent;
    double logits, product;
};

/* kind: what a word holds; parity: index of the `factors` that hold the current states; next, end:
 * number of the next text to begin, and one more than that of the last text; scores: whether to
 * score prefixes instead of sampling texts; most, room: sizes of `ended` and `texts`; done, used:
 * number of their entries in use. The last two arrays are like `tokens` and `texts`, or NULL. */
struct job {
    int64_t kind, layers, lanes, parity, next, end, prefixes, scores, room, most, used, done;
    uint64_t seed;
    const struct layer *layer;
    struct output output;
    struct sampling sampling;
    const int32_t *prefix;          /* tokens of all prefixes, end to end */
    const int64_t *prefix_starts;   /* (prefixes + 1) */
    struct lane *lane;
    int32_t *tokens;                /* (lanes, max_length) */
    uint64_t *seen;                 /* (lanes, vocab / 64): a bit for each token in the text */
    int32_t *texts;                 /* (room): tokens of the ended texts, end to end */
    struct ended *ended;            /* (most) */
    struct noted *noted, *ended_noted;
};

typedef int64_t wide_words __attribute__((vector_size(8 * WIDTH)));

INLINE vector all(float x) { return x - (vector){}; }

#ifdef __AVX512F__
INLINE vector lower(vector a, vector b) { return (vector)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vector higher(vector a, vector b) { return (vector)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vector from_integers(words a) { return (vector)_mm512_cvtepi32_ps((__m512i)a); }
INLINE words to_integers(vector a) { return (words)_mm512_cvttps_epi32((__m512)a); }
#elif defined(__AVX2__)
INLINE vector lower(vector a, vector b) { return (vector)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vector higher(vector a, vector b) { return (vector)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vector from_integers(words a) { return (vector)_mm256_cvtepi32_ps((__m256i)a); }
INLINE words to_integers(vector a) { return (words)_mm256_cvttps_epi32((__m256)a); }
#else
INLINE vector chosen(words first, vector a, vector b) {
    return (vector)(((words)a & first) | ((words)b & ~first));
}
INLINE vector lower(vector a, vector b) { return chosen((words)(a < b), a, b); }
INLINE vector higher(vector a, vector b) { return chosen((words)(a > b), a, b); }
INLINE vector from_integers(words a) { return __builtin_convertvector(a, vector); }
INLINE words to_integers(vector a) { return __builtin_convertvector(a, words); }
#endif

/* Return 2^t with a relative error of at most 2e-7. t is clamped to the range from -126 to `top`,
 * which must be at most 126. 2^0 is exactly 1.
 * Source: polynomial fitted for this file, to minimise the maximal relative error over ±1/2. */
INLINE vector power_of_two(vector t, float top) {
    t = lower(higher(t, all(-126.0f)), all(top));
    vector shifted = t + 12582912.0f; /* 3 · 2^22: now the last bits hold t rounded to an integer */
    vector f = t - (shifted - 12582912.0f);
    vector sum = f * 0.001326467259787023f + 0.009671499952673912f;
    sum = sum * f + 0.05550733581185341f;
    sum = sum * f + 0.24022242426872253f;
    sum = sum * f + 0.6931470036506653f;
    sum = sum * f + 1.0f;
    return (vector)((words)sum + ((words)shifted << 23));
}

/* Return 2^t for a gate: σ(x) = 1 / (1 + 2^t) with t = -x log2 e, and tanh x =
 * (1 - 2^t) / (1 + 2^t) with t = -2 x log2 e. t is clamped to at most 40, so that the product of
 * three terms 1 + 2^t is still finite. */
INLINE vector gate(vector t) { return power_of_two(t, 40.0f); }
#define LOG2_E 1.4426950408889634f

/* Compute the outputs of one block of one lane from its COLUMNS sums. A block has UNITS outputs, or
 * COLUMNS if the layer is simple. `held` is the kind of words. See rnnlm/models for the equations,
 * which are rearranged here to need few divisions. */
INLINE void apply_cell(int kind, int held, const float *sums, const float *scale,
                       const float *added, float *memory, float *outputs) {
    enum { ALL = COLUMNS / WIDTH, EACH = UNITS / WIDTH };
    vector t[ALL];
    for (int v = 0; v < ALL; v++) {
        vector sum = *(stored_vector *)(sums + v * WIDTH);
        if (held == QUADS) sum = from_integers((words)sum);
        t[v] = sum * *(stored_vector *)(scale + v * WIDTH) + *(stored_vector *)(added + v * WIDTH);
    }
    stored_vector *kept = (stored_vector *)memory, *out = (stored_vector *)outputs;
    if (kind == LSTM)
        for (int v = 0; v < EACH; v++) {
            vector i = gate(t[v]) + 1.0f, f = gate(t[EACH + v]) + 1.0f;
            vector g = gate(t[2 * EACH + v]), o = gate(t[3 * EACH + v]) + 1.0f;
            vector both = i * (g + 1.0f);
            vector cell = (kept[v] * both + (1.0f - g) * f) / (f * both);
            vector c = gate(cell * (-2.0f * LOG2_E));
            kept[v] = cell;
            out[v] = (1.0f - c) / (o * (c + 1.0f));
        }
    else if (kind == GRU)
        for (int v = 0; v < EACH; v++) {
            vector r = gate(t[v]) + 1.0f, z = gate(t[EACH + v]) + 1.0f;
            vector g = gate(t[2 * EACH + v] + t[3 * EACH + v] / r);
            vector n = (1.0f - g) / (g + 1.0f);
            kept[v] = n + (kept[v] - n) / z;
            out[v] = kept[v];
        }
    else
        for (int v = 0; v < ALL; v++) {
            vector e = gate(t[v]);
            out[v] = (kind == SIGMOID ? all(1.0f) : 1.0f - e) / (e + 1.0f);
        }
}

/* Write the outputs h to the left factors of this layer (`to`) and of the layer above, in the form
 * that products read. As a byte, h is stored as 255 h for a sigmoid layer, else as 127 h + 128. */
INLINE void write_factors(int kind, int held, int units, int count, const float *h, uint8_t *to,
                          uint8_t *above) {
    if (held == FLOATS) {
        memcpy(to, h, count * 4), memcpy(above, h, count * 4);
        return;
    }
    int32_t numbers[COLUMNS] __attribute__((aligned(64)));
    for (int u = 0; u < units; u += WIDTH) {
        vector x = *(stored_vector *)(h + u);
        if (held == QUADS) {
            x = lower(higher(x, all(-1.0f)), all(1.0f)) * (kind == SIGMOID ? 255.0f : 127.0f);
            words whole = (words)(x + 12582912.0f) + (kind == SIGMOID ? 0 : 128);
            *(stored_words *)(numbers + u) = whole & 255;
        } else {
            words bits = (words)x;
            *(stored_words *)(numbers + u) = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        }
    }
    if (held == QUADS) {
        uint8_t bytes[COLUMNS];
        for (int u = 0; u < units; u++) bytes[u] = (uint8_t)numbers[u];
        memcpy(to, bytes, count), memcpy(above, bytes, count);
    } else {
        uint16_t halves[COLUMNS];
        for (int u = 0; u < units; u++) halves[u] = (uint16_t)numbers[u];
        memcpy(to, halves, count * 2), memcpy(above, halves, count * 2);
    }
}

/* Compute the sums (rows, COLUMNS) of a block for some lanes. `factors` are their left factors. */
INLINE void product(int rows, int held, long depth, const int32_t *factors, const int32_t *weight,
                    float *sums) {
#ifdef __AMX_INT8__
    if (rows == TALL) tall_tile(depth, factors, depth, weight, sums, COLUMNS);
    else
#endif
        tile(rows, held, 0, depth, factors, depth, weight, weight, sums, COLUMNS);
}
#ifdef __AMX_INT8__
#define TILES_OF_ALL_HEIGHTS if (held == QUADS) { TILES(TALL) } TILES(ROWS) TILES(1)
#else
#define TILES_OF_ALL_HEIGHTS TILES(ROWS) TILES(1)
#endif

/* Run one time step of a layer for all lanes. `above` is the left factor of the layer above, whose
 * rows have `above_bytes` bytes. */
INLINE void step_layer(int kind, int held, const struct job *job, const struct layer *layer,
                       uint8_t *above, int64_t above_bytes) {
    int units = kind == LSTM || kind == GRU ? UNITS : COLUMNS;
    int width = held == QUADS ? 1 : held == PAIRS ? 2 : 4;
    long blocks = (layer->units + units - 1) / units, depth = layer->depth, bytes = 4 * depth;
    uint8_t *now = layer->factors[job->parity], *next = layer->factors[1 - job->parity];
    shape_tiles(depth);
    for (long block = 0; block < blocks; block++) {
        const int32_t *weight = layer->weight + block * depth * COLUMNS;
        long first = block * units, left = layer->units - first;
        int count = left < units ? (int)left : units;
        long lanes = job->lanes, lane = 0;
#define TILES(rows)                                                                             \
    for (; lanes - lane >= rows; lane += rows) {                                                \
        float sums[rows * COLUMNS] __attribute__((aligned(64)));                                \
        product(rows, held, depth, (const int32_t *)(now + lane * bytes), weight, sums);        \
        for (int row = 0; row < rows; row++) {                                                  \
            long at = lane + row, token = layer->by_token ? job->lane[at].token : 0;            \
            float outputs[COLUMNS] __attribute__((aligned(64)));                                \
            apply_cell(kind, held, sums + row * COLUMNS, layer->scale + block * COLUMNS,       \
                       layer->added + (token * blocks + block) * COLUMNS,                       \
                       layer->memory + (at * blocks + block) * units, outputs);                 \
            write_factors(kind, held, units, count, outputs,                                   \
                          next + at * bytes + layer->own + first * width,                       \
                          above + at * above_bytes + first * width);                            \
        }                                                                                       \
    }
        TILES_OF_ALL_HEIGHTS
#undef TILES
    }
}

/* Compute the logits of all lanes. */
INLINE void step_output(int held, const struct job *job) {
    const struct output *out = &job->output;
    long blocks = (out->vocab + COLUMNS - 1) / COLUMNS, depth = out->depth;
    shape_tiles(depth);
    for (long block = 0; block < blocks; block++) {
        const int32_t *weight = out->weight + block * depth * COLUMNS;
        long lane = 0;
#define TILES(rows)                                                                             \
    for (; job->lanes - lane >= rows; lane += rows) {                                           \
        float sums[rows * COLUMNS] __attribute__((aligned(64)));                                \
        product(rows, held, depth, (const int32_t *)out->factors + lane * depth, weight, sums); \
        for (int row = 0; row < rows; row++) {                                                  \
            float *logits = out->logits + ((lane + row) * blocks + block) * COLUMNS;            \
            for (int n = 0; n < COLUMNS; n += WIDTH) {                                          \
                vector sum = *(stored_vector *)(sums + row * COLUMNS + n);                      \
                if (held == QUADS) sum = from_integers((words)sum);                             \
                *(stored_vector *)(logits + n)                                                  \
                    = sum * *(stored_vector *)(out->scale + block * COLUMNS + n)                \
                      + *(stored_vector *)(out->added + block * COLUMNS + n);                   \
            }                                                                                   \
        }                                                                                       \
    }
        TILES_OF_ALL_HEIGHTS
#undef TILES
    }
}

/* Sampling; rnnlm/sampling.py does the same in torch and explains it. */

/* The finaliser of SplitMix64, which mixes the bits of a 64-bit number. */
INLINE uint64_t mixed(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}
#define GOLDEN 0x9E3779B97F4A7C15u

/* Return the largest of some floats. */
INLINE float largest(const float *values, long count) {
    int32_t best = INT32_MIN; /* compared as integers in the same order, which vectorises */
    const int32_t *bits = (const int32_t *)values;
    for (long n = 0; n < count; n++) {
        int32_t key = bits[n] ^ ((bits[n] >> 31) & 0x7fffffff);
        best = key > best ? key : best;
    }
    union { int32_t bits; float value; } word = {best ^ ((best >> 31) & 0x7fffffff)};
    return word.value;
}

/* Compute the weight of each token, ONE · 2^((logit - top) · rate) truncated to an integer, where
 * `top` is the largest logit. Store the weights in `weights`, unless that is NULL, and return their
 * sum. */
INLINE int64_t weigh(const float *restrict logits, long count, float top, float rate,
                     int32_t *restrict weights) {
    wide_words sums = {};
    for (long n = 0; n < count; n += WIDTH) {
        vector t = (*(stored_vector *)(logits + n) - top) * rate;
        words weight = to_integers(power_of_two(t, 0.0f) * (float)ONE);
        if (weights) *(stored_words *)(weights + n) = weight;
        sums += __builtin_convertvector(weight, wide_words);
    }
    int64_t total = 0;
    for (int lane = 0; lane < WIDTH; lane++) total += sums[lane];
    return total;
}

/* Return the number of weights that are at least `least`. */
INLINE int64_t count_from(const int32_t *weights, long count, int32_t least) {
    int32_t found = 0;
    for (long n = 0; n < count; n++) found += weights[n] >= least;
    return found;
}

/* Return the sum of the weights that are at least `least`. */
INLINE int64_t sum_from(const int32_t *weights, long count, int32_t least) {
    int64_t sum = 0;
    for (long n = 0; n < count; n++) sum += weights[n] >= least ? weights[n] : 0;
    return sum;
}

/* Keep the k largest weights and set all others to 0. Among equal weights, those of lower token ids
 * are kept. The smallest weight to keep is found by bisection. */
static void keep_count(int32_t *weights, long count, int64_t k) {
    if (count_from(weights, count, 1) <= k) return;
    int32_t low = 1, high = ONE; /* at least k weights are >= low; fewer are > high */
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if (count_from(weights, count, middle) >= k) low = middle;
        else high = middle - 1;
    }
    int64_t left = k - count_from(weights, count, low + 1);
    for (long n = 0; n < count; n++)
        if (weights[n] < low || (weights[n] == low && left-- <= 0)) weights[n] = 0;
}

/* Keep the largest weights, as few as together make up at least `share` of the sum, and set all
 * others to 0. Among equal weights, those of lower token ids are kept. */
static void keep_share(int32_t *weights, long count, double share) {
    double needed = share * (double)sum_from(weights, count, 1);
    int32_t low = 1, high = ONE;
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if ((double)sum_from(weights, count, middle) >= needed) low = middle;
        else high = middle - 1;
    }
    int64_t sum = sum_from(weights, count, low + 1);
    for (long n = 0; n < count; n++) {
        if (weights[n] < low) weights[n] = 0;
        else if (weights[n] == low) {
            if ((double)sum >= needed) weights[n] = 0;
            else sum += low;
        }
    }
}

/* Set the logits of the tokens that the automaton forbids to FORBIDDEN: those without a successor
 * state, and those from whose successor the text could not end within the length limit. */
INLINE void forbid(const struct sampling *how, const struct lane *lane, long vocab,
                   float *restrict logits) {
    const int32_t *next = how->successors + lane->state * vocab;
    int64_t left = how->max_length - lane->length - 1;
    if (left >= how->farthest)
        for (long n = 0; n < vocab; n++) logits[n] = next[n] < 0 ? FORBIDDEN : logits[n];
    else
        for (long n = 0; n < vocab; n++)
            if (next[n] < 0 || how->distance[next[n]] > left) logits[n] = FORBIDDEN;
}

/* Return the logits of a lane after the repetition penalty, the automaton and the minimum length
 * have been applied; the same array if none of these applies. */
static const float *ruled(const struct job *job, const struct lane *lane, const uint64_t *seen,
                          const float *logits) {
    const struct sampling *how = &job->sampling;
    long vocab = job->output.vocab, wide = (vocab + COLUMNS - 1) / COLUMNS * COLUMNS;
    int is_short = lane->length < how->min_length;
    if (!how->successors && !is_short && how->penalty == 1.0f) return logits;
    float *changed = job->output.changed;
    memcpy(changed, logits, wide * sizeof *logits);
    if (how->penalty != 1.0f)
        for (long n = 0; n < vocab; n++)
            if (seen[n / 64] >> (n % 64) & 1)
                changed[n] = logits[n] > 0.0f ? logits[n] / how->penalty : logits[n] * how->penalty;
    if (how->successors) forbid(how, lane, vocab, changed);
    if (is_short) {
        float kept = changed[BOUNDARY];
        changed[BOUNDARY] = FORBIDDEN;
        if (largest(changed, vocab) <= FORBIDDEN) changed[BOUNDARY] = kept; /* no other token */
    }
    return changed;
}

/* Draw a token with a probability proportional to its weight: return the first token for which the
 * sum of the weights up to it exceeds a random share of `total`, the sum of all weights. */
INLINE int64_t choose(const int32_t *weights, long wide, int64_t total, uint64_t random) {
    double uniform = ((double)(int64_t)(random >> 14) + 0.5) * 0x1p-50;
    int64_t target = (int64_t)(uniform * (double)total);
    for (int64_t n = 0; n < wide; n += COLUMNS) {
        int64_t sum = 0;
        for (int m = 0; m < COLUMNS; m++) sum += weights[n + m];
        if (sum <= target) { target -= sum; continue; }
        for (;; n++) {
            target -= weights[n];
            if (target < 0) return n;
        }
    }
    return -1; /* no weight is above 0, because the logits are NaN */
}

/* Compute the weight with which each token may be drawn next, and return their sum; 0 if no token
 * is allowed. `own_top` is the largest of the unchanged logits. At temperature 1, if no rule changes
 * the logits, set `own_total` to the sum of all weights, which `note` would otherwise compute. */
static int64_t weigh_next(const struct job *job, const struct lane *lane, const uint64_t *seen,
                          const float *logits, float own_top, int64_t *own_total) {
    const struct sampling *how = &job->sampling;
    long wide = (job->output.vocab + COLUMNS - 1) / COLUMNS * COLUMNS;
    int32_t *weights = job->output.weights;
    const float *changed = ruled(job, lane, seen, logits);
    float top = changed == logits ? own_top : largest(changed, wide);
    if (top <= FORBIDDEN) return 0;
    if (how->rate == 0.0f) {
        long first = 0;
        while (first < wide && changed[first] != top) first++;
        memset(weights, 0, wide * sizeof *weights);
        if (first < wide) weights[first] = 1;
        return 1;
    }
    int64_t total = weigh(changed, wide, top, how->rate, weights);
    if (changed == logits && how->rate == (float)LOG2_E) *own_total = total;
    if (how->top_k) keep_count(weights, wide, how->top_k);
    if (how->top_p < 1.0) keep_share(weights, wide, how->top_p);
    if (how->least > 1)
        for (long n = 0; n < wide; n++) weights[n] = weights[n] < how->least ? 0 : weights[n];
    if (how->top_k || how->top_p < 1.0 || how->least > 1) total = sum_from(weights, wide, 1);
    return total;
}

/* Draw the next token of a lane; return -1 if no token is allowed. See `weigh_next`. */
static int64_t draw(const struct job *job, const struct lane *lane, const uint64_t *seen,
                    const float *logits, float own_top, int64_t *own_total) {
    long wide = (job->output.vocab + COLUMNS - 1) / COLUMNS * COLUMNS;
    int64_t total = weigh_next(job, lane, seen, logits, own_top, own_total);
    if (!total) return -1;
    uint64_t random = mixed((lane->random ^ (uint64_t)lane->length) + GOLDEN);
    return choose(job->output.weights, wide, total, random);
}

/* Add the log-probability of a token to that of the lane's text. It is the token's logit, minus the
 * largest logit `top`, minus ln (total / ONE), where `total` is the sum of the weights at
 * temperature 1, or 0 if that is not known yet. The quotients total / ONE are not added as
 * logarithms but multiplied up, as product · 2^exponent, so that slots.py takes one logarithm per
 * text. If `place` is not NULL, both terms are also stored there for the token. */
INLINE void note(const struct job *job, struct lane *lane, const float *logits, int64_t token,
                 float top, int64_t total, struct noted *place) {
    long wide = (job->output.vocab + COLUMNS - 1) / COLUMNS * COLUMNS;
    if (!total) total = weigh(logits, wide, top, LOG2_E, NULL);
    union { double value; uint64_t bits; } word = {lane->product * (double)total};
    lane->exponent += (int64_t)(word.bits >> 52) - 1023 - 30;
    word.bits = (word.bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    lane->product = word.value;
    lane->logits += (double)(logits[token] - top);
    if (place) *place = (struct noted){logits[token] - top, (float)total};
}

/* Begin the next text in lane `at`. */
static void begin(struct job *job, long at) {
    struct lane *lane = &job->lane[at];
    long seen_words = (job->output.vocab + 63) / 64;
    uint64_t number = (uint64_t)job->next++;
    *lane = (struct lane){.number = (int64_t)number, .token = BOUNDARY, .product = 1.0,
                          .state = job->sampling.starts
                              ? job->sampling.starts[number % (uint64_t)job->prefixes] : 0,
                          .random = mixed((mixed(job->seed + GOLDEN) ^ number) + GOLDEN)};
    memset(job->seen + at * seen_words, 0, seen_words * sizeof *job->seen);
    for (long l = 0; l < job->layers; l++) {
        const struct layer *layer = &job->layer[l];
        int units = layer->kind == LSTM || layer->kind == GRU ? UNITS : COLUMNS;
        long padded = (layer->units + units - 1) / units * units, bytes = 4 * layer->depth;
        memcpy(layer->factors[job->parity] + at * bytes + layer->own, layer->start,
               bytes - layer->own);
        memcpy(layer->memory + at * padded, layer->start_memory, padded * sizeof(float));
    }
}

/* Append the text in lane `at` to the ended texts. */
static void end(struct job *job, const struct lane *lane, long at, int is_complete) {
    job->ended[job->done++] = (struct ended){lane->number, lane->length, is_complete,
                                             lane->exponent, lane->logits, lane->product};
    memcpy(job->texts + job->used, job->tokens + at * job->sampling.max_length,
           lane->length * sizeof *job->texts);
    if (job->noted)
        memcpy(job->ended_noted + job->used, job->noted + at * job->sampling.max_length,
               lane->length * sizeof *job->noted);
    job->used += lane->length;
}

/* Move the text in the last lane to lane `at`, and reduce the number of lanes by one. */
static void move(struct job *job, long at) {
    long last = --job->lanes, seen_words = (job->output.vocab + 63) / 64;
    if (at == last) return;
    memcpy(job->tokens + at * job->sampling.max_length,
           job->tokens + last * job->sampling.max_length,
           job->lane[last].length * sizeof *job->tokens);
    if (job->noted)
        memcpy(job->noted + at * job->sampling.max_length,
               job->noted + last * job->sampling.max_length,
               job->lane[last].length * sizeof *job->noted);
    memcpy(job->seen + at * seen_words, job->seen + last * seen_words,
           seen_words * sizeof *job->seen);
    job->lane[at] = job->lane[last];
    for (long l = 0; l < job->layers; l++) {
        const struct layer *layer = &job->layer[l];
        int units = layer->kind == LSTM || layer->kind == GRU ? UNITS : COLUMNS;
        long padded = (layer->units + units - 1) / units * units, bytes = 4 * layer->depth;
        uint8_t *factors = layer->factors[job->parity];
        memcpy(factors + at * bytes, factors + last * bytes, bytes);
        memcpy(layer->memory + at * padded, layer->memory + last * padded, padded * sizeof(float));
    }
}

/* Take the next token of the text in lane `at`, which is read from the prefix or drawn from the
 * logits; return whether the text has ended. */
static int advance(struct job *job, struct lane *lane, long at, const float *logits) {
    const struct sampling *how = &job->sampling;
    long vocab = job->output.vocab, prefix = lane->number % job->prefixes;
    uint64_t *seen = job->seen + at * ((vocab + 63) / 64);
    int64_t first = job->prefix_starts[prefix], given = job->prefix_starts[prefix + 1] - first;
    int is_given = lane->fed < given;
    int is_noted = !is_given || job->scores;
    float top = is_noted ? largest(logits, (vocab + COLUMNS - 1) / COLUMNS * COLUMNS) : 0.0f;
    int64_t total = 0; /* sum of the weights at temperature 1; 0 while unknown */
    int64_t token = is_given ? job->prefix[first + lane->fed]
                             : draw(job, lane, seen, logits, top, &total);
    if (token < 0) { end(job, lane, at, 0); return 1; }
    struct noted *place = job->noted && !is_given
        ? job->noted + at * how->max_length + lane->length : NULL;
    if (is_noted) note(job, lane, logits, token, top, total, place);
    lane->fed += is_given;
    lane->token = token;
    seen[token / 64] |= (uint64_t)1 << (token % 64);
    if (how->successors && !is_given)
        lane->state = how->successors[lane->state * vocab + token];
    if (is_given) {
        if (!job->scores || lane->fed < given) return 0;
        end(job, lane, at, 1);
        return 1;
    }
    job->tokens[at * how->max_length + lane->length++] = (int32_t)token;
    /* With an automaton, a text of full length may have been forced to end, so it is incomplete. */
    int is_full = lane->length >= how->max_length;
    int is_complete = how->successors ? !how->distance[lane->state] && !is_full : token == BOUNDARY;
    if (!is_complete && !is_full) return 0;
    end(job, lane, at, is_complete);
    return 1;
}

/* Run one time step of the model for all lanes, up to the logits. */
INLINE void step(int held, struct job *job) {
    for (long l = 0; l < job->layers; l++) {
        const struct layer *layer = &job->layer[l];
        int is_last = l + 1 == job->layers;
        uint8_t *above = is_last ? job->output.factors : layer[1].factors[job->parity];
        long above_bytes = 4 * (is_last ? job->output.depth : layer[1].depth);
        switch (layer->kind) {
            case LSTM: step_layer(LSTM, held, job, layer, above, above_bytes); break;
            case GRU: step_layer(GRU, held, job, layer, above, above_bytes); break;
            case SIGMOID: step_layer(SIGMOID, held, job, layer, above, above_bytes); break;
            default: step_layer(TANH, held, job, layer, above, above_bytes);
        }
    }
    step_output(held, job);
    job->parity = 1 - job->parity;
}

/* Run time steps until `steps` of them are done, no text is left, or the arrays for ended texts
 * might be too small for the next step. Before that, begin texts in unused lanes, up to `lanes`
 * lanes in total. Return the number of time steps taken. */
long slots_run(struct job *job, long steps, long lanes) {
    long wide = (job->output.vocab + COLUMNS - 1) / COLUMNS * COLUMNS, taken = 0;
    while (job->lanes < lanes && job->next < job->end) begin(job, job->lanes++);
    for (; taken < steps && job->lanes; taken++) {
        if (job->done + job->lanes > job->most) break;
        if (job->used + job->lanes * job->sampling.max_length > job->room) break;
        switch (job->kind) {
            case QUADS: step(QUADS, job); break;
            case PAIRS: step(PAIRS, job); break;
            default: step(FLOATS, job);
        }
        for (long at = job->lanes - 1; at >= 0; at--) {
            if (!advance(job, &job->lane[at], at, job->output.logits + at * wide)) continue;
            if (job->next < job->end) begin(job, at);
            else move(job, at);
        }
    }
    release_tiles();
    return taken;
}
