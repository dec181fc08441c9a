"""Bytes of UTF-8 as tokens."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from rnnlm.tokenizer.contract import END, Encoded, TokenIds, encode_one, joined
from rnnlm.tokens import BOUNDARY_ID

_SWAPPED = bytes([END, *range(1, END), BOUNDARY_ID])
"""Table for `bytes.translate` that swaps the byte 0 (NUL) with `END`, a byte that UTF-8 never uses,
since 0 is the boundary's id."""


class ByteTokenizer:
    """One id per byte of the text's UTF-8: works for any text, with a vocabulary of 256.

    An id is the byte itself, with two exceptions: the boundary has the id of NUL, and NUL has the
    id 0xFF, a byte that UTF-8 never uses.
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
        """Return the text of `ids`; an incomplete character becomes U+FFFD."""
        data = bytes(np.fromiter((i for i in ids if i != BOUNDARY_ID), dtype=np.uint8))
        return data.translate(_SWAPPED).decode("utf-8", "replace")

    def token_bytes(self) -> list[bytes]:
        """Return the byte of each id; the boundary has none."""
        return [
            b"" if index == BOUNDARY_ID else _SWAPPED[index : index + 1] for index in range(256)
        ]

    def unknown_in(self, text: str) -> list[str]:  # noqa: ARG002
        """Return an empty list, since every text can be expressed."""
        return []

    def to_json(self) -> dict[str, Any]:
        """Return the kind; nothing else is needed."""
        return {"kind": self.kind}
