"""Text to token ids and back: characters or bytes, saved as JSON, no code in the file.

Token 0 is the document boundary, `<eos>`: it ends every document, and as the first input it begins
one. One symbol for both keeps a document's targets equal to its row in the Parquet shards and the
vocabulary the size that the literature counts.
"""

from collections.abc import Iterable
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rnnlm.config import TokenizerConfig
from rnnlm.errors import TokenizerError

BOUNDARY = "<eos>"
UNKNOWN = "<unk>"
BOUNDARY_ID = 0

TokenIds = NDArray[np.int64]


class Tokenizer(Protocol):
    """What every tokenizer does. Instances are immutable."""

    @property
    def kind(self) -> str:
        """The name it has in `TokenizerConfig.kind`."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of distinct ids, specials included."""
        ...

    @property
    def unknown_id(self) -> int | None:
        """Id that stands for what the vocabulary lacks; None if it lacks nothing."""
        ...

    def encode(self, text: str) -> TokenIds:
        """Return the ids of `text`, shape (tokens,), without boundaries."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; boundaries vanish, unknowns become U+FFFD."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` needs to build an equal tokenizer."""
        ...


class CharacterTokenizer:
    """One id per Unicode character of the training split; the others share `<unk>`.

    `decode(encode(x)) == x` for every text of known characters.
    """

    kind = "character"
    unknown_id = 1

    def __init__(self, characters: str) -> None:
        """Make a tokenizer of distinct `characters`; ids 2, 3, … follow code point order."""
        self._characters = sorted(set(characters))
        self._codes = np.array([ord(character) for character in self._characters], dtype=np.uint32)
        self._strings = ["", "\ufffd", *self._characters]

    @property
    def vocab_size(self) -> int:
        """Known characters and the two specials."""
        return len(self._strings)

    @property
    def characters(self) -> frozenset[str]:
        """The known characters."""
        return frozenset(self._characters)

    def encode(self, text: str) -> TokenIds:
        """Return the ids of `text`, shape (characters,)."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        if not len(self._codes):
            return np.full(len(codes), self.unknown_id, dtype=np.int64)
        places = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        ids: TokenIds = np.where(self._codes[places] == codes, places + 2, self.unknown_id)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`."""
        return "".join([self._strings[index] for index in ids])

    def to_json(self) -> dict[str, Any]:
        """Return kind and characters."""
        return {"kind": self.kind, "characters": "".join(self._characters)}

    @classmethod
    def learn(cls, texts: Iterable[str]) -> Self:
        """Return a tokenizer of all characters in `texts`."""
        characters: set[str] = set()
        for text in texts:
            characters.update(text)
        return cls("".join(sorted(characters)))


class ByteTokenizer:
    """One id per byte of the text's UTF-8: any text at all, a vocabulary of 257."""

    kind = "byte"
    vocab_size = 257
    unknown_id = None

    def encode(self, text: str) -> TokenIds:
        """Return the ids of `text`, shape (bytes,)."""
        data = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
        ids: TokenIds = data.astype(np.int64) + 1
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; a torn character becomes U+FFFD."""
        data = bytes(index - 1 for index in ids if index != BOUNDARY_ID)
        return data.decode("utf-8", "replace")

    def to_json(self) -> dict[str, Any]:
        """Return the kind; there is nothing else to say."""
        return {"kind": self.kind}


def learn(config: TokenizerConfig, texts: Iterable[str]) -> Tokenizer:
    """Build the tokenizer that `config` names; a vocabulary is learnt from `texts`, read once."""
    return ByteTokenizer() if config.kind == "byte" else CharacterTokenizer.learn(texts)


def from_json(value: Any) -> Tokenizer:
    """Rebuild a tokenizer from what `to_json` returned.

    Raises:
        TokenizerError: `value` describes no tokenizer.
    """
    match value:
        case {"kind": "byte"}:
            return ByteTokenizer()
        case {"kind": "character", "characters": str(characters)}:
            return CharacterTokenizer(characters)
    raise TokenizerError("this is no tokenizer's JSON (expected kind = character or byte)")


def check_known(tokenizer: Tokenizer, text: str, what: str) -> None:
    """Make sure that the vocabulary can express `text`.

    Raises:
        TokenizerError: Some characters are unknown; the message names them.
    """
    if tokenizer.unknown_id is None:
        return
    unknown = sorted({c for c in text if tokenizer.encode(c)[0] == tokenizer.unknown_id})
    if unknown:
        listed = ", ".join(repr(character) for character in unknown[:10])
        raise TokenizerError(
            f"{what} has characters that the model never saw in training: {listed}; leave them out"
        )
