"""Hostile inputs: documents that Hypothesis draws, and variations of each.

Drawing a document takes Hypothesis about a millisecond, and running a parser on it often a hundred
times less. So an example is a document together with bytes that decide `VARIATIONS` variations of
it; each of these is a case. Hypothesis reduces both: zeros in the bytes mean no variation.
"""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

VARIATIONS = 40
_WIDTH = 8
_TIMES = (1, 1, 1, 1, 2, 3, 9, 40, 250, 1500)
_MANY = 20_000

TEXT_PIECES = (
    "a", " ", "\n", "\t", "0", "-", "=", "*", "#", ".", ",", ";", ":", '"', "'", "`", "|", "_",
    "[", "]", "(", ")", "{", "}", "<", ">", "\\", "/", "&", "%", "$", "^", "~", "+", "?", "!", "@",
    "\0", "\x1b[31m", "\x07", "\x7f", "\x85", "\x9b", "\f", "\v", "\r", "\r\n", "\u2028", "\u202e",
    "\u2066", "\u200f", "\ufeff", "\u00ad", "\u0301", "\u0316\u0301", "\u0344", "\ud800", "\udc80",
    "é", "É", "ß", "中", "א", "😀", "\U000e0041", "ï»¿", "Ã©", "�", "½", "⅓ cup ", "１",
    "\n\n", "\n---\n", "---\n", "\n\n\n", "> ", "- ", "1. ", "# ", "* * *\n", "```\n", "[a](b)",
    "![", "[[", "]]", "{{", "}}", "<ref", "<ref>", "</", "&amp;", "''", "(Laughter",
    "[Illustration", "Q: ", "CHAPTER I\n",
    "THE PRESIDENT: ", "*** START OF THE PROJECT", "[Event ", "<|endoftext|>",
    "MMMMM----- Recipe via Meal-Master (tm) v8.05\n", "      Title: x\n", "      1 c  Salt\n",
    "-----SAUCE-----\n", "MMMMM\n", "Ingredients\n", "## Directions\n", "serves: 4\n",
    "&a [*a, *a]", "*a", "&a ", "!!python/object ", "<<: ", "? ", "tags: [", "title: ",
    "#f1f2ee", "rgb(1, 2, 3)", " 255 255 255", "1" * 50, "9" * 5000, "1e999", "NaN", "Infinity",
    "[" * 1500, '{"a":' * 1500, "null", "true", "\\u0000", "\\ud800", "http://x ", "e\u0301",
)  # fmt: skip
BYTE_PIECES = (
    b"\0", b"\xff", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\n", b" ",
    b"a", b"\x01\x00\x00\x00", b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06",
    b"\x1f\x8b", b"BZh9", b"\x28\xb5\x2f\xfd",
    b"PAR1", b"\x93NUMPY", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff",
    b"\xff\xfe\0\0", b"\x1b$B", b"\xc3\xa9", b"\xe9", b"\x80", b"..", b"/", b".", b"{", b"[", b'"',
    b"1e999", b"9" * 5000, b"[" * 1500, b"\xed\xa0\x80", b"e\xcc\x81",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 2**64, 10**4000, 1e308, float("inf"), float("nan"), "", "x",
    "\0", "\x1b[31m", "../../etc/passwd", "/", ".", "a" * 10_000, "9" * 5000, "é", [], [None], [[]],
    ["x"] * 1000, {}, {"": {}}, {"a": {"a": {"a": []}}}, [[[[[[[[[]]]]]]]]], [1, "x", None],
)  # fmt: skip


def entropy() -> st.SearchStrategy[bytes]:
    """Return a strategy for the bytes that decide the variations of a document."""
    size = VARIATIONS * _WIDTH
    return st.binary(min_size=size, max_size=size)


def texts() -> st.SearchStrategy[str]:
    """Return a strategy for texts that are made of odd pieces."""
    repeated = st.tuples(st.sampled_from(TEXT_PIECES), st.sampled_from(_TIMES[:8]))
    return st.lists(repeated, max_size=6).map(lambda parts: "".join(p * n for p, n in parts))


def texts_like(*seeds: str) -> st.SearchStrategy[str]:
    """Return a strategy for texts: one of some seeds, or a text that is made of odd pieces."""
    return st.sampled_from(seeds) | texts()


def vary_text(text: str, how: bytes) -> str:
    """Return a variation of a text; the bytes `how` decide which."""
    size = len(text)
    at = int.from_bytes(how[1:3], "big") * size >> 16
    piece = TEXT_PIECES[how[3] % len(TEXT_PIECES)]
    piece *= _MANY if how[4] == 255 and len(piece) < 20 else _times(how[4], piece)
    match how[0] % 8:
        case 1 | 2:
            return text[:at] + piece + text[at:]
        case 3:
            return text[:at] + piece + text[at + 1 + how[5] :]
        case 4:
            return text[:at]
        case 5:
            return text[:at] + text[at + 1 + how[5] :]
        case 6:
            return text[: at + 1 + how[5]] * (2 + how[6] % 3) + text[at:]
        case 7:
            return piece + text + piece
    return text


def vary_bytes(data: bytes, how: bytes) -> bytes:
    """Return a variation of some bytes; the bytes `how` decide which."""
    size = len(data)
    at = int.from_bytes(how[1:3], "big") * size >> 16
    piece = BYTE_PIECES[how[3] % len(BYTE_PIECES)]
    match how[0] % 8:
        case 1:
            return data[:at] + piece * _times(how[4], "xx") + data[at:]
        case 2:
            return data[:at] + piece + data[at + len(piece) :]
        case 3:
            return data[:at] + bytes([how[5]]) + data[at + 1 :]
        case 4:
            return data[:at]
        case 5:
            return data[:at] + data[at + 1 + how[5] :]
        case 6:
            return data[:at] + how[3:7] + data[at + 4 :]
        case 7:
            return data[: at + 1 + how[5]] + data[at:]
    return data


def vary_value(value: Any, how: bytes) -> Any:
    """Return a JSON value with a part replaced, removed or added; the bytes `how` decide which."""
    if not how[0] % 4:
        return value
    paths = [*_paths(value, ())]
    path = paths[int.from_bytes(how[1:3], "big") % len(paths)]
    return _replaced(value, path, ODD_VALUES[how[3] % len(ODD_VALUES)], how[0] % 4)


def _times(code: int, piece: str) -> int:
    times = _TIMES[code % len(_TIMES)]
    return times if len(piece) < 20 else min(times, 3)


def _paths(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key in [*value][:50]:
            yield from _paths(value[key], (*path, key))
    elif isinstance(value, list):
        for number in range(min(len(value), 5)):
            yield from _paths(value[number], (*path, number))


def _replaced(value: Any, path: tuple[Any, ...], odd: Any, what: int) -> Any:
    if not path:
        return odd
    key, *rest = path
    copy = dict(value) if isinstance(value, dict) else [*value]
    if rest or what == 1:
        copy[key] = _replaced(value[key], tuple(rest), odd, what)
    elif what == 2:
        del copy[key]
    elif isinstance(copy, dict):
        copy[str(key) + "\x1b"] = odd
    else:
        copy.insert(key, odd)
    return copy
