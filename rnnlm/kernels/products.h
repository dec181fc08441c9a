/* Products of small matrices, which are the inner loop of all native code here.
 *
 * Both factors are arrays of 32-bit words. A word holds one float, two bfloat16 numbers, or four
 * bytes, which are unsigned in the left factor and signed in the right one. A word of the left
 * factor and a word of the right one are multiplied number by number, and these products are added
 * to one sum: a float or, for bytes, an integer. Sums of integers are exact on every processor.
 * The right factor is packed into blocks of columns; see `blocks` in native.py for the layout.
 */
#include <stdint.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif
#ifdef __aarch64__ /* 64-bit ARM, where every processor has NEON */
#include <arm_neon.h>
#endif
#ifdef __wasm__
#include <wasm_simd128.h>
#endif

enum { FLOATS, PAIRS, QUADS }; /* a word holds one float, two bfloat16, or four bytes */
/* WIDTH: words of a vector; VECTORS, ROWS: vectors of columns and rows of `tile`, whose sums, with
 * VECTORS weights and the words of the left factor, fit into the registers. */
#ifdef __AVX512F__
enum { WIDTH = 16, VECTORS = 4, ROWS = 6 }; /* 32 registers */
#elif defined(__AVX2__)
enum { WIDTH = 8, VECTORS = 2, ROWS = 6 }; /* 16 registers */
#elif defined(__aarch64__)
enum { WIDTH = 4, VECTORS = 4, ROWS = 4 }; /* 32 registers; a cache line of weights at a time */
#else /* any other processor, in vector extensions of GCC and Clang */
enum { WIDTH = 4, VECTORS = 4, ROWS = 6 };
#endif
enum { COLUMNS = 64, LINE = 16 }; /* columns of a block; words of a cache line */

typedef float vector __attribute__((vector_size(4 * WIDTH)));
typedef int32_t words __attribute__((vector_size(4 * WIDTH)));
typedef vector stored_vector __attribute__((aligned(4), may_alias));
typedef words stored_words __attribute__((aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))

/* Return the bits of the nearest bfloat16, with ties to even as in torch; NaN stays NaN. */
INLINE uint16_t rounded(float x) {
    union { float value; uint32_t bits; } word = {x};
    uint32_t up = word.bits + 0x7fffu + ((word.bits >> 16) & 1u);
    return x != x ? 0x7fc0u : (uint16_t)(up >> 16);
}

/* Return sum + a · b, elementwise for floats. */
INLINE vector add_floats(vector sum, words a, words b) {
#ifdef __AVX512F__
    return (vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
#elif defined(__AVX2__)
    return (vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#elif defined(__aarch64__)
    return (vector)vfmaq_f32((float32x4_t)sum, (float32x4_t)a, (float32x4_t)b);
#else
    return sum + (vector)a * (vector)b;
#endif
}

/* Add to each element of `sum` the two products of the bfloat16 pairs in the words of a and b. */
INLINE vector add_pairs(vector sum, words a, words b) {
#ifdef __AVX512BF16__
    return (vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
    return (vector)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)a, (bfloat16x8_t)b);
#else
    sum = add_floats(sum, a << 16, b << 16);
    return add_floats(sum, a & -65536, b & -65536);
#endif
}

/* Whether `add_quads` adds 128 to each byte of b. ARM's first dot products are of bytes that are both
 * unsigned, or both signed; the mixed one came later. `excess` is what the sums are then too large
 * by. */
#if defined(__ARM_FEATURE_DOTPROD) && !defined(__ARM_FEATURE_MATMUL_INT8)
enum { SHIFTED = 1 };
#else
enum { SHIFTED = 0 };
#endif

/* Return 128 times the sum of the unsigned bytes of some words. */
INLINE int32_t excess(const int32_t *a, long depth) {
    const uint8_t *bytes = (const uint8_t *)a;
    uint32_t sum = 0;
    for (long n = 0; n < 4 * depth; n++) sum += bytes[n];
    return (int32_t)(128 * sum);
}

/* Add to each element of `sum`, an integer, the four products of the unsigned bytes in a word of a
 * and the signed bytes in the word of b, which are 128 larger if SHIFTED. */
INLINE vector add_quads(vector sum, words a, words b) {
#if defined(__AVX512VNNI__)
    return (vector)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif defined(__AVX512F__)
    __m512i low = _mm512_set1_epi32(0x00ff00ff), c = (__m512i)a, d = (__m512i)b;
    __m512i even = _mm512_madd_epi16(_mm512_and_si512(c, low),
                                     _mm512_srai_epi16(_mm512_slli_epi16(d, 8), 8));
    __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(c, 8), _mm512_srai_epi16(d, 8));
    return (vector)_mm512_add_epi32((__m512i)sum, _mm512_add_epi32(even, odd));
#elif defined(__AVX2__)
    __m256i low = _mm256_set1_epi32(0x00ff00ff), c = (__m256i)a, d = (__m256i)b;
    __m256i even = _mm256_madd_epi16(_mm256_and_si256(c, low),
                                     _mm256_srai_epi16(_mm256_slli_epi16(d, 8), 8));
    __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(c, 8), _mm256_srai_epi16(d, 8));
    return (vector)_mm256_add_epi32((__m256i)sum, _mm256_add_epi32(even, odd));
#elif defined(__ARM_FEATURE_MATMUL_INT8)
    return (vector)vusdotq_s32((int32x4_t)sum, (uint8x16_t)a, (int8x16_t)b);
#elif defined(__ARM_FEATURE_DOTPROD)
    uint8x16_t shifted = veorq_u8((uint8x16_t)b, vdupq_n_u8(128));
    return (vector)vdotq_u32((uint32x4_t)sum, (uint8x16_t)a, shifted);
#elif defined(__wasm__)
    v128_t c = (v128_t)a, d = (v128_t)b;
    v128_t even = wasm_i32x4_dot_i16x8(wasm_v128_and(c, wasm_i32x4_const_splat(0x00ff00ff)),
                                       wasm_i16x8_shr(wasm_i16x8_shl(d, 8), 8));
    v128_t odd = wasm_i32x4_dot_i16x8(wasm_u16x8_shr(c, 8), wasm_i16x8_shr(d, 8));
    return (vector)wasm_i32x4_add((v128_t)sum, wasm_i32x4_add(even, odd));
#else
    words total = (words)sum + (a & 255) * (b << 24 >> 24);
    total += (a >> 8 & 255) * (b << 16 >> 24);
    total += (a >> 16 & 255) * (b << 8 >> 24);
    return (vector)(total + (a >> 24 & 255) * (b >> 24));
#endif
}

#ifdef __AMX_INT8__ /* Intel's registers of 16 rows of 64 bytes, which are multiplied as matrices */
enum { TALL = 16 }; /* rows of `tall_tile` */

/* Set the shapes of the matrix registers for `tall_tile`: 0 to 3 hold sums, 4 and 6 are parts of the
 * factors with LINE words of the depth, and 5 and 7 are those with the words that are left. */
INLINE void shape_tiles(long depth) {
    struct { uint8_t palette, reserved[15]; uint16_t bytes[16]; uint8_t rows[16]; }
        shapes = {.palette = 1};
    int left = depth % LINE ? depth % LINE : 1;
    for (int n = 0; n < 8; n++) {
        shapes.bytes[n] = n == 5 ? 4 * left : 4 * LINE;
        shapes.rows[n] = n == 7 ? left : TALL;
    }
    _tile_loadconfig(&shapes);
}

/* Compute out (TALL, COLUMNS) = a (TALL, depth) · b (depth, COLUMNS) for words of bytes, after
 * `shape_tiles`. */
INLINE void tall_tile(long depth, const int32_t *a, long across, const int32_t *b, float *out,
                      long stride) {
    long k = 0;
    __asm__ volatile("" ::: "memory"); /* the instructions read what has been written before */
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
#define ADD(sum, left, right)                                                                   \
    _tile_loadd(right, b + k * COLUMNS + sum * LINE, 4 * COLUMNS);                              \
    _tile_dpbusd(sum, left, right);
    for (; k + LINE <= depth; k += LINE) {
        _tile_loadd(4, a + k, 4 * across);
        ADD(0, 4, 6) ADD(1, 4, 6) ADD(2, 4, 6) ADD(3, 4, 6)
    }
    if (k < depth) {
        _tile_loadd(5, a + k, 4 * across);
        ADD(0, 5, 7) ADD(1, 5, 7) ADD(2, 5, 7) ADD(3, 5, 7)
    }
#undef ADD
    _tile_stored(0, out, 4 * stride);
    _tile_stored(1, out + LINE, 4 * stride);
    _tile_stored(2, out + 2 * LINE, 4 * stride);
    _tile_stored(3, out + 3 * LINE, 4 * stride);
}

/* Give the matrix registers back, so that Linux need not save them. */
INLINE void release_tiles(void) { _tile_release(); }
#else
#define shape_tiles(depth)
#define release_tiles()
#endif

/* Compute out (rows, COLUMNS) = a (rows, depth) · b (depth, COLUMNS), for at most ROWS rows. The
 * depth is in words. If `adds` is set, the product is added to `out` instead. `across` and `stride`
 * are the distances between rows of a and of out. Meanwhile, prefetch `depth` cache lines from
 * `later` on. */
INLINE void tile(int rows, int kind, int adds, long depth, const int32_t *a, long across,
                 const int32_t *b, const int32_t *later, float *out, long stride) {
    int32_t excesses[ROWS];
    for (int row = 0; kind == QUADS && SHIFTED && row < rows; row++)
        excesses[row] = excess(a + row * across, depth);
    for (int column = 0; column < COLUMNS; column += WIDTH * VECTORS) {
        vector sums[ROWS][VECTORS] = {};
        for (int row = 0; adds && row < rows; row++)
            for (int v = 0; v < VECTORS; v++)
                sums[row][v] = *(stored_vector *)(out + row * stride + column + v * WIDTH);
        if (kind == QUADS && SHIFTED)
            for (int row = 0; row < rows; row++)
                for (int v = 0; v < VECTORS; v++)
                    sums[row][v] = (vector)((words)sums[row][v] - excesses[row]);
        for (long k = 0; k < depth; k++) {
            const stored_words *weight = (const stored_words *)(b + k * COLUMNS + column);
            __builtin_prefetch(later + k * LINE, 0, 2);
            for (int v = 0; v < VECTORS; v += LINE / WIDTH)
                __builtin_prefetch(b + (k + 4) * COLUMNS + column + v * WIDTH);
#pragma GCC unroll 6
            for (int row = 0; row < rows; row++) {
                words state = a[row * across + k] - (words){};
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++)
                    if (kind == QUADS) sums[row][v] = add_quads(sums[row][v], state, weight[v]);
                    else if (kind == PAIRS) sums[row][v] = add_pairs(sums[row][v], state, weight[v]);
                    else sums[row][v] = add_floats(sums[row][v], state, weight[v]);
            }
        }
        for (int row = 0; row < rows; row++)
            for (int v = 0; v < VECTORS; v++)
                *(stored_vector *)(out + row * stride + column + v * WIDTH) = sums[row][v];
    }
}
