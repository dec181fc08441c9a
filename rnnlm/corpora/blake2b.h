/* BLAKE2b (RFC 7693) with a digest of 8 bytes, like `hashlib.blake2b(data, digest_size=8)`. A call of
 * hashlib takes about a microsecond, which is more than the hash of a short paragraph takes. */

#include <stdint.h>
#include <string.h>

enum { BLAKE2B_BLOCK = 128 };

static const uint64_t BLAKE2B_IV[8] = {
    0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
    0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u,
};

static const uint8_t BLAKE2B_SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t rotated(uint64_t word, int by) { return word >> by | word << (64 - by); }

#define BLAKE2B_MIX(a, b, c, d, x, y)                                                            \
    v[a] += v[b] + (x), v[d] = rotated(v[d] ^ v[a], 32);                                         \
    v[c] += v[d], v[b] = rotated(v[b] ^ v[c], 24);                                               \
    v[a] += v[b] + (y), v[d] = rotated(v[d] ^ v[a], 16);                                         \
    v[c] += v[d], v[b] = rotated(v[b] ^ v[c], 63)

/* Add a block to `state`. `size` is the number of bytes up to the end of the block. */
static void blake2b_add(uint64_t *state, const uint8_t *block, uint64_t size, int is_last) {
    uint64_t v[16], m[16];
    memcpy(m, block, BLAKE2B_BLOCK);
    memcpy(v, state, 64);
    memcpy(v + 8, BLAKE2B_IV, 64);
    v[12] ^= size;
    if (is_last) v[14] = ~v[14];
#pragma GCC unroll 12
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = BLAKE2B_SIGMA[round % 10];
        BLAKE2B_MIX(0, 4, 8, 12, m[s[0]], m[s[1]]);
        BLAKE2B_MIX(1, 5, 9, 13, m[s[2]], m[s[3]]);
        BLAKE2B_MIX(2, 6, 10, 14, m[s[4]], m[s[5]]);
        BLAKE2B_MIX(3, 7, 11, 15, m[s[6]], m[s[7]]);
        BLAKE2B_MIX(0, 5, 10, 15, m[s[8]], m[s[9]]);
        BLAKE2B_MIX(1, 6, 11, 12, m[s[10]], m[s[11]]);
        BLAKE2B_MIX(2, 7, 8, 13, m[s[12]], m[s[13]]);
        BLAKE2B_MIX(3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int n = 0; n < 8; n++) state[n] ^= v[n] ^ v[n + 8];
}

/* Return the digest of some bytes, read as a big-endian number. */
static uint64_t blake2b(const uint8_t *data, int64_t size) {
    uint64_t state[8], digest = 0;
    uint8_t last[BLAKE2B_BLOCK] = {0};
    memcpy(state, BLAKE2B_IV, sizeof state);
    state[0] ^= 0x01010000 ^ sizeof digest; /* neither key nor tree, and the size of the digest */
    int64_t done = 0;
    for (; size - done > BLAKE2B_BLOCK; done += BLAKE2B_BLOCK)
        blake2b_add(state, data + done, done + BLAKE2B_BLOCK, 0);
    memcpy(last, data + done, size - done);
    blake2b_add(state, last, size, 1);
    for (int n = 0; n < 8; n++) digest = digest << 8 | (state[0] >> 8 * n & 0xFF);
    return digest;
}
