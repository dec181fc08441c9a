/* Hashes of the shingles of texts, as `duplicates.py` defines them; see there for what they are. */

#include <stdint.h>
#include <string.h>

enum { SHINGLE = 24 };
static const uint64_t PRIME = 0x9E3779B97F4A7C15u;

/* Return the bytes of the white space of UTF-8 that begins at `at`, as Python's `str.split` has it;
 * 0 for none. */
static long space(const uint8_t *at, const uint8_t *end) {
    uint8_t c = *at;
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
    if (c == 0xC2 && at + 1 < end) return at[1] == 0x85 || at[1] == 0xA0 ? 2 : 0;
    if (c < 0xE1 || c > 0xE3 || at + 2 >= end) return 0;
    if (c == 0xE1) return at[1] == 0x9A && at[2] == 0x80 ? 3 : 0;
    if (c == 0xE3) return at[1] == 0x80 && at[2] == 0x80 ? 3 : 0;
    if (at[1] == 0x80)
        return at[2] <= 0x8A || at[2] == 0xA8 || at[2] == 0xA9 || at[2] == 0xAF ? 3 : 0;
    return at[1] == 0x81 && at[2] == 0x9F ? 3 : 0;
}

/* Write a text in small ASCII letters, spaces squeezed, to `to`; return its bytes. */
static long squeeze(const uint8_t *at, const uint8_t *end, uint8_t *to) {
    uint8_t *start = to;
    int is_due = 0;
    while (at < end) {
        long wide = space(at, end);
        if (wide) {
            is_due = to > start;
            at += wide;
            continue;
        }
        if (is_due) *to++ = ' ';
        is_due = 0;
        *to++ = *at >= 'A' && *at <= 'Z' ? *at + 32 : *at;
        at++;
    }
    return to - start;
}

static int is_word(uint8_t c) {
    return c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static uint64_t hash(const uint8_t *at) {
    uint64_t total = 0, word;
    for (long place = 0; place < SHINGLE; place += 8) {
        memcpy(&word, at + place, 8);
        total = (total ^ word) * PRIME;
        total ^= total >> 29;
    }
    return total;
}

/* Write the hashes of each text's shingles end to end; return how many.
 *
 * data, offsets: The texts in UTF-8, as Arrow has them: text t is data[offsets[t]:offsets[t + 1]].
 * hashes: Room for as many as there are bytes.
 * bounds: Gets where each text's hashes begin, and the end; texts + 1.
 * scratch: Room for the longest text and SHINGLE + 8 bytes. */
long shingle_hashes(const uint8_t *data, const int64_t *offsets, long texts, uint64_t *hashes,
                    int64_t *bounds, uint8_t *scratch) {
    long count = 0;
    bounds[0] = 0;
    for (long t = 0; t < texts; t++) {
        long size = squeeze(data + offsets[t], data + offsets[t + 1], scratch), first = count;
        memset(scratch + size, 0, SHINGLE + 8);
        for (long at = 0; at < size;) {
            if (!is_word(scratch[at])) { at++; continue; }
            long end = at + 1;
            while (end < size && is_word(scratch[end])) end++;
            int is_long = end - at > SHINGLE;
            for (long start = at; start < (is_long ? end : at + 1); start++) {
                if (start > at && (scratch[start] & 0xC0) == 0x80) continue;
                if (start > size - SHINGLE && count > first) break;
                hashes[count++] = hash(scratch + start);
            }
            at = end;
        }
        bounds[t + 1] = count;
    }
    return count;
}
