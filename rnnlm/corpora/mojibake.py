"""Text that was decoded wrongly once, mended by ftfy where there is a sign of it.

ftfy looks for signs line by line, which is slow. Arrow's RE2 searches for the same pattern, a
little widened, in many texts at once, and ftfy judges only the lines that are found. One such
search costs a millisecond whatever it is in: gather texts.
"""

import re
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

_SPACES = r"[\t\n\v\f\r\x{1c}-\x{1f} \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}"
_SPACES += r"\x{205f}\x{3000}]"
"""What `\\s` is in Python; in RE2 it is ASCII alone."""


def suspects(texts: list[str]) -> list[int]:
    """Return the numbers of the texts, or lines of one, that ftfy might change."""
    if all(map(str.isascii, texts)):
        return []
    pattern = _pattern()
    try:
        column = pa.array(texts, pa.large_string())
    except UnicodeEncodeError:  # half a character, which is refused later
        pattern = None
    if pattern is None:
        return [number for number, text in enumerate(texts) if not text.isascii()]
    found: list[int] = pc.indices_nonzero(pc.match_substring_regex(column, pattern)).to_pylist()
    return found


@cache
def _pattern() -> str | None:
    """Return ftfy's pattern as RE2 has it, matching all that ftfy's does; None where it cannot."""
    from ftfy.badness import BADNESS_RE

    plain = re.sub(r"(?m)^\s*#.*$|\s+#.*$", "", BADNESS_RE.pattern)
    pattern = "".join(plain.split()).replace(r"\s", _SPACES).replace(r"\w", r"[^ \n]")
    try:
        pc.match_substring_regex(pa.array(["x"]), pattern)
    except pa.ArrowInvalid:  # another version of ftfy, with what RE2 lacks
        return None
    return pattern
