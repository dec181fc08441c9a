"""The interface of every tokenizer, and the array format of batches of documents."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnlm import arrow

BOUNDARY = "<eos>"
UNKNOWN = "<unk>"
UNKNOWN_ID = 1
END = 0xFF
"""A byte that UTF-8 never uses. It ends each document in a buffer of several; see `joined`."""

TokenIds = NDArray[np.int64]


class Encoded(NamedTuple):
    """A batch of documents as tokens.

    Attributes:
        tokens: All ids end to end, with the boundary after each document; their type is the
            tokenizer's `token_type`.
        offsets: Document d is `tokens[offsets[d] : offsets[d + 1]]`; shape (documents + 1,).
    """

    tokens: NDArray[np.unsignedinteger[Any]]
    offsets: NDArray[np.int64]


class Tokenizer(Protocol):
    """The interface of every tokenizer. Instances are immutable, apart from caches."""

    @property
    def kind(self) -> str:
        """The tokenizer's name in `TokenizerConfig.kind`."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of distinct ids, special tokens included."""
        ...

    @property
    def lost_id(self) -> int | None:
        """Id of tokens whose text cannot be restored; None if there are none.

        This is `unknown_id`, except that it is None if the training text itself contains `<unk>`,
        as some published texts do.
        """
        ...

    @property
    def unknown_id(self) -> int | None:
        """Id of everything that the vocabulary lacks; None if it lacks nothing."""
        ...

    def encode(self, text: str) -> TokenIds:
        """Return the ids of `text`, shape (tokens,), without boundaries."""
        ...

    def encode_batch(self, texts: pa.Array) -> Encoded:
        """Return the ids of many documents; `texts` is an Arrow array of large strings."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; boundaries are left out, unknown tokens become U+FFFD."""
        ...

    def token_bytes(self) -> list[bytes]:
        """Return the UTF-8 bytes that each token adds to a text, by id.

        They are empty for the boundary and for the unknown token.

        Raises:
            TokenizerError: What a token adds depends on its neighbours.
        """
        ...

    def unknown_in(self, text: str) -> list[str]:
        """Return the parts of `text` that the vocabulary lacks, each once, in order."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` needs to build an equal tokenizer."""
        ...


def token_type(vocab_size: int) -> Literal["uint8", "uint16", "uint32"]:
    """Return the smallest unsigned type that holds every id of a vocabulary."""
    if vocab_size <= 1 << 8:
        return "uint8"
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def encode_one(tokenizer: Tokenizer, text: str) -> TokenIds:
    """Return the ids of one text, without boundaries, by calling `encode_batch`."""
    data = text.encode("utf-8", "replace")
    encoded = tokenizer.encode_batch(arrow.binaries([data]))
    return encoded.tokens[:-1].astype(np.int64)


def batches_of(texts: Iterable[str], characters: int = 8_000_000) -> Iterator[pa.Array]:
    """Yield texts as Arrow arrays of about `characters` characters each."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= characters:
            yield pa.array(batch, pa.large_string())
            batch, size = [], 0
    if batch:
        yield pa.array(batch, pa.large_string())


def joined(texts: pa.Array) -> Encoded:
    """Return the UTF-8 bytes of documents end to end, each followed by the byte `END`.

    The array must not be written to.
    """
    nothing, end = arrow.binaries([b"", bytes([END])])
    ended = pc.binary_join_element_wise(texts.cast(pa.large_binary()), nothing, end)
    if isinstance(ended, pa.ChunkedArray):
        ended = ended.combine_chunks()
    offsets = np.frombuffer(ended.buffers()[1], dtype=np.int64)[: len(ended) + 1]
    data = ended.buffers()[2]
    buffer = np.frombuffer(data, dtype=np.uint8) if data else np.zeros(0, dtype=np.uint8)
    return Encoded(buffer[offsets[0] : offsets[-1]], offsets - offsets[0])


def translated(data: NDArray[np.uint8], table: bytes) -> NDArray[np.uint8]:
    """Return each byte's entry in `table`, which has 256 entries."""
    return np.frombuffer(data.tobytes().translate(table), dtype=np.uint8)
