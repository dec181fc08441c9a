/* Operations that visit each character of a corpus, and are therefore written in C. `lines.py`,
 * `paragraphs.py`, `splitting.py` and `reading.py` describe them, and contain the same in Python. */

#include "text.h"

/* Observations about one line of a text. `lines.py` describes them, and reads them as a NumPy
 * record with the same fields in the same order. */
typedef struct {
    /* Offsets in the text: of the line, of its first word, and of its end without white space. */
    int64_t start, body, end;
    int32_t first_word; /* length of the line's first word in characters */
    uint8_t is_small, is_large, is_item, is_stopped, has_inner, has_columns, unused[6];
} Line;

INLINE int is_mark(Py_UCS4 c) {
    return c == ',' || c == '.' || c == ';' || c == ':' || c == '!' || c == '?';
}

INLINE int is_closing(Py_UCS4 c) {
    return c == '"' || c == '\'' || c == 0x201D || c == 0x2019 || c == ')';
}

INLINE int is_bullet(Py_UCS4 c) {
    switch (c) {
        case '-': case '*': case '+': case '|': case '>': case '#': case '=': case '~':
        case 0x2022: case 0x2013: case 0x2014: return 1;
    }
    return 0;
}

INLINE int is_letter(Py_UCS4 c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* Return whether the line of characters [at, end) begins like a list item, a heading, a quotation
 * or a table row. */
INLINE int begins_item(Text text, int64_t at, int64_t end) {
    if (at == end) return 0;
    Py_UCS4 first = get(text, at);
    if (first == '|' || first == '>') return 1;
    if (first == '-' && at + 2 < end && get(text, at + 1) == '-' && get(text, at + 2) == '-')
        return 1;
    int64_t behind = at + 1;
    if (!is_bullet(first)) {
        if (Py_UNICODE_ISDECIMAL(first)) {
            while (behind < end && behind < at + 3 && Py_UNICODE_ISDECIMAL(get(text, behind)))
                behind++;
        } else if (!is_letter(first)) {
            return 0;
        }
        if (behind == end || (get(text, behind) != '.' && get(text, behind) != ')')) return 0;
        behind++;
    }
    return behind == end || is_space(text, behind);
}

/* Return whether a punctuation mark is within [at, end), followed by a space. */
INLINE int has_inner_mark(Text text, int64_t at, int64_t end) {
    for (; at + 1 < end; at++) {
        if (!is_mark(get(text, at))) continue;
        int64_t behind = at + 1 + is_closing(get(text, at + 1));
        if (behind < end && get(text, behind) == ' ') return 1;
    }
    return 0;
}

/* Return whether three consecutive spaces are within [at, end). Without a branch in its loop, it is
 * compiled to vector instructions. */
INLINE int has_three_spaces(Text text, int64_t at, int64_t end) {
    uint8_t found = 0;
    for (; at + 2 < end; at++)
        found |= (get(text, at) == ' ') & (get(text, at + 1) == ' ') & (get(text, at + 2) == ' ');
    return found;
}

/* Return observations about the line of characters [start, end). */
INLINE Line observe_line(Text text, int64_t start, int64_t end) {
    Line line = {.start = start};
    while (end > start && is_space(text, end - 1)) end--;
    int64_t body = start;
    while (body < end && is_space(text, body)) body++;
    line.body = body;
    line.end = end;
    if (body == end) return line;
    line.has_inner = has_inner_mark(text, body, end);
    line.has_columns = has_three_spaces(text, body, end);
    line.first_word = (int32_t)(find(text, ' ', body, end) - body);
    Py_UCS4 first = get(text, body), last = get(text, end - 1);
    line.is_small = Py_UNICODE_ISLOWER(first);
    line.is_large = Py_UNICODE_ISUPPER(first);
    line.is_item = begins_item(text, body, end);
    line.is_stopped = is_mark(last) || last == 0x3002;
    return line;
}

/* Write observations about each line; return the number of lines. */
INLINE int64_t observe_lines(Text text, int64_t size, Line *lines) {
    int64_t count = 0;
    for (int64_t start = 0, end; start <= size; start = end + 1) {
        end = find(text, '\n', start, size);
        lines[count++] = observe_line(text, start, end);
    }
    return count;
}

/* Copy the characters [start, end) to `to`; return the end of the copy. If `is_squeezed` is true
 * and there are two consecutive spaces, each run of white space becomes one space. */
INLINE char *copy(Text text, int64_t start, int64_t end, int is_squeezed, char *to) {
    uint8_t is_double = 0;
    for (int64_t at = start; is_squeezed && at + 1 < end; at++)
        is_double |= (get(text, at) == ' ') & (get(text, at + 1) == ' ');
    if (!is_double) {
        memcpy(to, (const char *)text.data + start * text.kind, (end - start) * text.kind);
        return to + (end - start) * text.kind;
    }
    for (int64_t at = start; at < end; at++) {
        Py_UCS4 c = get(text, at);
        if (Py_UNICODE_ISSPACE(c)) {
            if (is_space(text, at - 1)) continue;
            c = ' ';
        }
        PyUnicode_WRITE(text.kind, to, 0, c);
        to += text.kind;
    }
    return to;
}

INLINE char *put(Text text, Py_UCS4 c, char *to) {
    PyUnicode_WRITE(text.kind, to, 0, c);
    return to + text.kind;
}

/* Return whether the break between two lines is within a compound such as `to-morrow`, so that the
 * lines are joined without a space. */
INLINE int is_compound(Text text, Line above, Line below) {
    return above.end - above.body >= 2 && get(text, above.end - 1) == '-' &&
           Py_UNICODE_ISALPHA(get(text, above.end - 2)) && below.is_small;
}

/* Write a text to `to` with some lines joined to the line above; return the end of the output.
 *
 * lines: What `observe_lines` wrote.
 * count: Number of lines.
 * joins: Whether each line is joined to the line above. */
INLINE char *join_lines(Text text, const Line *lines, int64_t count, const uint8_t *joins,
                        char *to) {
    char *begin = to, *blank = NULL; /* start of a blank line, if it was written last */
    for (int64_t n = 0; n < count; n++) {
        Line line = lines[n];
        if (line.body == line.end) {
            if (!blank && to > begin) {
                blank = to;
                to = put(text, '\n', put(text, '\n', to));
            }
            continue;
        }
        if (joins[n]) {
            if (!is_compound(text, lines[n - 1], line)) to = put(text, ' ', to);
        } else if (!blank && to > begin) {
            to = put(text, '\n', to);
        }
        blank = NULL;
        int is_part = joins[n] || (n + 1 < count && joins[n + 1]);
        to = copy(text, is_part ? line.body : line.start, line.end, is_part, to);
    }
    return blank ? blank : to;
}

/* Return the end of the block of lines that begins at `start`, including the blank lines after it.
 * Set `last` to the end of its last line: before a blank line, or at the end of the text. */
INLINE int64_t block_end(Text text, int64_t start, int64_t size, int64_t *last) {
    for (int64_t at = start; (at = find(text, '\n', at, size)) < size; at++) {
        int64_t end = 0;
        for (int64_t next = at + 1; next < size && is_space(text, next); next++)
            if (get(text, next) == '\n') end = next + 1;
        if (end) {
            *last = at;
            return end;
        }
    }
    *last = size;
    return size;
}

INLINE int is_line_break(Py_UCS4 c) {
    if (c >= 0x80) return Py_UNICODE_ISLINEBREAK(c);
    return (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E);
}

/* Return the end of the line that begins at `start`, including its line break. If this is the last
 * line of a block with visible text, which ends at `visible_end`, return the end of the block, so
 * that blank lines belong to the line before them. */
INLINE int64_t line_end(Text text, int64_t start, int64_t end, int64_t visible_end) {
    for (int64_t at = start; at < end; at++) {
        Py_UCS4 c = get(text, at);
        if (!is_line_break(c)) continue;
        int64_t behind = at + 1 + (c == '\r' && at + 1 < end && get(text, at + 1) == '\n');
        return behind >= visible_end ? end : behind;
    }
    return end;
}

/* Find the paragraphs of a text; return 0, or -1 if memory runs out. `long_line` and `longest` are
 * LONG_LINE and LONGEST of `paragraphs.py`, in characters. */
INLINE int find_paragraphs(Text text, int64_t size, int64_t long_line, int64_t longest,
                           Offsets *bounds) {
    for (int64_t start = 0, last, end; start < size; start = end) {
        end = block_end(text, start, size, &last);
        int is_one = end - start <= long_line;
        if (!is_one && end - start <= longest) is_one = find(text, '\n', start, last) == last;
        int64_t visible_end = end;
        if (!is_one) {
            while (visible_end > start && is_space(text, visible_end - 1))
                visible_end--;
            int64_t widest = 0;
            for (int64_t at = start, next; at < end; at = next) {
                next = line_end(text, at, end, visible_end);
                widest = next - at > widest ? next - at : widest;
            }
            is_one = end - start <= longest && widest <= long_line;
        }
        for (int64_t at = start, next; at < end; at = next) {
            next = is_one ? end : line_end(text, at, end, visible_end);
            if (append(bounds, at) || append(bounds, next)) return -1;
        }
    }
    return 0;
}

/* Write the chosen parts of a text to `to`, with a blank line where parts are left out; return the
 * end of the output. White space before a blank line and at the end is left out.
 *
 * places: Start and end of each part, in order: 2 * count values.
 * chosen: Whether each part is chosen. */
INLINE char *choose_parts(Text text, const int64_t *places, const uint8_t *chosen, int64_t count,
                          char *to) {
    int is_first = 1;
    for (int64_t first = 0, next; first < count; first = next) {
        for (next = first + 1; chosen[first] && next < count && chosen[next];) next++;
        if (!chosen[first]) continue;
        if (!is_first) to = put(text, '\n', put(text, '\n', to));
        is_first = 0;
        int64_t start = places[2 * first], end = places[2 * next - 1];
        while (end > start && is_space(text, end - 1)) end--;
        to = copy(text, start, end, 0, to);
    }
    return to;
}

/* Return whether a text contains neither lone surrogates nor control characters other than tabs and
 * line ends. */
INLINE int find_plain(Text text, int64_t size) {
    Py_UCS4 other = 0;
    for (int64_t at = 0; at < size; at++) {
        Py_UCS4 c = get(text, at);
        other |= (c < 32) ^ (c == '\t') ^ (c == '\n') ^ (c == '\r') ^ (c == 0x7F);
        if (text.kind > PyUnicode_1BYTE_KIND) other |= c >> 11 == 0x1B;
    }
    return !other;
}

/* observe(text: str) -> bytes: return an array with a `Line` for each line of a text, as bytes. */
static PyObject *observe(PyObject *Py_UNUSED(module), PyObject *string) {
    if (!PyUnicode_Check(string)) return PyErr_Format(PyExc_TypeError, "observe takes a str");
    int64_t size = PyUnicode_GET_LENGTH(string), most = 1;
    for (int64_t at = 0; (at = PyUnicode_FindChar(string, '\n', at, size, 1)) >= 0; at++) most++;
    PyObject *found = PyBytes_FromStringAndSize(NULL, most * sizeof(Line));
    if (!found) return NULL;
    Line *lines = (Line *)PyBytes_AS_STRING(found);
    BY_KIND(string, observe_lines(text, size, lines));
    return found;
}

/* join(text: str, lines: bytes, joins: bytes) -> str: return the text with some of its lines joined
 * to the line above. `lines` is what `observe` returned; `joins` has a byte for each line, which is
 * 1 if the line is joined. */
static PyObject *join(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *string;
    Py_buffer lines, joins;
    if (!PyArg_ParseTuple(args, "Uy*y*", &string, &lines, &joins)) return NULL;
    int64_t size = PyUnicode_GET_LENGTH(string), count = lines.len / sizeof(Line);
    PyObject *joined = NULL;
    Output output;
    if (joins.len != count) {
        PyErr_SetString(PyExc_ValueError, "lines and joins differ in number");
    } else if (!open_output(&output, string, size + 2)) {
        char *end;
        BY_KIND(string, end = join_lines(text, lines.buf, count, joins.buf, output.begin));
        joined = close_output(&output, end);
    }
    PyBuffer_Release(&lines);
    PyBuffer_Release(&joins);
    return joined;
}

/* paragraphs(text: str, long_line: int, longest: int) -> bytes: return the start and end offset of
 * each paragraph of a text, as an array of int64_t. */
static PyObject *paragraphs(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *string;
    long long long_line, longest;
    if (!PyArg_ParseTuple(args, "ULL", &string, &long_line, &longest)) return NULL;
    int64_t size = PyUnicode_GET_LENGTH(string);
    Offsets bounds = {0};
    int failed;
    BY_KIND(string, failed = find_paragraphs(text, size, long_line, longest, &bounds));
    return released(&bounds, failed);
}

/* choose(text: str, bounds: bytes, chosen: bytes) -> str: return some parts of a text, as
 * `choose_parts` writes them. `bounds` is an array of int64_t with the start and end of each part;
 * `chosen` has a byte for each part, which is 1 if the part is chosen. */
static PyObject *choose(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *string, *found = NULL;
    Py_buffer bounds, chosen;
    if (!PyArg_ParseTuple(args, "Uy*y*", &string, &bounds, &chosen)) return NULL;
    const int64_t *places = bounds.buf;
    int64_t size = PyUnicode_GET_LENGTH(string), count = chosen.len, last = 0;
    int is_ordered = bounds.len == count * 2 * (int64_t)sizeof(int64_t);
    for (int64_t n = 0; is_ordered && n < count; n++) {
        is_ordered = last <= places[2 * n] && places[2 * n] <= places[2 * n + 1];
        last = places[2 * n + 1];
    }
    Output output;
    if (!is_ordered || last > size) {
        PyErr_SetString(PyExc_ValueError, "the parts are not parts of the text, in order");
    } else if (!open_output(&output, string, size + 2 * count)) {
        char *end;
        BY_KIND(string, end = choose_parts(text, places, chosen.buf, count, output.begin));
        found = close_output(&output, end);
    }
    PyBuffer_Release(&bounds);
    PyBuffer_Release(&chosen);
    return found;
}

/* is_plain(text: str) -> bool: return whether a text has neither control characters nor lone
 * surrogates. */
static PyObject *is_plain(PyObject *Py_UNUSED(module), PyObject *string) {
    if (!PyUnicode_Check(string)) return PyErr_Format(PyExc_TypeError, "is_plain takes a str");
    int plain;
    BY_KIND(string, plain = find_plain(text, PyUnicode_GET_LENGTH(string)));
    return PyBool_FromLong(plain);
}

static PyMethodDef methods[] = {
    {"observe", observe, METH_O, "Return a record for each line of a text, as bytes."},
    {"join", join, METH_VARARGS, "Return a text with some of its lines joined to those above."},
    {"paragraphs", paragraphs, METH_VARARGS, "Return start and end of each paragraph, as bytes."},
    {"choose", choose, METH_VARARGS, "Return some parts of a text."},
    {"is_plain", is_plain, METH_O, "Return whether a text has no control characters."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_text", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__text(void) { return PyModule_Create(&module); }
