"""Find text that was decoded with a wrong encoding (mojibake).

The package ftfy repairs such text, but looks for it line by line, which is slow. Here Arrow's
regular expression library RE2 searches many texts at once for a slightly more general version of
ftfy's pattern, so that ftfy has to examine only the lines that match. Each search has a fixed cost
of about a millisecond, regardless of the amount of text, so pass many texts at a time.
"""

import re
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

_SPACES = r"[\t\n\v\f\r\x{1c}-\x{1f} \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}"
_SPACES += r"\x{205f}\x{3000}]"
"""Character class, for RE2, of what `\\s` matches in Python; RE2's own `\\s` matches only ASCII."""


def suspects(texts: list[str]) -> list[int]:
    """Return the indices of the texts that ftfy might change.

    Args:
        texts: Texts, or the lines of a text.
    """
    if all(map(str.isascii, texts)):
        return []
    pattern = _pattern()
    try:
        column = pa.array(texts, pa.large_string())
    except UnicodeEncodeError:  # half a character (a lone surrogate), which is rejected later
        pattern = None
    if pattern is None:
        return [number for number, text in enumerate(texts) if not text.isascii()]
    found: list[int] = pc.indices_nonzero(pc.match_substring_regex(column, pattern)).to_pylist()
    return found


@cache
def _pattern() -> str | None:
    """Return ftfy's pattern in the syntax of RE2, or None if RE2 does not support the pattern.

    The pattern for RE2 matches everything that ftfy's pattern matches, and some other texts.
    """
    from ftfy.badness import BADNESS_RE

    plain = re.sub(r"(?m)^\s*#.*$|\s+#.*$", "", BADNESS_RE.pattern)
    # Spaces between the parts of the pattern mean nothing; spaces within a class mean themselves.
    joined = re.sub(r"(\[[^\]]*\])|\s+", lambda found: found[1] or "", plain)
    pattern = joined.replace(r"\s", _SPACES).replace(r"\w", r"[^ \n]")
    try:
        pc.match_substring_regex(pa.array(["x"]), pattern)
    except pa.ArrowInvalid:  # another version of ftfy, whose pattern RE2 does not support
        return None
    return pattern
