/* Sample one text at a time in a browser, as WebAssembly.
 *
 * The engine is slots.c with a single lane. In the browser, a text may be followed token by token:
 * `compute` always brings the logits up to the last token, so that the page can show what may come
 * next before it is drawn. web/sampler.js calls these functions and fills the arrays.
 *
 * The table of the first layer (what each token adds to its sums) may be too large to send. Then
 * rows are computed from the embedding when they are needed; see rnnlm/play/arrays.py.
 */
#include "../kernels/slots.c"

#define EXPORT __attribute__((visibility("default"), used))
enum { MOST_LAYERS = 32 }; /* as in rnnlm/config/model.py */

/* The table of the first layer, by which it is computed: row t is
 * (embeddings[t] · inputs + bias) · rates - shifts, in double precision, rounded to floats. `places`
 * (sorted) and `values` hold the entries whose rounding depends on the order of additions. */
struct table {
    long features, columns, kept, fixes;
    const float *embeddings; /* (tokens, features) */
    const float *inputs;     /* (features, columns) */
    const double *bias, *rates, *shifts; /* (columns) */
    const uint32_t *places;  /* (fixes): token · columns + column */
    const float *values;     /* (fixes) */
    int32_t *tokens;         /* (kept): token of each row that is kept, or -1 */
    float *rows;             /* (kept, columns) */
    double *sums;            /* (columns): work space */
};

static struct layer layers[MOST_LAYERS];
static struct lane lane, before; /* before: the lane before the last token was taken */
static struct ended ended;
static struct table table;
static struct job job = {.kind = QUADS, .lanes = 1, .prefixes = 1, .most = 1, .layer = layers,
                         .lane = &lane, .ended = &ended};
static int64_t prefix_starts[2];
static int is_computed, is_over;
static const float *whole_table;

extern unsigned char __heap_base;
static uint32_t top;

/* Return the address of new memory, aligned to 64 bytes and filled with zeros; 0 if there is no
 * more. It is never freed. */
EXPORT uint32_t allocate(uint32_t bytes) {
    if (!top) top = (uint32_t)&__heap_base;
    uint64_t first = ((uint64_t)top + 63) / 64 * 64, end = first + bytes;
    uint64_t has = (uint64_t)__builtin_wasm_memory_size(0) << 16;
    if (end > has) {
        uint64_t pages = (end - has + 65535) >> 16;
        if (end >> 32 || __builtin_wasm_memory_grow(0, pages) == (__SIZE_TYPE__)-1) return 0;
    }
    top = (uint32_t)end;
    return (uint32_t)first;
}

/* Add a layer; see `struct layer`. All of its arrays but the working ones are already filled. */
EXPORT void add_layer(int kind, long units, long depth, long own, const int32_t *weight,
                      const float *scale, const float *added, uint8_t *factors, float *memory,
                      const uint8_t *start, const float *start_memory) {
    if (!job.layers) whole_table = added;
    layers[job.layers++] = (struct layer){
        kind, units, depth, own, weight, scale, added, 0, {factors, factors + 4 * depth},
        memory, start, start_memory};
}

/* Set the first layer's table, if it is not given as a whole; see `struct table`. */
EXPORT void set_table(long features, long columns, long kept, long fixes, const float *embeddings,
                      const float *inputs, const double *bias, const double *rates,
                      const double *shifts, const uint32_t *places, const float *values,
                      int32_t *tokens, float *rows, double *sums) {
    table = (struct table){features, columns, kept, fixes, embeddings, inputs, bias, rates,
                           shifts, places, values, tokens, rows, sums};
    for (long n = 0; n < kept; n++) tokens[n] = -1;
}

/* Set the output layer, and the work space that depends on the vocabulary. */
EXPORT void set_output(long vocab, long depth, const int32_t *weight, const float *scale,
                       const float *added, uint8_t *factors, float *logits, float *changed,
                       int32_t *weights, uint64_t *seen) {
    job.output = (struct output){vocab, depth, weight, scale, added, factors, logits, changed,
                                 weights};
    job.seen = seen;
}

/* Set how tokens are drawn. A change takes effect at the next token. */
EXPORT void set_sampling(double top_p, float rate, float penalty, long top_k, long least,
                         long min_length, long max_length) {
    struct sampling *how = &job.sampling;
    how->top_p = top_p, how->rate = rate, how->penalty = penalty, how->top_k = top_k;
    how->least = least, how->min_length = min_length, how->max_length = max_length;
}

/* Restrict the next texts by an automaton; NULL for none. `start` holds the state of a new text. */
EXPORT void set_automaton(const int32_t *successors, const int32_t *distance,
                          const int32_t *start, long farthest) {
    job.sampling.successors = successors, job.sampling.distance = distance;
    job.sampling.starts = successors ? start : NULL, job.sampling.farthest = farthest;
}

/* Begin a text. `tokens` and `texts` have room for the longest text. */
EXPORT void begin_text(uint64_t seed, int64_t number, const int32_t *prefix, long given,
                       int32_t *tokens, int32_t *texts) {
    job.seed = seed, job.next = number, job.end = number + 1;
    job.prefix = prefix, job.prefix_starts = prefix_starts, prefix_starts[1] = given;
    job.tokens = tokens, job.texts = texts;
    job.used = job.done = 0;
    is_computed = is_over = 0;
    begin(&job, 0);
}

/* Return row `token` of the first layer's table. */
static const float *row_of(long token) {
    long columns = table.columns, place = token % table.kept;
    float *row = table.rows + place * columns;
    if (table.tokens[place] == token) return row;
    table.tokens[place] = (int32_t)token;
    double *sums = table.sums;
    for (long n = 0; n < columns; n++) sums[n] = 0.0;
    for (long f = 0; f < table.features; f++) {
        double feature = table.embeddings[token * table.features + f];
        const float *inputs = table.inputs + f * columns;
        for (long n = 0; n < columns; n++) sums[n] += feature * inputs[n];
    }
    for (long n = 0; n < columns; n++)
        row[n] = (float)((sums[n] + table.bias[n]) * table.rates[n] - table.shifts[n]);
    uint32_t first = (uint32_t)(token * columns);
    long low = 0, high = table.fixes; /* the first place that is at least `first` is in between */
    while (low < high) {
        long middle = (low + high) / 2;
        if (table.places[middle] < first) low = middle + 1;
        else high = middle;
    }
    for (; low < table.fixes && table.places[low] - first < (uint32_t)columns; low++)
        row[table.places[low] - first] = table.values[low];
    return row;
}

/* Bring the logits up to the last token of the text. */
static void compute(void) {
    if (is_computed || is_over) return;
    long columns = 0;
    if (layers[0].kind == LSTM || layers[0].kind == GRU)
        columns = (layers[0].units + UNITS - 1) / UNITS * COLUMNS;
    else columns = (layers[0].units + COLUMNS - 1) / COLUMNS * COLUMNS;
    layers[0].added = table.kept ? row_of(lane.token) : whole_table + lane.token * columns;
    step(QUADS, &job);
    is_computed = 1;
}

/* Read the prefix and draw tokens, at most `most` in total, until the text ends. Afterwards the
 * logits are those of the next token. */
EXPORT void run(long most) {
    for (long taken = 0; taken < most && !is_over; taken++) {
        compute();
        before = lane;
        is_over = advance(&job, &lane, 0, job.output.logits);
        is_computed = 0;
    }
    compute();
}

/* Return whether a token is in the prefix or among the first `count` tokens after it. */
static int occurs(int64_t token, long count) {
    for (long n = 0; n < prefix_starts[1]; n++) if (job.prefix[n] == token) return 1;
    for (long n = 0; n < count; n++) if (job.tokens[n] == token) return 1;
    return 0;
}

/* Let a text that was cut at its greatest length go on, to a new greatest length. Constraints may
 * have forced it to its end; then the last token is taken back. */
EXPORT void go_on(long max_length) {
    struct sampling *how = &job.sampling;
    how->max_length = max_length, is_over = 0, job.used = job.done = 0;
    if (how->successors && !how->distance[lane.state]) {
        if (!occurs(lane.token, before.length))
            job.seen[lane.token / 64] &= ~((uint64_t)1 << (lane.token % 64));
        lane = before, is_computed = 1;
    }
    compute();
}

/* Compute the weight with which each token may come next, and return their sum; 0 if none may or if
 * the prefix has not been read yet. */
EXPORT double weigh_tokens(void) {
    int64_t total = 0;
    long wide = (job.output.vocab + COLUMNS - 1) / COLUMNS * COLUMNS;
    if (is_over || !is_computed || lane.fed < prefix_starts[1]) return 0.0;
    float highest = largest(job.output.logits, wide);
    return (double)weigh_next(&job, &lane, job.seen, job.output.logits, highest, &total);
}

/* Take a token that the user chose as the next one; it must have a weight above 0. */
EXPORT void take(long token) {
    if (is_over || !is_computed) return;
    const struct sampling *how = &job.sampling;
    before = lane;
    lane.token = token;
    job.seen[token / 64] |= (uint64_t)1 << (token % 64);
    job.tokens[lane.length++] = (int32_t)token;
    int is_last = token == BOUNDARY;
    if (how->successors) {
        lane.state = how->successors[lane.state * job.output.vocab + token];
        is_last = !how->distance[lane.state];
    }
    is_over = is_last || lane.length >= how->max_length;
    if (is_over) end(&job, &lane, 0, is_last);
    is_computed = 0;
    compute();
}

EXPORT long length(void) { return (long)lane.length; }
EXPORT int has_ended(void) { return is_over; }
EXPORT int is_complete(void) { return is_over && ended.is_complete; }
