/* Hashes of the shingles of texts: overlapping strings of SHINGLE bytes that begin at word starts.
 * `shingling.py` calls this code, and implements the same in Python. */

#include <stdint.h>
#include <string.h>

enum { SHINGLE = 24 };
static const uint64_t PRIME = 0x9E3779B97F4A7C15u;

/* Return the length in bytes of the UTF-8 white space character at `at`, or 0 if the character
 * there is not white space. White space is what Python's `str.split` splits at. */
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

/* Tables with an entry for each value of a byte. `plain`: the byte that replaces it, which is a
 * space for ASCII white space, and a small letter for a capital. `is_word`: whether it is part of a
 * word. `may_be_space`: whether it begins a multi-byte character that may be white space. */
static uint8_t plain[256], is_word[256], may_be_space[256];

__attribute__((constructor)) static void fill(void) {
    for (int c = 0; c < 256; c++) {
        uint8_t byte = (uint8_t)c;
        plain[c] = c < 0x80 && space(&byte, &byte + 1) ? ' ' : c >= 'A' && c <= 'Z' ? c + 32 : c;
        is_word[c] = c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        may_be_space[c] = c == 0xC2 || (c >= 0xE1 && c <= 0xE3);
    }
}

/* Write a text to `to`, with ASCII letters in lower case and single spaces between words; return
 * the number of bytes written. Every byte is written at first, and the next byte then overwrites a
 * superfluous space, so that the loop has no branches that are hard to predict. */
static long squeeze(const uint8_t *at, const uint8_t *end, uint8_t *to) {
    uint8_t *start = to;
    int was_space = 1;
    while (at < end) {
        uint8_t c = plain[*at];
        long wide = may_be_space[*at] ? space(at, end) : 0;
        if (wide) c = ' ';
        *to = c;
        to += !(was_space & (c == ' '));
        was_space = c == ' ';
        at += wide ? wide : 1;
    }
    return to - start - (to > start && was_space);
}

/* Write the start and end offset of each word to `places`: word w is at places[2 * w] and ends
 * before places[2 * w + 1]. Return the number of words. */
static long find_words(const uint8_t *text, long size, int64_t *places) {
    long count = 0;
    int was_word = 0;
    for (long at = 0; at < size; at++) {
        places[count] = at;
        count += was_word ^ is_word[text[at]];
        was_word = is_word[text[at]];
    }
    if (was_word) places[count++] = size;
    return count / 2;
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

/* Compute the hashes of the shingles of all texts; return the number of hashes.
 *
 * data, offsets: The texts in UTF-8, in Arrow's layout: text t is data[offsets[t]:offsets[t + 1]].
 * texts: Number of texts.
 * hashes: Output; the hashes of all texts, one text after the other. There must be room for one
 *     hash per byte of the texts.
 * bounds: Output; texts + 1 values: the hashes of text t are hashes[bounds[t]:bounds[t + 1]].
 * scratch, places: Work space; each must have room for as many values as the longest text has
 *     bytes, plus SHINGLE + 8. */
long shingle_hashes(const uint8_t *data, const int64_t *offsets, long texts, uint64_t *hashes,
                    int64_t *bounds, uint8_t *scratch, int64_t *places) {
    long count = 0;
    bounds[0] = 0;
    for (long t = 0; t < texts; t++) {
        long size = squeeze(data + offsets[t], data + offsets[t + 1], scratch), first = count;
        memset(scratch + size, 0, SHINGLE + 8);
        long words = find_words(scratch, size, places);
        for (long word = 0; word < words; word++) {
            long at = places[2 * word], end = places[2 * word + 1];
            if (at > size - SHINGLE && count > first) break;
            hashes[count++] = hash(scratch + at);
            if (end - at <= SHINGLE) continue;
            for (at++; at < end && at <= size - SHINGLE; at++)
                if ((scratch[at] & 0xC0) != 0x80) hashes[count++] = hash(scratch + at);
        }
        bounds[t + 1] = count;
    }
    return count;
}
