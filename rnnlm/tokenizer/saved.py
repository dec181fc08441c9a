"""The shapes of saved tokenizers, and the checks that they pass before they are used.

The package `tokenizers` panics on some descriptions of BPE tokenizers instead of raising an error.
So only the vocabulary and the merges are taken from a file, after checks; `bpe.py` sets the rest.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rnnlm.errors import TokenizerError
from rnnlm.saved import checked
from rnnlm.tokenizer.contract import BOUNDARY

MOST_TOKENS = 4_000_000
LONGEST_TOKEN = 10_000
"""Most characters of a token."""

_Token = Annotated[str, Field(max_length=LONGEST_TOKEN)]


class SavedCharacters(BaseModel):
    """A saved character tokenizer."""

    model_config = ConfigDict(extra="ignore")

    characters: Annotated[str, Field(max_length=0x110000)]


class SavedWords(BaseModel):
    """A saved word tokenizer."""

    model_config = ConfigDict(extra="ignore")

    style: Literal["pieces", "whitespace"]
    words: Annotated[list[_Token], Field(max_length=MOST_TOKENS)]
    writes_unknown: bool = False


class SavedMerges(BaseModel):
    """The vocabulary of a saved BPE tokenizer: the id of each token, and the merges in order."""

    model_config = ConfigDict(extra="ignore")

    vocab: Annotated[dict[_Token, int], Field(min_length=257, max_length=MOST_TOKENS)]
    merges: Annotated[list[tuple[_Token, _Token] | _Token], Field(max_length=MOST_TOKENS)]

    def pairs(self) -> list[tuple[str, str]]:
        """Return the merges as pairs; earlier versions of the library wrote `left right`."""
        return [
            merge if isinstance(merge, tuple) else (merge.split(" ", 1)[0], merge.split(" ", 1)[-1])
            for merge in self.merges
        ]


class _SavedBPE(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model: SavedMerges


def read_characters(value: dict[str, Any]) -> SavedCharacters:
    """Return a saved character tokenizer.

    Raises:
        TokenizerError: The value has another shape.
    """
    saved: SavedCharacters = _read(value, SavedCharacters, "character")
    return saved


def read_words(value: dict[str, Any]) -> SavedWords:
    """Return a saved word tokenizer.

    Raises:
        TokenizerError: The value has another shape, or words are repeated.
    """
    saved: SavedWords = _read(value, SavedWords, "word")
    if len({*saved.words}) < len(saved.words):
        raise TokenizerError("not the JSON of a word tokenizer: it has a word twice")
    return saved


def read_merges(description: dict[str, Any], letters: frozenset[str]) -> SavedMerges:
    """Return the vocabulary of a saved BPE tokenizer.

    Args:
        description: What the library wrote about its tokenizer.
        letters: The letters that stand for bytes in tokens.

    Raises:
        TokenizerError: The description has another shape, ids are missing, or a token or merge is
            impossible.
    """
    saved: SavedMerges = _read(description, _SavedBPE, "BPE").model
    if sorted(saved.vocab.values()) != [*range(len(saved.vocab))] or saved.vocab.get(BOUNDARY) != 0:
        raise TokenizerError(
            f"not the JSON of a BPE tokenizer: its ids are not 0 ({BOUNDARY}) to "
            f"{len(saved.vocab) - 1:,}"
        )
    if not letters <= saved.vocab.keys():
        raise TokenizerError("not the JSON of a BPE tokenizer: some bytes have no token")
    if not all(token == BOUNDARY or (token and letters.issuperset(token)) for token in saved.vocab):
        raise TokenizerError("not the JSON of a BPE tokenizer: a token is not made of bytes")
    for left, right in saved.pairs():
        if not {left, right, left + right} <= saved.vocab.keys():
            raise TokenizerError("not the JSON of a BPE tokenizer: it merges into unknown tokens")
    return saved


def _read(value: Any, shape: type[Any], kind: str) -> Any:
    try:
        return checked(value, shape)
    except ValueError as error:
        raise TokenizerError(f"not the JSON of a {kind} tokenizer: {error}") from error
