/* Step many texts together: products, cells, sampling and refilling, for a given number of steps.
 *
 * Called through ctypes by slots.py, which describes the arrays; `_Job` there mirrors `struct job`.
 * A lane is a slot of the batch: it holds one text, and the next one when that ends.
 *
 * A lane's results depend only on its own numbers, in an order that is fixed here, so a text is the
 * same whatever the other lanes hold. If words hold bytes, sums are integers, and all the rest is
 * single operations of IEEE 754 (no contraction: see pyproject.toml), so that
 * `rnnlm/engine/stepping.py` computes the same bits with torch.
 */
#include <string.h>

#include "products.h"

enum { LSTM, GRU, SIGMOID, TANH }; /* kinds of layers */
enum { GATES = 4, UNITS = COLUMNS / GATES };
enum { BOUNDARY = 0 };
#define ONE (1 << 30)         /* weight of the likeliest token */
#define FORBIDDEN (-1e30f)    /* logit of a token that is never drawn */

struct layer {
    int64_t kind, units, depth, own; /* depth in words; own: bytes before the layer's own state */
    const int32_t *weight;           /* (blocks, depth, COLUMNS) */
    const float *scale;              /* (blocks, COLUMNS): factors of the sums */
    const float *added;              /* (tokens or 1, blocks, COLUMNS): added to scaled sums */
    int64_t by_token;
    uint8_t *factors[2];             /* (lanes, depth) words: input from below, and own state */
    float *memory;                   /* (lanes, padded units): cells, or the state of a GRU */
    const uint8_t *start;            /* own state of a new text, as stored in the factors */
    const float *start_memory;       /* (padded units) */
};

struct output {
    int64_t vocab, depth;
    const int32_t *weight;
    const float *scale, *added;
    uint8_t *factors; /* (lanes, depth) words */
    float *logits;    /* (lanes, padded vocab) */
    float *changed;   /* (padded vocab), scratch: logits that a rule has changed */
    int32_t *weights; /* (padded vocab), scratch */
};

struct sampling {
    double top_p;
    float rate, penalty;                          /* rate: log2 e / temperature; 0 for argmax */
    int64_t top_k, least, min_length, max_length; /* least: smallest weight that min-p keeps */
    const int32_t *successors, *distance;         /* of an automaton, or NULL */
    const int32_t *starts; /* the automaton's state after each prefix, or NULL */
    int64_t farthest;
};

struct lane {
    int64_t number, length, fed, token, state; /* fed: tokens read from the prefix */
    uint64_t random;
    double logits, product; /* sums for the log-probability; see `note` */
    int64_t exponent;
};

struct ended {
    int64_t number, length, is_complete, exponent;
    double logits, product;
};

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
    uint64_t *seen;                 /* (lanes, words of 64 tokens), for the penalty */
    int32_t *texts;                 /* (room): tokens of the texts that ended, end to end */
    struct ended *ended;            /* (most) */
};

typedef int64_t wide_words __attribute__((vector_size(8 * WIDTH)));

INLINE vector all(float x) { return x - (vector){}; }

#ifdef __AVX512F__
INLINE vector lower(vector a, vector b) { return (vector)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vector higher(vector a, vector b) { return (vector)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vector from_integers(words a) { return (vector)_mm512_cvtepi32_ps((__m512i)a); }
INLINE words to_integers(vector a) { return (words)_mm512_cvttps_epi32((__m512)a); }
#else
INLINE vector lower(vector a, vector b) { return (vector)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vector higher(vector a, vector b) { return (vector)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vector from_integers(words a) { return (vector)_mm256_cvtepi32_ps((__m256i)a); }
INLINE words to_integers(vector a) { return (words)_mm256_cvttps_epi32((__m256)a); }
#endif

/* 2^t, accurate to 2e-7, with t clamped to -126 and `top`, which is at most 126; exactly 1 at 0.
 * Source: fitted for this file, to minimise the maximal relative error over ±1/2. */
INLINE vector power_of_two(vector t, float top) {
    t = lower(higher(t, all(-126.0f)), all(top));
    vector shifted = t + 12582912.0f; /* 3 · 2^22: the last bits hold t, rounded */
    vector f = t - (shifted - 12582912.0f);
    vector sum = f * 0.001326467259787023f + 0.009671499952673912f;
    sum = sum * f + 0.05550733581185341f;
    sum = sum * f + 0.24022242426872253f;
    sum = sum * f + 0.6931470036506653f;
    sum = sum * f + 1.0f;
    return (vector)((words)sum + ((words)shifted << 23));
}

/* 2^t for a gate: σ(x) = 1 / (1 + 2^t) and tanh x = (1 - 2^t) / (1 + 2^t) if t is -x or -2 x times
 * log2 e. t is clamped so that the product of three 1 + 2^t is still finite. */
INLINE vector gate(vector t) { return power_of_two(t, 40.0f); }
#define LOG2_E 1.4426950408889634f

/* One block of one lane, from COLUMNS sums to the outputs of its units: UNITS, or COLUMNS if the
 * layer is simple. See rnnlm/models for the equations, rearranged here to need few divisions. */
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

/* Write h as products read it: a byte is 255 h for a sigmoid layer, else 127 h + 128. */
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

/* One step of a layer for all lanes. */
INLINE void step_layer(int kind, int held, const struct job *job, const struct layer *layer,
                       uint8_t *above, int64_t above_bytes) {
    int units = kind == LSTM || kind == GRU ? UNITS : COLUMNS;
    int width = held == QUADS ? 1 : held == PAIRS ? 2 : 4;
    long blocks = (layer->units + units - 1) / units, depth = layer->depth, bytes = 4 * depth;
    uint8_t *now = layer->factors[job->parity], *next = layer->factors[1 - job->parity];
    for (long block = 0; block < blocks; block++) {
        const int32_t *weight = layer->weight + block * depth * COLUMNS;
        long first = block * units, left = layer->units - first;
        int count = left < units ? (int)left : units;
        long lanes = job->lanes, lane = 0;
#define TILES(rows)                                                                             \
    for (; lanes - lane >= rows; lane += rows) {                                                \
        float sums[rows * COLUMNS] __attribute__((aligned(64)));                                \
        tile(rows, held, 0, depth, (const int32_t *)(now + lane * bytes), depth, weight,       \
             weight, sums, COLUMNS);                                                            \
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
        TILES(ROWS) TILES(1)
#undef TILES
    }
}

INLINE void step_output(int held, const struct job *job) {
    const struct output *out = &job->output;
    long blocks = (out->vocab + COLUMNS - 1) / COLUMNS, depth = out->depth;
    for (long block = 0; block < blocks; block++) {
        const int32_t *weight = out->weight + block * depth * COLUMNS;
        long lane = 0;
#define TILES(rows)                                                                             \
    for (; job->lanes - lane >= rows; lane += rows) {                                           \
        float sums[rows * COLUMNS] __attribute__((aligned(64)));                                \
        tile(rows, held, 0, depth, (const int32_t *)out->factors + lane * depth, depth,        \
             weight, weight, sums, COLUMNS);                                                    \
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
        TILES(ROWS) TILES(1)
#undef TILES
    }
}

/* Sampling; see rnnlm/sampling.py for what each part means. */

/* SplitMix64's finaliser; see rnnlm/sampling.py. */
INLINE uint64_t mixed(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}
#define GOLDEN 0x9E3779B97F4A7C15u

INLINE float largest(const float *values, long count) {
    int32_t best = INT32_MIN; /* integers in the order of the floats: they vectorise */
    const int32_t *bits = (const int32_t *)values;
    for (long n = 0; n < count; n++) {
        int32_t key = bits[n] ^ ((bits[n] >> 31) & 0x7fffffff);
        best = key > best ? key : best;
    }
    union { int32_t bits; float value; } word = {best ^ ((best >> 31) & 0x7fffffff)};
    return word.value;
}

/* Fill `weights`, if not NULL, with ONE times 2^((logit - top) · rate), truncated to integers;
 * return their sum. */
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

INLINE int64_t count_from(const int32_t *weights, long count, int32_t least) {
    int32_t found = 0;
    for (long n = 0; n < count; n++) found += weights[n] >= least;
    return found;
}

INLINE int64_t sum_from(const int32_t *weights, long count, int32_t least) {
    int64_t sum = 0;
    for (long n = 0; n < count; n++) sum += weights[n] >= least ? weights[n] : 0;
    return sum;
}

/* Keep the k largest weights; among equals, those of lower tokens. */
static void keep_count(int32_t *weights, long count, int64_t k) {
    if (count_from(weights, count, 1) <= k) return;
    int32_t low = 1, high = ONE; /* k or more weights are >= low, fewer than k are > high */
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if (count_from(weights, count, middle) >= k) low = middle;
        else high = middle - 1;
    }
    int64_t left = k - count_from(weights, count, low + 1);
    for (long n = 0; n < count; n++)
        if (weights[n] < low || (weights[n] == low && left-- <= 0)) weights[n] = 0;
}

/* Keep the fewest largest weights that make up `share` of the sum; among equals, lower tokens. */
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

/* The automaton's rule: a token must lead to a state from which the text can still end in time. */
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

/* Return the logits of a lane, changed by its rules: penalty, automaton, minimum length. */
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
        if (largest(changed, vocab) <= FORBIDDEN) changed[BOUNDARY] = kept; /* nothing else is left */
    }
    return changed;
}

/* Draw from weights that sum to `total`: the first token whose cumulative sum exceeds a random
 * share of it. */
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
    return -1; /* no weight is above 0: the model's numbers are NaN */
}

/* Draw the next token of a lane; return -1 if its rules allow none. Set `own_total` to the sum of
 * the model's own weights if it is computed on the way. */
static int64_t draw(const struct job *job, const struct lane *lane, const uint64_t *seen,
                    const float *logits, float own_top, int64_t *own_total) {
    const struct sampling *how = &job->sampling;
    long wide = (job->output.vocab + COLUMNS - 1) / COLUMNS * COLUMNS;
    int32_t *weights = job->output.weights;
    const float *changed = ruled(job, lane, seen, logits);
    float top = changed == logits ? own_top : largest(changed, wide);
    if (top <= FORBIDDEN) return -1;
    if (how->rate == 0.0f)
        for (int64_t n = 0; n < wide; n++)
            if (changed[n] == top) return n;
    int64_t total = weigh(changed, wide, top, how->rate, weights);
    if (changed == logits && how->rate == LOG2_E) *own_total = total;
    if (how->top_k) keep_count(weights, wide, how->top_k);
    if (how->top_p < 1.0) keep_share(weights, wide, how->top_p);
    if (how->least > 1)
        for (long n = 0; n < wide; n++) weights[n] = weights[n] < how->least ? 0 : weights[n];
    if (how->top_k || how->top_p < 1.0 || how->least > 1) total = sum_from(weights, wide, 1);
    return choose(weights, wide, total, mixed((lane->random ^ (uint64_t)lane->length) + GOLDEN));
}

/* Add a token's log-probability: its logit minus the largest, minus ln of the sum of weights. The
 * sums are multiplied up as product · 2^exponent, so that no logarithm is taken here. */
INLINE void note(const struct job *job, struct lane *lane, const float *logits, int64_t token,
                 float top, int64_t total) {
    long wide = (job->output.vocab + COLUMNS - 1) / COLUMNS * COLUMNS;
    if (!total) total = weigh(logits, wide, top, LOG2_E, NULL);
    union { double value; uint64_t bits; } word = {lane->product * (double)total};
    lane->exponent += (int64_t)(word.bits >> 52) - 1023 - 30;
    word.bits = (word.bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    lane->product = word.value;
    lane->logits += (double)(logits[token] - top);
}

/* Start the next text in a lane. */
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

/* Add the text of a lane to the ended texts. */
static void end(struct job *job, const struct lane *lane, long at, int is_complete) {
    job->ended[job->done++] = (struct ended){lane->number, lane->length, is_complete,
                                             lane->exponent, lane->logits, lane->product};
    memcpy(job->texts + job->used, job->tokens + at * job->sampling.max_length,
           lane->length * sizeof *job->texts);
    job->used += lane->length;
}

/* Move the last lane's text into lane `at`, and drop the last lane. */
static void move(struct job *job, long at) {
    long last = --job->lanes, seen_words = (job->output.vocab + 63) / 64;
    if (at == last) return;
    memcpy(job->tokens + at * job->sampling.max_length,
           job->tokens + last * job->sampling.max_length,
           job->lane[last].length * sizeof *job->tokens);
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

/* Read a token of the prefix, or draw one; return whether the text has ended. */
static int advance(struct job *job, struct lane *lane, long at, const float *logits) {
    const struct sampling *how = &job->sampling;
    long vocab = job->output.vocab, prefix = lane->number % job->prefixes;
    uint64_t *seen = job->seen + at * ((vocab + 63) / 64);
    int64_t first = job->prefix_starts[prefix], given = job->prefix_starts[prefix + 1] - first;
    int is_given = lane->fed < given;
    int is_noted = !is_given || job->scores;
    float top = is_noted ? largest(logits, (vocab + COLUMNS - 1) / COLUMNS * COLUMNS) : 0.0f;
    int64_t total = 0; /* sum of the model's own weights, once known */
    int64_t token = is_given ? job->prefix[first + lane->fed]
                             : draw(job, lane, seen, logits, top, &total);
    if (token < 0) { end(job, lane, at, 0); return 1; }
    if (is_noted) note(job, lane, logits, token, top, total);
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
    int is_full = lane->length >= how->max_length; /* an automaton may force an end here */
    int is_complete = how->successors ? !how->distance[lane->state] && !is_full : token == BOUNDARY;
    if (!is_complete && !is_full) return 0;
    end(job, lane, at, is_complete);
    return 1;
}

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

/* Step until `steps` are done, no text is left, or the next ended texts might not fit. Return the
 * number of steps taken. Lanes without a text are filled first. */
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
    return taken;
}
