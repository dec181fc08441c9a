"""Unicode characters as tokens."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnlm import arrow
from rnnlm.tokenizer.contract import (
    END,
    UNKNOWN_ID,
    Encoded,
    TokenIds,
    batches_of,
    encode_one,
    joined,
    token_type,
)
from rnnlm.tokens import BOUNDARY_ID

_BEYOND_ASCII = 0xFE
"""Placeholder for a character of several bytes until its code point is looked up."""
_CONTINUATION = bytes(range(0x80, 0xC0))


class CharacterTokenizer:
    """One id per Unicode character of the training split; all other characters share `<unk>`.

    `decode(encode(x)) == x` for every text of known characters.
    """

    kind = "character"
    unknown_id = UNKNOWN_ID
    lost_id = UNKNOWN_ID

    def __init__(self, characters: str) -> None:
        """Make a tokenizer of distinct `characters`; ids 2, 3, … follow code point order."""
        self._characters = sorted(set(characters))
        self._strings = ["", "\ufffd", *self._characters]
        codes = [ord(character) for character in self._characters]
        self._type = np.dtype(token_type(self.vocab_size))
        self._by_code = np.full(max([127, *codes]) + 2, UNKNOWN_ID, dtype=self._type)
        self._by_code[codes] = np.arange(2, self.vocab_size)
        ascii_ids = np.full(256, _BEYOND_ASCII, dtype=np.uint8)
        ascii_ids[:128] = self._by_code[:128]  # ids of ASCII characters are at most 129
        ascii_ids[END] = BOUNDARY_ID
        self._ascii_ids = ascii_ids.tobytes()

    @property
    def vocab_size(self) -> int:
        """Number of known characters, plus two for the boundary and `<unk>`."""
        return len(self._strings)

    @property
    def characters(self) -> frozenset[str]:
        """The known characters."""
        return frozenset(self._characters)

    def encode(self, text: str) -> TokenIds:
        """Return the ids of `text`, shape (characters,)."""
        return encode_one(self, text)

    def encode_batch(self, texts: pa.Array) -> Encoded:
        """Return the ids of many documents."""
        joint, offsets = joined(texts)
        data, beyond = joint.tobytes(), _characters_beyond_ascii(joint)
        if not beyond:
            ids = np.frombuffer(data.translate(self._ascii_ids), dtype=np.uint8)
            return Encoded(ids.astype(self._type, copy=False), offsets)
        ids = np.frombuffer(data.translate(self._ascii_ids, _CONTINUATION), dtype=np.uint8)
        places = np.flatnonzero(ids == _BEYOND_ASCII)
        codes = np.frombuffer(beyond.encode("utf-32-le"), dtype="<u4")
        ids = ids.astype(self._type)
        ids[places] = self._by_code[np.minimum(codes, len(self._by_code) - 1)]
        lengths = arrow.numbers(pc.utf8_length(texts.cast(pa.large_string()))) + 1
        return Encoded(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`."""
        return "".join([self._strings[index] for index in ids])

    def token_bytes(self) -> list[bytes]:
        """Return the UTF-8 of each id; boundary and unknown have none."""
        return [b"", b"", *(character.encode() for character in self._characters)]

    def unknown_in(self, text: str) -> list[str]:
        """Return the unknown characters of `text`."""
        return [c for c in dict.fromkeys(text) if c not in self.characters]

    def to_json(self) -> dict[str, Any]:
        """Return the kind and the known characters."""
        return {"kind": self.kind, "characters": "".join(self._characters)}

    @classmethod
    def learn(cls, texts: Iterable[str]) -> Self:
        """Return a tokenizer of all characters in `texts`."""
        characters: set[str] = set()
        for batch in batches_of(texts):
            data, _ = joined(batch)
            seen = np.bincount(data, minlength=256)
            characters.update(chr(code) for code in np.flatnonzero(seen[:128]))
            characters.update(_characters_beyond_ascii(data))
        return cls("".join(sorted(characters)))


def _characters_beyond_ascii(data: NDArray[np.uint8]) -> str:
    """Return the characters that take more than one byte, in order."""
    return data[data > 127].tobytes().translate(None, bytes([END])).decode()
