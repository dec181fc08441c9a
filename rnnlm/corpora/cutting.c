/* Hashes of texts, and cuts whose places depend on them. `hashing.py` and `cutting.py` describe
 * these functions, and implement the same in Python. */

#include "blake2b.h"
#include "text.h"

/* Write the words of [start, end) to `to` in UTF-8, with single spaces between them; return the end
 * of the output. */
INLINE uint8_t *write_words(Text text, int64_t start, int64_t end, uint8_t *to) {
    int is_due = 0;
    uint8_t *begin = to;
    for (int64_t at = start; at < end; at++) {
        Py_UCS4 c = get(text, at);
        if (Py_UNICODE_ISSPACE(c)) {
            is_due = to > begin;
        } else {
            if (is_due) *to++ = ' ';
            is_due = 0;
            to = encode(c, to);
        }
    }
    return to;
}

/* Return whether `write_words` would write the ASCII characters [start, end) as they are, provided
 * that neither the first nor the last is white space. */
INLINE int is_spaced_singly(const uint8_t *text, int64_t start, int64_t end) {
    uint8_t other = 0;
    for (int64_t at = start; at < end; at++)
        other |= (text[at] < ' ') | ((text[at] == ' ') & (text[at + 1] == ' '));
    return !other;
}

/* Return the hash of the characters [start, end). `room` is work space for their UTF-8. */
INLINE uint64_t hash(Text text, int64_t start, int64_t end, uint8_t *room) {
    if (text.is_ascii) return blake2b((const uint8_t *)text.data + start, end - start);
    uint8_t *to = room;
    for (int64_t at = start; at < end; at++) to = encode(get(text, at), to);
    return blake2b(room, to - room);
}

/* Return the hash of the words of [start, end). `room` is work space for their UTF-8. */
INLINE uint64_t hash_words(Text text, int64_t start, int64_t end, uint8_t *room) {
    while (end > start && is_space(text, end - 1)) end--;
    while (start < end && is_space(text, start)) start++;
    if (text.is_ascii && is_spaced_singly(text.data, start, end))
        return hash(text, start, end, room);
    return blake2b(room, write_words(text, start, end, room) - room);
}

INLINE int is_stop(Py_UCS4 c) {
    return c == '.' || c == '!' || c == '?' || c == 0x2026 || c == 0x61F || c == 0x6D4 ||
           c == 0x964;
}

INLINE int closes_after_stop(Py_UCS4 c) {
    return c == '"' || c == '\'' || c == ')' || c == 0x201D || c == 0x2019 || c == 0xBB;
}

/* Full stops of scripts that put no space between sentences. */
INLINE int is_wide_stop(Py_UCS4 c) {
    return c == 0x3002 || c == 0xFF01 || c == 0xFF1F || c == 0xFF61;
}

INLINE int closes_after_wide_stop(Py_UCS4 c) {
    return c == 0x201D || c == 0x2019 || c == 0x300D || c == 0x300F || c == 0xFF09 || c == 0x300B;
}

INLINE int64_t skip_space(Text text, int64_t at, int64_t end) {
    while (at < end && is_space(text, at)) at++;
    return at;
}

/* Return whether the word before `at` is a title such as `Mr`, or a single capital. */
INLINE int is_abbreviated(Text text, int64_t start, int64_t at) {
    static const char *titles[] = {"Mr", "Mrs", "Ms", "Dr", "St", "Gen", "Sen"};
    int64_t begin = at;
    while (begin > start && begin >= at - 3) {
        Py_UCS4 c = get(text, begin - 1);
        if (!Py_UNICODE_ISALNUM(c) && c != '_') break;
        begin--;
    }
    int64_t size = at - begin;
    if (size == 1) return get(text, begin) >= 'A' && get(text, begin) <= 'Z';
    for (int n = 0; n < 7; n++) {
        int64_t same = 0;
        while (same < size && get(text, begin + same) == (Py_UCS4)titles[n][same]) same++;
        if (same == size && !titles[n][same]) return 1;
    }
    return 0;
}

/* What a text can be cut after: each of `_BREAKS` of `cutting.py`, and any character. */
enum { PARAGRAPH, LINE, SENTENCE, WORD, CHARACTER };

/* Return the end of the first break of a kind in [at, end) of a text that begins at `start`, or -1
 * if there is none. */
INLINE int64_t break_end(Text text, int64_t start, int64_t at, int64_t end, int kind) {
    if (kind == LINE || kind == PARAGRAPH) {
        while ((at = find(text, '\n', at, end)) < end) {
            if (kind == LINE) return at + 1;
            int64_t behind = skip_space(text, at + 1, end);
            if (find(text, '\n', at + 1, behind) < behind) {
                while (get(text, behind - 1) != '\n') behind--; /* keep the indentation */
                return behind;
            }
            at = behind;
        }
        return -1;
    }
    for (; at < end; at++) {
        if (kind == WORD) {
            if (is_space(text, at)) return skip_space(text, at, end);
            continue;
        }
        Py_UCS4 c = get(text, at);
        if (is_stop(c) && !is_abbreviated(text, start, at)) {
            int64_t behind = at + 1;
            while (behind < end && closes_after_stop(get(text, behind))) behind++;
            if (behind < end && is_space(text, behind)) return skip_space(text, behind, end);
        } else if (is_wide_stop(c)) {
            while (at < end && is_wide_stop(get(text, at))) at++;
            while (at < end && closes_after_wide_stop(get(text, at))) at++;
            return skip_space(text, at, end);
        }
    }
    return -1;
}

/* Consecutive slices of a text, made of parts between breaks; see `_gathered` of `cutting.py`. */
typedef struct {
    int64_t start, last; /* start of the current slice, and end of its last part so far */
    int64_t characters;  /* approximate length of a slice */
    uint8_t *room;       /* work space for the UTF-8 of a part */
    Offsets ends;        /* ends of the slices */
} Slices;

/* Add the part that ends at `end` to the current slice, and end the slice there if it is long
 * enough. Return 0, or -1 if memory runs out. */
INLINE int take(Text text, Slices *slices, int64_t end) {
    int64_t size = end - slices->start, characters = slices->characters, last = slices->last;
    slices->last = end;
    if (size < 2 * characters) {
        if (2 * size < characters) return 0;
        double share = (double)hash(text, last, end, slices->room) / 0x1p64;
        if (share >= 2.0 * (double)(end - last) / (double)characters) return 0;
    }
    slices->start = end;
    return append(&slices->ends, end);
}

/* Cut [start, end) at breaks of a kind, and parts longer than two slices at breaks of the next
 * kind. Return 0, or -1 if memory runs out. */
#define DEFINE_CUT(kind, next)                                                                   \
    INLINE int cut_##kind(Text text, int64_t start, int64_t end, Slices *slices) {               \
        int64_t longest = 2 * slices->characters, at = start, stop;                              \
        for (int64_t base = start; at >= 0; start = stop) {                                      \
            at = break_end(text, base, start, end, kind);                                        \
            stop = at < 0 ? end : at;                                                            \
            if (stop - start <= longest ? take(text, slices, stop)                               \
                                        : cut_##next(text, start, stop, slices))                 \
                return -1;                                                                       \
        }                                                                                        \
        return 0;                                                                                \
    }

INLINE int cut_CHARACTER(Text text, int64_t start, int64_t end, Slices *slices) {
    for (int64_t at = start + 2 * slices->characters; at < end; at += 2 * slices->characters)
        if (take(text, slices, at)) return -1;
    return take(text, slices, end);
}

DEFINE_CUT(WORD, CHARACTER)
DEFINE_CUT(SENTENCE, WORD)
DEFINE_CUT(LINE, SENTENCE)
DEFINE_CUT(PARAGRAPH, LINE)

INLINE int cut(Text text, int64_t start, int64_t end, int within_line, Slices *slices) {
    int failed = within_line ? cut_SENTENCE(text, start, end, slices)
                             : cut_PARAGRAPH(text, start, end, slices);
    if (!failed && slices->start < slices->last) failed = append(&slices->ends, slices->last);
    return failed;
}

/* slices(text: str, start: int, end: int, characters: int, within_line: bool) -> bytes: return the
 * ends of the slices that [start, end) of a text is cut into, as an array of int64_t. */
static PyObject *slices(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *string;
    long long start, end, characters;
    int within_line, failed;
    if (!PyArg_ParseTuple(args, "ULLLp", &string, &start, &end, &characters, &within_line))
        return NULL;
    if (start < 0 || end < start || end > PyUnicode_GET_LENGTH(string) || characters < 1)
        return PyErr_Format(PyExc_ValueError, "[%lld, %lld) cannot be cut into slices of %lld",
                            start, end, characters);
    Slices slices = {.start = start, .last = start, .characters = characters};
    int64_t longest = 2 * characters; /* of the parts that are hashed */
    slices.room = PyMem_RawMalloc(4 * (end - start < longest ? end - start : longest) + 1);
    if (!slices.room) return PyErr_NoMemory();
    BY_KIND(string, failed = cut(text, start, end, within_line, &slices));
    PyMem_RawFree(slices.room);
    return released(&slices.ends, failed);
}

/* word_hashes(text: str, bounds: bytes) -> bytes: return a hash of the words of each part of a
 * text, as an array of uint64_t. `bounds` is an array of int64_t with the start and end of each. */
static PyObject *word_hashes(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *string, *found = NULL;
    Py_buffer bounds;
    if (!PyArg_ParseTuple(args, "Uy*", &string, &bounds)) return NULL;
    const int64_t *places = bounds.buf;
    int64_t size = PyUnicode_GET_LENGTH(string), longest = 0, count = bounds.len / 16;
    for (int64_t n = 0; n < count; n++) {
        int64_t start = places[2 * n], end = places[2 * n + 1];
        if (start < 0 || end < start || end > size) {
            PyErr_SetString(PyExc_ValueError, "a part reaches beyond the text");
            PyBuffer_Release(&bounds);
            return NULL;
        }
        longest = end - start > longest ? end - start : longest;
    }
    uint8_t *room = PyMem_RawMalloc(4 * longest + 1);
    if (!room) PyErr_NoMemory();
    else found = PyBytes_FromStringAndSize(NULL, count * sizeof(uint64_t));
    if (found) {
        uint64_t *hashes = (uint64_t *)PyBytes_AS_STRING(found);
        for (int64_t n = 0; n < count; n++)
            BY_KIND(string, hashes[n] = hash_words(text, places[2 * n], places[2 * n + 1], room));
    }
    PyMem_RawFree(room);
    PyBuffer_Release(&bounds);
    return found;
}

/* hashes(data: buffer, offsets: buffer) -> bytes: return a hash of each text, as an array of
 * uint64_t. `data` contains the texts in UTF-8, and `offsets` is an array of int64_t with the start
 * of each, followed by the end of the last, as in Arrow's column of large strings. */
static PyObject *hashes(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer data, offsets;
    if (!PyArg_ParseTuple(args, "y*y*", &data, &offsets)) return NULL;
    const int64_t *places = offsets.buf;
    int64_t count = offsets.len / (int64_t)sizeof(int64_t) - 1;
    int is_within = count >= 0 && places[0] >= 0;
    for (int64_t n = 0; n < count; n++) is_within &= places[n] <= places[n + 1];
    PyObject *found = NULL;
    if (!is_within || places[count] > data.len) {
        PyErr_SetString(PyExc_ValueError, "a text reaches beyond the data");
    } else if ((found = PyBytes_FromStringAndSize(NULL, count * sizeof(uint64_t)))) {
        uint64_t *hashes = (uint64_t *)PyBytes_AS_STRING(found);
        for (int64_t n = 0; n < count; n++)
            hashes[n] = blake2b((const uint8_t *)data.buf + places[n], places[n + 1] - places[n]);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&offsets);
    return found;
}

static PyMethodDef methods[] = {
    {"slices", slices, METH_VARARGS, "Return the ends of the slices of a text, as bytes."},
    {"word_hashes", word_hashes, METH_VARARGS, "Return a hash of the words of each part."},
    {"hashes", hashes, METH_VARARGS, "Return a hash of each text, as bytes."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_cutting", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__cutting(void) { return PyModule_Create(&module); }
