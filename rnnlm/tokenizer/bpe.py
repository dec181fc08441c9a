"""Byte-pair encoding: pieces of words as tokens (Sennrich et al. 2016), over bytes.

Merges are learnt and applied by the `tokenizers` library. This module cuts a whole batch of texts
into words and passes each distinct word to the library once. Words repeat, so this is several times
faster than passing the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rnnlm.tokenizer.contract import BOUNDARY, END, Encoded, TokenIds, encode_one, token_type
from rnnlm.tokenizer.saved import read_merges
from rnnlm.tokenizer.segments import PATTERN, pieces
from rnnlm.tokens import BOUNDARY_ID

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

CACHED_WORDS = 2_000_000
"""Number of words whose tokens are cached; the cache is emptied when it is full."""


class BPETokenizer:
    """Tokens are byte sequences built by merges; `decode(encode(x)) == x` for any text."""

    kind = "bpe"
    unknown_id = None
    lost_id = None

    def __init__(self, library: Library) -> None:
        """Wrap a byte-level BPE tokenizer of the library whose token 0 is the boundary."""
        self._library = library
        self._type = np.dtype(token_type(self.vocab_size))
        self._cache: dict[bytes, NDArray[Any]] = {}
        from_letter = {letter: byte for byte, letter in byte_letters().items()}
        tokens = (library.id_to_token(index) or "" for index in range(self.vocab_size))
        self._bytes = [
            bytes(from_letter[letter] for letter in t) if t != BOUNDARY else b"" for t in tokens
        ]

    @property
    def vocab_size(self) -> int:
        """Number of tokens, the boundary included."""
        return self._library.get_vocab_size()

    def encode(self, text: str) -> TokenIds:
        """Return the ids of `text`, shape (tokens,)."""
        return encode_one(self, text)

    def encode_batch(self, texts: pa.Array) -> Encoded:
        """Return the ids of many documents."""
        found = pieces(texts)
        distinct = found.distinct.to_pylist()
        self._remember(distinct)
        by_word = [self._cache[word] for word in distinct]
        sizes = np.fromiter(map(len, by_word), dtype=np.int64, count=len(by_word))
        flat = np.concatenate([*by_word, np.zeros(0, self._type)])
        firsts = np.cumsum(sizes) - sizes
        lengths = sizes[found.indices]
        ends = np.cumsum(lengths)
        shift = firsts[found.indices] - (ends - lengths)
        tokens = flat[np.repeat(shift, lengths) + np.arange(ends[-1] if len(ends) else 0)]
        return Encoded(tokens, np.concatenate([[0], ends[found.ends]]).astype(np.int64))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; an incomplete character becomes U+FFFD."""
        return b"".join([self._bytes[index] for index in ids]).decode("utf-8", "replace")

    def token_bytes(self) -> list[bytes]:
        """Return the bytes of each id; the boundary has none."""
        return [*self._bytes]

    def unknown_in(self, text: str) -> list[str]:  # noqa: ARG002
        """Return an empty list, since every text can be expressed."""
        return []

    def to_json(self) -> dict[str, Any]:
        """Return the kind and the description that the library makes of its tokenizer."""
        return {"kind": self.kind, "library": json.loads(self._library.to_str())}

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> Self:
        """Rebuild a tokenizer from the library's description.

        Raises:
            TokenizerError: The description is damaged.
        """
        known = read_merges(description, frozenset(byte_letters().values()))
        library = _untrained(known.vocab, known.pairs())
        library.add_special_tokens([BOUNDARY])
        return cls(library)

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int) -> Self:
        """Learn merges from `texts`.

        Args:
            texts: Texts to learn from; read once.
            vocab_size: Largest number of tokens: the boundary, 256 bytes, and merges.
        """
        from tokenizers import pre_tokenizers, trainers

        library = _untrained({}, [])
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[BOUNDARY],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        library.train_from_iterator(texts, trainer)
        return cls(library)

    def _remember(self, words: list[bytes]) -> None:
        """Encode the words that are not in the cache yet, and cache their tokens."""
        if len(self._cache) > CACHED_WORDS:
            self._cache.clear()
        self._cache[bytes([END])] = np.array([BOUNDARY_ID], dtype=self._type)
        new = [word for word in words if word not in self._cache]
        strings = [word.decode("utf-8", "replace") for word in new]
        for word, encoding in zip(new, self._library.encode_batch_fast(strings), strict=True):
            self._cache[word] = np.array(encoding.ids, dtype=self._type)


def _untrained(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Library:
    """Return a tokenizer of the library with a vocabulary, which may be empty."""
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Library

    library = Library(models.BPE(vocab, merges) if vocab else models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.decoder = decoders.ByteLevel()
    return library


def byte_letters() -> dict[int, str]:
    """Return, for each byte, the character that represents it in the vocabulary of `tokenizers`.

    Source: Radford et al. 2019 (GPT-2), `bytes_to_unicode`.
    """
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    shifted = {byte: chr(256 + place) for place, byte in enumerate(others)}
    return {byte: chr(byte) for byte in plain} | shifted
