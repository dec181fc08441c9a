"""Bytes of UTF-8 as tokens."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from rnnlm.tokenizer.contract import END, Encoded, TokenIds, encode_one, joined
from rnnlm.tokens import BOUNDARY_ID

_SWAPPED = bytes([END, *range(1, END), BOUNDARY_ID])
"""NUL and the byte that UTF-8 never uses change places, so that the latter's id is the boundary."""


class ByteTokenizer:
    """One id per byte of the text's UTF-8: any text at all, a vocabulary of 256.

    An id is the byte itself, but for the boundary, which takes the place of NUL; NUL takes that of
    0xFF, which UTF-8 never uses.
    """

    kind = "byte"
    vocab_size = 256
    unknown_id = None
    lost_id = None

    def encode(self, text: str) -> TokenIds:
        """Return the ids of `text`, shape (bytes,)."""
        return encode_one(self, text)

    def encode_batch(self, texts: pa.Array) -> Encoded:
        """Return the ids of many documents."""
        data, offsets = joined(texts)
        ids = data.copy()
        is_nul = data == 0
        ids[offsets[1:] - 1] = BOUNDARY_ID
        ids[is_nul] = END
        return Encoded(ids, offsets)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; a torn character becomes U+FFFD."""
        data = bytes(np.fromiter((i for i in ids if i != BOUNDARY_ID), dtype=np.uint8))
        return data.translate(_SWAPPED).decode("utf-8", "replace")

    def token_bytes(self) -> list[bytes]:
        """Return the byte of each id; the boundary has none."""
        return [
            b"" if index == BOUNDARY_ID else _SWAPPED[index : index + 1] for index in range(256)
        ]

    def unknown_in(self, text: str) -> list[str]:  # noqa: ARG002
        """Return nothing: every text can be expressed."""
        return []

    def to_json(self) -> dict[str, Any]:
        """Return the kind; there is nothing else to say."""
        return {"kind": self.kind}
