"""Words as tokens."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnlm import arrow
from rnnlm.errors import TokenizerError
from rnnlm.tokenizer.contract import (
    END,
    UNKNOWN,
    UNKNOWN_ID,
    Encoded,
    TokenIds,
    batches_of,
    encode_one,
    token_type,
)
from rnnlm.tokenizer.segments import pieces, words
from rnnlm.tokens import BOUNDARY_ID

Style = Literal["pieces", "whitespace"]
_LINE_END = b"\n"


class WordTokenizer:
    """One id per word that is frequent enough in the training split; all others share `<unk>`.

    In the style `pieces`, a word includes the space before it, and punctuation and line ends are
    separate words; `decode(encode(x)) == x` if all words are known. In the style `whitespace`, text
    is split at spaces, and a line end has the boundary's id, as in the literature.
    """

    kind = "word"
    unknown_id = UNKNOWN_ID

    def __init__(
        self, vocabulary: Iterable[str], style: Style, writes_unknown: bool = False
    ) -> None:
        """Make a tokenizer of distinct words; their ids are 2, 3, … in the order given.

        Args:
            vocabulary: The words.
            style: What a word is.
            writes_unknown: Whether the training text itself contains `<unk>` for rare words.
        """
        self._writes_unknown = writes_unknown
        self._words = [*vocabulary]
        self._style = style
        self._type = np.dtype(token_type(self.vocab_size))
        known = {word.encode(): place + 2 for place, word in enumerate(self._words)}
        known[bytes([END])] = BOUNDARY_ID
        if style == "whitespace":
            known |= {_LINE_END: BOUNDARY_ID, UNKNOWN.encode(): UNKNOWN_ID}
        self._known = arrow.binaries(known)
        self._ids = np.fromiter([*known.values(), UNKNOWN_ID], dtype=self._type)

    @property
    def lost_id(self) -> int | None:
        """Id of words that cannot be restored; None if the training text itself has `<unk>`."""
        return None if self._writes_unknown else UNKNOWN_ID

    @property
    def vocab_size(self) -> int:
        """Number of known words, plus two for the boundary and `<unk>`."""
        return len(self._words) + 2

    def encode(self, text: str) -> TokenIds:
        """Return the ids of `text`, shape (words,)."""
        return encode_one(self, text)

    def encode_batch(self, texts: pa.Array) -> Encoded:
        """Return the ids of many documents."""
        found = _segment(texts, self._style)
        ids = self._ids[self._places(found.distinct)]
        ends = np.flatnonzero(found.ends) + 1
        return Encoded(ids[found.indices], np.concatenate([[0], ends]).astype(np.int64))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`."""
        if self._style == "pieces":
            strings = ["", "\ufffd", *self._words]
            return "".join([strings[index] for index in ids])
        strings = ["\n", UNKNOWN, *self._words]
        text = " ".join([strings[index] for index in ids])
        return text.replace(" \n ", "\n").replace(" \n", "\n").replace("\n ", "\n").rstrip("\n")

    def token_bytes(self) -> list[bytes]:
        """Return the UTF-8 of each id; boundary and unknown have none.

        Raises:
            TokenizerError: The style is `whitespace`.
        """
        if self._style == "whitespace":
            raise TokenizerError(
                "words in the style `whitespace` have no fixed bytes, since the spaces around them "
                "depend on their neighbours; learn a vocabulary of words in the style `pieces`"
            )
        return [b"", b"", *(word.encode() for word in self._words)]

    def unknown_in(self, text: str) -> list[str]:
        """Return the unknown words of `text`."""
        found = _segment(arrow.strings([text]), self._style)
        places = self._places(found.distinct).tolist()
        words = zip(found.distinct.to_pylist(), places, strict=True)
        missing = [word for word, place in words if place == len(self._known) and word.strip()]
        return [word.decode("utf-8", "replace") for word in missing]

    def to_json(self) -> dict[str, Any]:
        """Return the kind, the style and the known words."""
        said = {"writes_unknown": True} if self._writes_unknown else {}
        return {"kind": self.kind, "style": self._style, "words": self._words, **said}

    def _places(self, distinct: pa.Array) -> NDArray[np.int64]:
        """Return the index of each word in `_known`; for unknown words, `len(_known)`."""
        unknown = arrow.integers(np.array([len(self._known)]))[0]
        found = pc.coalesce(pc.index_in(distinct, value_set=self._known), unknown)
        places: NDArray[np.int64] = arrow.numbers(found)
        return places

    @classmethod
    def learn(cls, texts: Iterable[str], style: Style, vocab_size: int, min_count: int) -> Self:
        """Return a tokenizer of the most frequent words of `texts`; ties are in byte order.

        Args:
            texts: Texts to learn from; read once.
            style: What a word is.
            vocab_size: Largest number of entries, boundary and `<unk>` included.
            min_count: Words that occur less often than this are unknown.
        """
        counts: Counter[bytes] = Counter()
        for batch in batches_of(texts):
            found = _segment(batch, style)
            times = np.bincount(found.indices, minlength=len(found.distinct))
            counts.update(dict(zip(found.distinct.to_pylist(), times.tolist(), strict=True)))
        special = {bytes([END])}
        writes_unknown = style == "whitespace" and UNKNOWN.encode() in counts
        if style == "whitespace":
            special |= {_LINE_END, UNKNOWN.encode()}
        ranked = sorted(
            (-count, word)
            for word, count in counts.items()
            if count >= min_count and word not in special
        )
        return cls([word.decode() for _, word in ranked[: vocab_size - 2]], style, writes_unknown)


def _segment(texts: pa.Array, style: Style) -> Any:
    return pieces(texts) if style == "pieces" else words(texts)
