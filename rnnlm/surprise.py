"""How surprising each character of a text is to a model, from what its tokens cost.

The surprise of a token is its negative log-likelihood under the model, in nats or bits. It is
divided among the token's characters.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm.errors import TokenizerError
from rnnlm.tokenizer import UNKNOWN, Tokenizer
from rnnlm.tokens import BOUNDARY_ID

SHADES = (1.0, 2.0, 4.0, 6.0, 9.0)
"""Least number of bits for each background colour of a character, from the palest on."""
END_MARK = "∎"
"""The character that is shown for the boundary token, which ends a document and is predicted
too."""
_REPLACEMENT = "\ufffd".encode()
_FIRST_CONTINUATION, _LAST_CONTINUATION = 0x80, 0xBF


def shade(bits: float) -> int:
    """Return the number of the colour of a character that costs some bits, from 0 to 5."""
    return sum(bits >= start for start in SHADES)


def names_of_shades() -> list[str]:
    """Return what each colour stands for, in bits, from the palest on."""
    between = [f"{low:g}–{high:g}" for low, high in pairwise(SHADES)]
    return [f"under {SHADES[0]:g}", *between, f"over {SHADES[-1]:g}"]


def spread(
    tokenizer: Tokenizer, ids: NDArray[Any], surprise: NDArray[np.float64]
) -> tuple[str, NDArray[np.float64]]:
    """Return the text of some tokens and the surprise of each of its characters.

    A token's surprise is divided evenly among its bytes, and a character gets the sum of its bytes'
    surprise. The boundary token at the end becomes `END_MARK`. A token that the vocabulary lacks
    becomes U+FFFD, or the name of the unknown token in a vocabulary of words. If the first or the
    last character is incomplete, its bytes and their surprise are left out.

    Args:
        tokenizer: The tokenizer that made the ids.
        ids: Tokens, shape (tokens,).
        surprise: Surprise of each token, in any unit, shape (tokens,).
    """
    pieces = _token_bytes(tokenizer, ids)
    sizes = np.array([len(piece) for piece in pieces], dtype=np.int64)
    data = np.frombuffer(b"".join(pieces), dtype=np.uint8)
    shares = np.repeat(surprise / np.maximum(sizes, 1), sizes)
    starts = np.flatnonzero((data < _FIRST_CONTINUATION) | (data > _LAST_CONTINUATION))
    if not len(starts):
        return "", np.zeros(0)
    try:
        data[starts[-1] :].tobytes().decode()
        end = len(data)
    except UnicodeDecodeError:
        end = int(starts[-1])
        starts = starts[:-1]
    if not len(starts):
        return "", np.zeros(0)
    text = data[starts[0] : end].tobytes().decode("utf-8", "replace")
    sums = np.add.reduceat(shares[:end], starts)
    if len(text) != len(sums):  # invalid UTF-8, which does not occur in documents
        text = "".join(
            data[a:b].tobytes().decode("utf-8", "replace")[:1] or "\ufffd"
            for a, b in pairwise([*starts.tolist(), end])
        )
    return text, sums


def _token_bytes(tokenizer: Tokenizer, ids: NDArray[Any]) -> list[bytes]:
    """Return the bytes of each token in the text, also of boundary tokens and unknown tokens."""
    last = len(ids) - 1
    end = END_MARK.encode()
    found: list[bytes] = []
    try:
        known = tokenizer.token_bytes()
    except TokenizerError:  # word tokenizer: each word gets the space after it
        for place, index in enumerate(ids.tolist()):
            if index == BOUNDARY_ID:
                found.append(end if place == last else b"\n")
            else:
                word = UNKNOWN if index == tokenizer.unknown_id else tokenizer.decode([index])
                is_before_word = place < last and ids[place + 1] != BOUNDARY_ID
                found.append((word + (" " if is_before_word else "")).encode())
        return found
    for index in ids.tolist():
        if index == BOUNDARY_ID:
            found.append(end)
        else:
            found.append(known[index] or _REPLACEMENT)
    return found
