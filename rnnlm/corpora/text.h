/* Python's strings in C: read characters, search, and encode in UTF-8. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* A text with one, two or four bytes (`kind`) per character. The functions that take a `Text` are
 * inlined, so that the compiler makes a version of each for each of these widths. */
typedef struct {
    int kind;
    const void *data;
    int is_ascii;
} Text;

/* Run `call` with `text` set to the Python string `string`. Since `kind` is a constant in each
 * case, the inlined functions are compiled for each width. */
#define BY_KIND(string, call)                                                                    \
    do {                                                                                         \
        const void *data_ = PyUnicode_DATA(string);                                              \
        int is_ascii_ = PyUnicode_IS_ASCII(string);                                              \
        switch (PyUnicode_KIND(string)) {                                                        \
            case PyUnicode_1BYTE_KIND: {                                                         \
                Text text = {PyUnicode_1BYTE_KIND, data_, is_ascii_};                            \
                call;                                                                            \
                break;                                                                           \
            }                                                                                    \
            case PyUnicode_2BYTE_KIND: {                                                         \
                Text text = {PyUnicode_2BYTE_KIND, data_, 0};                                    \
                call;                                                                            \
                break;                                                                           \
            }                                                                                    \
            default: {                                                                           \
                Text text = {PyUnicode_4BYTE_KIND, data_, 0};                                    \
                call;                                                                            \
            }                                                                                    \
        }                                                                                        \
    } while (0)

INLINE Py_UCS4 get(Text text, int64_t at) { return PyUnicode_READ(text.kind, text.data, at); }

INLINE int is_space(Text text, int64_t at) { return Py_UNICODE_ISSPACE(get(text, at)); }

/* Return the offset of the first ASCII character `c` in [at, end), or `end` if there is none. */
INLINE int64_t find(Text text, char c, int64_t at, int64_t end) {
    if (text.kind == PyUnicode_1BYTE_KIND) {
        const char *data = text.data, *found = at < end ? memchr(data + at, c, end - at) : NULL;
        return found ? found - data : end;
    }
    while (at < end && get(text, at) != (Py_UCS4)c) at++;
    return at;
}

/* Write a character to `to` in UTF-8; return the end of the output. A lone surrogate becomes three
 * bytes, as with Python's `surrogatepass`. */
INLINE uint8_t *encode(Py_UCS4 c, uint8_t *to) {
    if (c < 0x80) {
        *to++ = (uint8_t)c;
        return to;
    }
    if (c < 0x800) {
        *to++ = (uint8_t)(0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *to++ = (uint8_t)(0xE0 | c >> 12);
        } else {
            *to++ = (uint8_t)(0xF0 | c >> 18);
            *to++ = (uint8_t)(0x80 | (c >> 12 & 0x3F));
        }
        *to++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    }
    *to++ = (uint8_t)(0x80 | (c & 0x3F));
    return to;
}

/* A growing array of offsets. */
typedef struct {
    int64_t *values;
    int64_t count, room; /* number of values, and for how many there is room */
} Offsets;

/* Append an offset; return 0, or -1 if memory runs out. */
static inline int append(Offsets *offsets, int64_t value) {
    if (offsets->count == offsets->room) {
        int64_t room = 2 * offsets->room + 64;
        int64_t *values = PyMem_RawRealloc(offsets->values, room * sizeof(int64_t));
        if (!values) return -1;
        offsets->values = values;
        offsets->room = room;
    }
    offsets->values[offsets->count++] = value;
    return 0;
}

/* Free the array; return its values as a Python object of bytes, or set an error and return NULL if
 * memory ran out. */
static inline PyObject *released(Offsets *offsets, int failed) {
    PyObject *found = failed ? PyErr_NoMemory()
                             : PyBytes_FromStringAndSize((char *)offsets->values,
                                                         offsets->count * sizeof(int64_t));
    PyMem_RawFree(offsets->values);
    return found;
}

/* A Python string that is being written. If it is ASCII, the characters are written in place;
 * otherwise they are copied at the end, because their width depends on the widest of them. */
typedef struct {
    int kind;
    PyObject *ascii;
    char *begin;
} Output;

/* Make room for `most` characters out of `string`; return 0, or -1 with an error set. */
static inline int open_output(Output *output, PyObject *string, int64_t most) {
    output->kind = PyUnicode_KIND(string);
    output->ascii = PyUnicode_IS_ASCII(string) ? PyUnicode_New(most, 0x7F) : NULL;
    if (PyUnicode_IS_ASCII(string)) {
        output->begin = output->ascii ? PyUnicode_DATA(output->ascii) : NULL;
    } else if (!(output->begin = PyMem_RawMalloc(most * output->kind + 1))) {
        PyErr_NoMemory();
    }
    return output->begin ? 0 : -1;
}

/* Return the string whose characters end at `end`. */
static inline PyObject *close_output(Output *output, char *end) {
    int64_t size = (end - output->begin) / output->kind;
    if (output->ascii) {
        PyUnicode_Resize(&output->ascii, size); /* sets it to NULL if it fails */
        return output->ascii;
    }
    PyObject *string = PyUnicode_FromKindAndData(output->kind, output->begin, size);
    PyMem_RawFree(output->begin);
    return string;
}
